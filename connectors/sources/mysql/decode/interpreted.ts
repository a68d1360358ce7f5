/**
 * The decoder without code generation: a block of rows is indexed first, then each column is decoded by a loop of its
 * kind. The loops are shared by all tables, so they are warm after the first one: that suits small tables.
 */
import { BATCH_BYTES_MAX } from "../../../../proto/columns.ts";
import type { BatchSet } from "../../batches/batch-set.ts";
import type { WireKind } from "../types.ts";
import { HEADER_BYTES, PAYLOAD_BYTES_MAX } from "../wire/packets.ts";
import { columnLoops, type Block } from "./column-loops.ts";
import { nullBytes, type RowDecoder } from "./decoder.ts";
import { refuseRow, type DecodePlan, type FieldPlan } from "./plan.ts";
import { lengthBytes, readLongLength, TIME_TEXT_BYTES_MAX } from "./values.ts";

/** Offsets of values that are indexed at once: they stay in the processor's first cache. */
const INDEXED_FIELDS_MAX = 4_096;

/** Bytes of a value on the wire; 0 for those with a length in front. */
const wireBytes: Readonly<Record<WireKind, number>> = {
  bool8: 1,
  bool: 0,
  int8: 1,
  uint8: 1,
  int16: 2,
  uint16: 2,
  bits32: 4,
  uint32: 4,
  bits64: 8,
  bits: 0,
  decimal64: 0,
  decimal128: 0,
  date: 0,
  datetime: 0,
  time: 0,
  uuid: 0,
  geometry: 0,
  bytes: 0,
};

/** Bytes by which a row's values can be longer in the batch than on the wire: a time is sent in binary. */
export function surplusBytes(fields: readonly FieldPlan[]): number {
  const times = fields.filter((field) => field.kind === "time");
  return times.length * TIME_TEXT_BYTES_MAX;
}

export function createInterpretedDecoder(plan: DecodePlan): RowDecoder {
  const { fields } = plan;
  const fieldCount = fields.length;
  const rowsMax = Math.max(
    1,
    Math.floor(INDEXED_FIELDS_MAX / Math.max(fieldCount, 1)),
  );
  const loops = fields.map((field) => columnLoops[field.kind]);
  const index = createIndexer(plan, rowsMax);
  const block: Block = {
    source: new Uint8Array(0),
    view: new DataView(new ArrayBuffer(0)),
    at: new Int32Array(rowsMax * fieldCount),
    stride: fieldCount,
    rows: 0,
    firstRow: 0,
  };
  return {
    decode(set, source, view, start, end, largeBytes) {
      block.source = source;
      block.view = view;
      let offset = start;
      try {
        for (;;) {
          const next = index(set, block, offset, end, largeBytes);
          if (block.rows === 0) return next;
          offset = next;
          block.firstRow = set.rowCount;
          for (let column = 0; column < fieldCount; column++) {
            const field = fields[column];
            const store = set.columns[column];
            if (field === undefined || store === undefined) continue;
            loops[column]?.(plan, field, store, block, column);
          }
          set.rowCount += block.rows;
          if (largeBytes > 0) return offset;
        }
      } catch (error) {
        // lengths that lead out of the buffer
        if (error instanceof RangeError)
          refuseRow(plan, "values beyond its end");
        throw error;
      }
    },
  };
}

type Indexer = (
  set: BatchSet,
  block: Block,
  start: number,
  end: number,
  largeBytes: number,
) => number;

/** Finds the values of the next rows that the batch has room for. Returns the offset behind them. */
function createIndexer(plan: DecodePlan, rowsMax: number): Indexer {
  const { fields, rowBytesMax } = plan;
  const widths = Int32Array.from(fields, (field) => wireBytes[field.kind]);
  const bitmapBytes = nullBytes(fields.length);
  const surplus = surplusBytes(fields);
  return (set, block, start, end, largeBytes) => {
    const { source, view, at, stride } = block;
    const rowsLeft = Math.min(rowsMax, set.capacity - set.rowCount);
    let offset = start;
    let rows = 0;
    let index = 0;
    while (rows < rowsLeft && end - offset > HEADER_BYTES) {
      if (source[offset + HEADER_BYTES] !== 0) break;
      const length =
        largeBytes > 0
          ? largeBytes
          : view.getInt32(offset, true) & PAYLOAD_BYTES_MAX;
      const rowEnd = offset + HEADER_BYTES + length;
      if (rowEnd > end || length > rowBytesMax) break;
      if (largeBytes === 0 && length === PAYLOAD_BYTES_MAX) break;
      if (length < 1 + bitmapBytes) {
        refuseRow(plan, `a length of ${length} bytes`);
      }
      const rowBytes = set.rowBytes + surplus + length;
      const bound = set.bytesBound + rowBytes;
      if (bound > BATCH_BYTES_MAX && set.rowCount + rows > 0) {
        // the bound counts fixed-width values twice: decode what is indexed, then count exactly
        if (rows > 0) break;
        if (set.measure() + rowBytes > BATCH_BYTES_MAX) {
          set.isFull = true;
          break;
        }
        continue;
      }
      set.bytesBound = bound;
      const bitmap = offset + HEADER_BYTES + 1;
      let p = bitmap + bitmapBytes;
      for (let field = 0; field < stride; field++) {
        const bit = field + 2;
        if (((source[bitmap + (bit >> 3)] ?? 0) >> (bit & 7)) & 1) {
          at[index++] = -1;
          continue;
        }
        at[index++] = p;
        const width = widths[field] ?? 0;
        if (width > 0) {
          p += width;
        } else {
          const first = p < rowEnd ? (source[p] ?? 255) : 255;
          p += lengthBytes(first);
          if (p > rowEnd) refuseRow(plan, "values beyond its end");
          p +=
            first < 251
              ? first
              : readLongLength(plan, source, view, p - lengthBytes(first));
        }
        if (p > rowEnd) refuseRow(plan, "values beyond its end");
      }
      if (p !== rowEnd) refuseRow(plan, "bytes behind its last value");
      offset = rowEnd;
      rows++;
      if (largeBytes > 0) break;
    }
    block.rows = rows;
    if (set.rowCount + rows === set.capacity) set.isFull = true;
    return offset;
  };
}
