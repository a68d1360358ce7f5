/**
 * Values of records into column buffers, whichever way they came: as JSON or as protobuf. What a column's type cannot
 * hold, to the last digit, is refused by the reason that is returned; nothing is cut and nothing is guessed at.
 */
import type { LogicalType } from "../../../proto/schema.ts";
import {
  endValue,
  growValues,
  type ColumnStore,
} from "../batches/batch-set.ts";
import { writeBase64, writeUuid } from "../batches/json-values.ts";
import { Integer64, readDouble, writeDecimal } from "../../json/numbers.ts";
import { MomentReading } from "./moments.ts";

/** Null: it is written. Else why the column cannot hold it, and nothing is. */
export type Refusal = string | null;

/** Digits that every double gives back. */
const DOUBLE_DIGITS_MAX = 15;
/** Digits that `toPrecision` writes. */
const PRECISION_MAX = 100;
/** Bytes of a number that is looked at as text. */
const NUMBER_BYTES_MAX = 4_096;
const PLAIN_DIGITS_MAX = 65_536;
const DAY_NANOS = 86_400e9;
const INT32_MIN = -2_147_483_648;
const INT32_MAX = 2_147_483_647;
/** Days around 1970 whose nanoseconds 64 bits hold. */
const NANO_DAYS_MAX = 106_750;
/** Days around 1970 whose microseconds 64 bits hold: 290,000 years. */
const MICRO_DAYS_MAX = 106_000_000;

const decoder = new TextDecoder("latin1");

export class ValueWriter {
  readonly #integer = new Integer64();
  readonly #moment = new MomentReading();
  readonly #double = new Float64Array(1);
  readonly #doubleWords = new Int32Array(this.#double.buffer);
  readonly #float = new Float32Array(1);
  readonly #floatWords = new Int32Array(this.#float.buffer);

  writeBoolean(
    { kind }: LogicalType,
    store: ColumnStore,
    row: number,
    value: boolean,
  ): Refusal {
    if (kind === "boolean") {
      if (value)
        store.fixed[row >> 3] = (store.fixed[row >> 3] ?? 0) | (1 << (row & 7));
      return null;
    }
    if (kind !== "text" && kind !== "json")
      return "a boolean is no value of it";
    return writeAscii(store, row, value ? "true" : "false");
  }

  /** Digits as JSON has them: perhaps with a minus, a point, an exponent. */
  writeNumber(
    type: LogicalType,
    store: ColumnStore,
    row: number,
    bytes: Uint8Array,
    start: number,
    end: number,
    isInteger: boolean,
  ): Refusal {
    switch (type.kind) {
      case "int16":
      case "int32":
      case "int64":
      case "uint64": {
        if (isInteger)
          return this.#writeDigits(type, store, row, bytes, start, end);
        const plain = toPlain(bytes, start, end);
        const whole = plain === null ? null : /^(-?\d+)(?:\.0*)?$/.exec(plain);
        const digits = whole?.[1];
        if (digits === undefined) return "it is no whole number";
        const text = Buffer.from(digits, "latin1");
        return this.#writeDigits(type, store, row, text, 0, text.length);
      }
      case "float32":
      case "float64": {
        const value = readDouble(bytes, start, end);
        if (!Number.isFinite(value)) return "no double is as large";
        if (
          end - start > DOUBLE_DIGITS_MAX &&
          type.kind === "float64" &&
          !isExact(value, bytes, start, end)
        )
          return "a double would round it";
        return this.#writeFloat(type.kind === "float32", store, row, value);
      }
      case "decimal64":
      case "decimal128": {
        const { precision = 0, scale = 0 } = type;
        const written = writeDecimal(
          store,
          row,
          type.kind === "decimal64" ? 2 : 4,
          { precision, scale },
          bytes,
          start,
          end,
        );
        return written === "written"
          ? null
          : `it has more digits than the ${precision} with ${scale} behind the point that the column has`;
      }
      case "decimalText": {
        const plain = toPlain(bytes, start, end);
        return plain === null
          ? "it has too many digits"
          : writeAscii(store, row, plain);
      }
      case "text":
      case "json":
        return copyBytes(store, row, bytes, start, end);
      default:
        return "a number is no value of it";
    }
  }

