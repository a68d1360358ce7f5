/** What an encoder is made from, and what it calls for values that are not simply copied. */
import type { ColumnBatch, ColumnVector } from "../../../proto/columns.ts";
import { ExtractError } from "../../../proto/error.ts";
import {
  DATE_CHARS_MAX,
  TIMESTAMP_CHARS_MAX,
  writeTime,
  writeTimestamp,
} from "../../formats/text/calendar.ts";
import type { CopyBuffer } from "./copy-buffer.ts";
import { NUMERIC_BYTES_MAX } from "./numeric.ts";
import type { CopyKind, TargetColumn } from "./types.ts";

export interface CopyPlan {
  /** Names the stream in errors. */
  readonly table: string;
  readonly columns: readonly TargetColumn[];
  /** Staging of a merge has a column that numbers the rows, behind all others. */
  readonly withOrder: boolean;
}

/** Turns rows of a batch into rows of a COPY. */
export interface CopyEncoder {
  /**
   * Rows from `from` on, until `rowsMax` are in the buffer or the next could pass `bytesMax`; at least one into an empty
   * buffer. @returns the row behind the last
   * @throws ExtractError DESTINATION_VALUE_REFUSED for a value that Postgres cannot hold
   */
  encode(
    buffer: CopyBuffer,
    batch: ColumnBatch,
    from: number,
    rowsMax: number,
    bytesMax: number,
  ): number;
}

/** Days from 1970-01-01 to 2000-01-01, where Postgres counts from. */
export const EPOCH_DAYS = 10_957;
/** The same in microseconds, 946,684,800,000,000, as two halves. */
export const EPOCH_US_HIGH = 220_417;
export const EPOCH_US_LOW = 993_517_568;
/** Days since 2000: 4714-11-24 BC and 5874897-12-31. @see Postgres source, datatype/timestamp.h */
export const DATE_MIN = -2_451_545;
export const DATE_MAX = 2_145_031_948;
/** The high half of a timestamp below which the subtraction would wrap. */
export const TIMESTAMP_HIGH_MIN = -0x80000000 + EPOCH_US_HIGH + 1;

/** Bytes of a value with its length word, without the bytes of variable width. */
function fixedBytes(kind: CopyKind): number {
  switch (kind) {
    case "bool":
      return 5;
    case "int16":
      return 6;
    case "bits32":
    case "date":
      return 8;
    case "bits64":
    case "timestamp":
    case "timeCut":
    case "timestampCut":
      return 12;
    case "bits128":
      return 20;
    case "uint64":
    case "decimal64":
    case "decimal128":
      return NUMERIC_BYTES_MAX;
    // header and two groups; the digits are shorter than their text
    case "decimalText":
      return 16;
    case "bytes":
      return 4;
    case "jsonb":
      return 5;
    case "timeText":
      return 4 + DATE_CHARS_MAX;
    case "timestampText":
      return 4 + TIMESTAMP_CHARS_MAX;
  }
}

/** Bytes of a row without its values of variable width: field count, fields, and the order column where there is one. */
export function fixedRowBytes({ columns, withOrder }: CopyPlan): number {
  return columns.reduce(
    (sum, { copyKind }) => sum + fixedBytes(copyKind),
    withOrder ? 14 : 2,
  );
}

export function isVariable(kind: CopyKind): boolean {
  return kind === "bytes" || kind === "jsonb" || kind === "decimalText";
}

const LOOP_BYTES_MAX = 24;

/** Length word and bytes. */
export function writeBytes(
  out: Uint8Array,
  view: DataView,
  at: number,
  source: Uint8Array,
  from: number,
  to: number,
): number {
  const length = to - from;
  view.setInt32(at, length);
  let place = at + 4;
  if (length > LOOP_BYTES_MAX) {
    out.set(source.subarray(from, to), place);
    return place + length;
  }
  for (let i = from; i < to; i++) out[place++] = source[i] ?? 0;
  return place;
}

/** `hh:mm:ss.nnnnnnnnn` from the halves of nanoseconds since midnight. */
export function writeTimeText(
  out: Uint8Array,
  view: DataView,
  at: number,
  low: number,
  high: number,
): number {
  const value = high * 4294967296 + (low >>> 0);
  const end = writeTime(out, at + 4, value, 1e9);
  view.setInt32(at, end - at - 4);
  return end;
}

/** `YYYY-MM-DD hh:mm:ss.nnnnnnnnn`, which the server takes for a timestamp, too. */
export function writeTimestampText(
  out: Uint8Array,
  view: DataView,
  at: number,
  low: number,
  high: number,
): number {
  const end = writeTimestamp(out, at + 4, low, high, 1e9);
  out[end - "Thh:mm:ss.nnnnnnnnn".length] = 32;
  view.setInt32(at, end - at - 4);
  return end;
}

/** Nanoseconds as microseconds, cut off toward the past. @param epochHalves what is subtracted: 0 for a time of day */
export function writeCut(
  view: DataView,
  at: number,
  low: number,
  high: number,
  epochHigh: number,
  epochLow: number,
): number {
  // schoolbook division by 1000, exact over the whole range of an int64
  const highQuotient = Math.floor(high / 1000);
  const rest = (high - highQuotient * 1000) * 4294967296 + (low >>> 0);
  const lowQuotient = Math.floor(rest / 1000);
  const carry = Math.floor(lowQuotient / 4294967296);
  const cutLow = lowQuotient - carry * 4294967296;
  const cutHigh = highQuotient + carry;
  const borrow = cutLow >>> 0 < epochLow >>> 0 ? 1 : 0;
  view.setInt32(at, 8);
  view.setInt32(at + 4, cutHigh - epochHigh - borrow);
  view.setInt32(at + 8, cutLow - epochLow);
  return at + 12;
}

/** @throws ExtractError DESTINATION_VALUE_REFUSED, always */
export function refuseTime(plan: CopyPlan, column: number): never {
  const name = plan.columns[column]?.name ?? "";
  throw new ExtractError(
    "DESTINATION_VALUE_REFUSED",
    `${plan.table}.${name} holds a date or time beyond the years that Postgres has (4713 BC to 294276, dates to 5874897)`,
    { table: plan.table, column: name },
  );
}

/** What is read of a column for a batch. */
export function wordsOf({ data }: ColumnVector): Int32Array {
  return new Int32Array(data.buffer, data.byteOffset, data.byteLength >> 2);
}
