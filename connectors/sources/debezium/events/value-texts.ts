/** Values that are written in another form than the event has them: texts, UUIDs and geometries. */
import { growValues, type ColumnStore } from "../../batches/batch-set.ts";
import { copyString, writeBase64 } from "../../batches/json-values.ts";
import type { ChangeColumn } from "./columns.ts";
import { formatDouble, readSmallInteger } from "../../../json/numbers.ts";
import { writeArray, writeVector } from "./pg-text.ts";
import { token, TOKEN_WORDS } from "../../../json/tape.ts";
import { formatInterval } from "../../../json/times.ts";
import { misfit, readToken } from "./value-context.ts";

/** `{"wkb": base64, "srid": …}`, of a point with its coordinates besides. */
export function writeGeometry(
  column: ChangeColumn,
  store: ColumnStore,
  bytes: Uint8Array,
  words: Int32Array,
  at: number,
): void {
  if (words[at] === token.object) {
    const behind = words[at + 3] ?? 0;
    for (let name = at + TOKEN_WORDS; name < behind;) {
      const value = name + TOKEN_WORDS;
      if (
        readToken(bytes, words, name) === "wkb" &&
        words[value] === token.text
      ) {
        if (
          writeBase64(
            store,
            bytes,
            words[value + 1] ?? 0,
            words[value + 2] ?? 0,
          )
        )
          return;
      }
      name = words[value + 3] ?? behind;
    }
  }
  throw misfit(column, bytes, words, at);
}

/** µs as the server prints them, `-838:59:59.000000`, with the column's digits of a second. */
export function writeDuration(
  column: ChangeColumn,
  store: ColumnStore,
  bytes: Uint8Array,
  words: Int32Array,
  at: number,
): void {
  const us =
    words[at] === token.integer
      ? readSmallInteger(bytes, words[at + 1] ?? 0, words[at + 2] ?? 0)
      : NaN;
  if (!(Math.abs(us) < 3_600_000_000 * 839))
    throw misfit(column, bytes, words, at);
  const whole = Math.floor(Math.abs(us) / 1_000_000);
  const two = (value: number): string => String(value).padStart(2, "0");
  const fraction = String(Math.abs(us) % 1_000_000)
    .padStart(6, "0")
    .slice(0, column.scale);
  const clock = `${us < 0 ? "-" : ""}${two(Math.floor(whole / 3_600))}:${two(Math.floor(whole / 60) % 60)}:${two(whole % 60)}`;
  writeAscii(store, column.scale > 0 ? `${clock}.${fraction}` : clock);
}

/** What is written from a text in another form. */
export function writeFromText(
  column: ChangeColumn,
  store: ColumnStore,
  bytes: Uint8Array,
  words: Int32Array,
  at: number,
): void {
  const kind = words[at] ?? 0;
  if (kind !== token.text && kind !== token.escapedText)
    throw misfit(column, bytes, words, at);
  const text = readToken(bytes, words, at);
  if (column.kind === "array" || column.kind === "vector") {
    const before = store.end;
    const write = column.kind === "array" ? writeArray : writeVector;
    if (write(store, Buffer.from(text), column.element)) return;
    store.end = before;
    throw misfit(column, bytes, words, at);
  }
  if (column.kind === "interval") {
    const interval = formatInterval(text);
    if (interval === null) throw misfit(column, bytes, words, at);
    return writeAscii(store, interval);
  }
  if (column.kind === "geometric") {
    return writeAscii(
      store,
      text.replace(/-?(?:\d[\d.]*(?:E-?\d+)?|Infinity)/g, (number) =>
        formatDouble(Number(number)),
      ),
    );
  }
  // MySQL writes a blank behind each comma and colon, and Debezium none
  const spaced = Buffer.from(
    text.replace(/("(?:[^"\\]|\\.)*")|[,:]/gs, (part, string) =>
      string === undefined ? `${part} ` : part,
    ),
  );
  copyString(store, spaced, token.text, 0, spaced.length);
}

function writeAscii(store: ColumnStore, text: string): void {
  const values = growValues(store, text.length);
  for (let i = 0; i < text.length; i++)
    values[store.end++] = text.charCodeAt(i);
}
