/**
 * The first words on a channel: one zero byte and Hello from the destination, HelloReply from the source. Both name run,
 * epoch and channel, so that a process left over from another attempt is never taken for the right one.
 */
import assert from "node:assert/strict";
import type { Socket } from "node:net";
import { ExtractError } from "../proto/error.ts";
import { encodeFrame } from "./frame-codec.ts";
import type { FrameParser } from "./frame-parser.ts";
import {
  HEADER_BYTES_MAX,
  PROTOCOL_VERSION_MAX,
  PROTOCOL_VERSION_MIN,
} from "./frames.ts";
import type { Hello, HelloReply, VersionedSchema } from "./frames.ts";

/** Streams beyond these bytes follow the reply as Schema frames, so that a catalog of any size passes. */
const REPLY_STREAM_BYTES = HEADER_BYTES_MAX / 2;

export interface Identity {
  readonly run: string;
  readonly epoch: number;
  /** From 1. */
  readonly channel: number;
}

/** What the destination says first: one zero byte and Hello. */
export function encodeHello({ run, epoch, channel }: Identity): Uint8Array {
  const frame = encodeFrame({
    kind: "hello",
    hello: {
      versionMin: PROTOCOL_VERSION_MIN,
      versionMax: PROTOCOL_VERSION_MAX,
      run,
      epoch,
      channel,
    },
  });
  return Buffer.concat([Buffer.alloc(1), frame]);
}

/** @throws ExtractError CONTROL_MALFORMED for another version, CHANNEL_CORRUPT for a stranger */
export function checkReply(
  reply: HelloReply,
  { run, epoch, channel }: Identity,
): void {
  const { version } = reply;
  if (version < PROTOCOL_VERSION_MIN || version > PROTOCOL_VERSION_MAX) {
    throw new ExtractError(
      "CONTROL_MALFORMED",
      `channel ${channel}: the source chose version ${version}`,
      { channel, version },
    );
  }
  if (reply.run !== run || reply.epoch !== epoch || reply.channel !== channel) {
    throw new ExtractError(
      "CHANNEL_CORRUPT",
      `channel ${channel}: the source replies for ${reply.run}/${reply.epoch}/${reply.channel}`,
      { channel },
    );
  }
}

/** @throws ExtractError CONTROL_MALFORMED for another version, CHANNEL_BROKEN for a stranger */
export function checkHello(
  hello: Hello,
  { run, epoch, channel }: Identity,
): void {
  if (
    hello.versionMin > PROTOCOL_VERSION_MAX ||
    hello.versionMax < PROTOCOL_VERSION_MIN
  ) {
    throw new ExtractError(
      "CONTROL_MALFORMED",
      `channel ${channel}: the destination speaks versions ${hello.versionMin} to ${hello.versionMax}, the source ${PROTOCOL_VERSION_MIN} to ${PROTOCOL_VERSION_MAX}`,
      { channel },
    );
  }
  for (const [what, expected, got] of [
    ["run", run, hello.run],
    ["epoch", epoch, hello.epoch],
    ["channel", channel, hello.channel],
  ] as const) {
    if (expected !== got) {
      throw new ExtractError(
        "CHANNEL_BROKEN",
        `channel ${channel}: the destination is of ${what} ${got} instead of ${expected}`,
        { channel, expected, got },
      );
    }
  }
}

/** The reply with as many streams as fit, the others behind it. */
export function encodeReply(
  streams: readonly VersionedSchema[],
  { run, epoch, channel }: Identity,
): Uint8Array[] {
  const fitting: VersionedSchema[] = [];
  const behind: Uint8Array[] = [];
  let bytes = 0;
  for (const stream of streams) {
    const encoded = encodeFrame({ kind: "schema", ...stream });
    bytes += encoded.byteLength;
    if (bytes <= REPLY_STREAM_BYTES) fitting.push(stream);
    else behind.push(encoded);
  }
  const reply = encodeFrame({
    kind: "helloReply",
    helloReply: {
      version: PROTOCOL_VERSION_MAX,
      run,
      epoch,
      channel,
      streams: fitting,
    },
  });
  return [reply, ...behind];
}

/** Reads one zero byte and Hello; what comes behind stays in the parser and in the paused socket. */
export function readHello(
  socket: Socket,
  parser: FrameParser,
  { channel, handshakeMs }: { channel: number; handshakeMs: number },
): Promise<Hello> {
  return new Promise((resolve, reject) => {
    let greeted = false;
    const timer = setTimeout(
      () =>
        finish(
          new ExtractError(
            "CHANNEL_START_TIMEOUT",
            `channel ${channel}: the destination did not greet within ${handshakeMs} ms`,
            { channel, handshakeMs },
          ),
        ),
      handshakeMs,
    );
    const broke = (cause?: Error): void =>
      finish(
        new ExtractError(
          "CHANNEL_BROKEN",
          `channel ${channel}: the destination left before it greeted`,
          { channel },
          { cause },
        ),
      );
    const onEnd = (): void => broke();
    const onData = (bytes: Buffer): void => {
      try {
        parser.push(bytes);
        if (!greeted) {
          if (parser.takeByte() !== 0) throw notHello(channel);
          greeted = true;
        }
        const frame = parser.takeFrame();
        if (!frame) return;
        if (frame.kind !== "hello") throw notHello(channel);
        finish(frame.hello);
      } catch (error) {
        assert.ok(error instanceof Error);
        finish(error);
      }
    };
    const finish = (outcome: Hello | Error): void => {
      clearTimeout(timer);
      socket.pause();
      socket.off("data", onData).off("end", onEnd).off("error", broke);
      if (outcome instanceof Error) reject(outcome);
      else resolve(outcome);
    };
    socket.on("data", onData).on("end", onEnd).on("error", broke);
  });
}

function notHello(channel: number): ExtractError {
  return new ExtractError(
    "CHANNEL_CORRUPT",
    `channel ${channel}: the destination did not begin with a zero byte and Hello`,
    { channel },
  );
}
