/**
 * Batches of columns between two connectors of ours, in the stream of delimited envelopes that Airbyte's protobuf mode
 * has: states and probes are what they are there, and rows are our own frames in two members that Airbyte does not know.
 *
 * | member | holds |
 * |---|---|
 * | 1000 | a frame of `transport/`: a stream's columns, or a batch |
 * | 1001 | the partition id of a batch's rows |
 *
 * Behind the envelope of a batch follow its column buffers, as many bytes as its frame says.
 */
import type { ColumnBatch } from "../../proto/columns.ts";
import { ExtractError } from "../../proto/error.ts";
import type { StreamSchema } from "../../proto/schema.ts";
import { encodeBatch } from "../../transport/batch-codec.ts";
import { decodeFrame, encodeFrame } from "../../transport/frame-codec.ts";
import type {
  BatchFrame,
  FrameIds,
  SchemaFrame,
} from "../../transport/frames.ts";
import { ByteSink } from "../formats/byte-sink.ts";
import { countVarint } from "./record-protobuf/writers.ts";

const LENGTH = 2;
const FRAME_TAG = 1000 * 8 + LENGTH;
const PARTITION_TAG = 1001 * 8 + LENGTH;
const TAG_BYTES = 2;
/** A name of ours is far shorter. */
const PARTITION_BYTES_MAX = 256;

const utf8 = new TextEncoder();
const fromUtf8 = new TextDecoder("utf-8", { fatal: true });

/** A stream's columns: in front of its batches on each socket. */
export function encodeColumns(
  schema: StreamSchema,
  version: number,
): Uint8Array {
  const frame = encodeFrame({ kind: "schema", version, schema });
  return concat([...envelope(frame, null), frame]);
}

/** The buffers of the batch go out as they are: the pieces are valid as long as it is. */
export function encodeColumnBatch(
  batch: ColumnBatch,
  ids: FrameIds,
  schemaVersion: number,
  partitionId: string,
): readonly Uint8Array[] {
  const { pieces } = encodeBatch(batch, ids, schemaVersion);
  const [frame = new Uint8Array(0), ...body] = pieces;
  const [head, tail] = envelope(frame, partitionId);
  return [concat([head, frame, tail]), ...body];
}

/** What the envelope has in front of the frame, which brings its own length, and behind it. */
function envelope(
  frame: Uint8Array,
  partitionId: string | null,
): readonly [head: Uint8Array, tail: Uint8Array] {
  const tail = new ByteSink(64);
  if (partitionId !== null) {
    const bytes = utf8.encode(partitionId);
    tail.appendVarint(PARTITION_TAG);
    tail.appendVarint(bytes.length);
    tail.append(bytes);
  }
  const bytes = TAG_BYTES + frame.length + tail.length;
  const head = new ByteSink(countVarint(bytes) + TAG_BYTES);
  head.appendVarint(bytes);
  head.appendVarint(FRAME_TAG);
  return [head.written(), tail.written()];
}

function concat(pieces: readonly Uint8Array[]): Uint8Array {
  return Buffer.concat(pieces);
}

export interface ColumnsEnvelope {
  readonly frame: SchemaFrame | BatchFrame;
  /** Of a batch. */
  readonly partitionId: string | null;
}

/**
 * Reads an envelope without its length; null: it is one of Airbyte's.
 * @throws ExtractError CHANNEL_CORRUPT
 */
export function readColumnsEnvelope(bytes: Uint8Array): ColumnsEnvelope | null {
  if (readTag(bytes, 0) !== FRAME_TAG) return null;
  const begun = readLength(bytes, TAG_BYTES);
  const end = begun.at + begun.length;
  if (end > bytes.length) throw corrupt("a frame that leaves its envelope");
  const frame = decodeFrame(bytes.subarray(begun.at, end));
  if (frame.kind !== "schema" && frame.kind !== "batch")
    throw corrupt(`a ${frame.kind} frame`);
  return { frame, partitionId: readPartition(bytes, end) };
}

function readPartition(bytes: Uint8Array, at: number): string | null {
  if (at === bytes.length) return null;
  if (readTag(bytes, at) !== PARTITION_TAG) throw corrupt("an unknown member");
  const { at: start, length } = readLength(bytes, at + TAG_BYTES);
  if (length > PARTITION_BYTES_MAX || start + length !== bytes.length)
    throw corrupt(`a partition id of ${length} bytes`);
  try {
    return fromUtf8.decode(bytes.subarray(start));
  } catch {
    throw corrupt("a partition id that is no text");
  }
}

/** Both tags have two bytes. */
function readTag(bytes: Uint8Array, at: number): number {
  return ((bytes[at] ?? 0) & 0x7f) | ((bytes[at + 1] ?? 0) << 7);
}

function readLength(
  bytes: Uint8Array,
  start: number,
): { readonly at: number; readonly length: number } {
  let length = 0;
  let at = start;
  for (let unit = 1; unit < 2 ** 35; unit *= 128) {
    const byte = bytes[at++];
    if (byte === undefined) break;
    length += (byte & 0x7f) * unit;
    if (byte < 128) return { at, length };
  }
  throw corrupt("a length that does not end");
}

function corrupt(what: string): ExtractError {
  return new ExtractError(
    "CHANNEL_CORRUPT",
    `the stream of column batches holds ${what}`,
    {},
  );
}
