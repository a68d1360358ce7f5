/** Values of variable width, BYTE_ARRAY: text, json, binary, and decimals as text. */
import type { ColumnVector } from "../../../proto/columns.ts";
import { appendIndexes } from "./bit-packing.ts";
import { makeByteBounds, type Bounds } from "./bounds.ts";
import { ByteSink } from "../byte-sink.ts";
import { BytesDictionary } from "./bytes-dictionary.ts";
import { appendDeltaNarrow } from "./delta-binary.ts";
import type { PageValues, Scratch, ValueEncoding } from "./values.ts";

/** Up to this length a loop over bytes beats `TypedArray.set`. */
const SHORT_BYTES_MAX = 24;
/** The buffer for values that null slots stand between is given back above this. */
const DENSE_BYTES_KEPT = 8 * 1024 * 1024;

export class ByteArrayValues implements PageValues {
  readonly candidates: readonly ValueEncoding[];
  readonly sortOrder = "bytes";
  readonly #isText: boolean;
  readonly #scratch: Scratch;
  readonly #dictionary = new BytesDictionary();
  /** Which entries the loaded page uses: entry -> the page's mark. */
  #marks = new Int32Array(0);
  #mark = 0;
  #usedDictionary = false;
  #bytes: Uint8Array = new Uint8Array(0);
  #offsets: Int32Array = new Int32Array(0);
  #count = 0;
  readonly #dense = new ByteSink(0);

  constructor(isText: boolean, scratch: Scratch, plainEncodings: boolean) {
    this.#isText = isText;
    this.#scratch = scratch;
    this.candidates = ["dictionary", plainEncodings ? "plain" : "delta"];
  }

  get dictionaryEntries(): number {
    return this.#dictionary.entryCount;
  }

  get dictionaryBytes(): number {
    return this.#dictionary.valueBytes + this.#dictionary.entryCount * 4;
  }

  get dictionaryHeldBytes(): number {
    return this.#dictionary.heldBytes;
  }

  load(vector: ColumnVector, rowCount: number): number {
    this.#scratch.reserve(rowCount, 1);
    this.#bytes = vector.data;
    this.#offsets = vector.offsets!;
    this.#count = rowCount;
    if (vector.nullCount > 0) this.#dropNulls(vector, rowCount);
    return this.#count;
  }

  encode(encoding: ValueEncoding, sink: ByteSink): boolean {
    this.#usedDictionary = false;
    switch (encoding) {
      case "dictionary": {
        const indexes = this.#scratch.indexes;
        if (
          !this.#dictionary.findIndexes(
            this.#bytes,
            this.#offsets,
            this.#count,
            indexes,
          )
        )
          return false;
        this.#usedDictionary = true;
        appendIndexes(sink, indexes, this.#count, this.#dictionary.entryCount);
        return true;
      }
      case "delta":
        this.#appendDeltaLength(sink);
        return true;
      case "plain":
        this.#appendPlain(sink);
        return true;
    }
  }

  computeBounds(): Bounds | null {
    return this.#usedDictionary
      ? this.#computeDictionaryBounds()
      : this.#computeBounds();
  }

  appendDictionary(sink: ByteSink): void {
    this.#dictionary.appendPlainByteArray(sink);
  }

  resetDictionary(): void {
    this.#dictionary.reset();
  }

