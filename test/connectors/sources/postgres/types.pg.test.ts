import { ExtractError } from "../../../../proto/error.ts";
import { PostgresConnection } from "../../../../connectors/sources/postgres/connection.ts";
import { parseSourceUrl } from "../../../../connectors/sources/postgres/url.ts";
import { describe, expect, test } from "../../../fixtures/postgres.ts";
import { makeTask, readTask } from "./support/tasks.ts";

/** What the server says a value is, in the form that the sink's values take. */
const asDays = `(v - date '1970-01-01')::int`;
const asUs = `(extract(epoch FROM v) * 1000000)::numeric(30)::text`;
const unscaled = (scale: number): string =>
  `(v * 10::numeric ^ ${scale})::numeric(60)::text`;

interface TypeCase {
  readonly type: string;
  readonly kind: string;
  readonly values: readonly string[];
  /** SQL of the expected value; integers of 64 bits and more as text. */
  readonly expected: string;
}

const cases: readonly TypeCase[] = [
  { type: "bool", kind: "boolean", values: ["true", "false"], expected: "v" },
  {
    type: "int2",
    kind: "int16",
    values: ["-32768", "0", "32767"],
    expected: "v",
  },
  {
    type: "int4",
    kind: "int32",
    values: ["-2147483648", "-1", "2147483647"],
    expected: "v",
  },
  {
    type: "int8",
    kind: "int64",
    values: ["-9223372036854775808", "-1", "4294967296", "9223372036854775807"],
    expected: "v::text",
  },
  {
    type: "oid",
    kind: "int64",
    values: ["0", "2147483648", "4294967295"],
    expected: "v::text",
  },
  {
    type: "float4",
    kind: "float32",
    values: [
      "0",
      "-0",
      "1.5",
      "3.4028235e38",
      "1e-45",
      "Infinity",
      "-Infinity",
      "NaN",
    ],
    expected: "v::float8",
  },
  {
    type: "float8",
    kind: "float64",
    values: [
      "0.1",
      "1.7976931348623157e308",
      "5e-324",
      "Infinity",
      "-Infinity",
      "NaN",
    ],
    expected: "v",
  },
  {
    type: "numeric(12,2)",
    kind: "decimal64",
    values: ["0", "-0.01", "9999999999.99", "-9999999999.99", "42"],
    expected: unscaled(2),
  },
  {
    type: "numeric(18)",
    kind: "decimal64",
    values: ["999999999999999999", "-999999999999999999", "0", "4294967295"],
    expected: unscaled(0),
  },
  {
    type: "numeric(18,18)",
    kind: "decimal64",
    values: ["0.999999999999999999", "-0.000000000000000001"],
    expected: unscaled(18),
  },
  {
    type: "numeric(38,10)",
    kind: "decimal128",
    values: [
      "9999999999999999999999999999.9999999999",
      "-1",
      "0",
      "-0.0000000001",
      "12345678901234567.5",
    ],
    expected: unscaled(10),
  },
  {
    type: "numeric(3,-2)",
    kind: "decimal64",
    values: ["99900", "-100", "0"],
    expected: unscaled(0),
  },
  {
    type: "numeric(2,5)",
    kind: "decimal64",
    values: ["0.00099", "-0.00001"],
    expected: unscaled(5),
  },
  {
    type: "numeric(39,1)",
    kind: "decimalText",
    values: ["99999999999999999999999999999999999999.9"],
    expected: "v::text",
  },
  {
    type: "numeric",
    kind: "decimalText",
    values: [
      "1e40",
      "-0.000000000000000000000000000000000000000000001",
      "NaN",
      "Infinity",
      "1.10",
    ],
    expected: "v::text",
  },
  {
    type: "date",
    kind: "date",
    values: [
      "0001-01-01",
      "1582-10-15",
      "1970-01-01",
      "2000-02-29",
      "9999-12-31",
      "5874897-12-31",
    ],
    expected: asDays,
  },
  {
    type: "time",
    kind: "time",
    values: ["00:00:00", "23:59:59.999999", "24:00:00", "12:34:56.5"],
    expected: asUs,
  },
  {
    type: "timetz",
    kind: "text",
    values: ["12:34:56.5+02", "00:00:00-15:59"],
    expected: "v::text",
  },
  {
    type: "timestamp",
    kind: "timestamp",
    values: [
      "0001-01-01 00:00:00",
      "1969-12-31 23:59:59.999999",
      "1970-01-01",
      "2000-01-01",
      "9999-12-31 23:59:59.999999",
      "294246-12-31 23:59:59.999999",
    ],
    expected: asUs,
  },
  {
    type: "timestamptz",
    kind: "timestamptz",
    values: [
      "0001-01-01 00:00:00+00",
      "2024-03-31 02:30:00+02",
      "1999-12-31 23:59:59.999999-08",
      "294246-01-01 00:00:00+00",
    ],
    expected: asUs,
  },
  {
    type: "interval",
    kind: "text",
    values: ["1 year 2 mons -3 days 04:05:06.789", "0", "-00:00:00.000001"],
    expected: "v::text",
  },
  {
    type: "uuid",
    kind: "uuid",
    values: [
      "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11",
      "ffffffff-ffff-ffff-ffff-ffffffffffff",
    ],
    expected: "replace(v::text, '-', '')",
  },
  {
    type: "text",
    kind: "text",
    values: ["", "x", "żółw 🐢", "line\nbreak\ttab"],
    expected: "v",
  },
  {
    type: "varchar(5)",
    kind: "text",
    values: ["abc", "", "ab   "],
    expected: "v",
  },
  {
    type: "char(5)",
    kind: "text",
    values: ["abc", ""],
    expected: "rpad(v, 5)",
  },
  { type: "name", kind: "text", values: ["some_name"], expected: "v::text" },
  { type: '"char"', kind: "text", values: ["x", ""], expected: "v::text" },
  {
    type: "json",
    kind: "json",
    values: ['{"a": [1, 2.50, null]}', '"x"', "null"],
    expected: "v::text",
  },
  {
    type: "jsonb",
    kind: "json",
    values: ['{"b": 1, "a": "é"}', "[]"],
    expected: "v::text",
  },
  {
    type: "bytea",
    kind: "binary",
    values: ["\\x", "\\x00ff10", "\\xdeadbeef"],
    expected: "encode(v, 'hex')",
  },
  {
    type: "mood",
    kind: "text",
    values: ["sad", "happy day"],
    expected: "v::text",
  },
  {
    type: "price",
    kind: "decimal64",
    values: ["1.50", "-99999.99"],
    expected: unscaled(2),
  },
  { type: "word", kind: "text", values: ["ab"], expected: "v::text" },
  {
    type: "tags",
    kind: "json",
    values: ["{a,b}"],
    expected: "to_json(v)::text",
  },
  {
    type: "int4[]",
    kind: "json",
    values: ["{}", "{1,NULL,3}", "{{1,2},{3,4}}"],
    expected: "to_json(v)::text",
  },
  {
    type: "text[]",
    kind: "json",
    values: ['{"a \\"quoted\\"",b,NULL}'],
    expected: "to_json(v)::text",
  },
  {
    type: "timestamptz[]",
    kind: "json",
    values: ['{"2020-01-01 00:00:00+00"}'],
    expected: "to_json(v)::text",
  },
  {
    type: "point2",
    kind: "json",
    values: ['(1,"two, three")', "(,)"],
    expected: "to_json(v)::text",
  },
  {
    type: "int4range",
    kind: "text",
    values: ["[1,5)", "empty", "(,)"],
    expected: "v::text",
  },
  {
    type: "int4multirange",
    kind: "text",
    values: ["{[1,3),[5,8)}"],
    expected: "v::text",
  },
  { type: "point", kind: "text", values: ["(1.5,-2)"], expected: "v::text" },
  {
    type: "polygon",
    kind: "text",
    values: ["((0,0),(1,1),(1,0))"],
    expected: "v::text",
  },
  {
    type: "inet",
    kind: "text",
    values: ["10.0.0.1/8", "::1"],
    expected: "CASE WHEN v IS NOT NULL THEN format('%s', v) END",
  },
  { type: "cidr", kind: "text", values: ["10.0.0.0/8"], expected: "v::text" },
  {
    type: "macaddr",
    kind: "text",
    values: ["08:00:2b:01:02:03"],
    expected: "v::text",
  },
  { type: "bit(4)", kind: "text", values: ["1010"], expected: "v::text" },
  { type: "varbit", kind: "text", values: ["101", ""], expected: "v::text" },
  { type: "xml", kind: "text", values: ["<a>b</a>"], expected: "v::text" },
  { type: "money", kind: "text", values: ["12.34"], expected: "v::text" },
  {
    type: "tsvector",
    kind: "text",
    values: ["'a':1 'b':2"],
    expected: "v::text",
  },
  {
    type: "pg_lsn",
    kind: "text",
    values: ["16/B374D848"],
    expected: "v::text",
  },
  {
    type: "xid8",
    kind: "text",
    values: ["18446744073709551615"],
    expected: "v::text",
  },
  { type: "regclass", kind: "text", values: ["pg_class"], expected: "v::text" },
];

