/**
 * The frames of a data channel as typed values, checked: what the codec reads and writes and both channels speak.
 */
import type { CheckpointStamp } from "../proto/checkpoint.ts";
import type { WireError } from "../proto/error.ts";
import type { StreamSchema } from "../proto/schema.ts";

/** The versions of the frame protocol that this build speaks, both ends included. */
export const PROTOCOL_VERSION_MIN = 1;
export const PROTOCOL_VERSION_MAX = 1;

/** Bytes of one message without its length prefix and without a batch's body. */
export const HEADER_BYTES_MAX = 1024 * 1024;
/** Bytes of a batch's body: the largest single row (256 MiB by default) and the batch it may close. */
export const FRAME_BYTES_MAX = 264 * 1024 * 1024;
/** Every buffer in a body starts at a multiple of this, so that any typed array can be laid over it. */
export const BUFFER_ALIGNMENT = 8;

export interface Hello {
  readonly versionMin: number;
  readonly versionMax: number;
  readonly run: string;
  readonly epoch: number;
  /** From 1. */
  readonly channel: number;
}

export interface HelloReply {
  readonly version: number;
  readonly run: string;
  readonly epoch: number;
  readonly channel: number;
  readonly streams: readonly VersionedSchema[];
}

/** A stream's columns with the number that its batches name; a higher version replaces a lower one. */
export interface VersionedSchema {
  /** From 1. */
  readonly version: number;
  readonly schema: StreamSchema;
}

/** Where in its partition a frame stands; all from 1 except the partition's ordinal. */
export interface FrameIds {
  readonly stream: number;
  readonly partition: number;
  readonly attempt: number;
  /** Counts batches and checkpoints of (stream, partition, attempt) together. */
  readonly sequence: number;
}

/** Where one column's buffers stand in the body, in bytes. */
export interface ColumnBuffers {
  readonly nullCount: number;
  /** Meaningful when nullCount > 0. */
  readonly validityOffset: number;
  /** Meaningful for variable-width kinds. */
  readonly offsetsOffset: number;
  readonly dataOffset: number;
  readonly dataBytes: number;
}

export interface BatchHeader extends FrameIds {
  readonly rowCount: number;
  readonly schemaVersion: number;
  readonly columns: readonly ColumnBuffers[];
  readonly bodyBytes: number;
  readonly bodyCrc32: number;
}

/** Durable at the destination: frees the source's buffers and moves no position. */
export interface Ack extends FrameIds {
  readonly rows: number;
  readonly bytes: number;
}

/** Drop what is unsealed of the partition's attempt, from this sequence on. */
export interface Discard {
  readonly stream: number;
  readonly partition: number;
  readonly attempt: number;
  readonly fromSequence: number;
}

export interface Discarded {
  readonly stream: number;
  readonly partition: number;
  readonly attempt: number;
}

/** What a channel has carried; `bytes` as `batchBytes` counts them. */
export interface ChannelTotals {
  readonly batches: number;
  readonly rows: number;
  readonly bytes: number;
  readonly checkpoints: number;
}

export type HelloFrame = { readonly kind: "hello"; readonly hello: Hello };
export type HelloReplyFrame = {
  readonly kind: "helloReply";
  readonly helloReply: HelloReply;
};
export type BatchFrame = {
  readonly kind: "batch";
  readonly batch: BatchHeader;
};
export type CheckpointFrame = {
  readonly kind: "checkpoint";
  readonly checkpoint: CheckpointStamp;
};
export type AckFrame = { readonly kind: "ack"; readonly ack: Ack };
export type DiscardFrame = {
  readonly kind: "discard";
  readonly discard: Discard;
};
export type DiscardedFrame = {
  readonly kind: "discarded";
  readonly discarded: Discarded;
};
export type StalledFrame = {
  readonly kind: "stalled";
  readonly reason: string;
};
export type SchemaFrame = VersionedSchema & { readonly kind: "schema" };
export type ProbeFrame = { readonly kind: "probe" };
/** The last frame of its sender. */
export type FaultFrame = { readonly kind: "fault"; readonly error: WireError };
export type EndFrame = { readonly kind: "end"; readonly totals: ChannelTotals };

export type Frame =
  | HelloFrame
  | HelloReplyFrame
  | BatchFrame
  | CheckpointFrame
  | AckFrame
  | DiscardFrame
  | DiscardedFrame
  | StalledFrame
  | SchemaFrame
  | ProbeFrame
  | FaultFrame
  | EndFrame;
