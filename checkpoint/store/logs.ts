/**
 * Where each sync stands in the log of its source. One value: position, the engine's offset and its schema history are
 * written together, and only once every row up to there is durable. The source forgets nothing before that is on disk.
 */
import { strict as assert } from "node:assert";
import type { LedgerDatabase } from "./database.ts";

export interface LogNames {
  /** What holds the log for this sync at the source. */
  readonly slot: string;
  readonly publication: string;
}

export interface LogRecord extends LogNames {
  /**
   * `creating`: an attempt has begun to make what the names stand for, and nothing rests on it yet. `ready`: the log is
   * followed from `position`. `givenUp`: the source was told to forget it, for the reason in `givenUp`.
   */
  readonly stage: "creating" | "ready" | "givenUp";
  readonly sourceEpoch: number;
  /** Of the server, as the source tells it; null while `creating`. */
  readonly identity: string | null;
  /** Every change up to here is durable. */
  readonly position: string | null;
  /** The engine's own, opaque: at or before `position`. */
  readonly offset: string | null;
  /** Opaque texts of the engine, in their order, as they were at `offset`. */
  readonly history: readonly string[];
  /** For people; null: it is not given up. */
  readonly givenUp: string | null;
}

/** The names are ours from here on: whatever has them at the source may be removed until the log is `ready`. */
export function beginLog(
  db: LedgerDatabase,
  runId: string,
  epoch: number,
  { slot, publication }: LogNames,
): LogRecord {
  return db.fenced(runId, epoch, () => {
    const syncId = syncOf(db, runId);
    const known = logOf(db, syncId);
    assert(
      known === null || known.stage === "creating",
      "the log is followed already, or was given up",
    );
    db.run(
      `INSERT INTO logs (sync, slot, publication, stage, source_epoch) VALUES (?, ?, ?, 'creating', 1)
       ON CONFLICT (sync) DO UPDATE SET slot = excluded.slot, publication = excluded.publication`,
      syncId,
      slot,
      publication,
    );
    const begun = logOf(db, syncId);
    assert(begun);
    return begun;
  });
}

/** The log is held at the source from `position` on. */
export function openLog(
  db: LedgerDatabase,
  runId: string,
  epoch: number,
  {
    identity,
    position,
    offset,
    history,
  }: {
    readonly identity: string;
    readonly position: string;
    readonly offset: string | null;
    readonly history: readonly string[];
  },
): void {
  db.fenced(runId, epoch, () => {
    const changed = db.run(
      `UPDATE logs SET stage = 'ready', identity = ?, position = ?, place = ?, history = ?
       WHERE sync = ? AND stage = 'creating'`,
      identity,
      position,
      offset,
      JSON.stringify(history),
      syncOf(db, runId),
    );
    assert(changed === 1, "the log was not begun");
    db.run(
      "INSERT INTO log_entries (run) VALUES (?) ON CONFLICT (run) DO UPDATE SET position = NULL, place = NULL, history = NULL",
      runId,
    );
  });
}

/**
 * Every row up to `position` is durable, of all streams; `history` null: as it was. In the same transaction as the
 * states that say so.
 */
export function advanceLog(
  db: LedgerDatabase,
  runId: string,
  epoch: number,
  {
    position,
    offset,
    history,
  }: {
    readonly position: string;
    readonly offset: string | null;
    readonly history: readonly string[] | null;
  },
): void {
  db.fenced(runId, epoch, () => {
    const changed = db.run(
      `UPDATE logs SET position = ?1, place = coalesce(?2, place), history = coalesce(?3, history)
       WHERE sync = ?4 AND stage = 'ready' AND position <= ?1`,
      position,
      offset,
      history && JSON.stringify(history),
      syncOf(db, runId),
    );
    assert(changed === 1, `the log does not go back to ${position}`);
  });
}

/** Null: no run of the sync has followed the log, or it was given up. */
export function logOf(db: LedgerDatabase, syncId: string): LogRecord | null {
  const row = db.get("SELECT * FROM logs WHERE sync = ?", syncId);
  if (!row) return null;
  return {
    slot: String(row["slot"]),
    publication: String(row["publication"]),
    stage: row["stage"] as LogRecord["stage"],
    sourceEpoch: Number(row["source_epoch"]),
    identity: row["identity"] as string | null,
    position: row["position"] as string | null,
    offset: row["place"] as string | null,
    history: db.parse(row["history"] ?? "[]"),
    givenUp: row["given_up"] as string | null,
  };
}

