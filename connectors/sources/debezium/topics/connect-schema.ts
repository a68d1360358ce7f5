/**
 * A table's columns from the schema that a message carries (`schemas.enable=true` of the JSON converter).
 * @see Kafka Connect, JsonConverter: `{"schema": {"type": "struct", "fields": […]}, "payload": …}`
 */
import { ExtractError } from "../../../../proto/error.ts";
import type { ColumnSchema, LogicalType } from "../../../../proto/schema.ts";

export interface ConnectSchema {
  readonly type: string;
  readonly optional?: boolean;
  readonly name?: string;
  readonly field?: string;
  readonly parameters?: Readonly<Record<string, string>>;
  readonly fields?: readonly ConnectSchema[];
}

const COLUMNS_MAX = 2_000;
const DECIMAL64_DIGITS_MAX = 18;
const DECIMAL128_DIGITS_MAX = 38;

/** The schema of the message's value; null where it carries none. */
export function readSchema(value: unknown): ConnectSchema | null {
  if (typeof value !== "object" || value === null) return null;
  const { schema, payload } = value as Record<string, unknown>;
  if (payload === undefined || typeof schema !== "object" || schema === null)
    return null;
  return schema as ConnectSchema;
}

/**
 * The columns of the row's image behind a change.
 * @throws ExtractError SOURCE_EVENT_INVALID
 */
export function readColumns(envelope: ConnectSchema): ColumnSchema[] {
  const image = envelope.fields?.find(({ field }) => field === "after");
  const { fields } = image ?? {};
  if (
    !Array.isArray(fields) ||
    fields.length === 0 ||
    fields.length > COLUMNS_MAX
  )
    throw new ExtractError(
      "SOURCE_EVENT_INVALID",
      "the schema of a message has no columns of a row behind a change",
      {},
    );
  return (fields as readonly ConnectSchema[]).map((field) => ({
    name: String(field.field),
    type: resolveType(field),
    nullable: field.optional === true,
    sourceType: [field.type, field.name].filter(Boolean).join(" "),
  }));
}

/** A type that is none of these is refused by the decoder, which names it. */
function resolveType(field: ConnectSchema): LogicalType {
  const name = field.name ?? "";
  const ofTime = timeTypes.find(([pattern]) => pattern.test(name));
  if (ofTime !== undefined) return { kind: ofTime[1] };
  if (name === "org.apache.kafka.connect.data.Decimal") {
    const scale = Number(field.parameters?.["scale"] ?? 0);
    const precision = Number(
      field.parameters?.["connect.decimal.precision"] ?? Infinity,
    );
    if (precision > DECIMAL128_DIGITS_MAX || scale < 0 || scale > precision)
      return { kind: "decimalText", scale };
    const kind = precision > DECIMAL64_DIGITS_MAX ? "decimal128" : "decimal64";
    return { kind, precision, scale };
  }
  if (name === "io.debezium.data.Uuid") return { kind: "uuid" };
  if (name === "io.debezium.data.Json") return { kind: "json" };
  return { kind: plainTypes[field.type] ?? "binary" };
}

const timeTypes: readonly (readonly [RegExp, LogicalType["kind"]])[] = [
  [/[.](time|data)[.]Date$/, "date"],
  [/[.]time[.]NanoTimestamp$/, "timestampNs"],
  [/[.](time|data)[.](Micro)?Timestamp$/, "timestamp"],
  [/[.]time[.]ZonedTimestamp$/, "timestamptz"],
  [/[.]time[.]NanoTime$/, "timeNs"],
  [/[.](time|data)[.](Micro)?Time$/, "time"],
];

const plainTypes: Readonly<Record<string, LogicalType["kind"]>> = {
  int8: "int16",
  int16: "int16",
  int32: "int32",
  int64: "int64",
  float: "float32",
  double: "float64",
  boolean: "boolean",
  string: "text",
  bytes: "binary",
};
