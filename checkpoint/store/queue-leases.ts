/** Who runs what is queued: entries are taken under a lease, by the ledger's clock, with an epoch that only grows. */
import { strict as assert } from "node:assert";
import type { LedgerDatabase, Row } from "./database.ts";
import { nameEntry, toQueued } from "./queue.ts";
import type { QueuedRun } from "./queue.ts";

/** Entries that are read in the first step of taking, and in the largest. */
const CANDIDATES_FIRST = 32;
const CANDIDATES_PER_STEP_MAX = 1_024;

/** An entry that could be taken. Only what the index holds: thousands may be looked at before one is accepted. */
export interface QueueCandidate {
  readonly queueId: string;
  readonly sync: string;
}

/**
 * How far one daemon has looked through what waits: all that stands before, it has taken, or it waits for a run of its
 * own sync. Only for a daemon that has the ledger for itself, and tells it what happens to those syncs.
 */
export class QueuePlace {
  behind: EntryPlace = beforeAll;
  /** Syncs of which entries that were passed over may be taken again. */
  readonly freed = new Set<string>();

  /** The next look begins at the oldest entry. */
  forget(): void {
    this.behind = beforeAll;
    this.freed.clear();
  }
}

interface EntryPlace {
  readonly dueAt: number;
  readonly number: number;
}

const beforeAll: EntryPlace = { dueAt: Number.MIN_SAFE_INTEGER, number: 0 };

export interface TakeOptions {
  readonly leaseMs: number;
  /** Entries to take at most. */
  readonly limit: number;
  /** Asked of each that could be taken, in order; it may count what it has said yes to. Absent: all. */
  readonly accepts?: (entry: QueueCandidate) => boolean;
  /** Where to go on looking; absent: at the oldest entry. */
  readonly place?: QueuePlace;
}

/**
 * Takes entries that are due, oldest first. Never one of a sync that is paused or of which another entry is taken.
 * Leases that have run out are given up before.
 */
export function takeQueued(
  db: LedgerDatabase,
  daemon: string,
  { leaseMs, limit, accepts, place = new QueuePlace() }: TakeOptions,
): QueuedRun[] {
  const look = new Look(limit, accepts);
  return db.transaction(() => {
    const now = db.now();
    // what was held by somebody may stand anywhere
    if (expireAt(db, now).length > 0) place.forget();
    const take = (number: number) =>
      takeEntry(db, number, daemon, now + leaseMs);
    const freed = findFreed(db, now, place);
    look.through(freed, take);
    for (const sync of place.freed)
      if (!look.refused.has(sync) && !look.unseen.has(sync))
        place.freed.delete(sync);
    let { behind } = place;
    // what was refused is asked about again the next time
    let isRefused = look.refused.size > 0 || look.unseen.size > 0;
    let step = CANDIDATES_FIRST;
    while (look.hasRoom) {
      const candidates = findCandidates(db, now, behind, step);
      for (const one of look.through(candidates, take)) {
        behind = one;
        isRefused ||= look.refused.has(one.sync);
        // what is added within this millisecond may come to stand before it
        if (!isRefused && one.dueAt < now) place.behind = one;
      }
      if (candidates.length < step) {
        if (look.hasRoom && !isRefused)
          place.behind = { dueAt: now - 1, number: Number.MAX_SAFE_INTEGER };
        break;
      }
      step = Math.min(2 * step, CANDIDATES_PER_STEP_MAX);
    }
    return look.taken;
  });
}

interface Candidate extends EntryPlace {
  readonly sync: string;
}

/** One look through what waits, the oldest first. */
class Look {
  readonly taken: QueuedRun[] = [];
  /** Syncs of which one was refused; of which one was not come to. */
  readonly refused = new Set<string>();
  readonly unseen = new Set<string>();
  readonly #limit: number;
  readonly #accepts: TakeOptions["accepts"];
  readonly #busy = new Set<string>();

  constructor(limit: number, accepts: TakeOptions["accepts"]) {
    this.#limit = limit;
    this.#accepts = accepts;
  }

  get hasRoom(): boolean {
    return this.taken.length < this.#limit;
  }

  /** Gives those that were looked at. */
  through(
    candidates: readonly Candidate[],
    take: (number: number) => QueuedRun,
  ): readonly Candidate[] {
    let seen = 0;
    for (const { number, sync } of candidates) {
      if (!this.hasRoom) break;
      seen += 1;
      if (this.#busy.has(sync)) continue;
      const queueId = nameEntry(number);
      if (this.#accepts?.({ queueId, sync }) === false) {
        this.refused.add(sync);
        continue;
      }
      this.taken.push(take(number));
      this.#busy.add(sync);
    }
    for (const { sync } of candidates.slice(seen)) this.unseen.add(sync);
    return candidates.slice(0, seen);
  }
}

/** The oldest of each sync that was freed, among what was passed over. */
function findFreed(
  db: LedgerDatabase,
  now: number,
  { freed, behind }: QueuePlace,
): Candidate[] {
  return [...freed]
    .flatMap((sync) =>
      db.all(
        `SELECT q.due_at, q.number, q.sync FROM queue q
         WHERE q.sync = ? AND q.state = 'queued' AND q.due_at <= ? AND (q.due_at, q.number) <= (?, ?)
           AND NOT EXISTS (SELECT 1 FROM queue t WHERE t.sync = q.sync AND t.state = 'taken')
           AND NOT EXISTS (SELECT 1 FROM sync_states s WHERE s.name = q.sync AND s.paused = 1)
         ORDER BY q.due_at, q.number LIMIT 1`,
        sync,
        now,
        behind.dueAt,
        behind.number,
      ),
    )
    .map(toCandidate)
    .sort((a, b) => a.dueAt - b.dueAt || a.number - b.number);
}

function findCandidates(
  db: LedgerDatabase,
  now: number,
  behind: EntryPlace,
  limit: number,
): Candidate[] {
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
      limit,
    )
    .map(toCandidate);
}

function toCandidate(row: Row): Candidate {
  return {
    dueAt: Number(row["due_at"]),
    number: Number(row["number"]),
    sync: String(row["sync"]),
  };
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