  /** Leaves the offsets of present values; a null's slot is empty as a rule, and its bytes are cut out where not. */
  #dropNulls(vector: ColumnVector, rowCount: number): void {
    const source = vector.offsets!;
    const validity = vector.validity!;
    const offsets = this.#scratch.offsets;
    let count = 0;
    let nullBytes = 0;
    offsets[0] = source[0]!;
    for (let row = 0; row < rowCount; row++) {
      if ((validity[row >>> 3]! & (1 << (row & 7))) !== 0)
        offsets[++count] = source[row + 1]!;
      else nullBytes += source[row + 1]! - source[row]!;
    }
    this.#offsets = offsets;
    this.#count = count;
    if (nullBytes > 0) this.#cutNullBytes(vector, rowCount);
  }

  #cutNullBytes(vector: ColumnVector, rowCount: number): void {
    const source = vector.offsets!;
    const offsets = this.#scratch.offsets;
    const dense = this.#dense;
    dense.shrink(DENSE_BYTES_KEPT);
    let count = 0;
    offsets[0] = 0;
    for (let row = 0; row < rowCount; row++) {
      if ((vector.validity![row >>> 3]! & (1 << (row & 7))) === 0) continue;
      dense.append(vector.data.subarray(source[row], source[row + 1]));
      offsets[++count] = dense.length;
    }
    this.#bytes = dense.bytes;
  }

  #appendDeltaLength(sink: ByteSink): void {
    const lengths = this.#scratch.narrow;
    const offsets = this.#offsets;
    const count = this.#count;
    let start = offsets[0]!;
    for (let i = 0; i < count; i++) {
      const end = offsets[i + 1]!;
      lengths[i] = end - start;
      start = end;
    }
    appendDeltaNarrow(sink, lengths, count, lengths[0]!);
    sink.append(this.#bytes.subarray(offsets[0], offsets[count]));
  }

  #appendPlain(sink: ByteSink): void {
    const offsets = this.#offsets;
    const source = this.#bytes;
    const count = this.#count;
    sink.reserve(offsets[count]! - offsets[0]! + count * 4);
    const { bytes, view } = sink;
    let at = sink.length;
    for (let i = 0; i < count; i++) {
      const start = offsets[i]!;
      const end = offsets[i + 1]!;
      view.setInt32(at, end - start, true);
      at += 4;
      if (end - start <= SHORT_BYTES_MAX) {
        for (let from = start; from < end; from++) bytes[at++] = source[from]!;
      } else {
        bytes.set(source.subarray(start, end), at);
        at += end - start;
      }
    }
    sink.length = at;
  }

  #computeBounds(): Bounds | null {
    const offsets = this.#offsets;
    const bytes = this.#bytes;
    let min = 0;
    let max = 0;
    let minHead = readHead(bytes, offsets[0]!, offsets[1]!);
    let maxHead = minHead;
    for (let i = 1; i < this.#count; i++) {
      const start = offsets[i]!;
      const head = readHead(bytes, start, offsets[i + 1]!);
      if (head > minHead && head < maxHead) continue;
      if (head < minHead || (head === minHead && this.#isBelow(i, min))) {
        min = i;
        minHead = head;
      }
      if (head > maxHead || (head === maxHead && this.#isBelow(max, i))) {
        max = i;
        maxHead = head;
      }
    }
    return makeByteBounds(
      bytes.subarray(offsets[min], offsets[min + 1]),
      bytes.subarray(offsets[max], offsets[max + 1]),
      this.#isText,
    );
  }

  #isBelow(a: number, b: number): boolean {
    const bytes = this.#bytes;
    const offsets = this.#offsets;
    const endA = offsets[a + 1]!;
    const endB = offsets[b + 1]!;
    let atA = offsets[a]!;
    let atB = offsets[b]!;
    for (; atA < endA && atB < endB; atA++, atB++) {
      if (bytes[atA] !== bytes[atB]) return bytes[atA]! < bytes[atB]!;
    }
    return atA === endA && atB < endB;
  }

  /** The bounds among the entries that the page uses: far fewer than its rows. */
  #computeDictionaryBounds(): Bounds | null {
    const entryCount = this.#dictionary.entryCount;
    if (this.#marks.length < entryCount)
      this.#marks = new Int32Array(entryCount * 2);
    const marks = this.#marks;
    const indexes = this.#scratch.indexes;
    const mark = ++this.#mark;
    for (let i = 0; i < this.#count; i++) marks[indexes[i]!] = mark;
    let min: Uint8Array | null = null;
    let max: Uint8Array | null = null;
    for (let entry = 0; entry < entryCount; entry++) {
      if (marks[entry] !== mark) continue;
      const value = this.#dictionary.values.subarray(
        this.#dictionary.start(entry),
        this.#dictionary.start(entry + 1),
      );
      if (min === null || Buffer.compare(value, min) < 0) min = value;
      if (max === null || Buffer.compare(value, max) > 0) max = value;
    }
    return makeByteBounds(min!, max!, this.#isText);
  }
}

/** The first four bytes as an unsigned number that sorts as they do; a shorter value is filled up with zeros. */
function readHead(bytes: Uint8Array, start: number, end: number): number {
  if (end - start >= 4)
    return (
      ((bytes[start]! << 24) |
        (bytes[start + 1]! << 16) |
        (bytes[start + 2]! << 8) |
        bytes[start + 3]!) >>>
      0
    );
  let head = 0;
  for (let i = 0; i < 4; i++)
    head = head * 256 + (start + i < end ? bytes[start + i]! : 0);
  return head;
}
