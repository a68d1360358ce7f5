/** Who runs what is queued: entries are taken under a lease, by the ledger's clock, with an epoch that only grows. */
import { strict as assert } from "node:assert";
import type { LedgerDatabase } from "./database.ts";
import { nameEntry, toQueued } from "./queue.ts";
import type { QueuedRun } from "./queue.ts";

/** Entries that are looked at in one step of taking. */
const CANDIDATES_PER_STEP = 1_024;

/** An entry that could be taken. Only what the index holds: thousands may be looked at before one is accepted. */
export interface QueueCandidate {
  readonly queueId: string;
  readonly sync: string;
}

export interface TakeOptions {
  readonly leaseMs: number;
  /** Entries to take at most. */
  readonly limit: number;
  /** Asked of each that could be taken, in order; it may count what it has said yes to. Absent: all. */
  readonly accepts?: (entry: QueueCandidate) => boolean;
}

/**
 * Takes entries that are due, oldest first. Never one of a sync that is paused or of which another entry is taken.
 * Leases that have run out are given up before.
 */
export function takeQueued(
  db: LedgerDatabase,
  daemon: string,
  { leaseMs, limit, accepts }: TakeOptions,
): QueuedRun[] {
  return db.transaction(() => {
    const now = db.now();
    expireAt(db, now);
    const taken: QueuedRun[] = [];
    const busy = new Set<string>();
    let behind = { dueAt: Number.MIN_SAFE_INTEGER, number: 0 };
    while (taken.length < limit) {
      const candidates = findCandidates(db, now, behind);
      for (const { dueAt, number, sync } of candidates) {
        behind = { dueAt, number };
        if (taken.length >= limit) break;
        if (busy.has(sync)) continue;
        if (accepts?.({ queueId: nameEntry(number), sync }) === false) continue;
        taken.push(takeEntry(db, number, daemon, now + leaseMs));
        busy.add(sync);
      }
      if (candidates.length < CANDIDATES_PER_STEP) break;
    }
    return taken;
  });
}

function findCandidates(
  db: LedgerDatabase,
  now: number,
  behind: { readonly dueAt: number; readonly number: number },
): {
  readonly dueAt: number;
  readonly number: number;
  readonly sync: string;
}[] {
  return db
    .all(
      `SELECT q.due_at, q.number, q.sync FROM queue q
       WHERE q.state = 'queued' AND q.due_at <= ? AND (q.due_at, q.number) > (?, ?)
         AND NOT EXISTS (SELECT 1 FROM queue t WHERE t.sync = q.sync AND t.state = 'taken')
         AND NOT EXISTS (SELECT 1 FROM sync_states s WHERE s.name = q.sync AND s.paused = 1)
       ORDER BY q.due_at, q.number LIMIT ?`,
      now,
      behind.dueAt,
      behind.number,
      CANDIDATES_PER_STEP,
    )
    .map((row) => ({
      dueAt: Number(row["due_at"]),
      number: Number(row["number"]),
      sync: String(row["sync"]),
    }));
}

function takeEntry(
  db: LedgerDatabase,
  number: number,
  daemon: string,
  leaseExpiresAt: number,
): QueuedRun {
  const row = db.get(
    `UPDATE queue SET state = 'taken', daemon = ?, epoch = epoch + 1, attempts = attempts + 1, lease_expires_at = ?
     WHERE number = ? AND state = 'queued' RETURNING *`,
    daemon,
    leaseExpiresAt,
    number,
  );
  assert(row, `${nameEntry(number)} waited in this transaction`);
  return toQueued(row);
}

/** What a daemon believes to hold. */
export interface HeldEntry {
  readonly queueId: string;
  readonly epoch: number;
}

/**
 * Renews all leases of a daemon. One that has run out is renewed too, as long as nobody gave it up.
 * `lost`: those believed to be held that are not: what runs for them is to be stopped, its writes are refused.
 * `held`: all others that the ledger has under this daemon's name.
 */
export function renewLeases(
  db: LedgerDatabase,
  daemon: string,
  leaseMs: number,
  believed: readonly HeldEntry[],
): { readonly held: readonly HeldEntry[]; readonly lost: readonly string[] } {
  return db.transaction(() => {
    const held = db
      .all(
        `UPDATE queue SET lease_expires_at = ? WHERE state = 'taken' AND daemon = ? RETURNING number, epoch`,
        db.now() + leaseMs,
        daemon,
      )
      .map((row) => ({
        queueId: nameEntry(Number(row["number"])),
        epoch: Number(row["epoch"]),
      }));
    const epochs = new Map(held.map(({ queueId, epoch }) => [queueId, epoch]));
    const lost = believed
      .filter(({ queueId, epoch }) => epochs.get(queueId) !== epoch)
      .map(({ queueId }) => queueId);
    return { held, lost };
  });
}

/** Entries whose lease has run out wait again, with their runs: whoever takes one goes on with its run. */
export function expireLeases(db: LedgerDatabase): QueuedRun[] {
  return db.transaction(() => expireAt(db, db.now()));
}

function expireAt(db: LedgerDatabase, now: number): QueuedRun[] {
  return db
    .all(
      `UPDATE queue SET state = 'queued', daemon = NULL, lease_expires_at = NULL
       WHERE state = 'taken' AND lease_expires_at <= ? RETURNING *`,
      now,
    )
    .map(toQueued);
}

/**
 * All entries of a daemon wait again at once: for one that is known to be gone, as its successor with the run lock of
 * the same ledger knows. Gives them.
 */
export function releaseLeases(
  db: LedgerDatabase,
  daemon: string | null,
): QueuedRun[] {
  return db.transaction(() =>
    db
      .all(
        `UPDATE queue SET state = 'queued', daemon = NULL, lease_expires_at = NULL
       WHERE state = 'taken' AND daemon = coalesce(?, daemon) RETURNING *`,
        daemon,
      )
      .map(toQueued),
  );
}
