/** Staging: where the rows of one generation are until it is published. */
import type { DestinationStream } from "../../../proto/control.ts";
import type { StreamSchema } from "../../../proto/schema.ts";
import type { DestinationContext } from "../destination.ts";
import type { PostgresDestinationConfig } from "./config.ts";
import type { DestinationConnection } from "./connection.ts";
import {
  OWN_SCHEMA,
  quoteIdentifier,
  quoteTable,
  stagingTable,
  targetTable,
  type StreamName,
  type TableName,
} from "./names.ts";
import { holdEpoch, MAKING_LOCK } from "./own-tables.ts";
import { targetColumns, targetKey, type TargetColumn } from "./types.ts";

/** Numbers the rows of staging that is merged: of one key the highest counts. */
export const ORDER_COLUMN = "_millrace_order";

/** A table that rows are staged in. */
export interface StagingPart {
  readonly table: TableName;
  /** Its columns, as CREATE TABLE has them. */
  readonly definition: string;
}

/** A stream in its generation, with all its names. */
export interface StreamTables {
  readonly name: StreamName;
  readonly schema: StreamSchema;
  readonly generation: number;
  readonly target: TableName;
  readonly staging: TableName;
  readonly columns: readonly TargetColumn[];
  /** Null: none, or none that an index can hold. */
  readonly key: readonly string[] | null;
  /** Rows are merged by key, so staging has an order column. */
  readonly isMerged: boolean;
  /** What is made for a generation. */
  readonly parts: readonly StagingPart[];
  /** The stream was reset: its rows take the place of all that the sync has copied before, also where it appends. */
  readonly isReset: boolean;
}

export function describeTables(
  context: DestinationContext,
  config: PostgresDestinationConfig,
  {
    schema,
    generation,
    mode = config.mode,
  }: Pick<DestinationStream, "schema" | "generation" | "mode">,
): StreamTables {
  const name = { namespace: schema.namespace, name: schema.name };
  const staging = stagingTable(context.syncId, name, generation);
  const columns = targetColumns(schema, config.nanoseconds);
  const isMerged = config.mode === "incremental-append-dedupe";
  const definitions = [
    ...(columns.length > 0 ? [defineColumns(columns)] : []),
    ...(isMerged ? [`${ORDER_COLUMN} bigint NOT NULL`] : []),
  ];
  return {
    name,
    schema,
    generation,
    target: targetTable(config, name),
    staging,
    columns,
    key: targetKey(schema),
    isMerged,
    parts: [{ table: staging, definition: definitions.join(", ") }],
    isReset:
      mode === "full-refresh-overwrite" &&
      config.mode !== "full-refresh-overwrite",
  };
}

/** `"name" type NOT NULL, …` */
export function defineColumns(columns: readonly TargetColumn[]): string {
  return columns
    .map(
      ({ name, type, nullable }) =>
        `${quoteIdentifier(name)} ${type}${nullable ? "" : " NOT NULL"}`,
    )
    .join(", ");
}

export function listColumns(columns: readonly { name: string }[]): string {
  return columns.map(({ name }) => quoteIdentifier(name)).join(", ");
}

/** The primary key of a row of `generations`, and of `checkpoints` with epoch and index. */
export function generationKey(
  context: DestinationContext,
  { name, generation }: Pick<StreamTables, "name" | "generation">,
): [string, string, string, number] {
  return [context.syncId, name.namespace, name.name, generation];
}

export const WHERE_GENERATION =
  "sync_id = $1 AND namespace = $2 AND name = $3 AND generation = $4";

/**
 * Makes staging and its generation's row, unless they are there. It is logged: what is said to be durable has to
 * survive a crash of the server. Takes a transaction of its own, under the epoch.
 * @throws ExtractError LEDGER_FENCED, or of the destination
 */
export async function makeStaging(
  connection: DestinationConnection,
  context: DestinationContext,
  tables: StreamTables,
): Promise<void> {
  const { schema, target, parts } = tables;
  const doing = `make staging for ${tables.name.namespace}.${tables.name.name}`;
  await connection.transaction(doing, async () => {
    await holdEpoch(connection, context);
    await connection.query(
      doing,
      `SELECT pg_advisory_xact_lock(${MAKING_LOCK})`,
    );
    const made = await connection.query<{ state: string }>(
      doing,
      `INSERT INTO ${OWN_SCHEMA}.generations
         (sync_id, namespace, name, generation, run_id, fingerprint, target_schema, target_table, state)
       VALUES ($1, $2, $3, $4, $5, $6, $7, $8, 'open')
       ON CONFLICT DO NOTHING RETURNING state`,
      [
        ...generationKey(context, tables),
        context.attempt.runId,
        schema.fingerprint,
        target.schema,
        target.table,
      ],
    );
    if (made.length === 0) return;
    for (const { table, definition } of parts)
      await connection.query(
        doing,
        `CREATE TABLE ${quoteTable(table)} (${definition})`,
      );
  });
}
