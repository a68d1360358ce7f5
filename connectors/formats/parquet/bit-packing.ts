/**
 * Bit packing, least significant bit first, as the RLE hybrid and DELTA_BINARY_PACKED use it.
 * @see Parquet "Encodings.md"
 */
import type { ByteSink } from "../byte-sink.ts";

/** Bits that hold every unsigned 32-bit value up to `max`; 0 for 0. */
export function countBits(max: number): number {
  return 32 - Math.clz32(max);
}

/**
 * Appends `values[from … from + count) - base`, each in `width` (1 … 32) bits, as whole bytes; `count × width` must be a
 * multiple of 8, and `count` of 4. The caller has reserved the bytes and 4 more. Narrow values are joined to pairs and
 * fours first, which spares a fifth of what a dictionary page takes.
 */
export function packBits(
  sink: ByteSink,
  values: Int32Array,
  base: number,
  from: number,
  count: number,
  width: number,
): void {
  const { view, length } = sink;
  const end = from + count;
  if (width <= 8) packFours(view, length, values, base, from, end, width);
  else if (width <= 16) packPairs(view, length, values, base, from, end, width);
  else packSingles(view, length, values, base, from, end, width);
  sink.length += (count * width) >>> 3;
}

function packSingles(
  view: DataView,
  start: number,
  values: Int32Array,
  base: number,
  from: number,
  end: number,
  width: number,
): void {
  let at = start;
  let word = 0;
  let used = 0;
  for (let i = from; i < end; i++) {
    const value = (values[i]! - base) | 0;
    word |= value << used;
    used += width;
    if (used >= 32) {
      view.setInt32(at, word, true);
      at += 4;
      used -= 32;
      word = used === 0 ? 0 : value >>> (width - used);
    }
  }
  if (used > 0) view.setInt32(at, word, true);
}

function packPairs(
  view: DataView,
  start: number,
  values: Int32Array,
  base: number,
  from: number,
  end: number,
  width: number,
): void {
  const step = width * 2;
  let at = start;
  let word = 0;
  let used = 0;
  for (let i = from; i < end; i += 2) {
    const pair = (values[i]! - base) | ((values[i + 1]! - base) << width);
    word |= pair << used;
    used += step;
    if (used >= 32) {
      view.setInt32(at, word, true);
      at += 4;
      used -= 32;
      word = used === 0 ? 0 : pair >>> (step - used);
    }
  }
  if (used > 0) view.setInt32(at, word, true);
}

function packFours(
  view: DataView,
  start: number,
  values: Int32Array,
  base: number,
  from: number,
  end: number,
  width: number,
): void {
  const step = width * 4;
  let at = start;
  let word = 0;
  let used = 0;
  for (let i = from; i < end; i += 4) {
    const four =
      (values[i]! - base) |
      ((values[i + 1]! - base) << width) |
      ((values[i + 2]! - base) << (width * 2)) |
      ((values[i + 3]! - base) << (width * 3));
    word |= four << used;
    used += step;
    if (used >= 32) {
      view.setInt32(at, word, true);
      at += 4;
      used -= 32;
      word = used === 0 ? 0 : four >>> (step - used);
    }
  }
  if (used > 0) view.setInt32(at, word, true);
}

/**
 * Appends dictionary indexes as RLE_DICTIONARY holds them: the bit width, then one run. `indexes` has room for
 * seven more values, which are overwritten by zeros.
 */
export function appendIndexes(
  sink: ByteSink,
  indexes: Int32Array,
  count: number,
  entryCount: number,
): void {
  // width 0 would do for one entry, but not every reader takes it
  const width = Math.max(1, countBits(entryCount - 1));
  const groups = (count + 7) >>> 3;
  sink.reserve(groups * width + 16);
  sink.appendByte(width);
  if (entryCount === 1) {
    sink.appendVarint(count * 2);
    sink.appendByte(0);
    return;
  }
  indexes.fill(0, count, groups * 8);
  sink.appendVarint(groups * 2 + 1);
  sink.reserve(groups * width + 4);
  packBits(sink, indexes, 0, 0, groups * 8, width);
}
