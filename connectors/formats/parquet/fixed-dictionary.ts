/**
 * A dictionary of values of 4 or 8 bytes, by their bits: -0 and 0, and every NaN, are entries of their own.
 * Open addressing, and in front of it a table for integers that lie near each other.
 */
import type { ByteSink } from "../byte-sink.ts";

/** Beyond this many entries a dictionary no longer pays: it is given up for the rest of the row group. */
export const DICTIONARY_ENTRIES_MAX = 16_384;
/** Integers that span less are found by the table: with packing 5.6 ns a value, where a hash of 5,000 entries takes 9. */
export const TABLE_SPAN_MAX = 65_536;

const SLOTS_FIRST = 1024;
const TWO_POW_32 = 4294967296;
const NO_TABLE = new Uint16Array(0);

export class FixedDictionary {
  readonly #words: 1 | 2;
  /** Entry + 1, or 0 for a free slot; the length is a power of two, at most half full. */
  #slots = new Int32Array(SLOTS_FIRST);
  /** The entries, one after another: what the dictionary page holds. */
  #keys: Int32Array;
  #entryCount = 0;
  /** What the hash has found: at i entry + 1 of the value whose low word is `#tableLow` + i, or 0. */
  #table = NO_TABLE;
  #tableLow = 0;
  /** The high word of the values in the table. */
  #tableHigh = 0;

  constructor(words: 1 | 2) {
    this.#words = words;
    this.#keys = new Int32Array((SLOTS_FIRST / 2) * words);
  }

  get entryCount(): number {
    return this.#entryCount;
  }

  get heldBytes(): number {
    return (
      this.#slots.byteLength + this.#keys.byteLength + this.#table.byteLength
    );
  }

  reset(): void {
    if (this.#entryCount === 0) return;
    this.#entryCount = 0;
    this.#slots.fill(0);
    this.#table = NO_TABLE;
  }

  /** Takes back the entries from `entryCount` on. */
  truncate(entryCount: number): void {
    this.#entryCount = entryCount;
    this.#table = NO_TABLE;
    this.#rehash(this.#slots.length);
  }

  /**
   * Writes each value's entry to `out`. Returns false, with the dictionary as before, when it would grow too large.
   * @param middle of integers that span less than TABLE_SPAN_MAX; null for others
   */
  findIndexes(
    values: Int32Array,
    count: number,
    out: Int32Array,
    middle: number | null,
  ): boolean {
    const before = this.#entryCount;
    if (middle !== null && this.#table === NO_TABLE) this.#beginTable(middle);
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

  /** The table stays where the first page's values lie until the row group ends; values beside it go by the hash. */
  #beginTable(middle: number): void {
    this.#table = new Uint16Array(TABLE_SPAN_MAX);
    this.#tableLow = (middle - TABLE_SPAN_MAX / 2) | 0;
    this.#tableHigh = Math.floor(middle / TWO_POW_32) | 0;
  }

  #findSingles(values: Int32Array, count: number, out: Int32Array): boolean {
    const table = this.#table;
    const tableLow = this.#tableLow;
    for (let i = 0; i < count; i++) {
      const key = values[i]!;
      const at = (key - tableLow) >>> 0;
      let entry = at < table.length ? table[at]! : 0;
      if (entry === 0) {
        entry = this.#findEntry(key, 0);
        if (entry === 0) return false;
        if (at < table.length) table[at] = entry;
      }
      out[i] = entry - 1;
    }
    return true;
  }

  #findPairs(values: Int32Array, count: number, out: Int32Array): boolean {
    const table = this.#table;
    const tableLow = this.#tableLow;
    const tableHigh = this.#tableHigh;
    for (let i = 0; i < count; i++) {
      const low = values[i * 2]!;
      const high = values[i * 2 + 1]!;
      const at = high === tableHigh ? (low - tableLow) >>> 0 : table.length;
      let entry = at < table.length ? table[at]! : 0;
      if (entry === 0) {
        entry = this.#findEntry(low, high);
        if (entry === 0) return false;
        if (at < table.length) table[at] = entry;
      }
      out[i] = entry - 1;
    }
    return true;
  }

  /** Returns entry + 1 of the value, a new one where need be, or 0 when there is no more room. */
  #findEntry(low: number, high: number): number {
    const slots = this.#slots;
    const keys = this.#keys;
    const words = this.#words;
    const mask = slots.length - 1;
    let slot = hash(low, high) & mask;
    for (;;) {
      const entry = slots[slot]!;
      if (entry === 0) return this.#addEntry(slot, low, high);
      const at = (entry - 1) * words;
      if (keys[at] === low && (words === 1 || keys[at + 1] === high))
        return entry;
      slot = (slot + 1) & mask;
    }
  }

  #addEntry(slot: number, low: number, high: number): number {
    if (this.#entryCount === DICTIONARY_ENTRIES_MAX) return 0;
    const at = this.#entryCount * this.#words;
    this.#keys[at] = low;
    if (this.#words === 2) this.#keys[at + 1] = high;
    const entry = ++this.#entryCount;
    this.#slots[slot] = entry;
    if (entry * 2 >= this.#slots.length) this.#rehash(this.#slots.length * 2);
    return entry;
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