  /** A text in UTF-8, without quotes or escapes. */
  writeText(
    type: LogicalType,
    store: ColumnStore,
    row: number,
    bytes: Uint8Array,
    start: number,
    end: number,
  ): Refusal {
    switch (type.kind) {
      case "text":
        return copyBytes(store, row, bytes, start, end);
      case "json": {
        const text = Buffer.from(bytes.subarray(start, end)).toString("utf8");
        const quoted = Buffer.from(JSON.stringify(text));
        return copyBytes(store, row, quoted, 0, quoted.length);
      }
      case "binary":
        if (!writeBase64(store, bytes, start, end)) return "it is no base64";
        endValue(store, row);
        return null;
      case "uuid":
        return writeUuid(store, row, bytes, start, end)
          ? null
          : "it is no UUID";
      case "date":
        // a moment at midnight is its day
        if (!this.#moment.readMoment(bytes, start, end)) return "it is no date";
        return this.#moment.nanos === 0
          ? this.writeDays(type, store, row, this.#moment.days)
          : "it is no date but a moment";
      case "time":
      case "timeNs":
        if (!this.#moment.readTime(bytes, start, end))
          return "it is no time of day";
        if ((this.#moment.offsetSeconds ?? 0) !== 0)
          return "it has an offset, and the column has none";
        return this.writeTime(type, store, row, this.#moment.nanos);
      case "timestamp":
      case "timestampNs":
      case "timestamptz":
        return this.#writeMomentText(type, store, row, bytes, start, end);
      case "boolean":
        return "a text is no value of it";
      default:
        return this.#writeNumberText(type, store, row, bytes, start, end);
    }
  }

  #writeMomentText(
    type: LogicalType,
    store: ColumnStore,
    row: number,
    bytes: Uint8Array,
    start: number,
    end: number,
  ): Refusal {
    const moment = this.#moment;
    if (!moment.readMoment(bytes, start, end)) return "it is no date and time";
    if (type.kind === "timestamptz") moment.toUtc();
    else if ((moment.offsetSeconds ?? 0) !== 0)
      return "it has an offset, and the column has none";
    return this.writeMoment(type, store, row, moment.days, moment.nanos);
  }

  /** A number that came as text: where JSON has no way to say it, or the sender did not trust JSON with it. */
  #writeNumberText(
    type: LogicalType,
    store: ColumnStore,
    row: number,
    bytes: Uint8Array,
    start: number,
    end: number,
  ): Refusal {
    if (end - start > NUMBER_BYTES_MAX) return "it is no number";
    const text = decoder.decode(bytes.subarray(start, end));
    if (/^-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?$/.test(text))
      return this.writeNumber(
        type,
        store,
        row,
        bytes,
        start,
        end,
        /^-?\d+$/.test(text),
      );
    const isFloat = type.kind === "float32" || type.kind === "float64";
    if (isFloat && /^(?:NaN|-?Infinity)$/.test(text))
      return this.#writeFloat(
        type.kind === "float32",
        store,
        row,
        Number(text),
      );
    return "it is no number";
  }

  /** An integer of 64 bits in two halves. */
  writeInteger(
    type: LogicalType,
    store: ColumnStore,
    row: number,
    low: number,
    high: number,
  ): Refusal {
    const { words } = store;
    switch (type.kind) {
      case "int64":
      case "uint64":
        if (type.kind === "uint64" && high < 0) return "it is below zero";
        words[2 * row] = low;
        words[2 * row + 1] = high;
        return null;
      case "int16":
      case "int32": {
        if (low >> 31 !== high) return "it is too large";
        return writeSmall(type.kind, store, row, low);
      }
      default: {
        this.#integer.low = low;
        this.#integer.high = high;
        const digits = Buffer.from(this.#integer.toBigInt().toString());
        return this.writeNumber(
          type,
          store,
          row,
          digits,
          0,
          digits.length,
          true,
        );
      }
    }
  }

  writeDouble(
    type: LogicalType,
    store: ColumnStore,
    row: number,
    value: number,
  ): Refusal {
    if (type.kind === "float32" || type.kind === "float64")
      return this.#writeFloat(type.kind === "float32", store, row, value);
    if (!Number.isFinite(value)) return `${value} is no value of it`;
    const text = Buffer.from(String(value), "latin1");
    return this.writeNumber(
      type,
      store,
      row,
      text,
      0,
      text.length,
      Number.isInteger(value) && Math.abs(value) < 1e21,
    );
  }

  /** Days from 1970-01-01. */
  writeDays(
    { kind }: LogicalType,
    store: ColumnStore,
    row: number,
    days: number,
  ): Refusal {
    if (kind === "date") {
      if (days < INT32_MIN || days > INT32_MAX) return "no date is as far away";
      store.words[row] = days;
      return null;
    }
    if (
      kind === "timestamp" ||
      kind === "timestamptz" ||
      kind === "timestampNs"
    )
      return this.writeMoment({ kind }, store, row, days, 0);
    return "a date is no value of it";
  }

  /** From midnight. */
  writeTime(
    { kind }: LogicalType,
    store: ColumnStore,
    row: number,
    nanos: number,
  ): Refusal {
    if (!(nanos >= 0 && nanos < DAY_NANOS)) return "it is no time of day";
    if (kind === "timeNs") {
      this.#integer.set(nanos);
      return this.#putInteger(store, row);
    }
    if (kind !== "time") return "a time of day is no value of it";
    if (nanos % 1_000 !== 0) return "it has nanoseconds";
    this.#integer.set(nanos / 1_000);
    return this.#putInteger(store, row);
  }

  /** Of the column's own clock: UTC where it has a zone. */
  writeMoment(
    { kind }: LogicalType,
    store: ColumnStore,
    row: number,
    days: number,
    nanos: number,
  ): Refusal {
    if (kind === "timestampNs") {
      if (Math.abs(days) > NANO_DAYS_MAX) return "it is too far away";
      const total = BigInt(days) * 86_400_000_000_000n + BigInt(nanos);
      store.words[2 * row] = Number(BigInt.asIntN(32, total));
      store.words[2 * row + 1] = Number(total >> 32n);
      return null;
    }
    if (kind === "date")
      return nanos === 0
        ? this.writeDays({ kind }, store, row, days)
        : "it is no date but a moment";
    if (kind !== "timestamp" && kind !== "timestamptz")
      return "a moment is no value of it";
    if (nanos % 1_000 !== 0) return "it has nanoseconds";
    if (Math.abs(days) > MICRO_DAYS_MAX) return "it is too far away";
    const second = Math.floor(nanos / 1e9);
    this.#integer.setProduct(
      days * 86_400 + second,
      1_000_000,
      (nanos - second * 1e9) / 1_000,
    );
    return this.#putInteger(store, row);
  }

  /** Any JSON value, as it is written. */
  writeJson(
    { kind }: LogicalType,
    store: ColumnStore,
    row: number,
    bytes: Uint8Array,
    start: number,
    end: number,
  ): Refusal {
    return kind === "json" || kind === "text"
      ? copyBytes(store, row, bytes, start, end)
      : "an object or a list is no value of it";
  }

  /** Bytes as they are. */
  writeBytes(
    { kind }: LogicalType,
    store: ColumnStore,
    row: number,
    bytes: Uint8Array,
    start: number,
    end: number,
  ): Refusal {
    return kind === "binary"
      ? copyBytes(store, row, bytes, start, end)
      : "bytes are no value of it";
  }

  #writeDigits(
    { kind }: LogicalType,
    store: ColumnStore,
    row: number,
    bytes: Uint8Array,
    start: number,
    end: number,
  ): Refusal {
    const integer = this.#integer;
    if (!integer.read(bytes, start, end, kind === "uint64"))
      return "64 bits do not hold it";
    if (kind === "int64" || kind === "uint64") {
      return this.#putInteger(store, row);
    }
    if (integer.low >> 31 !== integer.high) return "it is too large";
    return writeSmall(kind, store, row, integer.low);
  }

  #putInteger({ words }: ColumnStore, row: number): null {
    words[2 * row] = this.#integer.low;
    words[2 * row + 1] = this.#integer.high;
    return null;
  }

  #writeFloat(
    isSingle: boolean,
    { words }: ColumnStore,
    row: number,
    value: number,
  ): Refusal {
    if (isSingle) {
      this.#float[0] = value;
      words[row] = this.#floatWords[0] ?? 0;
      return null;
    }
    this.#double[0] = value;
    words[2 * row] = this.#doubleWords[0] ?? 0;
    words[2 * row + 1] = this.#doubleWords[1] ?? 0;
    return null;
  }
}

