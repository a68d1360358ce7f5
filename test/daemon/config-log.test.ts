import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, test as base } from "vitest";
import {
  buildRequest,
  findContradictions,
} from "../../daemon/config-request.ts";
import { loadMillraceConfig } from "../../daemon/config.ts";
import { recordRequest } from "../../daemon/identity.ts";
import type { SyncRequest } from "../../daemon/request.ts";

const test = base.extend<{ write: (text: string) => Promise<string> }>({
  // eslint-disable-next-line no-empty-pattern
  write: async ({}, use) => {
    const folder = await mkdtemp(join(tmpdir(), "millrace-config-"));
    await use(async (text) => {
      const file = join(folder, "millrace.yaml");
      await writeFile(file, text);
      return file;
    });
    await rm(folder, { recursive: true, force: true });
  },
});

const url = "postgres://db/app";

describe("a sync that follows the log", () => {
  test("goes on without end where it is told to, and is begun again by itself", async ({
    write,
  }) => {
    const file = await write(`
syncs:
  kept: { source: { kind: postgres, url: "${url}" }, destination: { kind: file, path: /tmp/kept }, mode: continuous }
  once: { source: { kind: postgres, url: "${url}" }, destination: { kind: file, path: /tmp/once }, mode: cdc }
  timed: { source: { kind: postgres, url: "${url}" }, destination: { kind: file, path: /tmp/timed }, mode: continuous, schedule: "0 3 * * *" }
`);
    const { syncs, schedules } = loadMillraceConfig(file);
    const requests = [...syncs].map(([name, settings]) => {
      const { mode, log } = buildRequest(settings);
      return [name, mode, log.continuous];
    });
    expect(requests).toEqual([
      ["kept", "cdc", true],
      ["once", "cdc", false],
      ["timed", "cdc", true],
    ]);
    expect([...schedules].map(([name, { cron }]) => [name, cron])).toEqual([
      ["kept", "*/15 * * * * *"],
      ["timed", "0 3 * * *"],
    ]);
  });

  test("takes tables as they are, and its log is given up only where there is one", () => {
    expect(
      findContradictions({
        url,
        destination: "/d",
        mode: "cdc",
        where: "a > 1",
      }),
    ).toMatchObject([{ setting: "where" }]);
    expect(
      findContradictions({ url, destination: "/d", resync: true }),
    ).toMatchObject([{ setting: "resync" }]);
    expect(
      findContradictions({
        url,
        destination: "/d",
        mode: "continuous",
        resync: true,
      }),
    ).toEqual([]);
  });

  test("gives its log up once, and not again when the run is gone on with", () => {
    const request = buildRequest({
      url,
      destination: "/d",
      mode: "cdc",
      resync: true,
    });
    expect(request.log.resync).toBe(true);
    const recorded = JSON.parse(recordRequest(request)) as SyncRequest;
    expect(recorded.log.resync).toBe(false);
  });
});
