/**
 * The text of a Postgres array as the JSON that the server's `to_json` makes of it.
 * @see Postgres manual, "Arrays", section "Array Input and Output Syntax"; source, datum_to_json in
 * src/backend/utils/adt/json.c
 */
import { growValues, type ColumnStore } from "../../batches/batch-set.ts";
import type { ElementKind } from "./types.ts";

/** Braces inside of each other. @see MAXDIM in src/include/utils/array.h */
const DIMENSIONS_MAX = 6;
/** What one byte of an element can become: `\u001f`. */
const ESCAPED_BYTES_MAX = 6;
/** Bytes that an element can get besides: quotes, and the minutes of an offset. */
const ELEMENT_BYTES_EXTRA = 8;

/** Writes the array `text` behind the column's last value, without ending the value; returns whether it is one. */
export function writeArray(
  store: ColumnStore,
  text: Uint8Array,
  kind: ElementKind,
): boolean {
  const start = skipBounds(text);
  const out = new JsonOut(store, text.length);
  let depth = 0;
  let needsElement = false;
  let p = start;
  for (; p < text.length;) {
    const byte = text[p] ?? 0;
    if (byte === 123) {
      if (++depth > DIMENSIONS_MAX) return false;
      out.put(91);
      p++;
      needsElement = text[p] !== 125;
    } else if (byte === 125) {
      if (--depth < 0 || needsElement) return false;
      out.put(93);
      p++;
      if (depth === 0) break;
      needsElement = false;
    } else if (byte === 44) {
      if (needsElement || depth === 0) return false;
      out.put(44);
      p++;
      needsElement = true;
    } else {
      if (!needsElement || depth === 0) return false;
      p = byte === 34 ? readQuoted(text, p, out) : readBare(text, p, out);
      if (p < 0) return false;
      out.endElement(kind, byte === 34);
      needsElement = false;
    }
  }
  out.flush();
  return depth === 0 && p === text.length && start < p;
}

/** Writes numbers that are separated by blanks as a JSON array. */
export function writeVector(
  store: ColumnStore,
  text: Uint8Array,
  kind: ElementKind,
): boolean {
  const out = new JsonOut(store, text.length);
  out.put(91);
  let isFirst = true;
  for (let p = 0; p < text.length; p++) {
    const first = p;
    for (; p < text.length && text[p] !== 32; p++) out.take(text[p] ?? 0);
    if (p === first) return false;
    if (!isFirst) out.put(44);
    isFirst = false;
    out.endElement(kind, false);
  }
  out.put(93);
  out.flush();
  return true;
}

/** `[0:1][-2:3]=` in front of an array whose bounds are not the usual ones; `to_json` leaves them out. */
function skipBounds(text: Uint8Array): number {
  if (text[0] !== 91) return 0;
  const equals = text.indexOf(61);
  return equals < 0 ? text.length : equals + 1;
}

function readQuoted(text: Uint8Array, quote: number, out: JsonOut): number {
  for (let p = quote + 1; p < text.length; p++) {
    let byte = text[p] ?? 0;
    if (byte === 34) return p + 1;
    if (byte === 92) byte = text[++p] ?? 0;
    out.take(byte);
  }
  return -1;
}

function readBare(text: Uint8Array, start: number, out: JsonOut): number {
  let p = start;
  for (; p < text.length; p++) {
    const byte = text[p] ?? 0;
    if (byte === 44 || byte === 125) break;
    if (byte === 123 || byte === 34) return -1;
    out.take(byte === 92 ? (text[++p] ?? 0) : byte);
  }
  return p;
}

const nullBytes = Buffer.from("null");

/** JSON behind a column's last value. An element is collected first, since its text decides how it is written. */
class JsonOut {
  readonly #store: ColumnStore;
  readonly #element: Buffer;
  #length = 0;
  #at: number;

  constructor(store: ColumnStore, textBytes: number) {
    this.#store = store;
    this.#element = Buffer.allocUnsafe(textBytes);
    this.#at = store.end;
  }

  put(byte: number): void {
    this.#reserve(1)[this.#at++] = byte;
  }

  take(byte: number): void {
    this.#element[this.#length++] = byte;
  }

  flush(): void {
    this.#store.end = this.#at;
  }

  endElement(kind: ElementKind, wasQuoted: boolean): void {
    const bytes = this.#element.subarray(0, this.#length);
    this.#length = 0;
    if (
      !wasQuoted &&
      bytes.length === 4 &&
      bytes.toString("latin1").toLowerCase() === "null"
    ) {
      return this.#copy(nullBytes);
    }
    switch (kind) {
      case "json":
        return this.#copy(bytes);
      case "boolean":
        return this.#copy(Buffer.from(bytes[0] === 116 ? "true" : "false"));
      case "number":
        return isJsonNumber(bytes) ? this.#copy(bytes) : this.#quote(bytes);
      case "timestamp":
      case "timestamptz":
        return this.#quote(Buffer.from(formatMoment(bytes.toString("latin1"))));
      case "text":
        return this.#quote(bytes);
    }
  }

  #copy(bytes: Buffer): void {
    this.#reserve(bytes.length).set(bytes, this.#at);
    this.#at += bytes.length;
  }

  #quote(bytes: Buffer): void {
    const values = this.#reserve(
      bytes.length * ESCAPED_BYTES_MAX + ELEMENT_BYTES_EXTRA,
    );
    let at = this.#at;
    values[at++] = 34;
    for (const byte of bytes) {
      const letter = shortEscapes[byte] ?? 0;
      if (letter > 0) {
        values[at++] = 92;
        values[at++] = letter;
      } else if (byte < 32) {
        at += Buffer.from(
          values.buffer,
          values.byteOffset,
          values.byteLength,
        ).write(`\\u${byte.toString(16).padStart(4, "0")}`, at, "latin1");
      } else values[at++] = byte;
    }
    values[at++] = 34;
    this.#at = at;
  }

  #reserve(byteCount: number): Uint8Array {
    this.#store.end = this.#at;
    return growValues(this.#store, byteCount);
  }
}

/** Letters behind a backslash, by the byte that they stand for. */
const shortEscapes = new Uint8Array(256);
for (const [byte, letter] of [
  [8, "b"],
  [9, "t"],
  [10, "n"],
  [12, "f"],
  [13, "r"],
  [34, '"'],
  [92, "\\"],
] as const) {
  shortEscapes[byte] = letter.charCodeAt(0);
}

function isJsonNumber(bytes: Buffer): boolean {
  return /^-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?$/.test(
    bytes.toString("latin1"),
  );
}

/** `2020-01-01 00:00:00+00 BC` as ISO 8601 with a T and the minutes of the offset; `infinity` as it is. */
function formatMoment(text: string): string {
  return text.replace(" ", "T").replace(/([+-]\d\d)(?= BC$|$)/, "$1:00");
}
