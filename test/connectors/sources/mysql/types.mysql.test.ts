import { ExtractError } from "../../../../proto/error.ts";
import type { MysqlConnection } from "../../../../connectors/sources/mysql/connection.ts";
import {
  describe,
  expect,
  flavours,
  type MysqlFixture,
  type MysqlFlavour,
} from "../../../fixtures/mysql.ts";
import { testWithConnection } from "./support/connected.ts";
import { makeTask, readTask } from "./support/tasks.ts";

/** What the server says a value is, in the form that the sink's values take. */
const asText = "CAST(v AS CHAR)";
const asHex = "LOWER(HEX(v))";
const asDays = "DATEDIFF(v, '1970-01-01')";
const asUs =
  "CAST(TIMESTAMPDIFF(MICROSECOND, '1970-01-01 00:00:00', v) AS CHAR)";
const unscaled = (scale: number): string =>
  `TRIM(LEADING '0' FROM REPLACE(CAST(v AS CHAR), '.', '')) /* ${scale} */`;

interface TypeCase {
  readonly type: string;
  readonly kind: string;
  readonly values: readonly string[];
  /** SQL of the expected value; integers of 64 bits and more as text. */
  readonly expected: string;
  readonly only?: MysqlFlavour;
}

const cases: readonly TypeCase[] = [
  {
    type: "tinyint",
    kind: "int16",
    values: ["-128", "0", "127"],
    expected: "v",
  },
  { type: "tinyint unsigned", kind: "int16", values: ["255"], expected: "v" },
  { type: "tinyint(1)", kind: "boolean", values: ["0", "1"], expected: "v" },
  {
    type: "smallint",
    kind: "int16",
    values: ["-32768", "32767"],
    expected: "v",
  },
  {
    type: "smallint unsigned",
    kind: "int32",
    values: ["0", "65535"],
    expected: "v",
  },
  {
    type: "mediumint",
    kind: "int32",
    values: ["-8388608", "8388607"],
    expected: "v",
  },
  {
    type: "mediumint unsigned",
    kind: "int32",
    values: ["16777215"],
    expected: "v",
  },
  {
    type: "int",
    kind: "int32",
    values: ["-2147483648", "-1", "2147483647"],
    expected: "v",
  },
  {
    type: "int(7) unsigned zerofill",
    kind: "int64",
    values: ["12", "4294967295"],
    expected: "CAST(v + 0 AS CHAR)",
  },
  {
    type: "bigint",
    kind: "int64",
    values: ["-9223372036854775808", "-1", "4294967296", "9223372036854775807"],
    expected: asText,
  },
  {
    type: "bigint unsigned",
    kind: "uint64",
    values: ["0", "9223372036854775808", "18446744073709551615"],
    expected: asText,
  },
  {
    type: "bit(1)",
    kind: "boolean",
    values: ["b'0'", "b'1'"],
    expected: "v + 0",
  },
  {
    type: "bit(64)",
    kind: "uint64",
    values: ["0", "b'101'", "18446744073709551615"],
    expected: "CAST(v + 0 AS CHAR)",
  },
  {
    type: "bit(9)",
    kind: "uint64",
    values: ["511"],
    expected: "CAST(v + 0 AS CHAR)",
  },
  {
    type: "year",
    kind: "int16",
    values: ["0000", "1901", "2155"],
    expected: "v + 0",
  },
  {
    type: "double",
    kind: "float64",
    values: ["0.1", "-1.7976931348623157e308", "5e-324", "-0e0"],
    expected: "v",
  },
  {
    type: "decimal(12,2)",
    kind: "decimal64",
    values: ["0.01", "9999999999.99", "42", "1234567.5"],
    expected: unscaled(2),
  },
  {
    type: "decimal(18,0)",
    kind: "decimal64",
    values: ["999999999999999999", "4294967295", "1"],
    expected: unscaled(0),
  },
  {
    type: "decimal(18,18)",
    kind: "decimal64",
    values: ["0.999999999999999999", "0.000000000000000001"],
    expected: unscaled(18),
  },
  {
    type: "decimal(10,3) unsigned zerofill",
    kind: "decimal64",
    values: ["1.5", "1234567.891"],
    expected: unscaled(3),
  },
  {
    type: "decimal(38,10)",
    kind: "decimal128",
    values: [
      "9999999999999999999999999999.9999999999",
      "1",
      "0.0000000001",
      "12345678901234567.5",
    ],
    expected: unscaled(10),
  },
  {
    type: "decimal(65,30)",
    kind: "decimalText",
    values: [
      "12345678901234567890123456789012345.123456789012345678901234567890",
      "-0.000000000000000000000000000001",
      "0",
    ],
    expected: asText,
  },
  {
    type: "date",
    kind: "date",
    values: ["'0001-01-01'", "'1969-12-31'", "'2024-02-29'", "'9999-12-31'"],
    expected: asDays,
  },
  {
    type: "datetime",
    kind: "timestamp",
    values: ["'0001-01-01 00:00:00'", "'2024-02-29 23:59:59'"],
    expected: asUs,
  },
  {
    type: "datetime(6)",
    kind: "timestamp",
    values: [
      "'1969-12-31 23:59:59.999999'",
      "'9999-12-31 23:59:59.999999'",
      "'2255-06-05 23:47:34.740993'",
      "'1970-01-01 00:00:00'",
    ],
    expected: asUs,
  },
  {
    type: "timestamp(3)",
    kind: "timestamptz",
    values: ["'1970-01-01 00:00:01.001'", "'2038-01-19 03:14:07.999'"],
    expected: asUs,
  },
  {
    type: "time",
    kind: "text",
    values: ["'-838:59:59'", "'838:59:59'", "'00:00:00'", "'23:59:59'"],
    expected: asText,
  },
  {
    type: "time(6)",
    kind: "text",
    values: ["'-00:00:00.000001'", "'100:00:00.120000'", "0"],
    expected: asText,
  },
  {
    type: "time(2)",
    kind: "text",
    values: ["'-01:02:03.45'", "'07:08:09'"],
    expected: asText,
  },
  {
    type: "char(20)",
    kind: "text",
    values: ["''", "'  padded  '", "'日本語 😀'"],
    expected: asText,
  },
  {
    type: "varchar(300)",
    kind: "text",
    values: ["''", "'  padded  '", "'it''s \\\\ \\0 \\n'", "REPEAT('ж', 300)"],
    expected: asText,
  },
  ...(
    [
      ["latin1", "'Grüße € ÿ'"],
      ["latin2", "'Zażółć gęślą jaźń'"],
      ["cp1251", "'Привет'"],
      ["greek", "'Ωμέγα'"],
      ["utf8", "'日本 ß'"],
      ["ucs2", "'日本 ß'"],
      ["utf16", "'日本 😀'"],
      ["utf32", "'日本 😀'"],
      ["sjis", "'日本語ｱ'"],
      ["ujis", "'日本語'"],
      ["gbk", "'中文'"],
      ["big5", "'中文'"],
      ["euckr", "'한국어'"],
    ] as const
  ).map(([charset, text]): TypeCase => ({
    type: `varchar(40) CHARACTER SET ${charset}`,
    kind: "text",
    values: [text, "'plain'"],
    expected: "CONVERT(v USING utf8mb4)",
  })),
  {
    type: "longtext",
    kind: "text",
    values: ["''", "REPEAT('äx', 100)", "REPEAT('y', 70000)"],
    expected: asText,
  },
  {
    type: "binary(5)",
    kind: "binary",
    values: ["x'00'", "x'ff00000000'"],
    expected: asHex,
  },
  {
    type: "varbinary(9)",
    kind: "binary",
    values: ["''", "x'00ff'"],
    expected: asHex,
  },
  {
    type: "longblob",
    kind: "binary",
    values: ["''", "REPEAT(x'00ff', 200)", "REPEAT(x'81', 70000)"],
    expected: asHex,
  },
  {
    type: "enum('a','it''s','ж')",
    kind: "text",
    values: ["'a'", "'it''s'", "'ж'"],
    expected: asText,
  },
  {
    type: "set('a','b','ж')",
    kind: "text",
    values: ["''", "'a,ж'"],
    expected: asText,
  },
  {
    type: "json",
    kind: "json",
    values: [`'{"a": [1, "ж"]}'`, "'null'"],
    expected: asText,
    only: "mysql",
  },
  {
    type: "geometry",
    kind: "binary",
    values: [
      "ST_GeomFromText('POINT(1 2)')",
      "ST_GeomFromText('POLYGON((0 0,1 0,1 1,0 0))')",
    ],
    expected: "LOWER(HEX(ST_AsWKB(v)))",
  },
  {
    type: "point",
    kind: "binary",
    values: ["ST_GeomFromText('POINT(-1.5 2)')"],
    expected: "LOWER(HEX(ST_AsWKB(v)))",
  },
  {
    type: "uuid",
    kind: "uuid",
    values: ["'123e4567-e89b-12d3-a456-426655440000'"],
    expected: "REPLACE(CAST(v AS CHAR), '-', '')",
    only: "mariadb",
  },
  {
    type: "inet6",
    kind: "text",
    values: ["'::1'", "'2001:db8::ff00:42:8329'"],
    expected: asText,
    only: "mariadb",
  },
  {
    type: "inet4",
    kind: "text",
    values: ["'192.168.0.1'"],
    expected: asText,
    only: "mariadb",
  },
];

