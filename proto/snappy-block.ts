/**
 * Reads one Snappy block. What there is on npm goes on for ever, or writes nothing, over a block whose lengths were
 * damaged so that they count backwards; and blocks come from brokers and files.
 * @see Snappy compressed format description, format_description.txt of google/snappy
 */

/** Of the varint in front. */
const LENGTH_BYTES_MAX = 5;
/** A literal with a larger number in its tag has its length in one to four bytes behind it. */
const LITERAL_SHORT_MAX = 60;
const LITERAL = 0;
const COPY_BY_11_BITS = 1;

/** @throws RangeError for what is no Snappy block, is cut off, or holds more than `bytesMax` */
export function uncompressSnappyBlock(
  block: Uint8Array,
  bytesMax: number,
): Uint8Array {
  const { length, end } = readLength(block);
  if (length > bytesMax)
    throw new RangeError(`a Snappy block holds more than ${bytesMax} bytes`);
  const out = new Uint8Array(length);
  let filled = 0;
  for (let at = end; at < block.length;) {
    const tag = block[at++] ?? 0;
    if ((tag & 3) === LITERAL) {
      let count = (tag >>> 2) + 1;
      if (count > LITERAL_SHORT_MAX) {
        const bytes = count - LITERAL_SHORT_MAX;
        count = readNumber(block, at, bytes) + 1;
        at += bytes;
      }
      if (count > block.length - at || count > length - filled) throw damaged();
      out.set(block.subarray(at, at + count), filled);
      at += count;
      filled += count;
    } else {
      const bytes = 1 << ((tag & 3) - 1);
      const low = readNumber(block, at, bytes);
      at += bytes;
      const isShort = (tag & 3) === COPY_BY_11_BITS;
      const count = isShort ? ((tag >>> 2) & 7) + 4 : (tag >>> 2) + 1;
      const offset = isShort ? ((tag >>> 5) << 8) | low : low;
      if (offset === 0 || offset > filled || count > length - filled)
        throw damaged();
      // what is copied may begin inside of itself, and repeats then
      for (const behind = filled + count; filled < behind; filled++)
        out[filled] = out[filled - offset] ?? 0;
    }
  }
  if (filled !== length) throw damaged();
  return out;
}

/** Unsigned, its lowest byte first. */
function readNumber(block: Uint8Array, at: number, bytes: number): number {
  if (bytes > block.length - at) throw damaged();
  let number = 0;
  for (let i = bytes - 1; i >= 0; i--)
    number = number * 256 + (block[at + i] ?? 0);
  return number;
}

function readLength(block: Uint8Array): { length: number; end: number } {
  let length = 0;
  for (let i = 0; i < LENGTH_BYTES_MAX; i++) {
    const byte = block[i] ?? 0x80;
    length += (byte & 0x7f) * 2 ** (7 * i);
    if (byte < 0x80) return { length, end: i + 1 };
  }
  throw new RangeError("a Snappy block without a length");
}

function damaged(): RangeError {
  return new RangeError("a Snappy block is damaged or cut off");
}
