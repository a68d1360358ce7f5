/**
 * Runs that are asked for and not yet over. What is here when a call returns is on disk, and is not lost; a daemon
 * writes an entry only under the epoch with which it took it.
 */
import { strict as assert } from "node:assert";
import { ExtractError } from "../../proto/error.ts";
import type { LedgerDatabase, Row } from "./database.ts";
import {
  findMessage,
  findRequest,
  insertMessage,
  insertRequest,
} from "./queue-seen.ts";

/**
 * `queued`: waits for its turn or for `dueAt`. `taken`: a daemon holds its lease and runs it. `paused`: waits for an
 * operator. The others are final.
 */
export type QueueState =
  | "queued"
  | "taken"
  | "paused"
  | "succeeded"
  | "failed"
  | "cancelled";

export interface QueuedRun {
  /** `q-` and a number that grows. */
  readonly queueId: string;
  readonly sync: string;
  readonly key: string | null;
  readonly state: QueueState;
  /** `TriggerOrigin` and `RunScope` of the daemon, as JSON. */
  readonly originJson: string;
  readonly scopeJson: string;
  /** Milliseconds since the Unix epoch, by the ledger's clock. */
  readonly queuedAt: number;
  readonly dueAt: number;
  /** How often it was taken. */
  readonly attempts: number;
  /** The run that it has become; null before. */
  readonly runId: string | null;
  /** The daemon that holds it, until `leaseExpiresAt`; `epoch` grows with each that takes it. */
  readonly daemon: string | null;
  readonly epoch: number;
  readonly leaseExpiresAt: number | null;
  readonly errorJson: string | null;
}

/** Entries that wait, queued or paused. */
export const QUEUE_MAX = 100_000;

/** Entries that are over and kept, of each sync; every QUEUE_PRUNED_EVERY-th end removes those beyond. */
export const QUEUE_KEPT_PER_SYNC = 1_000;
export const QUEUE_PRUNED_EVERY = 64;

/** Characters of an entry's origin, and of its scope; a union of scopes that grows longer is not made. */
export const QUEUE_JSON_MAX = 262_144;

/** Characters of a sync's name, a key and a topic. */
const QUEUE_TEXT_MAX = 1_024;

/** A place in a Kafka topic; `offset` is decimal text. */
export interface QueueMessage {
  readonly topic: string;
  readonly partition: number;
  readonly offset: string;
  /** When it was written, as the broker tells it: decimal milliseconds; null where it does not. */
  readonly writtenAt: string | null;
}

/** A request that its caller may send again; `fingerprint` is of all that it asks for. */
export interface QueueRequest {
  readonly caller: string;
  readonly key: string;
  readonly fingerprint: string;
}

export interface NewQueuedRun {
  readonly sync: string;
  /** Entries with the same sync and key are one while it waits and has not become a run; null: each is its own. */
  readonly key: string | null;
  readonly originJson: string;
  readonly scopeJson: string;
  /** Null: at once, by the ledger's clock. */
  readonly dueAt: number | null;
  /** What asked for it, where that may come again; it is recorded once only. */
  readonly message: QueueMessage | null;
  readonly request?: QueueRequest | null;
  /** The union of two scopes, as JSON, or null where there is none; pure. Without it only equal scopes are one. */
  readonly mergeScope?: (waiting: string, added: string) => string | null;
}

export interface Enqueued {
  readonly queueId: string;
  /** `queued`: new. `coalesced`: one that waits took it in. `known`: this very message or request is recorded already. */
  readonly result: "queued" | "coalesced" | "known";
}

/**
 * Records that a run is wanted.
 * @throws ExtractError LEDGER_FULL when QUEUE_MAX entries wait already; TRIGGER_INVALID for texts out of bounds;
 *   IDEMPOTENCY_CONFLICT for a request under another one's key
 */
export function enqueue(db: LedgerDatabase, entry: NewQueuedRun): Enqueued {
  checkTexts(entry);
  return db.transaction(() => {
    const known =
      (entry.message && findMessage(db, entry.message)) ??
      (entry.request ? findRequest(db, entry.request) : null);
    if (known !== null) return { queueId: nameEntry(known), result: "known" };
    const now = db.now();
    const dueAt = entry.dueAt ?? now;
    const taken = coalesce(db, entry, dueAt);
    const number = taken ?? insertEntry(db, entry, now, dueAt);
    if (entry.message) insertMessage(db, entry.message, number);
    if (entry.request) insertRequest(db, entry.request, number);
    return {
      queueId: nameEntry(number),
      result: taken === null ? "queued" : "coalesced",
    };
  });
}

