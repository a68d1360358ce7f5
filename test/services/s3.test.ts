import type { TestProject } from "vitest/node";
import { afterEach, describe, expect, test, vi } from "vitest";
import { provideS3, type S3Service } from "./s3.ts";
import setup from "./s3.setup.ts";

afterEach(() => vi.unstubAllEnvs());

async function runSetup(
  provide: () => Promise<S3Service>,
): Promise<Record<string, unknown>> {
  const provided: Record<string, unknown> = {};
  const project = {
    provide: (key: string, value: unknown) => (provided[key] = value),
  };
  await setup(project as unknown as TestProject, provide);
  return provided;
}

describe("a machine on which no S3 server starts", () => {
  const provide = () => Promise.reject(new Error("no server here"));

  test("fails the suite in CI", async () => {
    vi.stubEnv("CI", "1");
    await expect(runSetup(provide)).rejects.toThrow("no server here");
  });

  test("skips its tests with the reason elsewhere", async () => {
    vi.stubEnv("CI", "");
    expect(await runSetup(provide)).toEqual({
      s3: { service: null, reason: "Error: no server here" },
    });
  });
});

describe("a server that the environment names", () => {
  test("is used as it is", async () => {
    vi.stubEnv("TEST_S3_ENDPOINT", "http://127.0.0.1:9000");
    vi.stubEnv("TEST_S3_KEY", "key");
    vi.stubEnv("TEST_S3_SECRET", "secret");
    expect(await provideS3()).toMatchObject({
      endpoint: "http://127.0.0.1:9000",
      accessKeyId: "key",
      secretAccessKey: "secret",
      origin: "TEST_S3_ENDPOINT",
      pid: null,
      folder: null,
    });
  });

  test("needs its keys", async () => {
    vi.stubEnv("TEST_S3_ENDPOINT", "http://127.0.0.1:9000");
    vi.stubEnv("TEST_S3_KEY", "");
    await expect(provideS3()).rejects.toThrow("TEST_S3_KEY");
  });
});
