/**
 * The destination's end of a data channel over a socket of its own: greets, then yields frames one at a time when asked.
 */
import assert from "node:assert/strict";
import { connect } from "node:net";
import type { Socket } from "node:net";
import { ExtractError, fromWireError, toWireError } from "../proto/error.ts";
import { BODIES_HELD_MAX, BodyPool } from "./body-pool.ts";
import type { Body, ByteBudget } from "./body-pool.ts";
import type {
  DestinationChannel,
  ReceivedFrame,
  ReplyFrame,
} from "./channel.ts";
import type { ChecksumReader } from "./batch-codec.ts";
import { encodeFrame } from "./frame-codec.ts";
import { FRAME_BYTES_MAX } from "./frames.ts";
import type { BatchHeader, Frame, VersionedSchema } from "./frames.ts";
import { checkReply, encodeHello } from "./greeting.ts";
import type { Identity } from "./greeting.ts";
import { Inbound } from "./inbound.ts";
import { Liveness } from "./liveness.ts";
import type { LivenessOptions } from "./liveness.ts";
import { closeSocket } from "./close-socket.ts";
import { SocketReader } from "./socket-reader.ts";

/** Frames read ahead of the consumer, besides the one batch. */
const FRAMES_AHEAD_MAX = 64;
/** Replies that may wait for a source that does not read. */
const REPLY_BYTES_QUEUED_MAX = 8 * 1024 * 1024;
/** A failing end goes on reading this long, so that its Fault is not lost to a reset connection. */
const FAULT_LINGER_MS = 500;

export interface DestinationChannelOptions
  extends Identity, LivenessOptions, ByteBudget {
  /** From the connection to the whole HelloReply. */
  readonly handshakeMs: number;
  /** The consumer has asked for nothing this long: the source is told, and again each time this passes. */
  readonly stalledAfterMs: number;
  readonly frameBytesMax?: number;
  /** Why the consumer is not asking, for people. */
  readonly describeStall?: () => string;
  /** Asked for each batch. Left out: it is summed here. */
  readonly checksumReader?: () => ChecksumReader;
}

export class SocketDestinationChannel implements DestinationChannel {
  readonly channel: number;
  readonly #options: DestinationChannelOptions;
  readonly #socket: Socket;
  readonly #reader: SocketReader;
  readonly #pool: BodyPool;
  readonly #liveness: Liveness;
  readonly #inbound: Inbound;
  readonly #queue: (ReceivedFrame | null)[] = [];
  readonly #greeted = Promise.withResolvers<void>();
  readonly #whenClosed = Promise.withResolvers<ExtractError | null>();
  #greeting = true;
  #waiting: PromiseWithResolvers<ReceivedFrame | null> | null = null;
  /** Batches handed out or read ahead that still hold a body. */
  #unreleased = 0;
  #pausedMs = 0;
  #ended = false;
  #error: ExtractError | null = null;
  #closed = false;

