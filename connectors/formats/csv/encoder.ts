/**
 * CSV by RFC 4180, except that lines end in LF alone, as Postgres and most tools write them: a header line; NULL is an
 * empty field and empty text is `""`; quotes only where a value has a comma, a quote, CR or LF; binary as `\x` and hex.
 */
import type { ColumnSchema, StreamSchema } from "../../../proto/schema.ts";
import type { CompressionName } from "../format.ts";
import { RowEncoder } from "../text/row-encoder.ts";
import { createScalarWriter } from "../text/scalar-writers.ts";
import { BytesWriter, type ValueWriter } from "../text/value-writer.ts";

const QUOTE = 34;
const utf8 = new TextEncoder();
const hexDigits = utf8.encode("0123456789abcdef");

/** 1 for the bytes that ask for quotes: LF, CR, comma, quote. */
const mustQuote = new Uint8Array(256);
for (const byte of utf8.encode('\n\r,"')) mustQuote[byte] = 1;

export class CsvEncoder extends RowEncoder {
  constructor(
    schema: StreamSchema,
    compression: Exclude<CompressionName, "snappy">,
  ) {
    super(
      {
        header: encodeHeader(schema),
        rowStart: new Uint8Array(0),
        prefixes: schema.columns.map((_, i) => utf8.encode(i === 0 ? "" : ",")),
        nullText: new Uint8Array(0),
        rowEnd: utf8.encode("\n"),
      },
      schema.columns.map(createWriter),
      compression,
    );
  }
}

function encodeHeader(schema: StreamSchema): Uint8Array {
  const names = schema.columns.map(({ name }) =>
    name === "" || /[\n\r,"]/.test(name)
      ? `"${name.replaceAll('"', '""')}"`
      : name,
  );
  return utf8.encode(`${names.join(",")}\n`);
}

function createWriter({ type }: ColumnSchema): ValueWriter {
  const scalar = createScalarWriter(type, null);
  if (scalar) return scalar;
  return type.kind === "binary" ? new HexWriter() : new TextWriter();
}

class TextWriter extends BytesWriter {
  readonly bytesMax = 2;

  /** Twice the bytes, should each be a quote. */
  override bound(from: number, end: number): number {
    return (this.offsets[end]! - this.offsets[from]!) * 2;
  }

  write(row: number, out: Uint8Array, start: number): number {
    const bytes = this.bytes;
    const from = this.offsets[row]!;
    const end = this.offsets[row + 1]!;
    if (from === end) {
      out[start] = QUOTE;
      out[start + 1] = QUOTE;
      return start + 2;
    }
    let at = start;
    for (let i = from; i < end; i++) {
      const byte = bytes[i]!;
      // written as if no quotes were needed, and once more when they are
      if (mustQuote[byte] === 1) return this.#writeQuoted(row, out, start);
      out[at++] = byte;
    }
    return at;
  }

  #writeQuoted(row: number, out: Uint8Array, start: number): number {
    const end = this.offsets[row + 1]!;
    let at = start;
    out[at++] = QUOTE;
    for (let i = this.offsets[row]!; i < end; i++) {
      const byte = this.bytes[i]!;
      if (byte === QUOTE) out[at++] = QUOTE;
      out[at++] = byte;
    }
    out[at++] = QUOTE;
    return at;
  }
}

class HexWriter extends BytesWriter {
  readonly bytesMax = 2;

  override bound(from: number, end: number): number {
    return (this.offsets[end]! - this.offsets[from]!) * 2;
  }

  write(row: number, out: Uint8Array, start: number): number {
    const end = this.offsets[row + 1]!;
    let at = start;
    out[at++] = 92;
    out[at++] = 120;
    for (let i = this.offsets[row]!; i < end; i++) {
      const byte = this.bytes[i]!;
      out[at++] = hexDigits[byte >>> 4]!;
      out[at++] = hexDigits[byte & 15]!;
    }
    return at;
  }
}
