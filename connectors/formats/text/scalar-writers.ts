/** Writers of the fixed-width kinds; CSV and JSONL differ only in the quotes around them. */
import type { ColumnVector } from "../../../proto/columns.ts";
import type { LogicalType } from "../../../proto/schema.ts";
import {
  formatDecimal,
  INT64_CHARS_MAX,
  writeAscii,
  writeDecimal64,
  writeInt64,
  writeSigned,
} from "./digits.ts";
import { FLOAT_CHARS_MAX, writeFloat32, writeFloat64 } from "./floats.ts";
import { DateWriter, TimestampWriter, TimeWriter } from "./temporal-writers.ts";
import { ValueWriter, WordsWriter, type Quote } from "./value-writer.ts";

const DASH = 45;
const hexDigits = new TextEncoder().encode("0123456789abcdef");

/** @returns null for the variable-width kinds, which each format writes its own way */
export function createScalarWriter(
  type: LogicalType,
  quote: Quote,
): ValueWriter | null {
  switch (type.kind) {
    case "boolean":
      return new BooleanWriter();
    case "int16":
      return new Int16Writer();
    case "int32":
      return new Int32Writer();
    case "int64":
      return new Int64Writer();
    case "uint64":
      return new Uint64Writer();
    case "float32":
      return new FloatWriter(false, quote);
    case "float64":
      return new FloatWriter(true, quote);
    case "decimal64":
      return new Decimal64Writer(type.scale!);
    case "decimal128":
      return new Decimal128Writer(type.scale!);
    case "date":
      return new DateWriter(quote);
    case "time":
      return new TimeWriter(1e6, quote);
    case "timeNs":
      return new TimeWriter(1e9, quote);
    case "timestamp":
      return new TimestampWriter(1e6, false, quote);
    case "timestamptz":
      return new TimestampWriter(1e6, true, quote);
    case "timestampNs":
      return new TimestampWriter(1e9, false, quote);
    case "uuid":
      return new UuidWriter(quote);
    case "decimalText":
    case "text":
    case "json":
    case "binary":
      return null;
  }
}

class BooleanWriter extends ValueWriter {
  readonly bytesMax = 5;
  #bits: Uint8Array = new Uint8Array(0);

  write(row: number, out: Uint8Array, at: number): number {
    const isTrue = (this.#bits[row >>> 3]! & (1 << (row & 7))) !== 0;
    return writeAscii(out, at, isTrue ? "true" : "false");
  }

  unbind(): void {
    this.#bits = new Uint8Array(0);
    this.validity = null;
  }

  protected bindData(vector: ColumnVector): void {
    this.#bits = vector.data;
  }
}

class Int16Writer extends ValueWriter {
  readonly bytesMax = 6;
  #values: Int16Array = new Int16Array(0);

  write(row: number, out: Uint8Array, at: number): number {
    return writeSigned(out, at, this.#values[row]!);
  }

  unbind(): void {
    this.#values = new Int16Array(0);
    this.validity = null;
  }

  protected bindData(vector: ColumnVector, rowCount: number): void {
    const { buffer, byteOffset } = vector.data;
    this.#values = new Int16Array(buffer, byteOffset, rowCount);
  }
}

class Int32Writer extends WordsWriter {
  readonly bytesMax = 11;

  constructor() {
    super(1);
  }

  write(row: number, out: Uint8Array, at: number): number {
    return writeSigned(out, at, this.words[row]!);
  }
}

class Int64Writer extends WordsWriter {
  readonly bytesMax = INT64_CHARS_MAX;

  constructor() {
    super(2);
  }

  write(row: number, out: Uint8Array, at: number): number {
    return writeInt64(out, at, this.words[row * 2]!, this.words[row * 2 + 1]!);
  }
}

class Uint64Writer extends WordsWriter {
  readonly bytesMax = INT64_CHARS_MAX;

  constructor() {
    super(2);
  }

