/** DataRow messages made from values, and decoders run over them in pieces. */
import type { ColumnBatch } from "../../../../../proto/columns.ts";
import { BATCH_ROWS_MAX } from "../../../../../proto/columns.ts";
import { isVariableWidth } from "../../../../../proto/schema.ts";
import {
  batchCapacity,
  BatchSet,
} from "../../../../../connectors/sources/batches/batch-set.ts";
import type { RowDecoder } from "../../../../../connectors/sources/postgres/decode/decoder.ts";
import type { FieldPlan } from "../../../../../connectors/sources/postgres/decode/plan.ts";

export type WireValue = Buffer | null;

export function encodeRow(values: readonly WireValue[]): Buffer {
  const parts: Buffer[] = [];
  for (const value of values) {
    const length = Buffer.alloc(4);
    length.writeInt32BE(value === null ? -1 : value.length);
    parts.push(length);
    if (value !== null) parts.push(value);
  }
  const body = Buffer.concat(parts);
  const header = Buffer.alloc(7);
  header.write("D");
  header.writeInt32BE(6 + body.length, 1);
  header.writeInt16BE(values.length, 5);
  return Buffer.concat([header, body]);
}

/** Decodes all rows of `wire`, which arrive in pieces of the given sizes (repeated), into batches of `rowsMax` rows. */
export function decodeAll(
  decoder: RowDecoder,
  fields: readonly FieldPlan[],
  wire: Buffer,
  pieceBytes: readonly number[] = [wire.length],
  rowsMax: number = BATCH_ROWS_MAX,
): unknown[][] {
  const rows: unknown[][] = [];
  const set = new BatchSet(fields, batchCapacity(fields, rowsMax));
  const source = Buffer.from(new ArrayBuffer(wire.length));
  const view = new DataView(source.buffer);
  let start = 0;
  let end = 0;
  for (let piece = 0; end < wire.length; piece++) {
    const size = Math.max(1, pieceBytes[piece % pieceBytes.length] ?? 1);
    const next = Math.min(wire.length, end + size);
    wire.copy(source, end, end, next);
    end = next;
    for (;;) {
      start = decoder.decode(set, source, view, start, end);
      if (!set.isFull) break;
      rows.push(...readRows(fields, set.toBatch(fields.length)));
      set.reset();
    }
  }
  rows.push(...readRows(fields, set.toBatch(fields.length)));
  if (start !== wire.length) throw new Error("bytes were left");
  return rows;
}

/** The rows of a batch as values of JavaScript: bigint for 64 bits and more, strings for text, hex for bytes. */
export function readRows(
  fields: readonly Pick<FieldPlan, "logical">[],
  batch: ColumnBatch,
): unknown[][] {
  return Array.from({ length: batch.rowCount }, (_, row) =>
    fields.map((field, column) => readValue(field, batch, column, row)),
  );
}

function readValue(
  field: Pick<FieldPlan, "logical">,
  batch: ColumnBatch,
  column: number,
  row: number,
): unknown {
  const vector = batch.columns[column];
  if (vector === undefined) throw new Error(`no column ${column}`);
  const { validity, offsets, data } = vector;
  if (validity !== null && !bit(validity, row)) return null;
  if ((vector.nullCount === 0) !== (validity === null)) {
    throw new Error("validity and nullCount disagree");
  }
  if (data.byteOffset % 8 !== 0) throw new Error("data is not aligned");
  const view = new DataView(data.buffer, data.byteOffset, data.byteLength);
  if (isVariableWidth(field.logical)) {
    if (offsets === null) throw new Error("no offsets");
    const bytes = Buffer.from(data.subarray(offsets[row], offsets[row + 1]));
    return bytes.toString(field.logical === "binary" ? "hex" : "utf8");
  }
  switch (field.logical) {
    case "boolean":
      return bit(data, row);
    case "int16":
      return view.getInt16(2 * row, true);
    case "int32":
    case "date":
      return view.getInt32(4 * row, true);
    case "float32":
      return view.getFloat32(4 * row, true);
    case "float64":
      return view.getFloat64(8 * row, true);
    case "uuid":
      return Buffer.from(data.subarray(16 * row, 16 * row + 16)).toString(
        "hex",
      );
    case "decimal128":
      return (
        (view.getBigInt64(16 * row + 8, true) << 64n) |
        view.getBigUint64(16 * row, true)
      );
    default:
      return view.getBigInt64(8 * row, true);
  }
}

function bit(bitmap: Uint8Array, row: number): boolean {
  return ((bitmap[row >> 3] ?? 0) & (1 << (row & 7))) !== 0;
}
