/** Text as UTF-8: from UTF-16, and from the bytes of a Windows code page. */

/**
 * Bytes that a UTF-16 text of `byteCount` bytes can become: three for each unit of two.
 */
export function utf8BytesMax(byteCount: number): number {
  return 3 * ((byteCount + 1) >> 1);
}

/** Longer texts go through the runtime, whose call costs about a microsecond. */
const LOOP_BYTES_MAX = 1_024;
const decoder = new TextDecoder("utf-16le", { fatal: true, ignoreBOM: true });
const encoder = new TextEncoder();

/**
 * Writes the UTF-16 text at `source[start, end)` as UTF-8 from `at` on, where three bytes for each unit must be free.
 * @returns the end of what was written; -1 where a surrogate has no partner, which UTF-8 cannot hold
 */
export function encodeUtf16(
  source: Uint8Array,
  start: number,
  end: number,
  target: Uint8Array,
  at: number,
): number {
  if (end - start > LOOP_BYTES_MAX) {
    return encodeLong(source, start, end, target, at);
  }
  for (let p = start; p < end; p += 2) {
    const low = source[p] as number;
    const high = source[p + 1] as number;
    if (high === 0 && low < 0x80) {
      target[at++] = low;
      continue;
    }
    let unit = (high << 8) | low;
    if (unit < 0x800) {
      target[at++] = 0xc0 | (unit >> 6);
      target[at++] = 0x80 | (unit & 0x3f);
    } else if (unit < 0xd800 || unit > 0xdfff) {
      target[at++] = 0xe0 | (unit >> 12);
      target[at++] = 0x80 | ((unit >> 6) & 0x3f);
      target[at++] = 0x80 | (unit & 0x3f);
    } else {
      p += 2;
      if (unit > 0xdbff || p >= end) return -1;
      const trail = ((source[p + 1] as number) << 8) | (source[p] as number);
      if (trail < 0xdc00 || trail > 0xdfff) return -1;
      unit = 0x10000 + ((unit - 0xd800) << 10) + (trail - 0xdc00);
      target[at++] = 0xf0 | (unit >> 18);
      target[at++] = 0x80 | ((unit >> 12) & 0x3f);
      target[at++] = 0x80 | ((unit >> 6) & 0x3f);
      target[at++] = 0x80 | (unit & 0x3f);
    }
  }
  return at;
}

function encodeLong(
  source: Uint8Array,
  start: number,
  end: number,
  target: Uint8Array,
  at: number,
): number {
  let text: string;
  try {
    text = decoder.decode(source.subarray(start, end));
  } catch {
    return -1;
  }
  return at + encoder.encodeInto(text, target.subarray(at)).written;
}

/**
 * What the bytes from 0x80 on stand for: 128 words, each the UTF-8 bytes of one, the first lowest, and above them how
 * many they are.
 */
export type CodePageTable = Uint32Array;

const tables = new Map<number, CodePageTable>();

/**
 * Of a single-byte Windows code page.
 * @throws RangeError for one that the runtime does not know
 */
export function readCodePage(codePage: number): CodePageTable {
  const known = tables.get(codePage);
  if (known !== undefined) return known;
  const table = new Uint32Array(128);
  const label = new TextDecoder(`windows-${codePage}`);
  for (let byte = 0x80; byte <= 0xff; byte++) {
    const utf8 = encoder.encode(label.decode(Uint8Array.of(byte)));
    let word = utf8.length << 24;
    for (const [i, part] of utf8.entries()) word |= part << (8 * i);
    table[byte - 0x80] = word;
  }
  tables.set(codePage, table);
  return table;
}

/** Writes the text as UTF-8 from `at` on, where three bytes for each byte must be free; returns the end. */
export function encodeCodePage(
  table: CodePageTable,
  source: Uint8Array,
  start: number,
  end: number,
  target: Uint8Array,
  at: number,
): number {
  for (let p = start; p < end; p++) {
    const byte = source[p] as number;
    if (byte < 0x80) {
      target[at++] = byte;
      continue;
    }
    const word = table[byte - 0x80] as number;
    target[at++] = word & 0xff;
    const count = word >>> 24;
    if (count > 1) target[at++] = (word >> 8) & 0xff;
    if (count > 2) target[at++] = (word >> 16) & 0xff;
  }
  return at;
}
