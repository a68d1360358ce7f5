/** Vitest's global set-up of the project that needs the change data engine: it is built before the first file. */
import type { TestProject } from "vitest/node";
import type { EnginePrograms } from "../../connectors/sources/debezium/engine/engine.ts";
import { provideDebezium } from "./debezium.ts";
import { isContinuousIntegration } from "./postgres.ts";

/** What a test asks for by `inject`. */
export interface ProvidedDebezium {
  /** Null when it cannot be had and this is not CI. */
  readonly programs: EnginePrograms | null;
  /** Why there is none. */
  readonly reason: string;
}

declare module "vitest" {
  interface ProvidedContext {
    debezium: ProvidedDebezium;
  }
}

export default async function setup(
  project: TestProject,
  provide: typeof provideDebezium = provideDebezium,
): Promise<void> {
  try {
    project.provide("debezium", { programs: await provide(), reason: "" });
  } catch (error) {
    if (isContinuousIntegration()) throw error;
    project.provide("debezium", { programs: null, reason: String(error) });
  }
}
