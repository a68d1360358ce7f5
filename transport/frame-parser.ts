/**
 * Cuts a byte stream into frames. Holds at most one message and one read: a length prefix is checked before anything is
 * allocated for it.
 */
import assert from "node:assert/strict";
import { ExtractError } from "../proto/error.ts";
import { decodeFrame } from "./frame-codec.ts";
import { HEADER_BYTES_MAX } from "./frames.ts";
import type { Frame } from "./frames.ts";

const CAPACITY_BYTES_MIN = 32 * 1024;
/** A varint of more bytes cannot be a length up to HEADER_BYTES_MAX. */
const LENGTH_BYTES_MAX = 3;

export class FrameParser {
  #store = Buffer.allocUnsafe(CAPACITY_BYTES_MIN);
  #start = 0;
  #end = 0;

  get pendingBytes(): number {
    return this.#end - this.#start;
  }

  /** Copies the bytes in: a control frame, or the rest of a read behind which a body begins. */
  push(bytes: Uint8Array): void {
    this.#makeRoom(bytes.byteLength);
    this.#store.set(bytes, this.#end);
    this.#end += bytes.byteLength;
  }

  /**
   * The next frame, or null when it has not come whole.
   * @throws ExtractError CHANNEL_CORRUPT
   */
  takeFrame(): Frame | null {
    let length = 0;
    let at = this.#start;
    for (let shift = 0; ; shift += 7) {
      if (at - this.#start >= LENGTH_BYTES_MAX) {
        throw new ExtractError(
          "CHANNEL_CORRUPT",
          `a frame of more than ${HEADER_BYTES_MAX} bytes`,
        );
      }
      if (at === this.#end) return null;
      const byte = this.#store[at++] as number;
      length |= (byte & 127) << shift;
      if (byte < 128) break;
    }
    if (length === 0 || length > HEADER_BYTES_MAX) {
      throw new ExtractError(
        "CHANNEL_CORRUPT",
        `a frame of ${length} bytes, where 1 to ${HEADER_BYTES_MAX} are allowed`,
        { length },
      );
    }
    if (this.#end - at < length) return null;
    const frame = decodeFrame(this.#store.subarray(at, at + length));
    this.#start = at + length;
    return frame;
  }

  /** Moves pending bytes to the start of `target`, as many as there are or fit, and returns their number. */
  drainInto(target: Uint8Array): number {
    const bytes = Math.min(this.pendingBytes, target.byteLength);
    target.set(this.#store.subarray(this.#start, this.#start + bytes));
    this.#start += bytes;
    return bytes;
  }

  /** The first byte, taken off, or null. */
  takeByte(): number | null {
    if (this.pendingBytes === 0) return null;
    return this.#store[this.#start++] as number;
  }

  #makeRoom(bytes: number): void {
    if (this.#start === this.#end) this.#start = this.#end = 0;
    if (this.#end + bytes <= this.#store.byteLength) return;
    const pending = this.#store.subarray(this.#start, this.#end);
    const needed = pending.byteLength + bytes;
    // whole frames are taken before more is read, so an incomplete one and one read are the most there can be
    assert.ok(needed <= 2 * HEADER_BYTES_MAX, `${needed} bytes pending`);
    let capacity = CAPACITY_BYTES_MIN;
    while (capacity < needed) capacity *= 2;
    if (capacity <= this.#store.byteLength) {
      this.#store.copyWithin(0, this.#start, this.#end);
    } else {
      const store = Buffer.allocUnsafeSlow(capacity);
      store.set(pending);
      this.#store = store;
    }
    this.#start = 0;
    this.#end = pending.byteLength;
  }
}
