/**
 * One loop per kind: decodes one column of a block of rows whose values are indexed. The generated decoder holds the
 * same steps for one row at a time; tests compare the two value by value.
 */
import { growValues, type ColumnStore } from "../../batches/batch-set.ts";
import type { WireKind } from "../types.ts";
import { decodeDecimalSlowly, parseDecimal } from "./decimal.ts";
import { refuseLength, type DecodePlan, type FieldPlan } from "./plan.ts";
import {
  copyValue,
  lengthBytes,
  readLongLength,
  SRID_BYTES,
  writeBits,
  writeBool,
  writeBool8,
  writeDate,
  writeDatetime,
  writeNull,
  writeTime,
  writeUuid,
} from "./values.ts";

/** What a loop works on. */
export interface Block {
  source: Uint8Array;
  view: DataView;
  /** `at[row * stride + column]` is the offset of a value, which is proven to lie within its row; -1 for NULL. */
  readonly at: Int32Array;
  readonly stride: number;
  rows: number;
  /** The row of the batch that the block's first row becomes. */
  firstRow: number;
}

export type ColumnLoop = (
  plan: DecodePlan,
  field: FieldPlan,
  store: ColumnStore,
  block: Block,
  column: number,
) => void;

/**
 * A loop for a kind that is common enough to have one of its own: one that all kinds share calls through a variable,
 * which costs 6 ns a value.
 */
const bits32: ColumnLoop = (plan, field, store, block, column) => {
  const { view, at, stride, firstRow } = block;
  const { words } = store;
  for (let i = 0, a = column; i < block.rows; i++, a += stride) {
    const p = at[a] ?? -1;
    if (p >= 0) {
      words[firstRow + i] = view.getInt32(p, true);
    } else {
      writeNull(plan, field, store, firstRow + i);
      words[firstRow + i] = 0;
    }
  }
};

const bits64: ColumnLoop = (plan, field, store, block, column) => {
  const { view, at, stride, firstRow } = block;
  const { words } = store;
  for (let i = 0, a = column; i < block.rows; i++, a += stride) {
    const p = at[a] ?? -1;
    const row = firstRow + i;
    if (p >= 0) {
      words[2 * row] = view.getInt32(p, true);
      words[2 * row + 1] = view.getInt32(p + 4, true);
    } else {
      writeNull(plan, field, store, row);
      zeroTwoWords(store, row);
    }
  }
};

const datetime: ColumnLoop = (plan, field, store, block, column) => {
  const { source, view, at, stride, firstRow } = block;
  for (let i = 0, a = column; i < block.rows; i++, a += stride) {
    const p = at[a] ?? -1;
    const row = firstRow + i;
    if (p >= 0) {
      writeDatetime(plan, field, store, row, source, view, p);
    } else {
      writeNull(plan, field, store, row);
      zeroTwoWords(store, row);
    }
  }
};

const date: ColumnLoop = (plan, field, store, block, column) => {
  const { source, view, at, stride, firstRow } = block;
  const { words } = store;
  for (let i = 0, a = column; i < block.rows; i++, a += stride) {
    const p = at[a] ?? -1;
    const row = firstRow + i;
    if (p >= 0) {
      writeDate(plan, field, store, row, source, view, p);
    } else {
      writeNull(plan, field, store, row);
      words[row] = 0;
    }
  }
};

const decimals: ColumnLoop = (plan, field, store, block, column) => {
  const { source, at, stride, firstRow } = block;
  const { words } = store;
  const wordCount = field.kind === "decimal64" ? 2 : 4;
  for (let i = 0, a = column; i < block.rows; i++, a += stride) {
    const p = at[a] ?? -1;
    const row = firstRow + i;
    const w = wordCount * row;
    if (p < 0) {
      writeNull(plan, field, store, row);
      words.fill(0, w, w + wordCount);
      continue;
    }
    const length = source[p] ?? 255;
    if (length < 1 || length > 250) refuseLength(plan, field, length);
    const start = p + 1;
    const sum = parseDecimal(source, start, start + length, field.scale);
    if (sum !== sum) {
      if (
        !decodeDecimalSlowly(plan, field, store, row, source, start, length)
      ) {
        writeNull(plan, field, store, row);
        words.fill(0, w, w + wordCount);
      }
      continue;
    }
    const high = Math.floor(sum / 4_294_967_296);
    words[w] = (sum - high * 4_294_967_296) | 0;
    words[w + 1] = high;
    if (wordCount === 4) {
      words[w + 2] = high >> 31;
      words[w + 3] = high >> 31;
    }
  }
};

