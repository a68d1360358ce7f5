import pgDriver from "pg";
import {
  CLOCK_SKEW_SECONDS,
  readCursorBounds,
  readOpenTransactions,
} from "../../../../connectors/sources/postgres/cursor.ts";
import type { CursorOptions } from "../../../../connectors/sources/cursor-window.ts";
import { HeldSnapshot } from "../../../../connectors/sources/postgres/snapshot.ts";
import { filterConditions } from "../../../../connectors/sources/postgres/sql.ts";
import { describe, discoverOne, expect, test } from "./session.ts";

const none = {
  oldestSeconds: 0,
  complete: true,
  measuredAt: "2025-01-01 00:00:00+00",
};
const options = (
  column: string,
  changes: Partial<CursorOptions> = {},
): CursorOptions => ({
  column,
  from: null,
  lagSeconds: null,
  openTransactions: none,
  where: null,
  ...changes,
});

describe("the window", () => {
  test.for([
    { type: "int", values: "(1), (30), (7)", to: "30", nextFrom: "30" },
    {
      type: "bigint",
      values: "(-9223372036854775808), (9223372036854775807)",
      to: "9223372036854775807",
      nextFrom: "9223372036854775807",
    },
    {
      type: "numeric",
      values: "(1.10), (0.000000000000000000001)",
      to: "1.10",
      nextFrom: "1.10",
    },
    { type: "text", values: "('b'), ('a')", to: "b", nextFrom: "b" },
    { type: "varchar(5)", values: "('b'), ('a')", to: "b", nextFrom: "b" },
    {
      type: "timestamp",
      values: "('2024-05-01 00:00:30.123456')",
      to: "2024-05-01 00:00:30.123456",
      nextFrom: "2024-04-30 23:59:30.123456",
    },
    {
      type: "timestamptz",
      values: "('2024-05-01 00:00:30.5+02')",
      to: "2024-04-30 22:00:30.5+00",
      nextFrom: "2024-04-30 21:59:30.5+00",
    },
    {
      type: "timestamp(3)",
      values: "('2024-05-01 00:00:30.123')",
      to: "2024-05-01 00:00:30.123",
      nextFrom: "2024-04-30 23:59:30.123",
    },
    {
      type: "date",
      values: "('2024-05-01'), ('2024-03-01')",
      to: "2024-05-01",
      nextFrom: "2024-04-29",
    },
  ])(
    "of $type ends at its exact highest value",
    async (
      { type, values, to, nextFrom },
      { pg, sessions: { connection } },
    ) => {
      await pg.query(
        `CREATE TABLE t (c ${type}); INSERT INTO t VALUES ${values}`,
      );
      const stream = await discoverOne(connection, "t");
      const bounds = await readCursorBounds(connection, stream, options("c"));
      expect(bounds).toMatchObject({ from: null, to, nextFrom, nullRows: 0 });
      // what was read goes back and selects all rows
      const { sql, params } = filterConditions(
        { where: null, cursor: bounds },
        1,
      );
      const [row] = await connection.query<{ all: boolean }>(
        `SELECT bool_and(${sql.join(" AND ")}) AS all FROM t`,
        params,
      );
      expect(row).toEqual({ all: true });
    },
  );

  test("is empty in an empty table, and keeps its place", async ({
    pg,
    sessions: { connection },
  }) => {
    await pg.query(
      "CREATE TABLE t (c timestamptz); INSERT INTO t VALUES (NULL)",
    );
    const stream = await discoverOne(connection, "t");
    const from = "2024-01-01 00:00:00+00";
    expect(
      await readCursorBounds(connection, stream, options("c", { from })),
    ).toMatchObject({ from, to: null, nextFrom: from, nullRows: 1 });
  });

  test("covers all leaves of a partitioned table and counts their NULLs", async ({
    pg,
    sessions: { connection },
  }) => {
    await pg.query(`
      CREATE TABLE t (id int, c date) PARTITION BY RANGE (id);
      CREATE TABLE t_1 PARTITION OF t FOR VALUES FROM (0) TO (10);
      CREATE TABLE t_2 PARTITION OF t DEFAULT;
      INSERT INTO t VALUES (1, '2024-01-01'), (20, '2024-02-02'), (2, NULL), (30, NULL), (31, NULL)`);
    const stream = await discoverOne(connection, "t");
    const where = "id < 31 -- the last";
    expect(
      await readCursorBounds(connection, stream, options("c")),
    ).toMatchObject({ to: "2024-02-02", nullRows: 3 });
    expect(
      await readCursorBounds(connection, stream, options("c", { where })),
    ).toMatchObject({ nullRows: 2 });
  });

  test("never moves back", async ({ pg, sessions: { connection } }) => {
    await pg.query(
      "CREATE TABLE t (c timestamptz); INSERT INTO t VALUES ('2024-01-01')",
    );
    const stream = await discoverOne(connection, "t");
    const from = "2024-03-01 00:00:00+00";
    const bounds = await readCursorBounds(
      connection,
      stream,
      options("c", { from }),
    );
    expect(bounds).toMatchObject({
      to: "2024-01-01 00:00:00+00",
      nextFrom: from,
    });
    expect(bounds.warnings).toEqual([expect.stringContaining("below")]);
  });
});

