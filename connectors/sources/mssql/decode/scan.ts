/**
 * Where a row ends: rows carry no length of their own, so each value's is followed. Nothing of a row is decoded before
 * all of it is there.
 */
import { NBC_ROW } from "./decoder.ts";
import {
  refuseLength,
  refuseRow,
  refuseRowBytes,
  type DecodePlan,
  type FieldPlan,
} from "./plan.ts";

/** The length of a PLP value that is NULL, or unknown: the two halves of an int64. @see MS-TDS 2.2.5.2.3 */
const PLP_SPECIAL_HIGH = 0xffff_ffff;
const PLP_NULL_LOW = 0xffff_ffff;
const PLP_UNKNOWN_LOW = 0xffff_fffe;

/** Bytes of the timestamp behind a text pointer. */
const POINTER_STAMP_BYTES = 8;

export interface RowScan {
  /** Offset behind the row, or -1 where it is not all there. */
  end: number;
  /** With -1: bytes from the row's start that it has at least. */
  wanted: number;
}

/** Follows the row at `start`. The result's object is used again by the next call. */
export type RowScanner = (
  source: Uint8Array,
  view: DataView,
  start: number,
  end: number,
) => RowScan;

export function createScanner(plan: DecodePlan): RowScanner {
  const { fields } = plan;
  const bitmapBytes = Math.ceil(fields.length / 8);
  const scan: RowScan = { end: -1, wanted: 0 };
  const stopAt = (start: number, needed: number): RowScan => {
    scan.end = -1;
    scan.wanted = needed - start;
    if (scan.wanted > plan.rowBytesMax) refuseRowBytes(plan, scan.wanted);
    return scan;
  };
  return (source, view, start, end) => {
    const isNbc = source[start] === NBC_ROW;
    const bitmap = start + 1;
    let p = isNbc ? bitmap + bitmapBytes : bitmap;
    if (p > end) return stopAt(start, p);
    for (let i = 0; i < fields.length; i++) {
      const field = fields[i] as FieldPlan;
      if (isNbc && ((source[bitmap + (i >> 3)] ?? 0) & (1 << (i & 7))) !== 0) {
        continue;
      }
      switch (field.framing) {
        case "none":
          p += field.bytes;
          break;
        case "byte":
          if (p >= end) return stopAt(start, p + 1);
          p += 1 + (source[p] ?? 0);
          break;
        case "short": {
          if (p + 2 > end) return stopAt(start, p + 2);
          const length = view.getUint16(p, true);
          p += 2 + (length === 0xffff ? 0 : length);
          break;
        }
        case "long":
          if (p + 4 > end) return stopAt(start, p + 4);
          p += 4 + boundLength(plan, field, view.getInt32(p, true));
          break;
        case "pointer": {
          if (p >= end) return stopAt(start, p + 1);
          const pointerBytes = source[p] ?? 0;
          p += 1;
          if (pointerBytes === 0) break;
          p += pointerBytes + POINTER_STAMP_BYTES;
          if (p + 4 > end) return stopAt(start, p + 4);
          p += 4 + boundLength(plan, field, view.getInt32(p, true));
          break;
        }
        case "plp": {
          const low = p + 8 <= end ? view.getUint32(p, true) : 0;
          const high = p + 8 <= end ? view.getUint32(p + 4, true) : 0;
          if (p + 8 > end) return stopAt(start, p + 8);
          p += 8;
          if (high === PLP_SPECIAL_HIGH && low === PLP_NULL_LOW) break;
          const isKnown = high !== PLP_SPECIAL_HIGH || low !== PLP_UNKNOWN_LOW;
          if (isKnown) {
            const bytes = high * 4_294_967_296 + low;
            if (bytes > plan.rowBytesMax) refuseRowBytes(plan, bytes);
            // and at least the end of the chunks behind them
            if (p + bytes + 4 > end) return stopAt(start, p + bytes + 4);
          }
          for (;;) {
            if (p + 4 > end) return stopAt(start, p + 4);
            const chunk = view.getUint32(p, true);
            p += 4 + chunk;
            if (chunk === 0) break;
          }
          break;
        }
      }
      if (p > end) return stopAt(start, p);
    }
    scan.end = p;
    scan.wanted = 0;
    if (p - start > plan.rowBytesMax) refuseRowBytes(plan, p - start);
    return scan;
  };
}

function boundLength(
  plan: DecodePlan,
  field: FieldPlan,
  length: number,
): number {
  if (length < 0) refuseLength(plan, field, length);
  if (length > plan.rowBytesMax) refuseRowBytes(plan, length);
  return length;
}

/**
 * The most that a row of these fields can have; Infinity where a value has no limit. Within that many bytes a row can
 * be decoded without looking for its end first.
 */
export function boundRowBytes(fields: readonly FieldPlan[]): number {
  let bytes = 1 + Math.ceil(fields.length / 8);
  for (const field of fields) {
    switch (field.framing) {
      case "none":
        bytes += field.bytes;
        break;
      case "byte":
        bytes += 256;
        break;
      case "short":
        bytes += 2 + field.bytes;
        break;
      case "plp":
      case "pointer":
      case "long":
        return Infinity;
    }
  }
  return bytes;
}

/**
 * The bytes of a PLP value in one piece: as they lie where they are one chunk, else put together.
 * Shape: `p` is behind the value's length; the row is known to be whole.
 * @returns null where the chunks do not come to the length that was announced
 */
export function gatherChunks(
  source: Uint8Array,
  view: DataView,
  start: number,
): { readonly bytes: Uint8Array; readonly end: number } {
  let p = start;
  let total = 0;
  let chunks = 0;
  let firstStart = start + 4;
  for (;;) {
    const chunk = view.getUint32(p, true);
    p += 4;
    if (chunk === 0) break;
    if (chunks === 0) firstStart = p;
    chunks++;
    total += chunk;
    p += chunk;
  }
  if (chunks <= 1) {
    return { bytes: source.subarray(firstStart, firstStart + total), end: p };
  }
  const bytes = new Uint8Array(total);
  let at = 0;
  for (let q = start; ;) {
    const chunk = view.getUint32(q, true);
    q += 4;
    if (chunk === 0) break;
    bytes.set(source.subarray(q, q + chunk), at);
    at += chunk;
    q += chunk;
  }
  return { bytes, end: p };
}

/** Whether a PLP value's length is that of NULL; `p` is at the length. */
export function isPlpNull(view: DataView, p: number): boolean {
  return (
    view.getUint32(p, true) === PLP_NULL_LOW &&
    view.getUint32(p + 4, true) === PLP_SPECIAL_HIGH
  );
}

/** The announced length of a PLP value; -1 where it is unknown. */
export function plpLength(view: DataView, p: number): number {
  const low = view.getUint32(p, true);
  const high = view.getUint32(p + 4, true);
  if (high === PLP_SPECIAL_HIGH && low === PLP_UNKNOWN_LOW) return -1;
  return high * 4_294_967_296 + low;
}

/** @throws ExtractError SOURCE_PROTOCOL_VIOLATION where chunks and announced length differ */
export function checkChunks(
  plan: DecodePlan,
  announced: number,
  found: number,
): void {
  if (announced >= 0 && announced !== found) {
    refuseRow(
      plan,
      `a value of ${found} bytes where ${announced} were announced`,
    );
  }
}
