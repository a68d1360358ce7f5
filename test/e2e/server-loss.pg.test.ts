/** The source's server ends connections, or goes away as a whole, in the middle of a run. */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import pg from "pg";
import { expect } from "vitest";
import { startCluster, type Cluster } from "../../deploy/demo/cluster.ts";
import type { PostgresFixture } from "../fixtures/postgres.ts";
import { findPrograms } from "../services/postgres.ts";
import { waitFor, type Destination, type Running } from "./support/command.ts";
import { test } from "./support/fixtures.ts";
import { expectComplete } from "./support/outcome.ts";
import {
  createTables,
  digestTable,
  lines,
  visits,
  type Digest,
  type TableSpec,
} from "./support/tables.ts";

const options = [
  ...["--partition-by", "key", "--checkpoint-every", "50ms"],
  ...["--readers", "1", "--channels", "1"],
];

async function prepare(
  query: PostgresFixture["query"],
): Promise<Map<TableSpec, Digest>> {
  const digests = new Map<TableSpec, Digest>();
  await createTables(query, [lines, visits]);
  for (const table of [lines, visits])
    digests.set(table, await digestTable(query, table));
  return digests;
}

function countDurable(destination: Destination): number {
  return (
    destination.look((ledger) => {
      const [run] = ledger.listRuns({ limit: 1 });
      return run ? ledger.durableOf(run.runId).length : 0;
    }) ?? 0
  );
}

function listWarnings(run: Running): string[] {
  return run.events.flatMap((event) =>
    event.type === "warning" ? [event.message] : [],
  );
}

test("a reader whose connection is ended reads its partition again from the last checkpoint", async ({
  database,
  destination,
}) => {
  const digests = await prepare(database.query);
  const run = destination.start(
    ...["sync", database.url, destination.root],
    ...options,
  );
  let ended = 0;
  while (ended < 3 && !run.isOver()) {
    const before = countDurable(destination);
    await waitFor(
      "a checkpoint",
      () => run.isOver() || countDurable(destination) > before,
    );
    const rows = await database.query(
      `SELECT pg_terminate_backend(pid) FROM pg_stat_activity
       WHERE datname = current_database() AND pid <> pg_backend_pid() AND state = 'active'
         AND (query LIKE '%"lines"%' OR query LIKE '%"visits"%')`,
    );
    ended += rows.length;
  }
  const { code, stderr, summary } = await run.ended;
  expect(code, stderr).toBe(0);
  expect(ended).toBeGreaterThan(0);
  expect(summary?.epoch).toBe(1);
  expect(summary?.snapshots).toBe(1);
  expect(listWarnings(run).join("\n")).toContain("is read again");
  await expectComplete(destination, digests, `${ended} connections ended`);
});

/** On a connection of its own, which does not outlive the question. */
function askAt(url: string): PostgresFixture["query"] {
  return async (sql) => {
    const client = new pg.Client({ connectionString: url });
    await client.connect();
    try {
      const result = await client.query(sql);
      return (Array.isArray(result) ? [] : result.rows) as never;
    } finally {
      await client.end();
    }
  };
}

test("a server that stops ends the run as worth retrying; once it is back, a resume brings the rest", async ({
  destination,
}) => {
  const dataFolder = mkdtempSync(join(tmpdir(), "millrace-pg-"));
  const start = (port: number | null): Promise<Cluster> =>
    startCluster({
      binFolder: findPrograms(null).binFolder,
      dataFolder,
      settings: ["fsync=off", "shared_buffers=64MB"],
      temporary: false,
      port,
    });
  let cluster: Cluster | null = null;
  try {
    cluster = await start(null);
    const { port, url } = cluster;
    const digests = await prepare(askAt(url));
    const run = destination.start(
      ...["sync", url, destination.root, "--attempts", "1"],
      ...options,
    );
    await waitFor(
      "checkpoints",
      () => countDurable(destination) > 2 || run.isOver(),
    );
    await cluster.stop();
    cluster = null;
    const { code, summary, stderr } = await run.ended;
    expect(code, stderr).toBe(3);
    expect(summary?.state).toBe("failed");
    const away = await destination.run(
      "resume",
      destination.root,
      ...["--attempts", "1"],
    );
    expect(away.code, away.stderr).toBe(3);
    // the keeper of the first call may still be there to be taken over, and be the first to notice
    expect(["SOURCE_UNREACHABLE", "SOURCE_SNAPSHOT_LOST"]).toContain(
      away.summary?.error?.code,
    );
    cluster = await start(port);
    // a keeper that has not noticed yet costs one attempt
    const last = await destination.run(
      "resume",
      destination.root,
      ...["--attempts", "3"],
    );
    expect(last.code, last.stderr).toBe(0);
    expect(last.summary?.snapshots).toBe(2);
    await expectComplete(destination, digests, "the server was away");
  } finally {
    await cluster?.stop();
    rmSync(dataFolder, { recursive: true, force: true });
  }
});
