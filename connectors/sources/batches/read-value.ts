/** Single values read back out of column buffers: for positions and other texts, not for every value of a table. */
import type { ColumnStore } from "./batch-set.ts";

/** Bit `row` of a bitmap, LSB first. */
export function isSet(bitmap: Uint8Array, row: number): boolean {
  return ((bitmap[row >> 3] ?? 0) & (1 << (row & 7))) !== 0;
}

/** A copy of one variable-width value. */
export function readBytes(store: ColumnStore, row: number): Buffer {
  const { values, offsets } = store;
  return Buffer.from(
    values.subarray(offsets?.[row] ?? 0, offsets?.[row + 1] ?? 0),
  );
}

/** The signed little-endian integer of `wordCount` words of 32 bits. */
export function readInteger(
  words: Int32Array,
  row: number,
  wordCount: number,
): bigint {
  let value = 0n;
  for (let index = wordCount - 1; index >= 0; index--) {
    const word = words[row * wordCount + index] ?? 0;
    value = (value << 32n) | BigInt(word >>> 0);
  }
  return BigInt.asIntN(32 * wordCount, value);
}

/** Units of `10 ** -scale` as digits with a point: `formatDecimal(-5n, 2)` is `-0.05`. */
export function formatDecimal(unscaled: bigint, scale: number): string {
  const sign = unscaled < 0n ? "-" : "";
  const digits = (unscaled < 0n ? -unscaled : unscaled)
    .toString()
    .padStart(scale + 1, "0");
  if (scale === 0) return sign + digits;
  return `${sign}${digits.slice(0, -scale)}.${digits.slice(-scale)}`;
}

/** 16 bytes in the order they are printed, in lower case. */
export function formatUuid(bytes: Uint8Array): string {
  const hex = Buffer.from(bytes).toString("hex");
  return hex.replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, "$1-$2-$3-$4-$5");
}
