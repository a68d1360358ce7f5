/**
 * Puts the checkpoints of all channels back into index order. It has no clock and does no IO: what it is told goes in,
 * the states that are released by it come out.
 */
import { ExtractError } from "../proto/error.ts";
import type {
  CheckpointStamp,
  DurableReport,
  StreamState,
} from "../proto/checkpoint.ts";
import type { StreamSeed } from "../proto/control.ts";
import { EMPTY_SEED, StateBuilder } from "./state.ts";
import { describeStamp, mismatch, reportText, stampText } from "./stamps.ts";

/** How far (indexes of one stream) a checkpoint may be ahead of the oldest that is outstanding. */
export const AHEAD_INDEX_MAX = 16_384;

/** Settled indexes of one stream that are remembered, so that a repeated report can be told from a different one. */
export const SETTLED_KEPT_MAX = 1_024;

/** What is known of one index that is not settled yet. */
type Entry =
  | { readonly kind: "announced"; readonly stamp: CheckpointStamp }
  | { readonly kind: "durable"; readonly report: DurableReport }
  | { readonly kind: "void" };

/** What a settled index ended as: the report, or null for void. */
interface Settled {
  readonly index: number;
  readonly report: DurableReport | null;
}

interface Stream {
  readonly builder: StateBuilder;
  readonly entries: Map<number, Entry>;
  /** By index modulo SETTLED_KEPT_MAX. */
  readonly settled: (Settled | undefined)[];
  /** The highest index heard of. */
  highest: number;
  /** After a contradiction nothing of the stream is released any more. */
  fault: ExtractError | null;
}

export interface OutstandingCheckpoint {
  readonly stream: number;
  readonly index: number;
  /** Null when it is a hole: only higher indexes were heard of. */
  readonly stamp: CheckpointStamp | null;
}

export class CheckpointCoordinator {
  readonly #epoch: number;
  readonly #streams = new Map<number, Stream>();
  readonly #ended = new Set<number>();

  constructor(epoch: number) {
    this.#epoch = epoch;
  }

