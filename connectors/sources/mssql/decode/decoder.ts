/**
 * A decoder turns the row tokens of one SELECT into rows of a batch.
 * @see MS-TDS 2.2.7.19 "ROW" and 2.2.7.15 "NBCROW": a token byte, for NBCROW a bit per column that is set for NULL,
 * then the columns' values
 */
import type { BatchSet } from "../../batches/batch-set.ts";

export const ROW = 0xd1;
export const NBC_ROW = 0xd2;

export interface RowDecoder {
  /**
   * Decodes the whole rows at `source[start, end)` until the set is full, `rowsMax` are taken, a row is incomplete or
   * another token comes, and returns the offset behind the last row taken. `view` lies over the same bytes.
   * @throws ExtractError SOURCE_PROTOCOL_VIOLATION, SOURCE_SCHEMA_CHANGED, SOURCE_VALUE_UNREPRESENTABLE,
   * SOURCE_ROW_TOO_LARGE
   */
  decode(
    set: BatchSet,
    source: Uint8Array,
    view: DataView,
    start: number,
    end: number,
    rowsMax: number,
  ): number;
  /** Bytes that the incomplete row at the returned offset has at least: with fewer nothing is gained by looking again. */
  rowBytesWanted: number;
}
