/** What a sync's streams looked like when they were last committed. */
import type { LedgerDatabase } from "./database.ts";

export interface StreamName {
  readonly namespace: string;
  readonly name: string;
}

export interface LastSchema extends StreamName {
  /** As `putStream` was given it. */
  readonly schemaJson: string;
}

const NEWEST = `
  SELECT s.namespace, s.name, max(r.serial) AS serial
  FROM runs r JOIN streams s ON s.run = r.id
  WHERE r.sync = ? AND s.state = 'committed'
  GROUP BY s.namespace, s.name`;

/** Of every stream that a run of the sync has ever met, by name. */
export function streamNamesOf(
  db: LedgerDatabase,
  syncId: string,
): StreamName[] {
  return db
    .all(
      `SELECT DISTINCT s.namespace, s.name FROM runs r JOIN streams s ON s.run = r.id
       WHERE r.sync = ? ORDER BY s.namespace, s.name`,
      syncId,
    )
    .map((row) => ({
      namespace: String(row["namespace"]),
      name: String(row["name"]),
    }));
}

/** Of every stream that a run of the sync has ever committed. */
export function lastSchemasOf(
  db: LedgerDatabase,
  syncId: string,
): LastSchema[] {
  return db
    .all(
      `SELECT s.namespace, s.name, s.discovered FROM (${NEWEST}) AS newest
       JOIN runs r ON r.serial = newest.serial
       JOIN streams s ON s.run = r.id AND s.namespace = newest.namespace AND s.name = newest.name
       ORDER BY s.namespace, s.name`,
      syncId,
    )
    .map((row) => ({
      namespace: String(row["namespace"]),
      name: String(row["name"]),
      schemaJson: String(row["discovered"]),
    }));
}
