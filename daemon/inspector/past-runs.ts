/**
 * Any place in the records of a run: the model as it was there, and the records around. Runs at work and runs long over
 * are read the same way; the way to a late place is shortened by models kept on the way to it.
 */
import type { InspectorFeed } from "./feed.ts";
import type { History, HistoryReader } from "./history.ts";
import { parseRecord } from "./record-order.ts";
import { RunModel, type ModelSnapshot } from "./model/run-model.ts";

/** Records in a window: what the page steps through without asking again. */
export const WINDOW_RECORDS = 2_000;
/** Runs whose models are kept, and of each so many. */
const RUNS_KEPT_MAX = 4;
const MODELS_KEPT_MAX = 8;

export interface RecordWindow {
  /** The model before the first of these records. */
  readonly base: ModelSnapshot;
  readonly first: number;
  /** JSON lines. */
  readonly lines: readonly string[];
  /** One past the number of the run's last record. */
  readonly end: number;
}

interface Kept {
  /** By the number of records that are in it. */
  readonly models: Map<number, string>;
}

export class PastRuns {
  readonly #feed: InspectorFeed;
  readonly #history: History | null;
  readonly #kept = new Map<string, Kept>();

  constructor(feed: InspectorFeed, history: History | null) {
    this.#feed = feed;
    this.#history = history;
  }

  /** The window that a record is in, the last one where there are fewer; null where nothing of the run is left. */
  async window(runId: string, at: number): Promise<RecordWindow | null> {
    const live = this.#feed.find(runId);
    await live?.writer?.flush();
    const reader = await this.#history?.read(runId);
    try {
      const end = Math.max(live?.ring.end ?? 0, reader?.end ?? 0);
      if (end === 0) return null;
      const place = Math.min(Math.max(0, at), end - 1);
      const first = place - (place % WINDOW_RECORDS);
      const model = new RunModel();
      const start = this.#restore(runId, first);
      const base = start === null ? model : RunModel.from(start);
      const lines: string[] = [];
      let atFirst: ModelSnapshot | null =
        base.sequence === first ? structuredClone(base.snapshot()) : null;
      for await (const { sequence, line } of this.#read(
        runId,
        reader ?? null,
        base.sequence,
        first + WINDOW_RECORDS,
      )) {
        if (sequence >= first) {
          atFirst ??= structuredClone({ ...base.snapshot(), sequence: first });
          lines.push(line);
          continue;
        }
        const record = parseRecord(line);
        if (record === null) continue;
        // where records are missing in the file, the numbers go on as they were
        base.sequence = sequence;
        base.apply(record);
        this.#keep(runId, base);
      }
      atFirst ??= { ...base.snapshot(), sequence: first };
      return { base: atFirst, first, lines, end };
    } finally {
      await reader?.close();
    }
  }

  /** From the history as far as it goes, then from memory. */
  async *#read(
    runId: string,
    reader: HistoryReader | null,
    from: number,
    until: number,
  ): AsyncGenerator<{ readonly sequence: number; readonly line: string }> {
    let next = from;
    const ring = this.#feed.find(runId)?.ring ?? null;
    if (reader !== null && (ring === null || ring.first > from))
      for await (const one of reader.read(from)) {
        if (one.sequence >= until) return;
        next = one.sequence + 1;
        yield one;
      }
    if (ring === null) return;
    const start = Math.max(next, ring.first);
    for (const [at, line] of ring.slice(start, until - start).entries())
      yield { sequence: start + at, line };
  }

  #restore(runId: string, until: number): ModelSnapshot | null {
    const models = this.#kept.get(runId)?.models;
    if (!models) return null;
    let best = -1;
    for (const sequence of models.keys())
      if (sequence <= until && sequence > best) best = sequence;
    const text = models.get(best);
    return text === undefined ? null : (JSON.parse(text) as ModelSnapshot);
  }

  /** A model at the end of each window that is walked through, thinned out where there are many. */
  #keep(runId: string, model: RunModel): void {
    if (model.sequence % WINDOW_RECORDS !== 0) return;
    let kept = this.#kept.get(runId);
    if (!kept) {
      kept = { models: new Map() };
      this.#kept.set(runId, kept);
      const oldest = this.#kept.keys().next().value;
      if (this.#kept.size > RUNS_KEPT_MAX && oldest !== undefined)
        this.#kept.delete(oldest);
    }
    const { models } = kept;
    models.set(model.sequence, JSON.stringify(model.snapshot()));
    if (models.size <= MODELS_KEPT_MAX) return;
    const places = [...models.keys()].sort((a, b) => a - b);
    for (const [at, place] of places.entries())
      if (at % 2 === 1) models.delete(place);
  }
}
