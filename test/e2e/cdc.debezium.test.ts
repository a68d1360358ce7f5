/** A snapshot, and the log from there on: the change log replays to the table. */
import { setTimeout as sleep } from "node:timers/promises";
import { describe, expect, inject } from "vitest";
import { withDatabase } from "../fixtures/postgres.ts";
import { signal, waitFor } from "./support/command.ts";
import {
  dropSlots,
  expectSame,
  options,
  test,
} from "./support/log-fixtures.ts";
import { replayFiles } from "./support/log-replay.ts";
import {
  accounts,
  createLoggedTables,
  lines,
  LogWorkload,
  plain,
  readSource,
  visits,
} from "./support/log-workload.ts";

describe("a sync that follows the log", () => {
  test("copies the table once, and from then on its changes", async ({
    source,
    destination,
  }) => {
    await createLoggedTables(source, 500);
    const first = await destination.run(
      ...["sync", source.url, destination.root, ...options],
    );
    expect(first.code, first.stderr).toBe(0);
    const workload = await LogWorkload.start(source.url, 1);
    await sleep(500);
    await workload.addColumn(source.query);
    await sleep(300);
    await workload.end();
    // others write into the same log from here on
    const [end] = await source.query<{ lsn: string }>(
      "SELECT pg_current_wal_lsn()::text AS lsn",
    );
    const second = await destination.run(
      ...["sync", source.url, destination.root, ...options],
    );
    expect(second.code, second.stderr).toBe(0);
    expect(second.summary?.streams.map(({ rung }) => rung)).toEqual([
      "log",
      "log",
      "log",
    ]);
    await expectSame(
      source,
      destination,
      [accounts, workload.linesNow, visits],
      "undisturbed",
      true,
    );
    const [slot] = await source.query<{ kept: string }>(
      `SELECT pg_wal_lsn_diff('${end?.lsn}', confirmed_flush_lsn)::text AS kept FROM pg_replication_slots WHERE database = current_database()`,
    );
    // what is durable is not kept at the source
    expect(Number(slot?.kept)).toBeLessThan(1_000_000);
  });

  test("goes on until it is stopped, and shows what it has followed meanwhile", async ({
    source,
    destination,
  }) => {
    await createLoggedTables(source, 200);
    await source.query("DELETE FROM lines");
    const running = destination.start(
      ...["sync", source.url, destination.root],
      ...["--mode", "continuous", "--checkpoint-every", "200ms"],
    );
    const shows = async (id: number) => {
      const rows = await replayFiles(destination.root, visits, {
        isOneSnapshot: true,
      }).catch((): string[] => []);
      return rows.includes(JSON.stringify([String(id), "/marked"]));
    };
    for (const id of [-1, -2]) {
      await source.query(`INSERT INTO visits VALUES (${id}, '/marked')`);
      await waitFor(`row ${id} in the files`, () => shows(id));
    }
    // nothing is held at the source that its users would wait for; whoever asks after the log has it for a moment
    await waitFor("a source that nobody holds", async () => {
      const [held] = await source.query<{ count: number }>(
        "SELECT count(*)::int AS count FROM pg_stat_activity WHERE datname = current_database() AND backend_xmin IS NOT NULL AND backend_type = 'client backend' AND pid <> pg_backend_pid()",
      );
      return held?.count === 0;
    });
    await expectSame(source, destination, [lines], "empty until now", true);
    await source.query(
      "TRUNCATE visits; INSERT INTO lines VALUES (1, 'one', 'more')",
    );
    signal(running.pid, "SIGTERM");
    const { code, stderr, summary } = await running.ended;
    expect(code, stderr).toBe(0);
    expect(summary?.state).toBe("succeeded");
    const last = await destination.run(
      ...["sync", source.url, destination.root, ...options],
    );
    expect(last.code, last.stderr).toBe(0);
    await expectSame(
      source,
      destination,
      [accounts, lines, visits],
      "continuous",
      true,
    );
  });

  test("keeps a copy in Postgres", async ({ source, destination }) => {
    await withDatabase(inject("postgresUrl") ?? "", async (copy) => {
      const sync = [
        ...["sync", source.url, copy.url, ...options],
        ...["--ledger", destination.ledgerPath],
      ];
      await createLoggedTables(source, 500);
      const workload = await LogWorkload.start(source.url, 3);
      const first = await destination.run(...sync);
      expect(first.code, first.stderr).toBe(0);
      await sleep(300);
      await workload.end();
      const second = await destination.run(...sync);
      expect(second.code, second.stderr).toBe(0);
      for (const table of [accounts, workload.linesNow, visits])
        expect(await readSource(copy, table), table.name).toEqual(
          await readSource(source, table),
        );
    });
  });

  test("copies a table that has come later, and goes on with the others", async ({
    source,
    destination,
  }) => {
    await createLoggedTables(source, 200);
    const sync = ["sync", source.url, destination.root, ...options];
    const first = await destination.run(...sync, "--exclude", "visits");
    expect(first.code, first.stderr).toBe(0);
    const workload = await LogWorkload.start(source.url, 5);
    await sleep(300);
    const second = await destination.run(...sync);
    expect(second.code, second.stderr).toBe(0);
    const rungs = second.summary?.streams.map(({ name, rung }) => [
      name,
      rung === "log",
    ]);
    expect(Object.fromEntries(rungs ?? [])).toEqual({
      accounts: true,
      lines: true,
      visits: false,
    });
    await sleep(300);
    await workload.end();
    const third = await destination.run(...sync);
    expect(third.code, third.stderr).toBe(0);
    await expectSame(
      source,
      destination,
      [accounts, workload.linesNow, visits],
      "a table more",
      true,
    );
  });

  test("copies a table again that has got a column with values, and none that has got one without", async ({
    source,
    destination,
  }) => {
    await createLoggedTables(source, 200);
    // the log does not tell of it, so no reader is shown half of it
    await source.query(
      "ALTER TABLE visits ADD COLUMN doubled bigint GENERATED ALWAYS AS (id * 2) STORED",
    );
    const sync = ["sync", source.url, destination.root, ...options];
    const first = await destination.run(...sync);
    expect(first.code, first.stderr).toBe(0);
    await source.query(`
      ALTER TABLE lines ADD COLUMN rank int DEFAULT 7;
      INSERT INTO lines (account, line) VALUES (-1, 'with a rank');
      ALTER TABLE accounts ADD COLUMN empty int;
      INSERT INTO accounts (id, empty) VALUES (-1, 1);
      INSERT INTO visits (id) VALUES (-1)`);
    const second = destination.start(...sync);
    const { code, stderr, summary } = await second.ended;
    expect(code, stderr).toBe(0);
    const isOnlyLog = summary?.streams.map(({ name, rung }) => [
      name,
      rung === "log",
    ]);
    expect(Object.fromEntries(isOnlyLog ?? [])).toEqual({
      accounts: true,
      lines: false,
      visits: true,
    });
    await expectSame(
      source,
      destination,
      [
        { ...accounts, columns: [...accounts.columns, plain("empty")] },
        { ...lines, columns: [...lines.columns, plain("rank")] },
        visits,
      ],
      "a column with values",
      true,
    );
  });

  test("goes on with a run that was killed before its table got a column, and then with the column", async ({
    source,
    destination,
  }) => {
    await createLoggedTables(source, 200);
    await source.query("DELETE FROM lines");
    const running = destination.start(
      ...["sync", source.url, destination.root],
      ...["--mode", "continuous", "--checkpoint-every", "200ms"],
    );
    await source.query("INSERT INTO lines VALUES (-1, 'before', '')");
    // all of the table is copied by then
    await waitFor("the row in the files", async () => {
      const rows = await replayFiles(destination.root, lines, {
        isOneSnapshot: true,
      }).catch((): string[] => []);
      return rows.includes(JSON.stringify(["-1", "before", ""]));
    });
    await source.query("UPDATE lines SET words = 'later' WHERE account = -1");
    signal(running.pid, "SIGKILL");
    await running.ended;
    await source.query(`
      ALTER TABLE lines ADD COLUMN extra_1 int;
      INSERT INTO lines VALUES (-1, 'behind', '', 1)`);
    const next = destination.start(
      ...["sync", source.url, destination.root, ...options],
    );
    const { code, stderr } = await next.ended;
    expect(code, stderr).toBe(0);
    const ends = next.events.flatMap((event) =>
      event.type === "run.finished" ? [event.summary.isCut ?? false] : [],
    );
    expect(ends).toEqual([true, false]);
    const extra = plain("extra_1");
    await expectSame(
      source,
      destination,
      [accounts, { ...lines, columns: [...lines.columns, extra] }, visits],
      "killed before a column",
      true,
    );
  });

  test("stops by name where the log is gone, and begins anew when it is told to", async ({
    source,
    destination,
  }) => {
    await createLoggedTables(source, 100);
    const sync = ["sync", source.url, destination.root, ...options];
    expect((await destination.run(...sync)).code).toBe(0);
    await source.query("INSERT INTO visits VALUES (-7, '/lost')");
    await dropSlots(source);
    const refused = await destination.run(...sync);
    expect(refused.summary?.error?.code).toBe("SOURCE_POSITION_EXPIRED");
    // one of the same name that somebody has made again is not taken for it
    const [slot] = await source.query<{ name: string }>(
      "SELECT pubname AS name FROM pg_publication",
    );
    await source.query(
      `SELECT pg_create_logical_replication_slot('${slot?.name}', 'pgoutput')`,
    );
    const ahead = await destination.run(...sync);
    expect(ahead.summary?.error?.code).toBe("SOURCE_POSITION_EXPIRED");
    const anew = await destination.run(...sync, "--resync");
    expect(anew.code, anew.stderr).toBe(0);
    await expectSame(
      source,
      destination,
      [accounts, lines, visits],
      "resync",
      true,
    );
  });

  test("goes on without a table that cannot be copied, and copies it once it can be", async ({
    source,
    destination,
  }) => {
    await createLoggedTables(source, 100);
    await source.query(
      "CREATE TABLE bad (id int PRIMARY KEY, d date); INSERT INTO bad VALUES (1, 'infinity')",
    );
    await withDatabase(inject("postgresUrl") ?? "", async (copy) => {
      const sync = [
        ...["sync", source.url, copy.url],
        ...["--ledger", destination.ledgerPath, "--checkpoint-every", "200ms"],
      ];
      const running = destination.start(...sync, "--mode", "continuous");
      for (const id of [-1, -2]) {
        await source.query(
          `INSERT INTO visits VALUES (${id}, '/marked'); INSERT INTO bad VALUES (${id}, now())`,
        );
        await waitFor(`row ${id} in the copy`, async () => {
          if (running.isOver()) throw new Error(running.stderr());
          return copy.query(`SELECT FROM public.visits WHERE id = ${id}`).then(
            (rows) => rows.length === 1,
            () => false,
          );
        });
      }
      signal(running.pid, "SIGTERM");
      const { summary } = await running.ended;
      expect(summary?.state).toBe("partlyFailed");
      await source.query("UPDATE bad SET d = '2026-01-31' WHERE id = 1");
      const { code, stderr } = await destination.run(...sync, "--mode", "cdc");
      expect(code, stderr).toBe(0);
      const bad = {
        ...visits,
        name: "bad",
        columns: [plain("id"), plain("d")],
      };
      for (const table of [accounts, lines, visits, bad])
        expect(await readSource(copy, table), table.name).toEqual(
          await readSource(source, table),
        );
    });
  });

  test.for([
    {
      name: "a table whose rows the log could not tell apart",
      sql: "CREATE TABLE nameless (v int)",
      says: "public.nameless",
    },
    {
      name: "a database without tables",
      sql: "CREATE VIEW shown AS SELECT 1 AS one",
      says: "no table",
    },
  ])(
    "refuses $name before anything starts",
    async (refused, { source, destination }) => {
      const { sql, says } = refused;
      await source.query(sql);
      const { code, stderr } = await destination.run(
        ...["sync", source.url, destination.root, "--mode", "cdc"],
      );
      expect(code).toBe(2);
      expect(stderr).toContain(says);
      const slots = await source.query(
        "SELECT FROM pg_replication_slots WHERE database = current_database()",
      );
      expect(slots).toEqual([]);
    },
  );
});
