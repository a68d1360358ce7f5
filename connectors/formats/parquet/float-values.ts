/** Values of float32 and float64 columns: the bits go through untouched, NaN payloads and -0 included. */
import type { ColumnVector } from "../../../proto/columns.ts";
import { appendIndexes } from "./bit-packing.ts";
import type { Bounds, SortOrder } from "./bounds.ts";
import type { ByteSink } from "../byte-sink.ts";
import { compactWords } from "./compaction.ts";
import { FixedDictionary } from "./fixed-dictionary.ts";
import { exactBounds } from "./integer-values.ts";
import {
  viewWords,
  type PageValues,
  type Scratch,
  type ValueEncoding,
} from "./values.ts";

export class FloatValues implements PageValues {
  readonly candidates: readonly ValueEncoding[] = ["dictionary", "plain"];
  readonly sortOrder: SortOrder;
  readonly #width: 1 | 2;
  readonly #scratch: Scratch;
  readonly #dictionary: FixedDictionary;
  #words: Int32Array = new Int32Array(0);
  #count = 0;

  constructor(isDouble: boolean, scratch: Scratch) {
    this.#width = isDouble ? 2 : 1;
    this.sortOrder = isDouble ? "float64" : "float32";
    this.#scratch = scratch;
    this.#dictionary = new FixedDictionary(this.#width);
  }

  get dictionaryEntries(): number {
    return this.#dictionary.entryCount;
  }

  get dictionaryBytes(): number {
    return this.#dictionary.entryCount * this.#width * 4;
  }

  get dictionaryHeldBytes(): number {
    return this.#dictionary.heldBytes;
  }

  load(vector: ColumnVector, rowCount: number): number {
    const width = this.#width;
    this.#scratch.reserve(rowCount, width);
    this.#words = viewWords(vector.data, rowCount * width);
    this.#count = rowCount;
    if (vector.nullCount > 0) {
      this.#count = compactWords(
        this.#words,
        width,
        vector.validity!,
        rowCount,
        this.#scratch.words,
      );
      this.#words = this.#scratch.words;
    }
    return this.#count;
  }

  encode(encoding: ValueEncoding, sink: ByteSink): boolean {
    if (encoding === "dictionary") {
      const indexes = this.#scratch.indexes;
      if (
        !this.#dictionary.findIndexes(this.#words, this.#count, indexes, null)
      )
        return false;
      appendIndexes(sink, indexes, this.#count, this.#dictionary.entryCount);
      return true;
    }
    const { buffer, byteOffset } = this.#words;
    sink.append(
      new Uint8Array(buffer, byteOffset, this.#count * this.#width * 4),
    );
    return true;
  }

  /**
   * Null as soon as there is one NaN: engines disagree on where it sorts, and bounds without it would let a reader
   * that sorts it last skip rows that it should find.
   */
  computeBounds(): Bounds | null {
    const { buffer, byteOffset } = this.#words;
    const values =
      this.#width === 2
        ? new Float64Array(buffer, byteOffset, this.#count)
        : new Float32Array(buffer, byteOffset, this.#count);
    let min = Infinity;
    let max = -Infinity;
    for (let i = 0; i < values.length; i++) {
      const value = values[i]!;
      if (value < min) min = value;
      if (value > max) max = value;
      if (value !== value) return null;
    }
    // a bound of zero covers both zeros
    if (min === 0) min = -0;
    if (max === 0) max = 0;
    return exactBounds(this.#encodeFloat(min), this.#encodeFloat(max));
  }

  appendDictionary(sink: ByteSink): void {
    this.#dictionary.appendPlain(sink);
  }

  resetDictionary(): void {
    this.#dictionary.reset();
  }

  #encodeFloat(value: number): Uint8Array {
    const array =
      this.#width === 2 ? Float64Array.of(value) : Float32Array.of(value);
    return new Uint8Array(array.buffer);
  }
}
