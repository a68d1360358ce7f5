/**
 * A dictionary of values of 4 or 8 bytes, by their bits: -0 and 0, and every NaN, are entries of their own.
 * Open addressing; 2-4 ns a value.
 */
import type { ByteSink } from "../byte-sink.ts";

/** Beyond this many entries a dictionary no longer pays: it is given up for the rest of the row group. */
export const DICTIONARY_ENTRIES_MAX = 16_384;

const SLOTS_FIRST = 1024;

export class FixedDictionary {
  readonly #words: 1 | 2;
  /** Entry + 1, or 0 for a free slot; the length is a power of two, at most half full. */
  #slots = new Int32Array(SLOTS_FIRST);
  /** The entries, one after another: what the dictionary page holds. */
  #keys: Int32Array;
  #entryCount = 0;

  constructor(words: 1 | 2) {
    this.#words = words;
    this.#keys = new Int32Array((SLOTS_FIRST / 2) * words);
  }

  get entryCount(): number {
    return this.#entryCount;
  }

  reset(): void {
    if (this.#entryCount === 0) return;
    this.#entryCount = 0;
    this.#slots.fill(0);
  }

  /** Takes back the entries from `entryCount` on. */
  truncate(entryCount: number): void {
    this.#entryCount = entryCount;
    this.#rehash(this.#slots.length);
  }

  /** Writes each value's entry to `out`. Returns false, with the dictionary as before, when it would grow too large. */
  findIndexes(values: Int32Array, count: number, out: Int32Array): boolean {
    const before = this.#entryCount;
    const done =
      this.#words === 1
        ? this.#findSingles(values, count, out)
        : this.#findPairs(values, count, out);
    if (!done) this.truncate(before);
    return done;
  }

  appendPlain(sink: ByteSink): void {
    const bytes = this.#entryCount * this.#words * 4;
    sink.append(new Uint8Array(this.#keys.buffer, 0, bytes));
  }

  #findSingles(values: Int32Array, count: number, out: Int32Array): boolean {
    let slots = this.#slots;
    let keys = this.#keys;
    let mask = slots.length - 1;
    for (let i = 0; i < count; i++) {
      const key = values[i]!;
      let slot = hash(key, 0) & mask;
      let entry = slots[slot]!;
      while (entry !== 0 && keys[entry - 1] !== key) {
        slot = (slot + 1) & mask;
        entry = slots[slot]!;
      }
      if (entry === 0) {
        if (this.#entryCount === DICTIONARY_ENTRIES_MAX) return false;
        keys[this.#entryCount] = key;
        entry = ++this.#entryCount;
        slots[slot] = entry;
        if (entry * 2 >= slots.length) {
          this.#rehash(slots.length * 2);
          slots = this.#slots;
          keys = this.#keys;
          mask = slots.length - 1;
        }
      }
      out[i] = entry - 1;
    }
    return true;
  }

  #findPairs(values: Int32Array, count: number, out: Int32Array): boolean {
    let slots = this.#slots;
    let keys = this.#keys;
    let mask = slots.length - 1;
    for (let i = 0; i < count; i++) {
      const low = values[i * 2]!;
      const high = values[i * 2 + 1]!;
      let slot = hash(low, high) & mask;
      let entry = slots[slot]!;
      while (
        entry !== 0 &&
        (keys[entry * 2 - 2] !== low || keys[entry * 2 - 1] !== high)
      ) {
        slot = (slot + 1) & mask;
        entry = slots[slot]!;
      }
      if (entry === 0) {
        if (this.#entryCount === DICTIONARY_ENTRIES_MAX) return false;
        keys[this.#entryCount * 2] = low;
        keys[this.#entryCount * 2 + 1] = high;
        entry = ++this.#entryCount;
        slots[slot] = entry;
        if (entry * 2 >= slots.length) {
          this.#rehash(slots.length * 2);
          slots = this.#slots;
          keys = this.#keys;
          mask = slots.length - 1;
        }
      }
      out[i] = entry - 1;
    }
    return true;
  }

  #rehash(slotCount: number): void {
    if (slotCount !== this.#slots.length) {
      this.#slots = new Int32Array(slotCount);
      const keys = new Int32Array((slotCount / 2) * this.#words);
      keys.set(this.#keys);
      this.#keys = keys;
    } else {
      this.#slots.fill(0);
    }
    const mask = slotCount - 1;
    for (let entry = 0; entry < this.#entryCount; entry++) {
      const low = this.#keys[entry * this.#words]!;
      const high = this.#words === 2 ? this.#keys[entry * 2 + 1]! : 0;
      let slot = hash(low, high) & mask;
      while (this.#slots[slot] !== 0) slot = (slot + 1) & mask;
      this.#slots[slot] = entry + 1;
    }
  }
}

/** Multiplicative; the upper bits are the mixed ones, so they are folded down. */
function hash(low: number, high: number): number {
  const mixed = Math.imul(low ^ Math.imul(high, 0x85ebca6b), 0x9e3779b1);
  return mixed ^ (mixed >>> 15);
}
