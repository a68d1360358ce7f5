/** Rows from a source's connector to the socket of their channel: what is given is queued in order and counted. */
import { batchBytes, type ColumnBatch } from "../../proto/columns.ts";
import type { Position } from "../../proto/partition.ts";
import type { StreamSchema } from "../../proto/schema.ts";
import type { SourceChannel } from "../../transport/channel.ts";
import type { Mapper } from "../mappers/mapper.ts";
import type { ReadSink } from "../sources/source.ts";

/** Names one try at one partition. */
export interface RowsRef {
  readonly stream: number;
  readonly partition: number;
  readonly attempt: number;
}

/** A checkpoint whose rows are queued. */
export interface CheckpointPlace extends RowsRef {
  readonly sequence: number;
  readonly position: Position | null;
  readonly rows: number;
  readonly bytes: number;
  readonly last: boolean;
}

export interface RowsSource extends RowsRef {
  /** As the rows are read. */
  readonly schema: StreamSchema;
  /** What is done to them on their way; null: nothing. */
  readonly mapper: Mapper | null;
  /** Asks for the checkpoint's index, which comes by `giveIndex`. */
  onCheckpoint(place: CheckpointPlace): void;
  onNulled(column: string, reason: string): void;
}

/** All that passes one channel. */
export class ChannelRows {
  readonly totals = { batches: 0, rows: 0, bytes: 0, checkpoints: 0 };
  readonly #announced = new Set<number>();
  readonly #ready: () => SourceChannel;
  #writesSince: number | null = null;

  /** @param ready the connected channel; throws where there is none */
  constructor(ready: () => SourceChannel) {
    this.#ready = ready;
  }

  begin(source: RowsSource): ReadRows {
    return new ReadRows(this, source);
  }

  /** Whether a batch has been on its way to the socket for longer than this. */
  isStuckFor(ms: number): boolean {
    return this.#writesSince !== null && Date.now() - this.#writesSince > ms;
  }

  /** All is queued when this returns; it resolves when the batch's buffers are free again. */
  queueBatch(
    ref: RowsRef,
    sequence: number,
    schema: StreamSchema,
    batch: ColumnBatch,
    bytes: number,
  ): Promise<unknown> {
    const socket = this.#ready();
    const isNew = !this.#announced.has(ref.stream);
    this.#announced.add(ref.stream);
    const schemaWritten = isNew ? socket.writeSchema(schema) : null;
    this.totals.batches += 1;
    this.totals.rows += batch.rowCount;
    this.totals.bytes += bytes;
    this.#writesSince ??= Date.now();
    const { stream, partition, attempt } = ref;
    return Promise.all([
      schemaWritten,
      socket.writeBatch({ stream, partition, attempt, sequence }, batch),
    ]);
  }

  noteWritten(): void {
    this.#writesSince = null;
  }

  async queueCheckpoint(place: CheckpointPlace, index: number): Promise<void> {
    this.totals.checkpoints += 1;
    await this.#ready().writeCheckpoint({ ...place, index });
  }
}

/** What one read gives. */
export class ReadRows implements ReadSink {
  readonly #channel: ChannelRows;
  readonly #source: RowsSource;
  readonly #ref: RowsRef;
  readonly #schema: StreamSchema;
  readonly #queueMapped: (batch: ColumnBatch) => Promise<unknown>;
  #sequence = 1;
  #rowsSinceCheckpoint = 0;
  #bytesSinceCheckpoint = 0;
  #rowsUntold = 0;
  #bytesUntold = 0;
  #giveIndex: ((index: number) => void) | null = null;
  /** Settles when all that was given so far is queued; null when it is. A checkpoint waits for its index meanwhile. */
  #ahead: Promise<void> | null = null;
  #isWhole = false;

  constructor(channel: ChannelRows, source: RowsSource) {
    this.#channel = channel;
    this.#source = source;
    const { stream, partition, attempt, mapper, schema } = source;
    this.#ref = { stream, partition, attempt };
    this.#schema = mapper?.schema ?? schema;
    this.#queueMapped =
      mapper === null
        ? (batch) => this.#queueBatch(batch)
        : (batch) =>
            Promise.all(
              mapper.apply(batch).map((mapped) => this.#queueBatch(mapped)),
            );
  }

  /** The partition's last checkpoint is queued: what befalls the connection now is no matter. */
  get isWhole(): boolean {
    return this.#isWhole;
  }

  async batch(batch: ColumnBatch): Promise<void> {
    if (this.#ahead === null) await this.#queueMapped(batch);
    else {
      // wrapped, so that what comes behind waits for the queueing and not for the write
      const { written } = await this.#queueBehind(async () => ({
        written: this.#queueMapped(batch),
      }));
      await written;
    }
    this.#channel.noteWritten();
  }

  checkpoint(position: Position | null, last: boolean): Promise<void> {
    return this.#queueBehind(() => this.#queueCheckpoint(position, last));
  }

  valueNulled(column: string, reason: string): void {
    this.#source.onNulled(column, reason);
  }

  giveIndex(index: number): void {
    this.#giveIndex?.(index);
  }

  /** Waits until an index that was asked for is used: then its rows are on the wire. */
  async settle(): Promise<void> {
    while (this.#ahead !== null) await this.#ahead;
  }

  /** What was given since the last call; null: nothing. */
  takeProgress(): { readonly rows: number; readonly bytes: number } | null {
    if (this.#rowsUntold === 0) return null;
    const progress = { rows: this.#rowsUntold, bytes: this.#bytesUntold };
    this.#rowsUntold = 0;
    this.#bytesUntold = 0;
    return progress;
  }

  // all of a batch is queued before this returns, so that a checkpoint may follow while it is on its way
  #queueBatch(batch: ColumnBatch): Promise<unknown> {
    const bytes = batchBytes(batch);
    const queued = this.#channel.queueBatch(
      this.#ref,
      this.#sequence,
      this.#schema,
      batch,
      bytes,
    );
    this.#sequence += 1;
    this.#rowsSinceCheckpoint += batch.rowCount;
    this.#bytesSinceCheckpoint += bytes;
    this.#rowsUntold += batch.rowCount;
    this.#bytesUntold += bytes;
    return queued;
  }

  async #queueCheckpoint(
    position: Position | null,
    last: boolean,
  ): Promise<void> {
    const place: CheckpointPlace = {
      ...this.#ref,
      sequence: this.#sequence++,
      position,
      rows: this.#rowsSinceCheckpoint,
      bytes: this.#bytesSinceCheckpoint,
      last,
    };
    this.#rowsSinceCheckpoint = 0;
    this.#bytesSinceCheckpoint = 0;
    const index = await new Promise<number>((resolve) => {
      this.#giveIndex = resolve;
      this.#source.onCheckpoint(place);
    });
    await this.#channel.queueCheckpoint(place, index);
    this.#isWhole = last;
  }

  /** Queues one more thing behind all that was given before it. */
  #queueBehind<Result>(queue: () => Promise<Result>): Promise<Result> {
    const queued = (this.#ahead ?? Promise.resolve()).then(queue);
    const ahead = queued
      .then(
        () => {},
        () => {},
      )
      .then(() => {
        if (this.#ahead === ahead) this.#ahead = null;
      });
    this.#ahead = ahead;
    return queued;
  }
}
