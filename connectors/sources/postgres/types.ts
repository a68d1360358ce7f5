/**
 * Postgres types: the logical type each becomes, how its values are asked for on the wire, and how they are decoded.
 *
 * | Postgres | logical | wire |
 * |---|---|---|
 * | bool, int2, int4, int8, float4, float8, uuid, bytea | the same | binary |
 * | oid | int64 | binary |
 * | numeric(p, s), p ≤ 18 or ≤ 38 | decimal64, decimal128 | text: the cheapest form for the server |
 * | numeric without or with more digits | decimalText, `NaN` and `Infinity` included | text |
 * | date, time, timestamp, timestamptz | the same, in µs | binary: independent of DateStyle and TimeZone |
 * | text, varchar, name, enums and every type not named here | text as its output function prints it | text |
 * | char(n) | text, with the padding that the server stores | text |
 * | json, jsonb | json | text |
 * | arrays, composite types | json, made by the server's `to_json` | text |
 *
 * Under our session settings intervals print as ISO 8601 durations, dates as ISO 8601, and floats inside arrays with
 * all their digits. `time` may be 24:00:00, which is 86,400,000,000 µs.
 */
import type { SourceColumn } from "./stream.ts";
import type {
  ColumnSchema,
  LogicalType,
  UnrepresentablePolicy,
} from "../../../proto/schema.ts";

/** How the bytes of one wire value become a value of the column buffer (`decode/` has one decoder for each). */
export type WireKind =
  | "bool"
  | "int16"
  | "bits32" // int4, float4: 4 bytes, turned around
  | "bits64" // int8, float8, time: 8 bytes, turned around
  | "uint32" // oid: 4 bytes into an int64
  | "date"
  | "timestamp"
  | "bits128" // uuid: 16 bytes as they are
  | "decimal64"
  | "decimal128"
  | "bytes"; // offsets and bytes, as they are

export interface WireFormat {
  /** Result format code of Bind: 0 text, 1 binary. */
  readonly format: 0 | 1;
  readonly kind: WireKind;
  /** The type oid that RowDescription must name. */
  readonly resultOid: number;
}

export interface ResolvedColumn {
  readonly type: LogicalType;
  readonly wire: WireFormat;
  /** What stands in the SELECT list. `quotedName` is already an identifier, e.g. `"amount"` or `t."amount"`. */
  readonly selectExpression: (quotedName: string) => string;
}

/** Type oids that never change. @see Postgres source, src/include/catalog/pg_type.dat */
export const oids = {
  bool: 16,
  bytea: 17,
  char: 18,
  name: 19,
  int8: 20,
  int2: 21,
  int4: 23,
  text: 25,
  oid: 26,
  json: 114,
  float4: 700,
  float8: 701,
  bpchar: 1042,
  varchar: 1043,
  date: 1082,
  time: 1083,
  timestamp: 1114,
  timestamptz: 1184,
  numeric: 1700,
  uuid: 2950,
  jsonb: 3802,
} as const;

const DECIMAL64_DIGITS_MAX = 18;
const DECIMAL128_DIGITS_MAX = 38;

/** Types whose output is the value and whose logical type differs from text, by oid. */
const fixedTypes: ReadonlyMap<
  number,
  readonly [LogicalType["kind"], WireKind, 0 | 1]
> = new Map([
  [oids.bool, ["boolean", "bool", 1]],
  [oids.int2, ["int16", "int16", 1]],
  [oids.int4, ["int32", "bits32", 1]],
  [oids.int8, ["int64", "bits64", 1]],
  [oids.oid, ["int64", "uint32", 1]],
  [oids.float4, ["float32", "bits32", 1]],
  [oids.float8, ["float64", "bits64", 1]],
  [oids.date, ["date", "date", 1]],
  [oids.time, ["time", "bits64", 1]],
  [oids.timestamp, ["timestamp", "timestamp", 1]],
  [oids.timestamptz, ["timestamptz", "timestamp", 1]],
  [oids.uuid, ["uuid", "bits128", 1]],
  [oids.bytea, ["binary", "bytes", 1]],
  [oids.json, ["json", "bytes", 0]],
  [oids.jsonb, ["json", "bytes", 0]],
] as const);

