/** Values of integer columns: int16, int32, date on INT32; int64, uint64, decimal64, time and timestamps on INT64. */
import type { ColumnVector } from "../../../proto/columns.ts";
import { appendIndexes } from "./bit-packing.ts";
import type { Bounds, SortOrder } from "./bounds.ts";
import type { ByteSink } from "../byte-sink.ts";
import { compactWords } from "./compaction.ts";
import { appendDeltaBinary } from "./delta-binary.ts";
import { FixedDictionary } from "./fixed-dictionary.ts";
import {
  viewWords,
  type PageValues,
  type Scratch,
  type ValueEncoding,
} from "./values.ts";

/** Integers in [-2^52, 2^52], and their differences, are exact as doubles. */
const EXACT_MAX = 2 ** 52;
const TWO_POW_32 = 4294967296;

const plainCandidates: readonly ValueEncoding[] = ["dictionary", "plain"];
const allCandidates: readonly ValueEncoding[] = [
  "delta",
  "dictionary",
  "plain",
];

abstract class IntegerValues implements PageValues {
  readonly candidates: readonly ValueEncoding[];
  abstract readonly sortOrder: SortOrder;
  protected readonly scratch: Scratch;
  protected words: Int32Array = new Int32Array(0);
  protected count = 0;
  protected min = 0;
  protected max = 0;
  readonly #width: 1 | 2;
  readonly #dictionary: FixedDictionary;

  constructor(width: 1 | 2, scratch: Scratch, plainEncodings: boolean) {
    this.#width = width;
    this.scratch = scratch;
    this.#dictionary = new FixedDictionary(width);
    this.candidates = plainEncodings ? plainCandidates : allCandidates;
  }

  get dictionaryEntries(): number {
    return this.#dictionary.entryCount;
  }

  get dictionaryBytes(): number {
    return this.#dictionary.entryCount * this.#width * 4;
  }

  abstract load(vector: ColumnVector, rowCount: number): number;

  abstract computeBounds(): Bounds | null;

