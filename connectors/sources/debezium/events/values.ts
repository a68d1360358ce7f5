/**
 * One value of an event into one place of a column buffer. A value that its logical type cannot hold is refused, which
 * throws under the policy `error`, and NULL is written; one that is of another type than the column's is a misfit.
 */
import { growValues, type ColumnStore } from "../../batches/batch-set.ts";
import { writeBase64 } from "./base64.ts";
import type { ChangeColumn } from "./columns.ts";
import { showText, TypeMisfit } from "./faults.ts";
import {
  formatDouble,
  Integer64,
  readDouble,
  readSmallInteger,
  writeDecimal,
} from "./numbers.ts";
import { writeArray, writeVector } from "./pg-text.ts";
import { areBytes, copyString, readText } from "./strings.ts";
import { token, TOKEN_WORDS, type TapeSource } from "./tape.ts";
import { ClockReading, formatInterval } from "./times.ts";

/** Debezium counts MySQL's years from 1900, the year 0 too; there are 0 and 1901 to 2155. */
const MYSQL_YEAR_0 = 1_900;
/** 0001-01-01 and 5874897-12-31, the last date of Postgres, in days from 1970. */
const DATE_MIN = -719_162;
const DATE_MAX = 2_145_042_905;
/** What Debezium makes of the dates `infinity` and `-infinity`: 2^31 - 1 and -2^31 days from 2000, as 32 bits. */
const DATE_INFINITY = -2_147_472_692;
const DATE_MINUS_INFINITY = -2_147_472_691;
/** The same of timestamps, in µs: the driver's milliseconds of them. */
const US_INFINITY = 9_223_372_036_825_200_000n;
const US_MINUS_INFINITY = -9_223_372_036_832_400_000n;
const US_MAX = 2n ** 63n - 1n;
/** 0001-01-01 00:00 in µs from 1970. */
const US_MIN = -62_135_596_800_000_000n;
/** High halves between which every timestamp can be represented. */
const US_HIGH_MIN = Number(US_MIN >> 32n) + 1;
const US_HIGH_MAX = Number(US_INFINITY >> 32n) - 1;
const SECONDS_MIN = -62_135_596_800;
/** The last whole second of which int64 holds every µs, and every ns. */
const SECONDS_MAX_US = 9_223_372_036_853;
const SECONDS_MAX_NS = 9_223_372_035;

/** Under the policy `null` it returns, and NULL is written. */
export type Refuse = (
  column: ChangeColumn,
  value: string,
  reason: string,
) => void;

export class ValueWriter {
  readonly #refuse: Refuse;
  readonly #isBinlog: boolean;
  readonly #integer = new Integer64();
  readonly #clock = new ClockReading();
  readonly #double = new Float64Array(1);
  readonly #doubleWords = new Int32Array(this.#double.buffer);
  readonly #float = new Float32Array(1);
  readonly #floatWords = new Int32Array(this.#float.buffer);

  /** @param isBinlog of MySQL and MariaDB, whose first timestamp is the one that says there is none */
  constructor(refuse: Refuse, isBinlog: boolean) {
    this.#refuse = refuse;
    this.#isBinlog = isBinlog;
  }

