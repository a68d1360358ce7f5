import {
  CLOCK_SKEW_SECONDS,
  readCursorBounds,
  readOpenTransactions,
} from "../../../../connectors/sources/mysql/cursor.ts";
import type { CursorOptions } from "../../../../connectors/sources/cursor-window.ts";
import { readCursorWindow } from "../../../../connectors/sources/mysql/cursor-window.ts";
import {
  buildRepeatFilter,
  readMovedRows,
} from "../../../../connectors/sources/mysql/repeats.ts";
import { joinSnapshot } from "../../../../connectors/sources/mysql/snapshot-ref.ts";
import {
  filterConditions,
  type Queryable,
} from "../../../../connectors/sources/mysql/sql.ts";
import type { MysqlStream } from "../../../../connectors/sources/mysql/stream.ts";
import type {
  CursorOrder,
  CursorWindow,
  OpenTransactions,
} from "../../../../proto/control.ts";
import {
  describe,
  discoverOne,
  expect,
  flavours,
  sessionsOn,
} from "./sessions.ts";

const options = (changes: Partial<CursorOptions> = {}): CursorOptions => ({
  column: "c",
  from: null,
  lagSeconds: null,
  openTransactions: null,
  where: null,
  ...changes,
});

const quiet: OpenTransactions = {
  oldestSeconds: 0,
  complete: true,
  measuredAt: "2030-01-01 00:00:00.000000",
};

/** One incremental run under a snapshot of its own: the ids that it brings, and what it leaves to the next. */
async function run(
  connection: Queryable,
  name: string,
  order: Partial<CursorOrder> = {},
  where: string | null = null,
): Promise<{ ids: number[]; window: CursorWindow }> {
  await joinSnapshot(connection, null);
  const stream = await discoverOne(connection as never, name);
  const window = await readCursorWindow(
    connection,
    stream,
    {
      column: "c",
      state: null,
      lagSeconds: 3_600,
      openTransactions: quiet,
      ...order,
    },
    where,
  );
  const conditions = filterConditions({ where, cursor: window });
  const rows = await connection.query<{ id: number }>(
    `SELECT id FROM ${name} WHERE ${conditions.join(" AND ")}`,
  );
  await connection.query("COMMIT");
  const ids = rows.map(({ id }) => Number(id)).sort((a, b) => a - b);
  return { ids, window };
}

