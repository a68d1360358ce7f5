import { inject } from "vitest";
import { withDatabase, type PostgresFixture } from "../../fixtures/postgres.ts";
import { quoteText } from "../../fixtures/read-back.ts";
import { hold, Unavailable, type SourceDriver } from "../drivers.ts";
import type { LogicalType } from "../../../proto/schema.ts";
import type { NeutralKind, TypeCase } from "../model.ts";

const typeNames: Readonly<Record<NeutralKind, string>> = {
  int32: "integer",
  int64: "bigint",
  text: "text",
  decimal64: "numeric",
  timestamp: "timestamp",
  boolean: "boolean",
  binary: "bytea",
};

/** Values by their text; a pair where what arrives is written otherwise. */
function typeCase(
  sql: string,
  type: LogicalType["kind"] | LogicalType,
  ...values: readonly (string | readonly [string, string])[]
): TypeCase {
  return {
    sql,
    ...(typeof type === "string" ? { kind: type } : type),
    values: values.map((value) => {
      const [text, expected] =
        typeof value === "string" ? [value, value] : value;
      return [`${quoteText(text)}::${sql}`, expected];
    }),
  };
}

const quoteName = (name: string): string => `"${name.replaceAll('"', '""')}"`;

export const postgres: SourceDriver = {
  name: "Postgres",
  waivers: {},
  quoteName,
  typeName: ({ kind, precision, scale }) =>
    kind === "decimal64"
      ? `numeric(${precision}, ${scale})`
      : typeNames[kind as NeutralKind],
  literal: ({ kind }, cell) =>
    `${quoteText(kind === "binary" ? `\\x${cell}` : cell)}::${typeNames[kind as NeutralKind]}`,
  addNullableKey: ({ name, nullableKey = [] }) =>
    `CREATE UNIQUE INDEX ON ${quoteName(name)} (${nullableKey.map(quoteName).join(", ")})`,
  repeat: ({ kind }, pattern, count) =>
    kind === "binary"
      ? `decode(repeat('${pattern}', ${count}), 'hex')`
      : `repeat(${quoteText(pattern)}, ${count})`,
  typeSetUp: ["CREATE TYPE mood AS ENUM ('sad', 'happy day', 'żółw 🐢')"],
  typeCases: [
    typeCase("boolean", "boolean", "true", "false"),
    typeCase("smallint", "int16", "-32768", "0", "32767"),
    typeCase("integer", "int32", "-2147483648", "0", "2147483647"),
    typeCase(
      "bigint",
      "int64",
      ...["-9223372036854775808", "9007199254740993", "9223372036854775807"],
    ),
    typeCase("oid", "int64", "0", "4294967295"),
    typeCase(
      "real",
      "float32",
      ...["0.1", "-0", ["3.4028235e38", "3.4028234663852886e+38"] as const],
      ...[["1e-45", "1.401298464324817e-45"] as const, "NaN", "-Infinity"],
    ),
    typeCase(
      "double precision",
      "float64",
      ...["0.1", "-0", "5e-324", "NaN", "Infinity"],
      ["1.7976931348623157e308", "1.7976931348623157e+308"],
    ),
    typeCase(
      "numeric(12,2)",
      { kind: "decimal64", precision: 12, scale: 2 },
      ...["9999999999.99", "-9999999999.99", "-0.01", "0.00"],
    ),
    typeCase(
      "numeric(18)",
      { kind: "decimal64", precision: 18, scale: 0 },
      ...["999999999999999999", "-999999999999999999"],
    ),
    typeCase(
      "numeric(38,10)",
      { kind: "decimal128", precision: 38, scale: 10 },
      ...["9999999999999999999999999999.9999999999", "-0.0000000001"],
      "-9999999999999999999999999999.9999999999",
    ),
    typeCase(
      "numeric",
      "decimalText",
      ...["1.10", "NaN", `-${"9".repeat(60)}.${"1".repeat(40)}`],
    ),
    typeCase("date", "date", "0001-01-01", "1969-12-31", "9999-12-31"),
    typeCase("time", "time", ...["00:00:00.000000", "23:59:59.999999"]),
    typeCase(
      "timestamp",
      "timestamp",
      ...["0001-01-01T00:00:00.000000", "1969-12-31T23:59:59.999999"],
      "9999-12-31T23:59:59.999999",
    ),
    typeCase(
      "timestamptz",
      "timestamptz",
      ["2024-03-31T02:30:00.000001+02", "2024-03-31T00:30:00.000001Z"],
      "0001-01-01T00:00:00.000000Z",
      "9999-12-31T23:59:59.999999Z",
    ),
    typeCase(
      "uuid",
      "uuid",
      ...["00000000-0000-0000-0000-000000000000"],
      "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11",
    ),
    typeCase(
      "text",
      "text",
      ...["", " ", "NULL", '""', "\\N", "żółw 🐢 é \u{10ffff}"],
      ...["line\nbreak\ttab\r\n", 'a,b;"c"', "\u0001\u007f\u2028\ufeff"],
      "straße/道路/🛣 ".repeat(3_000),
    ),
    typeCase("varchar(5)", "text", "", "ab   ", "🐢🐢🐢🐢🐢"),
    typeCase("char(5)", "text", ["abc", "abc  "], ["🐢", "🐢    "]),
    typeCase("mood", "text", "sad", "happy day", "żółw 🐢"),
    typeCase(
      "json",
      "json",
      ...['{"a":[1,2.50,null],"é":"\\u00e9"}', "null", "1e400"],
      '{ "n": 123456789012345678901234567890.10 }',
    ),
    typeCase("jsonb", "json", '{"a":{"":[]}}', "[]", '"\\n\\t\\"\\\\"'),
    typeCase(
      "bytea",
      "binary",
      ["\\x", ""],
      ["\\x00ff10", "00ff10"],
      [`\\x${"0afe".repeat(9_000)}`, "0afe".repeat(9_000)],
    ),
    typeCase("integer[]", "json", ["{}", "[]"], ["{1,NULL,3}", "[1,null,3]"]),
    typeCase("interval", "text", ["1 year -3 days", "P1Y-3D"], ["0", "PT0S"]),
    typeCase("inet", "text", "10.0.0.1/8", "::1"),
    typeCase("int4range", "text", "[1,5)", "empty"),
  ],
  open: async () => {
    const adminUrl = inject("postgresUrl");
    if (adminUrl === null) throw new Unavailable(inject("postgresReason"));
    const { value: database, close } = await hold<PostgresFixture>((use) =>
      withDatabase(adminUrl, use),
    );
    const [row] = await database.query("SHOW server_version");
    return {
      url: database.url,
      namespace: "public",
      version: `PostgreSQL ${String(row.server_version).split(" ")[0]}`,
      exec: async (sql) => {
        await database.query(sql);
      },
      close,
    };
  },
};
