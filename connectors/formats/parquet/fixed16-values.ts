/** Values of 16 bytes, FIXED_LEN_BYTE_ARRAY(16): UUIDs as they are, decimals turned to big-endian. */
import type { ColumnVector } from "../../../proto/columns.ts";
import { appendIndexes } from "./bit-packing.ts";
import type { Bounds, SortOrder } from "./bounds.ts";
import type { ByteSink } from "../byte-sink.ts";
import { BytesDictionary } from "./bytes-dictionary.ts";
import { compactWords } from "./compaction.ts";
import { exactBounds } from "./integer-values.ts";
import {
  viewWords,
  type PageValues,
  type Scratch,
  type ValueEncoding,
} from "./values.ts";

const WORDS = 4;
const BYTES = 16;

export class Fixed16Values implements PageValues {
  readonly candidates: readonly ValueEncoding[] = ["dictionary", "plain"];
  readonly sortOrder: SortOrder;
  readonly #isDecimal: boolean;
  readonly #scratch: Scratch;
  readonly #dictionary = new BytesDictionary();
  /** The present values as Parquet writes them. */
  #bytes: Uint8Array = new Uint8Array(0);
  #swapped = new Uint8Array(0);
  /** 0, 16, 32 … : offsets for the dictionary. */
  #offsets: Int32Array = new Int32Array(0);
  #count = 0;

  constructor(isDecimal: boolean, scratch: Scratch) {
    this.#isDecimal = isDecimal;
    this.sortOrder = isDecimal ? "signedBytes" : "bytes";
    this.#scratch = scratch;
  }

  get dictionaryEntries(): number {
    return this.#dictionary.entryCount;
  }

  get dictionaryBytes(): number {
    return this.#dictionary.valueBytes;
  }

  get dictionaryHeldBytes(): number {
    return this.#dictionary.heldBytes;
  }

  load(vector: ColumnVector, rowCount: number): number {
    this.#scratch.reserve(rowCount, WORDS);
    let words = viewWords(vector.data, rowCount * WORDS);
    let count = rowCount;
    if (vector.nullCount > 0) {
      count = compactWords(
        words,
        WORDS,
        vector.validity!,
        rowCount,
        this.#scratch.words,
      );
      words = this.#scratch.words;
    }
    this.#count = count;
    this.#bytes = this.#isDecimal
      ? this.#swap(words, count)
      : new Uint8Array(words.buffer, words.byteOffset, count * BYTES);
    return count;
  }

  encode(encoding: ValueEncoding, sink: ByteSink): boolean {
    if (encoding === "dictionary") {
      const indexes = this.#scratch.indexes;
      const offsets = this.#reserveOffsets();
      if (
        !this.#dictionary.findIndexes(
          this.#bytes,
          offsets,
          this.#count,
          indexes,
        )
      )
        return false;
      appendIndexes(sink, indexes, this.#count, this.#dictionary.entryCount);
      return true;
    }
    sink.append(this.#bytes);
    return true;
  }

  computeBounds(): Bounds {
    const bytes = this.#bytes;
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    // flipping the sign bit turns the signed order into the unsigned one
    const flip = this.#isDecimal ? 0x80000000 : 0;
    let minAt = 0;
    let maxAt = 0;
    for (let at = BYTES; at < this.#count * BYTES; at += BYTES) {
      if (isBelow(view, at, minAt, flip)) minAt = at;
      else if (isBelow(view, maxAt, at, flip)) maxAt = at;
    }
    return exactBounds(
      bytes.slice(minAt, minAt + BYTES),
      bytes.slice(maxAt, maxAt + BYTES),
    );
  }

  appendDictionary(sink: ByteSink): void {
    this.#dictionary.appendPlainFixed(sink);
  }

  resetDictionary(): void {
    this.#dictionary.reset();
  }

  #swap(words: Int32Array, count: number): Uint8Array {
    if (this.#swapped.length < count * BYTES)
      this.#swapped = new Uint8Array(count * BYTES);
    const view = new DataView(this.#swapped.buffer);
    for (let i = 0; i < count * WORDS; i += WORDS) {
      view.setInt32(i * 4, words[i + 3]!);
      view.setInt32(i * 4 + 4, words[i + 2]!);
      view.setInt32(i * 4 + 8, words[i + 1]!);
      view.setInt32(i * 4 + 12, words[i]!);
    }
    return this.#swapped.subarray(0, count * BYTES);
  }

  #reserveOffsets(): Int32Array {
    if (this.#offsets.length <= this.#count)
      this.#offsets = Int32Array.from(
        { length: this.#count + 1 },
        (_, i) => i * BYTES,
      );
    return this.#offsets;
  }
}

function isBelow(view: DataView, a: number, b: number, flip: number): boolean {
  const left = (view.getInt32(a) ^ flip) >>> 0;
  const right = (view.getInt32(b) ^ flip) >>> 0;
  if (left !== right) return left < right;
  for (let at = 4; at < BYTES; at += 4) {
    const leftWord = view.getUint32(a + at);
    const rightWord = view.getUint32(b + at);
    if (leftWord !== rightWord) return leftWord < rightWord;
  }
  return false;
}
