/** The last step of a stream: staging becomes what readers see, in one transaction. */
import assert from "node:assert/strict";

import type { CommitStep } from "../../../proto/control.ts";
import { ExtractError } from "../../../proto/error.ts";
import type { DestinationContext } from "../destination.ts";
import type { PostgresDestinationConfig } from "./config.ts";
import type { DestinationConnection } from "./connection.ts";
import { nameTable } from "./errors.ts";
import { mergeStaging } from "./merge.ts";
import {
  IDENTIFIER_BYTES_MAX,
  OWN_SCHEMA,
  quoteIdentifier,
  quoteTable,
  shortenIdentifier,
  showTable,
} from "./names.ts";
import { holdEpoch } from "./own-tables.ts";
import {
  defineColumns,
  describeTables,
  generationKey,
  listColumns,
  WHERE_GENERATION,
  type StreamTables,
} from "./staging.ts";
import {
  choosePublishWay,
  lookUpTargets,
  type FoundTarget,
  type Publishing,
} from "./target.ts";
import { isPublished } from "./verify.ts";

/** How long a table may be in use by others when its rows are to be published, in ms. */
const PUBLISH_LOCK_MS_MAX = 120_000;

/**
 * Makes the generation what readers see, all of it or nothing. Done a second time, it does nothing.
 * @throws ExtractError LEDGER_FENCED, DESTINATION_UNWRITABLE, DESTINATION_FOREIGN, DESTINATION_FAILED
 */
export async function publishStaging(
  connection: DestinationConnection,
  context: DestinationContext,
  config: PostgresDestinationConfig,
  step: CommitStep,
): Promise<void> {
  const tables = describeTables(context, config, step.stream);
  const { target, staging } = tables;
  const doing = `publish ${showTable(target)}`;
  const rows = step.files.reduce((sum, file) => sum + file.rows, 0);
  const choose = async (): Promise<Publishing & { found: FoundTarget }> => {
    const [found] = await lookUpTargets(connection, [target]);
    assert(found, "a table that was looked up has no answer");
    const { syncId } = context;
    return {
      found,
      ...(await choosePublishWay(connection, config, syncId, tables, found)),
    };
  };
  const publish = async (): Promise<void> => {
    await connection.query(
      doing,
      `SET LOCAL lock_timeout = ${PUBLISH_LOCK_MS_MAX}`,
    );
    await holdEpoch(connection, context);
    if (await isPublished(connection, context, tables)) return;
    await checkNewest(connection, context, tables);
    await makeSchema(connection, target.schema);
    // looked at before the lock, since a lock that grows later may meet another's
    const { alterations: expected } = await choose();
    await lockTarget(connection, config, tables, expected.length > 0);
    const { found, way, alterations, empties } = await choose();
    await alterTarget(connection, tables, alterations);
    if (way === "move")
      await moveStaging(connection, tables, found.table !== null);
    else {
      if (way === "refill" || empties)
        await connection.query(doing, `TRUNCATE ${quoteTable(target)}`);
      if (way === "merge") {
        if (found.table === null) await makeMergeTarget(connection, tables);
        await mergeStaging(connection, tables, config.deletes);
      } else await insertStaging(connection, tables, rows);
      await connection.query(doing, `DROP TABLE ${quoteTable(staging)}`);
    }
    await connection.query(
      doing,
      `UPDATE ${OWN_SCHEMA}.generations SET state = 'published', rows = $5, published_at = $6 WHERE ${WHERE_GENERATION}`,
      [...generationKey(context, tables), rows, step.committedAt],
    );
  };
  try {
    await connection.transaction(doing, publish);
  } catch (error) {
    throw nameTable(error, showTable(target));
  }
}

/** An attempt that slept through a whole later run must not put its older rows over the newer ones. */
async function checkNewest(
  connection: DestinationConnection,
  context: DestinationContext,
  tables: StreamTables,
): Promise<void> {
  const newer = await connection.query(
    "compare generations",
    `SELECT FROM ${OWN_SCHEMA}.generations
     WHERE sync_id = $1 AND namespace = $2 AND name = $3 AND generation > $4 AND state = 'published'`,
    generationKey(context, tables),
  );
  if (newer.length === 0) return;
  throw new ExtractError(
    "LEDGER_FENCED",
    `${showTable(tables.target)} has a newer generation than ${tables.generation}`,
    { table: showTable(tables.target), generation: tables.generation },
  );
}

