/** A column's values as the texts that our positions have, for comparing. */
import type { ColumnVector } from "../../../../proto/columns.ts";
import type { LogicalType } from "../../../../proto/schema.ts";
import type { ColumnStore } from "../../../../connectors/sources/batches/batch-set.ts";
import { formatValue } from "../../../../connectors/sources/batches/read-value.ts";

export function readColumn(
  { validity, offsets, data, nullCount }: ColumnVector,
  { kind, scale = 0 }: LogicalType,
  rowCount: number,
): (string | null)[] {
  const bytes = new Uint8Array(Math.ceil(data.length / 8) * 8);
  bytes.set(data);
  const store: ColumnStore = {
    validity,
    nullCount,
    offsets,
    fixed: bytes,
    halves: new Int16Array(bytes.buffer),
    words: new Int32Array(bytes.buffer),
    values: data,
    valuesView: new DataView(bytes.buffer),
    end: data.length,
  };
  return Array.from({ length: rowCount }, (_, row) =>
    formatValue(kind, scale, store, row),
  );
}
