/** The values of a key as text that the source's own type reads back, in a JSON array: what `_old_key` holds. */
import type { ColumnStore } from "../../batches/batch-set.ts";
import { formatValue } from "../../batches/read-value.ts";
import type { ChangeColumn } from "./columns.ts";

/** `columns` in key order, with their stores; row `row` of each. */
export function formatKey(
  columns: readonly ChangeColumn[],
  stores: readonly ColumnStore[],
  row: number,
): string {
  return JSON.stringify(
    columns.map(({ logical, digits }, i) => {
      const store = stores[i];
      return store === undefined
        ? null
        : formatValue(logical, digits, store, row);
    }),
  );
}
