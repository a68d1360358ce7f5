/** Before a generation is published: staging is whole, and has its primary key. */
import type { SealedFile } from "../../../proto/checkpoint.ts";
import type { CommitStep } from "../../../proto/control.ts";
import { ExtractError } from "../../../proto/error.ts";
import type { DestinationContext } from "../destination.ts";
import type { PostgresDestinationConfig } from "./config.ts";
import type { DestinationConnection } from "./connection.ts";
import { emptyPath, OWN_SCHEMA, quoteTable, showTable } from "./names.ts";
import {
  describeTables,
  generationKey,
  listColumns,
  makeStaging,
  WHERE_GENERATION,
  type StreamTables,
} from "./staging.ts";

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
export async function checkFiles(
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

/** Whether the generation is what readers see. Its row stays locked until the transaction ends. */
export async function isPublished(
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
