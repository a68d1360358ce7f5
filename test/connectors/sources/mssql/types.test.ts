import { describe, expect, test } from "../../../fixtures/sqlserver.ts";
import {
  discoverTable,
  keySplit,
  makeTask,
  readAll,
  withConnection,
} from "./support/tasks.ts";
import type { TestValue } from "./support/wire-rows.ts";

/** A type, its literals, and what is read: as `readRows` gives it. */
const cases: readonly (readonly [
  type: string,
  kind: string,
  ...values: (readonly [literal: string, read: TestValue])[],
])[] = [
  ["bit", "boolean", ["1", true], ["0", false]],
  ["tinyint", "int16", ["255", 255], ["0", 0]],
  ["smallint", "int16", ["-32768", -32_768]],
  ["int", "int32", ["-2147483648", -2_147_483_648]],
  [
    "bigint",
    "int64",
    ["9223372036854775807", 9_223_372_036_854_775_807n],
    ["-9223372036854775808", -9_223_372_036_854_775_808n],
  ],
  ["real", "float32", ["CAST(1.5 AS real)", 1.5]],
  ["float", "float64", ["CAST(0.1 AS float)", 0.1]],
  [
    "decimal(18,4)",
    "decimal64",
    ["12345678901234.5678", 123_456_789_012_345_678n],
    ["-0.0001", -1n],
  ],
  [
    "decimal(38,4)",
    "decimal128",
    ["12345678901234567890.1234", 123_456_789_012_345_678_901_234n],
    [
      "-9999999999999999999999999999999999.9999",
      -99_999_999_999_999_999_999_999_999_999_999_999_999n,
    ],
  ],
  ["numeric(5,0)", "decimal64", ["-99999", -99_999n]],
  [
    "money",
    "decimal128",
    ["922337203685477.5807", 9_223_372_036_854_775_807n],
    ["-922337203685477.5808", -9_223_372_036_854_775_808n],
  ],
  ["smallmoney", "decimal64", ["-214748.3648", -2_147_483_648n]],
  ["date", "date", ["'0001-01-01'", -719_162], ["'9999-12-31'", 2_932_896]],
  ["time(7)", "timeNs", ["'23:59:59.9999999'", 86_399_999_999_900n]],
  ["time(3)", "time", ["'10:20:30.123'", 37_230_123_000n]],
  [
    "datetime",
    "timestamp",
    ["'1753-01-01'", -6_847_804_800_000_000n],
    ["'2020-02-29 23:59:59.997'", 1_583_020_799_997_000n],
  ],
  [
    "smalldatetime",
    "timestamp",
    ["'1900-01-01 00:01'", -2_208_988_740_000_000n],
  ],
  [
    "datetime2(7)",
    "timestampNs",
    ["'2020-01-01 10:11:12.1234567'", 1_577_873_472_123_456_700n],
  ],
  [
    "datetime2(6)",
    "timestamp",
    ["'0001-01-01'", -62_135_596_800_000_000n],
    ["'9999-12-31 23:59:59.999999'", 253_402_300_799_999_999n],
  ],
  ["datetime2(0)", "timestamp", ["'1969-12-31 23:59:59'", -1_000_000n]],
  [
    "datetimeoffset(7)",
    "timestampNs",
    ["'2020-01-01 12:00:00.0000001 +02:00'", 1_577_872_800_000_000_100n],
  ],
  [
    "datetimeoffset(3)",
    "timestamptz",
    ["'2020-01-01 00:00:00.001 -14:00'", 1_577_887_200_001_000n],
  ],
  [
    "uniqueidentifier",
    "uuid",
    [
      "'6F9619FF-8B86-D011-B42D-00C04FC964FF'",
      "6f9619ff8b86d011b42d00c04fc964ff",
    ],
  ],
  ["char(5)", "text", ["'ab'", "ab   "]],
  ["varchar(20)", "text", ["'é€'", "é€"], ["''", ""]],
  ["varchar(max)", "text", ["'abc'", "abc"]],
  ["nchar(3)", "text", ["N'漢'", "漢  "]],
  ["nvarchar(20)", "text", ["N'😀 ß'", "😀 ß"]],
  ["nvarchar(max)", "text", ["N'漢字'", "漢字"]],
  ["xml", "text", ["'<a>ü</a>'", "<a>ü</a>"]],
  ["binary(4)", "binary", ["0x0102", "01020000"]],
  ["varbinary(10)", "binary", ["0xFF00", "ff00"], ["0x", ""]],
  ["varbinary(max)", "binary", ["0x00FF", "00ff"]],
  [
    "sql_variant",
    "text",
    ["CAST(12.50 AS decimal(9,2))", "12.50"],
    ["N'x'", "x"],
    ["CAST('2020-01-02' AS date)", "2020-01-02"],
  ],
];

