/**
 * The lock that lets one run at a time work on a sync, where a ledger is shared by hosts: a lease, since nobody there
 * sees whether a process of another host still lives. It keeps honest runs apart; what fences a late one is the epoch.
 */
import { randomUUID } from "node:crypto";
import { hostname } from "node:os";
import { ExtractError } from "../../proto/error.ts";
import type { LedgerDatabase } from "./database.ts";
import type { LockHolder, RunLock } from "./locks.ts";
import { mayBeAlive, processStartTime } from "./process-identity.ts";

/** How long a lock outlives the process that held it, in milliseconds. */
const SYNC_LOCK_LEASE_MS = 60_000;

const RENEWALS_PER_LEASE = 4;

/**
 * Takes the lock of a sync, and renews it until it is released.
 * @throws ExtractError RUN_LOCKED naming host, pid and time of the holder
 */
export function acquireSyncLock(
  db: LedgerDatabase,
  syncId: string,
  leaseMs: number = SYNC_LOCK_LEASE_MS,
): RunLock {
  const id = randomUUID();
  const holder: LockHolder = {
    host: hostname(),
    pid: process.pid,
    pidStartTime: processStartTime(process.pid),
    since: takeLock(db, syncId, id, leaseMs),
  };
  const timer = setInterval(() => {
    try {
      renewLock(db, syncId, id, leaseMs);
    } catch {
      // the server is away: the next turn tries again, and a lease that ran out in between is found taken
    }
  }, leaseMs / RENEWALS_PER_LEASE);
  timer.unref();
  let isReleased = false;
  return {
    path: `${db.path} (${syncId})`,
    holder,
    release: () => {
      clearInterval(timer);
      if (isReleased) return;
      isReleased = true;
      try {
        db.run(
          "DELETE FROM sync_locks WHERE sync = ? AND holder = ?",
          syncId,
          id,
        );
      } catch {
        // the server is away: it ends with its lease, or with this process
      }
    },
  };
}

function takeLock(
  db: LedgerDatabase,
  syncId: string,
  id: string,
  leaseMs: number,
): number {
  return db.transaction(() => {
    const now = db.now();
    const held = db.get("SELECT * FROM sync_locks WHERE sync = ?", syncId);
    if (held) {
      const host = String(held["host"]);
      const pid = Number(held["pid"]);
      const isOver =
        Number(held["expires_at"]) <= now ||
        !mayBeAlive({
          host,
          pid,
          pidStartTime: held["pid_start"] as string | null,
        });
      if (!isOver)
        throw lockedError(db.path, { host, pid, since: Number(held["since"]) });
    }
    db.run(
      `INSERT INTO sync_locks (sync, holder, host, pid, pid_start, since, expires_at) VALUES (?, ?, ?, ?, ?, ?, ?)
       ON CONFLICT (sync) DO UPDATE SET holder = excluded.holder, host = excluded.host, pid = excluded.pid,
         pid_start = excluded.pid_start, since = excluded.since, expires_at = excluded.expires_at`,
      syncId,
      id,
      hostname(),
      process.pid,
      processStartTime(process.pid),
      now,
      now + leaseMs,
    );
    return now;
  });
}

/** One that somebody else has taken over is theirs. */
function renewLock(
  db: LedgerDatabase,
  syncId: string,
  id: string,
  leaseMs: number,
): void {
  db.transaction(() =>
    db.run(
      "UPDATE sync_locks SET expires_at = ? WHERE sync = ? AND holder = ?",
      db.now() + leaseMs,
      syncId,
      id,
    ),
  );
}

function lockedError(
  path: string,
  { host, pid, since: at }: { host: string; pid: number; since: number },
): ExtractError {
  const since = new Date(at).toISOString();
  return new ExtractError(
    "RUN_LOCKED",
    `process ${pid} on ${host} has been running this sync since ${since} (ledger ${path})`,
    { path, host, pid, since },
  );
}
