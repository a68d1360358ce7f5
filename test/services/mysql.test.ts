import type { TestProject } from "vitest/node";
import { afterEach, describe, expect, test, vi } from "vitest";
import setup from "./mysql.setup.ts";
import type { MysqlService } from "./mysql.ts";

afterEach(() => vi.unstubAllEnvs());

describe("a machine on which one of the two does not start", () => {
  const stopped: string[] = [];
  afterEach(() => stopped.splice(0));

  function runSetup() {
    const provided: Record<string, unknown> = {};
    const project = {
      provide: (key: string, value: unknown) => (provided[key] = value),
    } as unknown as TestProject;
    const provide = async (flavour: MysqlService["flavour"]) => {
      if (flavour === "mysql") throw new Error("no server here");
      const stop = async () => void stopped.push(flavour);
      const ours = { pid: null, folder: null, stop };
      return { url: "mysql://x", flavour, origin: "", ...ours };
    };
    return setup(project, provide).then((stop) => ({ provided, stop }));
  }

  test("fails the suite in CI and leaves no server behind", async () => {
    vi.stubEnv("CI", "1");
    await expect(runSetup()).rejects.toThrow("no server here");
    expect(stopped).toEqual(["mariadb"]);
  });

  test("skips its tests with the reason elsewhere, and runs the others", async () => {
    vi.stubEnv("CI", "");
    const { provided, stop } = await runSetup();
    expect(provided).toEqual({
      mysqlServer: { url: null, reason: "Error: no server here" },
      mariadbServer: { url: "mysql://x", reason: "" },
    });
    await stop();
    expect(stopped).toEqual(["mariadb"]);
  });
});
