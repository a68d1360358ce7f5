/** Base64 with its padding, as Jackson writes it, into the bytes of a column. */
import { growValues, type ColumnStore } from "../../batches/batch-set.ts";

const values64 = new Uint8Array(256).fill(255);
const alphabet =
  "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
for (let value = 0; value < 64; value++)
  values64[alphabet.charCodeAt(value)] = value;

/** Writes the bytes behind the column's last value, without ending the value; returns whether it was base64. */
export function writeBase64(
  store: ColumnStore,
  bytes: Uint8Array,
  start: number,
  end: number,
): boolean {
  const length = end - start;
  if (length % 4 !== 0) return false;
  if (length === 0) return true;
  const padding = bytes[end - 1] !== 61 ? 0 : bytes[end - 2] !== 61 ? 1 : 2;
  const values = growValues(store, (length / 4) * 3);
  let at = store.end;
  let wrong = 0;
  const whole = padding === 0 ? end : end - 4;
  for (let p = start; p < whole; p += 4) {
    const a = values64[bytes[p] ?? 0] ?? 255;
    const b = values64[bytes[p + 1] ?? 0] ?? 255;
    const c = values64[bytes[p + 2] ?? 0] ?? 255;
    const d = values64[bytes[p + 3] ?? 0] ?? 255;
    wrong |= a | b | c | d;
    values[at] = (a << 2) | (b >> 4);
    values[at + 1] = (b << 4) | (c >> 2);
    values[at + 2] = (c << 6) | d;
    at += 3;
  }
  if (padding > 0) {
    const a = values64[bytes[whole] ?? 0] ?? 255;
    const b = values64[bytes[whole + 1] ?? 0] ?? 255;
    const c = padding === 1 ? (values64[bytes[whole + 2] ?? 0] ?? 255) : 0;
    wrong |= a | b | c;
    values[at++] = (a << 2) | (b >> 4);
    if (padding === 1) values[at++] = (b << 4) | (c >> 2);
    // bits that no byte takes have to be zero
    if ((padding === 1 ? c & 3 : b & 15) !== 0) return false;
  }
  if (wrong > 63) return false;
  store.end = at;
  return true;
}
