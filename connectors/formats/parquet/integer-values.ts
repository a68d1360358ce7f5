/** Values of integer columns: int16, int32, date on INT32; int64, uint64, decimal64, time and timestamps on INT64. */
import type { ColumnVector } from "../../../proto/columns.ts";
import { appendIndexes } from "./bit-packing.ts";
import type { Bounds, SortOrder } from "./bounds.ts";
import type { ByteSink } from "../byte-sink.ts";
import { compactWords } from "./compaction.ts";
import { appendDeltaBinary, appendDeltaNarrow } from "./delta-binary.ts";
import { FixedDictionary, TABLE_SPAN_MAX } from "./fixed-dictionary.ts";
import {
  viewWords,
  type PageValues,
  type Scratch,
  type ValueEncoding,
} from "./values.ts";

/** Integers in [-2^52, 2^52], and their differences, are exact as doubles. */
const EXACT_MAX = 2 ** 52;
const TWO_POW_32 = 4294967296;
/** Values that span less are told apart, and subtracted, by their low 32 bits. */
const NARROW_SPAN = 2 ** 31;

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
  /** The values' low 32 bits. */
  protected narrow: Int32Array = new Int32Array(0);
  protected count = 0;
  /** Smallest and largest; beyond 2^53 rounded. */
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

  get dictionaryHeldBytes(): number {
    return this.#dictionary.heldBytes;
  }

  abstract load(vector: ColumnVector, rowCount: number): number;

  abstract computeBounds(): Bounds | null;

  /** The loaded values as doubles, exact in [-2^53, 2^53]. */
  protected abstract fillDoubles(doubles: Float64Array): void;

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
        return this.#appendDelta(sink);
      case "dictionary": {
        const indexes = this.scratch.indexes;
        if (
          !this.#dictionary.findIndexes(
            this.words,
            this.count,
            indexes,
            this.#findMiddle(),
          )
        )
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

  #isExact(): boolean {
    return this.min >= -EXACT_MAX && this.max <= EXACT_MAX;
  }

  /** For the dictionary's table; null where the values are too far apart. */
  #findMiddle(): number | null {
    if (this.max - this.min >= TABLE_SPAN_MAX || !this.#isExact()) return null;
    return Math.floor((this.min + this.max) / 2);
  }

  #appendDelta(sink: ByteSink): boolean {
    if (!this.#isExact()) return false;
    const { count, narrow } = this;
    if (this.max - this.min < NARROW_SPAN) {
      // the low bits of a difference to the smallest are the difference itself
      const first = this.min + ((narrow[0]! - (this.min | 0)) >>> 0);
      appendDeltaNarrow(sink, narrow, count, first);
      return true;
    }
    const doubles = this.scratch.reserveDoubles(count);
    this.fillDoubles(doubles);
    return appendDeltaBinary(sink, doubles, count);
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
    let min = words[0]!;
    let max = min;
    for (let i = 1; i < count; i++) {
      const value = words[i]!;
      if (value < min) min = value;
      if (value > max) max = value;
    }
    this.words = words;
    this.narrow = words;
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

  protected fillDoubles(doubles: Float64Array): void {
    const { words, count } = this;
    for (let i = 0; i < count; i++) doubles[i] = words[i]!;
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
    this.narrow = scratch.narrow;
    this.count = count;
    if (count > 0) this.#measure();
    return count;
  }

  computeBounds(): Bounds {
    if (this.min < -EXACT_MAX || this.max > EXACT_MAX)
      return this.#computeWideBounds();
    return exactBounds(encodeInt64(this.min), encodeInt64(this.max));
  }

  /** Takes the low halves, and finds the bounds among them where all high halves are the same, as they mostly are. */
  #measure(): void {
    const { words, narrow, count } = this;
    const high = words[1]!;
    const middle = count >>> 1;
    if (words[middle * 2 + 1] !== high || words[count * 2 - 1] !== high)
      return this.#measureWide();
    let highBits = 0;
    // with the sign bit flipped, signed numbers sort as the unsigned low halves do
    let min = 2147483647;
    let max = -2147483648;
    for (let i = 0; i < count; i++) {
      const low = words[i * 2]!;
      highBits |= words[i * 2 + 1]! ^ high;
      narrow[i] = low;
      const key = low ^ -2147483648;
      if (key < min) min = key;
      if (key > max) max = key;
    }
    if (highBits !== 0) return this.#measureWide();
    const offset = (this.#isUnsigned ? high >>> 0 : high) * TWO_POW_32;
    this.min = offset + ((min ^ -2147483648) >>> 0);
    this.max = offset + ((max ^ -2147483648) >>> 0);
  }

  #measureWide(): void {
    const { words, narrow, count } = this;
    const bias = this.#isUnsigned ? TWO_POW_32 : 0;
    let min = Infinity;
    let max = -Infinity;
    for (let i = 0; i < count; i++) {
      const high = words[i * 2 + 1]!;
      const low = words[i * 2]!;
      narrow[i] = low;
      const value = (high < 0 ? high + bias : high) * TWO_POW_32 + (low >>> 0);
      if (value < min) min = value;
      if (value > max) max = value;
    }
    this.min = min;
    this.max = max;
  }

  /** Called for values up to 2^52 only, which are the same signed and unsigned. */
  protected fillDoubles(doubles: Float64Array): void {
    const { words, count } = this;
    for (let i = 0; i < count; i++)
      doubles[i] = words[i * 2 + 1]! * TWO_POW_32 + (words[i * 2]! >>> 0);
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
