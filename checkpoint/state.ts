/**
 * The cumulative state of a stream, built from its checkpoints in index order. Source and destination each build it
 * for themselves with this class, and the bookkeeper compares the two texts.
 */
import type { CheckpointStamp, StreamState } from "../proto/checkpoint.ts";
import type { StreamSeed } from "../proto/control.ts";
import type { Position } from "../proto/partition.ts";
import {
  canonicalPosition,
  checkStamp,
  describeStamp,
  mismatch,
} from "./stamps.ts";

export const EMPTY_SEED: StreamSeed = { done: [], open: [] };

/** The state as canonical JSON: two states are equal exactly when these texts are. */
export function stateJson(state: StreamState): string {
  return JSON.stringify({
    stream: state.stream,
    index: state.index,
    done: state.done,
    open: state.open.map(({ partition, position }) => ({
      partition,
      position: canonicalPosition(position),
    })),
    rows: state.rows,
  });
}

interface OpenPartition {
  readonly position: Position | null;
  /** 0 for what an earlier epoch left. */
  readonly attempt: number;
  readonly sequence: number;
}

export class StateBuilder {
  readonly #stream: number;
  readonly #open = new Map<number, OpenPartition>();
  /** Ascending; replaced, never changed, since the states handed out share it. */
  #done: readonly number[];
  readonly #doneSet: Set<number>;
  #index = 0;
  #rows = 0;

  /** `seed`: what earlier epochs made durable. Indexes and rows begin anew with the epoch. */
  constructor(stream: number, seed: StreamSeed = EMPTY_SEED) {
    this.#stream = stream;
    this.#doneSet = new Set(seed.done);
    this.#done = [...this.#doneSet].sort((a, b) => a - b);
    for (const { partition, position } of seed.open) {
      if (this.#doneSet.has(partition) || this.#open.has(partition))
        throw mismatch(`partition ${partition} is in the seed twice`, {
          stream,
          partition,
        });
      this.#open.set(partition, { position, attempt: 0, sequence: -1 });
    }
  }

  /** The last index that was applied or skipped; 0 at first. */
  get index(): number {
    return this.#index;
  }

  /** Rows of the checkpoints applied so far. */
  get rows(): number {
    return this.#rows;
  }

  /**
   * Adds the checkpoint whose index is next, and gives the state up to and with it.
   * @throws ExtractError CHECKPOINT_MISMATCH
   */
  apply(stamp: CheckpointStamp): StreamState {
    this.check(stamp);
    this.#expectNext(stamp.index);
    const rows = this.#rows + stamp.rows;
    if (!Number.isSafeInteger(rows))
      throw mismatch(`${describeStamp(stamp)} makes the rows overflow`, stamp);
    this.#index = stamp.index;
    this.#rows = rows;
    if (stamp.last) this.#close(stamp.partition);
    else this.#open.set(stamp.partition, stamp);
    return this.#state();
  }

  /** Passes over a void index: its checkpoint was abandoned and its rows are read again under other indexes. */
  skip(index: number): void {
    this.#expectNext(index);
    this.#index = index;
  }

  /**
   * Whether a checkpoint can follow, at whatever index, those applied so far: its partition is not complete and has
   * not got further than it.
   * @throws ExtractError CHECKPOINT_MISMATCH
   */
  check(stamp: CheckpointStamp): void {
    checkStamp(stamp);
    if (stamp.stream !== this.#stream)
      throw mismatch(
        `${describeStamp(stamp)} came to stream ${this.#stream}`,
        stamp,
      );
    if (this.#doneSet.has(stamp.partition))
      throw mismatch(
        `${describeStamp(stamp)} comes after its partition's last`,
        stamp,
      );
    const open = this.#open.get(stamp.partition);
    if (open === undefined) return;
    if (stamp.attempt < open.attempt)
      throw mismatch(
        `${describeStamp(stamp)} is of an older attempt than ${open.attempt}`,
        stamp,
      );
    if (stamp.attempt === open.attempt && stamp.sequence <= open.sequence)
      throw mismatch(
        `${describeStamp(stamp)} does not ascend: ${open.sequence} was before it`,
        stamp,
      );
    // A new attempt begins behind the last position. Where there was none it began at the start, so that rows which
    // are durable already would be there twice.
    if (
      stamp.attempt > open.attempt &&
      open.attempt > 0 &&
      open.position === null
    )
      throw mismatch(
        `${describeStamp(stamp)} reads again what a checkpoint without position had made durable`,
        stamp,
      );
  }

  #expectNext(index: number): void {
    if (index !== this.#index + 1)
      throw mismatch(
        `checkpoint ${index} of stream ${this.#stream} came behind ${this.#index}`,
        { stream: this.#stream, index },
      );
  }

  #close(partition: number): void {
    this.#open.delete(partition);
    this.#doneSet.add(partition);
    const at = this.#done.findIndex((other) => other > partition);
    this.#done = this.#done.toSpliced(
      at < 0 ? this.#done.length : at,
      0,
      partition,
    );
  }

  #state(): StreamState {
    const open = [...this.#open]
      .sort(([a], [b]) => a - b)
      .map(([partition, { position }]) => ({
        partition,
        position: canonicalPosition(position),
      }));
    return {
      stream: this.#stream,
      index: this.#index,
      done: this.#done,
      open,
      rows: this.#rows,
    };
  }
}
