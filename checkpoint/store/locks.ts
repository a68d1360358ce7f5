/**
 * The lock that lets one run at a time work with a ledger: a small SQLite database beside it, in which the holder
 * keeps a write transaction open. SQLite locks bytes of the file for it (fcntl), and the system lets these go when
 * the process ends, however it ends: there is no stale lock to judge. Pid and time are in it for the message only.
 */
import { DatabaseSync } from "node:sqlite";
import { mkdirSync } from "node:fs";
import { hostname } from "node:os";
import { dirname } from "node:path";
import { ExtractError } from "../../proto/error.ts";
import { processStartTime } from "./process-identity.ts";
import { isBusy, toLedgerError } from "./sqlite-error.ts";

/** How long a reader that looks who holds the lock may hold up its writer, in milliseconds. */
const LOCK_BUSY_MS = 200;

/** Turns of writing one's name and taking the lock again before giving way to whoever came in between. */
const LOCK_TRIES_MAX = 3;

export interface LockHolder {
  readonly host: string;
  readonly pid: number;
  readonly pidStartTime: string | null;
  /** Milliseconds since the Unix epoch. */
  readonly since: number;
}

export interface RunLock {
  readonly path: string;
  readonly holder: LockHolder;
  /** May be called again. */
  release(): void;
}

/**
 * Takes the run lock of a ledger, `<ledgerPath>.lock`. The file stays when the lock is released: a name that came and
 * went could be locked twice.
 * @throws ExtractError RUN_LOCKED naming pid and time of the holder
 */
export function acquireRunLock(ledgerPath: string): RunLock {
  const path = `${ledgerPath}.lock`;
  const holder = {
    host: hostname(),
    pid: process.pid,
    pidStartTime: processStartTime(process.pid),
    since: Date.now(),
  };
  const database = openLock(path);
  try {
    for (let tries = 0; tries < LOCK_TRIES_MAX; tries++) {
      begin(database, path);
      if (isHolder(readHolder(database), holder)) {
        const release = (): void => {
          // closing ends the transaction, and with it the lock
          if (database.isOpen) database.close();
        };
        return { path, holder, release };
      }
      // a name is seen by others once it is committed; the lock is open between that and the next begin
      writeHolder(database, holder);
      database.exec("COMMIT");
    }
    throw lockedError(path, readHolder(database));
  } catch (error) {
    database.close();
    throw toLedgerError(error, path);
  }
}

function openLock(path: string): DatabaseSync {
  try {
    mkdirSync(dirname(path), { recursive: true });
    return new DatabaseSync(path, { timeout: LOCK_BUSY_MS });
  } catch (error) {
    if (error instanceof Error && "errno" in error)
      throw new ExtractError(
        "DESTINATION_UNWRITABLE",
        `the folder of ${path} cannot be made: ${error.message}`,
        { path },
        { cause: error },
      );
    throw toLedgerError(error, path);
  }
}

function begin(database: DatabaseSync, path: string): void {
  try {
    database.exec("BEGIN IMMEDIATE");
  } catch (error) {
    if (!isBusy(error)) throw error;
    throw lockedError(path, readHolder(database));
  }
}

function lockedError(path: string, holder: LockHolder | null): ExtractError {
  if (!holder)
    return new ExtractError(
      "RUN_LOCKED",
      `another process is taking the run lock ${path}`,
      { path },
    );
  const since = new Date(holder.since).toISOString();
  return new ExtractError(
    "RUN_LOCKED",
    `process ${holder.pid} has been running since ${since} (lock ${path})`,
    { path, pid: holder.pid, since },
  );
}

function isHolder(found: LockHolder | null, holder: LockHolder): boolean {
  return (
    found?.pid === holder.pid &&
    found.pidStartTime === holder.pidStartTime &&
    found.since === holder.since
  );
}

/** Null while nobody has written their name yet, or just does. */
function readHolder(database: DatabaseSync): LockHolder | null {
  try {
    const table = database
      .prepare("SELECT 1 FROM sqlite_schema WHERE name = 'holder'")
      .get();
    if (!table) return null;
    const row = database.prepare("SELECT * FROM holder").get();
    return row
      ? {
          // byte locks of a file are known to one host
          host: hostname(),
          pid: Number(row["pid"]),
          pidStartTime: row["pid_start"] as string | null,
          since: Number(row["since"]),
        }
      : null;
  } catch (error) {
    if (isBusy(error)) return null;
    throw error;
  }
}

function writeHolder(database: DatabaseSync, holder: LockHolder): void {
  database.exec(
    "CREATE TABLE IF NOT EXISTS holder (pid INTEGER NOT NULL, pid_start TEXT, since INTEGER NOT NULL) STRICT; DELETE FROM holder",
  );
  database
    .prepare("INSERT INTO holder (pid, pid_start, since) VALUES (?, ?, ?)")
    .run(holder.pid, holder.pidStartTime, holder.since);
}
