/** The change data engine for the tests: its jars are built once into the user's cache folder, as a user's are. */
import {
  provideEnginePrograms,
  type EnginePrograms,
} from "../../connectors/sources/debezium/engine/engine.ts";

/** @throws Error saying why there is none: no Java, no Maven, no repository */
export async function provideDebezium(): Promise<EnginePrograms> {
  return provideEnginePrograms();
}
