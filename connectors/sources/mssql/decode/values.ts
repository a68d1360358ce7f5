/**
 * One value into its column: the readable form of what the generated decoder has in line, and all that it leaves to a
 * call. Each takes the value's own bytes, whose number has been proven to lie within the row.
 */
import {
  growValues,
  writeNull as clearValue,
  type ColumnStore,
} from "../../batches/batch-set.ts";
import {
  refuseLength,
  refuseNull,
  refuseValue,
  type DecodePlan,
  type FieldPlan,
} from "./plan.ts";
import {
  encodeCodePage,
  encodeUtf16,
  readCodePage,
  utf8BytesMax,
} from "./text.ts";
import { describeVariant } from "./variant.ts";

/** Days from 0001-01-01 to 1970-01-01, and from there to 1900-01-01. */
export const EPOCH_DAYS = 719_162;
export const DATETIME_EPOCH_DAYS = -25_567;
/** 0001-01-01 and 9999-12-31, in days since 1970-01-01. */
const DAYS_MIN = -719_162;
const DAYS_MAX = 2_932_896;

/** A day in µs and in ns, each as `HIGH * 2^32 + LOW`: products with a day's number stay exact in a double. */
export const US_DAY_HIGH = 20;
export const US_DAY_LOW = 500_654_080;
export const NS_DAY_HIGH = 20_116;
export const NS_DAY_LOW = 2_437_873_664;
/** Whole days within which int64 holds every ns, in days since 1970-01-01. */
export const NS_DAYS_MIN = -106_751;
export const NS_DAYS_MAX = 106_750;
/** Most ms of a day. */
const DAY_MS = 86_400_000;
/** A day's ticks of 1/300 s. */
const DATETIME_TICKS = 25_920_000;
const MINUTES_PER_DAY = 1_440;

/** Writes NULL, or throws where the column may hold none. */
export function writeNull(
  plan: DecodePlan,
  field: FieldPlan,
  store: ColumnStore,
  row: number,
): void {
  if (store.validity === null) refuseNull(plan, field);
  clearValue(store, field.logical, row);
}

/** Writes the value of `m` bytes at `source[p]`; `view` lies over the same bytes. */
export function writeValue(
  plan: DecodePlan,
  field: FieldPlan,
  store: ColumnStore,
  row: number,
  source: Uint8Array,
  view: DataView,
  p: number,
  m: number,
): void {
  const { words } = store;
  if (field.bytes > 0 && hasFixedBytes(field) && m !== field.bytes) {
    refuseLength(plan, field, m);
  }
  switch (field.kind) {
    case "bool":
      if (source[p] !== 0) {
        store.fixed[row >> 3] = (store.fixed[row >> 3] ?? 0) | (1 << (row & 7));
      }
      return;
    case "int8":
      store.halves[row] = source[p] ?? 0;
      return;
    case "int16":
      store.halves[row] = view.getInt16(p, true);
      return;
    case "bits32":
      words[row] = view.getInt32(p, true);
      return;
    case "bits64":
      words[2 * row] = view.getInt32(p, true);
      words[2 * row + 1] = view.getInt32(p + 4, true);
      return;
    case "money32": {
      const value = view.getInt32(p, true);
      words[2 * row] = value;
      words[2 * row + 1] = value >> 31;
      return;
    }
    case "money64": {
      const high = view.getInt32(p, true);
      words[4 * row] = view.getInt32(p + 4, true);
      words[4 * row + 1] = high;
      words[4 * row + 2] = high >> 31;
      words[4 * row + 3] = high >> 31;
      return;
    }
    case "decimal":
      writeDecimal(plan, field, store, row, source, view, p, m);
      return;
    case "date": {
      const days = readDays(source, p);
      if (days > DAYS_MAX) refuseLength(plan, field, m);
      words[row] = days;
      return;
    }
    case "time":
      writeDouble(words, row, readTime(plan, field, source, view, p, m));
      return;
    case "datetime2":
      writeDatetime2(plan, field, store, row, source, view, p, m);
      return;
    case "datetime":
      writeDatetime(plan, field, store, row, view, p);
      return;
    case "smalldatetime": {
      const minutes = view.getUint16(p + 2, true);
      if (minutes >= MINUTES_PER_DAY) refuseLength(plan, field, m);
      const days = view.getUint16(p, true) + DATETIME_EPOCH_DAYS;
      writeDays(words, row, days, minutes * 60_000_000);
      return;
    }
    case "guid":
      writeGuid(words, row, source, view, p);
      return;
    case "utf16":
    case "codePage":
    case "bytes":
    case "variant":
      writeVariable(plan, field, store, row, source, p, m);
  }
}