function asKind(kind: string, value: string | number | null): unknown {
  if (value === null) return null;
  switch (kind) {
    case "boolean":
      return Number(value) === 1;
    case "int16":
    case "int32":
    case "date":
      return Number(value);
    case "float64":
      return Number(value);
    case "int64":
    case "timestamp":
    case "timestamptz":
    case "decimal64":
    case "decimal128":
      return BigInt(value === "" ? 0 : value);
    case "uint64":
      return BigInt.asIntN(64, BigInt(value));
    default:
      return String(value);
  }
}

describe.each(flavours)("%s", (flavour) => {
  const test = testWithConnection(flavour);

  test.for(cases.filter(({ only }) => only === undefined || only === flavour))(
    "$type: every value is what the server says",
    async ({ type, kind, values, expected }, { server, connection }) => {
      await server.query(
        `SET sql_mode = ''; CREATE TABLE t (id int PRIMARY KEY, v ${type} NULL)`,
      );
      const rows = [...values, "NULL"].map((value, i) => `(${i}, ${value})`);
      await server.query(`INSERT INTO t VALUES ${rows.join(", ")}`);
      const said = await connection.query<{ v: string | number | null }>(
        `SELECT ${expected} AS v FROM t ORDER BY id`,
      );
      const task = await makeTask(connection, "t", {
        columns: ["v"],
        key: ["id"],
      });
      expect(task.stream.schema.columns[0]?.type.kind).toBe(kind);
      for (const decoder of ["generated", "interpreted"] as const) {
        const { sink } = await readTask(connection, task, { decoder });
        expect(sink.rows.map(([v]) => v)).toEqual(
          said.map(({ v }) => asKind(kind, v)),
        );
      }
    },
  );

  test("floats keep their bits", async ({ server, connection }) => {
    await server.query(
      "CREATE TABLE t (v float); INSERT INTO t VALUES (0), (1.5), (3.4e38), (1e-45), (-16777216)",
    );
    const { sink } = await readTask(
      connection,
      await makeTask(connection, "t"),
    );
    expect(sink.rows.map(([v]) => v)).toEqual(
      [0, 1.5, 3.4e38, 1e-45, -16_777_216].map(Math.fround),
    );
  });

  test("a geometry with an SRID gives the bytes of one without", async ({
    server,
    connection,
  }) => {
    await server.query(
      "CREATE TABLE t (v geometry); INSERT INTO t VALUES (ST_GeomFromText('POINT(1 2)', 4326)), (ST_GeomFromText('POINT(1 2)', 0))",
    );
    const { sink } = await readTask(
      connection,
      await makeTask(connection, "t"),
    );
    // MySQL takes latitude first for this SRID; what is stored, and sent, is x first
    const isSwapped = flavour === "mysql";
    const [first, second] = sink.rows.map(([v]) => String(v));
    const coordinates = (wkb: string | undefined): number[] => {
      const bytes = Buffer.from(wkb ?? "", "hex");
      expect(bytes).toHaveLength(21);
      return [bytes.readDoubleLE(5), bytes.readDoubleLE(13)];
    };
    expect(coordinates(first)).toEqual(isSwapped ? [2, 1] : [1, 2]);
    expect(coordinates(second)).toEqual([1, 2]);
  });

  test("generated columns are read as what they hold", async ({
    server,
    connection,
  }) => {
    await server.query(
      `CREATE TABLE t (a int, b int AS (a * 2) VIRTUAL, c varchar(9) AS (CONCAT('n', a)) STORED);
       INSERT INTO t (a) VALUES (1), (NULL)`,
    );
    const { sink } = await readTask(
      connection,
      await makeTask(connection, "t"),
    );
    expect(sink.rows).toEqual([
      [1, 2, "n1"],
      [null, null, null],
    ]);
  });

  describe("values that no logical type holds", () => {
    const table = `SET sql_mode = 'ALLOW_INVALID_DATES';
      CREATE TABLE t (id int PRIMARY KEY, d date, dt datetime(3), f tinyint(1));
      INSERT INTO t VALUES (1, '0000-00-00', '0000-00-00', 1), (2, '2024-00-00', '2024-05-00 01:02:03', 2),
        (3, '2023-02-30', '0000-03-04 05:06:07', -1), (4, '2024-02-29', '2024-02-29 01:02:03.004', 0)`;

    async function read(
      server: MysqlFixture,
      connection: MysqlConnection,
      policy: "error" | "null",
      column: string,
      where: string,
    ) {
      const task = await makeTask(connection, "t", {
        policy,
        columns: [column],
        filter: { where, cursor: null },
      });
      return readTask(connection, task);
    }

    test("by the policy `null` they are NULL, and told", async ({
      server,
      connection,
    }) => {
      await server.query(table);
      const all = await readTask(
        connection,
        await makeTask(connection, "t", { policy: "null", key: ["id"] }),
      );
      expect(all.sink.rows).toEqual([
        [1, null, null, true],
        [2, null, null, null],
        [3, null, null, null],
        [4, 19_782, 1_709_168_523_004_000n, false],
      ]);
      expect(all.sink.nulled.toSorted()).toEqual([
        "d: a partial date",
        "d: no day of the calendar",
        "d: the zero date",
        "dt: a partial date",
        "dt: the year 0",
        "dt: the zero date",
        expect.stringMatching(/^f: /),
        expect.stringMatching(/^f: /),
      ]);
    });

    test.for([
      { column: "d", where: "id = 1", value: "0000-00-00" },
      { column: "d", where: "id = 3", value: "2023-02-30" },
      { column: "dt", where: "id = 2", value: "2024-05-00" },
      { column: "f", where: "id = 3", value: "-1" },
    ])(
      "by the policy `error` $value ends the read, and the connection goes on",
      async ({ column, where, value }, { server, connection }) => {
        await server.query(table);
        const failure = await read(
          server,
          connection,
          "error",
          column,
          where,
        ).catch((error: unknown) => error);
        expect(failure).toBeInstanceOf(ExtractError);
        expect(failure).toMatchObject({
          code: "SOURCE_VALUE_UNREPRESENTABLE",
          details: { column, value },
        });
        expect(await connection.query("SELECT 1 AS one")).toEqual([{ one: 1 }]);
      },
    );
  });
});