  /**
   * Writes the value whose token is at `at` as row `row`.
   * @returns false where the log does not hold the value, and NULL stands for it
   * @throws TypeMisfit, ExtractError SOURCE_VALUE_UNREPRESENTABLE
   */
  write(
    column: ChangeColumn,
    store: ColumnStore,
    row: number,
    { bytes, words }: TapeSource,
    at: number,
  ): boolean {
    const kind = words[at] ?? 0;
    const start = words[at + 1] ?? 0;
    const end = words[at + 2] ?? 0;
    if (kind === token.null) {
      writeNull(column, store, row);
      return true;
    }
    const { placeholder } = column;
    if (
      placeholder !== null &&
      kind === token.text &&
      end - start === placeholder.length &&
      areBytes(bytes, start, end, placeholder)
    ) {
      writeNull(column, store, row);
      return false;
    }
    switch (column.kind) {
      case "text":
        if (kind !== token.text && kind !== token.escapedText)
          throw misfit(column, bytes, words, at);
        copyString(store, bytes, kind, start, end);
        endValue(store, row);
        return true;
      case "mysqlYear":
      case "int32":
      case "int16": {
        const value =
          kind === token.integer ? readSmallInteger(bytes, start, end) : NaN;
        const isShort = column.kind !== "int32";
        if ((isShort ? (value << 16) >> 16 : value | 0) !== value)
          throw misfit(column, bytes, words, at);
        if (isShort)
          store.halves[row] =
            column.kind === "mysqlYear" && value === MYSQL_YEAR_0 ? 0 : value;
        else store.words[row] = value;
        return true;
      }
      case "int64":
        if (
          kind !== token.integer ||
          !this.#integer.read(bytes, start, end, false)
        )
          throw misfit(column, bytes, words, at);
        return this.#writeInteger(store, row);
      case "boolean":
        return this.#writeBoolean(column, store, row, bytes, words, at);
      case "float64":
      case "float32":
        return this.#writeFloat(column, store, row, bytes, words, at);
      case "decimal64":
      case "decimal128":
      case "decimalText":
        return this.#writeDecimal(column, store, row, bytes, words, at);
      case "date":
        return this.#writeDate(column, store, row, bytes, words, at);
      case "timestamp":
        return this.#writeTimestamp(column, store, row, bytes, words, at);
      case "timestamptz":
        return this.#writeInstant(column, store, row, bytes, words, at);
      case "time":
        return this.#writeTime(column, store, row, bytes, words, at);
      case "uint64":
        return this.#writeUnsigned(column, store, row, bytes, words, at);
      case "bits":
        return this.#writeBits(column, store, row, bytes, words, at);
      case "uuid":
        if (kind !== token.text || !writeUuid(store, row, bytes, start, end))
          throw misfit(column, bytes, words, at);
        return true;
      case "binary":
        if (kind !== token.text || !writeBase64(store, bytes, start, end))
          throw misfit(column, bytes, words, at);
        endValue(store, row);
        return true;
      case "geometry":
        this.#writeGeometry(column, store, bytes, words, at);
        endValue(store, row);
        return true;
      case "duration":
        this.#writeDuration(column, store, bytes, words, at);
        endValue(store, row);
        return true;
      default:
        this.#writeFromText(column, store, bytes, words, at);
        endValue(store, row);
        return true;
    }
  }

