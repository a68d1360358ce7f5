/**
 * One frame to bytes and back: a varint length, then the message of frames.proto. What comes from a socket is checked
 * field by field; what a process of ours hands in is asserted.
 */
import assert from "node:assert/strict";
import { ExtractError } from "../proto/error.ts";
import { millrace } from "../proto/gen/frames.js";
import type { ColumnSchema } from "../proto/schema.ts";
import {
  corrupt,
  readAttempt,
  readCount,
  readFault,
  readIds,
  readOrdinal,
  readPosition,
  readType,
} from "./frame-fields.ts";
import { HEADER_BYTES_MAX } from "./frames.ts";
import type { BatchHeader, Frame, VersionedSchema } from "./frames.ts";

const wire = millrace.v1.Frame;
type WireFrame = millrace.v1.Frame.$Properties;
type Wire<T extends keyof WireFrame> = NonNullable<WireFrame[T]>;

/** The frame with its length prefix, in one buffer of its own; a batch's body is not part of it. */
export function encodeFrame(frame: Frame): Uint8Array {
  const bytes = wire.encodeDelimited(toWireFrame(frame)).finish();
  assert.ok(
    bytes.byteLength <= HEADER_BYTES_MAX,
    `a ${frame.kind} frame of ${bytes.byteLength} bytes`,
  );
  return bytes;
}

/**
 * Reads one message, without its length prefix.
 * @throws ExtractError CHANNEL_CORRUPT for whatever encodeFrame would not have written
 */
export function decodeFrame(bytes: Uint8Array): Frame {
  let message: millrace.v1.Frame;
  try {
    message = wire.decode(bytes);
  } catch (cause) {
    throw new ExtractError(
      "CHANNEL_CORRUPT",
      "a frame is not a protobuf message",
      { bytes: bytes.byteLength },
      { cause },
    );
  }
  return fromWireFrame(message);
}

function toWireFrame(frame: Frame): WireFrame {
  switch (frame.kind) {
    case "batch":
      return { batch: frame.batch as Wire<"batch"> };
    case "checkpoint": {
      const { position, ...rest } = frame.checkpoint;
      const positionJson = position === null ? "" : JSON.stringify(position);
      return { checkpoint: { ...rest, positionJson } };
    }
    case "ack":
      return { ack: frame.ack };
    case "discard":
      return { discard: frame.discard };
    case "discarded":
      return { discarded: frame.discarded };
    case "stalled":
      return { stalled: { reason: frame.reason } };
    case "schema":
      return { schema: toWireSchema(frame) };
    case "probe":
      return { probe: {} };
    case "fault": {
      const { code, message, details } = frame.error;
      return { fault: { code, message, detailsJson: JSON.stringify(details) } };
    }
    case "end":
      return { end: frame.totals };
    case "hello":
      return { hello: frame.hello };
    case "helloReply": {
      const { streams, ...rest } = frame.helloReply;
      return { helloReply: { ...rest, streams: streams.map(toWireSchema) } };
    }
  }
}

