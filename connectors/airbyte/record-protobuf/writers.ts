/** Writes one column's values as protobuf values, row by row: each with its tag and its length. */
import type { ColumnVector } from "../../../proto/columns.ts";
import type { LogicalType } from "../../../proto/schema.ts";
import { TWO_POW_32, writeAscii } from "../../formats/text/digits.ts";
import { Base64Writer } from "../../formats/jsonl/writers.ts";
import { createScalarWriter } from "../../formats/text/scalar-writers.ts";
import {
  BytesWriter,
  ValueWriter,
  WordsWriter,
} from "../../formats/text/value-writer.ts";
import {
  localDateTimeTags,
  offsetDateTimeTags,
  recordTags,
  valueTags,
} from "./wire.ts";

const DAY_SECONDS = 86_400;
const NANOS = 1e9;

/** Tag and length of the value, tag of the member. */
const HEAD_BYTES = 3;
/** Of 64 bits. */
const VARINT_BYTES_MAX = 10;
/** A length of 32 bits. */
const LENGTH_BYTES_MAX = 5;

/** A value that is null, with its tag and length. */
export const nullValue = Uint8Array.of(recordTags.data, 2, valueTags.isNull, 1);

export function createProtobufWriter(type: LogicalType): ValueWriter {
  switch (type.kind) {
    case "boolean":
      return new BooleanWriter();
    case "int16":
      return new Int16Writer();
    case "int32":
      return new Int32Writer(valueTags.integer);
    case "int64":
      return new Int64Writer(false);
    case "uint64":
      return new Int64Writer(true);
    case "float32":
    case "float64":
      return new NumberWriter(type.kind === "float64");
    case "decimal64":
    case "decimal128":
      return new AsciiWriter(type, valueTags.bigDecimal);
    case "decimalText":
      return new DecimalTextWriter();
    case "date":
      return new Int32Writer(valueTags.date);
    case "time":
      return new TimeWriter(1000);
    case "timeNs":
      return new TimeWriter(1);
    case "timestamptz":
      return new TimestampWriter(1e6, true);
    case "timestamp":
      return new TimestampWriter(1e6, false);
    case "timestampNs":
      return new TimestampWriter(NANOS, false);
    case "uuid":
      return new AsciiWriter(type, valueTags.text);
    case "text":
      return new TextWriter(valueTags.text);
    case "json":
      return new JsonBytesWriter();
    case "binary":
      return new BinaryWriter();
  }
}

/** Every function writes at `at` and returns the place behind what it wrote. */

/** @param value an integer in [0, 2^53] */
function writeVarint(out: Uint8Array, at: number, value: number): number {
  let rest = value;
  let place = at;
  while (rest >= TWO_POW_32) {
    out[place++] = (rest % 128) | 0x80;
    rest = Math.floor(rest / 128);
  }
  return writeVarint32(out, place, rest >>> 0);
}

/** @param value an unsigned integer of 32 bits */
export function writeVarint32(
  out: Uint8Array,
  at: number,
  value: number,
): number {
  let rest = value;
  let place = at;
  while (rest >= 128) {
    out[place++] = (rest & 0x7f) | 0x80;
    rest >>>= 7;
  }
  out[place] = rest;
  return place + 1;
}

/** Bytes of a length. */
export function countVarint(value: number): number {
  let bytes = 1;
  for (let bound = 128; value >= bound; bound *= 128) bytes++;
  return bytes;
}

/** @param value an integer in [-2^52, 2^52] */
function writeZigzag(out: Uint8Array, at: number, value: number): number {
  return writeVarint(out, at, value >= 0 ? value * 2 : -value * 2 - 1);
}

/** Zigzag of the int64 of two halves. */
function writeZigzag64(
  out: Uint8Array,
  at: number,
  low: number,
  high: number,
): number {
  const sign = high >> 31;
  return writeVarint64(
    out,
    at,
    ((low << 1) ^ sign) >>> 0,
    (((high << 1) | (low >>> 31)) ^ sign) >>> 0,
  );
}

