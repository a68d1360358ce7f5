/** Where tokens and rows are written: a buffer that grows (and is another one then), little-endian. */
const FIRST_BYTES = 16 * 1024;

export class ByteSink {
  bytes: Buffer = Buffer.allocUnsafe(FIRST_BYTES);
  length = 0;

  /** Makes room for `count` bytes and returns where they begin. */
  reserve(count: number): number {
    const start = this.length;
    this.length += count;
    if (this.length > this.bytes.length) {
      const grown = Buffer.allocUnsafe(
        Math.max(this.length, this.bytes.length * 2),
      );
      this.bytes.copy(grown, 0, 0, start);
      this.bytes = grown;
    }
    return start;
  }

  clear(): void {
    this.length = 0;
  }

  take(): Buffer {
    const copy = Buffer.from(this.bytes.subarray(0, this.length));
    this.length = 0;
    return copy;
  }

  u8(value: number): this {
    const at = this.reserve(1);
    this.bytes[at] = value;
    return this;
  }

  u16(value: number): this {
    const at = this.reserve(2);
    this.bytes.writeUInt16LE(value, at);
    return this;
  }

  i16(value: number): this {
    const at = this.reserve(2);
    this.bytes.writeInt16LE(value, at);
    return this;
  }

  u32(value: number): this {
    const at = this.reserve(4);
    this.bytes.writeUInt32LE(value, at);
    return this;
  }

  i32(value: number): this {
    const at = this.reserve(4);
    this.bytes.writeInt32LE(value, at);
    return this;
  }

  u64(value: bigint): this {
    const at = this.reserve(8);
    this.bytes.writeBigUInt64LE(value, at);
    return this;
  }

  i64(value: bigint): this {
    const at = this.reserve(8);
    this.bytes.writeBigInt64LE(value, at);
    return this;
  }

  f32(value: number): this {
    const at = this.reserve(4);
    this.bytes.writeFloatLE(value, at);
    return this;
  }

  f64(value: number): this {
    const at = this.reserve(8);
    this.bytes.writeDoubleLE(value, at);
    return this;
  }

  raw(bytes: Uint8Array): this {
    const at = this.reserve(bytes.length);
    this.bytes.set(bytes, at);
    return this;
  }

  utf16(text: string): this {
    const at = this.reserve(text.length * 2);
    this.bytes.write(text, at, "utf16le");
    return this;
  }

  /** B_VARCHAR. */
  shortText(text: string): this {
    return this.u8(text.length).utf16(text);
  }

  /** US_VARCHAR. */
  longText(text: string): this {
    return this.u16(text.length).utf16(text);
  }
}
