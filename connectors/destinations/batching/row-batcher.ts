/**
 * Cuts and joins column batches into batches of a destination's own size, and hands these over one at a time, in order.
 * What a batch is made of is the destination's: it collects rows straight in the form that it sends.
 */
import assert from "node:assert/strict";

import type { ColumnBatch } from "../../../proto/columns.ts";

/** A batch is handed over when one of these is reached. */
export interface BatchLimits {
  readonly batchRowsMax: number;
  /** Bytes in the destination's form; only a single row may be larger. */
  readonly batchBytesMax: number;
  /** Milliseconds from the batch's first row. Longer only while the batch before it is still being written. */
  readonly batchDelayMs: number;
}

/** Rows of one batch in the making. */
export interface RowCollector {
  readonly rows: number;
  readonly bytes: number;
  /**
   * Takes rows from `from` on, until `rowsMax` rows or the next would pass `bytesMax` bytes, counted from the batch's
   * first row; an empty collector takes at least one. What it takes is copied.
   * @returns the row behind the last one taken; less than the batch's rows when a bound was met
   */
  take(
    batch: ColumnBatch,
    from: number,
    rowsMax: number,
    bytesMax: number,
  ): number;
}

/** What became of a batch. With an error, its first `rowsWritten` rows are written all the same. */
export interface FlushOutcome {
  readonly rowsWritten: number;
  readonly error: Error | null;
}

/** Monotonic milliseconds, and timers on the same clock. */
export interface BatchClock {
  now(): number;
  /** @returns what stops the timer */
  startTimer(delayMs: number, fire: () => void): () => void;
}

export const systemClock: BatchClock = {
  now: () => performance.now(),
  startTimer(delayMs, fire) {
    if (delayMs === 0) {
      const turn = setImmediate(fire);
      return () => clearImmediate(turn);
    }
    const timer = setTimeout(fire, delayMs);
    return () => clearTimeout(timer);
  },
};

export interface BatcherOptions<Collector extends RowCollector, Mark> {
  readonly limits: BatchLimits;
  readonly clock: BatchClock;
  readonly createCollector: () => Collector;
  /**
   * Flushes that may be under way, as long as their bytes together are within `batchBytesMax`; 1 where left out. Above
   * 1, none may succeed behind one that has failed.
   */
  readonly flushesAtOnceMax?: number;
  /**
   * Writes the batch; called in order. The mark is what `cut` gave, null for a batch that
   * a limit has closed. A rejection counts as no row written.
   */
  readonly flush: (rows: Collector, mark: Mark | null) => Promise<FlushOutcome>;
  /** Rows are written: the next ones in order, each once. */
  readonly acknowledge?: (rows: number) => void;
}

/** Closed batches that wait for those being written; `write` waits for room, a cut is queued beyond it. */
const WAITING_BATCHES_MAX = 1;

interface ClosedBatch<Collector, Mark> {
  readonly rows: Collector;
  readonly mark: Mark | null;
  readonly settle: PromiseWithResolvers<void> | null;
}

export class RowBatcher<Collector extends RowCollector, Mark> {
  readonly #options: BatcherOptions<Collector, Mark>;
  readonly #waiting: ClosedBatch<Collector, Mark>[] = [];
  #open: Collector | null = null;
  #stopTimer: (() => void) | null = null;
  #isFull = false;
  #isDue = false;
  readonly #flushing = new Set<Promise<void>>();
  #bytesFlushing = 0;
  /** Outcomes are taken in order, whichever comes first. */
  #lastOutcome: Promise<void> = Promise.resolve();
  #room: PromiseWithResolvers<void> | null = null;
  #failure: Error | null = null;
  #isWriting = false;
  /** A write that waited through a drop finds it out by the count. */
  #drops = 0;
  #dropReason = new Error("nothing was dropped");

  constructor(options: BatcherOptions<Collector, Mark>) {
    const { batchRowsMax, batchBytesMax, batchDelayMs } = options.limits;
    assert(batchRowsMax >= 1 && batchBytesMax >= 1 && batchDelayMs >= 0);
    this.#options = options;
  }

