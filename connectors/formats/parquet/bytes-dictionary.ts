/** A dictionary of byte strings, open addressing over a hash of their bytes. */
import { ByteSink } from "../byte-sink.ts";
import { DICTIONARY_ENTRIES_MAX } from "./fixed-dictionary.ts";

/** Bytes of all entries beyond which the dictionary is given up: the dictionary page is held until the row group ends. */
const DICTIONARY_BYTES_MAX = 1024 * 1024;

const SLOTS_FIRST = 1024;
const RECENT_LENGTH = 4096;

export class BytesDictionary {
  /** Entry + 1, or 0 for a free slot; the length is a power of two, at most half full. */
  #slots = new Int32Array(SLOTS_FIRST);
  #hashes = new Int32Array(SLOTS_FIRST / 2);
  /** Entry i lies in `values` from `#starts[i]` to `#starts[i + 1]`. */
  #starts = new Int32Array(SLOTS_FIRST / 2 + 1);
  readonly #values = new ByteSink(4096);
  /** Entry + 1 of the value that is this one byte, or 0: spares short codes the hashing. */
  readonly #singleBytes = new Int32Array(256);
  /** By a sketch of the value: the entry + 1 found last in this page, or 0. 15 ns instead of 23 for 25 bytes. */
  readonly #recent = new Uint16Array(RECENT_LENGTH);
  #entryCount = 0;

  get entryCount(): number {
    return this.#entryCount;
  }

  /** Bytes of all entries. */
  get valueBytes(): number {
    return this.#values.length;
  }

  get heldBytes(): number {
    return (
      this.#slots.byteLength +
      this.#hashes.byteLength +
      this.#starts.byteLength +
      this.#values.bytes.byteLength +
      this.#singleBytes.byteLength +
      this.#recent.byteLength
    );
  }

  /** All entries' bytes, one behind the other. */
  get values(): Uint8Array {
    return this.#values.bytes;
  }

  start(entry: number): number {
    return this.#starts[entry]!;
  }

