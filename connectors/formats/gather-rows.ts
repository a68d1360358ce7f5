/** Makes a batch of chosen rows of another, in the layout of `proto/columns.ts`. The other is borrowed, not kept. */
import type { ColumnBatch, ColumnVector } from "../../proto/columns.ts";
import {
  fixedWidthBytes,
  isVariableWidth,
  type LogicalKind,
} from "../../proto/schema.ts";

/** Shorter runs of bytes are copied byte by byte, which costs less than a call. */
const SHORT_BYTES = 32;

/**
 * @param kinds of the batch's columns
 * @param rows which rows, in the order they are to have; rising ones are copied in runs
 */
export function gatherRows(
  batch: ColumnBatch,
  kinds: readonly LogicalKind[],
  rows: Int32Array,
): ColumnBatch {
  return {
    rowCount: rows.length,
    columns: batch.columns.map((vector, i) =>
      gatherColumn(vector, kinds[i]!, rows),
    ),
  };
}

function gatherColumn(
  vector: ColumnVector,
  kind: LogicalKind,
  rows: Int32Array,
): ColumnVector {
  let validity: Uint8Array | null = null;
  let nullCount = 0;
  if (vector.validity !== null && vector.nullCount > 0) {
    validity = gatherBits(vector.validity, rows);
    nullCount = rows.length - countBits(validity);
    if (nullCount === 0) validity = null;
  }
  if (isVariableWidth(kind))
    return { nullCount, validity, ...gatherBytes(vector, rows) };
  const data =
    kind === "boolean"
      ? gatherBits(vector.data, rows)
      : gatherFixed(vector.data, fixedWidthBytes[kind], rows);
  return { nullCount, validity, offsets: null, data };
}

function gatherBits(source: Uint8Array, rows: Int32Array): Uint8Array {
  const bits = new Uint8Array((rows.length + 7) >>> 3);
  for (let i = 0; i < rows.length; i++) {
    const row = rows[i]!;
    bits[i >>> 3]! |= ((source[row >>> 3]! >>> (row & 7)) & 1) << (i & 7);
  }
  return bits;
}

/** No bit behind the last row is set in what `gatherBits` makes. */
function countBits(bits: Uint8Array): number {
  let count = 0;
  for (let byte of bits) {
    byte -= (byte >>> 1) & 0x55;
    byte = (byte & 0x33) + ((byte >>> 2) & 0x33);
    count += (byte + (byte >>> 4)) & 0x0f;
  }
  return count;
}

function gatherFixed(
  source: Uint8Array,
  width: number,
  rows: Int32Array,
): Uint8Array {
  const { buffer, byteOffset } = source;
  const data = new Uint8Array(rows.length * width);
  if (width === 2) {
    const from = new Int16Array(buffer, byteOffset, source.length >>> 1);
    const to = new Int16Array(data.buffer);
    for (let i = 0; i < rows.length; i++) to[i] = from[rows[i]!]!;
    return data;
  }
  const from = new Int32Array(buffer, byteOffset, source.length >>> 2);
  const to = new Int32Array(data.buffer);
  if (width === 4) {
    for (let i = 0; i < rows.length; i++) to[i] = from[rows[i]!]!;
  } else if (width === 8) {
    for (let i = 0; i < rows.length; i++) {
      const row = rows[i]! * 2;
      to[i * 2] = from[row]!;
      to[i * 2 + 1] = from[row + 1]!;
    }
  } else {
    for (let i = 0; i < rows.length; i++) {
      const row = rows[i]! * 4;
      to[i * 4] = from[row]!;
      to[i * 4 + 1] = from[row + 1]!;
      to[i * 4 + 2] = from[row + 2]!;
      to[i * 4 + 3] = from[row + 3]!;
    }
  }
  return data;
}

function gatherBytes(
  vector: ColumnVector,
  rows: Int32Array,
): { offsets: Int32Array; data: Uint8Array } {
  const from = vector.offsets!;
  const offsets = new Int32Array(rows.length + 1);
  let length = 0;
  for (let i = 0; i < rows.length; i++) {
    const row = rows[i]!;
    length += from[row + 1]! - from[row]!;
    offsets[i + 1] = length;
  }
  const source = vector.data;
  const data = new Uint8Array(length);
  let at = 0;
  for (let i = 0; i < rows.length;) {
    const first = rows[i]!;
    let next = first + 1;
    for (i++; i < rows.length && rows[i] === next; i++) next++;
    const start = from[first]!;
    const end = from[next]!;
    if (end - start < SHORT_BYTES)
      for (let byte = start; byte < end; byte++) data[at++] = source[byte]!;
    else {
      data.set(source.subarray(start, end), at);
      at += end - start;
    }
  }
  return { offsets, data };
}