describe("the lag", () => {
  test("is the oldest open transaction's age and a minute, for times only", async ({
    pg,
    sessions: { connection },
  }) => {
    await pg.query(
      "CREATE TABLE t (i int, c timestamptz, d date); INSERT INTO t VALUES (5, '2024-01-01', '2024-01-10')",
    );
    const stream = await discoverOne(connection, "t");
    const openTransactions = { ...none, oldestSeconds: 3_540.2 };
    const read = (column: string, lagSeconds: number | null = null) =>
      readCursorBounds(
        connection,
        stream,
        options(column, { openTransactions, lagSeconds }),
      );
    expect(await read("c")).toMatchObject({
      lagSeconds: 3_541 + CLOCK_SKEW_SECONDS,
      nextFrom: "2023-12-31 22:59:59+00",
      warnings: [],
    });
    expect(await read("c", 10)).toMatchObject({
      lagSeconds: 10,
      nextFrom: "2023-12-31 23:59:50+00",
    });
    expect(await read("c", 0)).toMatchObject({
      nextFrom: "2024-01-01 00:00:00+00",
    });
    expect(await read("d", 86_401)).toMatchObject({ nextFrom: "2024-01-07" });
    expect(await read("i")).toMatchObject({
      lagSeconds: 0,
      warnings: [expect.stringContaining("change data capture")],
    });
    await expect(read("i", 10)).rejects.toMatchObject({ code: "USAGE" });
  });

  test("sees open and prepared transactions, as they were before the snapshot", async ({
    pg,
    sessions: { connection, config },
  }) => {
    const writer = new pgDriver.Client({ connectionString: pg.url });
    await writer.connect();
    await pg.query("CREATE TABLE t (c timestamptz)");
    await writer.query("BEGIN; SELECT now()");
    await pg.query("SELECT pg_sleep(0.2)");
    const open = await readOpenTransactions(connection);
    expect(open.complete).toBe(true);
    expect(open.oldestSeconds).toBeGreaterThan(0.2);
    const snapshot = await HeldSnapshot.open(config);
    await writer.query("COMMIT");
    expect(snapshot.openTransactions.oldestSeconds).toBeGreaterThan(0.2);
    await snapshot.close();
    await writer.end();
  });

  test("is told to be uncertain where other users' transactions are hidden", async ({
    pg,
    sessions: { connectAs, createRole },
  }) => {
    const role = await createRole();
    await pg.query(
      `CREATE TABLE t (c timestamptz); GRANT SELECT ON t TO ${role}`,
    );
    const reader = await connectAs(role);
    const stream = await discoverOne(reader, "t");
    const bounds = await readCursorBounds(
      reader,
      stream,
      options("c", { openTransactions: null }),
    );
    expect(bounds.warnings).toEqual([
      expect.stringContaining("pg_read_all_stats"),
    ]);
    await pg.query(`GRANT pg_read_all_stats TO ${role}`);
    const open = await readOpenTransactions(reader);
    expect(open.complete).toBe(true);
  });

  test("brings rows of a transaction that commits out of order", async ({
    pg,
    sessions: { connection, config },
  }) => {
    await pg.query("CREATE TABLE t (id int, c timestamptz NOT NULL)");
    const stream = await discoverOne(connection, "t");
    const late = new pgDriver.Client({ connectionString: pg.url });
    await late.connect();
    await late.query("BEGIN; INSERT INTO t VALUES (1, now())");
    await pg.query("SELECT pg_sleep(0.05)");
    await pg.query("INSERT INTO t VALUES (2, now())");

    const readRun = async (from: string | null) => {
      const snapshot = await HeldSnapshot.open(config);
      await connection.beginSnapshot(snapshot.ref);
      const { openTransactions } = snapshot;
      const bounds = await readCursorBounds(
        connection,
        stream,
        options("c", { from, openTransactions }),
      );
      const { sql, params } = filterConditions(
        { where: null, cursor: bounds },
        1,
      );
      const rows = await connection.query<{ id: number }>(
        `SELECT id FROM t WHERE ${sql.join(" AND ")} ORDER BY id`,
        params,
      );
      await connection.endSnapshot();
      await snapshot.close();
      return { bounds, ids: rows.map((row) => row.id) };
    };
    const first = await readRun(null);
    expect(first.ids).toEqual([2]);
    await late.query("COMMIT");
    await late.end();
    const second = await readRun(first.bounds.nextFrom);
    expect(second.ids).toEqual([1, 2]);
  });
});

