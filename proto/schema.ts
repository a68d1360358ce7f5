/**
 * What a stream looks like on every channel and in every file: the logical types, and the columns built from them.
 * Every process, connector and format shares these words.
 */

/**
 * How one value lies in its column buffer (`columns.ts` has the layout):
 *
 * | kind | buffer |
 * |---|---|
 * | boolean | bitmap, LSB first |
 * | int16, int32, int64, uint64 | fixed width, little-endian |
 * | float32, float64 | IEEE 754, little-endian |
 * | decimal64 | int64, unscaled, precision at most 18 |
 * | decimal128 | 16 bytes, little-endian two's complement, unscaled, precision at most 38 |
 * | decimalText | exact digits as text: unbounded or wider than 38 digits |
 * | date | int32, days since 1970-01-01 |
 * | time, timestamp, timestamptz | int64, microseconds (since midnight; since 1970-01-01) |
 * | timeNs, timestampNs | int64, nanoseconds |
 * | uuid | 16 bytes, in the order they are printed |
 * | text, json, binary | int32 offsets and bytes; text and json are UTF-8 |
 */
export type LogicalKind =
  | "boolean"
  | "int16"
  | "int32"
  | "int64"
  | "uint64"
  | "float32"
  | "float64"
  | "decimal64"
  | "decimal128"
  | "decimalText"
  | "date"
  | "time"
  | "timestamp"
  | "timestamptz"
  | "timeNs"
  | "timestampNs"
  | "uuid"
  | "text"
  | "json"
  | "binary";

export interface LogicalType {
  readonly kind: LogicalKind;
  /** Decimal digits in all; only for decimal64 and decimal128. */
  readonly precision?: number;
  /** Decimal digits behind the point; only for decimal64 and decimal128. */
  readonly scale?: number;
}

export interface ColumnSchema {
  readonly name: string;
  readonly type: LogicalType;
  readonly nullable: boolean;
  /** The type as the source names it, e.g. `numeric(18,4)`: for people and for the fingerprint. */
  readonly sourceType: string;
}

export interface StreamSchema {
  /** Names the stream on the channels of one run; from 1. */
  readonly number: number;
  /** The schema of the database, e.g. `public`. */
  readonly namespace: string;
  readonly name: string;
  readonly columns: readonly ColumnSchema[];
  /** Columns of a unique key without NULLs, in key order: the primary one where it is. Left out: the source names none. */
  readonly key?: readonly string[];
  /** Hash of the columns: two runs agree on a stream's shape exactly when these are equal. */
  readonly fingerprint: string;
}

/** What is done with a value that its logical type cannot hold, e.g. `infinity` in a timestamp. */
export type UnrepresentablePolicy = "error" | "null";

/** Bytes of one value in a column's data buffer; 0 for boolean (bitmap) and for the variable-width kinds. */
export const fixedWidthBytes: Readonly<Record<LogicalKind, number>> = {
  boolean: 0,
  int16: 2,
  int32: 4,
  int64: 8,
  uint64: 8,
  float32: 4,
  float64: 8,
  decimal64: 8,
  decimal128: 16,
  decimalText: 0,
  date: 4,
  time: 8,
  timestamp: 8,
  timestamptz: 8,
  timeNs: 8,
  timestampNs: 8,
  uuid: 16,
  text: 0,
  json: 0,
  binary: 0,
};

/** Whether a column of this kind has an offsets buffer. */
export function isVariableWidth(kind: LogicalKind): boolean {
  return (
    kind === "text" ||
    kind === "json" ||
    kind === "binary" ||
    kind === "decimalText"
  );
}
