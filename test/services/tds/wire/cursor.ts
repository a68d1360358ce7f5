/** Reads little-endian values from a client's message; what lies outside of it is an error, never a wrong value. */
export class Cursor {
  readonly bytes: Buffer;
  at: number;

  constructor(bytes: Buffer, at = 0) {
    this.bytes = bytes;
    this.at = at;
  }

  get left(): number {
    return this.bytes.length - this.at;
  }

  /** @throws RangeError when the message is shorter */
  take(count: number): Buffer {
    if (count < 0 || count > this.left)
      throw new RangeError(`${count} bytes wanted, ${this.left} left`);
    this.at += count;
    return this.bytes.subarray(this.at - count, this.at);
  }

  u8(): number {
    return this.take(1)[0]!;
  }

  u16(): number {
    return this.take(2).readUInt16LE();
  }

  u32(): number {
    return this.take(4).readUInt32LE();
  }

  i32(): number {
    return this.take(4).readInt32LE();
  }

  u64(): bigint {
    return this.take(8).readBigUInt64LE();
  }

  /** `units` UTF-16 code units. */
  text(units: number): string {
    return this.take(units * 2).toString("utf16le");
  }

  /** B_VARCHAR. */
  shortText(): string {
    return this.text(this.u8());
  }

  /** US_VARCHAR. */
  longText(): string {
    return this.text(this.u16());
  }
}
