/**
 * Memory that a thread shares with the one that compresses its pages: some slots, each with room for a page, for what it
 * is compressed to, and with words that say how far it is.
 */

/** Pages that are on their way at a time: more than a batch of most tables has columns. */
export const SLOTS = 16;
/** A page of a batch rarely has more; a larger one is compressed by the thread itself. */
export const SLOT_BYTES = 1024 * 1024;

export const slotStates = { free: 0, queued: 1, taken: 2, done: 3 } as const;

/** Of `words`: what the compressing thread sleeps on. Then four of each slot. */
export const SIGNAL = 0;
const WORDS_OF_SLOT = 4;

export interface SharedPages {
  readonly words: SharedArrayBuffer;
  readonly raw: SharedArrayBuffer;
  readonly compressed: SharedArrayBuffer;
}

/** @param compressedBytesMax of a page of `SLOT_BYTES` */
export function sharePages(compressedBytesMax: number): SharedPages {
  return {
    words: new SharedArrayBuffer(4 * (1 + SLOTS * WORDS_OF_SLOT)),
    raw: new SharedArrayBuffer(SLOTS * SLOT_BYTES),
    compressed: new SharedArrayBuffer(SLOTS * compressedBytesMax),
  };
}

/** The shared memory as one side sees it. The words of a slot are read and written by whoever its state says has it. */
export class PageSlots {
  readonly words: Int32Array;
  readonly #raw: readonly Uint8Array[];
  readonly #compressed: readonly Uint8Array[];

  constructor({ words, raw, compressed }: SharedPages) {
    this.words = new Int32Array(words);
    this.#raw = cut(raw);
    this.#compressed = cut(compressed);
  }

  /** Where a slot's state lies in `words`, to be waited for. */
  stateAt(slot: number): number {
    return 1 + slot * WORDS_OF_SLOT;
  }

  stateOf(slot: number): number {
    return Atomics.load(this.words, this.stateAt(slot));
  }

  /** Queued becomes taken, by one of the two sides. */
  take(slot: number): boolean {
    const { queued, taken } = slotStates;
    return (
      Atomics.compareExchange(this.words, this.stateAt(slot), queued, taken) ===
      queued
    );
  }

  queue(slot: number, raw: Uint8Array): void {
    this.#raw[slot]!.set(raw);
    this.words[this.stateAt(slot) + 1] = raw.length;
    Atomics.store(this.words, this.stateAt(slot), slotStates.queued);
    Atomics.add(this.words, SIGNAL, 1);
    Atomics.notify(this.words, SIGNAL);
  }

  rawOf(slot: number): Uint8Array {
    return this.#raw[slot]!.subarray(0, this.words[this.stateAt(slot) + 1]);
  }

  /** Room for what a slot's page is compressed to. */
  roomOf(slot: number): Uint8Array {
    return this.#compressed[slot]!;
  }

  finish(slot: number, bytes: number, crc: number): void {
    const at = this.stateAt(slot);
    this.words[at + 2] = bytes;
    this.words[at + 3] = crc;
    Atomics.store(this.words, at, slotStates.done);
    Atomics.notify(this.words, at);
  }

  compressedOf(slot: number): Uint8Array {
    const bytes = this.words[this.stateAt(slot) + 2];
    return this.#compressed[slot]!.subarray(0, bytes);
  }

  crcOf(slot: number): number {
    return this.words[this.stateAt(slot) + 3]!;
  }

  free(slot: number): void {
    Atomics.store(this.words, this.stateAt(slot), slotStates.free);
  }
}

function cut(memory: SharedArrayBuffer): Uint8Array[] {
  const bytes = memory.byteLength / SLOTS;
  return Array.from(
    { length: SLOTS },
    (_, slot) => new Uint8Array(memory, slot * bytes, bytes),
  );
}
