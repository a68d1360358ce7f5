/**
 * The source's own book of checkpoints: gives each its index, and builds the states from what was acknowledged, so that
 * the bookkeeper has two accounts to compare. No IO.
 */
import { CheckpointCoordinator } from "../../checkpoint/coordinator.ts";
import type { CheckpointStamp, StreamState } from "../../proto/checkpoint.ts";
import type { StreamSeed } from "../../proto/control.ts";
import { ExtractError } from "../../proto/error.ts";

type Unnumbered = Omit<CheckpointStamp, "index">;

const keyOf = (ref: {
  stream: number;
  partition: number;
  attempt: number;
  sequence: number;
}): string => `${ref.stream}/${ref.partition}/${ref.attempt}/${ref.sequence}`;

export class SourceCheckpoints {
  readonly #epoch: number;
  readonly #coordinator: CheckpointCoordinator;
  readonly #lastIndex = new Map<number, number>();
  readonly #unacknowledged = new Map<string, CheckpointStamp>();

  constructor(epoch: number) {
    this.#epoch = epoch;
    this.#coordinator = new CheckpointCoordinator(epoch);
  }

  begin(stream: number, seed: StreamSeed): void {
    this.#coordinator.begin(stream, seed);
    this.#lastIndex.set(stream, 0);
  }

  /** The one place where indexes are given: from 1, without holes, per stream. */
  allot(checkpoint: Unnumbered): number {
    const index = this.lastIndex(checkpoint.stream) + 1;
    this.#lastIndex.set(checkpoint.stream, index);
    const stamp = { ...checkpoint, index };
    this.#unacknowledged.set(keyOf(stamp), stamp);
    this.#coordinator.announce(stamp);
    return index;
  }

  /** The highest index given; 0 for none. */
  lastIndex(stream: number): number {
    return this.#lastIndex.get(stream) ?? 0;
  }

  /**
   * The destination has said that a checkpoint is durable, with the rows it counted itself.
   * @returns the states that this releases, in index order
   * @throws ExtractError CHECKPOINT_MISMATCH when it counted other rows than were sent, or acknowledges what was not
   */
  acknowledge(ack: {
    readonly stream: number;
    readonly partition: number;
    readonly attempt: number;
    readonly sequence: number;
    readonly rows: number;
  }): StreamState[] {
    const key = keyOf(ack);
    const stamp = this.#unacknowledged.get(key);
    if (!stamp || stamp.rows !== ack.rows) {
      throw new ExtractError(
        "CHECKPOINT_MISMATCH",
        stamp
          ? `partition ${ack.stream}/${ack.partition}: ${stamp.rows} rows were sent, the destination counted ${ack.rows}`
          : `partition ${ack.stream}/${ack.partition}: a checkpoint was acknowledged that was never sent`,
        {
          stream: ack.stream,
          partition: ack.partition,
          sequence: ack.sequence,
        },
      );
    }
    this.#unacknowledged.delete(key);
    return this.#coordinator.durable({
      ...stamp,
      epoch: this.#epoch,
      files: [],
    });
  }
}
