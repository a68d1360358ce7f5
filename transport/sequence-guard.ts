/**
 * Watches the numbers of what arrives: within (stream, partition, attempt) batches and checkpoints count from 1 without
 * gap or repetition, and a new attempt may begin only where nothing unsealed is left of the one before.
 */
import { ExtractError } from "../proto/error.ts";
import type { Discard, FrameIds } from "./frames.ts";

interface Progress {
  readonly attempt: number;
  readonly nextSequence: number;
  /** Everything received is behind a checkpoint or discarded. */
  readonly clean: boolean;
  /** No frame of this attempt may follow: discarded, or its last checkpoint has come. */
  readonly closed: boolean;
}

export class SequenceGuard {
  /** By `stream/partition`; as many entries as the channel has seen partitions. */
  readonly #progress = new Map<string, Progress>();

  /** @throws ExtractError CHANNEL_CORRUPT */
  admitBatch(ids: FrameIds): void {
    this.#admit(ids, false, false);
  }

  /** @throws ExtractError CHANNEL_CORRUPT */
  admitCheckpoint(ids: FrameIds & { readonly last: boolean }): void {
    this.#admit(ids, true, ids.last);
  }

  /**
   * A partition that this channel has not met may be discarded too: its attempt failed before the first batch.
   * @throws ExtractError CHANNEL_CORRUPT
   */
  admitDiscard({ stream, partition, attempt, fromSequence }: Discard): void {
    const key = `${stream}/${partition}`;
    const known = this.#progress.get(key);
    const ids = { stream, partition, attempt, sequence: fromSequence };
    if (known && attempt < known.attempt) {
      throw corrupt(ids, `a discard of an attempt before ${known.attempt}`);
    }
    const end = known?.attempt === attempt ? known.nextSequence : 1;
    if (fromSequence > end) {
      throw corrupt(ids, `a discard from beyond ${end}`);
    }
    if (known && attempt > known.attempt && !known.clean) {
      throw corrupt(ids, `attempt ${known.attempt} was not discarded`);
    }
    this.#progress.set(key, {
      attempt,
      nextSequence: end,
      clean: true,
      closed: true,
    });
  }

  #admit(ids: FrameIds, clean: boolean, closed: boolean): void {
    const { attempt, sequence } = ids;
    const key = `${ids.stream}/${ids.partition}`;
    const known = this.#progress.get(key);
    let expected = 1;
    if (known) {
      if (attempt < known.attempt) {
        throw corrupt(ids, `an attempt before ${known.attempt}`);
      }
      if (attempt === known.attempt) {
        if (known.closed) throw corrupt(ids, "its attempt has ended");
        expected = known.nextSequence;
      } else if (!known.clean) {
        throw corrupt(ids, `attempt ${known.attempt} was not discarded`);
      }
    }
    if (sequence !== expected) {
      throw corrupt(ids, `sequence ${expected} was due`);
    }
    this.#progress.set(key, {
      attempt,
      nextSequence: expected + 1,
      clean,
      closed,
    });
  }
}

function corrupt(ids: FrameIds, what: string): ExtractError {
  const { stream, partition, attempt, sequence } = ids;
  return new ExtractError(
    "CHANNEL_CORRUPT",
    `${stream}/${partition}.${attempt}#${sequence} is out of order: ${what}`,
    { stream, partition, attempt, sequence },
  );
}
