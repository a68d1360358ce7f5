/**
 * The Avro schema of a stream. Avro 1.11, "Schema Declaration" and "Logical Types"; the nanoseconds are of 1.12, which a
 * reader that does not know them has to pass over ("must ignore"), so that it finds the number.
 */
import type {
  ColumnSchema,
  LogicalType,
  StreamSchema,
} from "../../../proto/schema.ts";
import { encodeName, encodeTypeName } from "./names.ts";

/** Digits of 2^64 - 1. */
const UINT64_DIGITS = 20;

/** The schema's JSON, for the file's header. */
export function describeSchema(schema: StreamSchema): string {
  const namespace = schema.namespace === "" ? "" : encodeName(schema.namespace);
  const name = encodeTypeName(schema.name);
  return JSON.stringify({
    type: "record",
    name,
    ...(namespace === "" ? {} : { namespace }),
    ...nameSource(schema.name, name),
    fields: schema.columns.map(describeField),
  });
}

/** Attributes that Avro does not define are metadata ("Schema Declaration"): readers pass over them. */
function nameSource(source: string, name: string): { sourceName?: string } {
  return source === name ? {} : { sourceName: source };
}

function describeField({
  name,
  type,
  nullable,
  sourceType,
}: ColumnSchema): object {
  const field = encodeName(name);
  const described = describeType(type);
  return {
    name: field,
    ...nameSource(name, field),
    sourceType,
    // with the default, a reader that knows the column reads files from before it was added ("Schema Resolution")
    ...(nullable
      ? { type: ["null", described], default: null }
      : { type: described }),
  };
}

function describeType(type: LogicalType): string | object {
  switch (type.kind) {
    case "boolean":
      return "boolean";
    case "int16":
    case "int32":
      return "int";
    case "int64":
      return "long";
    case "float32":
      return "float";
    case "float64":
      return "double";
    case "uint64":
      return describeDecimal(UINT64_DIGITS, 0);
    case "decimal64":
    case "decimal128":
      return describeDecimal(type.precision!, type.scale!);
    case "date":
      return { type: "int", logicalType: "date" };
    case "time":
      return { type: "long", logicalType: "time-micros" };
    case "timestamp":
      return { type: "long", logicalType: "local-timestamp-micros" };
    case "timestamptz":
      // the attribute is Iceberg's ("Appendix A: Avro"): with it, its readers give a time with time zone
      return {
        type: "long",
        logicalType: "timestamp-micros",
        "adjust-to-utc": true,
      };
    case "timestampNs":
      return { type: "long", logicalType: "local-timestamp-nanos" };
    case "uuid":
      return { type: "string", logicalType: "uuid" };
    case "timeNs":
    case "decimalText":
    case "text":
    case "json":
      return "string";
    case "binary":
      return "bytes";
  }
}

/**
 * On `bytes`: a `fixed` grows with the precision, and a reader with the schema of a wider column could not read files
 * from before ("Schema Resolution": both names and sizes match).
 */
function describeDecimal(precision: number, scale: number): object {
  return { type: "bytes", logicalType: "decimal", precision, scale };
}
