/**
 * Generations: the numbered versions of a stream's files. And the intents: which files, by generation, epoch and
 * partition, this ledger has let anyone write.
 */
import { strict as assert } from "node:assert";
import type { LedgerDatabase } from "./database.ts";
import type {
  GenerationRecord,
  GenerationState,
  Intent,
  NewStream,
} from "./records.ts";

/** The number of a new generation, from 1, recorded before it is used, and never given again. */
export function nextGeneration(
  db: LedgerDatabase,
  syncId: string,
  namespace: string,
  name: string,
): number {
  return db.transaction(() => {
    const row = db.get(
      "SELECT coalesce(max(generation), 0) + 1 AS next FROM generations WHERE sync = ? AND namespace = ? AND name = ?",
      syncId,
      namespace,
      name,
    );
    const generation = Number(row?.["next"]);
    db.run(
      "INSERT INTO generations (sync, namespace, name, generation, state) VALUES (?, ?, ?, ?, 'open')",
      syncId,
      namespace,
      name,
      generation,
    );
    return generation;
  });
}

/** The generation belongs to this run, and to no other. */
export function claimGeneration(
  db: LedgerDatabase,
  runId: string,
  stream: NewStream,
): void {
  const changed = db.run(
    `UPDATE generations SET run = ?1
     WHERE sync = (SELECT sync FROM runs WHERE id = ?1) AND namespace = ?2 AND name = ?3 AND generation = ?4
       AND coalesce(run, ?1) = ?1`,
    runId,
    stream.namespace,
    stream.name,
    stream.generation,
  );
  assert(
    changed === 1,
    `generation ${stream.generation} of ${stream.name} is not this run's`,
  );
}

export function setGenerationState(
  db: LedgerDatabase,
  runId: string,
  stream: number,
  state: GenerationState,
): void {
  db.run(
    `UPDATE generations SET state = ?3 FROM streams s
     WHERE s.run = ?1 AND s.number = ?2 AND generations.run = ?1 AND generations.namespace = s.namespace
       AND generations.name = s.name AND generations.generation = s.generation`,
    runId,
    stream,
    state,
  );
}

/** Ascending. */
export function generationsOf(
  db: LedgerDatabase,
  syncId: string,
  namespace: string,
  name: string,
): GenerationRecord[] {
  return db
    .all(
      `SELECT generation, state, run FROM generations WHERE sync = ? AND namespace = ? AND name = ? ORDER BY generation`,
      syncId,
      namespace,
      name,
    )
    .map((row) => ({
      generation: Number(row["generation"]),
      state: row["state"] as GenerationState,
      runId: row["run"] as string | null,
    }));
}

/** Whether this ledger has begun the generation. One that it has not, found at the destination, is foreign. */
export function isKnownGeneration(
  db: LedgerDatabase,
  syncId: string,
  namespace: string,
  name: string,
  generation: number,
): boolean {
  const row = db.get(
    "SELECT 1 FROM generations WHERE sync = ? AND namespace = ? AND name = ? AND generation = ?",
    syncId,
    namespace,
    name,
    generation,
  );
  return row !== undefined;
}

/**
 * A partition may have files of every attempt from the one that planned it to the one that superseded it: attempts
 * and partitions are both recorded before a file of theirs is begun, so that joined they are the intents. Generations
 * that are removed have no files any more.
 */
const intentsSql = ({ dialect }: LedgerDatabase): string => `
  SELECT s.namespace, s.name, s.run, s.number, s.generation, a.epoch, ${dialect.jsonArray("p.ordinal")} AS ordinals
  FROM runs r
  JOIN streams s ON s.run = r.id
  JOIN generations g ON g.sync = r.sync AND g.namespace = s.namespace AND g.name = s.name
    AND g.generation = s.generation AND g.state <> 'removed'
  JOIN attempts a ON a.run = r.id
  JOIN partitions p ON p.run = r.id AND p.stream = s.number
    AND p.epoch <= a.epoch AND a.epoch <= coalesce(p.superseded_epoch, a.epoch)`;

const INTENTS_ORDER = `
  GROUP BY r.serial, s.run, s.number, a.epoch ORDER BY r.serial, s.number, a.epoch`;

function findIntents(db: LedgerDatabase, of: IntentsWanted) {
  if ("runId" in of)
    return db.all(
      `${intentsSql(db)} WHERE r.id = ? ${INTENTS_ORDER}`,
      of.runId,
    );
  const { syncId, stream } = of;
  if (!stream)
    return db.all(
      `${intentsSql(db)} WHERE r.sync = ? ${INTENTS_ORDER}`,
      syncId,
    );
  return db.all(
    `${intentsSql(db)} WHERE r.sync = ? AND s.namespace = ? AND s.name = ? ${INTENTS_ORDER}`,
    syncId,
    stream.namespace,
    stream.name,
  );
}

/** Of a run, or of all runs of a sync: of one of its streams, or of all. */
export type IntentsWanted =
  | { readonly runId: string }
  | {
      readonly syncId: string;
      readonly stream?: { readonly namespace: string; readonly name: string };
    };

export function intentsOf(db: LedgerDatabase, of: IntentsWanted): Intent[] {
  const rows = findIntents(db, of);
  return rows.map((row) => ({
    namespace: String(row["namespace"]),
    name: String(row["name"]),
    runId: String(row["run"]),
    stream: Number(row["number"]),
    generation: Number(row["generation"]),
    epoch: Number(row["epoch"]),
    partitions: db.parse<number[]>(row["ordinals"]),
  }));
}
