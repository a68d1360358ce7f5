/** A thread that takes the first page that comes, and does no more. */
import { workerData } from "node:worker_threads";
import {
  PageSlots,
  SIGNAL,
  SLOTS,
  type SharedPages,
} from "../../../../connectors/formats/parquet/page-slots.ts";

const slots = new PageSlots(workerData as SharedPages);
for (;;) {
  const seen = Atomics.load(slots.words, SIGNAL);
  let taken = false;
  for (let slot = 0; slot < SLOTS && !taken; slot++) taken = slots.take(slot);
  if (taken) break;
  Atomics.wait(slots.words, SIGNAL, seen);
}
setInterval(() => {}, 60_000);
