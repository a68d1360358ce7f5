import type { TestProject } from "vitest/node";
import { afterEach, describe, expect, test, vi } from "vitest";
import { isReachableBy } from "../../deploy/demo/cluster.ts";
import { chooseMajors, isContinuousIntegration } from "./postgres.ts";
import setup from "./postgres.setup.ts";

afterEach(() => vi.unstubAllEnvs());

describe("a machine on which no Postgres starts", () => {
  const holder = globalThis as { millraceTestPostgres?: unknown };
  function runSetup() {
    const service = Promise.reject(new Error("no server here"));
    holder.millraceTestPostgres = { service, users: 0 };
    const provided: Record<string, unknown> = {};
    const project = {
      provide: (key: string, value: unknown) => (provided[key] = value),
    };
    return setup(project as unknown as TestProject).then(() => provided);
  }
  afterEach(() => delete holder.millraceTestPostgres);

  test("fails the suite in CI", async () => {
    vi.stubEnv("CI", "1");
    await expect(runSetup()).rejects.toThrow("no server here");
  });

  test("skips its tests with the reason elsewhere", async () => {
    vi.stubEnv("CI", "false");
    expect(await runSetup()).toEqual({
      postgresUrl: null,
      postgresReason: "Error: no server here",
    });
  });
});

test.for([
  { value: "", counts: false },
  { value: "false", counts: false },
  { value: "0", counts: true },
  { value: "true", counts: true },
])("CI=$value counts as CI: $counts", ({ value, counts }) => {
  vi.stubEnv("CI", value);
  expect(isContinuousIntegration()).toBe(counts);
});

test("a folder of mode 700 above the data is out of reach of another user", () => {
  const nobody = { uid: 65_534, gid: 65_534 };
  expect(isReachableBy(nobody, "/usr/bin")).toBe(true);
  expect(isReachableBy(null, "/root/somewhere")).toBe(true);
});

describe("the versions that the tests of versions run on", () => {
  test("are the oldest and the newest at least", () => {
    const majors = chooseMajors("");
    expect([majors[0], majors.at(-1)]).toEqual([13, 18]);
  });

  test("are those that were asked for, each once and in their order", () => {
    expect(chooseMajors("17,14,17")).toEqual([14, 17]);
  });

  test.for(["12", "15,x", ","])("%s is refused", (wanted) => {
    expect(() => chooseMajors(wanted)).toThrow(wanted);
  });
});
