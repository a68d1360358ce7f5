/** Rows on their way to the channel, and the checkpoints behind them: what came by one lane keeps its order. */
import { showStream } from "../airbyte/catalog.ts";
import type { ColumnBatch, ColumnVector } from "../../proto/columns.ts";
import { ExtractError } from "../../proto/error.ts";
import type { StreamSchema } from "../../proto/schema.ts";
import type {
  Followed,
  ForeignRecord,
  Lane,
  Segment,
} from "./message-streams.ts";

/** A checkpoint whose index is given once it is known. */
export interface Member {
  readonly stream: number;
  readonly index: Promise<number>;
}

export class MessageLanes {
  readonly #epoch: number;
  #checkpoints = 0;
  #failure: Error | null = null;

  constructor(epoch: number) {
    this.#epoch = epoch;
  }

  /** @throws what has gone wrong behind a call that has returned */
  throwFailure(): void {
    if (this.#failure !== null) throw this.#failure;
  }

  fail(error: unknown): void {
    this.#failure ??= error instanceof Error ? error : new Error(String(error));
  }

  /** @returns false where all batches are on their way */
  tryAppend(lane: Lane, record: ForeignRecord): boolean {
    for (;;) {
      const result = lane.decoder.append(record, record);
      if (result === "appended") return true;
      if (result === "busy") return false;
      this.#send(lane);
    }
  }

  openSegment(
    followed: Followed,
    lane: Lane,
    partition: string | null,
  ): Segment {
    if (partition === null)
      throw new ExtractError(
        "CONNECTOR_MESSAGE_INVALID",
        `a record of ${followed.shown} comes by a socket without its partition_id`,
        { stream: followed.shown },
      );
    const { segment } = lane;
    if (segment?.partition === partition && segment.index === null)
      return segment;
    if (segment !== null && segment.index === null)
      void this.#closeSegment(segment);
    const known = followed.segments.get(partition);
    if (known !== undefined)
      throw new ExtractError(
        "CONNECTOR_MESSAGE_INVALID",
        `records of the partition ${partition} of ${followed.shown} come by two sockets, or behind its end`,
        { stream: followed.shown, partition },
      );
    const opened: Segment = { partition, lane, rows: 0, index: null };
    followed.segments.set(partition, opened);
    lane.segment = opened;
    return opened;
  }

  #closeSegment(segment: Segment): Promise<number> {
    segment.index ??= this.#checkpoint(segment.lane, false);
    return segment.index;
  }

  #send(lane: Lane): void {
    const taken = lane.decoder.take();
    if (!taken) return;
    lane.sending = lane.rows.batch(taken.batch).then(
      () => taken.giveBack(),
      (error: unknown) => this.fail(error),
    );
  }

  /** All rows of the lane so far. @returns its index, once that is given */
  #checkpoint(lane: Lane, last: boolean): Promise<number> {
    this.#send(lane);
    lane.hasRows = false;
    this.#checkpoints += 1;
    const after = `${pad(this.#epoch, 8)}-${pad(this.#checkpoints, 12)}`;
    const index = new Promise<number>((resolve) => lane.asked.push(resolve));
    lane.rows
      .checkpoint(last ? null : { kind: "log", after }, last)
      .catch((error: unknown) => this.fail(error));
    return index;
  }

  closeSegments(
    { stream, segments }: Followed,
    partitions: readonly string[],
  ): Member[] {
    return partitions.flatMap((partition) => {
      const segment = segments.get(partition);
      return segment === undefined
        ? []
        : [{ stream: stream.number, index: this.#closeSegment(segment) }];
    });
  }

  closeLanes({ lanes, stream }: Followed, last: boolean): Member[] {
    return lanes
      .filter(({ hasRows }) => last || hasRows)
      .map((lane) => ({
        stream: stream.number,
        index: this.#checkpoint(lane, last),
      }));
  }

  /** Columns as they came. Resolves when the batch is free. */
  writeBatch(
    lane: Lane,
    sent: StreamSchema,
    batch: ColumnBatch,
  ): Promise<void> {
    const columns = arrangeColumns(lane.decoder.schema, sent, batch);
    const written = lane.rows.batch({ rowCount: batch.rowCount, columns });
    lane.hasRows = true;
    return written;
  }
}

/** By their names, which say the same on both sides where the sender is what the catalog was made of. */
function arrangeColumns(
  wanted: StreamSchema,
  sent: StreamSchema,
  { columns }: ColumnBatch,
): ColumnVector[] {
  return wanted.columns.map(({ name, type }) => {
    const at = sent.columns.findIndex((one) => one.name === name);
    const column = columns[at];
    const found = sent.columns[at]?.type;
    if (
      column === undefined ||
      found?.kind !== type.kind ||
      found.precision !== type.precision ||
      found.scale !== type.scale
    )
      throw new ExtractError(
        "CONNECTOR_MESSAGE_INVALID",
        `the column ${name} of ${showStream(sent)} comes as ${found?.kind ?? "none"}, and the catalog has ${type.kind}: columns go between connectors of ours only as the source discovers them`,
        { stream: sent.name, column: name },
      );
    return column;
  });
}

function pad(count: number, digits: number): string {
  return String(count).padStart(digits, "0");
}
