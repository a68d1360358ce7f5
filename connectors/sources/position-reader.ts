/** Positions behind a row of a key range: the exact text of its key, from the columns that were decoded. */
import type { Partition, Position } from "../../proto/partition.ts";
import type { BatchSet, ColumnStore } from "./batches/batch-set.ts";

/** The position behind row `row` of a batch; null where the row's key could not be kept exactly. */
export type PositionReader = (set: BatchSet, row: number) => Position | null;

interface KeyedTask {
  readonly partition: Partition;
  readonly stream: {
    readonly key: {
      readonly columns: readonly {
        readonly name: string;
        readonly exact: boolean;
      }[];
    } | null;
  };
}

/**
 * How positions are read for a task, or null where it has none inside: it is no key range, or a type of its key has no
 * exact text. `readText` prints one value so that the server finds the row again by it; null for NULL.
 */
export function buildPositionReader<Field extends { readonly name: string }>(
  { partition: { split }, stream }: KeyedTask,
  fields: readonly Field[],
  hasExactText: (field: Field) => boolean,
  readText: (field: Field, store: ColumnStore, row: number) => string | null,
): PositionReader | null {
  if (split.kind !== "key") return null;
  const keyColumns = stream.key?.columns ?? [];
  const reads: { readonly field: Field; readonly index: number }[] = [];
  for (const name of split.columns) {
    const index = fields.findIndex((field) => field.name === name);
    const field = fields[index];
    const exact = keyColumns.find((column) => column.name === name)?.exact;
    if (field === undefined || exact !== true || !hasExactText(field)) {
      return null;
    }
    reads.push({ field, index });
  }
  return (set, row) => {
    const after: string[] = [];
    for (const { field, index } of reads) {
      const store = set.columns[index];
      const text = store === undefined ? null : readText(field, store, row);
      if (text === null) return null;
      after.push(text);
    }
    return { kind: "key", after };
  };
}
