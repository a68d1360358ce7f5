/** A place in a batch in the making, to which it can go back: a row that turned out to belong to the next one. */
import type { BatchSet, ColumnPlan } from "../batches/batch-set.ts";

export interface RowMark {
  readonly rowCount: number;
  readonly bytesBound: number;
  readonly columns: readonly {
    readonly nullCount: number;
    readonly end: number;
  }[];
}

export function markRow(set: BatchSet): RowMark {
  return {
    rowCount: set.rowCount,
    bytesBound: set.bytesBound,
    columns: set.columns.map(({ nullCount, end }) => ({ nullCount, end })),
  };
}

/** Undoes the one row that was decoded behind the mark. */
export function takeBack(
  set: BatchSet,
  mark: RowMark,
  fields: readonly ColumnPlan[],
): void {
  const row = mark.rowCount;
  set.rowCount = row;
  set.bytesBound = mark.bytesBound;
  set.isFull = false;
  const bit = 1 << (row & 7);
  for (const [i, store] of set.columns.entries()) {
    store.nullCount = mark.columns[i]?.nullCount ?? 0;
    store.end = mark.columns[i]?.end ?? 0;
    const { validity, fixed } = store;
    if (validity !== null) validity[row >> 3] = (validity[row >> 3] ?? 0) | bit;
    // a boolean's bit is set by decoding, never cleared; other values are written over
    if (fields[i]?.logical === "boolean") {
      fixed[row >> 3] = (fixed[row >> 3] ?? 0) & ~bit;
    }
  }
}
