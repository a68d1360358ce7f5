/** What has asked for runs already, and may ask again: messages of Kafka, and requests of the API with a key. */
import { ExtractError } from "../../proto/error.ts";
import type { LedgerDatabase } from "./database.ts";
import type { QueueMessage, QueueRequest } from "./queue.ts";

/** How long a request is known, in milliseconds; and how many are, the newest. */
const REQUESTS_KEPT_MS = 86_400_000;
const REQUESTS_KEPT_MAX = 100_000;
/** Every so many entries of the queue those beyond are removed. */
const REQUESTS_PRUNED_EVERY = 64;

/** Messages that one transaction forgets. */
const FORGOTTEN_AT_ONCE = 2_000;

/** The number of the entry that a message has become; null for one that is new. */
export function findMessage(
  db: LedgerDatabase,
  message: QueueMessage,
): number | null {
  const row = db.get(
    "SELECT number FROM queue_messages WHERE topic = ? AND part = ? AND position = ?",
    nameTopic(message),
    message.partition,
    message.offset,
  );
  return row ? Number(row["number"]) : null;
}

export function insertMessage(
  db: LedgerDatabase,
  message: QueueMessage,
  number: number,
): void {
  db.run(
    "INSERT INTO queue_messages (topic, part, position, number) VALUES (?, ?, ?, ?)",
    nameTopic(message),
    message.partition,
    message.offset,
    number,
  );
}

/**
 * A topic that was deleted and made anew counts its offsets from 0 again, and so does one of another cluster: the time
 * at which a message was written, which never changes, tells it from the one that had its place before.
 */
function nameTopic({ topic, writtenAt }: QueueMessage): string {
  return writtenAt === null ? topic : `${topic}@${writtenAt}`;
}

/**
 * Forgets messages of a partition that lie before `offset`, the oldest that the broker still has: none of them can come
 * again. Gives how many; more may be left when it is FORGOTTEN_AT_ONCE.
 */
export function forgetMessages(
  db: LedgerDatabase,
  place: QueueMessage,
): { readonly forgotten: number; readonly isAll: boolean } {
  const { topic, partition, offset } = place;
  const forgotten = db.transaction(() =>
    db.run(
      // offsets are decimal texts; behind "@" comes "A"
      `DELETE FROM queue_messages WHERE (topic, part, position) IN (
         SELECT topic, part, position FROM queue_messages
         WHERE (topic = ?1 OR (topic > ?2 AND topic < ?3)) AND part = ?4
           AND (length(position) < ?5 OR (length(position) = ?5 AND position < ?6))
         LIMIT ${FORGOTTEN_AT_ONCE})`,
      topic,
      `${topic}@`,
      `${topic}A`,
      partition,
      offset.length,
      offset,
    ),
  );
  return { forgotten, isAll: forgotten < FORGOTTEN_AT_ONCE };
}

/**
 * The number of the entry that a request has become; null for one that is new.
 * @throws ExtractError IDEMPOTENCY_CONFLICT when its key was another request's
 */
export function findRequest(
  db: LedgerDatabase,
  { caller, key, fingerprint }: QueueRequest,
): number | null {
  const row = db.get(
    "SELECT fingerprint, number FROM queue_requests WHERE caller = ? AND key = ? AND at > ?",
    caller,
    key,
    db.now() - REQUESTS_KEPT_MS,
  );
  if (!row) return null;
  if (row["fingerprint"] === fingerprint) return Number(row["number"]);
  throw new ExtractError(
    "IDEMPOTENCY_CONFLICT",
    "this Idempotency-Key came with another request before",
  );
}

export function insertRequest(
  db: LedgerDatabase,
  { caller, key, fingerprint }: QueueRequest,
  number: number,
): void {
  const now = db.now();
  db.run(
    `INSERT INTO queue_requests (caller, key, fingerprint, number, at) VALUES (?, ?, ?, ?, ?)
     ON CONFLICT (caller, key) DO UPDATE SET fingerprint = excluded.fingerprint, number = excluded.number, at = excluded.at`,
    ...[caller, key, fingerprint],
    ...[number, now],
  );
  if (number % REQUESTS_PRUNED_EVERY !== 0) return;
  db.run("DELETE FROM queue_requests WHERE at <= ?", now - REQUESTS_KEPT_MS);
  db.run(
    "DELETE FROM queue_requests WHERE at < (SELECT at FROM queue_requests ORDER BY at DESC LIMIT 1 OFFSET ?)",
    REQUESTS_KEPT_MAX,
  );
}
