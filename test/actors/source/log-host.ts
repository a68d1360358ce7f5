/** A parent for the reader of the log: what it is told is kept. */
import { assign, setup } from "xstate";
import {
  logReaderMachine,
  type LogReaderInput,
  type LogReaderNews,
} from "../../../actors/source/log-reader.machine.ts";

export function hostOf(
  logReader: typeof logReaderMachine,
  input: LogReaderInput,
) {
  const heard: LogReaderNews[] = [];
  const host = setup({
    types: { events: {} as LogReaderNews },
    actors: { logReader },
  }).createMachine({
    invoke: { id: "logReader", src: "logReader", input },
    on: {
      "*": { actions: assign(({ event }) => (heard.push(event), {})) },
    },
  });
  const news = () => heard.filter(({ type }) => type.startsWith("logReader."));
  return { host, news };
}