  #writeInteger({ words }: ColumnStore, row: number): true {
    words[2 * row] = this.#integer.low;
    words[2 * row + 1] = this.#integer.high;
    return true;
  }

  #refuseValue(
    column: ChangeColumn,
    store: ColumnStore,
    row: number,
    value: string,
    reason: string,
  ): true {
    this.#refuse(column, value, reason);
    writeNull(column, store, row);
    return true;
  }

  /** bool, bit(1), and tinyint(1), which the server lets hold other numbers. */
  #writeBoolean(
    column: ChangeColumn,
    store: ColumnStore,
    row: number,
    bytes: Uint8Array,
    words: Int32Array,
    at: number,
  ): boolean {
    const kind = words[at] ?? 0;
    let isTrue = kind === token.true;
    if (kind === token.integer && this.#isBinlog) {
      const value = readSmallInteger(
        bytes,
        words[at + 1] ?? 0,
        words[at + 2] ?? 0,
      );
      if (value !== 0 && value !== 1) {
        return this.#refuseValue(
          column,
          store,
          row,
          String(value),
          "tinyint(1) is read as boolean, which is 0 or 1",
        );
      }
      isTrue = value === 1;
    } else if (kind !== token.true && kind !== token.false)
      throw misfit(column, bytes, words, at);
    if (isTrue)
      store.fixed[row >> 3] = (store.fixed[row >> 3] ?? 0) | (1 << (row & 7));
    return true;
  }

  #writeFloat(
    column: ChangeColumn,
    store: ColumnStore,
    row: number,
    bytes: Uint8Array,
    words: Int32Array,
    at: number,
  ): true {
    const kind = words[at] ?? 0;
    let value: number;
    if (kind === token.real || kind === token.integer)
      value = readDouble(bytes, words[at + 1] ?? 0, words[at + 2] ?? 0);
    else {
      const text = kind === token.text ? readToken(bytes, words, at) : "";
      if (text !== "NaN" && text !== "Infinity" && text !== "-Infinity")
        throw misfit(column, bytes, words, at);
      value = Number(text);
    }
    if (column.kind === "float32") {
      this.#float[0] = value;
      store.words[row] = this.#floatWords[0] ?? 0;
      if (Number.isFinite(value) && !Number.isFinite(this.#float[0] ?? 0))
        throw misfit(column, bytes, words, at);
    } else {
      this.#double[0] = value;
      store.words[2 * row] = this.#doubleWords[0] ?? 0;
      store.words[2 * row + 1] = this.#doubleWords[1] ?? 0;
    }
    return true;
  }

  #writeDecimal(
    column: ChangeColumn,
    store: ColumnStore,
    row: number,
    bytes: Uint8Array,
    words: Int32Array,
    at: number,
  ): true {
    const kind = words[at] ?? 0;
    const start = words[at + 1] ?? 0;
    const end = words[at + 2] ?? 0;
    if (kind !== token.text && kind !== token.integer && kind !== token.real)
      throw misfit(column, bytes, words, at);
    const first = bytes[start] ?? 0;
    const word =
      first > 57 ? specialDecimals[readToken(bytes, words, at)] : undefined;
    if (column.kind === "decimalText") {
      if (word !== undefined)
        copyString(store, Buffer.from(word), token.text, 0, word.length);
      else if (isPlainDecimal(bytes, start, end))
        copyString(store, bytes, token.text, start, end);
      else throw misfit(column, bytes, words, at);
      endValue(store, row);
      return true;
    }
    if (word !== undefined)
      return this.#refuseValue(column, store, row, word, "not a finite number");
    const wordCount = column.kind === "decimal64" ? 2 : 4;
    const limits = { precision: column.precision, scale: column.digits };
    if (
      writeDecimal(store, row, wordCount, limits, bytes, start, end) !==
      "written"
    )
      throw misfit(column, bytes, words, at);
    return true;
  }

  #writeDate(
    column: ChangeColumn,
    store: ColumnStore,
    row: number,
    bytes: Uint8Array,
    words: Int32Array,
    at: number,
  ): true {
    const days =
      words[at] === token.integer
        ? readSmallInteger(bytes, words[at + 1] ?? 0, words[at + 2] ?? 0)
        : NaN;
    if (days !== days) throw misfit(column, bytes, words, at);
    if (days < DATE_MIN || days > DATE_MAX) {
      const word =
        days === DATE_INFINITY
          ? "infinity"
          : days === DATE_MINUS_INFINITY
            ? "-infinity"
            : "";
      if (word !== "") return this.#refuseValue(column, store, row, word, word);
      const reason =
        days < 0 ? "before year 1" : "after the last date of its type";
      return this.#refuseValue(
        column,
        store,
        row,
        `day ${days} from 1970-01-01`,
        reason,
      );
    }
    store.words[row] = days;
    return true;
  }

  #writeTimestamp(
    column: ChangeColumn,
    store: ColumnStore,
    row: number,
    bytes: Uint8Array,
    words: Int32Array,
    at: number,
  ): true {
    const start = words[at + 1] ?? 0;
    const end = words[at + 2] ?? 0;
    const integer = this.#integer;
    if (words[at] !== token.integer || !integer.read(bytes, start, end, false))
      throw misfit(column, bytes, words, at);
    const isNs = column.logical === "timestampNs";
    if (column.unitsPerSecond === 1_000) {
      const ms = readSmallInteger(bytes, start, end);
      const isWithin = isNs
        ? Math.abs(ms) <= SECONDS_MAX_NS * 1_000
        : ms <= SECONDS_MAX_US * 1_000;
      if (!isWithin) throw misfit(column, bytes, words, at);
      integer.setProduct(ms, isNs ? 1_000_000 : 1_000, 0);
    } else if ((column.unitsPerSecond === 1_000_000_000) !== isNs)
      throw misfit(column, bytes, words, at);
    if (!isNs && (integer.high <= US_HIGH_MIN || integer.high >= US_HIGH_MAX)) {
      const us = integer.toBigInt();
      const word =
        us === US_INFINITY
          ? "infinity"
          : us === US_MINUS_INFINITY
            ? "-infinity"
            : "";
      if (word !== "") return this.#refuseValue(column, store, row, word, word);
      if (us < US_MIN)
        return this.#refuseValue(
          column,
          store,
          row,
          `${us} µs from 1970-01-01`,
          "before year 1",
        );
      if (us === US_MAX)
        return this.#refuseValue(
          column,
          store,
          row,
          `${us} µs from 1970-01-01`,
          "after the last µs of an int64",
        );
    }
    return this.#writeInteger(store, row);
  }

  #writeInstant(
    column: ChangeColumn,
    store: ColumnStore,
    row: number,
    bytes: Uint8Array,
    words: Int32Array,
    at: number,
  ): true {
    const start = words[at + 1] ?? 0;
    const end = words[at + 2] ?? 0;
    const clock = this.#clock;
    if (words[at] !== token.text) throw misfit(column, bytes, words, at);
    if (!clock.readInstant(bytes, start, end)) {
      const text = readToken(bytes, words, at);
      if (text !== "infinity" && text !== "-infinity")
        throw misfit(column, bytes, words, at);
      return this.#refuseValue(column, store, row, text, text);
    }
    const { seconds, nanoseconds } = clock;
    const isNs = column.logical === "timestampNs";
    if (this.#isBinlog && seconds === 0 && nanoseconds === 0) {
      return this.#refuseValue(
        column,
        store,
        row,
        "0000-00-00 00:00:00",
        "the zero date",
      );
    }
    const text = (): string => readToken(bytes, words, at);
    if (isNs) {
      if (Math.abs(seconds) > SECONDS_MAX_NS)
        return this.#refuseValue(
          column,
          store,
          row,
          text(),
          "outside of 1677 to 2262",
        );
      this.#integer.setProduct(seconds, 1_000_000_000, nanoseconds);
      return this.#writeInteger(store, row);
    }
    if (seconds < SECONDS_MIN)
      return this.#refuseValue(column, store, row, text(), "before year 1");
    if (seconds > SECONDS_MAX_US)
      return this.#refuseValue(
        column,
        store,
        row,
        text(),
        "after the last µs of an int64",
      );
    if (nanoseconds % 1_000 !== 0) throw misfit(column, bytes, words, at);
    this.#integer.setProduct(seconds, 1_000_000, nanoseconds / 1_000);
    return this.#writeInteger(store, row);
  }

  /** A time of day as text, or as ms, µs or ns. */
  #writeTime(
    column: ChangeColumn,
    store: ColumnStore,
    row: number,
    bytes: Uint8Array,
    words: Int32Array,
    at: number,
  ): true {
    const start = words[at + 1] ?? 0;
    const end = words[at + 2] ?? 0;
    const unit = column.logical === "timeNs" ? 1_000_000_000 : 1_000_000;
    let value = NaN;
    if (words[at] === token.integer) {
      value =
        readSmallInteger(bytes, start, end) * (unit / column.unitsPerSecond);
    } else if (
      words[at] === token.text &&
      this.#clock.readClock(bytes, start, end) === end
    ) {
      value =
        this.#clock.seconds * unit +
        this.#clock.nanoseconds / (1_000_000_000 / unit);
    }
    if (!Number.isInteger(value) || value < 0 || value > 86_400 * unit)
      throw misfit(column, bytes, words, at);
    this.#integer.set(value);
    return this.#writeInteger(store, row);
  }

  /** A number; the two's complement of one above 2^63; or the big-endian bytes of one in base64. */
  #writeUnsigned(
    column: ChangeColumn,
    store: ColumnStore,
    row: number,
    bytes: Uint8Array,
    words: Int32Array,
    at: number,
  ): true {
    const kind = words[at] ?? 0;
    const start = words[at + 1] ?? 0;
    const end = words[at + 2] ?? 0;
    if (kind === token.integer) {
      const isNegative = bytes[start] === 45;
      if (!this.#integer.read(bytes, start, end, !isNegative))
        throw misfit(column, bytes, words, at);
      return this.#writeInteger(store, row);
    }
    const value =
      kind === token.text ? decodeShortBase64(bytes, start, end) : null;
    if (
      value === null ||
      value.length === 0 ||
      value.length > 9 ||
      (value.length === 9 && value[0] !== 0)
    ) {
      throw misfit(column, bytes, words, at);
    }
    return this.#writeBytes(store, row, value.toReversed());
  }

  #writeBits(
    column: ChangeColumn,
    store: ColumnStore,
    row: number,
    bytes: Uint8Array,
    words: Int32Array,
    at: number,
  ): true {
    const kind = words[at] ?? 0;
    if (kind === token.true || kind === token.false) {
      this.#integer.set(kind === token.true ? 1 : 0);
      return this.#writeInteger(store, row);
    }
    const value =
      kind === token.text
        ? decodeShortBase64(bytes, words[at + 1] ?? 0, words[at + 2] ?? 0)
        : null;
    if (value === null || value.length > 8)
      throw misfit(column, bytes, words, at);
    return this.#writeBytes(store, row, value);
  }

  /** Up to eight bytes, the lowest first. */
  #writeBytes({ words }: ColumnStore, row: number, value: Uint8Array): true {
    const word = (from: number): number =>
      (value[from] ?? 0) |
      ((value[from + 1] ?? 0) << 8) |
      ((value[from + 2] ?? 0) << 16) |
      ((value[from + 3] ?? 0) << 24);
    words[2 * row] = word(0);
    words[2 * row + 1] = word(4);
    return true;
  }

  /** `{"wkb": base64, "srid": …}`, of a point with its coordinates besides. */
  #writeGeometry(
    column: ChangeColumn,
    store: ColumnStore,
    bytes: Uint8Array,
    words: Int32Array,
    at: number,
  ): void {
    if (words[at] === token.object) {
      const behind = words[at + 3] ?? 0;
      for (let name = at + TOKEN_WORDS; name < behind;) {
        const value = name + TOKEN_WORDS;
        if (
          readToken(bytes, words, name) === "wkb" &&
          words[value] === token.text
        ) {
          if (
            writeBase64(
              store,
              bytes,
              words[value + 1] ?? 0,
              words[value + 2] ?? 0,
            )
          )
            return;
        }
        name = words[value + 3] ?? behind;
      }
    }
    throw misfit(column, bytes, words, at);
  }

  /** µs as the server prints them, `-838:59:59.000000`, with the column's digits of a second. */
  #writeDuration(
    column: ChangeColumn,
    store: ColumnStore,
    bytes: Uint8Array,
    words: Int32Array,
    at: number,
  ): void {
    const us =
      words[at] === token.integer
        ? readSmallInteger(bytes, words[at + 1] ?? 0, words[at + 2] ?? 0)
        : NaN;
    if (!(Math.abs(us) < 3_600_000_000 * 839))
      throw misfit(column, bytes, words, at);
    const whole = Math.floor(Math.abs(us) / 1_000_000);
    const two = (value: number): string => String(value).padStart(2, "0");
    const fraction = String(Math.abs(us) % 1_000_000)
      .padStart(6, "0")
      .slice(0, column.scale);
    const clock = `${us < 0 ? "-" : ""}${two(Math.floor(whole / 3_600))}:${two(Math.floor(whole / 60) % 60)}:${two(whole % 60)}`;
    writeAscii(store, column.scale > 0 ? `${clock}.${fraction}` : clock);
  }

  /** What is written from a text in another form. */
  #writeFromText(
    column: ChangeColumn,
    store: ColumnStore,
    bytes: Uint8Array,
    words: Int32Array,
    at: number,
  ): void {
    const kind = words[at] ?? 0;
    if (kind !== token.text && kind !== token.escapedText)
      throw misfit(column, bytes, words, at);
    const text = readToken(bytes, words, at);
    if (column.kind === "array" || column.kind === "vector") {
      const before = store.end;
      const write = column.kind === "array" ? writeArray : writeVector;
      if (write(store, Buffer.from(text), column.element)) return;
      store.end = before;
      throw misfit(column, bytes, words, at);
    }
    if (column.kind === "interval") {
      const interval = formatInterval(text);
      if (interval === null) throw misfit(column, bytes, words, at);
      return writeAscii(store, interval);
    }
    if (column.kind === "geometric") {
      return writeAscii(
        store,
        text.replace(/-?(?:\d[\d.]*(?:E-?\d+)?|Infinity)/g, (number) =>
          formatDouble(Number(number)),
        ),
      );
    }
    // MySQL writes a blank behind each comma and colon, and Debezium none
    const spaced = Buffer.from(
      text.replace(/("(?:[^"\\]|\\.)*")|[,:]/gs, (part, string) =>
        string === undefined ? `${part} ` : part,
      ),
    );
    copyString(store, spaced, token.text, 0, spaced.length);
  }
}

