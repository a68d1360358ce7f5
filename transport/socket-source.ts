/**
 * The source's end of a data channel over an accepted socket. Batches go out as the reader's own buffers in one
 * gathered write; what the destination sends is read all the time, whatever the state of our own writes.
 */
import assert from "node:assert/strict";
import type { Socket } from "node:net";
import type { CheckpointStamp } from "../proto/checkpoint.ts";
import type { ColumnBatch } from "../proto/columns.ts";
import { ExtractError, fromWireError, toWireError } from "../proto/error.ts";
import type { StreamSchema } from "../proto/schema.ts";
import { encodeBatch } from "./batch-codec.ts";
import type { SourceChannel, SourceChannelHandlers } from "./channel.ts";
import { closeSocket } from "./close-socket.ts";
import { encodeFrame } from "./frame-codec.ts";
import type { FrameParser } from "./frame-parser.ts";
import type { ChannelTotals, Discard, Frame, FrameIds } from "./frames.ts";
import { Liveness } from "./liveness.ts";
import type { LivenessOptions } from "./liveness.ts";

/** Batches one channel may have in the socket's queue; a reader waits for each, so a handful of readers. */
const WRITES_IN_FLIGHT_MAX = 64;
/** Frames other than batches that may wait behind a blocked socket. */
const QUEUED_CONTROL_FRAMES_MAX = 4096;

export interface SourceChannelOptions extends LivenessOptions {
  readonly channel: number;
  /**
   * While a write is outstanding, the destination must take bytes, ack or say why it stalls within this time: probes
   * alone do not count.
   */
  readonly progressDeadlineMs: number;
}

export class SocketSourceChannel implements SourceChannel {
  readonly channel: number;
  readonly #socket: Socket;
  readonly #parser: FrameParser;
  readonly #liveness: Liveness;
  readonly #progressDeadlineMs: number;
  readonly #versions: Map<number, number>;
  #handlers: SourceChannelHandlers | null = null;
  #writesInFlight = 0;
  #controlQueued = 0;
  #withoutProgressMs = 0;
  #ended = false;
  #closing = false;
  #error: ExtractError | null = null;
  #closed = false;
  #reported = false;

