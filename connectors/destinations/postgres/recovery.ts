/** Which checkpoints are durable, and which rows of earlier attempts no longer count. */
import assert from "node:assert/strict";

import type {
  CheckpointStamp,
  DurableReport,
} from "../../../proto/checkpoint.ts";
import type { GenerationIntent } from "../../../proto/control.ts";
import { ExtractError } from "../../../proto/error.ts";
import type { DestinationContext } from "../destination.ts";
import type { DestinationConnection } from "./connection.ts";
import {
  OWN_SCHEMA,
  quoteTable,
  showTable,
  snapshotTable,
  stagingTable,
  type TableName,
} from "./names.ts";
import { holdEpoch } from "./own-tables.ts";
import { generationKey, WHERE_GENERATION } from "./staging.ts";

interface GenerationRow {
  readonly namespace: string;
  readonly name: string;
  readonly generation: number;
  readonly state: "open" | "published";
}

/** What our tables say of a sync. */
export interface KnownState {
  readonly generations: readonly GenerationRow[];
  /** By `stateKey`. */
  readonly checkpoints: ReadonlyMap<string, readonly DurableReport[]>;
}

export function stateKey(
  stream: { readonly namespace: string; readonly name: string },
  generation: number,
): string {
  return JSON.stringify([stream.namespace, stream.name, generation]);
}

/** One look for all streams. Stamps keep the stream number that they were written with. */
export async function readState(
  connection: DestinationConnection,
  { syncId }: DestinationContext,
): Promise<KnownState> {
  const generations = await connection.query<GenerationRow>(
    "read generations",
    `SELECT namespace, name, generation::float8 AS generation, state FROM ${OWN_SCHEMA}.generations WHERE sync_id = $1`,
    [syncId],
  );
  const rows = await connection.query<
    GenerationRow & {
      readonly epoch: number;
      readonly path: string;
      readonly rows: number;
      readonly bytes: number;
      readonly stamp: CheckpointStamp;
    }
  >(
    "read checkpoints",
    `SELECT namespace, name, generation::float8 AS generation, epoch::float8 AS epoch, path, rows::float8 AS rows,
            bytes::float8 AS bytes, stamp
     FROM ${OWN_SCHEMA}.checkpoints WHERE sync_id = $1
     ORDER BY namespace, name, generation, epoch, index`,
    [syncId],
  );
  const checkpoints = new Map<string, DurableReport[]>();
  for (const { epoch, path, rows: count, bytes, stamp, ...row } of rows) {
    const key = stateKey(row, row.generation);
    const known = checkpoints.get(key) ?? [];
    known.push({ ...stamp, epoch, files: [{ path, rows: count, bytes }] });
    checkpoints.set(key, known);
  }
  return { generations, checkpoints };
}

/**
 * Removes what an intent covers: of generations that are over everything that is still in staging, of the one at work
 * the rows of ended epochs whose checkpoint is not in `keep`. A published table is never touched.
 * @returns how many checkpoints and staging tables were removed
 */
export async function cleanUp(
  connection: DestinationConnection,
  context: DestinationContext,
  intents: readonly GenerationIntent[],
  keep: ReadonlySet<string>,
): Promise<number> {
  let removed = 0;
  for (const intent of intents) {
    removed +=
      intent.currentEpoch === null
        ? await dropGeneration(connection, context, intent)
        : await dropEndedRows(connection, context, intent, keep);
  }
  return removed;
}

/** Its staging and its rows in our tables. Of a published one there is no staging any more. */
async function dropGeneration(
  connection: DestinationConnection,
  context: DestinationContext,
  intent: GenerationIntent,
): Promise<number> {
  const { generation } = intent;
  const staging = stagingTable(context.syncId, intent, generation);
  const key = generationKey(context, { name: intent, generation });
  const doing = `remove ${showTable(staging)}`;
  return connection.transaction(doing, async () => {
    await holdEpoch(connection, context);
    const found = await findStaging(connection, context, intent);
    for (const table of found)
      await connection.query(doing, `DROP TABLE ${quoteTable(table)}`);
    await connection.query(
      doing,
      `DELETE FROM ${OWN_SCHEMA}.checkpoints WHERE ${WHERE_GENERATION}`,
      key,
    );
    await connection.query(
      doing,
      `DELETE FROM ${OWN_SCHEMA}.generations WHERE ${WHERE_GENERATION}`,
      key,
    );
    return found.length;
  });
}

