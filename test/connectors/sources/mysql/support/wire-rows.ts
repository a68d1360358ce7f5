/** Binary rows made from values, and decoders run over them in pieces. */
import { BATCH_ROWS_MAX } from "../../../../../proto/columns.ts";
import {
  batchCapacity,
  BatchSet,
} from "../../../../../connectors/sources/batches/batch-set.ts";
import type { RowDecoder } from "../../../../../connectors/sources/mysql/decode/decoder.ts";
import type { FieldPlan } from "../../../../../connectors/sources/mysql/decode/plan.ts";
import { readRows } from "../../postgres/support/wire-rows.ts";

/** The bytes of a value as they stand in the row, with their length where they have one. */
export type WireValue = Buffer | null;

/** The payload of a row. */
export function encodePayload(values: readonly WireValue[]): Buffer {
  const bitmap = Buffer.alloc((values.length + 9) >> 3);
  for (const [index, value] of values.entries()) {
    const bit = index + 2;
    if (value === null)
      bitmap[bit >> 3] = (bitmap[bit >> 3] ?? 0) | (1 << (bit & 7));
  }
  return Buffer.concat([
    Buffer.from([0]),
    bitmap,
    ...values.filter((value) => value !== null),
  ]);
}

/** A row in its packet. */
export function encodeRow(values: readonly WireValue[], sequence = 0): Buffer {
  return encodePacket(encodePayload(values), sequence);
}

export function encodePacket(payload: Buffer, sequence = 0): Buffer {
  const header = Buffer.alloc(4);
  header.writeUIntLE(payload.length, 0, 3);
  header[3] = sequence & 255;
  return Buffer.concat([header, payload]);
}

/** Bytes behind their length in its shortest form, or in a longer one. */
export function withLength(
  bytes: Buffer,
  form: 0 | 252 | 253 | 254 = 0,
): Buffer {
  const { length } = bytes;
  const shortest = length < 251 ? 0 : length < 65_536 ? 252 : 253;
  const chosen = Math.max(form, shortest);
  if (chosen === 0) return Buffer.concat([Buffer.from([length]), bytes]);
  const size = chosen === 252 ? 2 : chosen === 253 ? 3 : 8;
  const prefix = Buffer.alloc(1 + size);
  prefix[0] = chosen;
  prefix.writeUIntLE(length, 1, Math.min(size, 6));
  return Buffer.concat([prefix, bytes]);
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
      start = decoder.decode(set, source, view, start, end, 0);
      if (!set.isFull) break;
      rows.push(...readRows(fields, set.toBatch(fields.length)));
      set.reset();
    }
  }
  rows.push(...readRows(fields, set.toBatch(fields.length)));
  if (start !== wire.length) throw new Error("bytes were left");
  return rows;
}
