/** The rows themselves: every value follows from its row's number and column, so that any range can be made again. */
import {
  growValues,
  type BatchSet,
  type ColumnStore,
} from "../batches/batch-set.ts";
import type { GeneratedColumn } from "./url.ts";

/** Parts of made-up words; two or three of them are a word of 4 to 9 letters. */
const syllables = [
  ...["ka", "li", "mo", "ne", "ra", "su", "ti", "vo"],
  ...["bel", "dor", "fin", "gar", "hel", "jun", "mar", "wes"],
].map((text) => Buffer.from(text));
const WORD_BYTES_MAX = 9;
/** Timestamps go up by a second a row, from 2020-01-01T00:00:00Z. */
const FIRST_SECOND = 1_577_836_800;
const TWO_POW_32 = 4_294_967_296;

/** An even spread of 32 bits over (row, column). @see Knuth, "The Art of Computer Programming", 6.4: multiplicative hashing */
function scatter(row: number, column: number): number {
  let bits = Math.imul(row, 0x9e3779b1) ^ Math.imul(column + 1, 0x85ebca6b);
  bits = Math.imul(bits ^ (bits >>> 15), 0x2c1b3c6d);
  return (bits ^ (bits >>> 12)) >>> 0;
}

/** Adds the rows with these numbers, `first` and `count` behind it; the set has room for them. */
export function fillRows(
  set: BatchSet,
  columns: readonly GeneratedColumn[],
  first: number,
  count: number,
): void {
  for (const [i, { type, place }] of columns.entries()) {
    const store = set.columns[i];
    if (store) fillColumn(store, type, place, set.rowCount, first, count);
  }
  set.rowCount += count;
}

function fillColumn(
  store: ColumnStore,
  type: GeneratedColumn["type"],
  column: number,
  at: number,
  first: number,
  count: number,
): void {
  const { words, fixed } = store;
  switch (type) {
    case "int":
      for (let i = 0; i < count; i++)
        words[at + i] =
          column === 0 ? first + i : scatter(first + i, column) | 0;
      return;
    case "long":
      for (let i = 0; i < count; i++) {
        const key = column === 0;
        words[2 * (at + i)] = key ? first + i : scatter(first + i, column);
        words[2 * (at + i) + 1] = key ? 0 : scatter(first + i, ~column);
      }
      return;
    case "timestamp":
      for (let i = 0; i < count; i++) {
        const us = (FIRST_SECOND + first + i) * 1e6;
        words[2 * (at + i)] = (us % TWO_POW_32) | 0;
        words[2 * (at + i) + 1] = Math.floor(us / TWO_POW_32);
      }
      return;
    case "float": {
      const values = new Float64Array(fixed.buffer, fixed.byteOffset);
      for (let i = 0; i < count; i++)
        values[at + i] = scatter(first + i, column) / TWO_POW_32;
      return;
    }
    case "boolean":
      for (let i = 0; i < count; i++)
        if (scatter(first + i, column) & 1)
          fixed[(at + i) >> 3] =
            (fixed[(at + i) >> 3] ?? 0) | (1 << ((at + i) & 7));
      return;
    case "string":
      fillWords(store, column, at, first, count);
  }
}

function fillWords(
  store: ColumnStore,
  column: number,
  at: number,
  first: number,
  count: number,
): void {
  const { offsets } = store;
  const values = growValues(store, count * WORD_BYTES_MAX);
  let end = store.end;
  for (let i = 0; i < count; i++) {
    const bits = scatter(first + i, column);
    const parts = 2 + (bits & 1);
    for (let part = 0; part < parts; part++) {
      const syllable = syllables[(bits >>> (1 + 4 * part)) & 15];
      if (!syllable) continue;
      for (let k = 0; k < syllable.length; k++)
        values[end++] = syllable[k] ?? 0;
    }
    if (offsets) offsets[at + i + 1] = end;
  }
  store.end = end;
}
