import fc from "fast-check";
import { expect, test } from "../../../fixtures/sqlserver.ts";
import {
  discoverTable,
  keySplit,
  makeTask,
  readAll,
  withConnection,
} from "./support/tasks.ts";

/** Key types with literals of distinct keys. */
const keys: Readonly<Record<string, readonly string[]>> = {
  tinyint: ["0", "17", "255"],
  int: ["-5", "0", "2147483647"],
  bigint: ["-9223372036854775808", "9007199254740993"],
  "decimal(38,10)": [
    "-1.0000000001",
    "1234567890123456789012345678.0123456789",
  ],
  money: ["-0.0001", "922337203685477.5807"],
  date: ["'0001-01-01'", "'2020-02-29'"],
  "time(7)": ["'00:00:00.0000001'", "'23:59:59.9999999'"],
  datetime: [
    "'1999-12-31 23:59:59.997'",
    "'2000-01-01 00:00:00.003'",
    "'2000-01-01 00:00:00.007'",
  ],
  smalldatetime: ["'2000-01-01 12:34'"],
  "datetime2(7)": ["'2020-01-01 00:00:00.1234567'"],
  "datetime2(3)": ["'0001-01-01 00:00:00.001'"],
  "datetimeoffset(7)": ["'2020-01-01 10:00:00.0000001 +05:30'"],
  "datetimeoffset(0)": ["'2020-01-01 10:00:00 -08:00'"],
  uniqueidentifier: [
    "'6F9619FF-8B86-D011-B42D-00C04FC964FF'",
    "'00000000-0000-0000-0000-000000000001'",
  ],
  "char(6)": ["'ab'", "'a b''c'"],
  "varchar(30)": ["'é]['", "''", "'--'"],
  "nvarchar(30)": ["N'漢😀'", "N'a\\'", "N'O''Brien'"],
  "binary(4)": ["0x00FF0000"],
  "varbinary(8)": ["0x01", "0xFFFFFFFFFFFFFFFF"],
};

test.for(Object.entries(keys))(
  "behind a row with a key of type %s lies no such row, and all above it",
  async ([type, literals], { sqlserver }) => {
    await sqlserver.run(
      `CREATE TABLE dbo.K (K ${type} NOT NULL PRIMARY KEY, Id int NOT NULL)`,
      ...literals.map(
        (literal, i) => `INSERT INTO dbo.K VALUES (${literal}, ${i})`,
      ),
    );
    await withConnection(sqlserver.url, async (connection) => {
      const stream = await discoverTable(connection, "dbo.K");
      const split = keySplit(stream);
      const all = await readAll(connection, makeTask(stream, { split }));
      const order = all.rows.map((row) => row[1]);
      expect(order.length).toBe(literals.length);
      for (const [at, id] of order.entries()) {
        const only = await readAll(
          connection,
          makeTask(stream, {
            split,
            filter: { where: `Id = ${String(id)}`, cursor: null },
          }),
          { onStart: (read) => read.requestCheckpoint() },
        );
        const position = only.checkpoints.find(({ last }) => !last)?.position;
        if (position?.kind !== "key") throw new Error("no position");
        const rest = await readAll(
          connection,
          makeTask(stream, { split, resumeAfter: position }),
        );
        expect(rest.rows.map((row) => row[1])).toEqual(order.slice(at + 1));
        const from = await readAll(
          connection,
          makeTask(stream, {
            split: { ...split, start: position.after } as never,
          }),
        );
        expect(from.rows.map((row) => row[1])).toEqual(order.slice(at));
      }
    });
  },
);

test("datetime keys of any tick find their rows again", async ({
  sqlserver,
}) => {
  await sqlserver.run(
    "CREATE TABLE dbo.K (K datetime NOT NULL PRIMARY KEY, Id int NOT NULL)",
  );
  const ticks = fc.sample(fc.integer({ min: 0, max: 25_919_999 }), 40);
  const distinct = [...new Set(ticks)];
  await sqlserver.run(
    `INSERT INTO dbo.K VALUES ${distinct
      .map((tick, i) => {
        const ms = Math.round((tick * 10) / 3);
        const text = new Date(ms).toISOString().slice(11, 23);
        return `('2020-01-01 ${text}', ${i})`;
      })
      .join(", ")}`,
  );
  await withConnection(sqlserver.url, async (connection) => {
    const stream = await discoverTable(connection, "dbo.K");
    const split = keySplit(stream);
    const { rows } = await readAll(connection, makeTask(stream, { split }));
    expect(rows.length).toBe(distinct.length);
    for (const [at, row] of rows.entries()) {
      const us = BigInt(row[0] as bigint);
      const text = new Date(Number(us / 1000n))
        .toISOString()
        .replace("T", " ")
        .slice(0, 23);
      const rest = await readAll(
        connection,
        makeTask(stream, {
          split,
          resumeAfter: { kind: "key", after: [text] },
        }),
      );
      expect(rest.rows.length).toBe(rows.length - at - 1);
    }
  });
});

test("a float, and a text that is not unique, have no places inside", async ({
  sqlserver,
}) => {
  await sqlserver.run(
    "CREATE TABLE dbo.F (K float NOT NULL PRIMARY KEY)",
    "INSERT INTO dbo.F VALUES (1), (2)",
    "CREATE TABLE dbo.C (K nvarchar(10) NOT NULL, N int NOT NULL)",
    "CREATE CLUSTERED INDEX ByK ON dbo.C (K)",
    "INSERT INTO dbo.C VALUES (N'a', 1), (N'A', 2), (N'b', 3)",
  );
  await withConnection(sqlserver.url, async (connection) => {
    for (const table of ["dbo.F", "dbo.C"]) {
      const stream = await discoverTable(connection, table);
      const read = await readAll(
        connection,
        makeTask(stream, { split: keySplit(stream) }),
        {
          onStart: (started) => started.requestCheckpoint(),
        },
      );
      expect(read.checkpoints).toEqual([
        { position: null, last: true, rows: read.rows.length },
      ]);
    }
  });
});
