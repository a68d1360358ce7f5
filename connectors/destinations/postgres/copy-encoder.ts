/** Rows of a stream as a binary COPY, collected batch by batch. */
import type { ColumnBatch, ColumnVector } from "../../../proto/columns.ts";
import { ExtractError } from "../../../proto/error.ts";
import type { RowCollector } from "../batching/row-batcher.ts";
import type { NulPolicy } from "./config.ts";
import { CopyBuffer } from "./copy-buffer.ts";
import { compileEncoder, GENERATED_COLUMNS_MAX } from "./copy-generated.ts";
import { createInterpretedEncoder } from "./copy-interpreted.ts";
import type { CopyEncoder, CopyPlan } from "./copy-plan.ts";

/** Generated where that is possible. */
export function createCopyEncoder(plan: CopyPlan): CopyEncoder {
  if (plan.columns.length > GENERATED_COLUMNS_MAX)
    return createInterpretedEncoder(plan);
  try {
    return compileEncoder(plan);
  } catch (error) {
    if (!(error instanceof EvalError)) throw error;
    return createInterpretedEncoder(plan);
  }
}

/** What the batches of one writer share. */
export interface CollectorShare {
  readonly plan: CopyPlan;
  readonly encoder: CopyEncoder;
  readonly nulBytes: NulPolicy;
  /** Number of the next row, where staging has an order column. */
  sequence: number;
  /** The batch looked at last, and what is written of it. */
  checked: { readonly batch: ColumnBatch; readonly clean: ColumnBatch } | null;
}

/** One COPY in the making. */
export class CopyCollector implements RowCollector {
  readonly buffer: CopyBuffer;
  readonly #share: CollectorShare;

  constructor(share: CollectorShare, buffer: CopyBuffer) {
    this.#share = share;
    this.buffer = buffer;
  }

  get rows(): number {
    return this.buffer.rows;
  }

  get bytes(): number {
    return this.buffer.bytes;
  }

  take(
    batch: ColumnBatch,
    from: number,
    rowsMax: number,
    bytesMax: number,
  ): number {
    const share = this.#share;
    if (share.checked?.batch !== batch)
      share.checked = { batch, clean: removeNuls(batch, share) };
    const { clean } = share.checked;
    const { buffer } = this;
    buffer.sequence = share.sequence;
    const next = share.encoder.encode(buffer, clean, from, rowsMax, bytesMax);
    share.sequence = buffer.sequence;
    if (next === batch.rowCount) share.checked = null;
    return next;
  }
}

/**
 * Text and JSON without NUL, by policy; nearly always the batch as it is. One look through each column's bytes.
 * @throws ExtractError DESTINATION_VALUE_REFUSED naming the column
 */
function removeNuls(
  batch: ColumnBatch,
  { plan, nulBytes }: CollectorShare,
): ColumnBatch {
  let columns: ColumnVector[] | null = null;
  for (const [i, column] of batch.columns.entries()) {
    const target = plan.columns[i];
    const isText = target?.logical === "text" || target?.logical === "json";
    if (!isText || column.data.indexOf(0) < 0) continue;
    if (nulBytes === "error") {
      throw new ExtractError(
        "DESTINATION_VALUE_REFUSED",
        `${plan.table}.${target.name} has text with a NUL character, which Postgres cannot store; nulBytes: remove leaves it out`,
        { table: plan.table, column: target.name },
      );
    }
    columns ??= [...batch.columns];
    columns[i] = compact(column, batch.rowCount);
  }
  return columns ? { rowCount: batch.rowCount, columns } : batch;
}

function compact(column: ColumnVector, rowCount: number): ColumnVector {
  const offsets = column.offsets ?? new Int32Array(rowCount + 1);
  const kept = new Uint8Array(column.data.length);
  const ends = new Int32Array(rowCount + 1);
  let at = 0;
  for (let row = 0; row < rowCount; row++) {
    const end = offsets[row + 1] ?? 0;
    for (let i = offsets[row] ?? 0; i < end; i++) {
      const byte = column.data[i] ?? 0;
      if (byte !== 0) kept[at++] = byte;
    }
    ends[row + 1] = at;
  }
  return { ...column, offsets: ends, data: kept.subarray(0, at) };
}
