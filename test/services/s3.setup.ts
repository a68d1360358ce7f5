/** Vitest's global set-up of the project that needs S3: one server for all of its files. */
import type { TestProject } from "vitest/node";
import { isContinuousIntegration } from "./postgres.ts";
import { provideS3, type S3Service } from "./s3.ts";

/** What a test asks for by `inject`. */
export interface ProvidedS3 {
  /** Null when there is no server and this is not CI. */
  readonly service: Omit<S3Service, "stop"> | null;
  /** Why there is none. */
  readonly reason: string;
}

declare module "vitest" {
  interface ProvidedContext {
    s3: ProvidedS3;
  }
}

export default async function setup(
  project: TestProject,
  provide: () => Promise<S3Service> = provideS3,
): Promise<(() => Promise<void>) | undefined> {
  try {
    const { stop, ...service } = await provide();
    project.provide("s3", { service, reason: "" });
    return stop;
  } catch (error) {
    if (isContinuousIntegration()) throw error;
    project.provide("s3", { service: null, reason: String(error) });
    return undefined;
  }
}