describe.each(flavours)("%s", (flavour) => {
  const test = sessionsOn(flavour);

  describe("a window", () => {
    test.for([
      {
        type: "DATETIME(6)",
        values: ["2024-01-01 00:00:00.000001", "2024-02-29 23:59:59.999999"],
        next: "2024-02-29 23:58:59.999999",
      },
      {
        type: "TIMESTAMP(3)",
        values: ["2024-01-01 00:00:00.001", "2024-02-29 23:59:59.999"],
        next: "2024-02-29 23:58:59.999",
      },
      {
        type: "DATE",
        values: ["2024-01-01", "2024-02-29"],
        next: "2024-02-27",
      },
      {
        type: "BIGINT UNSIGNED",
        values: ["7", "18446744073709551615"],
        next: "18446744073709551615",
      },
      {
        type: "DECIMAL(38, 10)",
        values: ["-1.0000000001", "1234567890123456789012345678.0000000001"],
        next: "1234567890123456789012345678.0000000001",
      },
      {
        type: "VARCHAR(20) CHARACTER SET utf8mb4 COLLATE utf8mb4_general_ci",
        values: ["a'\\", "Zebra"],
        next: "Zebra",
      },
    ])(
      "ends at the highest cursor as exact text: $type",
      async ({ type, values, next }, { server, sessions: { connection } }) => {
        await server.query("SET time_zone = '+00:00'");
        await server.query(
          `CREATE TABLE t (id INT PRIMARY KEY, c ${type} NULL)`,
        );
        await server.query("INSERT INTO t VALUES (1, ?), (2, ?), (3, NULL)", [
          ...values,
        ]);
        const stream = await discoverOne(connection, "t");
        const bounds = await readCursorBounds(
          connection,
          stream,
          options({ openTransactions: quiet }),
        );
        expect(bounds).toMatchObject({
          to: values[1],
          nextFrom: next,
          nullRows: 1,
          from: null,
        });
        const again = await readCursorBounds(
          connection,
          stream,
          options({ from: bounds.to, openTransactions: quiet }),
        );
        // never back
        expect(again.nextFrom).toBe(bounds.to);
        const conditions = filterConditions({
          where: null,
          cursor: {
            ...{ column: "c", type: bounds.type },
            ...{ from: values[0] ?? null, to: bounds.to },
          },
        });
        const rows = await connection.query<{ id: number }>(
          `SELECT id FROM t WHERE ${conditions.join(" AND ")}`,
        );
        expect(rows.map(({ id }) => id)).toEqual([2]);
      },
    );

    test("is empty in an empty table, and keeps its place", async ({
      server,
      sessions: { connection },
    }) => {
      await server.query(
        "CREATE TABLE t (id INT PRIMARY KEY, c DATETIME); INSERT INTO t VALUES (1, NULL)",
      );
      const stream = await discoverOne(connection, "t");
      const from = "2024-01-01 00:00:00";
      const bounds = await readCursorBounds(
        connection,
        stream,
        options({ from }),
      );
      expect(bounds).toMatchObject({ to: null, nextFrom: from, nullRows: 1 });
      const { ids } = await run(connection, "t");
      expect(ids).toEqual([]);
    });

    test("is told to lie below the last one's end, and one row of the future hides nothing", async ({
      server,
      sessions: { connection },
    }) => {
      await server.query(
        "CREATE TABLE t (id INT PRIMARY KEY, c TIMESTAMP NULL); SET time_zone = '+00:00'; INSERT INTO t VALUES (1, '2037-01-01')",
      );
      const stream = await discoverOne(connection, "t");
      const future = await readCursorBounds(
        connection,
        stream,
        options({ openTransactions: quiet }),
      );
      expect(future.nextFrom).toBe("2029-12-31 23:59:00");
      const below = await readCursorBounds(
        connection,
        stream,
        options({ from: "2038-01-01 00:00:00", openTransactions: quiet }),
      );
      expect(below.warnings.join()).toMatch(/is now 2037.* below 2038/);
      expect(below.nextFrom).toBe("2038-01-01 00:00:00");
    });

    test.for([
      { column: "e", code: "CURSOR_UNUSABLE" },
      { column: "f", code: "CURSOR_UNUSABLE" },
      { column: "b", code: "CURSOR_UNUSABLE" },
      { column: "missing", code: "SOURCE_COLUMN_NOT_FOUND" },
    ])(
      "is not made of $column: $code",
      async ({ column, code }, { server, sessions: { connection } }) => {
        await server.query(
          "CREATE TABLE t (id INT PRIMARY KEY, e ENUM('b','a'), f FLOAT, b BLOB)",
        );
        const stream = await discoverOne(connection, "t");
        await expect(
          readCursorBounds(connection, stream, options({ column })),
        ).rejects.toMatchObject({ code });
      },
    );

    test("of numbers has no lag, and says so", async ({
      server,
      sessions: { connection },
    }) => {
      await server.query("CREATE TABLE t (id INT PRIMARY KEY, c INT)");
      const stream = await discoverOne(connection, "t");
      const bounds = await readCursorBounds(connection, stream, options());
      expect(bounds.warnings.join()).toMatch(/has no lag/);
      await expect(
        readCursorBounds(connection, stream, options({ lagSeconds: 5 })),
      ).rejects.toMatchObject({ code: "USAGE" });
    });
  });

  describe("the lag", () => {
    test("is the oldest open transaction's age and a minute", async ({
      server,
      sessions,
    }) => {
      await server.query(
        "CREATE TABLE t (id INT PRIMARY KEY, c DATETIME); BEGIN; INSERT INTO t VALUES (1, NOW())",
      );
      await new Promise((done) => setTimeout(done, 1_100));
      const open = await readOpenTransactions(sessions.connection);
      expect(open.complete).toBe(true);
      expect(open.oldestSeconds).toBeGreaterThanOrEqual(1);
      expect(open.oldestSeconds).toBeLessThan(3_000);
      await server.query("ROLLBACK");
      const stream = await discoverOne(sessions.connection, "t");
      const bounds = await readCursorBounds(
        sessions.connection,
        stream,
        options({ openTransactions: { ...open, oldestSeconds: 7.2 } }),
      );
      expect(bounds.lagSeconds).toBe(8 + CLOCK_SKEW_SECONDS);
    });

    test("is told to be uncertain where transactions are hidden", async ({
      server,
      sessions,
    }) => {
      await server.query("CREATE TABLE t (id INT PRIMARY KEY, c DATETIME)");
      const { url } = await server.createUser([
        `SELECT ON ${server.database}.*`,
      ]);
      const connection = await sessions.connect(url);
      const open = await readOpenTransactions(connection);
      expect(open).toMatchObject({ complete: false, oldestSeconds: 0 });
      const stream = await discoverOne(connection, "t");
      const bounds = await readCursorBounds(
        connection,
        stream,
        options({ openTransactions: open }),
      );
      expect(bounds.lagSeconds).toBe(CLOCK_SKEW_SECONDS);
      expect(bounds.warnings.join()).toMatch(/GRANT PROCESS/);
    });
  });

  describe("repeats", () => {
    const insert = "INSERT INTO t VALUES";

    test("a row that commits out of order comes, those that were moved do not, changed ones come again", async ({
      server,
      sessions: { connection },
    }) => {
      await server.query(
        "CREATE TABLE t (id INT PRIMARY KEY, c DATETIME(6) NOT NULL, v FLOAT, j JSON, b BLOB)",
      );
      await server.query(`${insert} (1, '2024-01-01 10:00:00', 16777216, '{"a": 1}', 0xFF00),
        (2, '2024-01-01 10:30:00', 1, NULL, NULL), (3, '2024-01-01 10:30:00', 2, NULL, '')`);
      const first = await run(connection, "t");
      expect(first.ids).toEqual([1, 2, 3]);
      // a neighbour of the float that prints alike
      await server.query(`${insert} (4, '2024-01-01 10:15:00', 1, NULL, NULL), (5, '2024-01-01 11:00:00', 1, NULL, NULL);
        UPDATE t SET v = 16777217 + 1 WHERE id = 1; UPDATE t SET b = 0x00 WHERE id = 3`);
      const second = await run(connection, "t", {
        state: first.window.nextState,
      });
      expect(second.ids).toEqual([1, 3, 4, 5]);
      expect(second.window.warnings).toEqual([]);
      const third = await run(connection, "t", {
        state: second.window.nextState,
      });
      expect(third.ids).toEqual([]);
    });

    test("rows that equal each other come as often as there are more of them", async ({
      server,
      sessions: { connection },
    }) => {
      await server.query(
        "CREATE TABLE t (id INT, c DATETIME); INSERT INTO t VALUES (1, '2024-01-01'), (1, '2024-01-01'), (2, '2024-01-01')",
      );
      const first = await run(connection, "t");
      expect(first.ids).toEqual([1, 1, 2]);
      const same = await run(connection, "t", {
        state: first.window.nextState,
      });
      expect(same.ids).toEqual([]);
      await server.query(`${insert} (1, '2024-01-01')`);
      const more = await run(connection, "t", {
        state: first.window.nextState,
      });
      expect(more.ids).toEqual([1, 1, 1]);
      expect(more.window.warnings.join()).toMatch(/come again/);
    });

    test("too many to note are dropped as long as none has changed, and else come again with a warning", async ({
      server,
      sessions: { connection },
    }) => {
      await server.query(
        "CREATE TABLE t (id INT PRIMARY KEY, c DATETIME); INSERT INTO t VALUES (1, '2024-01-01'), (2, '2024-01-01'), (3, '2024-01-01')",
      );
      const stream = await discoverOne(connection, "t");
      const bounds = await readCursorBounds(
        connection,
        stream,
        options({ lagSeconds: 60 }),
      );
      const moved = await readMovedRows(connection, stream, bounds, null, 2);
      expect(moved?.by).toBe("sum");
      const { nextFrom: after, to: upTo } = bounds;
      if (moved === null || after === null || upTo === null) return;
      const next = async (known: MysqlStream) => {
        const warnings: string[] = [];
        const zone = { ...bounds, after, upTo };
        const dropRepeats = await buildRepeatFilter(
          connection,
          known,
          { zone, moved, where: null },
          warnings,
        );
        const cursor = { ...bounds, from: after, dropRepeats };
        const conditions = filterConditions({ where: null, cursor });
        const rows = await connection.query<{ id: number }>(
          `SELECT id FROM t WHERE ${conditions.join(" AND ")}`,
        );
        return { ids: rows.map(({ id }) => id), warnings };
      };
      expect(await next(stream)).toEqual({ ids: [], warnings: [] });
      await server.query("UPDATE t SET id = 4 WHERE id = 3");
      const changed = await next(stream);
      expect(changed.ids).toEqual([1, 2, 4]);
      expect(changed.warnings.join()).toMatch(/second time/);
    });

    test("with a condition, and whatever the columns are called", async ({
      server,
      sessions: { connection },
    }) => {
      await server.query(
        "CREATE TABLE t (id INT PRIMARY KEY, c DATETIME, `a``b?` INT); INSERT INTO t VALUES (1, '2024-01-01', 1), (2, '2024-01-01', 2)",
      );
      const where = "`a``b?` > 1 -- some";
      const first = await run(connection, "t", {}, where);
      expect(first.ids).toEqual([2]);
      const second = await run(
        connection,
        "t",
        { state: first.window.nextState },
        where,
      );
      expect(second.ids).toEqual([]);
    });

    test("another cursor cannot go on where this one ended", async ({
      server,
      sessions: { connection },
    }) => {
      await server.query(
        "CREATE TABLE t (id INT PRIMARY KEY, c DATETIME, d DATETIME)",
      );
      const { window } = await run(connection, "t");
      await expect(
        run(connection, "t", { column: "d", state: window.nextState }),
      ).rejects.toMatchObject({ code: "CURSOR_UNUSABLE" });
    });
  });
});
