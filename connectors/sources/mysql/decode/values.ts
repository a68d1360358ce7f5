/**
 * Single values of the kinds that need more than a load and a store, and what both decoders share. Each function takes
 * the place of the value and returns the place behind it; a value that its logical type cannot hold is refused, which
 * throws under the policy `error`, and NULL is written.
 */
import { growValues, type ColumnStore } from "../../batches/batch-set.ts";
import { countDays, formatDateBytes } from "./calendar.ts";
import {
  refuseLength,
  refuseNull,
  refuseRow,
  refuseValue,
  type DecodePlan,
  type FieldPlan,
} from "./plan.ts";

/** Values longer than this are copied by the runtime, shorter ones word by word: its call costs about 60 ns. */
const COPY_LOOP_BYTES_MAX = 64;
/** Bytes of a geometry's SRID, in front of its WKB. @see MySQL manual, "Internal Geometry Storage Format" */
export const SRID_BYTES = 4;
/** `-838:59:59.000000` */
export const TIME_TEXT_BYTES_MAX = 17;
const UUID_CHARS = 36;

/** Marks the row's value as NULL. */
export function writeNull(
  plan: DecodePlan,
  field: FieldPlan,
  store: ColumnStore,
  row: number,
): void {
  const { validity } = store;
  if (validity === null) refuseNull(plan, field);
  validity[row >> 3] = (validity[row >> 3] ?? 0) & ~(1 << (row & 7));
  store.nullCount++;
}

/** Bytes that a length of encoded form takes, by its first byte. */
export function lengthBytes(first: number): number {
  return first < 251 ? 1 : first === 252 ? 3 : first === 253 ? 4 : 9;
}

/**
 * A length of encoded form at `p`, whose first byte is above 250.
 * @throws ExtractError SOURCE_PROTOCOL_VIOLATION for what is no length, or one of 4 GiB and more
 */
export function readLongLength(
  plan: DecodePlan,
  source: Uint8Array,
  view: DataView,
  p: number,
): number {
  const first = source[p];
  if (first === 252) return view.getUint16(p + 1, true);
  if (first === 253) {
    return view.getUint16(p + 1, true) | ((source[p + 3] ?? 0) << 16);
  }
  if (first === 254 && view.getUint32(p + 5, true) === 0) {
    return view.getUint32(p + 1, true);
  }
  return refuseRow(plan, `a length that begins with ${source[p]}`);
}

/** A decimal, uuid or bit: a length below 251. */
function readShortLength(
  plan: DecodePlan,
  field: FieldPlan,
  source: Uint8Array,
  p: number,
): number {
  const length = source[p] ?? 255;
  if (length > 250) refuseLength(plan, field, length);
  return length;
}

/** tinyint(1): 0 or 1. */
export function writeBool8(
  plan: DecodePlan,
  field: FieldPlan,
  store: ColumnStore,
  row: number,
  source: Uint8Array,
  p: number,
): number {
  const value = source[p] ?? 0;
  if (value === 1) setBit(store, row);
  else if (value !== 0) {
    refuseValue(
      plan,
      field,
      String((value << 24) >> 24),
      "tinyint(1) is read as boolean, which is 0 or 1",
    );
    writeNull(plan, field, store, row);
  }
  return p + 1;
}

/** bit(1). */
export function writeBool(
  plan: DecodePlan,
  field: FieldPlan,
  store: ColumnStore,
  row: number,
  source: Uint8Array,
  p: number,
): number {
  const length = readShortLength(plan, field, source, p);
  if (length !== 1) refuseLength(plan, field, length);
  if (source[p + 1] !== 0) setBit(store, row);
  return p + 2;
}

function setBit({ fixed }: ColumnStore, row: number): void {
  fixed[row >> 3] = (fixed[row >> 3] ?? 0) | (1 << (row & 7));
}

