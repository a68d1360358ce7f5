/**
 * Takes the inspection records of runs at work, keeps a model and the newest records of each, writes all of them to the
 * history, and tells whoever looks on. Nothing here grows with the length of a run.
 */
import type { Figures } from "../../proto/figures.ts";
import type { History, HistoryWriter } from "./history.ts";
import { LineRing } from "./line-ring.ts";
import type { ModelRecord } from "./model/records.ts";
import { RunModel } from "./model/run-model.ts";
import { RecordOrder } from "./record-order.ts";

/** Characters of records that are kept in memory of all runs. */
const CHARS_ALL_MAX = 128 * 1024 * 1024;
/** Runs that are over and still in memory: their records are in the history. */
const RUNS_OVER_MAX = 8;
/** Runs that are followed at once; those behind it run unseen. */
const RUNS_MAX = 4_096;
/** Chunks of several processes cross on their way; so long records wait, to be numbered by their own time. */
const ORDER_MS = 250;
const TAKE_IN_MS = 50;
const TAKING_MS_MAX = 5;

export interface LiveRunView {
  readonly runId: string;
  readonly sync: string | null;
  readonly state: string;
  readonly isOver: boolean;
  readonly startedAt: number;
  readonly endedAt: number | null;
  readonly records: number;
  readonly error: string | null;
  readonly rows: number;
}

export interface FeedOptions {
  /** Null: nothing is written down. */
  readonly history: History | null;
  /** Milliseconds since the Unix epoch. */
  readonly now?: () => number;
  readonly onWarning?: (message: string) => void;
}

export class FeedRun {
  readonly runId: string;
  readonly model = new RunModel();
  readonly ring = new LineRing();
  readonly startedAt: number;
  readonly order = new RecordOrder();
  readonly watchers = new Set<() => void>();
  readonly writer: HistoryWriter | null;
  endedAt: number | null = null;

  constructor(runId: string, startedAt: number, writer: HistoryWriter | null) {
    this.runId = runId;
    this.startedAt = startedAt;
    this.writer = writer;
  }

  get isOver(): boolean {
    return this.endedAt !== null;
  }

  view(): LiveRunView {
    const { run, progress } = this.model;
    let rows = 0;
    for (const stream of progress.streams.values())
      rows += Math.max(stream.rows, stream.rowsDurable);
    return {
      runId: this.runId,
      sync: run.sync,
      state: run.state,
      isOver: this.isOver,
      startedAt: this.model.firstAt ?? this.startedAt,
      endedAt: this.isOver ? (this.model.lastAt ?? this.endedAt) : null,
      records: this.model.sequence,
      error: run.error,
      rows,
    };
  }
}

export class InspectorFeed {
  readonly #history: History | null;
  readonly #now: () => number;
  readonly #warn: (message: string) => void;
  readonly #runs = new Map<string, FeedRun>();
  #timer: NodeJS.Timeout | null = null;
  /** Those that the last go has not come to. */
  #untaken: MapIterator<FeedRun> | null = null;
  /** Grows with every change of the list. */
  version = 0;

  constructor({ history, now = Date.now, onWarning = () => {} }: FeedOptions) {
    this.#history = history;
    this.#now = now;
    this.#warn = onWarning;
  }

