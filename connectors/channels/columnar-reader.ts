/**
 * Reads a socket of column batches: envelopes, and behind those of batches their column buffers. Node reads into memory
 * of ours, and nothing is read that nobody waits for: a socket's own chunks, 64 KiB each, cost as much in the garbage
 * collector as all else that is done with the bytes.
 */
import { strict as assert } from "node:assert";
import type { OnReadOpts, Socket } from "node:net";
import { BUFFER_ALIGNMENT } from "../../transport/frames.ts";
import { ExtractError } from "../../proto/error.ts";

/** An envelope beside a batch's buffers: a schema, a state, a header. */
const ENVELOPE_BYTES_MAX = 64 * 1024 * 1024;
/** A length has 32 bits. */
const LENGTH_BYTES_MAX = 5;
/** What comes in front of a body, and the beginning of it. */
const HEAD_BYTES = 64 * 1024;

export class ColumnarReader {
  /** For `net.connect`, which takes it only there. */
  readonly onread: OnReadOpts;
  readonly #onBytes: () => void;
  readonly #head = Buffer.allocUnsafeSlow(HEAD_BYTES);
  /** What has come into `#head` and is not taken yet. */
  #at = 0;
  #end = 0;
  /** What is being filled behind that. */
  #target: Uint8Array | null = null;
  #filled = 0;
  #socket: Socket | null = null;
  /** Whoever waits for bytes is told whether there are any. */
  #waiting: PromiseWithResolvers<boolean> | null = null;
  #isOver = false;
  #error: Error | null = null;
  /** Used again for each body: the one before has been handed on when the next is asked for. */
  #body = new Uint8Array(new ArrayBuffer(BUFFER_ALIGNMENT));

  /** @param onBytes called when something has come */
  constructor(onBytes: () => void) {
    this.#onBytes = onBytes;
    this.onread = {
      buffer: () => this.#target?.subarray(this.#filled) ?? this.#head,
      callback: (count, buffer) => this.#take(count, buffer),
    };
  }

  /** Connected, with our `onread`. */
  attach(socket: Socket): void {
    this.#socket = socket;
    socket.on("end", () => this.#finish(null));
    socket.on("error", (error) => this.#finish(error));
    socket.on("close", () => this.#finish(new Error("the socket is closed")));
  }

  /** Borrowed until the next call. Null: the socket has ended, between two envelopes. */
  async readEnvelope(): Promise<Uint8Array | null> {
    let length = 0;
    for (let count = 0; ; count++) {
      const byte = await this.#readByte();
      if (byte === null) {
        if (count === 0) return null;
        throw cutOff();
      }
      if (count === LENGTH_BYTES_MAX)
        throw new ExtractError(
          "CONNECTOR_MESSAGE_INVALID",
          "the connector sends no length where an envelope begins",
        );
      length += (byte & 0x7f) * 2 ** (7 * count);
      if (byte < 0x80) break;
    }
    if (length > ENVELOPE_BYTES_MAX)
      throw new ExtractError(
        "CONNECTOR_MESSAGE_INVALID",
        `an envelope of the connector has ${length} bytes, and ${ENVELOPE_BYTES_MAX} are allowed`,
      );
    const envelope = new Uint8Array(length);
    await this.#fill(envelope);
    return envelope;
  }

  /** At an address that typed arrays can be laid over. Borrowed until the next call. */
  async readBody(byteCount: number, byteCountMax: number): Promise<Uint8Array> {
    if (byteCount > byteCountMax)
      throw new ExtractError(
        "SOURCE_ROW_TOO_LARGE",
        `a batch of ${byteCount} bytes comes, and ${byteCountMax} are allowed`,
        { bytes: byteCount },
      );
    if (byteCount > this.#body.byteLength)
      this.#body = new Uint8Array(new ArrayBuffer(byteCount));
    const body = this.#body.subarray(0, byteCount);
    await this.#fill(body);
    return body;
  }

  async #readByte(): Promise<number | null> {
    while (this.#at === this.#end) if (!(await this.#more())) return null;
    return this.#head[this.#at++] ?? null;
  }

  async #fill(target: Uint8Array): Promise<void> {
    this.#filled = 0;
    this.#moveInto(target);
    if (this.#filled === target.length) return;
    this.#target = target;
    if (!(await this.#more())) throw cutOff();
  }

  /** Waits for bytes in `#head`, or until the target is full; false: there come no more. */
  async #more(): Promise<boolean> {
    if (this.#error !== null) throw this.#error;
    if (this.#isOver) return false;
    assert(this.#socket !== null && this.#waiting === null);
    this.#waiting = Promise.withResolvers();
    this.#socket.resume();
    return this.#waiting.promise;
  }

  /** Returns whether to read on. Node has asked where to before whoever waits said what for: it may be `#head`. */
  #take(count: number, buffer: Uint8Array): boolean {
    this.#onBytes();
    if (buffer.buffer === this.#head.buffer) {
      this.#at = 0;
      this.#end = count;
      if (this.#target !== null) this.#moveInto(this.#target);
    } else this.#filled += count;
    if (this.#target !== null && this.#filled < this.#target.length)
      return true;
    // Node asks for the next read's buffer as soon as this returns, and takes an empty one for an error
    this.#target = null;
    this.#settle(true);
    return false;
  }

  /** What is in `#head`, as far as there is room. */
  #moveInto(target: Uint8Array): void {
    const from = this.#at;
    this.#at = Math.min(this.#end, from + target.length - this.#filled);
    target.set(this.#head.subarray(from, this.#at), this.#filled);
    this.#filled += this.#at - from;
  }

  #finish(error: Error | null): void {
    if (this.#isOver) return;
    this.#isOver = true;
    this.#error = error;
    if (error === null) this.#settle(false);
    else {
      this.#waiting?.reject(error);
      this.#waiting = null;
    }
  }

  #settle(isMore: boolean): void {
    this.#waiting?.resolve(isMore);
    this.#waiting = null;
  }
}

function cutOff(): ExtractError {
  return new ExtractError(
    "CONNECTOR_MESSAGE_INVALID",
    "the connector's output ends inside of an envelope",
  );
}
