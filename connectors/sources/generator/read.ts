/** Reads a range of keys: makes its rows, no faster than the rate allows, and stops or checkpoints behind any of them. */
import { setTimeout as sleep } from "node:timers/promises";

import type { Position } from "../../../proto/partition.ts";
import { ExtractError } from "../../../proto/error.ts";
import { BatchSet } from "../batches/batch-set.ts";
import { BatchSupply } from "../batches/supply.ts";
import type {
  PartitionRead,
  ReadResult,
  ReadSink,
  ReadTask,
} from "../source.ts";
import { fillRows } from "./rows.ts";
import type { GeneratorConfig } from "./url.ts";

/** A wait for the next rows is no longer than this, so that a stop is heard, in ms. */
const WAIT_MS_MAX = 50;

interface Range {
  /** Number of the first row. */
  readonly first: number;
  /** Behind the last one. */
  readonly end: number;
}

/** Rows of a partition that are still to be read. @throws ExtractError SOURCE_QUERY_FAILED for keys that are none of ours */
export function rangeOf(
  { rows }: Pick<GeneratorConfig, "rows">,
  { partition, resumeAfter }: Pick<ReadTask, "partition" | "resumeAfter">,
): Range {
  const { split } = partition;
  const start = split.kind === "key" ? readKey(split.start, 1) : 1;
  const end = split.kind === "key" ? readKey(split.end, rows + 1) : rows + 1;
  const after =
    resumeAfter?.kind === "key" ? readKey(resumeAfter.after, 0) : start - 1;
  return {
    first: Math.max(start, after + 1, 1),
    end: Math.min(end, rows + 1),
  };
}

function readKey(key: readonly string[] | null, open: number): number {
  if (key === null) return open;
  const number = Number(key[0]);
  if (Number.isSafeInteger(number)) return number;
  throw new ExtractError("SOURCE_QUERY_FAILED", `${key[0]} is no key here`);
}

export function startGeneratedRead(
  config: GeneratorConfig,
  task: ReadTask,
  sink: ReadSink,
  options: { readonly checkpointEveryMs: number },
): PartitionRead {
  const reader = new GeneratedRead(config, task, sink, options);
  const cancelled = Promise.withResolvers<never>();
  return {
    done: Promise.race([reader.run(), cancelled.promise]),
    requestCheckpoint: () => {
      reader.wantsCheckpoint = true;
    },
    stop: () => {
      reader.isStopped = true;
    },
    cancel: (reason) => {
      reader.cancelled = reason;
      cancelled.reject(reason);
    },
  };
}

class GeneratedRead {
  wantsCheckpoint = false;
  isStopped = false;
  cancelled: Error | null = null;
  readonly #config: GeneratorConfig;
  readonly #sink: ReadSink;
  readonly #checkpointEveryMs: number;
  readonly #range: Range;
  readonly #supply: BatchSupply;
  readonly #columnCount: number;
  readonly #deliveries = new Set<Promise<void>>();
  #failure: Error | null = null;

  constructor(
    config: GeneratorConfig,
    task: ReadTask,
    sink: ReadSink,
    { checkpointEveryMs }: { readonly checkpointEveryMs: number },
  ) {
    this.#config = config;
    this.#sink = sink;
    this.#checkpointEveryMs = checkpointEveryMs;
    this.#range = rangeOf(config, task);
    this.#columnCount = config.columns.length;
    this.#supply = new BatchSupply(
      config.columns.map(({ kind }) => ({ logical: kind, nullable: false })),
      config.batchRows,
    );
  }

  async run(): Promise<ReadResult> {
    const { first, end } = this.#range;
    const startedAt = performance.now();
    let checkpointAt = startedAt + this.#checkpointEveryMs;
    let row = first;
    while (row < end && !this.isStopped) {
      const set = await this.#openSet();
      const wanted = Math.min(set.capacity, this.#config.batchRows, end - row);
      const count = await this.#awaitRows(row - first, wanted, startedAt);
      this.#check();
      if (count === 0) continue;
      fillRows(set, this.#config.columns, row, count);
      row += count;
      this.#deliver();
      if (row >= end) break;
      if (!this.wantsCheckpoint && performance.now() < checkpointAt) continue;
      this.wantsCheckpoint = false;
      checkpointAt = performance.now() + this.#checkpointEveryMs;
      await this.#sink.checkpoint(positionAfter(row), false);
    }
    await Promise.all(this.#deliveries);
    this.#check();
    const isEnd = row >= end;
    await this.#sink.checkpoint(isEnd ? null : positionAfter(row), isEnd);
    return { outcome: isEnd ? "end" : "stopped", rows: row - first };
  }

  async #openSet(): Promise<BatchSet> {
    for (;;) {
      this.#check();
      const set = this.#supply.open();
      if (set) return set;
      await Promise.race(this.#deliveries);
    }
  }

  /** How many rows are due, up to `wanted`; 0 when a stop may have come meanwhile. */
  async #awaitRows(
    done: number,
    wanted: number,
    startedAt: number,
  ): Promise<number> {
    const { rate } = this.#config;
    if (rate === null) return wanted;
    const due = Math.floor(((performance.now() - startedAt) * rate) / 1000) + 1;
    if (due > done) return Math.min(wanted, due - done);
    await sleep(Math.min(WAIT_MS_MAX, Math.max(1, 1000 / rate)));
    return 0;
  }

  #deliver(): void {
    const set = this.#supply.take();
    if (!set) return;
    const delivery = this.#sink
      .batch(set.toBatch(this.#columnCount))
      .then(
        () => this.#supply.giveBack(set),
        (error: unknown) => {
          this.#failure ??= error as Error;
        },
      )
      .finally(() => this.#deliveries.delete(delivery));
    this.#deliveries.add(delivery);
  }

  #check(): void {
    const failure = this.cancelled ?? this.#failure;
    if (failure) throw failure;
  }
}

function positionAfter(next: number): Position {
  return { kind: "key", after: [String(next - 1)] };
}