const specialDecimals: Readonly<Record<string, string>> = {
  NAN: "NaN",
  NaN: "NaN",
  POSITIVE_INFINITY: "Infinity",
  Infinity: "Infinity",
  NEGATIVE_INFINITY: "-Infinity",
};

/** Marks the row's value as NULL, with zeros or nothing in its place. */
export function writeNull(
  { logical }: ChangeColumn,
  store: ColumnStore,
  row: number,
): void {
  const { validity, words } = store;
  if (validity !== null)
    validity[row >> 3] = (validity[row >> 3] ?? 0) & ~(1 << (row & 7));
  store.nullCount++;
  switch (logical) {
    case "boolean":
      return;
    case "int16":
      store.halves[row] = 0;
      return;
    case "int32":
    case "float32":
    case "date":
      words[row] = 0;
      return;
    case "decimal128":
    case "uuid":
      words.fill(0, 4 * row, 4 * row + 4);
      return;
    case "text":
    case "json":
    case "binary":
    case "decimalText":
      endValue(store, row);
      return;
    default:
      words[2 * row] = 0;
      words[2 * row + 1] = 0;
  }
}

/** Ends a value of variable width where the buffer's bytes end. */
export function endValue({ offsets, end }: ColumnStore, row: number): void {
  if (offsets !== null) offsets[row + 1] = end;
}