  /**
   * Takes the batch, which is borrowed until the call returns or the promise settles.
   * @throws the error of the flush that failed: neither these rows nor any behind it are written
   */
  write(batch: ColumnBatch): void | Promise<void> {
    assert(!this.#isWriting, "a write before the one before it has settled");
    const next = this.#take(batch, 0);
    if (next < batch.rowCount) return this.#takeRest(batch, next);
  }

  /**
   * Ends the batch in the making here, with a mark; even without rows there is a flush for the mark. Resolves when it
   * and all before it are written, rejects with the first error. Rows behind the cut may follow at once.
   */
  cut(mark: Mark): Promise<void> {
    assert(!this.#isWriting, "a cut inside a batch");
    if (this.#failure) return Promise.reject(this.#failure);
    const settle = Promise.withResolvers<void>();
    const rows = this.#open ?? this.#options.createCollector();
    this.#close({ rows, mark, settle });
    return settle.promise;
  }

  /**
   * Drops all rows that are not being written, and waits for those that are. Afterwards the batcher is as new.
   * Whoever waits for a cut that is dropped gets `reason`.
   */
  async drop(reason: Error): Promise<void> {
    this.#fail(reason);
    this.#drops += 1;
    this.#dropReason = reason;
    this.#isWriting = false;
    await Promise.all(this.#flushing);
    this.#failure = null;
  }

  /** The same, for good and without waiting. */
  abandon(reason: Error): void {
    this.#fail(reason);
  }

  /** @returns the row at which there was no room */
  #take(batch: ColumnBatch, from: number): number {
    const { batchRowsMax, batchBytesMax, batchDelayMs } = this.#options.limits;
    let row = from;
    while (row < batch.rowCount) {
      if (this.#failure) throw this.#failure;
      if (this.#waiting.length >= WAITING_BATCHES_MAX) return row;
      if (this.#isFull && this.#open) {
        this.#close({ rows: this.#open, mark: null, settle: null });
        continue;
      }
      const rows = (this.#open ??= this.#options.createCollector());
      const isFirst = rows.rows === 0;
      const next = rows.take(batch, row, batchRowsMax, batchBytesMax);
      assert(next > row || !isFirst, "a batch that takes no row");
      row = next;
      this.#isFull =
        rows.rows >= batchRowsMax ||
        rows.bytes >= batchBytesMax ||
        row < batch.rowCount;
      // a full batch leaves with the next turn, and a cut that comes at once goes with it
      if (this.#isFull) this.#startDelay(0);
      else if (isFirst) this.#startDelay(batchDelayMs);
    }
    return row;
  }

  async #takeRest(batch: ColumnBatch, from: number): Promise<void> {
    const drops = this.#drops;
    this.#isWriting = true;
    let row = from;
    try {
      while (row < batch.rowCount) {
        this.#room ??= Promise.withResolvers<void>();
        await this.#room.promise;
        if (drops !== this.#drops) throw this.#dropReason;
        row = this.#take(batch, row);
      }
    } finally {
      if (drops === this.#drops) this.#isWriting = false;
    }
  }

  #startDelay(delayMs: number): void {
    this.#stopTimer?.();
    this.#stopTimer = this.#options.clock.startTimer(delayMs, () => {
      this.#stopTimer = null;
      // while another batch is being written, this one may as well grow
      this.#isDue = true;
      this.#pump();
    });
  }

  #close(batch: ClosedBatch<Collector, Mark>): void {
    this.#clearOpen();
    this.#waiting.push(batch);
    this.#pump();
  }

  #clearOpen(): void {
    this.#stopTimer?.();
    this.#stopTimer = null;
    this.#isDue = false;
    this.#isFull = false;
    this.#open = null;
  }

  #pump(): void {
    for (;;) {
      const batch = this.#waiting[0] ?? this.#takeDue();
      if (!batch || !this.#mayFlush(batch.rows)) return;
      if (this.#waiting.shift() === undefined) this.#clearOpen();
      const { bytes } = batch.rows;
      this.#bytesFlushing += bytes;
      const flush = this.#flush(batch, this.#lastOutcome).then(() => {
        this.#flushing.delete(flush);
        this.#bytesFlushing -= bytes;
        this.#pump();
      });
      this.#lastOutcome = flush;
      this.#flushing.add(flush);
      this.#giveRoom();
    }
  }

  #takeDue(): ClosedBatch<Collector, Mark> | null {
    return this.#isDue && this.#open
      ? { rows: this.#open, mark: null, settle: null }
      : null;
  }

  #mayFlush({ bytes }: Collector): boolean {
    const { limits, flushesAtOnceMax } = this.#options;
    if (this.#flushing.size === 0) return true;
    return (
      this.#flushing.size < (flushesAtOnceMax ?? 1) &&
      this.#bytesFlushing + bytes <= limits.batchBytesMax
    );
  }

  /** Never rejects. */
  async #flush(
    { rows, mark, settle }: ClosedBatch<Collector, Mark>,
    before: Promise<void>,
  ): Promise<void> {
    const count = rows.rows;
    let outcome: FlushOutcome;
    try {
      outcome = await this.#options.flush(rows, mark);
    } catch (error) {
      outcome = { rowsWritten: 0, error: error as Error };
    }
    await before;
    const { rowsWritten, error } = outcome;
    assert(rowsWritten >= 0 && rowsWritten <= count);
    assert(error !== null || rowsWritten === count, "rows without an answer");
    if (rowsWritten > 0) this.#options.acknowledge?.(rowsWritten);
    if (error === null) settle?.resolve();
    else {
      settle?.reject(error);
      this.#fail(error);
    }
  }

  /** Rows behind a failure are never written: order would be lost. */
  #fail(error: Error): void {
    this.#failure ??= error;
    this.#clearOpen();
    for (const { settle } of this.#waiting.splice(0))
      settle?.reject(this.#failure);
    this.#giveRoom();
  }

  /** Whoever waits for room looks for itself whether there is some, or a failure. */
  #giveRoom(): void {
    this.#room?.resolve();
    this.#room = null;
  }
}