  static async open(
    path: string,
    options: DestinationChannelOptions,
  ): Promise<SocketDestinationChannel> {
    const channel = new SocketDestinationChannel(path, options);
    const timer = setTimeout(
      () =>
        channel.#abort(
          new ExtractError(
            "CHANNEL_START_TIMEOUT",
            `channel ${options.channel}: the source did not answer within ${options.handshakeMs} ms`,
            { channel: options.channel, path },
          ),
        ),
      options.handshakeMs,
    );
    try {
      await channel.#greeted.promise;
    } finally {
      clearTimeout(timer);
    }
    return channel;
  }

  private constructor(path: string, options: DestinationChannelOptions) {
    const { channel } = options;
    this.channel = channel;
    this.#options = options;
    this.#inbound = new Inbound(options.checksumReader);
    this.#greeted.promise.catch(() => {});
    this.#pool = new BodyPool(options);
    this.#reader = new SocketReader({
      pool: this.#pool,
      frameBytesMax: options.frameBytesMax ?? FRAME_BYTES_MAX,
      isWanted: () => this.#isWanted(),
      onBytes: () => this.#liveness.noteReceived(),
      onFrame: (frame) => this.#receive(frame),
      onBatch: (header, body) => this.#receiveBatch(header, body),
      onError: (error) => this.fail(error),
    });
    this.#liveness = new Liveness(options, {
      sendProbe: () => this.write({ kind: "probe" }),
      isListening: () =>
        !this.#greeting && !this.#ended && !this.#reader.isPaused,
      onSilent: () =>
        this.#abort(
          new ExtractError(
            "PEER_STALLED",
            `channel ${channel}: the source gave no sign of life for ${options.probeDeadlineMs} ms`,
            { channel, peer: "source" },
          ),
        ),
      onTick: (tickMs) => this.#watchPause(tickMs),
    });
    const socket = connect({ path, onread: this.#reader.onread });
    this.#socket = socket;
    this.#reader.attach(socket);
    socket.once("connect", () => socket.write(encodeHello(options)));
    socket.on("error", (cause) => this.#abort(this.#broken(cause)));
    socket.on("close", () => {
      this.#closed = true;
      this.#abort(this.#broken(undefined));
    });
  }

  get streams(): ReadonlyMap<number, VersionedSchema> {
    return this.#inbound.streams;
  }

  get closed(): Promise<ExtractError | null> {
    return this.#whenClosed.promise;
  }

  async next(): Promise<ReceivedFrame | null> {
    assert.ok(!this.#waiting, "one call of next at a time");
    assert.ok(
      this.#unreleased - this.#batchesAhead < BODIES_HELD_MAX,
      `${BODIES_HELD_MAX} batches are not released`,
    );
    if (this.#error) throw this.#error;
    const ready = this.#queue.shift();
    if (ready !== undefined) {
      if (ready === null) this.#queue.push(null); // End stays the last word
      this.#reader.pull();
      return ready;
    }
    const waiting = Promise.withResolvers<ReceivedFrame | null>();
    this.#waiting = waiting;
    this.#reader.pull();
    return waiting.promise;
  }

  write(frame: ReplyFrame): void {
    if (this.#closed || this.#greeting || this.#socket.writableEnded) return;
    this.#liveness.noteSent();
    this.#socket.write(encodeFrame(frame));
    if (this.#socket.writableLength > REPLY_BYTES_QUEUED_MAX) {
      this.#abort(
        new ExtractError(
          "PEER_STALLED",
          `channel ${this.channel}: the source leaves ${this.#socket.writableLength} bytes of replies waiting`,
          { channel: this.channel, peer: "source" },
        ),
      );
    }
  }

  fail(error: Error): void {
    if (this.#closed || this.#error) return;
    const wire = toWireError(error);
    this.write({ kind: "fault", error: wire });
    this.#settle(error instanceof ExtractError ? error : fromWireError(wire));
    this.#reader.drop();
    setTimeout(() => this.#socket.destroy(), FAULT_LINGER_MS).unref();
  }

  async close(): Promise<void> {
    this.#settle(this.#broken(undefined));
    await closeSocket(this.#socket);
  }

  get #batchesAhead(): number {
    return this.#queue.filter((frame) => frame?.kind === "batch").length;
  }

  /** At most one batch is read ahead. */
  #isWanted(): boolean {
    if (this.#waiting) return true;
    return this.#queue.length < FRAMES_AHEAD_MAX && this.#batchesAhead === 0;
  }

  #receive(frame: Exclude<Frame, { kind: "batch" }>): void {
    if (frame.kind === "fault") return this.#abort(fromWireError(frame.error));
    if (this.#greeting) return this.#receiveReply(frame);
    if (frame.kind === "probe") return;
    if (this.#ended) throw this.#unexpected(`${frame.kind} behind End`);
    switch (frame.kind) {
      case "checkpoint":
      case "discard":
      case "schema":
      case "stalled":
        this.#inbound.admit(frame);
        return this.#deliver(frame);
      case "end":
        this.#inbound.admitEnd(frame);
        this.#ended = true;
        return this.#deliver(null);
      default:
        throw this.#unexpected(frame.kind);
    }
  }

  #receiveBatch(header: BatchHeader, body: Body): void {
    this.#unreleased++;
    const release = (): void => {
      body.release();
      this.#unreleased--;
    };
    try {
      if (this.#greeting || this.#ended) throw this.#unexpected("a batch");
      this.#deliver(this.#inbound.admitBatch(header, body.bytes, release));
    } catch (error) {
      release();
      throw error;
    }
  }

  #receiveReply(frame: Frame): void {
    if (frame.kind !== "helloReply") throw this.#unexpected(frame.kind);
    const { helloReply } = frame;
    checkReply(helloReply, this.#options);
    for (const stream of helloReply.streams) this.#inbound.admitSchema(stream);
    this.#greeting = false;
    this.#greeted.resolve();
  }

  #deliver(frame: ReceivedFrame | null): void {
    const waiting = this.#waiting;
    this.#waiting = null;
    if (!waiting) this.#queue.push(frame);
    else {
      if (frame === null) this.#queue.push(null);
      waiting.resolve(frame);
    }
  }

  #watchPause(tickMs: number): void {
    if (this.#greeting || this.#ended || !this.#reader.isPaused) {
      this.#pausedMs = 0;
      return;
    }
    this.#pausedMs += tickMs;
    if (this.#pausedMs < this.#options.stalledAfterMs) return;
    this.#pausedMs = 0;
    const { describeStall, stalledAfterMs } = this.#options;
    this.write({
      kind: "stalled",
      reason:
        describeStall?.() ??
        `the destination's writer has taken nothing for ${stalledAfterMs} ms`,
    });
  }

  /** What ends the channel, first word wins; after End the source may go as it likes. */
  #settle(error: ExtractError): void {
    this.#liveness.stop();
    this.#reader.stop();
    this.#greeted.reject(error);
    this.#whenClosed.resolve(this.#ended ? null : (this.#error ?? error));
    if (this.#ended || this.#error) return;
    this.#error = error;
    for (const frame of this.#queue.splice(0)) {
      if (frame?.kind === "batch") frame.release();
    }
    this.#waiting?.reject(error);
    this.#waiting = null;
  }

  #abort(error: ExtractError): void {
    this.#settle(error);
    this.#socket.destroy();
  }

  #broken(cause: unknown): ExtractError {
    const { channel } = this;
    return new ExtractError(
      "CHANNEL_BROKEN",
      `channel ${channel} to the source broke before its End`,
      { channel },
      { cause },
    );
  }

  #unexpected(what: string): ExtractError {
    const { channel } = this;
    return new ExtractError(
      "CHANNEL_CORRUPT",
      `channel ${channel}: the source sent ${what}`,
      { channel },
    );
  }
}
