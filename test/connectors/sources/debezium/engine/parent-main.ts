/** Starts an engine from what comes on stdin, says its pid once it streams, and stays until it is ended. */
import { text } from "node:stream/consumers";
import {
  openEngine,
  type EnginePrograms,
  type EngineSettings,
} from "../../../../../connectors/sources/debezium/engine/engine.ts";

const { settings, programs } = JSON.parse(await text(process.stdin)) as {
  settings: EngineSettings;
  programs: EnginePrograms;
};
const engine = openEngine(settings, programs);
for await (const messages of engine.messages())
  if (messages.some(({ type }) => type === "ready")) console.log(engine.pid);
