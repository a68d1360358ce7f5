/** The source process. */
import { ownTellingProcess, startThread } from "../child.ts";
import { startSource } from "./process.ts";

const script = new URL(`./worker${import.meta.url.slice(-3)}`, import.meta.url);

startSource(ownTellingProcess(), (workerData, events) =>
  startThread(
    script,
    { name: `source-${workerData.channel}`, workerData },
    events,
  ),
);
