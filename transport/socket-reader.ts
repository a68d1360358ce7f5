/**
 * Reads frames from a connecting socket through `onread`: headers into a small buffer, bodies straight into the memory
 * their columns are read from. Reading stops as soon as nobody wants the next frame, and the kernel's buffer does the
 * rest of the backpressure.
 */
import assert from "node:assert/strict";
import type { OnReadOpts, Socket } from "node:net";
import { ExtractError } from "../proto/error.ts";
import type { Body, BodyPool } from "./body-pool.ts";
import { FrameParser } from "./frame-parser.ts";
import type { BatchHeader, Frame } from "./frames.ts";

/** A header, and the part of its body that is copied once more because it came in the same read. */
const HEADER_READ_BYTES = 16 * 1024;

interface IncomingBatch {
  readonly header: BatchHeader;
  body: Body | null;
  filled: number;
}

interface SocketReaderOptions {
  readonly pool: BodyPool;
  readonly frameBytesMax: number;
  /** Asked before each frame; `pull` goes on once it may have become true. */
  isWanted(): boolean;
  onBytes(): void;
  onFrame(frame: Exclude<Frame, { kind: "batch" }>): void;
  onBatch(header: BatchHeader, body: Body): void;
  /** The bytes make no sense, or the budget refused; nothing is read from then on. */
  onError(error: Error): void;
}

export class SocketReader {
  readonly #options: SocketReaderOptions;
  readonly #parser = new FrameParser();
  readonly #headerBuffer = Buffer.allocUnsafeSlow(HEADER_READ_BYTES);
  #socket: Socket | null = null;
  /** A batch whose header has come; its body is null while memory is awaited. */
  #batch: IncomingBatch | null = null;
  #reading = true;
  #stopped = false;
  #dropping = false;

  /** For `net.connect`: Node asks for a buffer before each read and hands it back with its length. */
  readonly onread: OnReadOpts;

  constructor(options: SocketReaderOptions) {
    this.#options = options;
    this.onread = {
      buffer: () => this.#nextBuffer(),
      callback: (bytes, buffer) => this.#take(buffer.subarray(0, bytes)),
    };
  }

  attach(socket: Socket): void {
    this.#socket = socket;
  }

  /** Not reading, because nobody wants the next frame or memory is awaited. */
  get isPaused(): boolean {
    return !this.#reading;
  }

  /** Goes on with what is pending, then with the socket. */
  pull(): void {
    this.#advance();
    this.#follow();
  }

  /** Reads on, but only to throw away, so that the peer can still read what we sent. */
  drop(): void {
    this.stop();
    this.#dropping = true;
    this.#socket?.resume();
  }

  /** Hands nothing over any more and gives back the body that was being filled. */
  stop(): void {
    this.#stopped = true;
    this.#batch?.body?.release();
    this.#batch = null;
  }

  #nextBuffer(): Uint8Array {
    const batch = this.#batch;
    if (!batch?.body) return this.#headerBuffer;
    return batch.body.bytes.subarray(batch.filled);
  }

  /** Returns whether to read on. */
  #take(bytes: Uint8Array): boolean {
    if (this.#dropping) return true;
    if (this.#stopped) return false;
    this.#options.onBytes();
    if (bytes.buffer === this.#headerBuffer.buffer) this.#parser.push(bytes);
    else {
      assert.ok(this.#batch?.body);
      this.#batch.filled += bytes.byteLength;
    }
    this.#advance();
    this.#reading = this.#canRead();
    return this.#reading;
  }

  #advance(): void {
    try {
      while (!this.#stopped) {
        if (this.#batch) {
          if (!this.#fillBody(this.#batch)) return;
        } else if (!this.#options.isWanted() || !this.#takeFrame()) return;
      }
    } catch (error) {
      assert.ok(error instanceof Error);
      this.stop();
      this.#options.onError(error);
    }
  }

  /** Returns false when the next frame has not come whole. */
  #takeFrame(): boolean {
    const frame = this.#parser.takeFrame();
    if (!frame) return false;
    if (frame.kind === "batch") this.#beginBatch(frame.batch);
    else this.#options.onFrame(frame);
    return true;
  }

  #beginBatch(header: BatchHeader): void {
    const { pool, frameBytesMax } = this.#options;
    if (header.bodyBytes > frameBytesMax) {
      throw new ExtractError(
        "CHANNEL_CORRUPT",
        `a body of ${header.bodyBytes} bytes, where ${frameBytesMax} are allowed`,
        { bytes: header.bodyBytes },
      );
    }
    const batch: IncomingBatch = { header, body: null, filled: 0 };
    this.#batch = batch;
    const body = pool.take(header.bodyBytes);
    if (!(body instanceof Promise)) {
      batch.body = body;
      return;
    }
    body.then(
      (granted) => {
        if (this.#batch !== batch) granted.release();
        else {
          batch.body = granted;
          this.pull();
        }
      },
      (error: Error) => {
        if (this.#stopped) return;
        this.stop();
        this.#options.onError(error);
      },
    );
  }

  /** Returns false while the body is incomplete. */
  #fillBody(batch: IncomingBatch): boolean {
    const { header, body } = batch;
    if (!body) return false;
    const rest = body.bytes.subarray(batch.filled);
    batch.filled += this.#parser.drainInto(rest);
    if (batch.filled < header.bodyBytes) return false;
    this.#batch = null;
    this.#options.onBatch(header, body);
    return true;
  }

  #canRead(): boolean {
    if (this.#stopped) return false;
    return this.#batch ? this.#batch.body !== null : this.#options.isWanted();
  }

  /** Starts the socket again where reading stopped. */
  #follow(): void {
    if (this.#reading || !this.#canRead()) return;
    this.#reading = true;
    this.#socket?.resume();
  }
}
