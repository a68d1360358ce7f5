/** What the two ways of writing records have in common: batches in, bytes of messages out, no object for a row. */
import type { ColumnBatch } from "../../proto/columns.ts";

/** What stands in every record beside its values. */
export interface RecordFrame {
  /** Records and states name it, so that the destination knows which records a state covers; null: not in socket mode. */
  readonly partitionId: string | null;
  /** Milliseconds since the Unix epoch. */
  readonly emittedAt: number;
}

export interface RecordEncoder {
  /** Of the records that follow. */
  begin(frame: RecordFrame): void;
  /** The batch is borrowed; the pieces are valid until the next call of this encoder. */
  encode(batch: ColumnBatch): readonly Uint8Array[];
}
