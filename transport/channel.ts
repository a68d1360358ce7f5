/**
 * The two ends of a data channel as everyone else sees them. Sockets implement them (source-channel.ts,
 * destination-channel.ts), and a pair in memory for simulations (in-memory.ts).
 */
import type { CheckpointStamp } from "../proto/checkpoint.ts";
import type { ColumnBatch } from "../proto/columns.ts";
import type { ExtractError } from "../proto/error.ts";
import type { StreamSchema } from "../proto/schema.ts";
import type {
  AckFrame,
  ChannelTotals,
  CheckpointFrame,
  Discard,
  DiscardFrame,
  DiscardedFrame,
  FaultFrame,
  FrameIds,
  ProbeFrame,
  SchemaFrame,
  StalledFrame,
  VersionedSchema,
} from "./frames.ts";

/** What the destination sends. */
export type ReplyFrame =
  | AckFrame
  | DiscardedFrame
  | StalledFrame
  | FaultFrame
  | ProbeFrame;

export interface SourceChannelHandlers {
  onFrame(frame: ReplyFrame): void;
  /**
   * Called once, as the last call. Null: the destination closed after End was written, or `close` was called. It says
   * nothing about durability: only Acks do.
   */
  onClosed(error: ExtractError | null): void;
}

export interface SourceChannel {
  readonly channel: number;
  /** Begins to hand over what the destination sends; to be called once, soon after the channel is there. */
  start(handlers: SourceChannelHandlers): void;
  /** A stream's columns, new or changed; its later batches follow them. Resolves when queued. */
  writeSchema(schema: StreamSchema): Promise<void>;
  /**
   * Resolves when the system has taken all bytes: the batch's buffers are free again. Until then they must not change.
   * @throws ExtractError why the channel is closed; the buffers are free then too
   */
  writeBatch(ids: FrameIds, batch: ColumnBatch): Promise<void>;
  /** Resolves when the frame is queued behind the batches written before. */
  writeCheckpoint(stamp: CheckpointStamp): Promise<void>;
  writeDiscard(discard: Discard): Promise<void>;
  writeStalled(reason: string): Promise<void>;
  /** The channel's last frame. The destination closes the socket once it has done its part. */
  writeEnd(totals: ChannelTotals): Promise<void>;
  /** Gives up at once, after a last try to tell the destination why. */
  fail(error: Error): void;
  /** Ends the channel without an error of its own; without End the destination counts it as broken. */
  close(): Promise<void>;
}

/** A batch with everything its encoder needs; `release` gives its buffers back to the channel, once. */
export interface ReceivedBatch extends FrameIds {
  readonly kind: "batch";
  readonly schema: StreamSchema;
  readonly schemaVersion: number;
  readonly batch: ColumnBatch;
  /** As `batchBytes` counts. */
  readonly bytes: number;
  release(): void;
}

/** What `next` yields: in the order of the socket, with sequence numbers, checksums and totals already checked. */
export type ReceivedFrame =
  | ReceivedBatch
  | CheckpointFrame
  | DiscardFrame
  | SchemaFrame
  | StalledFrame;

export interface DestinationChannel {
  readonly channel: number;
  /** The streams announced so far, by number. */
  readonly streams: ReadonlyMap<number, VersionedSchema>;
  /**
   * The next frame, or null after End. One call at a time; the socket is read only as far as one batch ahead, so that
   * not calling is backpressure.
   * @throws ExtractError CHANNEL_BROKEN, CHANNEL_CORRUPT, PEER_STALLED, or the source's own Fault
   */
  next(): Promise<ReceivedFrame | null>;
  /** Why the channel is over, known also while nobody calls `next`; null after End, however the socket closes then. */
  readonly closed: Promise<ExtractError | null>;
  /** Queues a frame; does nothing on a channel that is closed, since `next` tells. */
  write(frame: ReplyFrame): void;
  /** Gives up at once, after a last try to tell the source why. */
  fail(error: Error): void;
  /** Sends what is queued and closes. */
  close(): Promise<void>;
}
