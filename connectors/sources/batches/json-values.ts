/** Strings of a JSON text into columns. */
import { base64Bytes, decodeBase64 } from "../../json/base64.ts";
import { copyText } from "../../json/strings.ts";
import { growValues, type ColumnStore } from "./batch-set.ts";

/** Writes the string's bytes behind the column's last value, without ending the value. */
export function copyString(
  store: ColumnStore,
  bytes: Uint8Array,
  kind: number,
  start: number,
  end: number,
): void {
  const values = growValues(store, end - start);
  store.end = copyText(values, store.end, bytes, kind, start, end);
}

/** The same of bytes as base64, with its padding; returns whether it was base64. */
export function writeBase64(
  store: ColumnStore,
  bytes: Uint8Array,
  start: number,
  end: number,
): boolean {
  const values = growValues(store, base64Bytes(end - start));
  const behind = decodeBase64(values, store.end, bytes, start, end);
  if (behind < 0) return false;
  store.end = behind;
  return true;
}

const hexValues = new Uint8Array(256).fill(255);
for (let value = 0; value < 16; value++) {
  hexValues[value.toString(16).charCodeAt(0)] = value;
  hexValues[value.toString(16).toUpperCase().charCodeAt(0)] = value;
}
const UUID_CHARS = 36;

/** The same of 36 characters as a UUID, into the row's 16 bytes; returns whether they are one. */
export function writeUuid(
  { fixed }: ColumnStore,
  row: number,
  bytes: Uint8Array,
  start: number,
  end: number,
): boolean {
  if (end - start !== UUID_CHARS) return false;
  let at = start;
  let wrong = 0;
  for (let index = 0; index < 16; index++) {
    if (index === 4 || index === 6 || index === 8 || index === 10)
      wrong |= (bytes[at++] ?? 0) ^ 45;
    const high = hexValues[bytes[at] ?? 0] ?? 255;
    const low = hexValues[bytes[at + 1] ?? 0] ?? 255;
    wrong |= (high | low) & 0xf0;
    fixed[16 * row + index] = (high << 4) | low;
    at += 2;
  }
  return wrong === 0;
}
