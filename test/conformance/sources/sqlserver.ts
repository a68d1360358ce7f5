/** SQL Server: the one of TEST_SQLSERVER_URL, else the tests' own server, which speaks TDS and is not SQL Server. */
import type { LogicalType } from "../../../proto/schema.ts";
import { quoteText } from "../../fixtures/read-back.ts";
import {
  withSqlServer,
  type SqlServerFixture,
} from "../../fixtures/sqlserver.ts";
import { findGivenSqlServer } from "../../services/sqlserver.ts";
import { hold, type SourceDriver } from "../drivers.ts";
import type { NeutralKind, TypeCase } from "../model.ts";

const typeNames: Readonly<Record<NeutralKind, string>> = {
  int32: "int",
  int64: "bigint",
  text: "nvarchar(max)",
  decimal64: "decimal",
  timestamp: "datetime2(6)",
  boolean: "bit",
  binary: "varbinary(max)",
};

const quoteName = (name: string): string => `[${name.replaceAll("]", "]]")}]`;

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
      const literal = text.startsWith("0x") ? text : `N${quoteText(text)}`;
      return [`CAST(${literal} AS ${sql})`, expected];
    }),
  };
}

const isGiven = findGivenSqlServer() !== null;

export const sqlServer: SourceDriver = {
  name: "SQL Server",
  waivers: {},
  ...(isGiven
    ? {}
    : {
        reducedOnly: "the tests' own TDS server is not made for the full size",
      }),
  quoteName,
  typeName: ({ kind, precision, scale }) =>
    kind === "decimal64"
      ? `decimal(${precision}, ${scale})`
      : typeNames[kind as NeutralKind],
  literal: ({ kind }, cell) => {
    if (kind === "binary") return `0x${cell}`;
    if (kind === "boolean") return cell === "true" ? "1" : "0";
    if (kind === "text" || kind === "timestamp")
      return `N${quoteText(kind === "text" ? cell : cell.replace("T", " "))}`;
    return cell;
  },
  addNullableKey: ({ name, nullableKey = [] }) =>
    `CREATE CLUSTERED INDEX by_key ON ${quoteName(name)} (${nullableKey.map(quoteName).join(", ")})`,
  repeat: ({ kind }, pattern, count) =>
    kind === "binary"
      ? `CAST(CAST(REPLICATE(CAST('${Buffer.from(pattern, "hex").toString("latin1")}' AS varchar(max)), ${count}) AS varchar(max)) AS varbinary(max))`
      : `REPLICATE(CAST(N${quoteText(pattern)} AS nvarchar(max)), ${count})`,
  typeCases: [
    typeCase("bit", "boolean", ["0", "false"], ["1", "true"]),
    typeCase("tinyint", "int16", "0", "255"),
    typeCase("smallint", "int16", "-32768", "32767"),
    typeCase("int", "int32", "-2147483648", "2147483647"),
    typeCase("bigint", "int64", "-9223372036854775808", "9223372036854775807"),
    typeCase(
      "decimal(12,2)",
      { kind: "decimal64", precision: 12, scale: 2 },
      ...["9999999999.99", "-0.01", "0.00"],
    ),
    typeCase(
      "decimal(38,10)",
      { kind: "decimal128", precision: 38, scale: 10 },
      ...["-9999999999999999999999999999.9999999999", "0.0000000001"],
    ),
    typeCase(
      "money",
      { kind: "decimal128", precision: 19, scale: 4 },
      ...["-922337203685477.5808", "922337203685477.5807"],
    ),
    typeCase(
      "smallmoney",
      { kind: "decimal64", precision: 10, scale: 4 },
      ...["-214748.3648", "214748.3647"],
    ),
    typeCase(
      "real",
      "float32",
      ["0.1", "0.10000000149011612"],
      ["3.4028235e+38", "3.4028234663852886e+38"],
    ),
    typeCase("float", "float64", "0.1", "1.7976931348623157e+308", "-0.5"),
    typeCase("date", "date", "0001-01-01", "1582-10-10", "9999-12-31"),
    typeCase("time(6)", "time", "00:00:00.000001", "23:59:59.999999"),
    typeCase("time(7)", "timeNs", ["23:59:59.9999999", "23:59:59.999999900"]),
    typeCase("smalldatetime", "timestamp", [
      "2079-06-06 23:59:00",
      "2079-06-06T23:59:00.000000",
    ]),
    typeCase(
      "datetime",
      "timestamp",
      ["1753-01-01 00:00:00.000", "1753-01-01T00:00:00.000000"],
      ["9999-12-31 23:59:59.997", "9999-12-31T23:59:59.997000"],
    ),
    typeCase(
      "datetime2(6)",
      "timestamp",
      ["0001-01-01 00:00:00.000001", "0001-01-01T00:00:00.000001"],
      ["9999-12-31 23:59:59.999999", "9999-12-31T23:59:59.999999"],
    ),
    typeCase("datetime2(7)", "timestampNs", [
      "2024-02-29 12:34:56.7891234",
      "2024-02-29T12:34:56.789123400",
    ]),
    typeCase("datetimeoffset(6)", "timestamptz", [
      "2024-02-29 12:34:56.000001 -14:00",
      "2024-03-01T02:34:56.000001Z",
    ]),
    typeCase("datetimeoffset(7)", "timestampNs", [
      "2024-02-29 12:34:56.1234567 +14:00",
      "2024-02-28T22:34:56.123456700",
    ]),
    typeCase("char(5)", "text", ["ab", "ab   "]),
    typeCase("varchar(20)", "text", "", "café €"),
    typeCase("varchar(20) COLLATE Cyrillic_General_CI_AS", "text", "привет"),
    typeCase(
      "nvarchar(max)",
      "text",
      ...["", " ", "NULL", '""', "\\N", "żółw 🐢 é", "line\nbreak\ttab\r\n"],
      ...['a,b;"c"', "\u0001\u007f\u2028\ufeff"],
      "straße/道路/🛣 ".repeat(1_500),
    ),
    typeCase("uniqueidentifier", "uuid", [
      "00112233-4455-6677-8899-AABBCCDDEEFF",
      "00112233-4455-6677-8899-aabbccddeeff",
    ]),
    typeCase("xml", "text", '<a b="é">中</a>'),
    typeCase("binary(4)", "binary", ["0x00FF1000", "00ff1000"]),
    typeCase(
      "varbinary(max)",
      "binary",
      ["0x", ""],
      [`0x${"0AFE".repeat(9_000)}`, "0afe".repeat(9_000)],
    ),
  ],
  open: async () => {
    const { value: database, close } = await hold<SqlServerFixture>((use) =>
      withSqlServer(use),
    );
    return {
      url: database.url,
      namespace: "dbo",
      version:
        database.server === null
          ? "SQL Server of TEST_SQLSERVER_URL"
          : "TDS 7.4 server of the tests",
      exec: async (sql) => {
        await database.query(sql);
      },
      close,
    };
  },
};
