/** Runs in their order: pages of them, how many of a day succeeded, and how one stream fared in each. */
import type { WireError } from "../../proto/error.ts";
import type { LedgerDatabase } from "./database.ts";
import type { RunRecord, RunState, StreamProgress } from "./records.ts";
import { RUN_COLUMNS, toRun } from "./runs.ts";

/** Runs that one listing gives. */
const RUNS_LISTED_MAX = 1_000;

/** Days that one count spans. */
const DAYS_MAX = 400;

const DAY_MS = 86_400_000;

export interface RunFilter {
  readonly syncIds?: readonly string[] | null;
  readonly states?: readonly RunState[] | null;
  /** Only runs that began before this one: the next page. */
  readonly before?: string | null;
  /** Only runs that began before this, in milliseconds since the Unix epoch. */
  readonly startedBefore?: number | null;
  readonly limit: number;
}

/** Newest first. */
export function listRuns(
  db: LedgerDatabase,
  {
    syncIds = null,
    states = null,
    before = null,
    startedBefore = null,
    limit,
  }: RunFilter,
): RunRecord[] {
  const where: string[] = ["r.serial < ?"];
  const values: (string | number)[] = [serialBefore(db, before)];
  if (startedBefore !== null) {
    where.push("r.started_at < ?");
    values.push(startedBefore);
  }
  for (const [column, list] of [
    ["r.sync", syncIds],
    ["r.state", states],
  ] as const) {
    if (list === null) continue;
    if (list.length === 0) return [];
    where.push(`${column} IN (${list.map(() => "?").join(", ")})`);
    values.push(...list);
  }
  return db
    .all(
      `SELECT ${RUN_COLUMNS} WHERE ${where.join(" AND ")} ORDER BY r.serial DESC LIMIT ?`,
      ...values,
      Math.min(limit, RUNS_LISTED_MAX),
    )
    .map((row) => toRun(db, row));
}

/** The serial of a run; of one that is not there, none is before. */
function serialBefore(db: LedgerDatabase, runId: string | null): number {
  if (runId === null) return Number.MAX_SAFE_INTEGER;
  const row = db.get("SELECT serial FROM runs WHERE id = ?", runId);
  return row ? Number(row["serial"]) : 0;
}

export interface DayCount {
  /** Its begin in UTC, in milliseconds since the Unix epoch. */
  readonly day: number;
  /** Runs that began on it, by the state they are in now; states without any are left out. */
  readonly runs: Readonly<Partial<Record<RunState, number>>>;
}

export interface RunCounts {
  /** Oldest first; days without runs are left out. */
  readonly days: readonly DayCount[];
  /** Of the runs that are over, the part that succeeded; null while none is over. */
  readonly successRate: number | null;
}

/** The runs of a sync that began at `since` or later, within DAYS_MAX days from then. */
export function countRuns(
  db: LedgerDatabase,
  syncId: string,
  since: number,
): RunCounts {
  const rows = db.all(
    `SELECT started_at / ${DAY_MS} AS day, state, count(*) AS runs FROM runs
     WHERE sync = ? AND started_at >= ? AND started_at < ?
     GROUP BY started_at / ${DAY_MS}, state ORDER BY 1, 2`,
    syncId,
    since,
    since + DAYS_MAX * DAY_MS,
  );
  return toCounts(rows, countSuccess);
}

/** The same of one stream: the runs that had it, by how it ended. */
export function countStreamRuns(
  db: LedgerDatabase,
  syncId: string,
  stream: { readonly namespace: string; readonly name: string },
  since: number,
): StreamCounts {
  const rows = db.all(
    `SELECT r.started_at / ${DAY_MS} AS day, s.state, count(*) AS runs FROM runs r
     JOIN streams s ON s.run = r.id AND s.namespace = ? AND s.name = ?
     WHERE r.sync = ? AND r.started_at >= ? AND r.started_at < ?
     GROUP BY r.started_at / ${DAY_MS}, s.state ORDER BY 1, 2`,
    stream.namespace,
    stream.name,
    syncId,
    since,
    since + DAYS_MAX * DAY_MS,
  );
  return toCounts(rows, countStreamSuccess);
}

export interface StreamCounts {
  readonly days: readonly {
    readonly day: number;
    readonly runs: Readonly<Partial<Record<StreamProgress, number>>>;
  }[];
  readonly successRate: number | null;
}

/** Null: not over, and not counted. */
type Judge = (state: string) => boolean | null;

const countSuccess: Judge = (state) =>
  state === "running" ? null : state === "succeeded";

const countStreamSuccess: Judge = (state) =>
  state === "committed" ? true : state === "failed" ? false : null;

function toCounts(
  rows: readonly Record<string, unknown>[],
  judge: Judge,
): RunCounts & StreamCounts {
  const days = new Map<number, Record<string, number>>();
  let over = 0;
  let succeeded = 0;
  for (const row of rows) {
    const day = Number(row["day"]) * DAY_MS;
    const state = String(row["state"]);
    const runs = Number(row["runs"]);
    days.set(day, { ...days.get(day), [state]: runs });
    const verdict = judge(state);
    if (verdict !== null) over += runs;
    if (verdict) succeeded += runs;
  }
  return {
    days: [...days].map(([day, runs]) => ({ day, runs })),
    successRate: over === 0 ? null : succeeded / over,
  };
}

export interface StreamRunRecord {
  readonly runId: string;
  readonly runState: RunState;
  readonly startedAt: number;
  readonly finishedAt: number | null;
  readonly generation: number;
  readonly state: StreamProgress;
  readonly fingerprint: string;
  /** Of what is durable and counts. */
  readonly rows: number;
  readonly bytes: number;
  readonly error: WireError | null;
}

/** How a stream fared in the runs of its sync, newest first. */
export function listStreamRuns(
  db: LedgerDatabase,
  syncId: string,
  stream: { readonly namespace: string; readonly name: string },
  {
    before = null,
    limit,
  }: { readonly before?: string | null; readonly limit: number },
): StreamRunRecord[] {
  return db
    .all(
      `SELECT r.id, r.state AS run_state, r.started_at, r.finished_at, s.generation, s.state, s.fingerprint, s.error,
         (SELECT coalesce(sum(d.rows), 0) FROM durable d
          WHERE d.run = s.run AND d.stream = s.number AND d.dropped_epoch IS NULL) AS durable_rows,
         (SELECT coalesce(sum(d.bytes), 0) FROM durable d
          WHERE d.run = s.run AND d.stream = s.number AND d.dropped_epoch IS NULL) AS durable_bytes
       FROM runs r JOIN streams s ON s.run = r.id AND s.namespace = ? AND s.name = ?
       WHERE r.sync = ? AND r.serial < ? ORDER BY r.serial DESC LIMIT ?`,
      stream.namespace,
      stream.name,
      syncId,
      serialBefore(db, before),
      Math.min(limit, RUNS_LISTED_MAX),
    )
    .map((row) => ({
      runId: String(row["id"]),
      runState: row["run_state"] as RunState,
      startedAt: Number(row["started_at"]),
      finishedAt: row["finished_at"] as number | null,
      generation: Number(row["generation"]),
      state: row["state"] as StreamProgress,
      fingerprint: String(row["fingerprint"]),
      rows: Number(row["durable_rows"]),
      bytes: Number(row["durable_bytes"]),
      error: row["error"] === null ? null : db.parse<WireError>(row["error"]),
    }));
}
