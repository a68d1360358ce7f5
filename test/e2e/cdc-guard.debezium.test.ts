/** What is done about a log that its source keeps too much of, or keeps no more. */
import { mkdtempSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import pg from "pg";
import { describe, expect, inject } from "vitest";
import type { RunEvent } from "../../daemon/request.ts";
import { signal, waitFor, type Running } from "./support/command.ts";
import { findEngine } from "./support/engine-process.ts";
import { startGatedProxy } from "./support/gated-proxy.ts";
import { startCluster } from "../../deploy/demo/cluster.ts";
import { withMysqlDatabase } from "../fixtures/mysql.ts";
import { withDatabase, type PostgresFixture } from "../fixtures/postgres.ts";
import { startMysql } from "../services/mysql.ts";
import { findPrograms } from "../services/postgres.ts";
import {
  dropSlots,
  expectSame,
  options,
  test as base,
} from "./support/log-fixtures.ts";
import {
  accounts,
  createLoggedTables,
  lines,
  plain,
  visits,
  type ComparedTable,
} from "./support/log-workload.ts";

/** A database alone on its server: what others write into their log is kept for our slot as well. */
const test = base.extend<{ quiet: PostgresFixture }>({
  // eslint-disable-next-line no-empty-pattern
  quiet: async ({}, use) => {
    const cluster = await startCluster({
      binFolder: findPrograms(null).binFolder,
      dataFolder: mkdtempSync(join(tmpdir(), "millrace-quiet-")),
      temporary: true,
      settings: [
        ...["fsync=off", "full_page_writes=off", "wal_level=logical"],
        "autovacuum=off",
      ],
    });
    try {
      await withDatabase(cluster.url, async (database) => {
        try {
          await use(database);
        } finally {
          await dropSlots(database);
        }
      });
    } finally {
      await cluster.stop();
    }
  },
});

const bulk: ComparedTable = {
  name: "bulk",
  key: ["id"],
  columns: [
    plain("id"),
    { name: "words", pg: "md5(words)", duckdb: "md5(words)" },
  ],
};
const all = [accounts, lines, visits, bulk];
const MEBIBYTE = 1024 * 1024;

const logEvents = ({ events }: Pick<Running, "events">) =>
  events.filter(
    (event): event is Extract<RunEvent, { type: "log.event" }> =>
      event.type === "log.event",
  );
const kindsOf = (running: Pick<Running, "events">) =>
  logEvents(running).map(({ kind }) => kind);
const hasStepped = (running: Running, words: string) =>
  logEvents(running).some(
    ({ kind, message }) => kind === "log.step" && message.includes(words),
  );
const isFollowing = ({ events }: Running) =>
  events.some((event) => event.type === "log.progress" && event.figures);

describe("the log that a source keeps for a sync", () => {
  test("is told of, hurried, given the machine, given up; and the next run copies every table again", async ({
    quiet: source,
    destination,
  }) => {
    await createLoggedTables(source, 300);
    await source.query(`
      CREATE TABLE bulk (id int PRIMARY KEY, words text);
      INSERT INTO bulk SELECT i, repeat(md5(i::text), 50) FROM generate_series(1, ${BULK_ROWS}) AS i`);
    const proxy = await startGatedProxy(source.url, MEBIBYTE);
    try {
      const running = destination.start(
        ...["sync", proxy.url, destination.root],
        ...["--mode", "continuous", "--checkpoint-every", "200ms"],
        ...["--partition-by", "key", "--partition-size", "1MiB"],
        ...["--readers", "2", "--channels", "2"],
        ...["--log-budget", "16MiB", "--log-patience", "1s"],
      );
      await waitFor("the log to be followed", () => isFollowing(running));
      await holdLog(source, async () => {
        for (const [step, words] of Object.entries(steps))
          await growUntil(
            ...[source, (shares[step] ?? 0) * BUDGET_MEBIBYTES, running],
            ...[`the step ${step}`, () => hasStepped(running, words)],
          );
        proxy.open();
        await expectPause(source, running);
      });
      // a place further on is told of with the next record of what is under way
      await waitFor("all to be as usual", async () => {
        await source.query("CHECKPOINT; INSERT INTO visits VALUES (-4, '/x')");
        await source.query("DELETE FROM visits WHERE id = -4");
        return hasStepped(running, "all is as usual again");
      });
      await waitFor("the snapshot", () => bulkOf(running) === BULK_ROWS);
      await holdLog(source, () =>
        growUntil(
          ...[source, BUDGET_MEBIBYTES, running],
          ...["its end", () => running.isOver()],
        ),
      );
      const { code, summary } = await running.ended;
      expect(summary?.error).toMatchObject({ code: "LOG_GIVEN_UP" });
      expect(code).toBe(3);
      expect(kindsOf(running).at(-1)).toBe("log.givenUp");
      const slots = await source.query(
        "SELECT FROM pg_replication_slots WHERE database = current_database()",
      );
      expect(slots).toEqual([]);
      await source.query("INSERT INTO visits VALUES (-2, '/meanwhile')");
      const anew = destination.start(
        ...["sync", proxy.url, destination.root, ...options],
      );
      const last = await anew.ended;
      expect(last.code, last.stderr).toBe(0);
      expect(logEvents(anew)[0]).toMatchObject({ kind: "log.resync" });
      expect(logEvents(anew)[0]?.message).toContain("it is given up");
    } finally {
      await proxy.close();
    }
    await expectSame(source, destination, all, "given up", true);
    const told = destination.look((ledger) =>
      ledger
        .listRuns({ limit: 2 })
        .flatMap(({ runId }) => ledger.eventsOf(runId))
        .map(({ kind }) => kind),
    );
    expect(told).toEqual(
      expect.arrayContaining(["log.step", "log.givenUp", "log.resync"]),
    );
  });

  test("is a binlog: how far the sync is behind is told, and one that is begun anew ends the run by name", async ({
    destination,
    skip,
  }) => {
    const { url, reason } = inject("mariadbServer");
    if (url === null) return skip(reason);
    // what is done to a binlog is done to all that read it
    const service = await startMysql({ flavour: "mariadb" });
    try {
      await withMysqlDatabase("mariadb", service.url, async (server) => {
        await server.query(
          "CREATE TABLE t (id int PRIMARY KEY, words longtext)",
        );
        const running = destination.start(
          ...["sync", server.url, destination.root],
          ...["--mode", "continuous", "--checkpoint-every", "200ms"],
          ...["--log-budget", `${BUDGET_MEBIBYTES}MiB`],
        );
        await waitFor("the log to be followed", () => isFollowing(running));
        const engine = await waitFor("the engine", () =>
          findEngine(running.find("source")),
        );
        signal(engine, "SIGSTOP");
        let id = 0;
        for (const [step, words] of Object.entries(steps)) {
          const share = shares[step] ?? 0;
          const written = BUDGET_MEBIBYTES * share * MEBIBYTE;
          while (id * MEBIBYTE < written)
            await server.query(
              `INSERT INTO t VALUES (${id++}, repeat('x', ${MEBIBYTE}))`,
            );
          await waitFor(`the step ${step}`, () => {
            if (running.isOver()) throw new Error(running.stderr());
            return hasStepped(running, words);
          });
        }
        await server.query("RESET MASTER");
        const { summary, code } = await running.ended;
        expect(summary?.error).toMatchObject({
          code: "SOURCE_POSITION_EXPIRED",
        });
        expect(code).toBe(1);
      });
    } finally {
      await service.stop();
    }
  });

  test.for([
    { name: "removed", isMadeAgain: false },
    { name: "made again by somebody else", isMadeAgain: true },
  ])(
    "ends a run by name when it is $name under it",
    async ({ isMadeAgain }, { source, destination }) => {
      await createLoggedTables(source, 100);
      const running = destination.start(
        ...["sync", source.url, destination.root],
        ...["--mode", "continuous", "--checkpoint-every", "200ms"],
      );
      await waitFor("the log to be followed", () => isFollowing(running));
      // one statement: nobody takes the slot in between
      await source.query(`DO $$
        DECLARE slot record;
        BEGIN
          SELECT slot_name, active_pid INTO slot FROM pg_replication_slots WHERE database = current_database();
          PERFORM pg_terminate_backend(slot.active_pid, 5000);
          PERFORM pg_drop_replication_slot(slot.slot_name);
        END $$`);
      if (isMadeAgain)
        await source.query(
          "SELECT pg_create_logical_replication_slot(pubname, 'pgoutput') FROM pg_publication",
        );
      await source.query("INSERT INTO visits VALUES (-3, '/lost')");
      const { summary, code } = await running.ended;
      expect(summary?.error).toMatchObject({
        code: "SOURCE_POSITION_EXPIRED",
      });
      expect(code).toBe(1);
    },
  );
});

/** The server keeps a little more than so much for the one slot that it has. */
async function growTo({ query }: PostgresFixture, mebibytes: number) {
  const [slot] = await query<{ kept: string }>(
    "SELECT pg_wal_lsn_diff(pg_current_wal_lsn(), restart_lsn)::text AS kept FROM pg_replication_slots",
  );
  const missing = Math.ceil(mebibytes * MEBIBYTE - Number(slot?.kept)) + 65_536;
  if (missing > 0)
    await query(
      `SELECT pg_logical_emit_message(true, 'filler', repeat('x', ${missing}))`,
    );
}

/** What the slot begins with may be given up at any time, so that it has less again than it had. */
function growUntil(
  source: PostgresFixture,
  mebibytes: number,
  running: Running,
  what: string,
  isThere: () => boolean,
): Promise<true> {
  return waitFor(what, async () => {
    if (isThere()) return true;
    if (running.isOver()) throw new Error(running.stderr());
    await growTo(source, mebibytes);
    return false;
  });
}

/** A transaction that stays open holds the log where it has begun. */
async function holdLog(
  source: PostgresFixture,
  work: () => Promise<unknown>,
): Promise<void> {
  const open = new pg.Client({ connectionString: source.url });
  await open.connect();
  try {
    await open.query("BEGIN; INSERT INTO visits VALUES (-1, '/open')");
    await work();
  } finally {
    await open.end();
  }
}

/** While the log goes on, nothing of the snapshot comes, though all of it could. */
async function expectPause(source: PostgresFixture, running: Running) {
  const seen: number[] = [];
  for (let id = -10; seen.at(-1) !== seen.at(-3) || seen.length < 3; id--) {
    const before = eventsOf(running);
    await source.query(`INSERT INTO visits VALUES (${id}, '/marked')`);
    await waitFor("the log to go on", () => eventsOf(running) > before);
    seen.push(bulkOf(running));
  }
  expect(seen.at(-1)).toBeLessThan(BULK_ROWS);
}

/** Changes of the log that are durable. */
const eventsOf = ({ events }: Running): number =>
  events.reduce(
    (most, event) =>
      event.type === "log.progress"
        ? Math.max(most, event.figures?.events ?? 0)
        : most,
    0,
  );

/** Rows of the large table that are durable. */
const bulkOf = ({ events }: Running): number =>
  events.reduce(
    (most, event) =>
      event.type === "stream.progress" && event.stream.name === "bulk"
        ? Math.max(most, event.rowsDurable)
        : most,
    0,
  );

const BULK_ROWS = 8_000;
const BUDGET_MEBIBYTES = 16;
const shares: Readonly<Record<string, number>> = {
  ...{ warn: 0.5, hurry: 0.7, pause: 0.85 },
};
const steps: Readonly<Record<string, string>> = {
  warn: "nothing is done about it yet",
  hurry: "checkpoints come faster",
  pause: "not read until the log is shorter",
};