function hasFixedBytes({ kind }: FieldPlan): boolean {
  switch (kind) {
    case "utf16":
    case "codePage":
    case "bytes":
    case "variant":
    case "decimal":
      return false;
    default:
      return true;
  }
}

/** A number below 2^53 as int64. */
function writeDouble(words: Int32Array, row: number, value: number): void {
  const high = Math.floor(value / 4_294_967_296);
  words[2 * row] = (value - high * 4_294_967_296) | 0;
  words[2 * row + 1] = high;
}

/** Days since 1970-01-01 and µs of the day as int64. */
function writeDays(
  words: Int32Array,
  row: number,
  days: number,
  us: number,
): void {
  const low = days * US_DAY_LOW + us;
  const carry = Math.floor(low / 4_294_967_296);
  words[2 * row] = (low - carry * 4_294_967_296) | 0;
  words[2 * row + 1] = days * US_DAY_HIGH + carry;
}

/** Three bytes of days since 0001-01-01, as days since 1970-01-01. */
function readDays(source: Uint8Array, p: number): number {
  const days =
    (source[p] ?? 0) |
    ((source[p + 1] ?? 0) << 8) |
    ((source[p + 2] ?? 0) << 16);
  return days - EPOCH_DAYS;
}

/** A day in units of 10^-scale s, for scales 0 to 7. */
const dayUnits = Array.from({ length: 8 }, (_, scale) => 86_400 * 10 ** scale);

/** The time of day of `m` bytes, in µs up to scale 6 and in ns at 7. */
function readTime(
  plan: DecodePlan,
  field: FieldPlan,
  source: Uint8Array,
  view: DataView,
  p: number,
  m: number,
): number {
  const bytes = timeBytes(field.scale);
  let units =
    bytes === 3
      ? (source[p] ?? 0) |
        ((source[p + 1] ?? 0) << 8) |
        ((source[p + 2] ?? 0) << 16)
      : view.getUint32(p, true);
  if (bytes === 5) units += (source[p + 4] ?? 0) * 4_294_967_296;
  if (units >= (dayUnits[field.scale] ?? 0)) refuseLength(plan, field, m);
  return units * timeFactor(field.scale);
}

/** Bytes of a time of day. @see MS-TDS 2.2.5.5.1.8 */
export function timeBytes(scale: number): 3 | 4 | 5 {
  return scale <= 2 ? 3 : scale <= 4 ? 4 : 5;
}

/** What a unit of 10^-scale s counts: µs, and ns at scale 7. */
export function timeFactor(scale: number): number {
  return scale === 7 ? 100 : 10 ** (6 - scale);
}

/** `datetime2`, or the UTC part of `datetimeoffset`, whose offset stands behind it. */
function writeDatetime2(
  plan: DecodePlan,
  field: FieldPlan,
  store: ColumnStore,
  row: number,
  source: Uint8Array,
  view: DataView,
  p: number,
  m: number,
): void {
  const time = readTime(plan, field, source, view, p, m);
  const days = readDays(source, p + timeBytes(field.scale));
  // an offset may carry the UTC part over the calendar's ends
  if (days < DAYS_MIN || days > DAYS_MAX + 1) refuseLength(plan, field, m);
  if (field.scale === 7) {
    writeNanoseconds(plan, field, store, row, days, time);
  } else {
    writeDays(store.words, row, days, time);
  }
}

/** Days since 1970-01-01 and ns of the day; what int64 cannot hold is refused or NULL. */
export function writeNanoseconds(
  plan: DecodePlan,
  field: FieldPlan,
  store: ColumnStore,
  row: number,
  days: number,
  ns: number,
): void {
  const { words } = store;
  if (days >= NS_DAYS_MIN && days <= NS_DAYS_MAX) {
    const low = days * NS_DAY_LOW + ns;
    const carry = Math.floor(low / 4_294_967_296);
    words[2 * row] = (low - carry * 4_294_967_296) | 0;
    words[2 * row + 1] = days * NS_DAY_HIGH + carry;
    return;
  }
  const value = BigInt(days) * 86_400_000_000_000n + BigInt(ns);
  if (value !== BigInt.asIntN(64, value)) {
    refuseValue(
      plan,
      field,
      formatDay(days),
      "outside of 1677-09-21 to 2262-04-11, the range of timestamps in ns",
    );
    writeNull(plan, field, store, row);
    return;
  }
  words[2 * row] = Number(BigInt.asIntN(32, value));
  words[2 * row + 1] = Number(value >> 32n);
}

function formatDay(days: number): string {
  return new Date(days * DAY_MS).toISOString().slice(0, 10);
}

