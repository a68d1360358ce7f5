/** Base64 with its padding into bytes. */

const values64 = new Uint8Array(256).fill(255);
const alphabet =
  "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
for (let value = 0; value < 64; value++)
  values64[alphabet.charCodeAt(value)] = value;

/** Bytes that a text of this length can become. */
export function base64Bytes(length: number): number {
  return Math.ceil(length / 4) * 3;
}

/**
 * Writes the bytes at `at` of the target, which has room for `base64Bytes`.
 * @returns the place behind them; -1 where the text is no base64
 */
export function decodeBase64(
  target: Uint8Array,
  offset: number,
  bytes: Uint8Array,
  start: number,
  end: number,
): number {
  const length = end - start;
  if (length % 4 !== 0) return -1;
  if (length === 0) return offset;
  const padding = bytes[end - 1] !== 61 ? 0 : bytes[end - 2] !== 61 ? 1 : 2;
  let at = offset;
  let wrong = 0;
  const whole = padding === 0 ? end : end - 4;
  for (let p = start; p < whole; p += 4) {
    const a = values64[bytes[p] ?? 0] ?? 255;
    const b = values64[bytes[p + 1] ?? 0] ?? 255;
    const c = values64[bytes[p + 2] ?? 0] ?? 255;
    const d = values64[bytes[p + 3] ?? 0] ?? 255;
    wrong |= a | b | c | d;
    target[at] = (a << 2) | (b >> 4);
    target[at + 1] = (b << 4) | (c >> 2);
    target[at + 2] = (c << 6) | d;
    at += 3;
  }
  if (padding > 0) {
    const a = values64[bytes[whole] ?? 0] ?? 255;
    const b = values64[bytes[whole + 1] ?? 0] ?? 255;
    const c = padding === 1 ? (values64[bytes[whole + 2] ?? 0] ?? 255) : 0;
    wrong |= a | b | c;
    target[at++] = (a << 2) | (b >> 4);
    if (padding === 1) target[at++] = (b << 4) | (c >> 2);
    // bits that no byte takes have to be zero
    if ((padding === 1 ? c & 3 : b & 15) !== 0) return -1;
  }
  if (wrong > 63) return -1;
  return at;
}