  /** Newest first. */
  list(): LiveRunView[] {
    return [...this.#runs.values()].map((run) => run.view()).reverse();
  }

  find(runId: string): FeedRun | null {
    return this.#runs.get(runId) ?? null;
  }

  /** @param lines JSON of inspection records, each closed by a newline, as they come from the processes */
  addLines(runId: string, lines: string): void {
    const run = this.#open(runId);
    if (run === null) return;
    const receivedAt = this.#now();
    let start = 0;
    for (
      let end = lines.indexOf("\n");
      end >= 0;
      end = lines.indexOf("\n", start)
    ) {
      if (end > start) run.order.add(lines.slice(start, end), receivedAt);
      start = end + 1;
    }
    if (run.order.isFull) {
      this.#takeIn(run, Number.POSITIVE_INFINITY);
      this.#trim();
    }
    this.#timer ??= setInterval(() => this.#takeAllIn(), TAKE_IN_MS).unref();
  }

  addRecords(runId: string, records: readonly object[]): void {
    this.addLines(
      runId,
      records.map((record) => `${JSON.stringify(record)}\n`).join(""),
    );
  }

  /** What the daemon itself knows of a run. */
  addFigures(runId: string, figures: Figures): void {
    const record: ModelRecord = {
      at: this.#now(),
      process: "bookkeeper",
      thread: 0,
      kind: "figures",
      actor: "",
      machine: "",
      figures,
    };
    this.addRecords(runId, [record]);
  }

  /** The run is over: its file is closed, and it stays in memory while there is room. */
  end(runId: string): void {
    const run = this.#runs.get(runId);
    if (!run || run.isOver) return;
    this.#takeIn(run, Number.POSITIVE_INFINITY);
    run.endedAt = this.#now();
    run.writer?.close().catch((error: unknown) => this.#warn(String(error)));
    // at the end of the list, where those that have gone longest are the first
    this.#runs.delete(runId);
    this.#runs.set(runId, run);
    this.version += 1;
    this.#tell(run);
    const over = [...this.#runs.values()].filter((one) => one.isOver);
    for (const old of over.slice(0, Math.max(0, over.length - RUNS_OVER_MAX)))
      if (old.watchers.size === 0) this.#runs.delete(old.runId);
  }

  /** Called back, at most once for each chunk of records, until the returned function is called. */
  watch(run: FeedRun, onRecords: () => void): () => void {
    run.watchers.add(onRecords);
    return () => run.watchers.delete(onRecords);
  }

  async close(): Promise<void> {
    if (this.#timer) clearInterval(this.#timer);
    for (const run of this.#runs.values())
      this.#takeIn(run, Number.POSITIVE_INFINITY);
    await Promise.all(
      [...this.#runs.values()].map(async (run) => {
        if (!run.isOver) await run.writer?.close();
      }),
    );
    this.#runs.clear();
  }

  #open(runId: string): FeedRun | null {
    const known = this.#runs.get(runId);
    if (known && !known.isOver) return known;
    // gone on with: a new file would hide the old one, so it is added to
    if (this.#runs.size >= RUNS_MAX) return null;
    const writer =
      this.#history?.write(runId, ({ message }) =>
        this.#warn(
          `the inspection of ${runId} is not written down: ${message}`,
        ),
      ) ?? null;
    const run = new FeedRun(runId, this.#now(), writer);
    this.#runs.set(runId, run);
    this.version += 1;
    return run;
  }

  /** Of many runs in several goes: whoever else waits for the loop has its turn in between. */
  #takeAllIn(): void {
    const until = this.#now() - ORDER_MS;
    const stopAt = performance.now() + TAKING_MS_MAX;
    const rest = this.#untaken ?? this.#runs.values();
    this.#untaken = null;
    for (const run of rest) {
      this.#takeIn(run, until);
      if (performance.now() < stopAt) continue;
      this.#untaken = rest;
      break;
    }
    this.#trim();
    if (this.#untaken !== null || this.#timer === null) return;
    for (const run of this.#runs.values()) if (run.order.size > 0) return;
    clearInterval(this.#timer);
    this.#timer = null;
  }

  #takeIn(run: FeedRun, until: number): void {
    const taken = run.order.take(until);
    for (const { line, record } of taken) {
      const { sequence } = run.model;
      run.model.apply(record);
      run.ring.add(line);
      run.writer?.add(line, sequence);
    }
    if (taken.length > 0) this.#tell(run);
  }

  #tell(run: FeedRun): void {
    for (const watcher of run.watchers) watcher();
  }

  /** What is over goes first, then the records of the run that has the most. */
  #trim(): void {
    let chars = 0;
    for (const run of this.#runs.values()) chars += run.ring.chars;
    while (chars > CHARS_ALL_MAX) {
      let largest: FeedRun | null = null;
      for (const run of this.#runs.values())
        if (largest === null || run.ring.chars > largest.ring.chars)
          largest = run;
      if (largest === null || largest.ring.chars === 0) return;
      const before = largest.ring.chars;
      largest.ring.drop(Math.ceil((largest.ring.end - largest.ring.first) / 4));
      chars -= before - largest.ring.chars;
    }
  }
}