  /** Takes over a socket whose handshake is done; `parser` holds what came behind Hello. */
  constructor(
    socket: Socket,
    parser: FrameParser,
    versions: Map<number, number>,
    options: SourceChannelOptions,
  ) {
    this.channel = options.channel;
    this.#socket = socket;
    this.#parser = parser;
    this.#versions = versions;
    this.#progressDeadlineMs = options.progressDeadlineMs;
    this.#liveness = new Liveness(options, {
      // what is queued already speaks for us once the peer reads; after End it may be gone before a probe
      sendProbe: () => {
        if (socket.writableLength === 0 && !this.#ended) {
          this.#queue({ kind: "probe" });
        }
      },
      isListening: () => true,
      onSilent: () => {
        this.#abort(
          this.#stalled(
            `gave no sign of life for ${options.probeDeadlineMs} ms`,
          ),
        );
      },
      onTick: (tickMs) => this.#watchProgress(tickMs),
    });
    if (socket.destroyed) {
      this.#error = this.#broken(socket.errored);
      this.#closed = true;
      this.#liveness.stop();
    }
    socket.pause();
    socket.on("data", (bytes: Buffer) => this.#receive(bytes));
    socket.on("error", (cause) => {
      this.#error ??= this.#ended ? null : this.#broken(cause);
    });
    socket.on("end", () => {
      this.#error ??=
        this.#ended || this.#closing ? null : this.#broken(undefined);
      socket.destroy();
    });
    socket.on("close", () => {
      this.#closed = true;
      this.#liveness.stop();
      this.#report();
    });
  }

  start(handlers: SourceChannelHandlers): void {
    assert.ok(!this.#handlers, "a channel is started once");
    this.#handlers = handlers;
    if (this.#closed) {
      queueMicrotask(() => this.#report());
      return;
    }
    this.#drainParser();
    this.#socket.resume();
  }

  async writeSchema(schema: StreamSchema): Promise<void> {
    const version = (this.#versions.get(schema.number) ?? 0) + 1;
    this.#versions.set(schema.number, version);
    this.#send({ kind: "schema", version, schema });
  }

  async writeBatch(ids: FrameIds, batch: ColumnBatch): Promise<void> {
    this.#assertOpen();
    assert.ok(
      this.#writesInFlight < WRITES_IN_FLIGHT_MAX,
      `more than ${WRITES_IN_FLIGHT_MAX} batches at once`,
    );
    const version = this.#versions.get(ids.stream);
    assert.ok(version !== undefined, `stream ${ids.stream} is not announced`);
    const { pieces } = encodeBatch(batch, ids, version);
    this.#writesInFlight++;
    try {
      await this.#writePieces(pieces);
    } catch (cause) {
      throw this.#error ?? this.#broken(cause);
    } finally {
      this.#writesInFlight--;
      this.#withoutProgressMs = 0;
    }
  }

  async writeCheckpoint(checkpoint: CheckpointStamp): Promise<void> {
    this.#send({ kind: "checkpoint", checkpoint });
  }

  async writeDiscard(discard: Discard): Promise<void> {
    this.#send({ kind: "discard", discard });
  }

  async writeStalled(reason: string): Promise<void> {
    this.#send({ kind: "stalled", reason });
  }

  async writeEnd(totals: ChannelTotals): Promise<void> {
    this.#send({ kind: "end", totals });
    this.#ended = true;
  }

  fail(error: Error): void {
    if (this.#closed) return;
    const wire = toWireError(error);
    this.#queue({ kind: "fault", error: wire });
    this.#abort(error instanceof ExtractError ? error : fromWireError(wire));
  }

  async close(): Promise<void> {
    if (this.#closed) return;
    this.#closing = true;
    await closeSocket(this.#socket);
  }

  #writePieces(pieces: readonly Uint8Array[]): Promise<void> {
    const last = pieces.length - 1;
    return new Promise((resolve, reject) => {
      // corked, so that all pieces leave in one gathered write
      this.#socket.cork();
      for (const [index, piece] of pieces.entries()) {
        if (index < last) this.#socket.write(piece);
        else {
          this.#socket.write(piece, (error) =>
            error ? reject(error) : resolve(),
          );
        }
      }
      this.#socket.uncork();
      this.#liveness.noteSent();
    });
  }

  /** @throws ExtractError why the channel is closed */
  #send(frame: Frame): void {
    this.#assertOpen();
    this.#queue(frame);
  }

  #queue(frame: Frame): void {
    if (this.#controlQueued >= QUEUED_CONTROL_FRAMES_MAX) {
      this.#abort(
        this.#stalled(`leaves ${this.#controlQueued} frames waiting`),
      );
      return;
    }
    this.#controlQueued++;
    this.#liveness.noteSent();
    this.#socket.write(encodeFrame(frame), () => {
      this.#controlQueued--;
    });
  }

  #assertOpen(): void {
    assert.ok(!this.#ended, "nothing follows End");
    if (this.#error) throw this.#error;
    if (this.#closed || this.#closing) throw this.#broken(undefined);
  }

  #receive(bytes: Buffer): void {
    this.#liveness.noteReceived();
    this.#parser.push(bytes);
    this.#drainParser();
  }

  #drainParser(): void {
    try {
      for (;;) {
        if (this.#error) return;
        const frame = this.#parser.takeFrame();
        if (!frame) return;
        this.#handle(frame);
      }
    } catch (error) {
      if (!(error instanceof ExtractError)) throw error;
      this.fail(error);
    }
  }

  #handle(frame: Frame): void {
    const handlers = this.#handlers;
    assert.ok(handlers);
    switch (frame.kind) {
      case "ack":
      case "discarded":
      case "stalled":
        this.#withoutProgressMs = 0;
        handlers.onFrame(frame);
        return;
      case "probe":
        handlers.onFrame(frame);
        return;
      case "fault":
        handlers.onFrame(frame);
        this.#abort(fromWireError(frame.error));
        return;
      default:
        throw new ExtractError(
          "CHANNEL_CORRUPT",
          `channel ${this.channel}: the destination sent ${frame.kind}`,
          { channel: this.channel },
        );
    }
  }

  #watchProgress(tickMs: number): void {
    if (this.#writesInFlight === 0) {
      this.#withoutProgressMs = 0;
      return;
    }
    this.#withoutProgressMs += tickMs;
    if (this.#withoutProgressMs > this.#progressDeadlineMs) {
      this.#abort(
        this.#stalled(
          `took nothing for ${this.#progressDeadlineMs} ms and gave no reason`,
        ),
      );
    }
  }

  #abort(error: ExtractError): void {
    this.#error ??= error;
    this.#socket.destroy();
  }

  #report(): void {
    if (this.#reported || !this.#handlers) return;
    this.#reported = true;
    this.#handlers.onClosed(this.#error);
  }

  #broken(cause: unknown): ExtractError {
    return new ExtractError(
      "CHANNEL_BROKEN",
      `channel ${this.channel} to the destination broke`,
      { channel: this.channel },
      { cause },
    );
  }

  #stalled(what: string): ExtractError {
    return new ExtractError(
      "PEER_STALLED",
      `channel ${this.channel}: the destination ${what}`,
      { channel: this.channel, peer: "destination" },
    );
  }
}
