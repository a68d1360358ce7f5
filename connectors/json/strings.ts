/** Strings of a JSON text that the tape has found to be well formed: copied, compared, and turned into JavaScript's. */
import { readHex, token } from "./tape.ts";

/** Strings longer than this are copied by the runtime, shorter ones byte by byte: its call costs about 60 ns. */
const COPY_LOOP_BYTES_MAX = 48;

/**
 * Writes the string at `at` of the target, which has room for as many bytes as the string has in the text.
 * @returns the place behind it
 */
export function copyText(
  target: Uint8Array,
  offset: number,
  bytes: Uint8Array,
  kind: number,
  start: number,
  end: number,
): number {
  if (kind === token.escapedText)
    return unescapeInto(target, offset, bytes, start, end);
  if (end - start > COPY_LOOP_BYTES_MAX) {
    target.set(bytes.subarray(start, end), offset);
    return offset + end - start;
  }
  let at = offset;
  for (let p = start; p < end; p++) target[at++] = bytes[p] ?? 0;
  return at;
}

/** Letters behind a backslash, and what they stand for. */
const escaped = new Uint8Array(256);
for (const [letter, value] of Object.entries({
  '"': 34,
  "\\": 92,
  "/": 47,
  b: 8,
  f: 12,
  n: 10,
  r: 13,
  t: 9,
})) {
  escaped[letter.charCodeAt(0)] = value;
}

/** Writes the value of a string with escapes as UTF-8, which is never longer, and returns the place behind it. */
function unescapeInto(
  target: Uint8Array,
  offset: number,
  bytes: Uint8Array,
  start: number,
  end: number,
): number {
  let at = offset;
  for (let p = start; p < end; p++) {
    const byte = bytes[p] ?? 0;
    if (byte !== 92) {
      target[at++] = byte;
      continue;
    }
    const letter = bytes[++p] ?? 0;
    if (letter !== 117) {
      target[at++] = escaped[letter] ?? 0;
      continue;
    }
    let point = readHex(bytes, p + 1, end);
    p += 4;
    if (point >= 0xd800 && point <= 0xdfff) {
      point =
        0x10000 +
        ((point - 0xd800) << 10) +
        (readHex(bytes, p + 3, end) - 0xdc00);
      p += 6;
    }
    if (point < 0x80) {
      target[at++] = point;
    } else if (point < 0x800) {
      target[at++] = 0xc0 | (point >> 6);
      target[at++] = 0x80 | (point & 63);
    } else if (point < 0x10000) {
      target[at++] = 0xe0 | (point >> 12);
      target[at++] = 0x80 | ((point >> 6) & 63);
      target[at++] = 0x80 | (point & 63);
    } else {
      target[at++] = 0xf0 | (point >> 18);
      target[at++] = 0x80 | ((point >> 12) & 63);
      target[at++] = 0x80 | ((point >> 6) & 63);
      target[at++] = 0x80 | (point & 63);
    }
  }
  return at;
}

/** The string as JavaScript has it: for names and rare forms, not for every value. */
export function readText(
  bytes: Uint8Array,
  kind: number,
  start: number,
  end: number,
): string {
  if (kind !== token.escapedText)
    return Buffer.from(
      bytes.buffer,
      bytes.byteOffset + start,
      end - start,
    ).toString("utf8");
  const target = Buffer.allocUnsafe(end - start);
  return target.toString("utf8", 0, unescapeInto(target, 0, bytes, start, end));
}

/** Whether the bytes at `[start, end)` are these. */
export function areBytes(
  bytes: Uint8Array,
  start: number,
  end: number,
  wanted: Uint8Array,
): boolean {
  const length = end - start;
  if (length !== wanted.length) return false;
  for (let i = 0; i < length; i++) {
    if (bytes[start + i] !== wanted[i]) return false;
  }
  return true;
}