/** Days since 1900-01-01 and ticks of 1/300 s, rounded to ms as the server prints them. */
function writeDatetime(
  plan: DecodePlan,
  field: FieldPlan,
  store: ColumnStore,
  row: number,
  view: DataView,
  p: number,
): void {
  const ticks = view.getUint32(p + 4, true);
  const days = view.getInt32(p, true) + DATETIME_EPOCH_DAYS;
  if (ticks >= DATETIME_TICKS || days < DAYS_MIN || days > DAYS_MAX) {
    refuseLength(plan, field, 8);
  }
  const ms = Math.round((ticks * 10) / 3);
  writeDays(store.words, row, days, ms * 1_000);
}

/** The first three parts are little-endian, the last two as printed. @see MS-DTYP 2.3.4.2, "GUID--Packet" */
function writeGuid(
  words: Int32Array,
  row: number,
  source: Uint8Array,
  view: DataView,
  p: number,
): void {
  words[4 * row] = view.getInt32(p, false);
  words[4 * row + 1] =
    (source[p + 5] ?? 0) |
    ((source[p + 4] ?? 0) << 8) |
    ((source[p + 7] ?? 0) << 16) |
    ((source[p + 6] ?? 0) << 24);
  words[4 * row + 2] = view.getInt32(p + 8, true);
  words[4 * row + 3] = view.getInt32(p + 12, true);
}

/**
 * A sign, 1 for positive, and a magnitude of 4, 8, 12 or 16 bytes.
 * @see MS-TDS 2.2.5.5.1.6
 */
function writeDecimal(
  plan: DecodePlan,
  field: FieldPlan,
  store: ColumnStore,
  row: number,
  source: Uint8Array,
  view: DataView,
  p: number,
  m: number,
): void {
  if (m !== 5 && m !== 9 && m !== 13 && m !== 17) refuseLength(plan, field, m);
  const { words } = store;
  const wordCount = field.logical === "decimal64" ? 2 : 4;
  const isNegative = source[p] === 0;
  const given = (m - 1) >> 2;
  let carry = isNegative ? 1 : 0;
  for (let i = 0; i < wordCount; i++) {
    let word = i < given ? view.getUint32(p + 1 + 4 * i, true) : 0;
    // the highest bit is the sign's: no precision of the type reaches it
    if (i === wordCount - 1 && word > 0x7fff_ffff) refuseLength(plan, field, m);
    if (isNegative) {
      word = (~word >>> 0) + carry;
      carry = word > 0xffff_ffff ? 1 : 0;
    }
    words[wordCount * row + i] = word | 0;
  }
  for (let i = wordCount; i < given; i++) {
    if (view.getUint32(p + 1 + 4 * i, true) !== 0) refuseLength(plan, field, m);
  }
}

/** Text, bytes and variants; `p` is an offset of `source`, which need not be the window's. */
export function writeVariable(
  plan: DecodePlan,
  field: FieldPlan,
  store: ColumnStore,
  row: number,
  source: Uint8Array,
  p: number,
  m: number,
): void {
  const { offsets } = store;
  if (offsets === null) return refuseLength(plan, field, m);
  switch (field.kind) {
    case "utf16": {
      if (m % 2 !== 0) refuseLength(plan, field, m);
      const target = reserve(store, utf8BytesMax(m));
      const end = encodeUtf16(source, p, p + m, target, store.end);
      if (end < 0) {
        refuseText(plan, field, store, row, source, p, m);
        return;
      }
      store.end = end;
      break;
    }
    case "codePage": {
      const target = reserve(store, 3 * m);
      const table = readCodePage(field.codePage);
      store.end = encodeCodePage(table, source, p, p + m, target, store.end);
      break;
    }
    case "variant": {
      const text = Buffer.from(
        describeVariant(plan, field, source.subarray(p, p + m)),
      );
      reserve(store, text.length).set(text, store.end);
      store.end += text.length;
      break;
    }
    default:
      reserve(store, m).set(source.subarray(p, p + m), store.end);
      store.end += m;
  }
  offsets[row + 1] = store.end;
}

/** A surrogate without its partner: text that no encoding of Unicode can hold. */
export function refuseText(
  plan: DecodePlan,
  field: FieldPlan,
  store: ColumnStore,
  row: number,
  source: Uint8Array,
  p: number,
  m: number,
): void {
  const shown = new TextDecoder("utf-16le").decode(source.subarray(p, p + m));
  refuseValue(plan, field, shown, "half of a surrogate pair in UTF-16 text");
  writeNull(plan, field, store, row);
}

function reserve(store: ColumnStore, byteCount: number): Uint8Array {
  return store.end + byteCount > store.values.length
    ? growValues(store, byteCount)
    : store.values;
}
