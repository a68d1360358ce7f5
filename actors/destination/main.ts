/** The destination process. */
import { ownTellingProcess, startThread } from "../child.ts";
import { startDestination } from "./process.ts";

const script = new URL(`./worker${import.meta.url.slice(-3)}`, import.meta.url);

startDestination(ownTellingProcess(), (workerData, events) =>
  startThread(
    script,
    { name: `destination-${workerData.channel}`, workerData },
    events,
  ),
);
