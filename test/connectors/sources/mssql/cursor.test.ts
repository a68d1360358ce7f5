import { tryQuery } from "../../../../connectors/sources/mssql/catalog.ts";
import type { MssqlConnection } from "../../../../connectors/sources/mssql/connection.ts";
import { readCursorWindow } from "../../../../connectors/sources/mssql/cursor-window.ts";
import type {
  CursorWindow,
  OpenTransactions,
} from "../../../../proto/control.ts";
import { describe, expect, test } from "../../../fixtures/sqlserver.ts";
import {
  discoverTable,
  makeTask,
  readAll,
  withConnection,
} from "./support/tasks.ts";

const quiet: OpenTransactions = {
  oldestSeconds: 0,
  complete: true,
  measuredAt: "2030-01-01 00:00:00.0000000 +00:00",
};

/** One incremental run: the ids that it moves, and its window. */
async function runOnce(
  connection: MssqlConnection,
  column: string,
  state: string | null,
  lagSeconds: number | null = null,
): Promise<{ ids: number[]; window: CursorWindow }> {
  const stream = await discoverTable(connection, "dbo.T");
  const window = await readCursorWindow(
    connection,
    stream,
    { column, state, lagSeconds, openTransactions: quiet },
    null,
  );
  const { rows } = await readAll(
    connection,
    makeTask(stream, { filter: { where: null, cursor: window } }),
  );
  return {
    ids: rows.map((row) => Number(row[0])).sort((a, b) => a - b),
    window,
  };
}

/** Servers before SQL Server 2016, and others that speak TDS, cannot tell repeats apart. */
async function canDropRepeats(connection: MssqlConnection): Promise<boolean> {
  const rows = await tryQuery(connection, `SELECT [key] FROM OPENJSON(@p1)`, [
    '{"a":1}',
  ]);
  return rows?.length === 1;
}

describe("incremental windows", () => {
  test("each row is moved once, late ones within the lag as well, and changed ones again", async ({
    sqlserver,
    skip,
  }) => {
    await sqlserver.run(
      "CREATE TABLE dbo.T (Id int NOT NULL PRIMARY KEY, At datetime2(3) NULL, V float NULL)",
      "INSERT INTO dbo.T (Id, At, V) VALUES (1, '2020-01-01 10:00:00', 1), (2, '2020-01-01 10:05:00', 2), (3, '2020-01-01 10:05:30', 3), (9, NULL, 9)",
    );
    await withConnection(sqlserver.url, async (connection) => {
      if (!(await canDropRepeats(connection))) return skip("no OPENJSON");
      const first = await runOnce(connection, "At", null);
      expect(first.ids).toEqual([1, 2, 3]);
      expect(first.window).toMatchObject({
        to: "2020-01-01 10:05:30.000",
        from: null,
        lagSeconds: 60,
        rowsWithoutCursor: 1,
      });
      await sqlserver.run(
        // late, changed within the lag, and new
        "INSERT INTO dbo.T (Id, At, V) VALUES (4, '2020-01-01 10:05:10', 4), (5, '2020-01-01 10:06:00', 5)",
        "UPDATE dbo.T SET V = 2.5 WHERE Id = 2",
      );
      const second = await runOnce(connection, "At", first.window.nextState);
      expect(second.window.from).toBe("2020-01-01 10:04:30.000");
      expect(second.ids).toEqual([2, 4, 5]);
      const third = await runOnce(connection, "At", second.window.nextState);
      expect(third.ids).toEqual([]);
    });
  });

  test("a table without a key, with equal rows", async ({
    sqlserver,
    skip,
  }) => {
    await sqlserver.run(
      "CREATE TABLE dbo.T (Id int NOT NULL, At datetime NOT NULL)",
      "INSERT INTO dbo.T (Id, At) VALUES (1, '2020-01-01 10:00:00'), (1, '2020-01-01 10:00:00'), (2, '2020-01-01 10:00:01')",
    );
    await withConnection(sqlserver.url, async (connection) => {
      if (!(await canDropRepeats(connection))) return skip("no OPENJSON");
      const first = await runOnce(connection, "At", null);
      expect(first.ids).toEqual([1, 1, 2]);
      expect(
        (await runOnce(connection, "At", first.window.nextState)).ids,
      ).toEqual([]);
      await sqlserver.run(
        "INSERT INTO dbo.T (Id, At) VALUES (1, '2020-01-01 10:00:00')",
      );
      const again = await runOnce(connection, "At", first.window.nextState);
      // nothing tells the new one from the others: none is lost
      expect(again.ids).toEqual([1, 1, 1]);
      expect(again.window.warnings.join()).toMatch(
        /equal some of the last run/,
      );
    });
  });

  test.for([
    ["int", ["1", "2"], "3", "2"],
    ["decimal(9,2)", ["1.50", "2.50"], "3.50", "2.50"],
    ["nvarchar(10)", ["N'a'", "N'b'"], "N'c'", "b"],
    ["date", ["'2020-01-01'", "'2020-01-02'"], "'2020-01-03'", "2020-01-02"],
  ] as const)(
    "a cursor of type %s",
    async ([type, before, later, to], { sqlserver, skip }) => {
      await sqlserver.run(
        `CREATE TABLE dbo.T (Id int NOT NULL PRIMARY KEY, C ${type} NOT NULL)`,
        ...before.map(
          (value, i) => `INSERT INTO dbo.T (Id, C) VALUES (${i}, ${value})`,
        ),
      );
      await withConnection(sqlserver.url, async (connection) => {
        if (type === "date" && !(await canDropRepeats(connection))) {
          return skip("no OPENJSON");
        }
        const first = await runOnce(connection, "C", null);
        expect([first.ids, first.window.to]).toEqual([[0, 1], to]);
        await sqlserver.run(`INSERT INTO dbo.T (Id, C) VALUES (7, ${later})`);
        expect(
          (await runOnce(connection, "C", first.window.nextState)).ids,
        ).toEqual([7]);
      });
    },
  );

  test("what cannot be a cursor, and what has no rows", async ({
    sqlserver,
  }) => {
    await sqlserver.run(
      "CREATE TABLE dbo.T (Id int NOT NULL PRIMARY KEY, B bit NULL, M nvarchar(max) NULL, At datetime NULL)",
    );
    await withConnection(sqlserver.url, async (connection) => {
      for (const column of ["B", "M"]) {
        await expect(runOnce(connection, column, null)).rejects.toMatchObject({
          code: "CURSOR_UNUSABLE",
        });
      }
      await expect(runOnce(connection, "Nope", null)).rejects.toMatchObject({
        code: "SOURCE_COLUMN_NOT_FOUND",
      });
      await expect(runOnce(connection, "Id", null, 5)).rejects.toMatchObject({
        code: "USAGE",
      });
      const empty = await runOnce(connection, "At", null);
      expect([empty.ids, empty.window.to]).toEqual([[], null]);
      await expect(
        runOnce(connection, "Id", empty.window.nextState),
      ).rejects.toMatchObject({ code: "CURSOR_UNUSABLE" });
    });
  });
});