/** bit(n): up to eight bytes, the highest first, into a uint64. */
export function writeBits(
  plan: DecodePlan,
  field: FieldPlan,
  store: ColumnStore,
  row: number,
  source: Uint8Array,
  p: number,
): number {
  const length = readShortLength(plan, field, source, p);
  if (length > 8) refuseLength(plan, field, length);
  const end = p + 1 + length;
  let low = 0;
  let high = 0;
  for (let at = p + 1; at < end; at++) {
    high = (high << 8) | (low >>> 24);
    low = (low << 8) | (source[at] ?? 0);
  }
  store.words[2 * row] = low;
  store.words[2 * row + 1] = high;
  return end;
}

/** Days since 1970-01-01 of a DATE's or DATETIME's first bytes; NaN where refused. */
function readDays(plan: DecodePlan, field: FieldPlan, date: number): number {
  const days = countDays(date);
  if (days !== days) {
    const year = date & 0xffff;
    const isZero = date === 0;
    const isPartial = ((date >> 16) & 255) === 0 || date >>> 24 === 0;
    refuseValue(
      plan,
      field,
      formatDateBytes(date),
      isZero
        ? "the zero date"
        : isPartial
          ? "a partial date"
          : year === 0
            ? "the year 0"
            : "no day of the calendar",
    );
  }
  return days;
}

/** date: 0 bytes for the zero date, else year, month, day. */
export function writeDate(
  plan: DecodePlan,
  field: FieldPlan,
  store: ColumnStore,
  row: number,
  source: Uint8Array,
  view: DataView,
  p: number,
): number {
  const length = source[p] ?? 255;
  if (length !== 0 && length !== 4) refuseLength(plan, field, length);
  const days = readDays(
    plan,
    field,
    length === 0 ? 0 : view.getInt32(p + 1, true),
  );
  if (days !== days) writeNull(plan, field, store, row);
  store.words[row] = days | 0;
  return p + 1 + length;
}

/** datetime, timestamp: 0, 4, 7 or 11 bytes of year, month, day, hour, minute, second, µs; what is left out is 0. */
export function writeDatetime(
  plan: DecodePlan,
  field: FieldPlan,
  store: ColumnStore,
  row: number,
  source: Uint8Array,
  view: DataView,
  p: number,
): number {
  const { words } = store;
  const length = source[p] ?? 255;
  const date = length >= 4 ? view.getInt32(p + 1, true) : 0;
  let days = countDays(date);
  if (days !== days) days = readDays(plan, field, date);
  let clock = 0;
  let us = 0;
  if (length === 7 || length === 11) {
    const hour = source[p + 5] ?? 0;
    const minute = source[p + 6] ?? 0;
    const second = source[p + 7] ?? 0;
    if (length === 11) us = view.getUint32(p + 8, true);
    if (hour > 23 || minute > 59 || second > 59 || us > 999_999) {
      refuseRow(plan, `a time of day ${hour}:${minute}:${second}`);
    }
    clock = hour * 3600 + minute * 60 + second;
  } else if (length !== 0 && length !== 4) {
    refuseLength(plan, field, length);
  }
  if (days !== days) {
    writeNull(plan, field, store, row);
    words[2 * row] = 0;
    words[2 * row + 1] = 0;
    return p + 1 + length;
  }
  // 57 bits: the low half by integer arithmetic, the high half from a double whose error is far below its unit
  const seconds = days * 86_400 + clock;
  const low = (Math.imul(seconds | 0, 1_000_000) + us) | 0;
  words[2 * row] = low;
  words[2 * row + 1] = Math.round(
    (seconds * 1_000_000 + us - (low >>> 0)) / 4_294_967_296,
  );
  return p + 1 + length;
}