function writeAscii(store: ColumnStore, text: string): void {
  const values = growValues(store, text.length);
  for (let i = 0; i < text.length; i++)
    values[store.end++] = text.charCodeAt(i);
}

function isPlainDecimal(
  bytes: Uint8Array,
  start: number,
  end: number,
): boolean {
  let digits = 0;
  let points = 0;
  for (let p = bytes[start] === 45 ? start + 1 : start; p < end; p++) {
    const byte = bytes[p] ?? 0;
    if (byte === 46) points++;
    else if (byte >= 48 && byte <= 57) digits++;
    else return false;
  }
  return digits > 0 && points < 2;
}

function decodeShortBase64(
  bytes: Uint8Array,
  start: number,
  end: number,
): Uint8Array | null {
  if (end - start > 16) return null;
  const text = Buffer.from(
    bytes.buffer,
    bytes.byteOffset + start,
    end - start,
  ).toString("latin1");
  const value = Buffer.from(text, "base64");
  return value.toString("base64") === text ? value : null;
}

const hexValues = new Uint8Array(256).fill(255);
for (let value = 0; value < 16; value++) {
  hexValues[value.toString(16).charCodeAt(0)] = value;
  hexValues[value.toString(16).toUpperCase().charCodeAt(0)] = value;
}
const UUID_CHARS = 36;