  write(row: number, out: Uint8Array, at: number): number {
    const high = this.words[row * 2 + 1]! >>> 0;
    return writeInt64(out, at, this.words[row * 2]!, high);
  }
}

class Decimal64Writer extends WordsWriter {
  /** Sign, 18 digits, a zero and a point. */
  readonly bytesMax = 22;
  readonly #scale: number;

  constructor(scale: number) {
    super(2);
    this.#scale = scale;
  }

  write(row: number, out: Uint8Array, at: number): number {
    const low = this.words[row * 2]!;
    const high = this.words[row * 2 + 1]!;
    return writeDecimal64(out, at, low, high, this.#scale);
  }
}

class Decimal128Writer extends WordsWriter {
  /** Sign, 39 digits, a zero and a point. */
  readonly bytesMax = 42;
  readonly #scale: number;

  constructor(scale: number) {
    super(4);
    this.#scale = scale;
  }

  write(row: number, out: Uint8Array, at: number): number {
    const words = this.words;
    const low = words[row * 4]!;
    const high = words[row * 4 + 1]!;
    const sign = high >> 31;
    // most values of wide decimals are small
    if (
      this.#scale <= 18 &&
      words[row * 4 + 2] === sign &&
      words[row * 4 + 3] === sign
    )
      return writeDecimal64(out, at, low, high, this.#scale);
    const unscaled =
      (BigInt(words[row * 4 + 3]!) << 96n) |
      (BigInt(words[row * 4 + 2]! >>> 0) << 64n) |
      (BigInt(high >>> 0) << 32n) |
      BigInt(low >>> 0);
    return writeAscii(out, at, formatDecimal(unscaled, this.#scale));
  }
}

/** NaN and the infinities, which JSON numbers do not have, stand in quotes where there are any. */
class FloatWriter extends WordsWriter {
  readonly bytesMax = FLOAT_CHARS_MAX + 2;
  readonly #isDouble: boolean;
  readonly #quote: Quote;
  #values: Float32Array | Float64Array = new Float64Array(0);

  constructor(isDouble: boolean, quote: Quote) {
    super(isDouble ? 2 : 1);
    this.#isDouble = isDouble;
    this.#quote = quote;
  }

  write(row: number, out: Uint8Array, at: number): number {
    const value = this.#values[row]!;
    if (!Number.isFinite(value)) {
      const text = String(value);
      return writeAscii(out, at, this.#quote === null ? text : `"${text}"`);
    }
    return this.#isDouble
      ? writeFloat64(out, at, value)
      : writeFloat32(out, at, value);
  }

  protected override bindData(vector: ColumnVector, rowCount: number): void {
    const { buffer, byteOffset } = vector.data;
    this.#values = this.#isDouble
      ? new Float64Array(buffer, byteOffset, rowCount)
      : new Float32Array(buffer, byteOffset, rowCount);
  }

  override unbind(): void {
    super.unbind();
    this.#values = new Float64Array(0);
  }
}

class UuidWriter extends ValueWriter {
  readonly bytesMax = 38;
  readonly #quote: Quote;
  #bytes: Uint8Array = new Uint8Array(0);

  constructor(quote: Quote) {
    super();
    this.#quote = quote;
  }

  write(row: number, out: Uint8Array, at: number): number {
    const bytes = this.#bytes;
    let end = at;
    if (this.#quote !== null) out[end++] = this.#quote;
    for (let i = 0; i < 16; i++) {
      if (i === 4 || i === 6 || i === 8 || i === 10) out[end++] = DASH;
      const byte = bytes[row * 16 + i]!;
      out[end++] = hexDigits[byte >>> 4]!;
      out[end++] = hexDigits[byte & 15]!;
    }
    if (this.#quote !== null) out[end++] = this.#quote;
    return end;
  }

  unbind(): void {
    this.#bytes = new Uint8Array(0);
    this.validity = null;
  }

  protected bindData(vector: ColumnVector): void {
    this.#bytes = vector.data;
  }
}
