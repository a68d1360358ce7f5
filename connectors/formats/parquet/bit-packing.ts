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
 * Appends `values[from … from + count)`, each in `width` (1 … 32) bits, as whole bytes; `count × width` must be a
 * multiple of 8. The caller has reserved the bytes and 4 more.
 */
export function packBits(
  sink: ByteSink,
  values: Int32Array,
  from: number,
  count: number,
  width: number,
): void {
  const view = sink.view;
  const end = from + count;
  let at = sink.length;
  let word = 0;
  let used = 0;
  for (let i = from; i < end; i++) {
    const value = values[i]!;
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
  sink.length += (count * width) >>> 3;
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
  packBits(sink, indexes, 0, groups * 8, width);
}
