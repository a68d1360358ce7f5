/** The queue for people and schedulers: what is in it. */
import type { LedgerDatabase } from "./database.ts";
import { readNumber, toQueued } from "./queue.ts";
import type { QueuedRun, QueueState } from "./queue.ts";

/** Entries that one listing gives. */
const QUEUE_LISTED_MAX = 10_000;

export interface QueueFilter {
  readonly sync?: string | null;
  readonly states?: readonly QueueState[] | null;
  /** Only entries that are older than this one: the next page. */
  readonly before?: string | null;
  readonly limit: number;
}

/** Newest first. */
export function listQueue(
  db: LedgerDatabase,
  { sync = null, states = null, before = null, limit }: QueueFilter,
): QueuedRun[] {
  const where: string[] = ["number < ?"];
  const values: (string | number)[] = [
    before === null ? Number.MAX_SAFE_INTEGER : readNumber(before),
  ];
  if (sync !== null) {
    where.push("sync = ?");
    values.push(sync);
  }
  if (states !== null) {
    where.push(`state IN (${states.map(() => "?").join(", ") || "NULL"})`);
    values.push(...states);
  }
  return db
    .all(
      `SELECT * FROM queue WHERE ${where.join(" AND ")} ORDER BY number DESC LIMIT ?`,
      ...values,
      Math.min(limit, QUEUE_LISTED_MAX),
    )
    .map(toQueued);
}

/** The newest entry that has become this run. */
export function queuedOfRun(
  db: LedgerDatabase,
  runId: string,
): QueuedRun | null {
  const row = db.get(
    "SELECT * FROM queue WHERE run = ? ORDER BY number DESC LIMIT 1",
    runId,
  );
  return row ? toQueued(row) : null;
}

/** Entries by state; of one sync, or of all. States without entries are there with 0. */
export function countQueue(
  db: LedgerDatabase,
  sync: string | null,
): Record<QueueState, number> {
  const counts: Record<QueueState, number> = {
    queued: 0,
    taken: 0,
    paused: 0,
    succeeded: 0,
    failed: 0,
    cancelled: 0,
  };
  const rows =
    sync === null
      ? db.all("SELECT state, count(*) AS entries FROM queue GROUP BY state")
      : db.all(
          "SELECT state, count(*) AS entries FROM queue WHERE sync = ? GROUP BY state",
          sync,
        );
  for (const row of rows)
    counts[row["state"] as QueueState] = Number(row["entries"]);
  return counts;
}

/**
 * When the next entry that is not due yet will be, of syncs that are not paused; null for none. For a timer: what is
 * due already and was not taken waits for something else to end.
 */
export function nextDueAt(db: LedgerDatabase): number | null {
  const row = db.get(
    `SELECT q.due_at FROM queue q WHERE q.state = 'queued' AND q.due_at > ?
       AND NOT EXISTS (SELECT 1 FROM sync_states s WHERE s.name = q.sync AND s.paused = 1)
     ORDER BY q.due_at, q.number LIMIT 1`,
    db.now(),
  );
  return row ? Number(row["due_at"]) : null;
}
