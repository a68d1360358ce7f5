/** Rows at the end of a batch in the making: room for them, taking them away, and bytes that are written as they are. */
import { strict as assert } from "node:assert";
import { BATCH_BYTES_MAX } from "../../../../proto/columns.ts";
import {
  endValue,
  growValues,
  writeNull,
  type BatchSet,
  type ColumnPlan,
  type ColumnStore,
} from "../../batches/batch-set.ts";

/** Rows that one event can become. */
export const EVENT_ROWS_MAX = 2;

export function storeOf(set: BatchSet, index: number): ColumnStore {
  const store = set.columns[index];
  assert(store !== undefined);
  return store;
}

/** For an event of these bytes. */
export function hasRoom(set: BatchSet, byteCount: number): boolean {
  if (set.isFull || set.rowCount > set.capacity - EVENT_ROWS_MAX) return false;
  return (
    set.bytesBound + byteCount <= BATCH_BYTES_MAX ||
    set.measure() + byteCount <= BATCH_BYTES_MAX
  );
}

/** Takes away the rows from `first` on, one event's, and what there is of the next. */
export function removeRows(
  set: BatchSet,
  fields: readonly ColumnPlan[],
  first: number,
): void {
  for (const [index, store] of set.columns.entries()) {
    const { validity, offsets, fixed } = store;
    if (offsets !== null) store.end = offsets[first] ?? 0;
    const isBitmap = fields[index]?.logical === "boolean";
    for (let row = first; row < first + EVENT_ROWS_MAX; row++) {
      const bit = 1 << (row & 7);
      const at = row >> 3;
      if (validity !== null && ((validity[at] ?? bit) & bit) === 0) {
        validity[at] = (validity[at] ?? 0) | bit;
        store.nullCount--;
      }
      if (isBitmap) fixed[at] = (fixed[at] ?? 0) & ~bit;
    }
  }
  set.rowCount = first;
}

/** Writes the row's value. */
export function writeBytes(
  store: ColumnStore,
  row: number,
  bytes: Uint8Array,
): void {
  const values = growValues(store, bytes.length);
  let at = store.end;
  for (let i = 0; i < bytes.length; i++) values[at++] = bytes[i] ?? 0;
  store.end = at;
  endValue(store, row);
}

export function writeOptional(
  store: ColumnStore,
  row: number,
  value: string | null,
): void {
  if (value !== null) writeBytes(store, row, Buffer.from(value));
  else writeNull(store, "text", row);
}
