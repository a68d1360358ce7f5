/** A snapshot, and the binlog from there on: the change log replays to the table, and a copy is the table. */
import { setTimeout as sleep } from "node:timers/promises";
import { beforeEach, describe, expect, inject } from "vitest";
import "../services/debezium.setup.ts";
import {
  flavours,
  testOn,
  type MysqlFixture,
  type MysqlFlavour,
} from "../fixtures/mysql.ts";
import { withDatabase } from "../fixtures/postgres.ts";
import {
  binlogDialect,
  createBinlogTables,
  listBinlogTables,
  readBinlogSource,
} from "./support/binlog-workload.ts";
import {
  type Destination,
  type Ended,
  signal,
  useDestination,
  waitFor,
} from "./support/command.ts";
import { options } from "./support/log-fixtures.ts";
import { replayFiles } from "./support/log-replay.ts";
import {
  lines,
  LogWorkload,
  plain,
  readSource,
  type ComparedTable,
} from "./support/log-workload.ts";

beforeEach(({ skip }) => {
  const { programs, reason } = inject("debezium");
  if (programs === null) skip(reason);
});

async function expectSame(
  server: MysqlFixture,
  destination: Destination,
  tables: readonly ComparedTable[],
): Promise<void> {
  for (const table of tables)
    expect(
      await replayFiles(destination.root, table, { isOneSnapshot: false }),
      table.name,
    ).toEqual(await readBinlogSource(server, table));
}

/** Of each table, whether only its changes were read. */
const rungsOf = ({ summary }: Ended): Record<string, boolean> =>
  Object.fromEntries(
    (summary?.streams ?? []).map(({ name, rung }) => [name, rung === "log"]),
  );

/** With the name that a column has got. */
const listRenamed = (server: MysqlFixture, linesNow: ComparedTable) =>
  listBinlogTables(server, linesNow).map((table) =>
    table.name === "visits"
      ? { ...table, columns: [plain("id"), plain("path")] }
      : table,
  );

/** Numbers enough to fill two bytes with a bit each, and a YEAR, which not every server counts among them. */
const numbers = Array.from({ length: 15 }, (_, i) => `n${i + 1}`);
const readings: ComparedTable = {
  name: "readings",
  key: ["id"],
  columns: ["id", "taken", "n1", "n15"].map(plain),
};

/** On both servers in the full tests; else on the one that is more likely to get it wrong, or on none: each start is one of a JVM. */
const isEverywhere = Boolean(process.env["MILLRACE_TEST_FULL"]);

