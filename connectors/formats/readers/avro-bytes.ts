/** Reads the primitive types of Avro 1.11, "Binary Encoding", and never beyond the bytes it was given. */

/** Bytes of the longest varint of 64 bits. */
const VARINT_BYTES_MAX = 10;

export class AvroBytes {
  readonly bytes: Buffer;
  at = 0;

  constructor(bytes: Uint8Array) {
    this.bytes = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  }

  get left(): number {
    return this.bytes.length - this.at;
  }

  /** The next `count` bytes, as a view. */
  take(count: number): Buffer {
    if (count < 0 || count > this.left) throw new AvroBytesEnd(count);
    this.at += count;
    return this.bytes.subarray(this.at - count, this.at);
  }

  readByte(): number {
    return this.take(1)[0]!;
  }

  /** A number where it holds the value, else a bigint. */
  readLong(): number | bigint {
    const first = this.readByte();
    if (first < 0x80) return (first >>> 1) ^ -(first & 1);
    let value = BigInt(first & 0x7f);
    for (let i = 1; i < VARINT_BYTES_MAX; i++) {
      const byte = this.readByte();
      value |= BigInt(byte & 0x7f) << BigInt(7 * i);
      if (byte < 0x80) {
        const long = BigInt.asIntN(64, (value >> 1n) ^ -(value & 1n));
        return Number.isSafeInteger(Number(long)) ? Number(long) : long;
      }
    }
    throw new RangeError(
      `a number of more than ${VARINT_BYTES_MAX} bytes at ${this.at}`,
    );
  }

  /** A count, index or length. */
  readCount(): number {
    const count = this.readLong();
    if (typeof count === "bigint") throw new RangeError(`a count of ${count}`);
    return count;
  }

  readBytes(): Buffer {
    return this.take(this.readCount());
  }

  readText(): string {
    return this.readBytes().toString("utf8");
  }
}

/** The bytes end before the value does. */
export class AvroBytesEnd extends RangeError {
  constructor(wanted: number) {
    super(`${wanted} bytes are wanted where fewer are left`);
  }
}
