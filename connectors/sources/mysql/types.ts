/**
 * MySQL and MariaDB types: the logical type each becomes, and how its values are decoded from binary rows.
 *
 * | MySQL | logical | why |
 * |---|---|---|
 * | tinyint, smallint, mediumint, int, bigint | int16, int16, int32, int32, int64 | |
 * | the same, unsigned | int16, int32, int32, int64, uint64 | the narrowest that holds all values |
 * | tinyint(1), not unsigned, and bit(1) | boolean | what BOOL is; a tinyint(1) other than 0 and 1 is not representable |
 * | bit(n) | uint64 | a number to the server in comparisons and arithmetic, 64 bits at most |
 * | year | int16 | 0 and 1901 to 2155 |
 * | float, double | float32, float64 | |
 * | decimal(p, s), p ≤ 18, ≤ 38, more | decimal64, decimal128, decimalText | |
 * | date, datetime, timestamp | date, timestamp, timestamptz | zero, partial and impossible dates and the year 0 are not representable |
 * | time | text, `[-]hh:mm:ss[.ffffff]` as the server prints it | −838:59:59 to 838:59:59: a duration, which a time of day cannot hold |
 * | char, varchar, text, enum, set, inet4, inet6 | text, in UTF-8 | converted by the server |
 * | json; MariaDB: longtext with its check | json | |
 * | binary, varbinary, blob, vector | binary | |
 * | geometry and its kinds | binary: WKB in axis order x, y | the server's four bytes of SRID in front are left out |
 * | uuid (MariaDB) | uuid | |
 *
 * A type that is not named here comes as the text or the bytes that the server sends for it.
 */
import { strict as assert } from "node:assert";
import type {
  ColumnSchema,
  LogicalType,
  UnrepresentablePolicy,
} from "../../../proto/schema.ts";
import { geometryTypes } from "../batches/geometry-types.ts";
import type { MysqlColumn } from "./stream.ts";

/** How the bytes of one value of a binary row become a value of the column buffer (`decode/` has each). */
export type WireKind =
  | "bool8" // tinyint(1): 1 byte
  | "bool" // bit(1): length, 1 byte
  | "int8" // 1 byte into an int16
  | "uint8"
  | "int16" // 2 bytes
  | "uint16" // 2 bytes into an int32
  | "bits32" // int4, float: 4 bytes
  | "uint32" // 4 bytes into an int64
  | "bits64" // bigint, double: 8 bytes
  | "bits" // bit(n): length, up to 8 bytes, big-endian
  | "decimal64" // length, digits
  | "decimal128"
  | "date" // length byte, 0 to 11 bytes of year, month, day …
  | "datetime"
  | "time" // length byte, 0 to 12 bytes
  | "uuid" // length, 36 characters
  | "geometry" // length, SRID, WKB
  | "bytes"; // length, bytes as they are

export interface ResolvedColumn {
  readonly type: LogicalType;
  readonly kind: WireKind;
}

const DECIMAL64_DIGITS_MAX = 18;
const DECIMAL128_DIGITS_MAX = 38;

const integerKinds: Readonly<
  Record<string, readonly [LogicalType["kind"], WireKind]>
> = {
  tinyint: ["int16", "int8"],
  "tinyint unsigned": ["int16", "uint8"],
  smallint: ["int16", "int16"],
  "smallint unsigned": ["int32", "uint16"],
  mediumint: ["int32", "bits32"],
  "mediumint unsigned": ["int32", "bits32"],
  int: ["int32", "bits32"],
  "int unsigned": ["int64", "uint32"],
  bigint: ["int64", "bits64"],
  "bigint unsigned": ["uint64", "bits64"],
};

const otherKinds: Readonly<
  Record<string, readonly [LogicalType["kind"], WireKind]>
> = {
  // both are sent as two bytes
  year: ["int16", "int16"],
  float: ["float32", "bits32"],
  double: ["float64", "bits64"],
  date: ["date", "date"],
  datetime: ["timestamp", "datetime"],
  timestamp: ["timestamptz", "datetime"],
  time: ["text", "time"],
  json: ["json", "bytes"],
  uuid: ["uuid", "uuid"],
  vector: ["binary", "bytes"],
};