function fromWireFrame(message: millrace.v1.Frame): Frame {
  if (message.batch) return { kind: "batch", batch: readBatch(message.batch) };
  if (message.checkpoint) {
    const { checkpoint } = message;
    return {
      kind: "checkpoint",
      checkpoint: {
        ...readIds(checkpoint, "checkpoint"),
        index: readOrdinal(checkpoint.index, "checkpoint.index"),
        position: readPosition(checkpoint.positionJson ?? ""),
        rows: readCount(checkpoint.rows, "checkpoint.rows"),
        bytes: readCount(checkpoint.bytes, "checkpoint.bytes"),
        last: checkpoint.last ?? false,
      },
    };
  }
  if (message.ack) {
    return {
      kind: "ack",
      ack: {
        ...readIds(message.ack, "ack"),
        rows: readCount(message.ack.rows, "ack.rows"),
        bytes: readCount(message.ack.bytes, "ack.bytes"),
      },
    };
  }
  if (message.discard) {
    const { discard } = message;
    return {
      kind: "discard",
      discard: {
        ...readAttempt(discard, "discard"),
        fromSequence: readOrdinal(
          discard.fromSequence,
          "discard.from_sequence",
        ),
      },
    };
  }
  if (message.discarded) {
    return {
      kind: "discarded",
      discarded: readAttempt(message.discarded, "discarded"),
    };
  }
  if (message.stalled) {
    return { kind: "stalled", reason: message.stalled.reason ?? "" };
  }
  if (message.schema) return { kind: "schema", ...readSchema(message.schema) };
  if (message.probe) return { kind: "probe" };
  if (message.fault) {
    const { code, message: text, detailsJson } = message.fault;
    const error = readFault(code ?? "", text ?? "", detailsJson ?? "");
    return { kind: "fault", error };
  }
  if (message.end) {
    const { end } = message;
    return {
      kind: "end",
      totals: {
        batches: readCount(end.batches, "end.batches"),
        rows: readCount(end.rows, "end.rows"),
        bytes: readCount(end.bytes, "end.bytes"),
        checkpoints: readCount(end.checkpoints, "end.checkpoints"),
      },
    };
  }
  if (message.hello) {
    const { hello } = message;
    return {
      kind: "hello",
      hello: {
        versionMin: hello.versionMin ?? 0,
        versionMax: hello.versionMax ?? 0,
        run: hello.run ?? "",
        epoch: hello.epoch ?? 0,
        channel: hello.channel ?? 0,
      },
    };
  }
  if (message.helloReply) {
    const { helloReply } = message;
    return {
      kind: "helloReply",
      helloReply: {
        version: helloReply.version ?? 0,
        run: helloReply.run ?? "",
        epoch: helloReply.epoch ?? 0,
        channel: helloReply.channel ?? 0,
        streams: (helloReply.streams ?? []).map(readSchema),
      },
    };
  }
  throw corrupt("a frame of no known kind");
}

function readBatch(batch: Wire<"batch">): BatchHeader {
  return {
    ...readIds(batch, "batch"),
    rowCount: readOrdinal(batch.rowCount, "batch.row_count"),
    schemaVersion: readOrdinal(batch.schemaVersion, "batch.schema_version"),
    columns: (batch.columns ?? []).map((column) => ({
      nullCount: column.nullCount ?? 0,
      validityOffset: column.validityOffset ?? 0,
      offsetsOffset: column.offsetsOffset ?? 0,
      dataOffset: column.dataOffset ?? 0,
      dataBytes: column.dataBytes ?? 0,
    })),
    bodyBytes: batch.bodyBytes ?? 0,
    bodyCrc32: batch.bodyCrc32 ?? 0,
  };
}

function toWireSchema({ version, schema }: VersionedSchema): Wire<"schema"> {
  return {
    stream: schema.number,
    version,
    namespace: schema.namespace,
    name: schema.name,
    fingerprint: schema.fingerprint,
    columns: schema.columns.map(({ name, type, nullable, sourceType }) => ({
      name,
      kind: type.kind,
      precision: type.precision ?? 0,
      scale: type.scale ?? 0,
      nullable,
      sourceType,
    })),
  };
}

function readSchema(schema: Wire<"schema">): VersionedSchema {
  return {
    version: readOrdinal(schema.version, "schema.version"),
    schema: {
      number: readOrdinal(schema.stream, "schema.stream"),
      namespace: schema.namespace ?? "",
      name: schema.name ?? "",
      columns: (schema.columns ?? []).map((column): ColumnSchema => ({
        name: column.name ?? "",
        type: readType(
          column.kind ?? "",
          column.precision ?? 0,
          column.scale ?? 0,
        ),
        nullable: column.nullable ?? false,
        sourceType: column.sourceType ?? "",
      })),
      fingerprint: schema.fingerprint ?? "",
    },
  };
}