/** The tables that rows of the generation are staged in. */
async function findStaging(
  connection: DestinationConnection,
  { syncId }: DestinationContext,
  intent: GenerationIntent,
): Promise<readonly TableName[]> {
  const names = [stagingTable, snapshotTable].map((name) =>
    name(syncId, intent, intent.generation),
  );
  const found = await connection.query<{ there: boolean }>(
    "look for staging",
    "SELECT to_regclass(w.name) IS NOT NULL AS there FROM unnest($1::text[]) WITH ORDINALITY w(name, n) ORDER BY w.n",
    [names.map(quoteTable)],
  );
  return names.filter((_, i) => found[i]?.there);
}

/** The rows of a checkpoint are those that its transaction wrote: their `xmin`. Counted, since that decides what stays. */
async function dropEndedRows(
  connection: DestinationConnection,
  context: DestinationContext,
  intent: GenerationIntent,
  keep: ReadonlySet<string>,
): Promise<number> {
  const { generation, currentEpoch, epochs } = intent;
  assert(
    epochs.every((epoch) => epoch <= (currentEpoch ?? 0)),
    "an epoch above the current one: this attempt is fenced",
  );
  const staging = stagingTable(context.syncId, intent, generation);
  const key = generationKey(context, { name: intent, generation });
  const ended = epochs.filter((epoch) => epoch < (currentEpoch ?? 0));
  const doing = `remove rows of ended attempts from ${showTable(staging)}`;
  const found = await connection.query<{ path: string }>(
    doing,
    `SELECT c.path FROM ${OWN_SCHEMA}.checkpoints c JOIN ${OWN_SCHEMA}.generations g USING (sync_id, namespace, name, generation)
     WHERE c.sync_id = $1 AND c.namespace = $2 AND c.name = $3 AND c.generation = $4
       AND c.epoch = ANY ($5) AND g.state = 'open'`,
    [...key, ended],
  );
  const paths = found.map(({ path }) => path).filter((path) => !keep.has(path));
  if (paths.length === 0) return 0;
  await connection.transaction(doing, async () => {
    await holdEpoch(connection, context);
    const tables = await findStaging(connection, context, intent);
    const removals = tables.map(
      (table, i) =>
        `gone${i} AS (DELETE FROM ${quoteTable(table)} WHERE xmin IN (SELECT id FROM dropped) RETURNING 1)`,
    );
    const gone = tables.map((_, i) => `(SELECT count(*) FROM gone${i})`);
    // one row of ours for the statement's counts: rows that went, rows that should have
    const [counts] = await connection.query<{ gone: string; owed: string }>(
      doing,
      `WITH dropped AS (
         DELETE FROM ${OWN_SCHEMA}.checkpoints WHERE ${WHERE_GENERATION} AND path = ANY ($5)
         RETURNING rows, ((transaction::text::numeric) % 4294967296)::text::xid AS id
       ), ${removals.join(", ")}
       SELECT (${gone.join(" + ")})::text AS gone, (SELECT coalesce(sum(rows), 0) FROM dropped)::text AS owed`,
      [...key, paths],
    );
    if (counts === undefined || counts.gone !== counts.owed) {
      throw new ExtractError(
        "DESTINATION_FAILED",
        `${showTable(staging)} has ${counts?.gone} rows of the attempts that ended instead of ${counts?.owed}; begin anew with --restart`,
        { table: showTable(staging) },
      );
    }
  });
  return paths.length;
}
