/** Strings of a JSON text into columns of variable width. */
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
