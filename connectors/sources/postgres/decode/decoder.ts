/**
 * A decoder turns the DataRow messages of one SELECT into rows of a batch.
 * @see Postgres manual, "Message Formats": 'D', int32 length, int16 field count, then for each field an int32 length
 * (-1 for NULL) and its bytes
 */
import type { BatchSet } from "../../batches/batch-set.ts";

export interface RowDecoder {
  /**
   * Decodes the whole rows at `source[start, end)` until the set is full, a row is incomplete or another message
   * comes, and returns the offset behind the last row taken. `view` lies over the same bytes.
   * @throws ExtractError SOURCE_PROTOCOL_VIOLATION, SOURCE_SCHEMA_CHANGED, SOURCE_VALUE_UNREPRESENTABLE
   */
  decode(
    set: BatchSet,
    source: Uint8Array,
    view: DataView,
    start: number,
    end: number,
  ): number;
}

export const DATA_ROW = 0x44; // 'D'