/**
 * How a column travels. `typeModifier` must be the domain's own (pg_type.typtypmod) for a column of a domain type,
 * since such a column has none of its own.
 */
export function resolveColumn(
  column: Pick<
    SourceColumn,
    "baseTypeOid" | "typeModifier" | "typeKind" | "typeCategory"
  >,
): ResolvedColumn {
  const oid = column.baseTypeOid;
  if (oid === oids.numeric) {
    return asIs(resolveNumeric(column.typeModifier), oid);
  }
  const fixed = fixedTypes.get(oid);
  if (fixed !== undefined) {
    const [kind, wireKind, format] = fixed;
    return asIs({ type: { kind }, wireKind, format }, oid);
  }
  if (column.typeCategory === "A" || column.typeKind === "c") {
    return {
      type: { kind: "json" },
      wire: { format: 0, kind: "bytes", resultOid: oids.json },
      selectExpression: (quotedName) => `pg_catalog.to_json(${quotedName})`,
    };
  }
  return asIs({ type: { kind: "text" }, wireKind: "bytes", format: 0 }, oid);
}

/**
 * The column as every other part of the system sees it. Under the policy `null` a column whose type has values that
 * cannot be represented may hold NULL whatever its declaration says.
 */
export function columnSchema(
  column: SourceColumn,
  policy: UnrepresentablePolicy = "error",
): ColumnSchema {
  const { type, wire } = resolveColumn(column);
  const mayBeNulled = policy === "null" && hasUnrepresentableValues(wire.kind);
  return {
    name: column.name,
    type,
    nullable: !column.notNull || mayBeNulled,
    sourceType: column.declaredType,
  };
}

/** Whether values of this kind can fall outside their logical type: infinity, BC, NaN. */
function hasUnrepresentableValues(kind: WireKind): boolean {
  return (
    kind === "date" ||
    kind === "timestamp" ||
    kind === "decimal64" ||
    kind === "decimal128"
  );
}

/** A name as SQL, quoted whatever it holds. */
export function quoteIdentifier(name: string): string {
  return `"${name.replaceAll('"', '""')}"`;
}

/** A text as an SQL literal, whatever standard_conforming_strings says. */
export function quoteLiteral(text: string): string {
  const quoted = `'${text.replaceAll("'", "''").replaceAll("\\", "\\\\")}'`;
  return text.includes("\\") ? ` E${quoted}` : quoted;
}

interface AsIs {
  readonly type: LogicalType;
  readonly wireKind: WireKind;
  readonly format: 0 | 1;
}

function asIs(resolved: AsIs, resultOid: number): ResolvedColumn {
  return {
    type: resolved.type,
    wire: { format: resolved.format, kind: resolved.wireKind, resultOid },
    selectExpression: (quotedName) => quotedName,
  };
}

/**
 * numeric by its type modifier: ((precision << 16) | scale) + 4, the scale a signed number of 11 bits since version
 * 15 and at most 1,000 before. A negative scale rounds to tens and is printed as a whole number; a scale above the
 * precision has zeros behind the point.
 * @see Postgres source, numeric_typmod_scale in src/backend/utils/adt/numeric.c
 */
function resolveNumeric(typeModifier: number): AsIs {
  if (typeModifier < 4) return decimalText;
  const packed = typeModifier - 4;
  const declaredPrecision = (packed >> 16) & 0xffff;
  const declaredScale = ((packed & 0x7ff) ^ 1024) - 1024;
  const scale = Math.max(declaredScale, 0);
  const precision =
    declaredScale < 0
      ? declaredPrecision - declaredScale
      : Math.max(declaredPrecision, declaredScale);
  if (precision > DECIMAL128_DIGITS_MAX) return decimalText;
  const kind = precision > DECIMAL64_DIGITS_MAX ? "decimal128" : "decimal64";
  return { type: { kind, precision, scale }, wireKind: kind, format: 0 };
}

const decimalText: AsIs = {
  type: { kind: "decimalText" },
  wireKind: "bytes",
  format: 0,
};
