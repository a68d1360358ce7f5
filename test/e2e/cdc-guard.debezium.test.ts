/** What is done about a log that its source keeps too much of, or keeps no more. */
import { mkdtempSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import pg from "pg";
import { describe, expect } from "vitest";
import type { RunEvent } from "../../daemon/request.ts";
import { waitFor, type Running } from "./support/command.ts";
import { startCluster } from "../../deploy/demo/cluster.ts";
import { withDatabase, type PostgresFixture } from "../fixtures/postgres.ts";
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
  visits,
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

const all = [accounts, lines, visits];
const MEBIBYTE = 1024 * 1024;

const logEvents = ({ events }: Pick<Running, "events">) =>
  events.filter(
    (event): event is Extract<RunEvent, { type: "log.event" }> =>
      event.type === "log.event",
  );
const kindsOf = (running: Pick<Running, "events">) =>
  logEvents(running).map(({ kind }) => kind);
const isFollowing = ({ events }: Running) =>
  events.some((event) => event.type === "log.progress" && event.figures);

describe("the log that a source keeps for a sync", () => {
  test("is told of, hurried, given the machine, given up; and the next run copies every table again", async ({
    quiet: source,
    destination,
  }) => {
    await createLoggedTables(source, 300);
    const running = destination.start(
      ...["sync", source.url, destination.root],
      ...["--mode", "continuous", "--checkpoint-every", "200ms"],
      ...["--log-budget", "16MiB", "--log-patience", "1s"],
    );
    await waitFor("the log to be followed", () => isFollowing(running));
    // a transaction that stays open holds the log where it has begun
    const open = new pg.Client({ connectionString: source.url });
    await open.connect();
    try {
      await open.query("BEGIN; INSERT INTO visits VALUES (-1, '/open')");
      for (const [step, words] of Object.entries(steps)) {
        await growTo(source, (shares[step] ?? 0) * BUDGET_MEBIBYTES);
        await waitFor(`the step ${step}`, () => {
          if (running.isOver()) throw new Error(running.stderr());
          return logEvents(running).some(
            ({ kind, message }) =>
              kind === "log.step" && message.includes(words),
          );
        });
      }
      await growTo(source, BUDGET_MEBIBYTES);
      const { code, summary } = await running.ended;
      expect(summary?.error?.code).toBe("LOG_GIVEN_UP");
      expect(code).toBe(3);
    } finally {
      await open.end();
    }
    expect(kindsOf(running).at(-1)).toBe("log.givenUp");
    const slots = await source.query(
      "SELECT FROM pg_replication_slots WHERE database = current_database()",
    );
    expect(slots).toEqual([]);
    await source.query("INSERT INTO visits VALUES (-2, '/meanwhile')");
    const anew = destination.start(
      ...["sync", source.url, destination.root, ...options],
    );
    const { code, stderr } = await anew.ended;
    expect(code, stderr).toBe(0);
    expect(logEvents(anew)[0]).toMatchObject({ kind: "log.resync" });
    expect(logEvents(anew)[0]?.message).toContain("it is given up");
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
      expect(summary?.error?.code).toBe("SOURCE_POSITION_EXPIRED");
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

const BUDGET_MEBIBYTES = 16;
const shares: Readonly<Record<string, number>> = {
  ...{ warn: 0.5, hurry: 0.7, pause: 0.85 },
};
const steps: Readonly<Record<string, string>> = {
  warn: "nothing is done about it yet",
  hurry: "checkpoints come faster",
  pause: "not read until the log is shorter",
};