/** time as text: 0, 8 or 12 bytes of sign, int32 days, hour, minute, second, µs. `scale` digits of a second. */
export function writeTime(
  plan: DecodePlan,
  field: FieldPlan,
  store: ColumnStore,
  row: number,
  source: Uint8Array,
  view: DataView,
  p: number,
): number {
  const length = source[p] ?? 255;
  if (length !== 0 && length !== 8 && length !== 12) {
    refuseLength(plan, field, length);
  }
  const isNegative = length > 0 && source[p + 1] !== 0;
  const days = length > 0 ? view.getUint32(p + 2, true) : 0;
  const hour = days * 24 + (length > 0 ? (source[p + 6] ?? 0) : 0);
  const minute = length > 0 ? (source[p + 7] ?? 0) : 0;
  const second = length > 0 ? (source[p + 8] ?? 0) : 0;
  const us = length === 12 ? view.getUint32(p + 9, true) : 0;
  if (hour > 999 || minute > 59 || second > 59 || us > 999_999) {
    refuseRow(plan, `a time ${hour}:${minute}:${second}`);
  }
  const values = growValues(store, TIME_TEXT_BYTES_MAX);
  let at = store.end;
  if (isNegative) values[at++] = 45;
  if (hour > 99) values[at++] = 48 + Math.floor(hour / 100);
  at = writeTwoDigits(values, at, hour % 100);
  values[at++] = 58;
  at = writeTwoDigits(values, at, minute);
  values[at++] = 58;
  at = writeTwoDigits(values, at, second);
  if (field.scale > 0) {
    values[at++] = 46;
    let divisor = 100_000;
    for (let digit = 0; digit < field.scale; digit++) {
      values[at++] = 48 + (Math.floor(us / divisor) % 10);
      divisor /= 10;
    }
  }
  store.end = at;
  if (store.offsets !== null) store.offsets[row + 1] = at;
  return p + 1 + length;
}

function writeTwoDigits(values: Uint8Array, at: number, value: number): number {
  values[at] = 48 + Math.floor(value / 10);
  values[at + 1] = 48 + (value % 10);
  return at + 2;
}

/** Values of hexadecimal digits by their byte; 255 for what is none. */
const hexValues = new Uint8Array(256).fill(255);
for (let value = 0; value < 16; value++) {
  hexValues[value.toString(16).charCodeAt(0)] = value;
  hexValues[value.toString(16).toUpperCase().charCodeAt(0)] = value;
}

/** MariaDB's uuid: 36 characters into 16 bytes. */
export function writeUuid(
  plan: DecodePlan,
  field: FieldPlan,
  store: ColumnStore,
  row: number,
  source: Uint8Array,
  p: number,
): number {
  const length = readShortLength(plan, field, source, p);
  if (length !== UUID_CHARS) refuseLength(plan, field, length);
  const { fixed } = store;
  let at = p + 1;
  let wrong = 0;
  for (let index = 0; index < 16; index++) {
    if (index === 4 || index === 6 || index === 8 || index === 10) at++;
    const high = hexValues[source[at] ?? 0] ?? 255;
    const low = hexValues[source[at + 1] ?? 0] ?? 255;
    wrong |= high | low;
    fixed[16 * row + index] = (high << 4) | low;
    at += 2;
  }
  if (wrong > 15) refuseRow(plan, `a ${field.kind} that is no such`);
  return p + 1 + UUID_CHARS;
}

/** Copies `length` bytes. */
export function copyValue(
  source: Uint8Array,
  view: DataView,
  from: number,
  length: number,
  values: Uint8Array,
  valuesView: DataView,
  to: number,
): void {
  if (length > COPY_LOOP_BYTES_MAX) {
    values.set(source.subarray(from, from + length), to);
    return;
  }
  // the last word may not lie within the source: its bytes go one by one
  const wordsEnd = from + (length & ~3);
  let at = from;
  let target = to;
  for (; at < wordsEnd; at += 4, target += 4) {
    valuesView.setInt32(target, view.getInt32(at));
  }
  for (const end = from + length; at < end; at++, target++) {
    values[target] = source[at] ?? 0;
  }
}
