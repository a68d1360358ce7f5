/** The snapshots that a run has used, and what happened in it, for people. */
import { strict as assert } from "node:assert";
import type { LedgerDatabase } from "./database.ts";
import { startStreamOver } from "./plans.ts";
import type { EventRecord, SnapshotRecord } from "./records.ts";

/** The newest events of a run that are kept; every EVENTS_PRUNED_EVERY-th insertion removes those beyond. */
export const EVENTS_PER_RUN_MAX = 10_000;
export const EVENTS_PRUNED_EVERY = 256;

/** Characters of one event's details. */
export const EVENT_DETAILS_MAX = 65_536;

/**
 * Records a snapshot under which the attempt reads. Streams that cannot go on under another snapshot than their
 * first must have started over before: else a crash after this would let their old checkpoints count. One that has
 * failed, and is not resumed with the others, starts over here, for the case that it is resumed later.
 */
export function recordSnapshot(
  db: LedgerDatabase,
  runId: string,
  epoch: number,
  snapshot: SnapshotRecord,
): void {
  db.fenced(runId, epoch, () => {
    const known = snapshotsOf(db, runId).some(
      ({ id, visible }) => id === snapshot.id && visible === snapshot.visible,
    );
    for (const { stream, state } of known ? [] : findBound(db, runId)) {
      assert(
        state === "failed",
        `stream ${stream} has to start over under a new snapshot`,
      );
      startStreamOver(db, runId, epoch, stream);
    }
    db.run(
      `INSERT INTO snapshots (run, epoch, id, visible, keeper_pid, keeper_start, keeper_socket)
       VALUES (?, ?, ?, ?, ?, ?, ?)`,
      runId,
      epoch,
      snapshot.id,
      snapshot.visible,
      snapshot.keeperPid,
      snapshot.keeperStart,
      snapshot.keeperSocket,
    );
  });
}

/**
 * Unfinished streams with something durable and a partition that is not a key range: `planResume` says why. Changes
 * come from the log, under whatever snapshot.
 */
function findBound(
  db: LedgerDatabase,
  runId: string,
): { readonly stream: number; readonly state: string }[] {
  return db
    .all(
      `SELECT s.number, s.state FROM streams s
       WHERE s.run = ? AND s.state NOT IN ('committing', 'committed')
         AND EXISTS (SELECT 1 FROM durable d WHERE d.run = s.run AND d.stream = s.number AND d.dropped_epoch IS NULL)
         AND EXISTS (SELECT 1 FROM partitions p WHERE p.run = s.run AND p.stream = s.number
           AND p.superseded_epoch IS NULL AND ${db.dialect.jsonText("p.split", "kind")} NOT IN ('key', 'log'))
         AND EXISTS (SELECT 1 FROM partitions p WHERE p.run = s.run AND p.stream = s.number
           AND p.superseded_epoch IS NULL AND ${db.dialect.jsonText("p.split", "kind")} <> 'log' AND NOT EXISTS (
             SELECT 1 FROM durable d WHERE d.run = p.run AND d.stream = p.stream AND d.partition = p.ordinal
               AND d.last = 1 AND d.dropped_epoch IS NULL))
       ORDER BY s.number`,
      runId,
    )
    .map((row) => ({
      stream: Number(row["number"]),
      state: String(row["state"]),
    }));
}

/** Oldest first; one that was adopted by a later attempt is there once for each. */
export function snapshotsOf(
  db: LedgerDatabase,
  runId: string,
): (SnapshotRecord & { readonly epoch: number })[] {
  return db
    .all("SELECT * FROM snapshots WHERE run = ? ORDER BY serial", runId)
    .map((row) => ({
      epoch: Number(row["epoch"]),
      id: String(row["id"]),
      visible: String(row["visible"]),
      keeperPid: Number(row["keeper_pid"]),
      keeperStart: row["keeper_start"] as string | null,
      keeperSocket: String(row["keeper_socket"]),
    }));
}

export function recordEvent(
  db: LedgerDatabase,
  runId: string,
  kind: string,
  detailsJson: string,
): void {
  assert(detailsJson.length <= EVENT_DETAILS_MAX, `${kind} is too long`);
  db.transaction(() => {
    const row = db.get(
      "INSERT INTO events (run, at, kind, details) VALUES (?, ?, ?, ?) RETURNING serial",
      runId,
      Date.now(),
      kind,
      detailsJson,
    );
    const serial = Number(row?.["serial"]);
    if (serial % EVENTS_PRUNED_EVERY === 0)
      db.run(
        `DELETE FROM events WHERE run = ?1 AND serial <=
           (SELECT serial FROM events WHERE run = ?1 ORDER BY serial DESC LIMIT 1 OFFSET ?2)`,
        runId,
        EVENTS_PER_RUN_MAX,
      );
  }, "run");
}

export interface EventFilter {
  /** Absent: all. */
  readonly kinds?: readonly string[];
  /** The oldest of them. */
  readonly limit?: number;
}

/** Oldest first. */
export function eventsOf(
  db: LedgerDatabase,
  runId: string,
  { kinds, limit = EVENTS_PER_RUN_MAX * 2 }: EventFilter = {},
): EventRecord[] {
  const ofKinds = kinds
    ? `AND kind IN (${kinds.map(() => "?").join(", ")})`
    : "";
  return db
    .all(
      `SELECT at, kind, details FROM events WHERE run = ? ${ofKinds} ORDER BY serial LIMIT ?`,
      runId,
      ...(kinds ?? []),
      limit,
    )
    .map((row) => ({
      at: Number(row["at"]),
      kind: String(row["kind"]),
      detailsJson: String(row["details"]),
    }));
}
