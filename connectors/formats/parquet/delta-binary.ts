/**
 * DELTA_BINARY_PACKED: the first value, then blocks of 128 differences, each less its block's smallest, bit-packed by 32.
 * @see Parquet "Encodings.md", Delta Encoding (DELTA_BINARY_PACKED = 5)
 */
import { countBits, packBits } from "./bit-packing.ts";
import type { ByteSink } from "../byte-sink.ts";

const BLOCK_VALUES = 128;
const MINIBLOCK_VALUES = 32;
const MINIBLOCKS = BLOCK_VALUES / MINIBLOCK_VALUES;
/** The most that one block takes: the smallest difference, the widths, the differences, and what packing wants spare. */
const BLOCK_BYTES_MAX = 8 + MINIBLOCKS + BLOCK_VALUES * 4 + 4;

/** Differences within a block may span less than this, so that they pack in 32 bits. */
const SPAN_MAX = 4294967296;
/** A block's smallest difference is stored as a zigzag number, which holds this much exactly. */
const DELTA_MAX = 2 ** 52;

/** Differences of the block at hand; those of `appendDeltaBinary` are less the smallest. */
const deltas = new Int32Array(BLOCK_VALUES);
const wideDeltas = new Float64Array(BLOCK_VALUES);
/** The largest of each miniblock. */
const largest = new Int32Array(MINIBLOCKS);

/**
 * Appends `count` (at least 1) integers that span less than 2^31, by the low halves of their two's complement: those
 * have the same differences. 4.7 ns a value with loading and packing, where doubles take 7.
 * @param first the first value, in [-2^52, 2^52]
 */
export function appendDeltaNarrow(
  sink: ByteSink,
  values: Int32Array,
  count: number,
  first: number,
): void {
  appendHeader(sink, count, first);
  let previous = values[0]!;
  for (let from = 1; from < count; from += BLOCK_VALUES) {
    const blockCount = Math.min(BLOCK_VALUES, count - from);
    let smallest = 2147483647;
    for (let start = 0; start < blockCount; start += MINIBLOCK_VALUES) {
      const end = Math.min(start + MINIBLOCK_VALUES, blockCount);
      let max = -2147483648;
      for (let i = start; i < end; i++) {
        const value = values[from + i]!;
        const delta = (value - previous) | 0;
        previous = value;
        deltas[i] = delta;
        if (delta < smallest) smallest = delta;
        if (delta > max) max = delta;
      }
      largest[start / MINIBLOCK_VALUES] = max;
    }
    appendBlock(sink, blockCount, smallest, smallest);
  }
}

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
  appendHeader(sink, count, values[0]!);
  let previous = values[0]!;
  for (let from = 1; from < count; from += BLOCK_VALUES) {
    const blockCount = Math.min(BLOCK_VALUES, count - from);
    let deltaMin = Infinity;
    let deltaMax = -Infinity;
    for (let i = 0; i < blockCount; i++) {
      const value = values[from + i]!;
      const delta = value - previous;
      previous = value;
      wideDeltas[i] = delta;
      if (delta < deltaMin) deltaMin = delta;
      if (delta > deltaMax) deltaMax = delta;
    }
    if (deltaMax - deltaMin >= SPAN_MAX || deltaMin < -DELTA_MAX) {
      sink.length = lengthBefore;
      return false;
    }
    for (let start = 0; start < blockCount; start += MINIBLOCK_VALUES) {
      const end = Math.min(start + MINIBLOCK_VALUES, blockCount);
      let bits = 0;
      for (let i = start; i < end; i++) {
        const value = wideDeltas[i]! - deltaMin;
        const word = value > 2147483647 ? value - SPAN_MAX : value;
        deltas[i] = word;
        bits |= word;
      }
      largest[start / MINIBLOCK_VALUES] = bits;
    }
    appendBlock(sink, blockCount, deltaMin, 0);
  }
  return true;
}

function appendHeader(sink: ByteSink, count: number, first: number): void {
  sink.appendVarint(BLOCK_VALUES);
  sink.appendVarint(MINIBLOCKS);
  sink.appendVarint(count);
  sink.appendZigzag(first);
}

/**
 * Appends the block in `deltas` and `largest`.
 * @param base what is still to be taken off them: `deltaMin` or 0
 */
function appendBlock(
  sink: ByteSink,
  count: number,
  deltaMin: number,
  base: number,
): void {
  sink.reserve(BLOCK_BYTES_MAX);
  sink.appendZigzag(deltaMin);
  const widthsAt = sink.length;
  sink.length += MINIBLOCKS;
  // a last miniblock is padded to its full length; those behind it have width 0 and no bytes
  if (count < BLOCK_VALUES) deltas.fill(base, count);
  for (let miniblock = 0; miniblock < MINIBLOCKS; miniblock++) {
    const from = miniblock * MINIBLOCK_VALUES;
    const width = from < count ? countBits(largest[miniblock]! - base) : 0;
    sink.bytes[widthsAt + miniblock] = width;
    if (width > 0) packBits(sink, deltas, base, from, MINIBLOCK_VALUES, width);
  }
}