function checkTexts(entry: NewQueuedRun): void {
  const texts = [
    ...[entry.sync, entry.key ?? "", entry.message?.topic ?? ""],
    ...[entry.request?.caller ?? "", entry.request?.key ?? ""],
  ];
  for (const text of texts)
    if (text.length > QUEUE_TEXT_MAX || text.includes("\0"))
      throw invalid(
        `names and keys have up to ${QUEUE_TEXT_MAX} characters, none of them NUL`,
        entry,
      );
  for (const json of [entry.originJson, entry.scopeJson])
    if (json.length > QUEUE_JSON_MAX)
      throw invalid(
        `${json.length} characters are more than ${QUEUE_JSON_MAX}`,
        entry,
      );
  if (entry.message && !/^\d{1,20}$/.test(entry.message.offset))
    throw invalid("a message's offset is a whole number", entry);
  if (!/^\d{1,20}$/.test(entry.message?.writtenAt ?? "0"))
    throw invalid("a message's time is a whole number", entry);
}

function invalid(words: string, { sync }: NewQueuedRun): ExtractError {
  return new ExtractError("TRIGGER_INVALID", words, {
    sync: sync.slice(0, 100),
  });
}

/**
 * The entry that takes the new one in, if there is one. An entry that has become a run may have its snapshot already,
 * and waits to go on with it: what is asked for now would not be in it.
 */
function coalesce(
  db: LedgerDatabase,
  entry: NewQueuedRun,
  dueAt: number,
): number | null {
  if (entry.key === null) return null;
  const row = db.get(
    `SELECT number, scope FROM queue WHERE sync = ? AND state = 'queued' AND key = ? AND run IS NULL
     ORDER BY number LIMIT 1`,
    entry.sync,
    entry.key,
  );
  if (!row) return null;
  const waiting = String(row["scope"]);
  const merged = entry.mergeScope
    ? entry.mergeScope(waiting, entry.scopeJson)
    : waiting;
  if (!entry.mergeScope && waiting !== entry.scopeJson) return null;
  if (merged === null || merged.length > QUEUE_JSON_MAX) return null;
  const changed = db.run(
    `UPDATE queue SET scope = ?, due_at = CASE WHEN due_at > ? THEN ? ELSE due_at END
     WHERE number = ? AND state = 'queued'`,
    merged,
    dueAt,
    dueAt,
    Number(row["number"]),
  );
  assert(changed === 1, "the entry waited in this transaction");
  return Number(row["number"]);
}

function insertEntry(
  db: LedgerDatabase,
  entry: NewQueuedRun,
  now: number,
  dueAt: number,
): number {
  takeRoom(db, entry.sync);
  const row = db.get(
    `INSERT INTO queue (sync, key, state, origin, scope, queued_at, due_at, attempts, epoch)
     VALUES (?, ?, 'queued', ?, ?, ?, ?, 0, 0) RETURNING number`,
    entry.sync,
    entry.key,
    entry.originJson,
    entry.scopeJson,
    now,
    dueAt,
  );
  return Number(row?.["number"]);
}

/**
 * Entries that may still be added before those that wait are counted again. Others add too: each takes a hundredth of
 * the room that it has seen at most, so that a hundred of them stay within it.
 */
const room = new WeakMap<LedgerDatabase, number>();
const ROOM_SHARE = 100;

/** @throws ExtractError LEDGER_FULL */
function takeRoom(db: LedgerDatabase, sync: string): void {
  const known = room.get(db) ?? 0;
  if (known > 0) {
    room.set(db, known - 1);
    return;
  }
  const row = db.get(
    "SELECT count(*) AS waiting FROM queue WHERE state IN ('queued', 'paused')",
  );
  const left = QUEUE_MAX - Number(row?.["waiting"]);
  if (left <= 0)
    throw new ExtractError(
      "LEDGER_FULL",
      `${QUEUE_MAX} runs wait already; ${sync} was not recorded`,
      { sync, waiting: QUEUE_MAX },
    );
  room.set(db, Math.floor((left - 1) / ROOM_SHARE));
}

// Orders of operators, to what no daemon holds

/** @throws ExtractError RUN_NOT_FOUND; RUN_STATE when it does not wait, or is over */
export function pauseQueued(db: LedgerDatabase, queueId: string): void {
  orderWaiting(db, queueId, ["queued"], "paused", null);
}

/** @throws ExtractError RUN_NOT_FOUND; RUN_STATE when it is not paused */
export function resumeQueued(db: LedgerDatabase, queueId: string): void {
  orderWaiting(db, queueId, ["paused"], "queued", null);
}

/** @throws ExtractError RUN_NOT_FOUND; RUN_STATE when a daemon runs it, or it is over */
export function cancelQueued(db: LedgerDatabase, queueId: string): void {
  db.transaction(() => {
    orderWaiting(db, queueId, ["queued", "paused"], "cancelled", db.now());
    prune(db, readNumber(queueId));
  });
}

function orderWaiting(
  db: LedgerDatabase,
  queueId: string,
  from: readonly QueueState[],
  to: QueueState,
  finishedAt: number | null,
): void {
  db.transaction(() => {
    const { state } = queuedOf(db, queueId);
    if (!from.includes(state))
      throw new ExtractError(
        "RUN_STATE",
        `${queueId} is ${state}, not ${from.join(" or ")}`,
        { queueId, state },
      );
    db.run(
      "UPDATE queue SET state = ?, finished_at = ? WHERE number = ?",
      to,
      finishedAt,
      readNumber(queueId),
    );
  });
}

