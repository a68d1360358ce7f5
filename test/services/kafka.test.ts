import type { TestProject } from "vitest/node";
import { afterEach, describe, expect, test, vi } from "vitest";
import { provideKafka, type KafkaService } from "./kafka.ts";
import setup from "./kafka.setup.ts";

afterEach(() => vi.unstubAllEnvs());

async function runSetup(
  provide: () => Promise<KafkaService>,
): Promise<Record<string, unknown>> {
  const provided: Record<string, unknown> = {};
  const project = {
    provide: (key: string, value: unknown) => (provided[key] = value),
  };
  await setup(project as unknown as TestProject, provide);
  return provided;
}

describe("a machine on which no broker starts", () => {
  const provide = () => Promise.reject(new Error("no broker here"));

  test("fails the suite in CI", async () => {
    vi.stubEnv("CI", "1");
    await expect(runSetup(provide)).rejects.toThrow("no broker here");
  });

  test("skips its tests with the reason elsewhere", async () => {
    vi.stubEnv("CI", "");
    expect(await runSetup(provide)).toEqual({
      kafka: { service: null, reason: "Error: no broker here" },
    });
  });
});

test("brokers that the environment names are used as they are", async () => {
  vi.stubEnv("TEST_KAFKA_BROKERS", "127.0.0.1:9092, 127.0.0.1:9093");
  expect(await provideKafka()).toMatchObject({
    brokers: ["127.0.0.1:9092", "127.0.0.1:9093"],
    secure: null,
    origin: "TEST_KAFKA_BROKERS",
    pid: null,
  });
});
