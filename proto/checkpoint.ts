/**
 * Checkpoints as they travel: stamped by the source, carried in-band behind their rows, made durable by the
 * destination, put in index order by the coordinator, and recorded in the ledger.
 */
import type { Position } from "./partition.ts";

/** One checkpoint, as the source announces it and the Checkpoint frame carries it. */
export interface CheckpointStamp {
  readonly stream: number;
  readonly partition: number;
  /** The partition's attempt within the epoch, from 1. */
  readonly attempt: number;
  /** The frame's sequence number within (stream, partition, attempt). */
  readonly sequence: number;
  /** Per stream and epoch, from 1, without holes: allotted in one place in the source. */
  readonly index: number;
  /** Where reading goes on after it; null when `last`, or where only the partition's end is resumable. */
  readonly position: Position | null;
  /** Rows and buffer bytes since the partition's previous checkpoint (or its start). */
  readonly rows: number;
  readonly bytes: number;
  /** The partition is complete. */
  readonly last: boolean;
}

/** A file under its final name. `path` is relative to the destination's root, with forward slashes. */
export interface SealedFile {
  readonly path: string;
  readonly rows: number;
  readonly bytes: number;
}

/** What the destination says once a checkpoint's rows are durable. */
export interface DurableReport extends CheckpointStamp {
  readonly epoch: number;
  readonly files: readonly SealedFile[];
}

/**
 * A stream's state up to and with one index: cumulative, so that the last one is all a resume needs.
 * The source and the destination each build it from the checkpoints alone; the bookkeeper compares the two.
 */
export interface StreamState {
  readonly stream: number;
  readonly index: number;
  /** Ordinals of complete partitions, ascending. */
  readonly done: readonly number[];
  /** The last checkpointed position of each open partition, by ordinal ascending. */
  readonly open: readonly {
    readonly partition: number;
    readonly position: Position | null;
  }[];
  /** Rows of all checkpoints up to this index, in this epoch. */
  readonly rows: number;
}

/** What a reader is asked to read: a partition, and what of it is durable already. */
export interface ReadOrder {
  readonly stream: number;
  readonly partition: number;
  /** Null: from the partition's start. */
  readonly resumeAfter: Position | null;
}