// Writes of the daemon that holds it

/** @throws ExtractError LEDGER_FENCED when this daemon holds it no more; so all of these */
export function bindRun(
  db: LedgerDatabase,
  queueId: string,
  epoch: number,
  runId: string,
): void {
  writeHeld(db, queueId, epoch, "run = ?", [runId]);
}

export function finishQueued(
  db: LedgerDatabase,
  queueId: string,
  epoch: number,
  state: "succeeded" | "failed" | "cancelled",
  errorJson: string | null,
): void {
  db.transaction(() => {
    writeHeld(
      db,
      queueId,
      epoch,
      "state = ?, error = ?, finished_at = ?, lease_expires_at = NULL",
      [state, errorJson, db.now()],
    );
    prune(db, readNumber(queueId));
  });
}

/** Back to waiting, with its run, if it has one: whoever takes it next goes on with that. Null: due at once. */
export function requeue(
  db: LedgerDatabase,
  queueId: string,
  epoch: number,
  dueAt: number | null,
  errorJson: string | null,
): void {
  writeHeld(
    db,
    queueId,
    epoch,
    "state = 'queued', due_at = ?, error = ?, daemon = NULL, lease_expires_at = NULL",
    [dueAt ?? db.now(), errorJson],
  );
}

/** Its run has checkpointed and stopped; it waits for an operator. */
export function pauseTaken(
  db: LedgerDatabase,
  queueId: string,
  epoch: number,
): void {
  writeHeld(
    db,
    queueId,
    epoch,
    "state = 'paused', daemon = NULL, lease_expires_at = NULL",
    [],
  );
}

function writeHeld(
  db: LedgerDatabase,
  queueId: string,
  epoch: number,
  set: string,
  values: readonly (string | number | null)[],
): void {
  db.transaction(() => {
    const changed = db.run(
      `UPDATE queue SET ${set} WHERE number = ? AND epoch = ? AND state = 'taken'`,
      ...values,
      readNumber(queueId),
      epoch,
    );
    if (changed === 1) return;
    const now = queuedOf(db, queueId);
    throw new ExtractError(
      "LEDGER_FENCED",
      `${queueId} is held no more under epoch ${epoch}: it is ${now.state} with epoch ${now.epoch}`,
      { queueId, epoch, current: now.epoch },
    );
  });
}

/** Entries of the same sync that are over, beyond those that are kept. The messages that asked for them stay known. */
function prune(db: LedgerDatabase, number: number): void {
  if (number % QUEUE_PRUNED_EVERY !== 0) return;
  const sync = db.get("SELECT sync FROM queue WHERE number = ?", number);
  db.run(
    `DELETE FROM queue WHERE sync = ?1 AND finished_at IS NOT NULL AND number <=
       (SELECT number FROM queue WHERE sync = ?1 AND finished_at IS NOT NULL ORDER BY number DESC LIMIT 1 OFFSET ?2)`,
    String(sync?.["sync"]),
    QUEUE_KEPT_PER_SYNC,
  );
}

// Looking

/** @throws ExtractError RUN_NOT_FOUND */
export function queuedOf(db: LedgerDatabase, queueId: string): QueuedRun {
  const number = readNumber(queueId);
  const row = db.get("SELECT * FROM queue WHERE number = ?", number);
  if (!row) throw entryNotFound(queueId);
  return toQueued(row);
}

function entryNotFound(queueId: string): ExtractError {
  return new ExtractError(
    "RUN_NOT_FOUND",
    `${queueId} is not in this ledger's queue`,
    { queueId },
  );
}

export function nameEntry(number: number): string {
  return `q-${number}`;
}

/** @throws ExtractError RUN_NOT_FOUND for what is no name of an entry */
export function readNumber(queueId: string): number {
  const digits = /^q-([1-9]\d{0,14})$/.exec(queueId)?.[1];
  if (digits === undefined) throw entryNotFound(queueId.slice(0, 100));
  return Number(digits);
}

export function toQueued(row: Row): QueuedRun {
  return {
    queueId: nameEntry(Number(row["number"])),
    sync: String(row["sync"]),
    key: row["key"] as string | null,
    state: row["state"] as QueueState,
    originJson: String(row["origin"]),
    scopeJson: String(row["scope"]),
    queuedAt: Number(row["queued_at"]),
    dueAt: Number(row["due_at"]),
    attempts: Number(row["attempts"]),
    runId: row["run"] as string | null,
    daemon: row["daemon"] as string | null,
    epoch: Number(row["epoch"]),
    leaseExpiresAt: row["lease_expires_at"] as number | null,
    errorJson: row["error"] as string | null,
  };
}
