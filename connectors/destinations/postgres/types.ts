/** The Postgres type of each logical type. Pure. */
import type {
  ColumnSchema,
  LogicalKind,
  StreamSchema,
} from "../../../proto/schema.ts";
import type { NanosecondPolicy } from "./config.ts";
import { shortenIdentifier } from "./names.ts";

/** How a value travels in a binary COPY: which bytes are made from the column's buffer. */
export type CopyKind =
  | "bool"
  | "int16"
  | "bits32"
  | "bits64"
  | "bits128"
  | "date"
  | "timestamp"
  | "uint64"
  | "decimal64"
  | "decimal128"
  | "decimalText"
  | "bytes"
  | "jsonb"
  | "timeText"
  | "timestampText"
  | "timeCut"
  | "timestampCut";

/** A column as it is written. */
export interface TargetColumn {
  /** As the server has it: shortened where the source's is too long. */
  readonly name: string;
  /** As `format_type` prints it, so that it can be compared with what is there. */
  readonly type: string;
  readonly nullable: boolean;
  readonly copyKind: CopyKind;
  readonly logical: LogicalKind;
  /** Decimal digits behind the point; 0 for other kinds than decimal64 and decimal128. */
  readonly scale: number;
}

interface TypeRule {
  readonly type: string;
  readonly copyKind: CopyKind;
}

const rules: Readonly<Record<LogicalKind, TypeRule>> = {
  boolean: { type: "boolean", copyKind: "bool" },
  int16: { type: "smallint", copyKind: "int16" },
  int32: { type: "integer", copyKind: "bits32" },
  int64: { type: "bigint", copyKind: "bits64" },
  uint64: { type: "numeric(20,0)", copyKind: "uint64" },
  float32: { type: "real", copyKind: "bits32" },
  float64: { type: "double precision", copyKind: "bits64" },
  decimal64: { type: "numeric", copyKind: "decimal64" },
  decimal128: { type: "numeric", copyKind: "decimal128" },
  decimalText: { type: "numeric", copyKind: "decimalText" },
  date: { type: "date", copyKind: "date" },
  time: { type: "time without time zone", copyKind: "bits64" },
  timestamp: { type: "timestamp without time zone", copyKind: "timestamp" },
  timestamptz: { type: "timestamp with time zone", copyKind: "timestamp" },
  timeNs: { type: "text", copyKind: "timeText" },
  timestampNs: { type: "text", copyKind: "timestampText" },
  uuid: { type: "uuid", copyKind: "bits128" },
  text: { type: "text", copyKind: "bytes" },
  json: { type: "json", copyKind: "bytes" },
  binary: { type: "bytea", copyKind: "bytes" },
};

/** The columns of a stream's table, in the stream's order. */
export function targetColumns(
  schema: StreamSchema,
  nanoseconds: NanosecondPolicy,
): TargetColumn[] {
  return schema.columns.map((column) => ({
    name: shortenIdentifier(column.name),
    nullable: column.nullable,
    logical: column.type.kind,
    scale: column.type.scale ?? 0,
    ...ruleOf(column, nanoseconds),
  }));
}

/** The stream's key as columns of the table; null where it has none, or one that no index of Postgres can hold. */
export function targetKey(schema: StreamSchema): string[] | null {
  const { key, columns } = schema;
  if (!key || key.length === 0 || key.length > INDEX_COLUMNS_MAX) return null;
  const indexable = key.every((name) => {
    const column = columns.find((one) => one.name === name);
    return column !== undefined && isIndexable(column);
  });
  return indexable ? key.map((name) => shortenIdentifier(name)) : null;
}

/** @see Postgres manual, "PostgreSQL Limits" */
const INDEX_COLUMNS_MAX = 32;

/** json has no order; jsonb has. */
function isIndexable(column: ColumnSchema): boolean {
  return column.type.kind !== "json" || column.sourceType === "jsonb";
}

function ruleOf(
  { type, sourceType }: ColumnSchema,
  nanoseconds: NanosecondPolicy,
): TypeRule {
  const rule = rules[type.kind];
  switch (type.kind) {
    case "decimal64":
    case "decimal128":
      return {
        ...rule,
        type: `numeric(${type.precision ?? 38},${type.scale ?? 0})`,
      };
    case "json":
      return sourceType === "jsonb"
        ? { type: "jsonb", copyKind: "jsonb" }
        : rule;
    case "timeNs":
      return nanoseconds === "text"
        ? rule
        : { type: "time without time zone", copyKind: "timeCut" };
    case "timestampNs":
      return nanoseconds === "text"
        ? rule
        : { type: "timestamp without time zone", copyKind: "timestampCut" };
    default:
      return rule;
  }
}