describe.each(flavours)("%s: a sync that follows the binlog", (flavour) => {
  const test = testOn(flavour).extend<{ destination: Destination }>({
    destination: useDestination,
  });
  const on = (whose: MysqlFlavour | null) =>
    test.runIf(isEverywhere || flavour === whose);

  on("mysql")(
    "copies the tables once, one that comes later by itself, and from then on their changes",
    async ({ server, destination }) => {
      await createBinlogTables(server, 600);
      await server.query(
        `CREATE TABLE readings (id int PRIMARY KEY, taken year, ${numbers.map((name) => `${name} int unsigned`).join(", ")})`,
      );
      const sync = ["sync", server.url, destination.root, ...options];
      const workload = await LogWorkload.start(server.url, 1, binlogDialect);
      const first = await destination.run(...sync, "--exclude", "visits");
      expect(first.code, first.stderr).toBe(0);
      await workload.addColumn((sql) => server.query(sql));
      await server.query(
        "INSERT INTO readings (id, taken, n15) VALUES (1, 1999, 4294967295), (2, NULL, 0), (3, 2155, NULL); UPDATE readings SET n1 = 7 WHERE id = 1; DELETE FROM readings WHERE id = 3",
      );
      await sleep(300);
      // the others go on to where it is copied, under what they are there
      const second = await destination.run(...sync);
      expect(second.code, second.stderr).toBe(0);
      expect(rungsOf(second)).toEqual({
        accounts: true,
        lines: true,
        readings: true,
        visits: false,
      });
      await workload.addColumn((sql) => server.query(sql));
      await sleep(300);
      await workload.end();
      // which of its values are meant the log does not say: it is copied again, under its new name
      await server.query(
        "UPDATE visits SET page = '/before' WHERE id % 5 = 0; ALTER TABLE visits CHANGE page path text; UPDATE visits SET path = '/behind' WHERE id % 7 = 0",
      );
      const third = await destination.run(...sync);
      expect(third.code, third.stderr).toBe(0);
      expect(rungsOf(third)).toEqual(rungsOf(second));
      await server.query("UPDATE visits SET path = '/last' WHERE id % 3 = 0");
      const fourth = await destination.run(...sync);
      expect(fourth.code, fourth.stderr).toBe(0);
      expect(new Set(Object.values(rungsOf(fourth)))).toEqual(new Set([true]));
      await expectSame(server, destination, [
        ...listRenamed(server, workload.linesNow),
        { ...readings, namespace: server.database },
      ]);
    },
  );

  on(null)(
    "goes on to where it has begun to copy a table more, whatever has become of the processes",
    async ({ server, destination }) => {
      await createBinlogTables(server, 100);
      const sync = ["sync", server.url, destination.root, ...options];
      const first = await destination.run(...sync, "--exclude", "visits");
      expect(first.code, first.stderr).toBe(0);
      const values = Array.from({ length: 5_000 }, (_, i) => `(-${i}, '/far')`);
      await server.query(`INSERT INTO visits VALUES ${values.join(", ")}`);
      const killed = destination.start(...sync);
      await waitFor("the plan of the table", () =>
        killed.events.some(
          (event) =>
            event.type === "stream.planned" && event.stream.name === "visits",
        ),
      );
      signal(killed.pid, "SIGKILL");
      await killed.ended;
      // of both, behind the place at which the copy was begun
      await server.query(
        "UPDATE visits SET page = '/moved' WHERE id < -4000; DELETE FROM visits WHERE id > -1000; UPDATE accounts SET note = 'later' WHERE id < 50",
      );
      const resumed = await destination.run(...sync);
      expect(resumed.code, resumed.stderr).toBe(0);
      const last = await destination.run(...sync);
      expect(last.code, last.stderr).toBe(0);
      await expectSame(server, destination, listBinlogTables(server, lines));
    },
  );

  on("mariadb")(
    "goes on until it is stopped, and keeps a copy in Postgres meanwhile",
    async ({ server, destination }) => {
      await withDatabase(inject("postgresUrl") ?? "", async (copy) => {
        await createBinlogTables(server, 200);
        const running = destination.start(
          ...["sync", server.url, copy.url, "--ledger", destination.ledgerPath],
          ...["--mode", "continuous", "--checkpoint-every", "200ms"],
        );
        const shows = (id: number) =>
          copy
            .query(`SELECT FROM "${server.database}".visits WHERE id = ${id}`)
            .then(
              (rows) => rows.length === 1,
              () => false,
            );
        for (const id of [-1, -2]) {
          await server.query(`INSERT INTO visits VALUES (${id}, '/marked')`);
          await waitFor(`row ${id} in the copy`, () => shows(id));
        }
        // nobody is kept from changing the tables themselves
        await server.query("TRUNCATE visits");
        await server.query("ALTER TABLE `lines` ADD COLUMN extra_1 int");
        await server.query(
          "INSERT INTO `lines` (account, line, extra_1) VALUES (-1, 'with it', 1); INSERT INTO visits VALUES (-3, '/marked')",
        );
        await waitFor("the row behind the alteration", () => shows(-3));
        // which value is meant the log does not say: it is copied again, under its new name
        await server.query(
          "UPDATE visits SET page = '/before' WHERE id = -3; ALTER TABLE visits CHANGE page path text; INSERT INTO visits VALUES (-4, '/marked')",
        );
        await waitFor("the row behind the renaming", () => shows(-4));
        signal(running.pid, "SIGTERM");
        const { code, stderr, summary } = await running.ended;
        expect(code, stderr).toBe(0);
        expect(summary?.state).toBe("succeeded");
        const extra = { ...lines.columns[0]!, name: "extra_1" };
        const linesNow = {
          ...lines,
          columns: [
            ...lines.columns,
            { ...extra, pg: '"extra_1"::text', duckdb: "" },
          ],
        };
        for (const table of listRenamed(server, linesNow))
          expect(await readSource(copy, table), table.name).toEqual(
            await readBinlogSource(server, table),
          );
      });
    },
  );

  on("mariadb")(
    "follows columns that go and grow, and stops by name where rows come or go without a word",
    async ({ server, destination }) => {
      await server.query(
        "CREATE TABLE kept (id int PRIMARY KEY, v int, w varchar(10), twice int AS (id * 2) STORED, thrice int AS (id * 3) VIRTUAL, gone int)",
      );
      await server.query(
        "CREATE TABLE other (id int PRIMARY KEY); INSERT INTO other VALUES (1)",
      );
      await server.query(
        "INSERT INTO kept (id, v, w, gone) VALUES (1, 10, 'a', 1)",
      );
      const sync = ["sync", server.url, destination.root, ...options];
      const first = await destination.run(...sync);
      expect(first.code, first.stderr).toBe(0);
      await server.query(
        "INSERT INTO kept (id, v, w, gone) VALUES (2, 20, 'b', 2)",
      );
      await server.query(
        "ALTER TABLE kept DROP COLUMN gone, MODIFY v bigint, MODIFY w varchar(40)",
      );
      await server.query(
        `INSERT INTO kept (id, v, w) VALUES (3, 3000000000, '${"w".repeat(30)}'); UPDATE kept SET w = 'c' WHERE id = 1`,
      );
      // the log ends with what nobody follows, the reader does not know, and MariaDB ends no transaction behind
      const elsewhere = `${server.database}_elsewhere`;
      await server.query(
        `CREATE DATABASE ${elsewhere}; CREATE TABLE ${elsewhere}.peers (id int PRIMARY KEY, peer inet6); DROP DATABASE ${elsewhere}`,
      );
      const second = await destination.run(...sync);
      expect(second.code, second.stderr).toBe(0);
      const kept: ComparedTable = {
        namespace: server.database,
        name: "kept",
        key: ["id"],
        columns: ["id", "v", "w", "twice", "thrice"].map((name) => ({
          name,
          pg: "",
          duckdb: `"${name}"::varchar`,
        })),
      };
      await expectSame(server, destination, [kept]);
      await server.query("CREATE TABLE fresh LIKE kept; DROP TABLE kept");
      await server.query("RENAME TABLE fresh TO kept");
      const third = await destination.run(...sync);
      expect(third.summary?.error?.code).toBe("SOURCE_SCHEMA_CHANGED");
      expect(third.stderr).toContain(`${server.database}.kept`);
      const anew = await destination.run(...sync, "--resync");
      expect(anew.code, anew.stderr).toBe(0);
      await expectSame(server, destination, [kept]);
    },
  );

  on(null)(
    "follows the log for a user who may lock nothing",
    async ({ server, destination }) => {
      await createBinlogTables(server, 300);
      const user = await server.createUser([
        `SELECT ON ${server.database}.*`,
        "REPLICATION SLAVE, REPLICATION CLIENT ON *.*",
      ]);
      const sync = ["sync", user.url, destination.root, ...options];
      const workload = await LogWorkload.start(server.url, 7, binlogDialect);
      const first = await destination.run(...sync);
      expect(first.code, first.stderr).toBe(0);
      await workload.end();
      const second = await destination.run(...sync);
      expect(second.code, second.stderr).toBe(0);
      await expectSame(
        server,
        destination,
        listBinlogTables(server, workload.linesNow),
      );
    },
  );
});