  encode(encoding: ValueEncoding, sink: ByteSink): boolean {
    switch (encoding) {
      case "plain":
        sink.append(
          new Uint8Array(
            this.words.buffer,
            this.words.byteOffset,
            this.count * this.#width * 4,
          ),
        );
        return true;
      case "delta":
        return (
          this.min >= -EXACT_MAX &&
          this.max <= EXACT_MAX &&
          appendDeltaBinary(sink, this.scratch.doubles, this.count)
        );
      case "dictionary": {
        const indexes = this.scratch.indexes;
        if (!this.#dictionary.findIndexes(this.words, this.count, indexes))
          return false;
        appendIndexes(sink, indexes, this.count, this.#dictionary.entryCount);
        return true;
      }
    }
  }

  appendDictionary(sink: ByteSink): void {
    this.#dictionary.appendPlain(sink);
  }

  resetDictionary(): void {
    this.#dictionary.reset();
  }
}

export class Int32Values extends IntegerValues {
  readonly sortOrder = "int32";
  readonly #isInt16: boolean;
  #widened = new Int32Array(0);

  constructor(isInt16: boolean, scratch: Scratch, plainEncodings: boolean) {
    super(1, scratch, plainEncodings);
    this.#isInt16 = isInt16;
  }

  load(vector: ColumnVector, rowCount: number): number {
    const scratch = this.scratch;
    scratch.reserve(rowCount, 1);
    let words = this.#isInt16
      ? this.#widen(vector.data, rowCount)
      : viewWords(vector.data, rowCount);
    let count = rowCount;
    if (vector.nullCount > 0) {
      count = compactWords(words, 1, vector.validity!, rowCount, scratch.words);
      words = scratch.words;
    }
    const doubles = scratch.doubles;
    let min = words[0]!;
    let max = min;
    for (let i = 0; i < count; i++) {
      const value = words[i]!;
      doubles[i] = value;
      if (value < min) min = value;
      if (value > max) max = value;
    }
    this.words = words;
    this.count = count;
    this.min = min;
    this.max = max;
    return count;
  }

  computeBounds(): Bounds {
    return exactBounds(
      new Uint8Array(Int32Array.of(this.min).buffer),
      new Uint8Array(Int32Array.of(this.max).buffer),
    );
  }

  #widen(data: Uint8Array, rowCount: number): Int32Array {
    if (this.#widened.length < rowCount)
      this.#widened = new Int32Array(rowCount);
    const source = new Int16Array(data.buffer, data.byteOffset, rowCount);
    const widened = this.#widened;
    for (let row = 0; row < rowCount; row++) widened[row] = source[row]!;
    return widened;
  }
}

export class Int64Values extends IntegerValues {
  readonly sortOrder: SortOrder;
  readonly #isUnsigned: boolean;

  constructor(isUnsigned: boolean, scratch: Scratch, plainEncodings: boolean) {
    super(2, scratch, plainEncodings);
    this.#isUnsigned = isUnsigned;
    this.sortOrder = isUnsigned ? "uint64" : "int64";
  }

  load(vector: ColumnVector, rowCount: number): number {
    const scratch = this.scratch;
    scratch.reserve(rowCount, 2);
    let words = viewWords(vector.data, rowCount * 2);
    let count = rowCount;
    if (vector.nullCount > 0) {
      count = compactWords(words, 2, vector.validity!, rowCount, scratch.words);
      words = scratch.words;
    }
    this.words = words;
    this.count = count;
    if (this.#isUnsigned) this.#loadUnsigned();
    else this.#loadSigned();
    return count;
  }

  computeBounds(): Bounds {
    if (this.min < -EXACT_MAX || this.max > EXACT_MAX)
      return this.#computeWideBounds();
    return exactBounds(encodeInt64(this.min), encodeInt64(this.max));
  }

  #loadSigned(): void {
    const { words, count } = this;
    const doubles = this.scratch.doubles;
    let min = Infinity;
    let max = -Infinity;
    for (let i = 0; i < count; i++) {
      const value = words[i * 2 + 1]! * TWO_POW_32 + (words[i * 2]! >>> 0);
      doubles[i] = value;
      if (value < min) min = value;
      if (value > max) max = value;
    }
    this.min = min;
    this.max = max;
  }

  #loadUnsigned(): void {
    const { words, count } = this;
    const doubles = this.scratch.doubles;
    let min = Infinity;
    let max = -Infinity;
    for (let i = 0; i < count; i++) {
      const value =
        (words[i * 2 + 1]! >>> 0) * TWO_POW_32 + (words[i * 2]! >>> 0);
      doubles[i] = value;
      if (value < min) min = value;
      if (value > max) max = value;
    }
    this.min = min;
    this.max = max;
  }

  /** Compares the halves: as doubles these values are rounded. */
  #computeWideBounds(): Bounds {
    const { words, count } = this;
    // flipping the sign bit turns the signed order into the unsigned one
    const flip = this.#isUnsigned ? 0 : 0x80000000;
    let minAt = 0;
    let maxAt = 0;
    let minHigh = (words[1]! ^ flip) >>> 0;
    let maxHigh = minHigh;
    for (let i = 1; i < count; i++) {
      const low = words[i * 2]! >>> 0;
      const high = (words[i * 2 + 1]! ^ flip) >>> 0;
      if (
        high < minHigh ||
        (high === minHigh && low < words[minAt * 2]! >>> 0)
      ) {
        minAt = i;
        minHigh = high;
      }
      if (
        high > maxHigh ||
        (high === maxHigh && low > words[maxAt * 2]! >>> 0)
      ) {
        maxAt = i;
        maxHigh = high;
      }
    }
    return exactBounds(copyWords(words, minAt, 2), copyWords(words, maxAt, 2));
  }
}

export function exactBounds(min: Uint8Array, max: Uint8Array): Bounds {
  return { min, max, minExact: true, maxExact: true };
}

/** The bytes of the value at `index`, each value being `width` words. */
function copyWords(
  words: Int32Array,
  index: number,
  width: number,
): Uint8Array {
  return new Uint8Array(words.slice(index * width, (index + 1) * width).buffer);
}

function encodeInt64(value: number): Uint8Array {
  return new Uint8Array(BigInt64Array.of(BigInt(value)).buffer);
}