function writeSmall(
  kind: LogicalType["kind"],
  { halves, words }: ColumnStore,
  row: number,
  value: number,
): Refusal {
  if (kind === "int32") {
    words[row] = value;
    return null;
  }
  if ((value << 16) >> 16 !== value) return "it is too large";
  halves[row] = value;
  return null;
}

function copyBytes(
  store: ColumnStore,
  row: number,
  bytes: Uint8Array,
  start: number,
  end: number,
): null {
  const values = growValues(store, end - start);
  let at = store.end;
  // the runtime's copy costs 60 ns to call
  if (end - start > 48) {
    values.set(bytes.subarray(start, end), at);
    at += end - start;
  } else {
    for (let p = start; p < end; p++) values[at++] = bytes[p] ?? 0;
  }
  store.end = at;
  endValue(store, row);
  return null;
}

function writeAscii(store: ColumnStore, row: number, text: string): null {
  const values = growValues(store, text.length);
  for (let i = 0; i < text.length; i++)
    values[store.end++] = text.charCodeAt(i);
  endValue(store, row);
  return null;
}

/** Whether the text says no more than the double does: its digits are those that the double has there. */
function isExact(
  value: number,
  bytes: Uint8Array,
  start: number,
  end: number,
): boolean {
  const digits = significantDigits(decoder.decode(bytes.subarray(start, end)));
  const significant = digits.length;
  if (significant <= DOUBLE_DIGITS_MAX) return true;
  if (significant > PRECISION_MAX) return false;
  return significantDigits(value.toPrecision(significant)) === digits;
}

