/** MySQL and MariaDB: the same SQL, and types that only one of them has. */
import { createConnection } from "mysql2/promise";
import { inject } from "vitest";
import type { LogicalType } from "../../../proto/schema.ts";
import {
  withMysqlDatabase,
  type MysqlFixture,
  type MysqlFlavour,
} from "../../fixtures/mysql.ts";
import { hold, Unavailable, type SourceDriver } from "../drivers.ts";
import type { NeutralKind, TypeCase } from "../model.ts";

const typeNames: Readonly<Record<NeutralKind, string>> = {
  int32: "int",
  int64: "bigint",
  text: "longtext",
  decimal64: "decimal",
  timestamp: "datetime(6)",
  boolean: "boolean",
  binary: "longblob",
};

const quoteName = (name: string): string => `\`${name.replaceAll("`", "``")}\``;

/** A backslash escapes in MySQL's own mode. */
const quoteText = (text: string): string =>
  `'${text.replaceAll("\\", "\\\\").replaceAll("'", "''")}'`;

/** Values by their text; a pair where what arrives is written otherwise. */
function typeCase(
  sql: string,
  type: LogicalType["kind"] | LogicalType,
  ...values: readonly (string | readonly [string, string])[]
): TypeCase {
  return {
    sql,
    ...(typeof type === "string" ? { kind: type } : type),
    values: values.map((value) =>
      typeof value === "string" ? [quoteText(value), value] : value,
    ),
  };
}

const bytes = (hex: string) => [`x'${hex}'`, hex] as const;

/** A point at (1, -2): byte order, kind 1, two doubles. */
const wkbPoint = "0101000000000000000000f03f00000000000000c0";

const commonTypes: readonly TypeCase[] = [
  typeCase("boolean", "boolean", ["true", "true"], ["false", "false"]),
  typeCase("tinyint", "int16", "-128", "127"),
  typeCase("tinyint unsigned", "int16", "0", "255"),
  typeCase("smallint", "int16", "-32768", "32767"),
  typeCase("smallint unsigned", "int32", "65535"),
  typeCase("mediumint", "int32", "-8388608", "8388607"),
  typeCase("int", "int32", "-2147483648", "2147483647"),
  typeCase("int unsigned", "int64", "4294967295"),
  typeCase("bigint", "int64", "-9223372036854775808", "9223372036854775807"),
  typeCase("bigint unsigned", "uint64", "0", "18446744073709551615"),
  typeCase("bit(1)", "boolean", ["b'1'", "true"], ["b'0'", "false"]),
  typeCase(
    "bit(64)",
    "uint64",
    ["b'1'", "1"],
    [`b'${"1".repeat(64)}'`, "18446744073709551615"],
  ),
  typeCase("year", "int16", "1901", "2155", ["0", "0"]),
  typeCase(
    "float",
    "float32",
    ["0.1", "0.10000000149011612"],
    ["-3.40282e38", "-3.4028200183756237e+38"],
    ["1.25e-38", "1.249999990767144e-38"],
  ),
  typeCase(
    "double",
    "float64",
    ["0.1", "0.1"],
    ["1.7976931348623157e308", "1.7976931348623157e+308"],
    ["-2.2250738585072014e-308", "-2.2250738585072014e-308"],
  ),
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
    "decimal(65,30)",
    "decimalText",
    ...[`${"9".repeat(35)}.${"9".repeat(30)}`, `-0.${"0".repeat(29)}1`],
  ),
  typeCase("date", "date", "1000-01-01", "1969-12-31", "9999-12-31"),
  typeCase(
    "datetime(6)",
    "timestamp",
    ...["1000-01-01T00:00:00.000000", "9999-12-31T23:59:59.999999"],
  ),
  typeCase(
    "timestamp(6) NULL",
    "timestamptz",
    ["'1970-01-01 00:00:01.000001'", "1970-01-01T00:00:01.000001Z"],
    ["'2038-01-19 03:14:07.999999'", "2038-01-19T03:14:07.999999Z"],
  ),
  typeCase("time(6)", "text", "-838:59:59.000000", "838:59:58.999999"),
  typeCase("char(5)", "text", "abc", ""),
  typeCase(
    "text",
    "text",
    ...["", " ", "NULL", '""', "\\N", "żółw 🐢 é", "line\nbreak\ttab\r\n"],
    ...['a,b;"c"', "\u0001\u007f\u2028\ufeff", "straße/道路/🛣 ".repeat(1_500)],
  ),
  typeCase("varchar(20) CHARACTER SET latin1", "text", "straße €", ""),
  typeCase("varchar(20) CHARACTER SET ucs2", "text", "日本", ""),
  typeCase("enum('sad', 'happy day', 'żółw')", "text", "sad", "żółw"),
  typeCase("set('a', 'b', 'c')", "text", "", "a,c"),
  typeCase("json", "json", '{"a": [1, 2.5, null], "é": "🐢"}', "null", "[]"),
  typeCase("binary(4)", "binary", bytes("00ff1000")),
  typeCase("varbinary(20)", "binary", bytes(""), bytes("00ff10")),
  typeCase("blob", "binary", bytes(""), bytes("0afe".repeat(9_000))),
  typeCase("point", "binary", ["ST_GeomFromText('POINT(1 -2)')", wkbPoint]),
];