const binaryTypes = new Set([
  "binary",
  "varbinary",
  "tinyblob",
  "blob",
  "mediumblob",
  "longblob",
]);

/** How a column travels. */
export function resolveColumn(column: MysqlColumn): ResolvedColumn {
  const { dataType } = column;
  if (dataType === "decimal") return resolveDecimal(column);
  if (dataType === "bit") {
    return column.precision === 1
      ? { type: { kind: "boolean" }, kind: "bool" }
      : { type: { kind: "uint64" }, kind: "bits" };
  }
  // zerofill implies unsigned
  if (/^tinyint\(1\)$/i.test(column.columnType)) {
    return { type: { kind: "boolean" }, kind: "bool8" };
  }
  const known =
    integerKinds[column.unsigned ? `${dataType} unsigned` : dataType] ??
    otherKinds[dataType];
  if (known !== undefined) return { type: { kind: known[0] }, kind: known[1] };
  if (binaryTypes.has(dataType)) {
    return { type: { kind: "binary" }, kind: "bytes" };
  }
  if (geometryTypes.has(dataType)) {
    return { type: { kind: "binary" }, kind: "geometry" };
  }
  const kind = column.jsonChecked ? "json" : "text";
  return { type: { kind }, kind: "bytes" };
}

/**
 * The column as every other part of the system sees it. Under the policy `null` a column whose type has values that
 * cannot be represented may hold NULL whatever its declaration says.
 */
export function columnSchema(
  column: MysqlColumn,
  policy: UnrepresentablePolicy = "error",
): ColumnSchema {
  const { type, kind } = resolveColumn(column);
  const mayBeNulled = policy === "null" && hasUnrepresentableValues(kind);
  return {
    name: column.name,
    type,
    nullable: column.nullable || mayBeNulled,
    sourceType: column.columnType,
  };
}

/** Whether values of this kind can fall outside their logical type. */
function hasUnrepresentableValues(kind: WireKind): boolean {
  return kind === "date" || kind === "datetime" || kind === "bool8";
}

function resolveDecimal({ precision, scale }: MysqlColumn): ResolvedColumn {
  assert(precision !== null && scale !== null, "a decimal without precision");
  if (precision > DECIMAL128_DIGITS_MAX) {
    return { type: { kind: "decimalText" }, kind: "bytes" };
  }
  const kind = precision > DECIMAL64_DIGITS_MAX ? "decimal128" : "decimal64";
  return { type: { kind, precision, scale }, kind };
}

/** Character sets in which a text that was converted to UTF-8 comes back as the same bytes. */
const roundTripCharsets = new Set([
  "ascii",
  "latin1",
  "ucs2",
  "utf16",
  "utf16le",
  "utf32",
  "utf8",
  "utf8mb3",
  "utf8mb4",
]);

/** Types whose order in comparisons with a constant is not the order of an index: texts of enums and sets, documents. */
const unorderedTypes = new Set(["enum", "set", "json", "vector"]);

/**
 * What a column can do as part of a key that ranges are cut on. `null`: no ranges at all, since a comparison with a
 * constant does not follow the index. `inexact`: ranges, but no place behind a row, since its text may not find the
 * row again (floats, and character sets with several codes for one character).
 */
export function rangeUse(column: MysqlColumn): "exact" | "inexact" | null {
  const { dataType } = column;
  if (unorderedTypes.has(dataType) || geometryTypes.has(dataType)) return null;
  if (dataType === "float" || dataType === "double") return "inexact";
  const { charset } = column;
  return charset === null || roundTripCharsets.has(charset)
    ? "exact"
    : "inexact";
}

/** The declared type as a key's `types` hold it: what `keyLiteral` and `keyText` go by. */
export function keyType(column: MysqlColumn): string {
  return column.charset === null
    ? column.columnType
    : `${column.columnType} CHARACTER SET ${column.charset} COLLATE ${column.collation}`;
}
