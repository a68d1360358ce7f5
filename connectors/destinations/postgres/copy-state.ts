/** How far a stream's copy follows its log: one row of `_millrace.copies`, written with the rows that it tells of. */
import type { DestinationContext } from "../destination.ts";
import type { DestinationConnection } from "./connection.ts";
import { OWN_SCHEMA, showTable } from "./names.ts";
import type { StreamTables } from "./staging.ts";

/** Sorts behind every position. */
export const LAST_POSITION = "~";

export interface CopyState {
  /** Whose staging was applied last. */
  readonly generation: number;
  /** Whose snapshot the copy began with. */
  readonly snapshotGeneration: number;
  /** All of the log up to here is in the copy; empty: nothing of it. */
  readonly position: string;
  /** Rows taken from that generation's staging. */
  readonly rows: number;
}

/** Null where nothing was applied yet. Its row stays locked until the transaction ends. */
export async function readCopy(
  connection: DestinationConnection,
  { syncId }: DestinationContext,
  { name, target }: Pick<StreamTables, "name" | "target">,
): Promise<CopyState | null> {
  const [row] = await connection.query<CopyState>(
    `look how far ${showTable(target)} is`,
    `SELECT generation::float8 AS generation, snapshot_generation::float8 AS "snapshotGeneration", position, rows::float8 AS rows
     FROM ${OWN_SCHEMA}.copies WHERE sync_id = $1 AND namespace = $2 AND name = $3 FOR UPDATE`,
    [syncId, name.namespace, name.name],
  );
  return row ?? null;
}

export async function writeCopy(
  connection: DestinationConnection,
  { syncId }: DestinationContext,
  { name, target }: Pick<StreamTables, "name" | "target">,
  state: CopyState,
): Promise<void> {
  await connection.query(
    `write down how far ${showTable(target)} is`,
    `INSERT INTO ${OWN_SCHEMA}.copies
       (sync_id, namespace, name, target_schema, target_table, generation, snapshot_generation, position, rows)
     VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)
     ON CONFLICT (sync_id, namespace, name) DO UPDATE SET target_schema = excluded.target_schema,
       target_table = excluded.target_table, generation = excluded.generation,
       snapshot_generation = excluded.snapshot_generation, position = excluded.position, rows = excluded.rows, applied_at = now()`,
    [
      syncId,
      name.namespace,
      name.name,
      target.schema,
      target.table,
      state.generation,
      state.snapshotGeneration,
      state.position,
      state.rows,
    ],
  );
}
