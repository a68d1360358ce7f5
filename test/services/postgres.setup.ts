/** Vitest's global set-up of the projects that need Postgres: one server for all of them, started with the first. */
import type { TestProject } from "vitest/node";
import {
  isContinuousIntegration,
  providePostgres,
  type PostgresService,
} from "./postgres.ts";

declare module "vitest" {
  interface ProvidedContext {
    /** Null when there is no server and this is not CI. */
    postgresUrl: string | null;
    /** Why there is none. */
    postgresReason: string;
  }
}

interface Shared {
  service: Promise<PostgresService>;
  users: number;
}

/** Each project loads this file anew, so what they share is kept on the process. */
const holder = globalThis as { millraceTestPostgres?: Shared };

export default async function setup(
  project: TestProject,
): Promise<(() => Promise<void>) | undefined> {
  holder.millraceTestPostgres ??= { service: providePostgres(), users: 0 };
  const shared = holder.millraceTestPostgres;
  shared.users += 1;
  try {
    const { url } = await shared.service;
    project.provide("postgresUrl", url);
    project.provide("postgresReason", "");
  } catch (error) {
    if (isContinuousIntegration()) throw error;
    project.provide("postgresUrl", null);
    project.provide("postgresReason", String(error));
    return undefined;
  }
  return async () => {
    shared.users -= 1;
    if (shared.users > 0) return;
    delete holder.millraceTestPostgres;
    await (await shared.service).stop();
  };
}
