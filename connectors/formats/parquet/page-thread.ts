/** Compresses the pages of the thread that has started it, until that one ends. */
import assert from "node:assert/strict";
import { workerData } from "node:worker_threads";
import { crc32 } from "node:zlib";
import { createZstdInto } from "../compression.ts";
import { PageSlots, SIGNAL, SLOTS, type SharedPages } from "./page-slots.ts";

const slots = new PageSlots(workerData as SharedPages);
const compressInto = createZstdInto();
assert(compressInto, "the thread is started where there is a handle");

/** @returns false: there was none that waits */
function compressNext(from: number): number | null {
  for (let i = 0; i < SLOTS; i++) {
    const slot = (from + i) % SLOTS;
    if (!slots.take(slot)) continue;
    const room = slots.roomOf(slot);
    const bytes = compressInto!(slots.rawOf(slot), room);
    slots.finish(slot, bytes, crc32(room.subarray(0, bytes)) | 0);
    return slot;
  }
  return null;
}

let next = 0;
for (;;) {
  const seen = Atomics.load(slots.words, SIGNAL);
  const slot = compressNext(next);
  if (slot === null) Atomics.wait(slots.words, SIGNAL, seen);
  else next = (slot + 1) % SLOTS;
}
