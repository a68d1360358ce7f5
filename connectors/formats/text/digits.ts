/** Numbers as ASCII digits, written straight into a buffer: no string, no bigint where 53 bits will do. */

export const TWO_POW_32 = 4294967296;
const ZERO = 48;
const MINUS = 45;
const POINT = 46;

/** Sign and 20 digits: the longest int64 or uint64. */
export const INT64_CHARS_MAX = 20;

/** 10^0 … 10^18 as doubles; exact, as all powers up to 10^22 are. */
const powersOfTen = Float64Array.from({ length: 19 }, (_, i) => 10 ** i);

/** Every function writes at `at` and returns the place behind what it wrote. */

/** @param value an integer in [0, 2^53] */
export function writeUnsigned(
  out: Uint8Array,
  at: number,
  value: number,
): number {
  if (value < 10) {
    out[at] = ZERO + value;
    return at + 1;
  }
  if (value < 1e9) return writeSmall(out, at, value | 0);
  const high = Math.floor(value / 1e9);
  return writePadded(out, writeUnsigned(out, at, high), value - high * 1e9, 9);
}

/** @param value an integer in [-2^53, 2^53] */
export function writeSigned(
  out: Uint8Array,
  at: number,
  value: number,
): number {
  if (value >= 0) return writeUnsigned(out, at, value);
  out[at] = MINUS;
  return writeUnsigned(out, at + 1, -value);
}

/** Writes exactly `digits` (at most 18) digits, zeros in front. */
export function writePadded(
  out: Uint8Array,
  at: number,
  value: number,
  digits: number,
): number {
  if (digits > 9) {
    const high = Math.floor(value / 1e9);
    const end = writePadded(out, at, high, digits - 9);
    return writePadded(out, end, value - high * 1e9, 9);
  }
  let rest = value | 0;
  for (let place = at + digits - 1; place >= at; place--) {
    const tenth = (rest / 10) | 0;
    out[place] = ZERO + rest - tenth * 10;
    rest = tenth;
  }
  return at + digits;
}

/**
 * Writes the integer of two 32-bit halves.
 * @param high signed, or unsigned for unsigned integers
 */
export function writeInt64(
  out: Uint8Array,
  at: number,
  low: number,
  high: number,
): number {
  // 2^53 = 2^21 × 2^32
  if (high >= -0x200000 && high < 0x200000)
    return writeSigned(out, at, high * TWO_POW_32 + (low >>> 0));
  return writeAscii(out, at, joinHalves(low, high).toString());
}

/** The same with a decimal point `scale` digits from the right. */
export function writeDecimal64(
  out: Uint8Array,
  at: number,
  low: number,
  high: number,
  scale: number,
): number {
  if (scale === 0) return writeInt64(out, at, low, high);
  if (high < -0x200000 || high >= 0x200000)
    return writeAscii(out, at, formatDecimal(joinHalves(low, high), scale));
  let unscaled = high * TWO_POW_32 + (low >>> 0);
  let place = at;
  if (unscaled < 0) {
    out[place++] = MINUS;
    unscaled = -unscaled;
  }
  const unit = powersOfTen[scale]!;
  let whole = Math.floor(unscaled / unit);
  let fraction = unscaled - whole * unit;
  // the quotient may have been rounded up to the next integer
  if (fraction < 0) {
    whole--;
    fraction += unit;
  }
  place = writeUnsigned(out, place, whole);
  out[place] = POINT;
  return writePadded(out, place + 1, fraction, scale);
}

/** `formatDecimal(-5n, 2)` is `-0.05`. */
export function formatDecimal(unscaled: bigint, scale: number): string {
  if (scale === 0) return unscaled.toString();
  const negative = unscaled < 0n;
  const digits = (negative ? -unscaled : unscaled)
    .toString()
    .padStart(scale + 1, "0");
  const point = digits.length - scale;
  return `${negative ? "-" : ""}${digits.slice(0, point)}.${digits.slice(point)}`;
}

/** Writes a text of ASCII characters. */
export function writeAscii(out: Uint8Array, at: number, text: string): number {
  for (let i = 0; i < text.length; i++) out[at + i] = text.charCodeAt(i);
  return at + text.length;
}

function joinHalves(low: number, high: number): bigint {
  return (BigInt(high) << 32n) | BigInt(low >>> 0);
}

function writeSmall(out: Uint8Array, at: number, value: number): number {
  let digits = 2;
  for (let bound = 100; digits < 9 && value >= bound; bound *= 10) digits++;
  return writePadded(out, at, value, digits);
}
