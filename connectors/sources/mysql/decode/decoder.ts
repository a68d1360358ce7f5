/**
 * A decoder turns the rows of one prepared statement's result into rows of a batch.
 * @see MySQL internals, "Binary Protocol Resultset Row": a zero byte, a bitmap of NULLs whose first two bits are
 * unused, then the values one behind the other
 */
import type { BatchSet } from "../../batches/batch-set.ts";

export interface RowDecoder {
  /**
   * Decodes the whole rows at `source[start, end)`, each in one packet with its header, until the set is full, a row
   * is incomplete or too large, or another packet comes. Returns the offset behind the last row taken. `view` lies
   * over the same bytes.
   * @param largeBytes 0, or the length of the only row's payload, whose packets have been put together behind the
   * place of one header
   * @throws ExtractError SOURCE_PROTOCOL_VIOLATION, SOURCE_SCHEMA_CHANGED, SOURCE_VALUE_UNREPRESENTABLE
   */
  decode(
    set: BatchSet,
    source: Uint8Array,
    view: DataView,
    start: number,
    end: number,
    largeBytes: number,
  ): number;
}

/** Bytes of a row's bitmap of NULLs; column `i` is at bit `i + 2`. */
export function nullBytes(fieldCount: number): number {
  return (fieldCount + 9) >> 3;
}