const ownTypes: Readonly<Record<MysqlFlavour, readonly TypeCase[]>> = {
  mysql: [],
  mariadb: [
    typeCase("uuid", "uuid", "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11"),
    typeCase("inet6", "text", "::1", "2001:db8::ff00:42:8329"),
  ],
};

const PACKET_BYTES_MAX = 1024 ** 3;

/** For connections from now on; a server without it sends no value above 16 or 64 MB. */
async function allowLargeValues(url: string): Promise<void> {
  const connection = await createConnection(url);
  try {
    await connection.query(
      `SET GLOBAL max_allowed_packet = ${PACKET_BYTES_MAX}`,
    );
  } finally {
    await connection.end();
  }
}

function describeServer(flavour: MysqlFlavour, name: string): SourceDriver {
  return {
    name,
    waivers: {},
    quoteName,
    typeName: ({ kind, precision, scale }) =>
      kind === "decimal64"
        ? `decimal(${precision}, ${scale})`
        : typeNames[kind as NeutralKind],
    literal: ({ kind }, cell) => {
      if (kind === "binary") return `x'${cell}'`;
      return kind === "boolean" ? cell : quoteText(cell);
    },
    addNullableKey: ({ name: table, nullableKey = [] }) =>
      `ALTER TABLE ${quoteName(table)} ADD UNIQUE (${nullableKey.map(quoteName).join(", ")})`,
    repeat: ({ kind }, pattern, count) =>
      kind === "binary"
        ? `repeat(x'${pattern}', ${count})`
        : `repeat(${quoteText(pattern)}, ${count})`,
    typeCases: [...commonTypes, ...ownTypes[flavour]],
    open: async (isFullSize) => {
      const { url, reason } = inject(
        flavour === "mysql" ? "mysqlServer" : "mariadbServer",
      );
      if (url === null) throw new Unavailable(reason);
      if (isFullSize) await allowLargeValues(url);
      const { value: database, close } = await hold<MysqlFixture>((use) =>
        withMysqlDatabase(flavour, url, use),
      );
      const [row] = await database.query("SELECT version() AS version");
      await database.query("SET time_zone = '+00:00'");
      return {
        url: database.url,
        namespace: database.database,
        version: `${name} ${String(row.version).split("-")[0]}`,
        exec: async (sql) => {
          await database.query(sql);
        },
        close,
      };
    },
  };
}

export const mysql = describeServer("mysql", "MySQL");
export const mariadb = describeServer("mariadb", "MariaDB");
