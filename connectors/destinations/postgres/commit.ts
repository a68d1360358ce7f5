/** The last steps of a stream: staging is whole, then it becomes what readers see, in one transaction. */
import type { SealedFile } from "../../../proto/checkpoint.ts";
import type { CommitStep } from "../../../proto/control.ts";
import { ExtractError } from "../../../proto/error.ts";
import type { DestinationContext } from "../destination.ts";
import type { PostgresDestinationConfig } from "./config.ts";
import type { DestinationConnection } from "./connection.ts";
import { mergeStaging } from "./merge.ts";
import {
  emptyPath,
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
  makeStaging,
  WHERE_GENERATION,
  type StreamTables,
} from "./staging.ts";
import { choosePublishWay, lookUpTargets } from "./target.ts";

/** How long a table may be in use by others when its rows are to be published, in ms. */
const PUBLISH_LOCK_MS_MAX = 120_000;

/**
 * Proves that staging holds exactly the rows of the checkpoints that count, and gives it its primary key. May be done
 * again, also after the generation was published.
 * @throws ExtractError DESTINATION_FAILED where rows are missing or too many, DESTINATION_UNWRITABLE for a key twice
 */
export async function verifyStaging(
  connection: DestinationConnection,
  context: DestinationContext,
  config: PostgresDestinationConfig,
  step: CommitStep,
): Promise<readonly SealedFile[]> {
  const tables = describeTables(context, config, step.stream);
  const files = step.files.filter(({ rows }) => rows > 0);
  const empty = [
    { path: emptyPath(tables.target, tables.generation), rows: 0, bytes: 0 },
  ];
  const doing = `verify ${showTable(tables.target)}`;
  await makeStaging(connection, context, tables);
  if (await isPublished(connection, context, tables))
    return files.length > 0 ? files : empty;
  await checkFiles(connection, context, tables, files);
  const rows = files.reduce((sum, file) => sum + file.rows, 0);
  const [counted] = await connection.query<{ count: string }>(
    doing,
    `SELECT count(*) AS count FROM ${quoteTable(tables.staging)}`,
  );
  if (counted?.count !== String(rows)) {
    throw new ExtractError(
      "DESTINATION_FAILED",
      `staging of ${showTable(tables.target)} has ${counted?.count} rows instead of ${rows}`,
      { table: showTable(tables.staging), rowsSealed: rows },
    );
  }
  if (config.mode === "full-refresh-overwrite" && tables.key)
    await addPrimaryKey(connection, tables);
  return files.length > 0 ? files : empty;
}

/** Every file is a checkpoint of ours with these rows; what else is in staging shows in the count. */
async function checkFiles(
  connection: DestinationConnection,
  context: DestinationContext,
  tables: StreamTables,
  files: readonly SealedFile[],
): Promise<void> {
  const known = await connection.query<{ path: string; rows: string }>(
    "verify checkpoints",
    `SELECT path, rows FROM ${OWN_SCHEMA}.checkpoints WHERE ${WHERE_GENERATION}`,
    generationKey(context, tables),
  );
  const rowsOf = new Map(known.map(({ path, rows }) => [path, rows]));
  for (const { path, rows } of files) {
    if (rowsOf.get(path) === String(rows)) continue;
    throw new ExtractError(
      "DESTINATION_FAILED",
      `${path} has ${rowsOf.get(path) ?? "no"} rows instead of ${rows}`,
      { path, rowsSealed: rows },
    );
  }
}

async function addPrimaryKey(
  connection: DestinationConnection,
  { staging, key, target }: StreamTables,
): Promise<void> {
  const doing = `make the primary key of ${showTable(target)}`;
  const [found] = await connection.query<{ there: boolean }>(
    doing,
    `SELECT EXISTS (SELECT FROM pg_index WHERE indrelid = to_regclass($1) AND indisprimary) AS there`,
    [quoteTable(staging)],
  );
  if (found?.there) return;
  const columns = listColumns((key ?? []).map((name) => ({ name })));
  await connection.query(
    doing,
    `ALTER TABLE ${quoteTable(staging)} ADD PRIMARY KEY (${columns})`,
  );
}

async function isPublished(
  connection: DestinationConnection,
  context: DestinationContext,
  tables: StreamTables,
): Promise<boolean> {
  const [row] = await connection.query<{ state: string }>(
    "read the generation",
    `SELECT state FROM ${OWN_SCHEMA}.generations WHERE ${WHERE_GENERATION} FOR UPDATE`,
    generationKey(context, tables),
  );
  return row?.state === "published";
}

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
  await connection.transaction(doing, async () => {
    await connection.query(
      doing,
      `SET LOCAL lock_timeout = ${PUBLISH_LOCK_MS_MAX}`,
    );
    await holdEpoch(connection, context);
    if (await isPublished(connection, context, tables)) return;
    await checkNewest(connection, context, tables);
    await makeSchema(connection, target.schema);
    await lockTarget(connection, config, tables);
    const [found] = await lookUpTargets(connection, [target]);
    if (!found) throw new Error("a table that was looked up has no answer");
    const way = await choosePublishWay(
      connection,
      config,
      context.syncId,
      tables,
      found,
    );
    if (way === "move")
      await moveStaging(connection, tables, found.table !== null);
    else {
      if (way === "refill")
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
  });
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

async function makeSchema(
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
  { target }: StreamTables,
): Promise<void> {
  const [found] = await connection.query<{ there: boolean }>(
    "look for the table",
    "SELECT relkind IN ('r', 'p') AS there FROM pg_class WHERE oid = to_regclass($1)",
    [quoteTable(target)],
  );
  if (!found?.there) return;
  const lock =
    config.mode === "full-refresh-overwrite"
      ? "ACCESS EXCLUSIVE"
      : config.mode === "incremental-append-dedupe"
        ? "SHARE ROW EXCLUSIVE"
        : "ROW EXCLUSIVE";
  await connection.query(
    `lock ${showTable(target)}`,
    `LOCK TABLE ${quoteTable(target)} IN ${lock} MODE`,
  );
}

async function moveStaging(
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

async function insertStaging(
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
