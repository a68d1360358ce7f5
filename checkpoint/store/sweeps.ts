/** Generations that are over: what of theirs is still at the destination belongs to nobody. */
import type { LedgerDatabase } from "./database.ts";

/** Generations that one listing gives, the oldest runs' first. */
const OVER_LISTED_MAX = 1_000;

export interface GenerationOver {
  readonly syncId: string;
  readonly namespace: string;
  readonly name: string;
  readonly generation: number;
  /** The run that wrote it. */
  readonly runId: string;
  /** `abandoned`: its run will not be gone on with. `superseded`: a newer one has replaced it. */
  readonly state: "abandoned" | "superseded";
}

/**
 * Of a sync; null: of all. Generations that may still come to count are not among them: those that are open belong to
 * runs that can be resumed, those that are committing have to be brought to their end.
 */
export function listOver(
  db: LedgerDatabase,
  syncId: string | null,
): GenerationOver[] {
  return db
    .all(
      `SELECT g.sync, g.namespace, g.name, g.generation, g.run, g.state FROM generations g
       JOIN runs r ON r.id = g.run
       WHERE g.state IN ('abandoned', 'superseded') AND g.sync = coalesce(?, g.sync)
       ORDER BY r.serial, g.namespace, g.name, g.generation LIMIT ?`,
      syncId,
      OVER_LISTED_MAX,
    )
    .map((row) => ({
      syncId: String(row["sync"]),
      namespace: String(row["namespace"]),
      name: String(row["name"]),
      generation: Number(row["generation"]),
      runId: String(row["run"]),
      state: row["state"] as GenerationOver["state"],
    }));
}

/** Nothing of these is at the destination any more. One that came to count meanwhile stays what it is. */
export function recordSwept(
  db: LedgerDatabase,
  generations: readonly GenerationOver[],
): void {
  db.transaction(() => {
    for (const { syncId, namespace, name, generation } of generations)
      db.run(
        `UPDATE generations SET state = 'removed'
         WHERE sync = ? AND namespace = ? AND name = ? AND generation = ? AND state IN ('abandoned', 'superseded')`,
        syncId,
        namespace,
        name,
        generation,
      );
  });
}