const setUp = `
  CREATE TYPE mood AS ENUM ('sad', 'happy day');
  CREATE TYPE point2 AS (x int, y text);
  CREATE DOMAIN price AS numeric(7,2) CHECK (VALUE > -1000000);
  CREATE DOMAIN word AS varchar(10);
  CREATE DOMAIN tags AS text[]`;

test("every type comes as the server says it is, with both decoders", async ({
  pg,
}) => {
  const connection = await PostgresConnection.connect(parseSourceUrl(pg.url));
  await pg.query(
    "SET IntervalStyle = 'iso_8601'; SET TimeZone = 'UTC'; SET DateStyle = 'ISO, YMD'",
  );
  await pg.query(setUp);
  for (const [index, { type, kind, values, expected }] of cases.entries()) {
    const table = `t${index}`;
    await pg.query(
      `CREATE TABLE ${table} (n int, v ${type}); INSERT INTO ${table} VALUES (0, NULL)`,
    );
    for (const [n, value] of values.entries()) {
      await pg.query(
        `INSERT INTO ${table} VALUES ($1::int, $2::text::${type})`,
        [n + 1, value],
      );
    }
    const truth = await pg.query<{ e: unknown }>(
      `SELECT ${expected} AS e FROM ${table} ORDER BY n`,
    );
    const task = await makeTask(connection, table);
    expect(task.stream.schema.columns[1]?.type.kind, type).toBe(kind);
    for (const decoder of ["generated", "interpreted"] as const) {
      const { sink } = await readTask(connection, task, { decoder });
      const rows = sink.rows.toSorted((a, b) => Number(a[0]) - Number(b[0]));
      const found = rows.map(([, value]) =>
        typeof value === "bigint" ? String(value) : value,
      );
      expect(found, type).toEqual(truth.map(({ e }) => e));
    }
  }
  await connection.close();
});

