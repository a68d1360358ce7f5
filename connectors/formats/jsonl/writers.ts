/** The variable-width kinds in JSON. */
import { writeAscii } from "../text/digits.ts";
import { BytesWriter } from "../text/value-writer.ts";

const QUOTE = 34;
const BACKSLASH = 92;
const SPACE = 32;

/** Above this many bytes the room for escapes is counted, not assumed: six bytes for each would be too much. */
const ASSUMED_BYTES_MAX = 64 * 1024;

const utf8 = new TextEncoder();
const hexDigits = utf8.encode("0123456789abcdef");
const base64Digits = utf8.encode(
  "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/",
);

/** The letter behind the backslash, `u` for `\u00XX`; 0 for bytes that stand for themselves. */
const escapes = new Uint8Array(256);
escapes.fill(117, 0, SPACE);
for (const [byte, letter] of [
  [8, "b"],
  [9, "t"],
  [10, "n"],
  [12, "f"],
  [13, "r"],
  [QUOTE, '"'],
  [BACKSLASH, "\\"],
] as const)
  escapes[byte] = letter.charCodeAt(0);

export class StringWriter extends BytesWriter {
  /** The quotes. */
  readonly bytesMax = 2;

  override bound(from: number, end: number): number {
    const start = this.offsets[from]!;
    const stop = this.offsets[end]!;
    if (stop - start <= ASSUMED_BYTES_MAX) return (stop - start) * 6;
    let count = stop - start;
    for (let i = start; i < stop; i++) {
      const escape = escapes[this.bytes[i]!]!;
      if (escape !== 0) count += escape === 117 ? 5 : 1;
    }
    return count;
  }

  write(row: number, out: Uint8Array, start: number): number {
    const bytes = this.bytes;
    const end = this.offsets[row + 1]!;
    let at = start;
    out[at++] = QUOTE;
    for (let i = this.offsets[row]!; i < end; i++) {
      const byte = bytes[i]!;
      const escape = escapes[byte]!;
      if (escape === 0) {
        out[at++] = byte;
        continue;
      }
      out[at++] = BACKSLASH;
      out[at++] = escape;
      if (escape === 117) {
        at = writeAscii(out, at, "00");
        out[at++] = hexDigits[byte >>> 4]!;
        out[at++] = hexDigits[byte & 15]!;
      }
    }
    out[at++] = QUOTE;
    return at;
  }
}

/** Exact digits as they are, when they are a JSON number; else, e.g. for `NaN`, as a string. */
export class NumberTextWriter extends StringWriter {
  override write(row: number, out: Uint8Array, start: number): number {
    const from = this.offsets[row]!;
    const end = this.offsets[row + 1]!;
    if (!isJsonNumber(this.bytes, from, end))
      return super.write(row, out, start);
    let at = start;
    for (let i = from; i < end; i++) out[at++] = this.bytes[i]!;
    return at;
  }
}

/** A document as it is. Line breaks can only stand between its tokens, so a space does as well. */
export class JsonWriter extends BytesWriter {
  /** For `null` in place of no bytes at all, which are no document. */
  readonly bytesMax = 4;

  override bound(from: number, end: number): number {
    return this.offsets[end]! - this.offsets[from]!;
  }

  write(row: number, out: Uint8Array, start: number): number {
    const bytes = this.bytes;
    const from = this.offsets[row]!;
    const end = this.offsets[row + 1]!;
    if (from === end) return writeAscii(out, start, "null");
    let at = start;
    for (let i = from; i < end; i++) {
      const byte = bytes[i]!;
      out[at++] = byte === 10 || byte === 13 ? SPACE : byte;
    }
    return at;
  }
}

/** Base64 with padding, RFC 4648 section 4. */
export class Base64Writer extends BytesWriter {
  /** The quotes, and the last group of four. */
  readonly bytesMax: number = 6;

  override bound(from: number, end: number): number {
    const bytes = this.offsets[end]! - this.offsets[from]!;
    return Math.ceil(bytes / 3) * 4;
  }

  write(row: number, out: Uint8Array, start: number): number {
    const bytes = this.bytes;
    const end = this.offsets[row + 1]!;
    let i = this.offsets[row]!;
    let at = start;
    out[at++] = QUOTE;
    for (; i + 3 <= end; i += 3) {
      const group = (bytes[i]! << 16) | (bytes[i + 1]! << 8) | bytes[i + 2]!;
      out[at++] = base64Digits[group >>> 18]!;
      out[at++] = base64Digits[(group >>> 12) & 63]!;
      out[at++] = base64Digits[(group >>> 6) & 63]!;
      out[at++] = base64Digits[group & 63]!;
    }
    if (i < end) {
      const hasTwo = i + 2 === end;
      const group = (bytes[i]! << 16) | (hasTwo ? bytes[i + 1]! << 8 : 0);
      out[at++] = base64Digits[group >>> 18]!;
      out[at++] = base64Digits[(group >>> 12) & 63]!;
      out[at++] = hasTwo ? base64Digits[(group >>> 6) & 63]! : 61;
      out[at++] = 61;
    }
    out[at++] = QUOTE;
    return at;
  }
}

/** @see RFC 8259, section 6 */
function isJsonNumber(bytes: Uint8Array, start: number, end: number): boolean {
  let at = start;
  if (bytes[at] === 45) at++;
  const wholeStart = at;
  at = skipDigits(bytes, at, end);
  const wholeDigits = at - wholeStart;
  if (wholeDigits === 0 || (wholeDigits > 1 && bytes[wholeStart] === 48))
    return false;
  if (at < end && bytes[at] === 46) {
    const fractionEnd = skipDigits(bytes, at + 1, end);
    if (fractionEnd === at + 1) return false;
    at = fractionEnd;
  }
  if (at < end && (bytes[at]! | 32) === 101) {
    at++;
    if (at < end && (bytes[at] === 43 || bytes[at] === 45)) at++;
    const exponentEnd = skipDigits(bytes, at, end);
    if (exponentEnd === at) return false;
    at = exponentEnd;
  }
  return at === end;
}

function skipDigits(bytes: Uint8Array, start: number, end: number): number {
  let at = start;
  while (at < end && bytes[at]! >= 48 && bytes[at]! <= 57) at++;
  return at;
}