export async function makeSchema(
  connection: DestinationConnection,
  schema: string,
): Promise<void> {
  // IF NOT EXISTS asks for the right to make it even where it is there
  const found = await connection.query(
    `look for schema ${schema}`,
    "SELECT FROM pg_namespace WHERE nspname = $1",
    [schema],
  );
  if (found.length > 0) return;
  await connection.query(
    `make schema ${schema}`,
    `CREATE SCHEMA IF NOT EXISTS ${quoteIdentifier(schema)}`,
  );
}

/** Readers are kept out only where the table changes as a whole. */
async function lockTarget(
  connection: DestinationConnection,
  config: PostgresDestinationConfig,
  { target, isReset }: StreamTables,
  isAltered: boolean,
): Promise<void> {
  const [found] = await connection.query<{ there: boolean }>(
    "look for the table",
    "SELECT relkind IN ('r', 'p') AS there FROM pg_class WHERE oid = to_regclass($1)",
    [quoteTable(target)],
  );
  if (!found?.there) return;
  const lock =
    isAltered || isReset || config.mode === "full-refresh-overwrite"
      ? "ACCESS EXCLUSIVE"
      : config.mode === "incremental-append-dedupe"
        ? "SHARE ROW EXCLUSIVE"
        : "ROW EXCLUSIVE";
  await connection.query(
    `lock ${showTable(target)}`,
    `LOCK TABLE ${quoteTable(target)} IN ${lock} MODE`,
  );
}

/** With the rows that need it, in one transaction. A wider type makes Postgres write the table anew. */
export async function alterTarget(
  connection: DestinationConnection,
  { target }: Pick<StreamTables, "target">,
  alterations: readonly string[],
): Promise<void> {
  if (alterations.length === 0) return;
  await connection.query(
    `alter ${showTable(target)}`,
    `ALTER TABLE ${quoteTable(target)} ${alterations.join(", ")}`,
  );
}

export async function moveStaging(
  connection: DestinationConnection,
  { target, staging }: StreamTables,
  replaces: boolean,
): Promise<void> {
  const doing = `publish ${showTable(target)}`;
  const moved = { schema: target.schema, table: staging.table };
  await connection.query(
    doing,
    [
      ...(replaces ? [`DROP TABLE ${quoteTable(target)}`] : []),
      `ALTER TABLE ${quoteTable(staging)} SET SCHEMA ${quoteIdentifier(target.schema)}`,
      `ALTER TABLE ${quoteTable(moved)} RENAME TO ${quoteIdentifier(target.table)}`,
    ].join("; "),
  );
  // staging's name in its key's would puzzle people; another relation may have the plain one
  const wanted = `${shortenIdentifier(target.table, IDENTIFIER_BYTES_MAX - 5)}_pkey`;
  const [key] = await connection.query<{ name: string; free: boolean }>(
    doing,
    `SELECT k.conname AS name, to_regclass($2) IS NULL AS free
     FROM pg_constraint k WHERE k.conrelid = to_regclass($1) AND k.contype = 'p'`,
    [quoteTable(target), quoteTable({ ...target, table: wanted })],
  );
  if (!key?.free || key.name === wanted) return;
  await connection.query(
    doing,
    `ALTER TABLE ${quoteTable(target)} RENAME CONSTRAINT ${quoteIdentifier(key.name)} TO ${quoteIdentifier(wanted)}`,
  );
}

export async function insertStaging(
  connection: DestinationConnection,
  { target, staging, columns }: StreamTables,
  rows: number,
): Promise<void> {
  const names = listColumns(columns);
  const from = quoteTable(staging);
  const sql =
    columns.length > 0
      ? `INSERT INTO ${quoteTable(target)} (${names}) SELECT ${names} FROM ${from}`
      : `INSERT INTO ${quoteTable(target)} SELECT FROM ${from}`;
  const [tag] = await connection.run(`fill ${showTable(target)}`, sql);
  if (tag === `INSERT 0 ${rows}`) return;
  throw new ExtractError(
    "DESTINATION_FAILED",
    `the server answered ${tag} to ${rows} rows for ${showTable(target)}`,
    { table: showTable(target), rowsSealed: rows },
  );
}

async function makeMergeTarget(
  connection: DestinationConnection,
  { target, columns, key }: StreamTables,
): Promise<void> {
  const keyColumns = listColumns((key ?? []).map((name) => ({ name })));
  await connection.query(
    `make ${showTable(target)}`,
    `CREATE TABLE ${quoteTable(target)} (${defineColumns(columns)}, PRIMARY KEY (${keyColumns}))`,
  );
}
