/** Floating point numbers as the shortest text that reads back to the same number. */
import { writeAscii, writePadded, writeUnsigned } from "./digits.ts";

const MINUS = 45;
const POINT = 46;

/** `-2.2250738585072014e-308` has 24. */
export const FLOAT_CHARS_MAX = 24;

/** @param value finite */
export function writeFloat64(
  out: Uint8Array,
  at: number,
  value: number,
): number {
  // Up to 15 significant digits name a double uniquely, so hundredths that read back equal are the shortest text.
  const magnitude = Math.abs(value);
  // JSON readers take `-0` for an integer, which has no sign of zero
  if (Object.is(value, -0)) return writeAscii(out, at, "-0.0");
  const hundredths = Math.round(magnitude * 100);
  if (magnitude < 1e13 && hundredths / 100 === magnitude) {
    let place = at;
    if (value < 0) out[place++] = MINUS;
    return writeHundredths(out, place, hundredths);
  }
  return writeAscii(out, at, String(value));
}

/** @param value finite, exactly a float32 */
export function writeFloat32(
  out: Uint8Array,
  at: number,
  value: number,
): number {
  if (Number.isInteger(value) && Math.abs(value) < 1e7)
    return writeFloat64(out, at, value);
  return writeAscii(out, at, formatFloat32(value));
}

/** The shortest text that rounds to the same float32: nine digits always do. */
export function formatFloat32(value: number): string {
  for (let digits = 6; digits < 9; digits++) {
    const shorter = Number(value.toPrecision(digits));
    if (Math.fround(shorter) === value) return String(shorter);
  }
  return String(Number(value.toPrecision(9)));
}

function writeHundredths(
  out: Uint8Array,
  at: number,
  hundredths: number,
): number {
  const whole = Math.floor(hundredths / 100);
  const fraction = hundredths - whole * 100;
  const end = writeUnsigned(out, at, whole);
  if (fraction === 0) return end;
  out[end] = POINT;
  return fraction % 10 === 0
    ? writePadded(out, end + 1, fraction / 10, 1)
    : writePadded(out, end + 1, fraction, 2);
}
