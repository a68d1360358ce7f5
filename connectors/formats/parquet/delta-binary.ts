/**
 * DELTA_BINARY_PACKED: the first value, then blocks of 128 differences, each less its block's smallest, bit-packed by 32.
 * @see Parquet "Encodings.md", Delta Encoding (DELTA_BINARY_PACKED = 5)
 */
import { countBits, packBits } from "./bit-packing.ts";
import type { ByteSink } from "../byte-sink.ts";

const BLOCK_VALUES = 128;
const MINIBLOCK_VALUES = 32;
const MINIBLOCKS = BLOCK_VALUES / MINIBLOCK_VALUES;

/** Differences within a block may span less than this, so that they pack in 32 bits. */
const SPAN_MAX = 4294967296;
/** A block's smallest difference is stored as a zigzag number, which holds this much exactly. */
const DELTA_MAX = 2 ** 52;

const adjusted = new Int32Array(BLOCK_VALUES);
const deltas = new Float64Array(BLOCK_VALUES);

/**
 * Appends `count` (at least 1) integers.
 * Doubles hold them and their differences exactly: all values lie in [-2^52, 2^52].
 * @returns false, with `sink` as it was, when a block's differences span more than 32 bits or go beyond 2^52
 */
export function appendDeltaBinary(
  sink: ByteSink,
  values: Float64Array,
  count: number,
): boolean {
  const lengthBefore = sink.length;
  sink.appendVarint(BLOCK_VALUES);
  sink.appendVarint(MINIBLOCKS);
  sink.appendVarint(count);
  sink.appendZigzag(values[0]!);
  let previous = values[0]!;
  for (let from = 1; from < count; from += BLOCK_VALUES) {
    const blockCount = Math.min(BLOCK_VALUES, count - from);
    let deltaMin = Infinity;
    let deltaMax = -Infinity;
    for (let i = 0; i < blockCount; i++) {
      const value = values[from + i]!;
      const delta = value - previous;
      previous = value;
      deltas[i] = delta;
      if (delta < deltaMin) deltaMin = delta;
      if (delta > deltaMax) deltaMax = delta;
    }
    if (deltaMax - deltaMin >= SPAN_MAX || deltaMin < -DELTA_MAX) {
      sink.length = lengthBefore;
      return false;
    }
    appendBlock(sink, blockCount, deltaMin);
  }
  return true;
}

function appendBlock(sink: ByteSink, count: number, deltaMin: number): void {
  sink.reserve(BLOCK_VALUES * 4 + 32);
  sink.appendZigzag(deltaMin);
  const widthsAt = sink.length;
  sink.length += MINIBLOCKS;
  for (let miniblock = 0; miniblock < MINIBLOCKS; miniblock++) {
    const from = miniblock * MINIBLOCK_VALUES;
    const end = Math.min(from + MINIBLOCK_VALUES, count);
    let bits = 0;
    for (let i = from; i < end; i++) {
      const value = deltas[i]! - deltaMin;
      const word = value > 2147483647 ? value - SPAN_MAX : value;
      adjusted[i] = word;
      bits |= word;
    }
    const width = countBits(bits);
    sink.bytes[widthsAt + miniblock] = width;
    if (width === 0) continue;
    // a last miniblock is padded to its full length; those behind it have width 0 and no bytes
    if (end < from + MINIBLOCK_VALUES)
      adjusted.fill(0, Math.max(end, from), from + MINIBLOCK_VALUES);
    packBits(sink, adjusted, from, MINIBLOCK_VALUES, width);
  }
}