function significantDigits(text: string): string {
  return text
    .replace(/[eE].*$/, "")
    .replace(/[-.]/g, "")
    .replace(/^0+/, "")
    .replace(/0+$/, "");
}

/** A number without an exponent, with all its digits; null where that is longer than a value should be. */
function toPlain(bytes: Uint8Array, start: number, end: number): string | null {
  if (end - start > NUMBER_BYTES_MAX) return null;
  const text = decoder.decode(bytes.subarray(start, end));
  const match = /^(-?)(\d+)(?:\.(\d+))?[eE]([+-]?\d{1,6})$/.exec(text);
  if (match === null) return /[eE]/.test(text) ? null : text;
  const [, sign = "", whole = "", fraction = "", power = "0"] = match;
  const digits = whole + fraction;
  const point = whole.length + Number(power);
  if (Math.abs(point) + digits.length > PLAIN_DIGITS_MAX) return null;
  if (point >= digits.length)
    return (
      sign +
      (digits + "0".repeat(point - digits.length)).replace(/^0+(?=\d)/, "")
    );
  const padded = point > 0 ? digits : "0".repeat(1 - point) + digits;
  const at = Math.max(point, 1);
  const head = padded.slice(0, at).replace(/^0+(?=\d)/, "");
  return `${sign}${head}.${padded.slice(at)}`;
}
