/** Zigzag varints of Avro 1.11, "Binary Encoding", for integers given as 32-bit halves. */

/** Bytes of an unsigned integer of so many bits: seven a byte, at least one. */
function bytesOfBits(bits: number): number {
  // ceil(bits / 7) for 1 to 64 bits, and 1 for none
  return (bits * 9 + 64) >>> 6;
}

/** @param value signed, 32 bits */
export function measureInt(value: number): number {
  return bytesOfBits(32 - Math.clz32((value << 1) ^ (value >> 31)));
}

export function measureLong(low: number, high: number): number {
  const sign = high >> 31;
  const zigHigh = ((high << 1) | (low >>> 31)) ^ sign;
  return zigHigh === 0
    ? bytesOfBits(32 - Math.clz32((low << 1) ^ sign))
    : bytesOfBits(64 - Math.clz32(zigHigh));
}

/** Every function writes at `at` and returns the place behind what it wrote. */

export function writeInt(out: Uint8Array, at: number, value: number): number {
  let rest = (value << 1) ^ (value >> 31);
  let end = at;
  while ((rest & ~0x7f) !== 0) {
    out[end++] = (rest & 0x7f) | 0x80;
    rest >>>= 7;
  }
  out[end++] = rest;
  return end;
}

export function writeLong(
  out: Uint8Array,
  at: number,
  low: number,
  high: number,
): number {
  const sign = high >> 31;
  let rest = (low << 1) ^ sign;
  let restHigh = ((high << 1) | (low >>> 31)) ^ sign;
  let end = at;
  while (restHigh !== 0) {
    out[end++] = (rest & 0x7f) | 0x80;
    rest = (rest >>> 7) | (restHigh << 25);
    restHigh >>>= 7;
  }
  while ((rest & ~0x7f) !== 0) {
    out[end++] = (rest & 0x7f) | 0x80;
    rest >>>= 7;
  }
  out[end++] = rest;
  return end;
}
