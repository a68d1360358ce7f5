/**
 * Protobuf's wire format, as the engine writes it: tags, numbers and lengths at a place that moves forward and never
 * leaves what it was given.
 * @see "Protocol Buffers, Encoding"
 */

export const wire = { varint: 0, fixed64: 1, length: 2, fixed32: 5 } as const;

/** Bits that a double holds, and those of a byte of a number. */
const VARINT_BITS_MAX = 49;

/** What is wrong with bytes, in words that an error goes on with. */
export class WireFault extends Error {}

export function tagOf(field: number, wireType: number): number {
  return field * 8 + wireType;
}

export class WireReader {
  bytes: Uint8Array = new Uint8Array(0);
  at = 0;
  end = 0;

  read(bytes: Uint8Array, at: number, end: number): this {
    this.bytes = bytes;
    this.at = at;
    this.end = end;
    return this;
  }

  get isMore(): boolean {
    return this.at < this.end;
  }

  /** A number of up to 56 bits. @throws WireFault */
  readVarint(): number {
    const { bytes, end } = this;
    let at = this.at;
    let value = 0;
    let factor = 1;
    for (let bits = 0; bits <= VARINT_BITS_MAX; bits += 7) {
      if (at >= end) throw new WireFault("a number is cut off");
      const byte = bytes[at++] ?? 0;
      value += (byte & 0x7f) * factor;
      if (byte < 0x80) {
        this.at = at;
        return value;
      }
      factor *= 128;
    }
    throw new WireFault("a number does not end");
  }

  /** The place behind what a length in front of it says, which is moved to its first byte. @throws WireFault */
  readLength(): number {
    const length = this.readVarint();
    if (length > this.end - this.at) {
      throw new WireFault(`${length} bytes are announced where fewer are left`);
    }
    return this.at + length;
  }

  /** Two halves of a number of 64 bits. @throws WireFault */
  readUnsigned64(): number {
    if (this.end - this.at < 8) throw new WireFault("a number is cut off");
    const low = readWord(this.bytes, this.at) >>> 0;
    const high = readWord(this.bytes, this.at + 4) >>> 0;
    this.at += 8;
    return high * 4_294_967_296 + low;
  }

  /** The text of a length in front of it. @throws WireFault */
  readText(): string {
    const behind = this.readLength();
    const { bytes, at } = this;
    this.at = behind;
    return Buffer.from(
      bytes.buffer,
      bytes.byteOffset + at,
      behind - at,
    ).toString("utf8");
  }
}

/** 32 bits, the lowest byte first. */
export function readWord(bytes: Uint8Array, at: number): number {
  return (
    (bytes[at] ?? 0) |
    ((bytes[at + 1] ?? 0) << 8) |
    ((bytes[at + 2] ?? 0) << 16) |
    ((bytes[at + 3] ?? 0) << 24)
  );
}
