/** Runs of the daemon that share its threads: as exact as those with processes of their own, whatever dies. */
import { join } from "node:path";
import { expect } from "vitest";
import {
  listChildren,
  signal,
  waitFor,
  type Destination,
} from "./support/command.ts";
import {
  startDaemon,
  writeConfig,
  type StartedDaemon,
} from "./support/daemon.ts";
import { test as base } from "./support/fixtures.ts";
import {
  accounts,
  createTables,
  digestFiles,
  digestTable,
  regions,
  type Digest,
  type TableSpec,
} from "./support/tables.ts";

const test = base.extend<{
  $file: { digests: ReadonlyMap<TableSpec, Digest> };
}>({
  digests: [
    async ({ database }, use) => {
      await createTables(database.query, [accounts, regions]);
      const digests = new Map<TableSpec, Digest>();
      for (const table of [accounts, regions])
        digests.set(table, await digestTable(database.query, table));
      await use(digests);
    },
    { scope: "file" },
  ],
});

const daemon = (inline: object | false) => ({
  listen: "127.0.0.1:0",
  retry: { backoffMin: "100ms" },
  connections: { perSource: 4 },
  inline,
});

const sync = (url: string, path: string, table: TableSpec, more = {}) => ({
  source: { kind: "postgres", url },
  destination: { kind: "file", path },
  tables: [table.name],
  ...more,
});

/** Checkpoints so often that it can be killed inside. */
const often = { partitionBy: "key", checkpointEvery: "50ms" };

function ended(started: StartedDaemon, name: string, count = 1) {
  return waitFor(`${count} ended runs of ${name}`, () => {
    const found = started.summaries(name);
    return found.length >= count ? found : null;
  });
}

async function stop({ running }: StartedDaemon): Promise<void> {
  signal(running.pid, "SIGTERM");
  const { code, stderr } = await running.ended;
  expect(code, stderr).toBe(0);
}

/** Runs with a process that the ledger knows of. */
const withProcesses = (destination: Destination) =>
  destination.look((ledger) =>
    ledger
      .listRuns({ limit: 100 })
      .filter(({ runId }) => ledger.processesOf(runId).length > 0)
      .map(({ runId }) => runId),
  );

test("a sync that has moved little runs in the daemon's threads from then on, one that has moved more never does", async ({
  database,
  destination,
  digests,
}) => {
  writeConfig(destination, {
    daemon: daemon({ bytesMax: "1MiB" }),
    syncs: {
      little: sync(database.url, "little", regions),
      much: sync(database.url, "much", accounts),
    },
  });
  const started = startDaemon(destination);
  await started.ready();
  for (const count of [1, 2])
    for (const name of ["little", "much"]) {
      await started.trigger(name);
      await ended(started, name, count);
    }
  const runs = (name: string) =>
    started.summaries(name).map(({ runId, state }) => ({ runId, state }));
  const [first, second] = runs("little");
  expect(
    [...runs("little"), ...runs("much")].map(({ state }) => state),
  ).toEqual(Array(4).fill("succeeded"));
  const known = withProcesses(destination);
  expect(known).toContain(first?.runId);
  expect(known).not.toContain(second?.runId);
  for (const { runId } of runs("much")) expect(known).toContain(runId);
  expect(await digestFiles(join(destination.root, "little"), regions)).toEqual(
    digests.get(regions),
  );
  await stop(started);
});

test("many runs at once share four connections, wait for them in turn, and start no process", async ({
  database,
  destination,
  digests,
}) => {
  const names = Array.from({ length: 12 }, (_, i) => `s${i}`);
  writeConfig(destination, {
    daemon: {
      ...daemon({ firstRuns: true, threads: 2 }),
      concurrency: { runs: 12, perSource: 12, perDestination: 12 },
    },
    syncs: Object.fromEntries(
      names.map((name) => [name, sync(database.url, name, regions)]),
    ),
  });
  const started = startDaemon(destination);
  await started.ready();
  let sessions = 0;
  const watch = async (): Promise<boolean> => {
    const [row] = await database.query<{ count: string }>(
      "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()",
    );
    sessions = Math.max(sessions, Number(row?.count));
    expect(listChildren(started.running.pid)).toEqual([]);
    return names.every((name) => started.summaries(name).length > 0);
  };
  for (const name of names) await started.trigger(name);
  await waitFor("the end of all runs", watch);
  for (const name of names) {
    expect(started.summaries(name)).toMatchObject([{ state: "succeeded" }]);
    expect(await digestFiles(join(destination.root, name), regions)).toEqual(
      digests.get(regions),
    );
  }
  expect(sessions).toBeGreaterThan(0);
  expect(sessions).toBeLessThanOrEqual(4);
  await stop(started);
});

test.for(["SIGTERM", "SIGKILL"] as const)(
  "a run in the daemon's thread that %s cuts is gone on with by the next daemon, and each row is there once",
  async (how, { database, destination, digests }) => {
    writeConfig(destination, {
      daemon: daemon({ firstRuns: true, threads: 1 }),
      syncs: { shop: sync(database.url, "shop", accounts, often) },
    });
    const first = startDaemon(destination);
    await first.trigger("shop");
    const cut = await waitFor("a checkpoint of a run at work", () =>
      destination.look((ledger) => {
        const [run] = ledger.listRuns({ limit: 1 });
        return run && ledger.durableOf(run.runId).length > 0 ? run : null;
      }),
    );
    signal(first.running.pid, how);
    const { code } = await first.running.ended;
    expect(code).toBe(how === "SIGTERM" ? 0 : null);
    const second = startDaemon(destination);
    const [summary] = await ended(second, "shop");
    expect(summary).toMatchObject({
      runId: cut.runId,
      state: "succeeded",
      epoch: cut.epoch + 1,
    });
    expect(summary?.streams[0]?.rowsKept).toBeGreaterThan(0);
    expect(await digestFiles(join(destination.root, "shop"), accounts)).toEqual(
      digests.get(accounts),
    );
    expect(withProcesses(destination)).toEqual([]);
    await stop(second);
  },
);
