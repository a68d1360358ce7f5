/**
 * What turns a column's buffer into the values part of pages: one implementation for each shape of value.
 */
import type { ColumnVector } from "../../../proto/columns.ts";
import type { Bounds, SortOrder } from "./bounds.ts";
import type { ByteSink } from "../byte-sink.ts";

/**
 * - `plain`: PLAIN.
 * - `dictionary`: RLE_DICTIONARY.
 * - `delta`: DELTA_BINARY_PACKED for integers, DELTA_LENGTH_BYTE_ARRAY for byte strings.
 */
export type ValueEncoding = "plain" | "dictionary" | "delta";

export interface PageValues {
  /** Encodings worth trying, `plain` always among them. */
  readonly candidates: readonly ValueEncoding[];
  readonly sortOrder: SortOrder;
  /** Entries of the row group's dictionary. */
  readonly dictionaryEntries: number;
  /** Bytes of the dictionary page, before compression. */
  readonly dictionaryBytes: number;
  /** Memory of the dictionary, its tables included. */
  readonly dictionaryHeldBytes: number;
  /** Takes a page's present values; the vector is borrowed until the next `load`. Returns how many there are. */
  load(vector: ColumnVector, rowCount: number): number;
  /**
   * Appends the loaded values (at least one). Returns false when this encoding cannot hold them; `sink` is then as
   * it was, and so is the dictionary.
   */
  encode(encoding: ValueEncoding, sink: ByteSink): boolean;
  /** Bounds of the loaded values, copied; null when there are none to be relied on. Called after `encode`. */
  computeBounds(): Bounds | null;
  /** Appends the dictionary page. */
  appendDictionary(sink: ByteSink): void;
  resetDictionary(): void;
}

/** Buffers shared by all columns of an encoder; they grow to the largest page and stay. */
export class Scratch {
  /** Values without the slots of nulls. */
  words = new Int32Array(0);
  /** Low halves of integers, or lengths. */
  narrow = new Int32Array(0);
  /** Dictionary entries, with seven to spare for padding. */
  indexes = new Int32Array(0);
  /** Offsets without the slots of nulls. */
  offsets = new Int32Array(0);

  #doubles = new Float64Array(0);

  /** Room for `count` integers as doubles: few columns need them. */
  reserveDoubles(count: number): Float64Array {
    if (this.#doubles.length < count) this.#doubles = new Float64Array(count);
    return this.#doubles;
  }

  /** Makes room for a page of `rowCount` rows of `words` 32-bit words each. */
  reserve(rowCount: number, words: number): void {
    if (this.words.length < rowCount * words)
      this.words = new Int32Array(rowCount * words);
    if (this.narrow.length < rowCount) {
      this.narrow = new Int32Array(rowCount);
      this.indexes = new Int32Array(rowCount + 7);
      this.offsets = new Int32Array(rowCount + 1);
    }
  }
}

/** A vector's data as 32-bit words; the layout of `columns.ts` promises the alignment. */
export function viewWords(data: Uint8Array, words: number): Int32Array {
  return new Int32Array(data.buffer, data.byteOffset, words);
}
