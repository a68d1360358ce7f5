/**
 * JSON Lines: one object a row, NULL as null. Integers and decimals of every size are JSON numbers with all their
 * digits (read them with a parser that keeps digits); NaN and the infinities, which JSON does not have, are the texts
 * "NaN", "Infinity", "-Infinity"; dates and times are ISO 8601 text, binary is base64, json stands as it is on one line.
 */
import type { ColumnSchema, StreamSchema } from "../../../proto/schema.ts";
import type { CompressionName } from "../format.ts";
import { RowEncoder } from "../text/row-encoder.ts";
import { createScalarWriter } from "../text/scalar-writers.ts";
import type { ValueWriter } from "../text/value-writer.ts";
import {
  Base64Writer,
  JsonWriter,
  NumberTextWriter,
  StringWriter,
} from "./writers.ts";

const QUOTE = 34;
const utf8 = new TextEncoder();

export class JsonlEncoder extends RowEncoder {
  constructor(
    schema: StreamSchema,
    compression: Exclude<CompressionName, "snappy">,
  ) {
    super(
      {
        header: new Uint8Array(0),
        rowStart: utf8.encode("{"),
        prefixes: schema.columns.map(({ name }, i) =>
          utf8.encode(`${i === 0 ? "" : ","}${JSON.stringify(name)}:`),
        ),
        nullText: utf8.encode("null"),
        rowEnd: utf8.encode("}\n"),
      },
      schema.columns.map(createJsonWriter),
      compression,
    );
  }
}

/** Writes a column's values as JSON. */
export function createJsonWriter({ type }: ColumnSchema): ValueWriter {
  const scalar = createScalarWriter(type, QUOTE);
  if (scalar) return scalar;
  switch (type.kind) {
    case "binary":
      return new Base64Writer();
    case "json":
      return new JsonWriter();
    case "decimalText":
      return new NumberTextWriter();
    default:
      return new StringWriter();
  }
}
