/** The runs that can be looked at: those in memory, then those whose records are on disk. */
import type { InspectorFeed } from "./feed.ts";
import type { History } from "./history.ts";
import { parseRecord } from "./record-order.ts";
import type { ListedRun } from "./model/listed-run.ts";
import { RunModel } from "./model/run-model.ts";

const PAST_RUNS_MAX = 200;
/** A file's last records say how its run ended; so many are looked through. */
const TAIL_RECORDS = 400;
/** What is known of past runs: their files do not change. */
const KNOWN_MAX = 1_000;

const known = new Map<string, ListedRun>();

export async function listRuns(
  feed: InspectorFeed,
  history: History | null,
): Promise<{ readonly runs: readonly ListedRun[] }> {
  const inMemory = feed.list().map(({ isOver, ...run }): ListedRun => ({
    ...run,
    isLive: !isOver,
  }));
  const shown = new Set(inMemory.map(({ runId }) => runId));
  const past: ListedRun[] = [];
  for (const file of (await history?.list()) ?? []) {
    if (past.length >= PAST_RUNS_MAX) break;
    if (shown.has(file.runId)) continue;
    const key = `${file.runId}@${file.modifiedAt}`;
    const described =
      known.get(key) ?? (await describePast(history, file.runId));
    if (described === null) continue;
    if (known.size >= KNOWN_MAX) known.clear();
    known.set(key, described);
    past.push(described);
  }
  past.sort((a, b) => (b.startedAt ?? 0) - (a.startedAt ?? 0));
  return { runs: [...inMemory, ...past] };
}

async function describePast(
  history: History | null,
  runId: string,
): Promise<ListedRun | null> {
  const reader = await history?.read(runId);
  if (!reader) return null;
  try {
    const tail = new RunModel();
    let startedAt: number | null = null;
    for await (const { line } of reader.read(0)) {
      startedAt = parseRecord(line)?.at ?? null;
      break;
    }
    for await (const { line } of reader.read(
      Math.max(0, reader.end - TAIL_RECORDS),
    )) {
      const record = parseRecord(line);
      if (record) tail.apply(record);
    }
    const { sync, state, error } = tail.run;
    return {
      runId,
      sync,
      state: state === "" ? "unknown" : state,
      isLive: false,
      startedAt,
      endedAt: tail.lastAt,
      records: reader.end,
      rows: null,
      error,
    };
  } catch {
    // a file that is damaged is no reason to show none
    return null;
  } finally {
    await reader.close();
  }
}