  /** `seed`: what earlier epochs made durable of the stream. */
  begin(stream: number, seed: StreamSeed = EMPTY_SEED): void {
    if (this.#streams.has(stream) || this.#ended.has(stream))
      throw mismatch(`stream ${stream} was begun twice`, { stream });
    this.#streams.set(stream, {
      builder: new StateBuilder(stream, seed),
      entries: new Map(),
      settled: [],
      highest: 0,
      fault: null,
    });
  }

  /** The stream ends here, whatever is outstanding of it; what other channels still tell of it is ignored. */
  end(stream: number): void {
    this.#find(stream);
    this.#streams.delete(stream);
    this.#ended.add(stream);
  }

  /**
   * A checkpoint was seen in-band. It may come after its own report, on another pipe; it must be the same then.
   * @throws ExtractError CHECKPOINT_MISMATCH, CHECKPOINT_MISSING
   */
  announce(stamp: CheckpointStamp): void {
    this.#guard(stamp.stream, undefined, (stream) => {
      if (stamp.index <= stream.builder.index) {
        const settled = this.#settledAt(stream, stamp);
        if (settled.report !== null)
          this.#expectSame(stampText(settled.report), stampText(stamp), stamp);
        return;
      }
      stream.builder.check(stamp);
      this.#reach(stamp.stream, stream, stamp.index);
      const entry = stream.entries.get(stamp.index);
      if (entry === undefined) {
        stream.entries.set(stamp.index, { kind: "announced", stamp });
        return;
      }
      if (entry.kind === "void") return;
      const known = entry.kind === "durable" ? entry.report : entry.stamp;
      this.#expectSame(stampText(known), stampText(stamp), stamp);
    });
  }

  /**
   * A checkpoint's rows are durable. Gives the states that this releases, in index order, each exactly once.
   * A report that was given before is ignored.
   * @throws ExtractError CHECKPOINT_MISMATCH for one that contradicts what is known; CHECKPOINT_MISSING where too many
   *   are ahead of the oldest that is outstanding
   */
  durable(report: DurableReport): StreamState[] {
    return this.#guard(report.stream, [], (stream) => {
      if (report.epoch !== this.#epoch)
        throw mismatch(
          `${describeStamp(report)} is of epoch ${report.epoch}, not ${this.#epoch}`,
          report,
        );
      if (report.index <= stream.builder.index) {
        const settled = this.#settledAt(stream, report);
        if (settled.report === null) throw voidMismatch(report);
        this.#expectSame(
          reportText(settled.report),
          reportText(report),
          report,
        );
        return [];
      }
      stream.builder.check(report);
      this.#reach(report.stream, stream, report.index);
      const entry = stream.entries.get(report.index);
      if (entry?.kind === "void") throw voidMismatch(report);
      if (entry?.kind === "announced")
        this.#expectSame(stampText(entry.stamp), stampText(report), report);
      if (entry?.kind === "durable") {
        this.#expectSame(reportText(entry.report), reportText(report), report);
        return [];
      }
      stream.entries.set(report.index, { kind: "durable", report });
      return release(stream);
    });
  }

  /**
   * The checkpoint was abandoned with its partition's attempt: its index is passed over.
   * @throws ExtractError CHECKPOINT_MISMATCH when its rows are durable: they would be there twice
   */
  void(streamNumber: number, index: number): StreamState[] {
    return this.#guard(streamNumber, [], (stream) => {
      const place = { stream: streamNumber, index };
      if (!Number.isSafeInteger(index) || index < 1)
        throw mismatch(`index ${index} cannot be void`, place);
      const settled =
        index <= stream.builder.index ? this.#settledAt(stream, place) : null;
      if (settled === null) this.#reach(streamNumber, stream, index);
      const entry = stream.entries.get(index);
      if (entry?.kind === "durable" || (settled && settled.report !== null))
        throw mismatch(
          `checkpoint ${index} of stream ${streamNumber} was called void after it was durable`,
          place,
        );
      if (settled !== null) return [];
      stream.entries.set(index, { kind: "void" });
      return release(stream);
    });
  }

  /**
   * The source has allotted every index up to this one, so that those not heard of yet count as outstanding.
   * @throws ExtractError CHECKPOINT_MISSING where that is too far ahead
   */
  expectThrough(streamNumber: number, index: number): void {
    this.#guard(streamNumber, undefined, (stream) => {
      if (!Number.isSafeInteger(index) || index < 0)
        throw mismatch(`index ${index} cannot be expected`, {
          stream: streamNumber,
        });
      this.#reach(streamNumber, stream, index);
    });
  }

  /** Indexes, ascending, that are neither durable nor void while they or higher ones were heard of. */
  outstanding(streamNumber: number): number[] {
    const { builder, entries, highest } = this.#find(streamNumber);
    const indexes: number[] = [];
    for (let index = builder.index + 1; index <= highest; index++)
      if (!isSettling(entries.get(index))) indexes.push(index);
    return indexes;
  }

  /**
   * What holds up the stream, if anything. Whoever has a clock fails the run with CHECKPOINT_MISSING
   * (`missingCheckpoint`) when this stays the same for too long.
   */
  oldestOutstanding(streamNumber: number): OutstandingCheckpoint | null {
    const { builder, entries, highest } = this.#find(streamNumber);
    const index = builder.index + 1;
    if (index > highest) return null;
    // the next index is never durable or void already: it would have been released
    const entry = entries.get(index);
    return {
      stream: streamNumber,
      index,
      stamp: entry?.kind === "announced" ? entry.stamp : null,
    };
  }

  #find(number: number): Stream {
    const stream = this.#streams.get(number);
    if (stream === undefined)
      throw mismatch(`stream ${String(number)} was never begun`, {
        stream: number,
      });
    return stream;
  }

  #settledAt(
    stream: Stream,
    place: { readonly stream: number; readonly index: number },
  ): Settled {
    const settled = stream.settled[place.index % SETTLED_KEPT_MAX];
    if (settled?.index !== place.index)
      throw mismatch(
        `checkpoint ${String(place.index)} of stream ${place.stream} was settled long ago`,
        place,
      );
    return settled;
  }

  #reach(number: number, stream: Stream, index: number): void {
    if (index > stream.builder.index + AHEAD_INDEX_MAX)
      throw missingCheckpoint({
        stream: number,
        index: stream.builder.index + 1,
        stamp: this.oldestOutstanding(number)?.stamp ?? null,
      });
    stream.highest = Math.max(stream.highest, index);
  }

  #expectSame(known: string, told: string, stamp: CheckpointStamp): void {
    if (known !== told)
      throw mismatch(
        `${describeStamp(stamp)} was told twice and differs`,
        stamp,
      );
  }

  #guard<Result>(
    number: number,
    ended: Result,
    step: (stream: Stream) => Result,
  ): Result {
    if (this.#ended.has(number)) return ended;
    const stream = this.#find(number);
    if (stream.fault) throw stream.fault;
    try {
      return step(stream);
    } catch (error) {
      if (error instanceof ExtractError) stream.fault = error;
      throw error;
    }
  }
}

/** The error that names an outstanding checkpoint. */
export function missingCheckpoint(
  outstanding: OutstandingCheckpoint,
): ExtractError {
  const { stream, index, stamp } = outstanding;
  return new ExtractError(
    "CHECKPOINT_MISSING",
    stamp
      ? `${describeStamp(stamp)} became neither durable nor void`
      : `checkpoint ${index} of stream ${stream} was allotted and never heard of`,
    { stream, index, partition: stamp?.partition ?? null },
  );
}

function voidMismatch(report: DurableReport): ExtractError {
  return mismatch(`${describeStamp(report)} is durable but void`, report);
}

function isSettling(entry: Entry | undefined): boolean {
  return entry?.kind === "durable" || entry?.kind === "void";
}

function release(stream: Stream): StreamState[] {
  const { builder, entries, settled } = stream;
  const states: StreamState[] = [];
  for (;;) {
    const index = builder.index + 1;
    const entry = entries.get(index);
    if (entry === undefined || entry.kind === "announced") return states;
    entries.delete(index);
    if (entry.kind === "void") builder.skip(index);
    else states.push(builder.apply(entry.report));
    settled[index % SETTLED_KEPT_MAX] = {
      index,
      report: entry.kind === "durable" ? entry.report : null,
    };
  }
}