/** @param low unsigned @param high unsigned */
function writeVarint64(
  out: Uint8Array,
  at: number,
  low: number,
  high: number,
): number {
  let place = at;
  let rest = low;
  let above = high;
  while (above !== 0) {
    out[place++] = (rest & 0x7f) | 0x80;
    rest = ((rest >>> 7) | (above << 25)) >>> 0;
    above >>>= 7;
  }
  return writeVarint32(out, place, rest);
}

class BooleanWriter extends ValueWriter {
  readonly bytesMax = HEAD_BYTES + 1;
  #bits: Uint8Array = new Uint8Array(0);

  write(row: number, out: Uint8Array, at: number): number {
    out[at] = recordTags.data;
    out[at + 1] = 2;
    out[at + 2] = valueTags.boolean;
    out[at + 3] = (this.#bits[row >>> 3]! >>> (row & 7)) & 1;
    return at + 4;
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
  readonly bytesMax = HEAD_BYTES + 3;
  #values: Int16Array = new Int16Array(0);

  write(row: number, out: Uint8Array, at: number): number {
    const value = this.#values[row]!;
    out[at] = recordTags.data;
    out[at + 2] = valueTags.integer;
    const zigzag = ((value << 1) ^ (value >> 31)) >>> 0;
    const end = writeVarint32(out, at + HEAD_BYTES, zigzag);
    out[at + 1] = end - at - 2;
    return end;
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

/** Integers of 32 bits, and dates. */
class Int32Writer extends WordsWriter {
  readonly bytesMax = HEAD_BYTES + 5;
  readonly #tag: number;

  constructor(tag: number) {
    super(1);
    this.#tag = tag;
  }

  write(row: number, out: Uint8Array, at: number): number {
    const value = this.words[row]!;
    out[at] = recordTags.data;
    out[at + 2] = this.#tag;
    const zigzag = ((value << 1) ^ (value >> 31)) >>> 0;
    const end = writeVarint32(out, at + HEAD_BYTES, zigzag);
    out[at + 1] = end - at - 2;
    return end;
  }
}

/** Whose digits do not fit into 63 bits are sent as such. */
class Int64Writer extends WordsWriter {
  /** Sign and 20 digits. */
  readonly bytesMax = HEAD_BYTES + 1 + 21;
  readonly #isUnsigned: boolean;

  constructor(isUnsigned: boolean) {
    super(2);
    this.#isUnsigned = isUnsigned;
  }

  write(row: number, out: Uint8Array, at: number): number {
    const low = this.words[row * 2]!;
    const high = this.words[row * 2 + 1]!;
    out[at] = recordTags.data;
    let end: number;
    if (
      this.#isUnsigned
        ? high >>> 0 < 0x40000000
        : high >= -0x40000000 && high < 0x40000000
    ) {
      out[at + 2] = valueTags.integer;
      end = writeZigzag64(out, at + HEAD_BYTES, low, high);
    } else {
      const above = BigInt(this.#isUnsigned ? high >>> 0 : high);
      const digits = ((above << 32n) | BigInt(low >>> 0)).toString();
      out[at + 2] = valueTags.bigInteger;
      out[at + 3] = digits.length;
      end = writeAscii(out, at + 4, digits);
    }
    out[at + 1] = end - at - 2;
    return end;
  }
}

/** IEEE 754 with 64 bits, whatever it is. */
class NumberWriter extends WordsWriter {
  readonly bytesMax = HEAD_BYTES + 8;
  readonly #isDouble: boolean;
  #singles: Float32Array = new Float32Array(0);
  readonly #double = new Float64Array(1);
  readonly #bytes = new Uint8Array(this.#double.buffer);
  #data: Uint8Array = new Uint8Array(0);

  constructor(isDouble: boolean) {
    super(isDouble ? 2 : 1);
    this.#isDouble = isDouble;
  }

  write(row: number, out: Uint8Array, at: number): number {
    out[at] = recordTags.data;
    out[at + 1] = 9;
    out[at + 2] = valueTags.number;
    let bytes = this.#data;
    let from = row * 8;
    if (!this.#isDouble) {
      this.#double[0] = this.#singles[row]!;
      bytes = this.#bytes;
      from = 0;
    }
    for (let i = 0; i < 8; i++) out[at + HEAD_BYTES + i] = bytes[from + i]!;
    return at + HEAD_BYTES + 8;
  }

  protected override bindData(vector: ColumnVector, rowCount: number): void {
    const { buffer, byteOffset } = vector.data;
    if (this.#isDouble) this.#data = vector.data;
    else this.#singles = new Float32Array(buffer, byteOffset, rowCount);
  }

  override unbind(): void {
    super.unbind();
    this.#data = new Uint8Array(0);
    this.#singles = new Float32Array(0);
  }
}

/** Digits and letters that are never 128 bytes: decimals with a precision, UUIDs. */
class AsciiWriter extends ValueWriter {
  readonly bytesMax: number;
  readonly #text: ValueWriter;
  readonly #tag: number;

  constructor(type: LogicalType, tag: number) {
    super();
    const text = createScalarWriter(type, null);
    if (!text) throw new Error(`${type.kind} has no text of a fixed width`);
    this.#text = text;
    this.#tag = tag;
    this.bytesMax = HEAD_BYTES + 1 + text.bytesMax;
  }

  write(row: number, out: Uint8Array, at: number): number {
    out[at] = recordTags.data;
    out[at + 2] = this.#tag;
    const end = this.#text.write(row, out, at + 4);
    out[at + 3] = end - at - 4;
    out[at + 1] = end - at - 2;
    return end;
  }

  unbind(): void {
    this.#text.unbind();
    this.validity = null;
  }

  protected bindData(vector: ColumnVector, rowCount: number): void {
    this.#text.bind(vector, rowCount);
  }
}

class TimeWriter extends WordsWriter {
  readonly bytesMax = HEAD_BYTES + VARINT_BYTES_MAX;
  readonly #nanosPerUnit: number;

  constructor(nanosPerUnit: number) {
    super(2);
    this.#nanosPerUnit = nanosPerUnit;
  }

  write(row: number, out: Uint8Array, at: number): number {
    const units =
      this.words[row * 2 + 1]! * TWO_POW_32 + (this.words[row * 2]! >>> 0);
    out[at] = recordTags.data;
    out[at + 2] = valueTags.time;
    const nanos = units * this.#nanosPerUnit;
    // MySQL has times below zero and above a day: as a varint of 64 bits they stay what they are
    const end =
      nanos >= 0
        ? writeVarint(out, at + HEAD_BYTES, nanos)
        : writeNegative(out, at + HEAD_BYTES, nanos);
    out[at + 1] = end - at - 2;
    return end;
  }
}

function writeNegative(out: Uint8Array, at: number, value: number): number {
  const bits = BigInt.asUintN(64, BigInt(value));
  const low = Number(bits & 0xffffffffn);
  return writeVarint64(out, at, low, Number(bits >> 32n));
}

class TimestampWriter extends WordsWriter {
  /** Its own length, two tags, and two numbers. */
  readonly bytesMax = HEAD_BYTES + 3 + 2 * VARINT_BYTES_MAX;
  readonly #unitsPerSecond: number;
  readonly #isUtc: boolean;

  constructor(unitsPerSecond: number, isUtc: boolean) {
    super(2);
    this.#unitsPerSecond = unitsPerSecond;
    this.#isUtc = isUtc;
  }

  write(row: number, out: Uint8Array, at: number): number {
    const low = this.words[row * 2]!;
    const high = this.words[row * 2 + 1]!;
    // schoolbook division by 10^6, exact over the whole range of an int64
    const highQuotient = Math.floor(high / 1e6);
    const rest = (high - highQuotient * 1e6) * TWO_POW_32 + (low >>> 0);
    const restQuotient = Math.floor(rest / 1e6);
    const quotient = highQuotient * TWO_POW_32 + restQuotient;
    const remainder = rest - restQuotient * 1e6;
    let seconds = quotient;
    let nanos = remainder * 1000;
    if (this.#unitsPerSecond === NANOS) {
      seconds = Math.floor(quotient / 1000);
      nanos = (quotient - seconds * 1000) * 1e6 + remainder;
    }
    out[at] = recordTags.data;
    let end = at + 4;
    if (this.#isUtc) {
      out[at + 2] = valueTags.timestampUtc;
      if (seconds !== 0) {
        out[end] = offsetDateTimeTags.epochSecond;
        end = writeZigzag(out, end + 1, seconds);
      }
      if (nanos !== 0) {
        out[end] = offsetDateTimeTags.nano;
        end = writeVarint32(out, end + 1, nanos);
      }
    } else {
      const days = Math.floor(seconds / DAY_SECONDS);
      const ofDay = (seconds - days * DAY_SECONDS) * NANOS + nanos;
      out[at + 2] = valueTags.timestamp;
      if (days !== 0) {
        out[end] = localDateTimeTags.days;
        end = writeZigzag(out, end + 1, days);
      }
      if (ofDay !== 0) {
        out[end] = localDateTimeTags.nanosOfDay;
        end = writeVarint(out, end + 1, ofDay);
      }
    }
    out[at + 3] = end - at - 4;
    out[at + 1] = end - at - 2;
    return end;
  }
}

/** Bytes behind two lengths, of which the larger one counts the other. */
class TextWriter extends BytesWriter {
  readonly bytesMax: number = HEAD_BYTES + 2 * LENGTH_BYTES_MAX;
  readonly #tag: number;

  constructor(tag: number) {
    super();
    this.#tag = tag;
  }

  override bound(from: number, end: number): number {
    return this.offsets[end]! - this.offsets[from]!;
  }

  write(row: number, out: Uint8Array, at: number): number {
    const from = this.offsets[row]!;
    const end = this.offsets[row + 1]!;
    let place = beginBytes(out, at, this.#tag, end - from);
    if (end - from > COPIED_BYTES_MAX) {
      out.set(this.bytes.subarray(from, end), place);
      return place + end - from;
    }
    for (let i = from; i < end; i++) out[place++] = this.bytes[i]!;
    return place;
  }
}

/** Longer values are copied by the system, which costs a view. */
const COPIED_BYTES_MAX = 48;

function beginBytes(
  out: Uint8Array,
  at: number,
  tag: number,
  length: number,
): number {
  out[at] = recordTags.data;
  const inner = 1 + countVarint(length) + length;
  const place = writeVarint32(out, at + 1, inner);
  out[place] = tag;
  return writeVarint32(out, place + 1, length);
}

/** No bytes at all are no document: null, as in a file of JSON. */
class JsonBytesWriter extends TextWriter {
  constructor() {
    super(valueTags.json);
  }

  override write(row: number, out: Uint8Array, at: number): number {
    if (this.offsets[row] !== this.offsets[row + 1])
      return super.write(row, out, at);
    const place = beginBytes(out, at, valueTags.json, 4);
    return writeAscii(out, place, "null");
  }
}

/** Digits as they are; NaN and the infinities, which are none, as a double. */
class DecimalTextWriter extends TextWriter {
  readonly #double = new Float64Array(1);
  readonly #eight = new Uint8Array(this.#double.buffer);

  constructor() {
    super(valueTags.bigDecimal);
  }

  override write(row: number, out: Uint8Array, at: number): number {
    const from = this.offsets[row]!;
    const last = this.bytes[this.offsets[row + 1]! - 1] ?? 0;
    // every number ends in a digit, or a point
    if (last < 58) return super.write(row, out, at);
    const isNegative = this.bytes[from] === 45;
    // `NaN` ends in N, `Infinity` does not
    this.#double[0] = last === 78 ? NaN : isNegative ? -Infinity : Infinity;
    out[at] = recordTags.data;
    out[at + 1] = 9;
    out[at + 2] = valueTags.number;
    out.set(this.#eight, at + HEAD_BYTES);
    return at + HEAD_BYTES + 8;
  }
}

/** Base64, as text. */
class BinaryWriter extends Base64Writer {
  override readonly bytesMax: number = HEAD_BYTES + 2 * LENGTH_BYTES_MAX + 6;

  override write(row: number, out: Uint8Array, at: number): number {
    const bytes = this.offsets[row + 1]! - this.offsets[row]!;
    const length = Math.ceil(bytes / 3) * 4;
    const begun = beginBytes(out, at, valueTags.text, length);
    // it writes quotes around its digits, the first of them over the last byte of the length
    const kept = out[begun - 1]!;
    super.write(row, out, begun - 1);
    out[begun - 1] = kept;
    return begun + length;
  }
}