describe.each([
  { way: "as bytes", hook: true },
  { way: "by the driver's events", hook: false },
])("values read $way", ({ hook }) => {
  test("of every type are exact, and NULL is NULL", async ({ sqlserver }) => {
    const statements = cases.flatMap(([type, , ...values], n) => [
      `CREATE TABLE dbo.T${n} (Id int NOT NULL PRIMARY KEY, V ${type} NULL)`,
      `INSERT INTO dbo.T${n} (Id, V) VALUES (0, NULL)`,
      ...values.map(
        ([literal], i) =>
          `INSERT INTO dbo.T${n} (Id, V) VALUES (${i + 1}, ${literal})`,
      ),
    ]);
    await sqlserver.run(...statements);
    await withConnection(
      sqlserver.url,
      async (connection) => {
        expect(connection.isHooked).toBe(hook);
        for (const [n, [type, kind, ...values]] of cases.entries()) {
          const stream = await discoverTable(connection, `dbo.T${n}`);
          expect([type, stream.schema.columns[1]?.type.kind]).toEqual([
            type,
            kind,
          ]);
          const { rows } = await readAll(
            connection,
            makeTask(stream, { split: keySplit(stream) }),
          );
          expect([type, rows.map((row) => row[1])]).toEqual([
            type,
            [null, ...values.map(([, read]) => read)],
          ]);
        }
      },
      { hook },
    );
  });

  test("many rows of a wide table come in order, with checkpoints between them", async ({
    sqlserver,
  }) => {
    const { server } = sqlserver;
    if (server === null) return;
    const names = Array.from({ length: 100 }, (_, i) => `c${i}`);
    await sqlserver.run(
      `CREATE TABLE dbo.Wide (Id int NOT NULL PRIMARY KEY, ${names.map((name) => `${name} nvarchar(20) NULL`).join(", ")})`,
    );
    const count = 3_000;
    await server.load(
      "dbo.Wide",
      Array.from({ length: count }, (_, id) => [
        id,
        ...names.map((name, i) =>
          (id + i) % 3 === 0 ? null : `${name} ${id}`,
        ),
      ]),
    );
    await withConnection(
      sqlserver.url,
      async (connection) => {
        const stream = await discoverTable(connection, "dbo.Wide");
        const split = keySplit(stream);
        const read = await readAll(connection, makeTask(stream, { split }), {
          onBatch: (_, started) => started.requestCheckpoint(),
        });
        expect(read.rows.map((row) => row[0])).toEqual(
          Array.from({ length: count }, (_, i) => i),
        );
        expect(read.rows[7]?.slice(1, 6)).toEqual([
          "c0 7",
          "c1 7",
          null,
          "c3 7",
          "c4 7",
        ]);
        for (const { position, rows, last } of read.checkpoints) {
          if (!last)
            expect(position).toEqual({
              kind: "key",
              after: [String(rows - 1)],
            });
        }
        expect(read.checkpoints.length).toBeGreaterThan(1);
      },
      { hook },
    );
  });
});

test("by events, a datetime2 beyond nanoseconds follows the policy as well", async ({
  sqlserver,
}) => {
  await sqlserver.run(
    "CREATE TABLE dbo.T (V datetime2(7) NOT NULL)",
    "INSERT INTO dbo.T VALUES ('9999-12-31')",
  );
  for (const hook of [true, false]) {
    await withConnection(
      sqlserver.url,
      async (connection) => {
        const strict = await discoverTable(connection, "dbo.T");
        await expect(
          readAll(connection, makeTask(strict)),
        ).rejects.toMatchObject({
          code: "SOURCE_VALUE_UNREPRESENTABLE",
          details: { column: "V" },
        });
        const lenient = await discoverTable(connection, "dbo.T", null, "null");
        const { rows, nulled } = await readAll(
          connection,
          makeTask(lenient, { policy: "null" }),
        );
        expect([rows, nulled.length]).toEqual([[[null]], 1]);
      },
      { hook },
    );
  }
});
