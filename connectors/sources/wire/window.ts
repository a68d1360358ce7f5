/**
 * The bytes that were received and not yet consumed. One ring buffer of fixed size takes small messages; a message
 * that is larger gets a buffer of its own for as long as it lasts, into which the socket reads directly.
 */
import { strict as assert } from "node:assert";

/** The largest read, and the largest message that the ring takes, in bytes. */
export const WINDOW_BYTES = 256 * 1024;

export class ReadWindow {
  /** A partial message (less than one window) and one read always fit. */
  readonly #ring = Buffer.from(new ArrayBuffer(2 * WINDOW_BYTES));
  readonly #ringView = new DataView(this.#ring.buffer);
  /** Unconsumed bytes are `buffer[start, end)`. */
  buffer: Buffer = this.#ring;
  view: DataView = this.#ringView;
  start = 0;
  end = 0;

  /** Where the next read goes: at least one byte, never over unconsumed bytes. */
  space(): Buffer {
    if (this.buffer === this.#ring) {
      if (this.start === this.end) {
        this.start = 0;
        this.end = 0;
      } else if (this.end + WINDOW_BYTES > this.#ring.length) {
        this.#ring.copyWithin(0, this.start, this.end);
        this.end -= this.start;
        this.start = 0;
      }
      assert(this.end <= WINDOW_BYTES, "a partial message fills the window");
      return this.#ring.subarray(this.end, this.end + WINDOW_BYTES);
    }
    assert(this.end < this.buffer.length, "the large message is complete");
    return this.buffer.subarray(this.end);
  }

  /** `byteCount` bytes were read into what `space` returned. */
  filled(byteCount: number): void {
    this.end += byteCount;
    assert(this.end <= this.buffer.length, "more was read than there was room");
  }

  /** All before `offset` is consumed. */
  consumed(offset: number): void {
    assert(offset >= this.start && offset <= this.end);
    this.start = offset;
    if (offset === this.end && this.buffer !== this.#ring) this.reset();
  }

  /**
   * The message at `start` has `messageBytes` in all, which the caller has bounded. One that the ring cannot hold
   * moves into a buffer of its own.
   */
  expect(messageBytes: number): void {
    if (messageBytes <= WINDOW_BYTES || this.buffer !== this.#ring) return;
    const large = Buffer.from(new ArrayBuffer(messageBytes));
    this.#ring.copy(large, 0, this.start, this.end);
    this.buffer = large;
    this.view = new DataView(large.buffer);
    this.end -= this.start;
    this.start = 0;
  }

  /** Forgets everything and lets a large buffer go. */
  reset(): void {
    this.buffer = this.#ring;
    this.view = this.#ringView;
    this.start = 0;
    this.end = 0;
  }
}
