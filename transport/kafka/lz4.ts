/**
 * Reads LZ4 frames. Their checksums are passed over: Kafka's own, over the whole batch, is checked by the broker.
 * @see LZ4 Frame Format Description 1.6.3 and LZ4 Block Format Description, of lz4/lz4
 */

const MAGIC = 0x184d2204;
const MAGIC_SKIPPABLE = 0x184d2a50;
const VERSION = 1;
const MATCH_BYTES_MIN = 4;
/** Set where a block is as it was. */
const STORED = 0x8000_0000;

/** Bytes of a block by the descriptor's number. */
const blockBytes: Readonly<Record<number, number>> = {
  4: 64 * 1024,
  5: 256 * 1024,
  6: 1024 * 1024,
  7: 4 * 1024 * 1024,
};

class Input {
  readonly #bytes: Buffer;
  at = 0;

  constructor(bytes: Buffer) {
    this.#bytes = bytes;
  }

  get left(): number {
    return this.#bytes.length - this.at;
  }

  take(count: number): Buffer {
    if (count > this.left) throw new RangeError("an LZ4 frame is cut off");
    this.at += count;
    return this.#bytes.subarray(this.at - count, this.at);
  }

  byte(): number {
    return this.take(1).readUInt8();
  }

  u32(): number {
    return this.take(4).readUInt32LE();
  }
}

/** What was unpacked so far; later blocks may repeat what stands in earlier ones. */
class Output {
  #bytes: Buffer;
  readonly #bytesMax: number;
  #length = 0;

  constructor(bytesMax: number, bytesExpected: number) {
    this.#bytesMax = bytesMax;
    this.#bytes = Buffer.allocUnsafe(Math.min(bytesMax, bytesExpected));
  }

  get written(): Buffer {
    return this.#bytes.subarray(0, this.#length);
  }

  add(bytes: Buffer): void {
    this.#reserve(bytes.length);
    bytes.copy(this.#bytes, this.#length);
    this.#length += bytes.length;
  }

  /** The bytes that stand `offset` before the end again; they may run into themselves. */
  repeat(offset: number, count: number): void {
    if (offset === 0 || offset > this.#length)
      throw new RangeError("an LZ4 block refers to what is not there");
    this.#reserve(count);
    const start = this.#length;
    if (offset >= count)
      this.#bytes.copyWithin(start, start - offset, start - offset + count);
    else
      for (let at = start; at < start + count; at++)
        this.#bytes[at] = this.#bytes[at - offset] ?? 0;
    this.#length += count;
  }

  #reserve(count: number): void {
    const needed = this.#length + count;
    if (needed > this.#bytesMax)
      throw new RangeError(`an LZ4 frame holds more than ${this.#bytesMax} bytes`); // prettier-ignore
    if (needed <= this.#bytes.length) return;
    const larger = Math.min(this.#bytesMax, Math.max(needed, 2 * this.#bytes.length)); // prettier-ignore
    const bytes = Buffer.allocUnsafe(larger);
    this.#bytes.copy(bytes, 0, 0, this.#length);
    this.#bytes = bytes;
  }
}

/** Bytes that an output has room for at first. */
const OUTPUT_BYTES_FIRST = 256 * 1024;

/** @throws RangeError for what is no LZ4 frame, is cut off, or holds more than `bytesMax` */
export function uncompressLz4(bytes: Buffer, bytesMax: number): Buffer {
  const input = new Input(bytes);
  const output = new Output(bytesMax, OUTPUT_BYTES_FIRST);
  while (input.left > 0) {
    const magic = input.u32();
    if (magic === MAGIC) readFrame(input, output);
    else if ((magic & 0xfffffff0) >>> 0 === MAGIC_SKIPPABLE)
      input.take(input.u32());
    else throw new RangeError("this is no LZ4 frame");
  }
  return output.written;
}

function readFrame(input: Input, output: Output): void {
  const flags = input.byte();
  if (flags >>> 6 !== VERSION) throw new RangeError("an LZ4 frame of another version"); // prettier-ignore
  const hasBlockChecksums = (flags & 0x10) !== 0;
  const hasSize = (flags & 0x08) !== 0;
  const hasChecksum = (flags & 0x04) !== 0;
  if ((flags & 0x01) !== 0) throw new RangeError("an LZ4 frame with a dictionary"); // prettier-ignore
  const largest = blockBytes[(input.byte() >>> 4) & 0x07];
  if (largest === undefined) throw new RangeError("an LZ4 frame with blocks of no size"); // prettier-ignore
  if (hasSize) input.take(8);
  // of the descriptor
  input.take(1);
  for (;;) {
    const size = input.u32();
    if (size === 0) break;
    const isStored = size >= STORED;
    const length = isStored ? size - STORED : size;
    if (length > largest) throw new RangeError("an LZ4 block is too large");
    const block = input.take(length);
    if (isStored) output.add(block);
    else readBlock(new Input(block), output);
    if (hasBlockChecksums) input.take(4);
  }
  if (hasChecksum) input.take(4);
}

function readBlock(input: Input, output: Output): void {
  for (;;) {
    const token = input.byte();
    output.add(input.take(readLength(input, token >>> 4)));
    // the last sequence has literals only
    if (input.left === 0) return;
    const offset = input.take(2).readUInt16LE();
    output.repeat(offset, readLength(input, token & 0x0f) + MATCH_BYTES_MIN);
  }
}

/** Four bits of a token; where they are full, bytes add to them until one is not. */
function readLength(input: Input, first: number): number {
  let length = first;
  if (first < 15) return length;
  for (;;) {
    const more = input.byte();
    length += more;
    if (more < 255) return length;
  }
}
