/**
 * Snappy block compression.
 * @see Snappy compressed format description, format_description.txt of google/snappy
 */

/** Copies reach back within one fragment only, so that a 16-bit offset always does. */
const FRAGMENT_BYTES = 65_536;
const HASH_BITS = 14;
/** A fragment shorter than this is not worth searching. */
const SEARCH_BYTES_MIN = 16;
/** Misses after which the search begins to step over bytes: data that do not compress are passed quickly. */
const MISSES_PER_STEP_LOG2 = 5;

/** Position within the fragment of the last four bytes with this hash. */
const table = new Uint16Array(1 << HASH_BITS);

/** Bytes that compressing `byteCount` bytes may need: a literal costs at most 3 more bytes in 64 KiB. */
export function snappyBytesMax(byteCount: number): number {
  return 32 + byteCount + Math.ceil(byteCount / 6);
}

/** Compresses `source` to the front of `out`, which has `snappyBytesMax` bytes; returns the length. */
export function compressSnappy(source: Uint8Array, out: Uint8Array): number {
  let at = 0;
  let rest = source.length;
  while (rest >= 128) {
    out[at++] = (rest & 0x7f) | 0x80;
    rest >>>= 7;
  }
  out[at++] = rest;
  const view = new DataView(
    source.buffer,
    source.byteOffset,
    source.byteLength,
  );
  for (let start = 0; start < source.length; start += FRAGMENT_BYTES) {
    const end = Math.min(start + FRAGMENT_BYTES, source.length);
    at = compressFragment(source, view, start, end, out, at);
  }
  return at;
}

function compressFragment(
  source: Uint8Array,
  view: DataView,
  start: number,
  end: number,
  out: Uint8Array,
  outStart: number,
): number {
  let at = outStart;
  let literalStart = start;
  if (end - start >= SEARCH_BYTES_MIN) {
    table.fill(0);
    // four bytes are read at a time, so the last place to look is four before the end
    const searchEnd = end - 4;
    let position = start + 1;
    let misses = 1 << MISSES_PER_STEP_LOG2;
    while (position <= searchEnd) {
      const word = view.getInt32(position, true);
      const slot = Math.imul(word, 0x1e35a7bd) >>> (32 - HASH_BITS);
      const candidate = start + table[slot]!;
      table[slot] = position - start;
      if (candidate >= position || view.getInt32(candidate, true) !== word) {
        position += misses++ >>> MISSES_PER_STEP_LOG2;
        continue;
      }
      let length = 4;
      while (
        position + length < end &&
        source[candidate + length] === source[position + length]
      )
        length++;
      at = appendLiteral(source, literalStart, position, out, at);
      at = appendCopy(position - candidate, length, out, at);
      position += length;
      literalStart = position;
      misses = 1 << MISSES_PER_STEP_LOG2;
    }
  }
  return appendLiteral(source, literalStart, end, out, at);
}

function appendLiteral(
  source: Uint8Array,
  start: number,
  end: number,
  out: Uint8Array,
  outStart: number,
): number {
  const length = end - start;
  if (length === 0) return outStart;
  let at = outStart;
  const last = length - 1;
  if (last < 60) {
    out[at++] = last << 2;
  } else if (last < 256) {
    out[at++] = 60 << 2;
    out[at++] = last;
  } else {
    out[at++] = 61 << 2;
    out[at++] = last & 0xff;
    out[at++] = last >>> 8;
  }
  out.set(source.subarray(start, end), at);
  return at + length;
}

function appendCopy(
  offset: number,
  length: number,
  out: Uint8Array,
  outStart: number,
): number {
  let at = outStart;
  let rest = length;
  while (rest > 0) {
    if (rest >= 4 && rest <= 11 && offset < 2048) {
      out[at++] = 1 | ((rest - 4) << 2) | ((offset >>> 8) << 5);
      out[at++] = offset & 0xff;
      return at;
    }
    const part = Math.min(rest, 64);
    out[at++] = 2 | ((part - 1) << 2);
    out[at++] = offset & 0xff;
    out[at++] = offset >>> 8;
    rest -= part;
  }
  return at;
}