describe("values that cannot be represented", () => {
  test.for([
    { type: "date", value: "infinity", reason: "infinity" },
    { type: "date", value: "-infinity", reason: "-infinity" },
    { type: "date", value: "0044-03-15 BC", reason: "before year 1" },
    { type: "timestamp", value: "infinity", reason: "infinity" },
    {
      type: "timestamptz",
      value: "0001-12-31 23:59:59+00 BC",
      reason: "before year 1",
    },
    {
      type: "timestamp",
      value: "294276-12-31 23:59:59",
      reason: "after the last µs of an int64",
    },
    { type: "numeric(10,2)", value: "NaN", reason: "not a finite number" },
    { type: "numeric(30,2)", value: "NaN", reason: "not a finite number" },
  ])("$type $value", async ({ type, value, reason }, { pg }) => {
    const connection = await PostgresConnection.connect(parseSourceUrl(pg.url));
    await pg.query(`CREATE TABLE t (v ${type} NOT NULL)`);
    await pg.query(`INSERT INTO t VALUES ($1::text::${type})`, [value]);
    const refused = readTask(connection, await makeTask(connection, "t"));
    await expect(refused).rejects.toMatchObject({
      code: "SOURCE_VALUE_UNREPRESENTABLE",
      details: { column: "v" },
    });
    await expect(refused).rejects.toBeInstanceOf(ExtractError);
    const task = await makeTask(connection, "t", { policy: "null" });
    const { sink } = await readTask(connection, task);
    expect(sink.rows).toEqual([[null]]);
    expect(sink.nulled).toEqual([`v: ${reason}`]);
    await connection.close();
  });
});
