/** How a sync and its streams have fared: runs by day, the part that succeeded, and what happened to the sync itself. */
import type { RunRecord } from "../../checkpoint/store/records.ts";
import type { History } from "./history.ts";
import { parseObject, type TimelineView } from "./views.ts";
import { nameTable } from "../../proto/table-name.ts";

const DAY_MS = 86_400_000;

/** What of a run's own events belongs to the history of its sync. */
const KINDS_SHOWN = [
  "schema.changed",
  ...["log.step", "log.givenUp", "log.resync"],
  ...["log.cut", "log.copiedAgain", "log.untold"],
  "log.quarantined",
];

/** Of a run that changed many tables; the run's own timeline has all. */
const EVENTS_OF_RUN_MAX = 100;

interface Counted {
  readonly days: readonly {
    readonly day: number;
    readonly runs: Readonly<Record<string, number | undefined>>;
  }[];
  readonly successRate: number | null;
}

function viewCounts({ days, successRate }: Counted) {
  const runs = days.reduce(
    (sum, day) =>
      sum +
      Object.values(day.runs).reduce<number>((all, one) => all + (one ?? 0), 0),
    0,
  );
  return { runs, successRate, days };
}

/** The begin, in UTC, of the first of so many days, of which today is the last. */
function beginOf(days: number, now: number): number {
  return (Math.floor(now / DAY_MS) - days + 1) * DAY_MS;
}

export function viewSyncCounts(history: History, syncId: string, days: number) {
  return viewCounts(history.countRuns(syncId, beginOf(days, Date.now())));
}

/** A page of the streams that runs of the sync have met, by name. */
export function viewStreamCounts(
  history: History,
  syncId: string,
  page: {
    readonly days: number;
    readonly offset: number;
    readonly limit: number;
  },
) {
  const places = new Map(
    history.streamNamesOf(syncId).map((place) => [nameTable(place), place]),
  );
  const since = beginOf(page.days, Date.now());
  const names = [...places].sort(([a], [b]) => (a < b ? -1 : 1));
  return {
    total: names.length,
    streams: names
      .slice(page.offset, page.offset + page.limit)
      .map(([stream, place]) => {
        const [newest] = history.listStreamRuns(syncId, place, { limit: 1 });
        const { runs, successRate } = viewCounts(
          history.countStreamRuns(syncId, place, since),
        );
        return {
          stream,
          runs,
          successRate,
          lastRun: newest?.runId ?? null,
          lastState: newest?.state ?? null,
        };
      }),
  };
}

export function viewStreamRuns(
  history: History,
  syncId: string,
  place: { readonly namespace: string; readonly name: string },
  page: {
    readonly days: number;
    readonly before: string | null;
    readonly limit: number;
  },
) {
  const { days, before, limit } = page;
  const found = history.listStreamRuns(syncId, place, {
    before,
    limit: limit + 1,
  });
  const shown = found.slice(0, limit);
  return {
    stream: nameTable(place),
    ...viewCounts(
      history.countStreamRuns(syncId, place, beginOf(days, Date.now())),
    ),
    history: shown,
    next: found.length > limit ? (shown.at(-1)?.runId ?? null) : null,
  };
}

export interface SyncTimelineEvent extends TimelineView {
  /** Null: of the sync itself. */
  readonly runId: string | null;
}

/**
 * What happened to a sync, newest first: its runs and what they found its tables to have become, pauses, agreements,
 * resets. All that happened in the millisecond at which a page ends belongs to it, so that `next` loses nothing.
 */
export function viewSyncTimeline(
  history: History,
  { name, syncId }: { readonly name: string; readonly syncId: string },
  page: { readonly before: number | null; readonly limit: number },
): { events: SyncTimelineEvent[]; next: number | null } {
  const before = page.before ?? Number.MAX_SAFE_INTEGER;
  const limit = page.limit + 1;
  const own = history
    .daemonEventsOf({ sync: name, earlierThan: before, limit })
    .map(({ at, kind, detailsJson }) => ({
      at,
      kind,
      runId: null,
      details: parseObject(detailsJson) ?? {},
    }));
  // each run has one event at least that is older, so that these are enough
  const ofRuns = history
    .listRuns({ syncIds: [syncId], startedBefore: before, limit })
    .flatMap((run) => listRunEvents(history, run));
  const all = [...own, ...ofRuns]
    .filter(({ at }) => at < before)
    .sort((a, b) => b.at - a.at);
  const last = all[page.limit - 1];
  if (last === undefined) return { events: all, next: null };
  const events = all.filter(({ at }) => at >= last.at);
  return { events, next: events.length < all.length ? last.at : null };
}

/** Newest first. */
function listRunEvents(history: History, run: RunRecord): SyncTimelineEvent[] {
  const { runId, startedAt, finishedAt, state, epoch, mode, error } = run;
  const events: SyncTimelineEvent[] = [
    { at: startedAt, kind: "run.started", runId, details: { mode } },
    ...history
      .eventsOf(runId, { kinds: KINDS_SHOWN, limit: EVENTS_OF_RUN_MAX })
      .map(({ at, kind, detailsJson }) => ({
        at,
        kind,
        runId,
        details: parseObject(detailsJson) ?? {},
      })),
  ];
  if (finishedAt !== null)
    events.push({
      at: finishedAt,
      kind: `run.${state}`,
      runId,
      details: { attempts: epoch, ...(error === null ? {} : { error }) },
    });
  return events.reverse();
}