/** Writes the value at `p` as row `row`. */
type ValueWriter = (
  plan: DecodePlan,
  field: FieldPlan,
  store: ColumnStore,
  row: number,
  source: Uint8Array,
  p: number,
  view: DataView,
) => void;

/** Writes zeros where a value is NULL. */
type ZeroWriter = (store: ColumnStore, row: number) => void;

function makeLoop(write: ValueWriter, zero: ZeroWriter): ColumnLoop {
  return (plan, field, store, block, column) => {
    const { source, view, at, stride, firstRow } = block;
    for (let i = 0, a = column; i < block.rows; i++, a += stride) {
      const p = at[a] ?? -1;
      const row = firstRow + i;
      if (p >= 0) {
        write(plan, field, store, row, source, p, view);
      } else {
        writeNull(plan, field, store, row);
        zero(store, row);
      }
    }
  };
}

const zeroBit: ZeroWriter = () => {};
const zeroHalf: ZeroWriter = ({ halves }, row) => {
  halves[row] = 0;
};
const zeroWord: ZeroWriter = ({ words }, row) => {
  words[row] = 0;
};
const zeroTwoWords: ZeroWriter = ({ words }, row) => {
  words[2 * row] = 0;
  words[2 * row + 1] = 0;
};
const zeroFourWords: ZeroWriter = ({ words }, row) => {
  words.fill(0, 4 * row, 4 * row + 4);
};
const zeroLength: ZeroWriter = ({ offsets, end }, row) => {
  if (offsets !== null) offsets[row + 1] = end;
};

export const columnLoops: Readonly<Record<WireKind, ColumnLoop>> = {
  bool8: makeLoop(writeBool8, zeroBit),
  bool: makeLoop(writeBool, zeroBit),
  int8: makeLoop((_plan, _field, { halves }, row, _source, p, view) => {
    halves[row] = view.getInt8(p);
  }, zeroHalf),
  uint8: makeLoop((_plan, _field, { halves }, row, source, p) => {
    halves[row] = source[p] ?? 0;
  }, zeroHalf),
  int16: makeLoop((_plan, _field, { halves }, row, _source, p, view) => {
    halves[row] = view.getInt16(p, true);
  }, zeroHalf),
  uint16: makeLoop((_plan, _field, { words }, row, _source, p, view) => {
    words[row] = view.getUint16(p, true);
  }, zeroWord),
  bits32,
  uint32: makeLoop((_plan, _field, { words }, row, _source, p, view) => {
    words[2 * row] = view.getInt32(p, true);
    words[2 * row + 1] = 0;
  }, zeroTwoWords),
  bits64,
  bits: makeLoop(writeBits, zeroTwoWords),
  decimal64: decimals,
  decimal128: decimals,
  date,
  datetime,
  time: makeLoop((plan, field, store, row, source, p, view) => {
    writeTime(plan, field, store, row, source, view, p);
  }, zeroLength),
  uuid: makeLoop(writeUuid, zeroFourWords),
  geometry: makeBytesLoop(SRID_BYTES),
  bytes: makeBytesLoop(0),
};

/** Bytes as they are, without the first `skipped` of each value. */
function makeBytesLoop(skipped: number): ColumnLoop {
  return (plan, field, store, block, column) => {
    const { source, view, at, stride, firstRow } = block;
    const offsets = store.offsets ?? new Int32Array(0);
    let { values, valuesView, end } = store;
    for (let i = 0, a = column; i < block.rows; i++, a += stride) {
      let p = at[a] ?? -1;
      const row = firstRow + i;
      if (p < 0) {
        writeNull(plan, field, store, row);
      } else {
        const first = source[p] ?? 0;
        let length =
          first < 251 ? first : readLongLength(plan, source, view, p);
        p += lengthBytes(first) + skipped;
        length -= skipped;
        if (length < 0) refuseLength(plan, field, length + skipped);
        if (end + length > values.length) {
          store.end = end;
          values = growValues(store, length);
          valuesView = store.valuesView;
        }
        copyValue(source, view, p, length, values, valuesView, end);
        end += length;
      }
      offsets[row + 1] = end;
    }
    store.end = end;
  };
}
