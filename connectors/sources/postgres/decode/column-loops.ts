/**
 * One loop per wire kind: decodes one column of a block of rows whose fields are indexed. The generated decoder holds
 * the same steps for one row at a time; tests compare the two value by value.
 */
import type { WireKind } from "../types.ts";
import { growValues, type ColumnStore } from "../../batches/batch-set.ts";
import { refuseLength, type DecodePlan, type FieldPlan } from "./plan.ts";
import {
  DATE_MAX,
  DATE_MIN,
  decodeDecimalSlowly,
  decodeTimestampSlowly,
  EPOCH_DAYS,
  EPOCH_US_HIGH,
  EPOCH_US_LOW,
  refuseDate,
  TIMESTAMP_HIGH_MAX,
  TIMESTAMP_HIGH_MIN,
} from "./slow.ts";

/** Values longer than this are copied by the runtime, shorter ones word by word: its call costs about 60 ns. */
const COPY_LOOP_BYTES_MAX = 64;

/** What a loop works on. */
export interface Block {
  source: Uint8Array;
  view: DataView;
  /** `at[row * stride + column]` is the offset of a field's length word, which is proven to lie within its row. */
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

export const columnLoops: Readonly<Record<WireKind, ColumnLoop>> = {
  bool(plan, field, store, block, column) {
    const { source, view, at, stride, firstRow } = block;
    const { fixed } = store;
    for (let i = 0, a = column; i < block.rows; i++, a += stride) {
      const p = at[a] ?? 0;
      const row = firstRow + i;
      if (view.getInt32(p) !== 1) {
        writeNull(plan, field, store, row, view.getInt32(p));
      } else if (source[p + 4] !== 0) {
        fixed[row >> 3] = (fixed[row >> 3] ?? 0) | (1 << (row & 7));
      }
    }
  },
  int16(plan, field, store, block, column) {
    const { view, at, stride, firstRow } = block;
    const { halves } = store;
    for (let i = 0, a = column; i < block.rows; i++, a += stride) {
      const p = at[a] ?? 0;
      const row = firstRow + i;
      if (view.getInt32(p) === 2) {
        halves[row] = view.getInt16(p + 4);
      } else {
        writeNull(plan, field, store, row, view.getInt32(p));
        halves[row] = 0;
      }
    }
  },
  bits32(plan, field, store, block, column) {
    const { view, at, stride, firstRow } = block;
    const { words } = store;
    for (let i = 0, a = column; i < block.rows; i++, a += stride) {
      const p = at[a] ?? 0;
      const row = firstRow + i;
      if (view.getInt32(p) === 4) {
        words[row] = view.getInt32(p + 4);
      } else {
        writeNull(plan, field, store, row, view.getInt32(p));
        words[row] = 0;
      }
    }
  },
  bits64(plan, field, store, block, column) {
    const { view, at, stride, firstRow } = block;
    const { words } = store;
    for (let i = 0, a = column; i < block.rows; i++, a += stride) {
      const p = at[a] ?? 0;
      const row = firstRow + i;
      if (view.getInt32(p) === 8) {
        words[2 * row] = view.getInt32(p + 8);
        words[2 * row + 1] = view.getInt32(p + 4);
      } else {
        writeNull(plan, field, store, row, view.getInt32(p));
        zeroWords(words, 2 * row, 2);
      }
    }
  },
  uint32(plan, field, store, block, column) {
    const { view, at, stride, firstRow } = block;
    const { words } = store;
    for (let i = 0, a = column; i < block.rows; i++, a += stride) {
      const p = at[a] ?? 0;
      const row = firstRow + i;
      zeroWords(words, 2 * row, 2);
      if (view.getInt32(p) === 4) words[2 * row] = view.getInt32(p + 4);
      else writeNull(plan, field, store, row, view.getInt32(p));
    }
  },
  date(plan, field, store, block, column) {
    const { view, at, stride, firstRow } = block;
    const { words } = store;
    for (let i = 0, a = column; i < block.rows; i++, a += stride) {
      const p = at[a] ?? 0;
      const row = firstRow + i;
      words[row] = 0;
      if (view.getInt32(p) !== 4) {
        writeNull(plan, field, store, row, view.getInt32(p));
        continue;
      }
      const days = view.getInt32(p + 4);
      if (days >= DATE_MIN && days <= DATE_MAX) {
        words[row] = days + EPOCH_DAYS;
      } else {
        refuseDate(plan, field, days);
        writeNull(plan, field, store, row, -1);
      }
    }
  },
  timestamp(plan, field, store, block, column) {
    const { view, at, stride, firstRow } = block;
    const { words } = store;
    for (let i = 0, a = column; i < block.rows; i++, a += stride) {
      const p = at[a] ?? 0;
      const row = firstRow + i;
      if (view.getInt32(p) !== 8) {
        writeNull(plan, field, store, row, view.getInt32(p));
        zeroWords(words, 2 * row, 2);
        continue;
      }
      const high = view.getInt32(p + 4);
      const low = view.getInt32(p + 8);
      if (high > TIMESTAMP_HIGH_MIN && high < TIMESTAMP_HIGH_MAX) {
        const sum = (low + EPOCH_US_LOW) | 0;
        words[2 * row] = sum;
        words[2 * row + 1] =
          high + EPOCH_US_HIGH + (sum >>> 0 < EPOCH_US_LOW >>> 0 ? 1 : 0);
      } else if (!decodeTimestampSlowly(plan, field, store, row, high, low)) {
        writeNull(plan, field, store, row, -1);
        zeroWords(words, 2 * row, 2);
      }
    }
  },
  bits128(plan, field, store, block, column) {
    const { view, at, stride, firstRow } = block;
    const { words } = store;
    for (let i = 0, a = column; i < block.rows; i++, a += stride) {
      const p = at[a] ?? 0;
      const row = firstRow + i;
      if (view.getInt32(p) === 16) {
        words[4 * row] = view.getInt32(p + 4, true);
        words[4 * row + 1] = view.getInt32(p + 8, true);
        words[4 * row + 2] = view.getInt32(p + 12, true);
        words[4 * row + 3] = view.getInt32(p + 16, true);
      } else {
        writeNull(plan, field, store, row, view.getInt32(p));
        zeroWords(words, 4 * row, 4);
      }
    }
  },
  decimal64: decodeDecimals,
  decimal128: decodeDecimals,
  bytes(plan, field, store, block, column) {
    const { source, view, at, stride, firstRow } = block;
    const offsets = store.offsets ?? new Int32Array(0);
    let { values, valuesView, end } = store;
    for (let i = 0, a = column; i < block.rows; i++, a += stride) {
      const p = at[a] ?? 0;
      const row = firstRow + i;
      const length = view.getInt32(p);
      if (length > 0) {
        if (end + length > values.length) {
          store.end = end;
          values = growValues(store, length);
          valuesView = store.valuesView;
        }
        copyValue(source, view, p + 4, length, values, valuesView, end);
        end += length;
      } else if (length < 0) {
        writeNull(plan, field, store, row, length);
      }
      offsets[row + 1] = end;
    }
    store.end = end;
  },
};

/** Characters that hold at most 9 digits (an int32), and at most 15 (a double). */
const INT_CHARS_MAX = 9;
const DOUBLE_CHARS_MAX = 15;

function decodeDecimals(
  plan: DecodePlan,
  field: FieldPlan,
  store: ColumnStore,
  block: Block,
  column: number,
): void {
  const { source, view, at, stride, firstRow } = block;
  const { words } = store;
  const { scale } = field;
  const wordCount = field.kind === "decimal64" ? 2 : 4;
  for (let i = 0, a = column; i < block.rows; i++, a += stride) {
    const p = at[a] ?? 0;
    const row = firstRow + i;
    const length = view.getInt32(p);
    const w = wordCount * row;
    if (length < 1) {
      writeNull(plan, field, store, row, length === 0 ? -2 : length);
      zeroWords(words, w, wordCount);
      continue;
    }
    const start = p + 4;
    const sum = parseDecimal(source, start, start + length, scale);
    if (sum !== sum) {
      if (
        !decodeDecimalSlowly(plan, field, store, row, source, start, length)
      ) {
        writeNull(plan, field, store, row, -1);
        zeroWords(words, w, wordCount);
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
}

/** The unscaled number where it has exactly `scale` digits behind the point and at most 15 in all; else NaN. */
function parseDecimal(
  source: Uint8Array,
  start: number,
  end: number,
  scale: number,
): number {
  let at = start;
  const isNegative = source[at] === 45;
  if (isNegative) at++;
  const point = scale === 0 ? end : end - scale - 1;
  const first = source[at] ?? 0;
  if (
    end - at > DOUBLE_CHARS_MAX ||
    point <= at ||
    first > 57 ||
    (scale > 0 && source[point] !== 46)
  ) {
    return NaN;
  }
  if (end - at <= INT_CHARS_MAX) {
    let sum = 0;
    for (; at < point; at++) sum = (sum * 10 + (source[at] ?? 0) - 48) | 0;
    for (at++; at < end; at++) sum = (sum * 10 + (source[at] ?? 0) - 48) | 0;
    return isNegative ? -sum : sum;
  }
  let sum = 0;
  for (; at < point; at++) sum = sum * 10 + (source[at] ?? 0) - 48;
  for (at++; at < end; at++) sum = sum * 10 + (source[at] ?? 0) - 48;
  return isNegative ? -sum : sum;
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

/** Marks the row's value as NULL. `length` is what the wire said, -1 for NULL. */
export function writeNull(
  plan: DecodePlan,
  field: FieldPlan,
  store: ColumnStore,
  row: number,
  length: number,
): void {
  const { validity } = store;
  if (length !== -1 || validity === null) refuseLength(plan, field, length);
  validity[row >> 3] = (validity[row >> 3] ?? 0) & ~(1 << (row & 7));
  store.nullCount++;
}

function zeroWords(words: Int32Array, first: number, count: number): void {
  for (let index = first; index < first + count; index++) words[index] = 0;
}
