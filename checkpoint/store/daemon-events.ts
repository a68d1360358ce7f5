/** What happened to a daemon and its syncs outside of runs, for people: a new configuration, a schema that changed. */
import { strict as assert } from "node:assert";
import type { LedgerDatabase } from "./database.ts";
import { EVENT_DETAILS_MAX } from "./timeline.ts";

/** The newest events that are kept; every DAEMON_EVENTS_PRUNED_EVERY-th insertion removes those beyond. */
const DAEMON_EVENTS_MAX = 50_000;
const DAEMON_EVENTS_PRUNED_EVERY = 256;

/** Events that one listing gives. */
const DAEMON_EVENTS_LISTED_MAX = 1_000;

export interface DaemonEventRecord {
  /** Grows; a place to go on from. */
  readonly serial: number;
  /** The name of the sync that it is about; null for the daemon itself. */
  readonly sync: string | null;
  readonly at: number;
  readonly kind: string;
  readonly detailsJson: string;
}

export function recordDaemonEvent(
  db: LedgerDatabase,
  sync: string | null,
  kind: string,
  detailsJson: string,
): void {
  assert(detailsJson.length <= EVENT_DETAILS_MAX, `${kind} is too long`);
  db.transaction(() => {
    const row = db.get(
      "INSERT INTO daemon_events (sync, at, kind, details) VALUES (?, ?, ?, ?) RETURNING serial",
      sync,
      db.now(),
      kind,
      detailsJson,
    );
    const serial = Number(row?.["serial"]);
    if (serial % DAEMON_EVENTS_PRUNED_EVERY === 0)
      db.run(
        "DELETE FROM daemon_events WHERE serial <= ?",
        serial - DAEMON_EVENTS_MAX,
      );
  });
}

export interface DaemonEventFilter {
  /** Absent: all. Null: those of no sync. */
  readonly sync?: string | null;
  /** Only events before this one: the next page. */
  readonly before?: number | null;
  /** Only those that happened before this, in milliseconds since the Unix epoch. */
  readonly earlierThan?: number | null;
  readonly limit: number;
}

/** Newest first. */
export function daemonEventsOf(
  db: LedgerDatabase,
  { sync, before = null, earlierThan = null, limit }: DaemonEventFilter,
): DaemonEventRecord[] {
  const where = ["serial < ?"];
  const values: (string | number)[] = [before ?? Number.MAX_SAFE_INTEGER];
  if (earlierThan !== null) {
    where.push("at < ?");
    values.push(earlierThan);
  }
  if (sync === null) where.push("sync IS NULL");
  else if (sync !== undefined) {
    where.push("sync = ?");
    values.push(sync);
  }
  return db
    .all(
      `SELECT serial, sync, at, kind, details FROM daemon_events WHERE ${where.join(" AND ")} ORDER BY serial DESC LIMIT ?`,
      ...values,
      Math.min(limit, DAEMON_EVENTS_LISTED_MAX),
    )
    .map((row) => ({
      serial: Number(row["serial"]),
      sync: row["sync"] as string | null,
      at: Number(row["at"]),
      kind: String(row["kind"]),
      detailsJson: String(row["details"]),
    }));
}
