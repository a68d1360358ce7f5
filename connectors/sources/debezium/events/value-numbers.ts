/** Booleans and numbers of events into column buffers. */
import { endValue, type ColumnStore } from "../../batches/batch-set.ts";
import { formatDecimal } from "../../batches/read-value.ts";
import type { ChangeColumn } from "./columns.ts";
import {
  readDouble,
  readSmallInteger,
  writeDecimal,
} from "../../../json/numbers.ts";
import { copyString } from "../../batches/json-values.ts";
import { token } from "../../../json/tape.ts";
import { misfit, readToken, type WriteValue } from "./value-context.ts";

/** bool, bit(1), and tinyint(1), which the server lets hold other numbers. */
export const writeBoolean: WriteValue = (
  context,
  column,
  store,
  row,
  bytes,
  words,
  at,
) => {
  const kind = words[at] ?? 0;
  let isTrue = kind === token.true;
  if (kind === token.integer && context.isBinlog) {
    const value = readSmallInteger(
      bytes,
      words[at + 1] ?? 0,
      words[at + 2] ?? 0,
    );
    if (value !== 0 && value !== 1) {
      return context.refuseValue(
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
};

export const writeFloat: WriteValue = (
  context,
  column,
  store,
  row,
  bytes,
  words,
  at,
) => {
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
    context.float[0] = value;
    store.words[row] = context.floatWords[0] ?? 0;
    if (Number.isFinite(value) && !Number.isFinite(context.float[0] ?? 0))
      throw misfit(column, bytes, words, at);
  } else {
    context.double[0] = value;
    store.words[2 * row] = context.doubleWords[0] ?? 0;
    store.words[2 * row + 1] = context.doubleWords[1] ?? 0;
  }
  return true;
};

export const writeDecimalValue: WriteValue = (
  context,
  column,
  store,
  row,
  bytes,
  words,
  at,
) => {
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
    return context.refuseValue(column, store, row, word, "not a finite number");
  const wordCount = column.kind === "decimal64" ? 2 : 4;
  const limits = { precision: column.precision, scale: column.digits };
  if (
    writeDecimal(store, row, wordCount, limits, bytes, start, end) !== "written"
  )
    throw misfit(column, bytes, words, at);
  return true;
};

const specialDecimals: Readonly<Record<string, string>> = {
  NAN: "NaN",
  NaN: "NaN",
  POSITIVE_INFINITY: "Infinity",
  Infinity: "Infinity",
  NEGATIVE_INFINITY: "-Infinity",
};

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

/** A number; the two's complement of one above 2^63; or the big-endian bytes of one in base64. */
export const writeUnsigned: WriteValue = (
  context,
  column,
  store,
  row,
  bytes,
  words,
  at,
) => {
  const kind = words[at] ?? 0;
  const start = words[at + 1] ?? 0;
  const end = words[at + 2] ?? 0;
  if (kind === token.integer) {
    const isNegative = bytes[start] === 45;
    if (!context.integer.read(bytes, start, end, !isNegative))
      throw misfit(column, bytes, words, at);
    return context.writeInteger(store, row);
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
  return writeBytes(store, row, value.toReversed());
};

export const writeBits: WriteValue = (
  context,
  column,
  store,
  row,
  bytes,
  words,
  at,
) => {
  const kind = words[at] ?? 0;
  if (kind === token.true || kind === token.false) {
    context.integer.set(kind === token.true ? 1 : 0);
    return context.writeInteger(store, row);
  }
  const value =
    kind === token.text
      ? decodeShortBase64(bytes, words[at + 1] ?? 0, words[at + 2] ?? 0)
      : null;
  if (value === null || value.length > 8)
    throw misfit(column, bytes, words, at);
  return writeBytes(store, row, value);
};

/** Up to eight bytes, the lowest first. */
function writeBytes(
  { words }: ColumnStore,
  row: number,
  value: Uint8Array,
): true {
  const word = (from: number): number =>
    (value[from] ?? 0) |
    ((value[from + 1] ?? 0) << 8) |
    ((value[from + 2] ?? 0) << 16) |
    ((value[from + 3] ?? 0) << 24);
  words[2 * row] = word(0);
  words[2 * row + 1] = word(4);
  return true;
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

/** What 38 digits take, and a sign. */
const DECIMAL_BYTES_MAX = 24;

/** The two's complement of the unscaled number, the highest byte first, as base64. */
export function writeDecimalBytes(
  column: ChangeColumn,
  store: ColumnStore,
  row: number,
  bytes: Uint8Array,
  words: Int32Array,
  at: number,
): true {
  const isText = words[at] === token.text;
  const value = isText
    ? Buffer.from(readToken(bytes, words, at), "base64")
    : Buffer.alloc(0);
  if (value.length === 0 || value.length > DECIMAL_BYTES_MAX)
    throw misfit(column, bytes, words, at);
  let unscaled = BigInt.asIntN(
    8 * value.length,
    BigInt(`0x${value.toString("hex")}`),
  );
  if (column.logical === "decimalText") {
    const text = Buffer.from(formatDecimal(unscaled, column.digits));
    copyString(store, text, token.text, 0, text.length);
    endValue(store, row);
    return true;
  }
  const most = 10n ** BigInt(column.precision);
  if (unscaled >= most || unscaled <= -most)
    throw misfit(column, bytes, words, at);
  const wordCount = column.logical === "decimal64" ? 2 : 4;
  for (let i = 0; i < wordCount; i++) {
    store.words[row * wordCount + i] = Number(BigInt.asIntN(32, unscaled));
    unscaled >>= 32n;
  }
  return true;
}
