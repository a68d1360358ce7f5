/** What killed runs leave at a destination goes once nobody can resume them, and nothing else goes. */
import { cpSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { expect } from "vitest";
import { Ledger } from "../../checkpoint/store/ledger.ts";
import { withDatabase, type PostgresFixture } from "../fixtures/postgres.ts";
import {
  Destination,
  signal,
  waitFor,
  type Running,
} from "./support/command.ts";
import { startDaemon, writeConfig } from "./support/daemon.ts";
import { test as base } from "./support/fixtures.ts";

const test = base.extend<{
  $test: { target: PostgresFixture };
}>({
  target: async ({ database }, use) => withDatabase(database.adminUrl, use),
});

const ROWS = 300_000;

/** For all tests: keepers of killed runs hold on to it for their grace. */
const makeTable = `
  CREATE TABLE IF NOT EXISTS t (id int PRIMARY KEY, word text);
  INSERT INTO t SELECT n, md5(n::text) FROM generate_series(1, ${ROWS}) AS n ON CONFLICT DO NOTHING`;

/** Checkpoints often, so that it can be cut inside. */
const slow = {
  partitionBy: "key",
  checkpointEvery: "50ms",
  channels: 1,
  readers: 1,
};

function look<T>(ledgerPath: string, read: (ledger: Ledger) => T): T | null {
  let ledger: Ledger;
  try {
    ledger = Ledger.open(ledgerPath, { create: false });
  } catch {
    return null;
  }
  try {
    return read(ledger);
  } finally {
    ledger.close();
  }
}

/** Kills a run and its workers once something of it is durable; the newest run of the ledger. */
async function cut(running: Running, ledgerPath: string): Promise<string> {
  const runId = await waitFor("a checkpoint of a run at work", () =>
    look(ledgerPath, (ledger) => {
      const [run] = ledger.listRuns({ limit: 1 });
      return run?.pid === running.pid &&
        ledger.durableOf(run.runId).length > 0 &&
        ledger
          .streamsOf(run.runId)
          .every(({ state }) => state === "reading" || state === "planned")
        ? run.runId
        : null;
    }),
  );
  const workers = [running.find("source"), running.find("destination")];
  signal(running.pid, "SIGKILL");
  for (const pid of workers) if (pid !== null) signal(pid, "SIGKILL");
  await running.ended;
  return runId;
}

interface Swept {
  readonly syncs: readonly {
    readonly name: string;
    readonly outcome: string;
    readonly removed: number;
    readonly generations: readonly { readonly runId: string }[];
    readonly error: { readonly code: string } | null;
  }[];
}

async function sweep(
  destination: Destination,
  ...args: readonly string[]
): Promise<Swept & { readonly code: number | null }> {
  const running = destination.start("sweep", ...args);
  const { code, stderr } = await running.ended;
  const [told] = running.events as unknown as readonly Swept[];
  if (!told) throw new Error(stderr);
  return { ...told, code };
}

const listStaging = async ({ query }: PostgresFixture): Promise<string[]> =>
  (
    await query<{ name: string }>(
      `SELECT c.relname AS name FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
       WHERE n.nspname = '_millrace' AND c.relkind = 'r' AND c.relname ~ '_g[0-9]+$' ORDER BY 1`,
    )
  ).map(({ name }) => name);

const countRows = async ({ query }: PostgresFixture, table: string) =>
  (
    await query<{ count: number }>(
      `SELECT count(*)::int AS count FROM ${table}`,
    )
  )[0]?.count;

test("in a folder, half files of an abandoned run go; those of a run that can be resumed stay, and count", async ({
  database,
  destination,
}) => {
  await database.query(makeTable);
  const { root, ledgerPath } = destination;
  const options = ["--partition-by", "key", "--checkpoint-every", "50ms"];
  const one = ["--channels", "1", "--readers", "1"];
  const start = (...more: readonly string[]) =>
    destination.start("sync", database.url, root, ...options, ...one, ...more);
  const listFiles = () =>
    readdirSync(join(root, "public", "t"), { recursive: true });
  const first = await cut(start(), ledgerPath);
  const left = listFiles();
  expect(left.length).toBeGreaterThan(1);
  // a run that begins anew and fails before it has cleaned up
  const refused = await start("--restart", "--table", "nowhere").ended;
  expect(refused.code).toBe(2);
  const dry = await sweep(destination, root, "--dry-run");
  expect(dry.syncs).toMatchObject([
    { outcome: "dry", removed: 0, generations: [{ runId: first }] },
  ]);
  expect(listFiles()).toEqual(left);
  const swept = await sweep(destination, root);
  expect(swept.code).toBe(0);
  expect(swept.syncs).toMatchObject([{ outcome: "swept" }]);
  expect(swept.syncs[0]?.removed).toBeGreaterThan(0);
  expect(listFiles()).toEqual([]);
  await cut(start(), ledgerPath);
  const resumable = listFiles();
  expect(await sweep(destination, root)).toMatchObject({ code: 0, syncs: [] });
  expect(listFiles()).toEqual(resumable);
  const { summary } = await destination.run("resume", root);
  expect(summary).toMatchObject({ state: "succeeded" });
  expect(summary?.streams[0]).toMatchObject({ rows: ROWS });
  expect(summary?.streams[0]?.rowsKept).toBeGreaterThan(0);
});

test("a folder that was copied along with its ledger takes nothing away from the one that it was copied from", async ({
  database,
  destination,
}) => {
  await database.query(makeTable);
  const original = join(destination.root, "original");
  const copy = join(destination.root, "copy");
  const ledgerOf = (root: string) => join(root, ".millrace", "ledger.sqlite");
  const options = ["--partition-by", "key", "--checkpoint-every", "50ms"];
  const one = ["--channels", "1", "--readers", "1"];
  const start = (root: string, ...more: readonly string[]) =>
    destination.start("sync", database.url, root, ...options, ...one, ...more);
  await cut(start(original), ledgerOf(original));
  cpSync(original, copy, { recursive: true });
  const refused = await start(copy, "--restart", "--table", "nowhere").ended;
  expect(refused.code).toBe(2);
  // to the copy's ledger the run is abandoned, and what it has written lies in the other folder
  expect(look(ledgerOf(copy), (ledger) => ledger.listOver(null))).toHaveLength(
    1,
  );
  const list = () =>
    readdirSync(original, { recursive: true, encoding: "utf8" }).toSorted();
  const left = list();
  expect(await sweep(destination, copy)).toMatchObject({
    code: 0,
    syncs: [{ outcome: "nothing", removed: 0 }],
  });
  expect(list()).toEqual(left);
  const { summary } = await destination.run("resume", original);
  expect(summary?.streams[0]).toMatchObject({ rows: ROWS });
});

test("in a database, staging of an abandoned run goes while a run of another sync is at work, whose staging stays", async ({
  database,
  destination,
  target,
}) => {
  await database.query(makeTable);
  const ledger = new URL(target.adminUrl);
  const { pathname } = new URL(target.url);
  ledger.pathname = pathname;
  const to = (schema: string, more: object = {}) => ({
    source: { kind: "postgres", url: database.url },
    destination: { kind: "postgres", url: target.url, schema },
    tables: ["t"],
    ...slow,
    ...more,
  });
  const syncs = { dead: to("dead"), live: to("live") };
  const file = writeConfig(destination, { ledger: ledger.href, syncs });
  const start = (sync: string, ...more: readonly string[]) =>
    destination.start("sync", "-f", file, sync, ...more);
  const first = await cut(start("dead"), ledger.href);
  expect(await listStaging(target)).toHaveLength(1);
  expect(
    (await start("dead", "--restart", "--table", "nowhere").ended).code,
  ).toBe(2);
  // a run that waits in the middle of its commit until it is let
  await target.query(
    "CREATE SCHEMA live; CREATE TABLE live.t (id int NOT NULL, word text)",
  );
  await target.query("BEGIN; LOCK TABLE live.t IN ACCESS SHARE MODE");
  const live = start("live");
  await waitFor("a run that publishes", async () =>
    look(ledger.href, (opened) => {
      const [run] = opened.listRuns({ limit: 1 });
      return (
        run?.pid === live.pid &&
        opened.streamsOf(run.runId).some(({ state }) => state === "committing")
      );
    }),
  );
  expect(await listStaging(target)).toHaveLength(2);
  const swept = await sweep(destination, "-f", file);
  expect(swept.syncs).toMatchObject([
    {
      name: "dead",
      outcome: "swept",
      removed: 1,
      generations: [{ runId: first }],
    },
    // its lock is held, by the run
    { name: "live", outcome: "nothing", error: { code: "RUN_LOCKED" } },
  ]);
  const staging = await listStaging(target);
  expect(staging).toHaveLength(1);
  await target.query("COMMIT");
  const { summary, stderr } = await live.ended;
  expect(summary, stderr).toMatchObject({ state: "succeeded" });
  expect(await countRows(target, "live.t")).toBe(ROWS);
  expect(await listStaging(target)).toEqual([]);
  expect((await start("dead").ended).code).toBe(0);
  expect(await countRows(target, "dead.t")).toBe(ROWS);
});

test("a daemon sweeps when it starts, and says so on its timeline", async ({
  database,
  destination,
  target,
}) => {
  await database.query(makeTable);
  const file = writeConfig(destination, {
    daemon: { listen: "127.0.0.1:0" },
    syncs: {
      shop: {
        source: { kind: "postgres", url: database.url },
        destination: { kind: "postgres", url: target.url },
        tables: ["t"],
        ...slow,
      },
    },
  });
  const start = (...more: readonly string[]) =>
    destination.start("sync", "-f", file, "shop", ...more);
  const first = await cut(start(), destination.ledgerPath);
  expect((await start("--restart", "--table", "nowhere").ended).code).toBe(2);
  expect(await listStaging(target)).toHaveLength(1);
  const started = startDaemon(destination);
  await started.ready();
  const event = await waitFor("a sweep on the timeline", () =>
    destination.look(
      (ledger) =>
        ledger
          .daemonEventsOf({ limit: 100 })
          .find(({ kind }) => kind === "sweep.cleaned") ?? null,
    ),
  );
  expect(event).toMatchObject({ sync: "shop" });
  expect(JSON.parse(event.detailsJson)).toMatchObject({
    removed: 1,
    generations: [{ stream: "public.t", run: first, state: "abandoned" }],
  });
  expect(await listStaging(target)).toEqual([]);
  // whoever waited for the sweep goes on
  await started.trigger("shop");
  const [summary] = await waitFor("a run after the sweep", () => {
    const found = started.summaries("shop");
    return found.length > 0 ? found : null;
  });
  expect(summary).toMatchObject({ state: "succeeded" });
  signal(started.running.pid, "SIGTERM");
  expect((await started.running.ended).code).toBe(0);
});
