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
import { parseSteps } from "../../daemon/log-request.ts";
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

  test.for([
    {
      name: "nobody has set a budget for",
      settings: {},
      budget: {
        bytes: 10 * 1024 ** 3,
        shareOf: { warn: 0.5, hurry: 0.7, pause: 0.85, giveUp: null },
        patienceMs: 60_000,
      },
    },
    {
      name: "has a budget",
      settings: { logBudget: 1e9, logPatienceMs: 5000 },
      budget: {
        bytes: 1e9,
        shareOf: { warn: 0.5, hurry: 0.7, pause: 0.85, giveUp: 1 },
        patienceMs: 5000,
      },
    },
    {
      name: "has steps of its own",
      settings: {
        logBudget: 1e9,
        logSteps: parseSteps("warn=10%, pause=never,give-up=200%"),
      },
      budget: {
        bytes: 1e9,
        shareOf: { warn: 0.1, hurry: 0.7, pause: null, giveUp: 2 },
        patienceMs: 60_000,
      },
    },
  ])("a log that $name", ({ settings, budget }) => {
    const request = buildRequest({
      ...{ url, destination: "/d", mode: "cdc" as const },
      ...settings,
    });
    expect(request.log.budget).toEqual(budget);
  });

  test("is told of its budget in the file, too", async ({ write }) => {
    const file = await write(`
syncs:
  kept:
    source: { kind: postgres, url: "${url}" }
    destination: { kind: file, path: /tmp/kept }
    mode: continuous
    log: { budget: 2GB, steps: "give-up=never", patience: 10s, filledColumns: warn, transactionId: true, onUndecodable: quarantine }
`);
    const settings = loadMillraceConfig(file).syncs.get("kept");
    expect(settings).toBeDefined();
    if (!settings) return;
    expect(buildRequest(settings).log).toMatchObject({
      budget: { bytes: 2e9, shareOf: { giveUp: null }, patienceMs: 10_000 },
      filledColumns: "warn",
      transactionId: true,
      onUndecodable: "quarantine",
    });
  });

  test.for([
    { text: "warm=50%", says: "write it like" },
    { text: "warn=50", says: "a share of the budget" },
    { text: "warn=0%", says: "a share of the budget" },
    { text: "warn=90%", says: "another order" },
  ])("takes no steps like $text", ({ text, says }) => {
    expect(() => parseSteps(text)).toThrow(says);
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
