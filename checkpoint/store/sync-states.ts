/** What is remembered of a sync by its name in the configuration, and the streams that are to be copied anew. */
import { strict as assert } from "node:assert";
import type { LedgerDatabase } from "./database.ts";

/** Characters of a pause's reason, and of an agreement. */
const SYNC_STATE_JSON_MAX = 65_536;

/**
 * Nothing of it is taken from the queue any more, by no daemon; what runs goes on. May be repeated: a reason takes the
 * place of the one before, none leaves it.
 */
export function pauseSync(
  db: LedgerDatabase,
  name: string,
  reasonJson: string | null,
): void {
  checkLength(reasonJson);
  db.transaction(() =>
    db.run(
      `INSERT INTO sync_states (name, paused, pause_reason) VALUES (?, 1, ?)
       ON CONFLICT (name) DO UPDATE SET paused = 1,
         pause_reason = coalesce(excluded.pause_reason, sync_states.pause_reason)`,
      name,
      reasonJson,
    ),
  );
}

/** Its pause ends, with the reason. May be repeated. */
export function resumeSync(db: LedgerDatabase, name: string): void {
  db.transaction(() =>
    db.run(
      "UPDATE sync_states SET paused = 0, pause_reason = NULL WHERE name = ?",
      name,
    ),
  );
}

/** What its next runs may do because somebody agreed to it; null takes that back. */
export function setAgreement(
  db: LedgerDatabase,
  name: string,
  agreementJson: string | null,
): void {
  checkLength(agreementJson);
  db.transaction(() =>
    db.run(
      `INSERT INTO sync_states (name, agreement) VALUES (?, ?)
       ON CONFLICT (name) DO UPDATE SET agreement = excluded.agreement`,
      name,
      agreementJson,
    ),
  );
}

function checkLength(json: string | null): void {
  assert(
    json === null || json.length <= SYNC_STATE_JSON_MAX,
    "what is remembered of a sync is too long",
  );
}

export interface SyncState {
  readonly isPaused: boolean;
  readonly reasonJson: string | null;
  readonly agreementJson: string | null;
}

export function syncStateOf(db: LedgerDatabase, name: string): SyncState {
  const row = db.get(
    "SELECT paused, pause_reason, agreement FROM sync_states WHERE name = ?",
    name,
  );
  return {
    isPaused: Number(row?.["paused"] ?? 0) === 1,
    reasonJson: (row?.["pause_reason"] ?? null) as string | null,
    agreementJson: (row?.["agreement"] ?? null) as string | null,
  };
}

export function pausedSyncs(db: LedgerDatabase): string[] {
  return db
    .all("SELECT name FROM sync_states WHERE paused = 1 ORDER BY name")
    .map(({ name }) => String(name));
}

/** When the schedule was last due and recorded, in milliseconds since the Unix epoch; null for never. */
export function lastScheduled(db: LedgerDatabase, name: string): number | null {
  const row = db.get(
    "SELECT last_scheduled FROM sync_states WHERE name = ?",
    name,
  );
  return (row?.["last_scheduled"] ?? null) as number | null;
}

/**
 * Notes that the schedule's time `at` was seen to; to be called in the transaction that enqueues the run, so that it is
 * neither missed nor doubled. False when that time, or a later one, was noted before, by whichever daemon: then
 * nothing is to be enqueued.
 */
export function recordScheduled(
  db: LedgerDatabase,
  name: string,
  at: number,
): boolean {
  return db.transaction(() => {
    const changed = db.run(
      `INSERT INTO sync_states (name, last_scheduled) VALUES (?, ?)
       ON CONFLICT (name) DO UPDATE SET last_scheduled = excluded.last_scheduled
       WHERE coalesce(sync_states.last_scheduled, excluded.last_scheduled - 1) < excluded.last_scheduled`,
      name,
      at,
    );
    return changed === 1;
  });
}

/**
 * Forgets how far the stream's cursor came. Runs that have begun before go on as they are, and leave no cursor either;
 * the first that begins after this finds none, and is told by `isStreamReset` that its copy is to take the place of
 * all that was copied before: in a mode that appends, every row would else be there twice. The commit of that run
 * ends it.
 */
export function resetStream(
  db: LedgerDatabase,
  syncId: string,
  namespace: string,
  name: string,
): void {
  db.transaction(() => {
    const place = [syncId, namespace, name] as const;
    const newest = db.get(
      "SELECT coalesce(max(serial), 0) AS serial FROM runs WHERE sync = ?",
      syncId,
    );
    db.run(
      `INSERT INTO stream_resets (sync, namespace, name, after_serial) VALUES (?, ?, ?, ?)
       ON CONFLICT (sync, namespace, name) DO UPDATE SET after_serial = excluded.after_serial`,
      ...place,
      Number(newest?.["serial"]),
    );
    db.run(
      "DELETE FROM cursor_states WHERE sync = ? AND namespace = ? AND name = ?",
      ...place,
    );
  });
}

/** Whether this run's copy of the stream is to take the place of all earlier ones. */
export function isStreamReset(
  db: LedgerDatabase,
  runId: string,
  namespace: string,
  name: string,
): boolean {
  return findReset(db, runId, namespace, name) === "due";
}

/** `due`: for this run to see to. `later`: the run had begun before, and what it knows is forgotten already. */
export function findReset(
  db: LedgerDatabase,
  runId: string,
  namespace: string,
  name: string,
): "none" | "due" | "later" {
  const row = db.get(
    `SELECT r.serial, s.after_serial FROM runs r
     JOIN stream_resets s ON s.sync = r.sync AND s.namespace = ? AND s.name = ?
     WHERE r.id = ?`,
    namespace,
    name,
    runId,
  );
  if (!row) return "none";
  return Number(row["serial"]) > Number(row["after_serial"]) ? "due" : "later";
}
