import { availableParallelism } from "node:os";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, expect, test } from "vitest";
import { loadConfig, loadMillraceConfig } from "../../daemon/config.ts";
import { describeChanges } from "../../daemon/service/config-changes.ts";
import { listSecretValues } from "../../daemon/service/secret-values.ts";
import { ExtractError } from "../../proto/error.ts";

const folder = mkdtempSync(join(tmpdir(), "millrace-config-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const shop = {
  source: { kind: "postgres", url: "postgres://me:pass-word@h/shop" },
  destination: { kind: "file", path: "out" },
};

function load(config: object, env: Record<string, string> = {}) {
  const file = join(folder, "millrace.yaml");
  writeFileSync(file, JSON.stringify({ syncs: { shop }, ...config }, null, 1));
  return loadMillraceConfig(file, env);
}

function faultsOf(config: object): string[] {
  try {
    load(config);
  } catch (error) {
    if (!(error instanceof ExtractError)) throw error;
    return error.message
      .split("\n")
      .slice(1)
      .map((line) => line.replace(/^.*millrace\.yaml:\d+ /, ""));
  }
  return [];
}

test("an empty `daemon` takes all defaults, and its ledger lies beside the file", () => {
  const { daemon, ledgerPath, syncs } = load({ daemon: {} });
  expect(daemon).toEqual({
    listen: { host: "127.0.0.1", port: 7420 },
    tokens: [],
    limits: {
      runs: 8,
      perSource: 4,
      perDestination: 4,
      connectionsPerSource: 100,
    },
    retry: { attempts: 3, backoffMinMs: 30_000, backoffMaxMs: 900_000 },
    drainMs: 60_000,
    inline: {
      bytesMax: 64 * 1024 * 1024,
      threads: Math.min(4, availableParallelism()),
      firstRuns: false,
    },
    kafka: null,
  });
  expect(ledgerPath).toBe(join(folder, ".millrace/ledger.sqlite"));
  expect(syncs.get("shop")?.ledgerPath).toBe(ledgerPath);
});

test("`sync -f` uses the daemon's ledger, and without one each sync has its own", () => {
  const file = join(folder, "millrace.yaml");
  load({ ledger: "all.sqlite" });
  expect(loadConfig(file).get("shop")?.ledgerPath).toBe(
    join(folder, "all.sqlite"),
  );
  load({});
  expect(loadConfig(file).get("shop")?.ledgerPath).toBeUndefined();
  const url = "postgres://me@h/ledger";
  expect(load({ ledger: url }).ledgerPath).toBe(url);
});

test.for([
  {
    written: "0 3 * * *",
    schedule: { cron: "0 3 * * *", timezone: "UTC", jitterMs: 0 },
  },
  {
    written: "*/5 0 3 * * MON-FRI Europe/Zurich",
    schedule: {
      cron: "*/5 0 3 * * MON-FRI",
      timezone: "Europe/Zurich",
      jitterMs: 0,
    },
  },
  {
    written: "@hourly",
    schedule: { cron: "@hourly", timezone: "UTC", jitterMs: 0 },
  },
  {
    written: { cron: "0 3 * * 1", timezone: "Asia/Tokyo", jitter: "5m" },
    schedule: { cron: "0 3 * * 1", timezone: "Asia/Tokyo", jitterMs: 300_000 },
  },
])("the schedule $written", ({ written, schedule }) => {
  const { schedules } = load({
    syncs: { shop: { ...shop, schedule: written } },
  });
  expect(schedules.get("shop")).toEqual(schedule);
});

test("all faults of daemon, tokens and schedules come at once, each with its path and the nearest name", () => {
  const faults = faultsOf({
    daemon: {
      listn: "x",
      listen: "here",
      tokens: [{ name: "ops", role: "boss", token: "short" }],
      concurrency: { runs: 0, perSorce: 1 },
      connections: { perSource: 1 },
      retry: { backoffMin: "soon" },
    },
    syncs: {
      shop: {
        ...shop,
        ledger: "own.sqlite",
        schedule: { cron: "0 61 * * *", timezone: "Europe/Zurch" },
      },
      yard: { ...shop, schedule: "0 0 30 2 *" },
      lake: { ...shop, schedule: "0 3 * * * Europe/Zurch" },
      pond: { ...shop, schedule: 5 },
    },
  });
  for (const fault of [
    "daemon.listn: is no known key; did you mean `listen`?",
    "daemon.listen: is no address",
    "daemon.tokens[0].role: ",
    "daemon.tokens[0].token: must have at least 16 letters",
    "daemon.concurrency.runs: must be a whole number between 1 and 10000",
    "daemon.concurrency.perSorce: is no known key; did you mean `perSource`?",
    "daemon.connections.perSource: must be at least 3",
    "daemon.retry.backoffMin: is no duration",
    "syncs.shop.ledger: has no meaning here",
    "syncs.shop.schedule.cron: is no cron pattern: ",
    "syncs.shop.schedule.timezone: is no time zone; did you mean `Europe/Zurich`?",
    "syncs.yard.schedule: never comes due",
    "syncs.lake.schedule: is no time zone; did you mean `Europe/Zurich`?",
    "syncs.pond.schedule: must be a text or an object",
  ])
    expect(faults.join("\n")).toContain(fault);
  expect(faults).toHaveLength(14);
});

test("tokens, the ledger's URL and the broker's password are read from files, and are known as secrets", () => {
  writeFileSync(join(folder, "token"), "a-token-of-a-file\n");
  writeFileSync(join(folder, "ledger"), "postgres://me:ledger%20pass@h/l");
  writeFileSync(join(folder, "sasl"), "broker-pass");
  const config = load(
    {
      ledger: "file:ledger",
      daemon: {
        tokens: [
          { name: "a", role: "admin", token: "file:token" },
          { name: "b", role: "viewer", token: "${TOKEN}" },
        ],
        kafka: {
          brokers: ["h:9092"],
          topic: "runs",
          sasl: { mechanism: "plain", username: "u", password: "file:sasl" },
        },
      },
    },
    { TOKEN: "a-token-of-the-environment" },
  );
  expect(listSecretValues(config).toSorted()).toEqual(
    [
      "a-token-of-a-file",
      "a-token-of-the-environment",
      "broker-pass",
      "ledger%20pass",
      "ledger pass",
      "pass-word",
    ].toSorted(),
  );
});

test("two tokens of one name are a fault", () => {
  const token = { name: "a", role: "admin", token: "0123456789abcdef" };
  expect(faultsOf({ daemon: { tokens: [token, token] } })).toEqual([
    "daemon.tokens: name somebody twice",
  ]);
});

test("a reload tells what is added, changed and removed, and never a secret", () => {
  const before = load({
    daemon: { drain: "5s" },
    syncs: { shop, yard: shop, lake: shop },
  });
  const url = "postgres://me:other-pass@h/shop";
  const after = load({
    daemon: { drain: "9s", listen: 1 },
    syncs: {
      shop: { ...shop, source: { kind: "postgres", url }, tables: ["a"] },
      yard: { ...shop, schedule: "0 3 * * *" },
      pond: { ...shop, schedule: "@daily" },
    },
  });
  const changes = describeChanges(before, after);
  expect(changes).toEqual([
    "sync shop: changed tables, url",
    "sync yard: schedule none -> 0 3 * * * UTC",
    "sync lake: removed",
    "sync pond: added, due at @daily UTC",
    "daemon.drainMs: 5000 -> 9000",
    "daemon.listen.port: changed, takes effect at the next start",
  ]);
  expect(describeChanges(after, after)).toEqual([]);
});

test("a reload tells what changes for runs in the daemon's own threads", () => {
  const withInline = (inline: unknown) =>
    load({ daemon: { inline }, syncs: { shop } });
  const [usual, off] = [withInline({}), withInline(false)];
  expect(describeChanges(usual, off)).toEqual(['daemon.inline: "on" -> "off"']);
  expect(describeChanges(off, usual)).toEqual(['daemon.inline: "off" -> "on"']);
  expect(describeChanges(off, withInline(false))).toEqual([]);
  const other = withInline({ bytesMax: "1MiB", firstRuns: true, threads: 7 });
  expect(describeChanges(usual, other)).toEqual([
    "daemon.inline.bytesMax: 67108864 -> 1048576",
    "daemon.inline.firstRuns: false -> true",
    "daemon.inline.threads: changed, takes effect at the next start",
  ]);
});
