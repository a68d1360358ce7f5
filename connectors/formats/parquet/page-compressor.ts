/**
 * Compresses pages, on the thread that makes them or on one of its own beside it. A destination that has one channel is
 * one thread, which encodes as long as it compresses; with another thread for the latter a run of two processes and a
 * server keeps two cores busy, where one of them waited for a third of the time.
 */
import assert from "node:assert/strict";
import { Worker } from "node:worker_threads";
import { crc32 } from "node:zlib";
import {
  useCompressor,
  zstdBytesMax,
  type CompressBlock,
} from "../compression.ts";
import type { CompressionName } from "../format.ts";
import {
  PageSlots,
  sharePages,
  SLOT_BYTES,
  SLOTS,
  slotStates,
} from "./page-slots.ts";

/** Before compression, of pages that a thread compresses itself before it starts another one: that costs as much as 8 MiB. */
const BYTES_BEFORE_THREAD = 16 * 1024 * 1024;
/** For one page. Whoever takes longer is given up, and what it had is compressed here. */
const SILENCE_MS_MAX = 10_000;

/** The compressed page, a view that is valid during the call, and its CRC-32. */
export type TakePage = (compressed: Uint8Array, crc: number) => void;

export interface PageCompressor {
  /** `raw` is borrowed for the call; `take` is called now or in a later call, in the order of the pages. */
  compress(raw: Uint8Array, take: TakePage): void;
  /** When it returns every page has been taken. */
  settle(): void;
}

/** Where this thread may start another one: its script. */
let script: URL | null = null;
const compressors = new Map<CompressionName, PageCompressor>();

/** From now on large files of this thread are compressed by another one. */
export function allowPageThread(threadScript: URL): void {
  script = threadScript;
  compressors.clear();
}

/** The thread's, for all of its files. */
export function usePageCompressor(name: CompressionName): PageCompressor {
  let compressor = compressors.get(name);
  if (!compressor) {
    compressor =
      script !== null && name === "zstd"
        ? new SharedCompressor(useCompressor(name), script)
        : new OwnCompressor(useCompressor(name));
    compressors.set(name, compressor);
  }
  return compressor;
}

class OwnCompressor implements PageCompressor {
  readonly #compress: CompressBlock;

  constructor(compress: CompressBlock) {
    this.#compress = compress;
  }

  compress(raw: Uint8Array, take: TakePage): void {
    const compressed = this.#compress(raw);
    take(compressed, crc32(compressed) | 0);
  }

  settle(): void {
    // nothing is ever on its way
  }
}

/** Pages go through the slots in turn; where all are filled, the oldest that nobody has begun is compressed here. */
export class SharedCompressor implements PageCompressor {
  readonly #own: PageCompressor;
  readonly #script: URL;
  readonly #silenceMsMax: number;
  readonly #takes: TakePage[] = [];
  #bytesCompressed = 0;
  #slots: PageSlots | null = null;
  #isGivenUp = false;
  /** Slot of the oldest page that is on its way. */
  #oldest = 0;
  #waiting = 0;

  constructor(
    compress: CompressBlock,
    threadScript: URL,
    silenceMsMax = SILENCE_MS_MAX,
  ) {
    this.#own = new OwnCompressor(compress);
    this.#script = threadScript;
    this.#silenceMsMax = silenceMsMax;
  }

  compress(raw: Uint8Array, take: TakePage): void {
    const slots = this.#openSlots();
    if (slots === null || raw.length > SLOT_BYTES)
      return this.#compressHere(raw, take);
    while (
      this.#waiting === SLOTS ||
      (this.#waiting > 0 && slots.stateOf(this.#oldest) === slotStates.done)
    )
      this.#settleOldest(slots);
    // given up just now: the slots of what it had stay its own
    if (this.#isGivenUp) return this.#compressHere(raw, take);
    const slot = (this.#oldest + this.#waiting) % SLOTS;
    assert.equal(slots.stateOf(slot), slotStates.free);
    this.#takes[slot] = take;
    slots.queue(slot, raw);
    this.#waiting++;
  }

  settle(): void {
    while (this.#waiting > 0) this.#settleOldest(this.#slots!);
  }

  #compressHere(raw: Uint8Array, take: TakePage): void {
    this.settle();
    this.#bytesCompressed += raw.length;
    this.#own.compress(raw, take);
  }

  /** Null: everything is compressed here, as yet or for good. */
  #openSlots(): PageSlots | null {
    if (this.#isGivenUp) return null;
    if (this.#slots === null && this.#bytesCompressed >= BYTES_BEFORE_THREAD) {
      const memory = sharePages(zstdBytesMax(SLOT_BYTES));
      this.#slots = new PageSlots(memory);
      const thread = new Worker(this.#script, {
        name: "pages",
        workerData: memory,
      });
      thread.unref();
      thread.on("error", () => {
        this.#isGivenUp = true;
      });
    }
    return this.#slots;
  }

  #settleOldest(slots: PageSlots): void {
    const slot = this.#oldest;
    const take = this.#takes[slot]!;
    this.#oldest = (slot + 1) % SLOTS;
    this.#waiting--;
    if (slots.take(slot) || !this.#isDone(slots, slot)) {
      this.#own.compress(slots.rawOf(slot), take);
    } else {
      take(slots.compressedOf(slot), slots.crcOf(slot));
    }
    // one that was given up may still write there
    if (!this.#isGivenUp) slots.free(slot);
  }

  #isDone(slots: PageSlots, slot: number): boolean {
    const { taken, done } = slotStates;
    if (slots.stateOf(slot) === done) return true;
    if (!this.#isGivenUp)
      Atomics.wait(slots.words, slots.stateAt(slot), taken, this.#silenceMsMax);
    if (slots.stateOf(slot) === done) return true;
    this.#isGivenUp = true;
    return false;
  }
}
