/**
 * The decoder without code generation: value by value, by the functions of `values.ts`. They are shared by all tables,
 * so they are warm after the first one: that suits small tables. Very wide rows come here too, since a generated
 * function for them would be too large to be optimised.
 */
import { BATCH_BYTES_MAX } from "../../../../proto/columns.ts";
import type { ColumnStore } from "../../batches/batch-set.ts";
import { NBC_ROW, ROW, type RowDecoder } from "./decoder.ts";
import {
  refuseLength,
  refuseRow,
  type DecodePlan,
  type FieldPlan,
} from "./plan.ts";
import {
  checkChunks,
  createScanner,
  gatherChunks,
  isPlpNull,
  plpLength,
} from "./scan.ts";
import { writeNull, writeValue, writeVariable } from "./values.ts";

/** Bytes of a batch that one byte of a row can become: three of UTF-8 for one of a code page. */
export const GROWTH_MAX = 3;

export function createInterpretedDecoder(plan: DecodePlan): RowDecoder {
  const { fields } = plan;
  const scan = createScanner(plan);
  return {
    rowBytesWanted: 1,
    decode(set, source, view, start, end, rowsMax) {
      let offset = start;
      const rowsEnd = set.rowCount + rowsMax;
      this.rowBytesWanted = 1;
      while (offset < end && set.rowCount < rowsEnd) {
        const token = source[offset];
        if (token !== ROW && token !== NBC_ROW) break;
        const found = scan(source, view, offset, end);
        if (found.end < 0) {
          this.rowBytesWanted = found.wanted;
          break;
        }
        const rowEnd = found.end;
        const bytes = set.rowBytes + GROWTH_MAX * (rowEnd - offset);
        if (set.bytesBound + bytes > BATCH_BYTES_MAX && set.rowCount > 0) {
          // the bound is a coarse one: count exactly
          if (set.measure() + bytes > BATCH_BYTES_MAX) {
            set.isFull = true;
            return offset;
          }
        }
        const isNbc = token === NBC_ROW;
        const bitmap = offset + 1;
        let p = isNbc ? bitmap + Math.ceil(fields.length / 8) : bitmap;
        for (let i = 0; i < fields.length; i++) {
          const field = fields[i] as FieldPlan;
          const store = set.columns[i] as ColumnStore;
          const isNull =
            isNbc && ((source[bitmap + (i >> 3)] ?? 0) & (1 << (i & 7))) !== 0;
          if (isNull) writeNull(plan, field, store, set.rowCount);
          else p = readField(plan, field, store, set.rowCount, source, view, p);
        }
        if (p !== rowEnd)
          refuseRow(plan, "values that do not end where it does");
        offset = rowEnd;
        set.bytesBound += bytes;
        set.rowCount++;
        if (set.rowCount === set.capacity) {
          set.isFull = true;
          break;
        }
      }
      return offset;
    },
  };
}

/** Reads the value at `p`, whose length comes first, and returns the offset behind it. The row is known to be whole. */
export function readField(
  plan: DecodePlan,
  field: FieldPlan,
  store: ColumnStore,
  row: number,
  source: Uint8Array,
  view: DataView,
  p: number,
): number {
  switch (field.framing) {
    case "none":
      writeValue(plan, field, store, row, source, view, p, field.bytes);
      return p + field.bytes;
    case "byte": {
      const m = source[p] ?? 0;
      if (m === 0) writeNull(plan, field, store, row);
      else writeValue(plan, field, store, row, source, view, p + 1, m);
      return p + 1 + m;
    }
    case "short": {
      const m = view.getUint16(p, true);
      if (m === 0xffff) {
        writeNull(plan, field, store, row);
        return p + 2;
      }
      if (m > field.bytes) refuseLength(plan, field, m);
      writeVariable(plan, field, store, row, source, p + 2, m);
      return p + 2 + m;
    }
    case "long": {
      const m = view.getInt32(p, true);
      if (m === 0) writeNull(plan, field, store, row);
      else writeVariable(plan, field, store, row, source, p + 4, m);
      return p + 4 + m;
    }
    case "pointer": {
      const pointerBytes = source[p] ?? 0;
      if (pointerBytes === 0) {
        writeNull(plan, field, store, row);
        return p + 1;
      }
      const at = p + 1 + pointerBytes + 8;
      const m = view.getInt32(at, true);
      writeVariable(plan, field, store, row, source, at + 4, m);
      return at + 4 + m;
    }
    case "plp": {
      if (isPlpNull(view, p)) {
        writeNull(plan, field, store, row);
        return p + 8;
      }
      const { bytes, end } = gatherChunks(source, view, p + 8);
      checkChunks(plan, plpLength(view, p), bytes.length);
      writeVariable(plan, field, store, row, bytes, 0, bytes.length);
      return end;
    }
  }
}
