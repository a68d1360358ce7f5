/** Vitest's global set-up of the project that needs Kafka: one broker for all of its files. */
import type { TestProject } from "vitest/node";
import { provideKafka, type KafkaService } from "./kafka.ts";
import { isContinuousIntegration } from "./postgres.ts";

/** What a test asks for by `inject`. */
export interface ProvidedKafka {
  /** Null when there is no broker and this is not CI. */
  readonly service: Omit<KafkaService, "stop"> | null;
  /** Why there is none. */
  readonly reason: string;
}

declare module "vitest" {
  interface ProvidedContext {
    kafka: ProvidedKafka;
  }
}

export default async function setup(
  project: TestProject,
  provide: () => Promise<KafkaService> = provideKafka,
): Promise<(() => Promise<void>) | undefined> {
  try {
    const service = await provide();
    const { brokers, secure, origin, pid, folder } = service;
    project.provide("kafka", {
      service: { brokers, secure, origin, pid, folder },
      reason: "",
    });
    return () => service.stop();
  } catch (error) {
    if (isContinuousIntegration()) throw error;
    project.provide("kafka", { service: null, reason: String(error) });
    return undefined;
  }
}
