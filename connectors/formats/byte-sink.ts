/** A byte buffer that grows and is used again: one `length = 0` away from empty. */
const TWO_POW_32 = 4294967296;

export class ByteSink {
  bytes: Uint8Array;
  view: DataView;
  /** Bytes in use; behind them the buffer is free. */
  length = 0;

  constructor(bytes: number) {
    this.bytes = new Uint8Array(bytes);
    this.view = new DataView(this.bytes.buffer);
  }

  /** Makes room for `count` more bytes. Writers that use `bytes` or `view` themselves call it first. */
  reserve(count: number): void {
    if (this.length + count > this.bytes.length) this.#grow(count);
  }

  /** Gives the memory back when a rare large value has made the buffer larger than `bytesMax`; empties it. */
  shrink(bytesMax: number): void {
    this.length = 0;
    if (this.bytes.length <= bytesMax) return;
    this.bytes = new Uint8Array(bytesMax);
    this.view = new DataView(this.bytes.buffer);
  }

  /** What was written; a view, valid until the next write. */
  written(): Uint8Array {
    return this.bytes.subarray(0, this.length);
  }

  append(source: Uint8Array): void {
    this.reserve(source.length);
    this.bytes.set(source, this.length);
    this.length += source.length;
  }

  appendByte(byte: number): void {
    this.reserve(1);
    this.bytes[this.length++] = byte;
  }

  /** ULEB128 of an unsigned integer up to 2^53. */
  appendVarint(value: number): void {
    this.reserve(8);
    let rest = value;
    while (rest >= TWO_POW_32) {
      this.bytes[this.length++] = (rest % 128) | 0x80;
      rest = Math.floor(rest / 128);
    }
    let low = rest >>> 0;
    while (low >= 128) {
      this.bytes[this.length++] = (low & 0x7f) | 0x80;
      low >>>= 7;
    }
    this.bytes[this.length++] = low;
  }

  /** Zigzag ULEB128 of an integer in [-2^52, 2^52]. */
  appendZigzag(value: number): void {
    this.appendVarint(value >= 0 ? value * 2 : -value * 2 - 1);
  }

  #grow(count: number): void {
    let capacity = Math.max(this.bytes.length, 64);
    while (capacity < this.length + count) capacity *= 2;
    const grown = new Uint8Array(capacity);
    grown.set(this.bytes.subarray(0, this.length));
    this.bytes = grown;
    this.view = new DataView(grown.buffer);
  }
}
