/**
 * The decoder without code generation: a block of rows is indexed first, then each column is decoded by a loop of its
 * kind. The loops are shared by all tables, so they are warm after the first one: that suits small tables.
 */
import { BATCH_BYTES_MAX } from "../../../../proto/columns.ts";
import { columnLoops, type Block } from "./column-loops.ts";
import type { BatchSet } from "../../batches/batch-set.ts";
import { DATA_ROW, type RowDecoder } from "./decoder.ts";
import { refuseRow, type DecodePlan } from "./plan.ts";

/** Offsets of fields that are indexed at once: they stay in the processor's first cache. */
const INDEXED_FIELDS_MAX = 4_096;

export function createInterpretedDecoder(plan: DecodePlan): RowDecoder {
  const { fields } = plan;
  const fieldCount = fields.length;
  const rowsMax = Math.max(
    1,
    Math.floor(INDEXED_FIELDS_MAX / Math.max(fieldCount, 1)),
  );
  const loops = fields.map((field) => columnLoops[field.kind]);
  const block: Block = {
    source: new Uint8Array(0),
    view: new DataView(new ArrayBuffer(0)),
    at: new Int32Array(rowsMax * fieldCount),
    stride: fieldCount,
    rows: 0,
    firstRow: 0,
  };
  return {
    decode(set, source, view, start, end) {
      block.source = source;
      block.view = view;
      let offset = start;
      for (;;) {
        const next = indexRows(plan, set, block, rowsMax, offset, end);
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
      }
    },
  };
}

/** Finds the fields of the next rows that the batch has room for. Returns the offset behind them. */
function indexRows(
  plan: DecodePlan,
  set: BatchSet,
  block: Block,
  rowsMax: number,
  start: number,
  end: number,
): number {
  const { source, view, at, stride } = block;
  const rowsLeft = Math.min(rowsMax, set.capacity - set.rowCount);
  let offset = start;
  let rows = 0;
  let index = 0;
  while (rows < rowsLeft && end - offset >= 7 && source[offset] === DATA_ROW) {
    const length = view.getInt32(offset + 1);
    const rowEnd = offset + 1 + length;
    if (length < 6) refuseRow(plan, `a length of ${length} bytes`);
    if (rowEnd > end) break;
    if (view.getInt16(offset + 5) !== stride) {
      refuseRow(plan, `${view.getInt16(offset + 5)} fields, not ${stride}`);
    }
    const bound = set.bytesBound + set.rowBytes + length;
    if (bound > BATCH_BYTES_MAX && set.rowCount + rows > 0) {
      // the bound counts fixed-width fields twice: decode what is indexed, then count exactly
      if (rows > 0) break;
      if (set.measure() + set.rowBytes + length > BATCH_BYTES_MAX) {
        set.isFull = true;
        break;
      }
      continue;
    }
    set.bytesBound = bound;
    let p = offset + 7;
    for (let field = 0; field < stride; field++) {
      at[index++] = p;
      const size = p + 4 <= rowEnd ? view.getInt32(p) : -2;
      if (size > 0) {
        if (size > rowEnd - p - 4) refuseRow(plan, "a field beyond its end");
        p += size;
      } else if (size < -1) {
        refuseRow(plan, "a field without a length");
      }
      p += 4;
    }
    if (p !== rowEnd) refuseRow(plan, "bytes behind its last field");
    offset = rowEnd;
    rows++;
  }
  block.rows = rows;
  if (set.rowCount + rows === set.capacity) set.isFull = true;
  return offset;
}