function writeUuid(
  { fixed }: ColumnStore,
  row: number,
  bytes: Uint8Array,
  start: number,
  end: number,
): boolean {
  if (end - start !== UUID_CHARS) return false;
  let at = start;
  let wrong = 0;
  for (let index = 0; index < 16; index++) {
    if (index === 4 || index === 6 || index === 8 || index === 10)
      wrong |= (bytes[at++] ?? 0) ^ 45;
    const high = hexValues[bytes[at] ?? 0] ?? 255;
    const low = hexValues[bytes[at + 1] ?? 0] ?? 255;
    wrong |= (high | low) & 0xf0;
    fixed[16 * row + index] = (high << 4) | low;
    at += 2;
  }
  return wrong === 0;
}

function readToken(bytes: Uint8Array, words: Int32Array, at: number): string {
  return readText(
    bytes,
    words[at] ?? 0,
    words[at + 1] ?? 0,
    words[at + 2] ?? 0,
  );
}

function misfit(
  column: ChangeColumn,
  bytes: Uint8Array,
  words: Int32Array,
  at: number,
): TypeMisfit {
  const start = words[at + 1] ?? 0;
  // a long value is not made a string for a message
  const end = Math.min(words[at + 2] ?? 0, start + 400);
  const shown = showText(
    Buffer.from(bytes.buffer, bytes.byteOffset + start, end - start).toString(
      "utf8",
    ),
  );
  return new TypeMisfit(
    column.name,
    `${shown} is no value of its type, ${column.logical}`,
  );
}