describe("what cannot be a cursor", () => {
  test.for([
    "boolean",
    "json",
    "float8",
    "bytea",
    "interval",
    "time",
    "int[]",
    "uuid",
  ])("a column of type %s", async (type, { pg, sessions: { connection } }) => {
    await pg.query(`CREATE TABLE t (c ${type})`);
    const stream = await discoverOne(connection, "t");
    await expect(
      readCursorBounds(connection, stream, options("c")),
    ).rejects.toMatchObject({ code: "CURSOR_UNUSABLE" });
  });

  test("a column that is not there", async ({
    pg,
    sessions: { connection },
  }) => {
    await pg.query("CREATE TABLE t (updated_at timestamptz)");
    const stream = await discoverOne(connection, "t");
    await expect(
      readCursorBounds(connection, stream, options("update_at")),
    ).rejects.toMatchObject({
      code: "SOURCE_COLUMN_NOT_FOUND",
      details: { nearest: "updated_at" },
    });
  });

  test.for([
    { type: "timestamptz", value: "infinity" },
    { type: "date", value: "infinity" },
    { type: "numeric", value: "NaN" },
  ])(
    "a $type that has reached $value",
    async ({ type, value }, { pg, sessions: { connection } }) => {
      await pg.query(
        `CREATE TABLE t (c ${type}); INSERT INTO t VALUES ('${value}')`,
      );
      const stream = await discoverOne(connection, "t");
      await expect(
        readCursorBounds(connection, stream, options("c")),
      ).rejects.toMatchObject({ code: "CURSOR_UNUSABLE" });
    },
  );

  test("but a text of that word can", async ({
    pg,
    sessions: { connection },
  }) => {
    await pg.query(
      "CREATE TABLE t (c text); INSERT INTO t VALUES ('infinity')",
    );
    const stream = await discoverOne(connection, "t");
    expect(
      await readCursorBounds(connection, stream, options("c")),
    ).toMatchObject({ to: "infinity" });
  });

  test("and so can a domain over a timestamp, in a column with an odd name", async ({
    pg,
    sessions: { connection },
  }) => {
    await pg.query(`
      CREATE DOMAIN moment AS timestamp(0);
      CREATE TABLE t ("Updated ""at""" moment); INSERT INTO t VALUES ('2024-01-01')`);
    const stream = await discoverOne(connection, "t");
    expect(
      await readCursorBounds(connection, stream, options('Updated "at"')),
    ).toMatchObject({
      type: "timestamp(0) without time zone",
      to: "2024-01-01 00:00:00",
    });
  });
});
