/**
 * The bytes of an answer that are not consumed yet, in one buffer. It grows to the largest row and no further; what is
 * consumed is overwritten.
 */
import { strict as assert } from "node:assert";
import { ExtractError } from "../../../../proto/error.ts";

/** As large as a few packets of the largest size. */
const FIRST_BYTES = 256 * 1024;
/** A buffer above this is given up once it is empty: it was made for one large row. */
const KEPT_BYTES = 8 * 1024 * 1024;

export class TokenWindow {
  buffer: Buffer<ArrayBuffer>;
  /** Over the same bytes. */
  view: DataView;
  start = 0;
  end = 0;

  constructor() {
    this.buffer = Buffer.from(new ArrayBuffer(FIRST_BYTES));
    this.view = new DataView(this.buffer.buffer);
  }

  append(chunk: Uint8Array): void {
    if (this.end + chunk.length > this.buffer.length) this.#makeRoom(chunk);
    this.buffer.set(chunk, this.end);
    this.end += chunk.length;
  }

  /** Everything before `offset` is taken. */
  consumed(offset: number): void {
    assert(offset >= this.start && offset <= this.end);
    this.start = offset;
    if (this.start < this.end) return;
    this.start = 0;
    this.end = 0;
    if (this.buffer.length > KEPT_BYTES) this.#replace(FIRST_BYTES);
  }

  /** Room for a row of this many bytes from `start` on, so that it is not moved for each packet of it. */
  expect(byteCount: number): void {
    if (this.start + byteCount > this.buffer.length) this.#fit(byteCount);
  }

  #makeRoom(chunk: Uint8Array): void {
    this.#fit(this.end - this.start + chunk.length);
  }

  #fit(byteCount: number): void {
    if (byteCount <= this.buffer.length) {
      this.buffer.copyWithin(0, this.start, this.end);
      this.end -= this.start;
      this.start = 0;
    } else {
      this.#replace(Math.max(byteCount, 2 * (this.end - this.start)));
    }
  }

  #replace(byteCount: number): void {
    let buffer: Buffer<ArrayBuffer>;
    try {
      buffer = Buffer.from(new ArrayBuffer(byteCount));
    } catch (cause) {
      throw new ExtractError(
        "SOURCE_ROW_TOO_LARGE",
        `no memory for a row of ${byteCount} bytes`,
        { bytes: byteCount },
        { cause },
      );
    }
    this.buffer.copy(buffer, 0, this.start, this.end);
    this.buffer = buffer;
    this.view = new DataView(buffer.buffer);
    this.end -= this.start;
    this.start = 0;
  }
}
