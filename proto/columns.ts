/**
 * A batch of rows as columns, in the Arrow memory layout: what decoders fill, sockets carry and encoders read.
 * Every buffer starts at an address divisible by 8, so typed arrays can be laid over it without a copy.
 */

export interface ColumnVector {
  readonly nullCount: number;
  /** One bit a row, LSB first, 1 = value present; null exactly when `nullCount` is 0. At least ceil(rowCount / 8) bytes. */
  readonly validity: Uint8Array | null;
  /** rowCount + 1 ascending offsets into `data`, from 0, for variable-width kinds; else null. */
  readonly offsets: Int32Array | null;
  /**
   * The values: rowCount × width bytes (a null's slot is there, its bytes undefined but initialised), a bitmap of
   * ceil(rowCount / 8) bytes for boolean, or the bytes of all values for variable-width kinds.
   */
  readonly data: Uint8Array;
}

export interface ColumnBatch {
  readonly rowCount: number;
  readonly columns: readonly ColumnVector[];
}

/** A batch closes when either is reached; only a single row may be larger. */
export const BATCH_ROWS_MAX = 16_384;
export const BATCH_BYTES_MAX = 4 * 1024 * 1024;

/**
 * Bytes of a batch's buffers, without alignment and without what a validity or offsets buffer has to spare: the same
 * number on both sides of a socket.
 */
export function batchBytes(batch: ColumnBatch): number {
  const bitmapBytes = Math.ceil(batch.rowCount / 8);
  let bytes = 0;
  for (const column of batch.columns) {
    bytes += column.data.byteLength;
    if (column.nullCount > 0) bytes += bitmapBytes;
    if (column.offsets) bytes += 4 * (batch.rowCount + 1);
  }
  return bytes;
}
