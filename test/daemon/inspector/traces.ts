/** A run as it was recorded by `millrace sync --trace`: four tables of a Postgres, 24 partitions, four sockets. */
import { readFileSync } from "node:fs";
import { zstdDecompressSync } from "node:zlib";
import { RecordOrder } from "../../../daemon/inspector/record-order.ts";
import type { ModelRecord } from "../../../daemon/inspector/model/records.ts";

/** Of the recorded run, in all. */
export const recordedRows = 1_960_000;

export function readTraceText(): string {
  const path = new URL("./traces/shop.jsonl.zst", import.meta.url);
  return zstdDecompressSync(readFileSync(path)).toString("utf8");
}

/** In order of their time. */
export function readTrace(): ModelRecord[] {
  const order = new RecordOrder();
  for (const line of readTraceText().split("\n")) order.add(line, 0);
  return order.take(0).map(({ record }) => record);
}

const origin = { process: "source", thread: 0 } as const;

/**
 * Records of a run that reads one stream of so many partitions: a quarter is done, four are being read.
 * @param at milliseconds since the Unix epoch
 */
export function* describeLargeRun(
  partitions: number,
  at: number,
): Generator<ModelRecord> {
  const root = { ...origin, at, actor: "x:0", machine: "sourceProcess" };
  yield { ...root, kind: "actor", name: "x:0" };
  yield { ...root, kind: "state", state: "serving" };
  for (let from = 0; from < partitions; from += 1_000)
    yield {
      ...origin,
      at,
      kind: "figures",
      actor: "",
      machine: "",
      figures: {
        type: "plan",
        stream: 1,
        name: "public.events",
        rung: "keyRanges",
        reason: "Key ranges of the primary key.",
        partitions: Array.from(
          { length: Math.min(1_000, partitions - from) },
          (_, index) => ({
            ordinal: from + index,
            rows: 50_000,
            bytes: 4_000_000,
            range: `id from ${(from + index) * 50_000} to before ${(from + index + 1) * 50_000}`,
            isDone: from + index < partitions / 4,
          }),
        ),
      },
    };
  for (let ordinal = 0; ordinal < partitions; ordinal++) {
    const reader = {
      ...origin,
      at,
      actor: `r:${ordinal}`,
      machine: "reader",
      name: `reader:1/${ordinal}`,
      parent: "x:0",
    };
    yield { ...reader, kind: "actor" };
    yield { ...reader, kind: "state", state: "queued" };
    if (ordinal >= partitions / 4 && ordinal < partitions / 4 + 4)
      yield { ...reader, kind: "state", state: "reading" };
  }
}