/** Before the source is told to forget it: from here on no run goes on with it. */
export function giveUpLog(
  db: LedgerDatabase,
  runId: string,
  epoch: number,
  reason: string,
): void {
  db.fenced(runId, epoch, () => {
    db.run(
      "UPDATE logs SET stage = 'givenUp', given_up = ? WHERE sync = ? AND stage = 'ready'",
      reason,
      syncOf(db, runId),
    );
  });
}

/**
 * Gives the log up, so that the next run begins one under a higher source epoch and copies every stream whole. The
 * names stay: what they stand for is removed by that run.
 */
export function resetLog(db: LedgerDatabase, syncId: string): void {
  db.transaction(() => {
    db.run(
      `UPDATE logs SET stage = 'creating', source_epoch = source_epoch + 1, identity = NULL, position = NULL,
         place = NULL, history = '[]', given_up = NULL
       WHERE sync = ?`,
      syncId,
    );
    db.run("DELETE FROM cursor_states WHERE sync = ?", syncId);
  });
}

/** The run's log ends here, in this attempt or a later one: written before the last checkpoint of any stream is made. */
export function endLog(
  db: LedgerDatabase,
  runId: string,
  epoch: number,
  position: string,
  /** The table whose new shape ends it before its time; null: it was to end there. */
  cutBy: string | null,
): string {
  return db.fenced(runId, epoch, () => {
    db.run(
      "INSERT INTO log_ends (run, position, cut_by) VALUES (?, ?, ?) ON CONFLICT (run) DO NOTHING",
      runId,
      position,
      cutBy,
    );
    const ended = logEndOf(db, runId);
    assert(ended !== null);
    return ended;
  });
}

/** Where tables come to a log that goes on already: what stands for a log that begins there. */
export interface LogEntryRecord {
  readonly position: string;
  readonly offset: string;
  readonly history: readonly string[];
}

/**
 * The run's first attempt decides: what it has read of such tables is as they were there.
 * @param entry null: what the ledger has is asked for
 * @returns null where all tables of the run come from the log as it goes on
 */
export function enterLog(
  db: LedgerDatabase,
  runId: string,
  epoch: number,
  entry: LogEntryRecord | null,
): LogEntryRecord | null {
  return db.fenced(runId, epoch, () => {
    if (entry)
      db.run(
        "INSERT INTO log_entries (run, position, place, history) VALUES (?, ?, ?, ?) ON CONFLICT (run) DO NOTHING",
        runId,
        entry.position,
        entry.offset,
        JSON.stringify(entry.history),
      );
    const row = db.get("SELECT * FROM log_entries WHERE run = ?", runId);
    if (!row || row["position"] === null) return null;
    return {
      position: String(row["position"]),
      offset: String(row["place"]),
      history: db.parse(row["history"]),
    };
  });
}

/** Null: not decided. */
export function logEndOf(db: LedgerDatabase, runId: string): string | null {
  const row = db.get("SELECT position FROM log_ends WHERE run = ?", runId);
  return row ? String(row["position"]) : null;
}

/** The table whose new shape has ended the run's log before its time; null: none. */
export function logCutOf(db: LedgerDatabase, runId: string): string | null {
  const row = db.get("SELECT cut_by FROM log_ends WHERE run = ?", runId);
  return (row?.["cut_by"] as string | null | undefined) ?? null;
}

/** The stream is copied whole again: of its log nothing is known to be durable. */
export function forgetStreamLog(
  db: LedgerDatabase,
  runId: string,
  epoch: number,
  { namespace, name }: { readonly namespace: string; readonly name: string },
): void {
  db.fenced(runId, epoch, () => {
    db.run(
      "DELETE FROM cursor_states WHERE sync = ? AND namespace = ? AND name = ?",
      syncOf(db, runId),
      namespace,
      name,
    );
  });
}

function syncOf(db: LedgerDatabase, runId: string): string {
  const row = db.get("SELECT sync FROM runs WHERE id = ?", runId);
  assert(row, `no run ${runId}`);
  return String(row["sync"]);
}