  reset(): void {
    if (this.#entryCount > 0) this.truncate(0);
  }

  truncate(entryCount: number): void {
    this.#entryCount = entryCount;
    this.#values.length = this.#starts[entryCount]!;
    this.#rehash(this.#slots.length);
  }

  /**
   * Writes the entry of each value, `bytes[offsets[i] … offsets[i + 1])`, to `out`.
   * Returns false, with the dictionary as before, when it would grow too large.
   */
  findIndexes(
    bytes: Uint8Array,
    offsets: Int32Array,
    count: number,
    out: Int32Array,
  ): boolean {
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    const before = this.#entryCount;
    const singleBytes = this.#singleBytes;
    const recent = this.#recent;
    recent.fill(0);
    let start = offsets[0]!;
    for (let i = 0; i < count; i++) {
      const end = offsets[i + 1]!;
      const length = end - start;
      let entry = 0;
      if (length >= 4) {
        const at = sketchBytes(view, start, end);
        entry = recent[at]!;
        if (entry === 0 || !this.#isLongEntry(entry - 1, view, start, end)) {
          entry = this.#findEntry(view, start, end);
          recent[at] = entry;
        }
      } else {
        if (length === 1) entry = singleBytes[bytes[start]!]!;
        if (entry === 0) entry = this.#findEntry(view, start, end);
      }
      if (entry === 0) {
        this.truncate(before);
        return false;
      }
      out[i] = entry - 1;
      start = end;
    }
    return true;
  }

  /** The entries as BYTE_ARRAY: each length in four bytes, then the bytes. */
  appendPlainByteArray(sink: ByteSink): void {
    sink.reserve(this.#values.length + this.#entryCount * 4);
    for (let entry = 0; entry < this.#entryCount; entry++) {
      const start = this.#starts[entry]!;
      const end = this.#starts[entry + 1]!;
      sink.view.setInt32(sink.length, end - start, true);
      sink.length += 4;
      sink.append(this.#values.bytes.subarray(start, end));
    }
  }

  /** The entries as FIXED_LEN_BYTE_ARRAY: the bytes alone. */
  appendPlainFixed(sink: ByteSink): void {
    sink.append(this.#values.written());
  }

  #findEntry(view: DataView, start: number, end: number): number {
    const hash = hashBytes(view, start, end);
    const mask = this.#slots.length - 1;
    let slot = hash & mask;
    let entry = this.#slots[slot]!;
    while (entry !== 0) {
      if (
        this.#hashes[entry - 1] === hash &&
        this.#isEntry(entry - 1, view, start, end)
      )
        return entry;
      slot = (slot + 1) & mask;
      entry = this.#slots[slot]!;
    }
    return this.#addEntry(slot, hash, view, start, end);
  }

  #isEntry(entry: number, view: DataView, start: number, end: number): boolean {
    if (end - start >= 4) return this.#isLongEntry(entry, view, start, end);
    let at = this.#starts[entry]!;
    if (this.#starts[entry + 1]! - at !== end - start) return false;
    const values = this.#values.view;
    for (let from = start; from < end; from++, at++) {
      if (values.getUint8(at) !== view.getUint8(from)) return false;
    }
    return true;
  }

  /** The same for four bytes and more: the last four overlap the ones before. */
  #isLongEntry(
    entry: number,
    view: DataView,
    start: number,
    end: number,
  ): boolean {
    const entryStart = this.#starts[entry]!;
    const entryEnd = this.#starts[entry + 1]!;
    if (entryEnd - entryStart !== end - start) return false;
    const values = this.#values.view;
    const last = end - 4;
    let difference =
      values.getInt32(entryEnd - 4, true) ^ view.getInt32(last, true);
    let at = entryStart;
    for (let from = start; from < last; from += 4, at += 4) {
      if (difference !== 0) return false;
      difference = values.getInt32(at, true) ^ view.getInt32(from, true);
    }
    return difference === 0;
  }

  /** Returns entry + 1, or 0 when there is no more room. */
  #addEntry(
    slot: number,
    hash: number,
    view: DataView,
    start: number,
    end: number,
  ): number {
    if (
      this.#entryCount === DICTIONARY_ENTRIES_MAX ||
      this.#values.length + end - start > DICTIONARY_BYTES_MAX
    )
      return 0;
    this.#values.append(
      new Uint8Array(view.buffer, view.byteOffset + start, end - start),
    );
    this.#hashes[this.#entryCount] = hash;
    const entry = ++this.#entryCount;
    this.#starts[entry] = this.#values.length;
    this.#slots[slot] = entry;
    if (end - start === 1) this.#singleBytes[view.getUint8(start)] = entry;
    if (entry * 2 >= this.#slots.length) this.#rehash(this.#slots.length * 2);
    return entry;
  }

  #rehash(slotCount: number): void {
    if (slotCount !== this.#slots.length) {
      this.#slots = new Int32Array(slotCount);
      const hashes = new Int32Array(slotCount / 2);
      hashes.set(this.#hashes);
      this.#hashes = hashes;
      const starts = new Int32Array(slotCount / 2 + 1);
      starts.set(this.#starts);
      this.#starts = starts;
    } else {
      this.#slots.fill(0);
    }
    this.#singleBytes.fill(0);
    const mask = slotCount - 1;
    for (let entry = 0; entry < this.#entryCount; entry++) {
      let slot = this.#hashes[entry]! & mask;
      while (this.#slots[slot] !== 0) slot = (slot + 1) & mask;
      this.#slots[slot] = entry + 1;
      const start = this.#starts[entry]!;
      if (this.#starts[entry + 1]! - start === 1)
        this.#singleBytes[this.#values.bytes[start]!] = entry + 1;
    }
  }
}

/** Where `#recent` looks for a value of four bytes or more: by its length, beginning, middle and end. */
function sketchBytes(view: DataView, start: number, end: number): number {
  const length = end - start;
  const middle = start + ((length - 4) >>> 1);
  const mixed =
    view.getInt32(start, true) ^
    Math.imul(view.getInt32(middle, true), 0x27d4eb2f) ^
    Math.imul(view.getInt32(end - 4, true), 0x85ebca6b);
  const hash = Math.imul(mixed + length, 0x9e3779b1);
  return (hash >>> 20) & (RECENT_LENGTH - 1);
}

/** Four bytes at a time; the last four overlap the ones before, which spares a loop over single bytes. */
function hashBytes(view: DataView, start: number, end: number): number {
  const length = end - start;
  let hash = Math.imul(length, 0x9e3779b1);
  if (length >= 4) {
    const last = end - 4;
    for (let at = start; at < last; at += 4) {
      hash = Math.imul(hash ^ view.getInt32(at, true), 0x85ebca6b);
      hash ^= hash >>> 15;
    }
    hash = Math.imul(hash ^ view.getInt32(last, true), 0x85ebca6b);
  } else {
    for (let at = start; at < end; at++)
      hash = Math.imul(hash ^ view.getUint8(at), 0x85ebca6b);
  }
  hash ^= hash >>> 15;
  return Math.imul(hash, 0x9e3779b1) ^ (hash >>> 13);
}
