/** The records of one partition on their way out of its channel, and the states behind them. */
import type { CheckpointStamp, SealedFile } from "../../../proto/checkpoint.ts";
import type { ColumnBatch } from "../../../proto/columns.ts";
import type { DestinationStream } from "../../../proto/control.ts";
import { ExtractError } from "../../../proto/error.ts";
import type { StreamWriter } from "../destination.ts";
import type { RecordSlots, Segment } from "./record-slots.ts";
import type { AirbyteWriters } from "./writers.ts";

export class RecordWriter implements StreamWriter {
  readonly #writers: AirbyteWriters;
  readonly #slots: RecordSlots;
  readonly #stream: DestinationStream;
  readonly #partition: number;
  #segment: Segment | null = null;
  #segments = 0;
  #rows = 0;

  constructor(
    writers: AirbyteWriters,
    slots: RecordSlots,
    stream: DestinationStream,
    partition: number,
  ) {
    this.#writers = writers;
    this.#slots = slots;
    this.#stream = stream;
    this.#partition = partition;
  }

  async write(batch: ColumnBatch): Promise<void> {
    const { number } = this.#stream.schema;
    await this.#writers.passGate(number, () =>
      this.#writers.noteRows(number, batch.rowCount),
    );
    this.#segment ??= this.#begin();
    this.#rows += batch.rowCount;
    const output = await this.#writers.output();
    await this.#slots.write(output, batch, this.#segment);
  }

  async seal(stamp: CheckpointStamp): Promise<readonly SealedFile[]> {
    const segment = this.#segment ?? this.#begin();
    const rows = this.#rows;
    this.#segment = null;
    this.#rows = 0;
    if (rows !== stamp.rows)
      throw new ExtractError(
        "CHANNEL_CORRUPT",
        `a checkpoint of ${stamp.rows} rows came behind ${rows}`,
        { stream: stamp.stream, partition: stamp.partition },
      );
    this.#writers.closeGate(stamp);
    this.#writers.beginSeal(rows);
    // both before anything of the next checkpoint is written
    const flushed = this.#slots.flush();
    const counted = this.#writers.countState(stamp);
    const told = this.#writers.writesStates
      ? this.#writers.writeMessages([
          this.#writers.describeState(counted, segment.partitionId),
        ])
      : null;
    await this.#writers.noteLeft(counted, Promise.all([flushed, told]));
    this.#writers.noteSealed(stamp);
    const path = segment.partitionId ?? "";
    return [{ path, rows, bytes: stamp.bytes }];
  }

  discard(): Promise<void> {
    const rows = this.#rows;
    this.#segment = null;
    this.#rows = 0;
    if (rows === 0) return Promise.resolve();
    return Promise.reject(
      new ExtractError(
        "DESTINATION_FAILED",
        `${rows} records of ${this.#stream.schema.name} have left and cannot be taken back: the next attempt goes on behind the last state`,
        { stream: this.#stream.schema.number, partition: this.#partition },
      ),
    );
  }

  abandon(): void {
    this.#segment = null;
  }

  #begin(): Segment {
    this.#segments++;
    return {
      partition: this.#partition,
      partitionId: this.#writers.namesPartitions ? this.#nameSegment() : null,
      emittedAt: Date.now(),
    };
  }

  #nameSegment(): string {
    const { openPartition, writesStates, attempt } = this.#writers;
    const { schema, statesAtEnd = false } = this.#stream;
    if (openPartition !== null) return openPartition;
    // one state covers all rows of a stream that cannot be gone on with inside
    return statesAtEnd && !writesStates
      ? `${schema.number}-all-${attempt.epoch}`
      : `${schema.number}-${this.#partition}-${attempt.epoch}-${this.#segments}`;
  }
}
