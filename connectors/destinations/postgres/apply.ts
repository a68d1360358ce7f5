/**
 * What is staged of a stream's log becomes the copy, up to a place in the log, in one transaction that also writes down
 * how far it came: a crash in between repeats nothing.
 */
import assert from "node:assert/strict";

import type { CommitStep } from "../../../proto/control.ts";
import { ExtractError } from "../../../proto/error.ts";
import {
  DELETED_COLUMN,
  OPERATION_COLUMN,
  POSITION_COLUMN,
  TIME_COLUMN,
  UNCHANGED_COLUMN,
} from "../../../proto/change-columns.ts";
import { checkPosition } from "../change-rows.ts";
import type { Applied, DestinationContext } from "../destination.ts";
import { describeChangeTables, type ChangeTables } from "./change-tables.ts";
import { countStaged } from "./change-counts.ts";
import { beginCopy, findBeginning } from "./copy-beginning.ts";
import {
  LAST_POSITION,
  readCopy,
  writeCopy,
  type CopyState,
} from "./copy-state.ts";
import type { PostgresDestinationConfig } from "./config.ts";
import type { DestinationConnection } from "./connection.ts";
import { nameTable } from "./errors.ts";
import {
  foldStatement,
  historyStatement,
  newestStatement,
  type FoldBounds,
  type FoldResult,
  type UnsentColumn,
} from "./fold.ts";
import { OWN_SCHEMA, quoteIdentifier, quoteTable, showTable } from "./names.ts";
import { fenced, holdEpoch } from "./own-tables.ts";
import { generationKey, makeStaging, WHERE_GENERATION } from "./staging.ts";
import { isPublished } from "./verify.ts";

/** How long a table may be in use by others when changes are to be applied to it, in ms. */
const APPLY_LOCK_MS_MAX = 120_000;
/** Memory of one sort or hash of the server's, in MB: changes between two checkpoints fit where they are narrow. */
const WORK_MEMORY_MB = 64;

/** What is staged of the log, of the rows that are to be applied. */
interface StagedLog {
  readonly deletes: number;
  readonly last: string | null;
  readonly truncated: string | null;
  readonly odd: string | null;
  readonly keyless: string | null;
}

/**
 * @param ends the generation is over: its staging goes, and it is what readers see
 * @throws ExtractError LEDGER_FENCED, DESTINATION_UNWRITABLE, DESTINATION_FOREIGN, DESTINATION_FAILED
 */
export async function applyChanges(
  connection: DestinationConnection,
  context: DestinationContext,
  config: PostgresDestinationConfig,
  step: CommitStep,
  ends: boolean,
): Promise<Applied> {
  const tables = describeChangeTables(context, config, step.stream);
  const target = showTable(tables.copy.target);
  const doing = `apply changes to ${target}`;
  const { consistentFrom = null } = step.log ?? {};
  await makeStaging(connection, context, tables.log);
  const apply = async (): Promise<Applied> => {
    await connection.query(
      doing,
      `SET LOCAL lock_timeout = ${APPLY_LOCK_MS_MAX}; SET LOCAL work_mem = '${WORK_MEMORY_MB}MB'; SET LOCAL jit = off`,
    );
    await holdEpoch(connection, context);
    const isOver = await isPublished(connection, context, tables.log);
    const known = await readCopy(connection, context, tables.log);
    checkGeneration(context, tables, known);
    const upTo = step.log ? checkPosition(step.log.upTo) : LAST_POSITION;
    const describe = (position: string, rows: number): Applied => ({
      upTo: position,
      rows,
      isConsistent: consistentFrom === null || position >= consistentFrom,
    });
    if (isOver) return describe(known?.position ?? "", 0);
    const isOurs = known?.generation === tables.log.generation;
    if (isOurs && !ends && known.position >= upTo)
      return describe(known.position, 0);
    const taken = isOurs ? known.rows : 0;
    const staged = await countStaged(connection, context, tables, taken);
    const beginning = findBeginning(tables, known, staged.snapshot);
    const applied = beginning ? "" : (known?.position ?? "");
    const log = await lookAtLog(connection, tables, applied, upTo);
    const unsent = await findUnsent(connection, tables, applied, upTo);
    const rowsBegun = await beginCopy(connection, context, config, tables, {
      begins: beginning !== null,
      snapshotRows: staged.snapshot,
    });
    const rows = await foldLog(connection, tables, log, unsent, {
      applied,
      upTo,
      truncated: log.truncated,
      consistentFrom: consistentFrom ?? "",
    });
    const reached = step.log ? upTo : (log.last ?? "");
    const position = reached > applied ? reached : applied;
    await writeCopy(connection, context, tables.copy, {
      generation: tables.log.generation,
      snapshotGeneration: beginning ?? known?.snapshotGeneration ?? 0,
      position,
      rows: taken + rowsBegun + rows,
    });
    if (ends) await endGeneration(connection, context, tables, step);
    return describe(position, rowsBegun + rows);
  };
  try {
    return await connection.transaction(doing, apply);
  } catch (error) {
    throw nameTable(error, target);
  }
}

/** An attempt that slept through a later run must not apply its older rows. */
function checkGeneration(
  context: DestinationContext,
  { copy }: ChangeTables,
  known: CopyState | null,
): void {
  if (known === null || known.generation <= copy.generation) return;
  throw new ExtractError(
    "LEDGER_FENCED",
    `${showTable(copy.target)} follows generation ${known.generation}, which is newer than ${copy.generation}`,
    {
      ...fenced(context).details,
      table: showTable(copy.target),
      generation: copy.generation,
    },
  );
}

/** @throws ExtractError DESTINATION_FAILED for rows that are no changes */
async function lookAtLog(
  connection: DestinationConnection,
  { log, copy }: ChangeTables,
  applied: string,
  upTo: string,
): Promise<StagedLog> {
  const keyless = (log.key ?? [])
    .map((name) => `${quoteIdentifier(name)} IS NULL`)
    .join(" OR ");
  const [found] = await connection.query<StagedLog>(
    `look at the changes of ${showTable(copy.target)}`,
    `SELECT count(*) FILTER (WHERE ${OPERATION_COLUMN} = 'd')::float8 AS deletes,
       max(${POSITION_COLUMN}) AS last, max(${POSITION_COLUMN}) FILTER (WHERE ${OPERATION_COLUMN} = 't') AS truncated,
       min(${POSITION_COLUMN}) FILTER (WHERE ${OPERATION_COLUMN} NOT IN ('r', 'c', 'u', 'd', 't')) AS odd,
       min(${POSITION_COLUMN}) FILTER (WHERE ${OPERATION_COLUMN} <> 't' AND (${keyless || "false"})) AS keyless
     FROM ${quoteTable(log.staging)} WHERE ${POSITION_COLUMN} > $1 AND ${POSITION_COLUMN} <= $2`,
    [applied, upTo],
  );
  assert(found, "a look at the log has one row");
  const fault = found.odd ?? found.keyless;
  if (fault !== null)
    throw new ExtractError(
      "DESTINATION_FAILED",
      `${showTable(copy.target)}: the change at ${fault} ${found.odd === null ? "has no key" : "is of no known kind"}`,
      { table: showTable(copy.target), position: fault },
    );
  return found;
}

/** @throws ExtractError DESTINATION_FAILED for a column that cannot be left out */
async function findUnsent(
  connection: DestinationConnection,
  { log, copy, values }: ChangeTables,
  applied: string,
  upTo: string,
): Promise<readonly UnsentColumn[]> {
  const found = await connection.query<{ name: string }>(
    `look at the changes of ${showTable(copy.target)}`,
    `SELECT DISTINCT n.name FROM ${quoteTable(log.staging)} s
     CROSS JOIN LATERAL jsonb_array_elements_text(s.${UNCHANGED_COLUMN}::jsonb) n(name)
     WHERE s.${POSITION_COLUMN} > $1 AND s.${POSITION_COLUMN} <= $2 AND s.${UNCHANGED_COLUMN} <> '[]'
       AND s.${OPERATION_COLUMN} NOT IN ('d', 't')
     ORDER BY 1 LIMIT ${values.length + 1}`,
    [applied, upTo],
  );
  return found.map(({ name }) => {
    const place = log.schema.columns.findIndex((one) => one.name === name);
    const column = values.find((one) => one.name === log.columns[place]?.name);
    if (column) return { column, name };
    throw new ExtractError(
      "DESTINATION_FAILED",
      `${showTable(copy.target)}: a change came without the value of ${name}, which is ${place < 0 ? "no column of it" : "always sent"}`,
      { table: showTable(copy.target), column: name },
    );
  });
}

/** @returns rows taken from staging */
async function foldLog(
  connection: DestinationConnection,
  tables: ChangeTables,
  log: StagedLog,
  unsent: readonly UnsentColumn[],
  bounds: FoldBounds,
): Promise<number> {
  const { keepsCopy, isSoft } = tables;
  const doing = `apply changes to ${showTable(tables.copy.target)}`;
  if (!keepsCopy) {
    const sql = historyStatement(tables, bounds);
    return (await askOne<FoldResult>(connection, doing, sql)).moved;
  }
  const fold = (some: FoldBounds): Promise<number> => {
    const isPlain = unsent.length === 0 && !(isSoft && log.deletes > 0);
    const sql = isPlain
      ? newestStatement(tables, some)
      : foldStatement(tables, some, unsent);
    return foldOnce(connection, tables, sql);
  };
  if (log.truncated === null) return fold(bounds);
  if (!isSoft) {
    // a lock that keeps readers out would have to be taken before any other; and foreign keys may point to the table
    const sql = `DELETE FROM ${quoteTable(tables.copy.target)}`;
    await connection.query(`empty ${showTable(tables.copy.target)}`, sql);
    return fold(bounds);
  }
  return foldBetweenTruncations(connection, tables, bounds, fold);
}

/** Rows that came before a truncation stay, with their mark: so they have to be there first. */
async function foldBetweenTruncations(
  connection: DestinationConnection,
  { copy, log }: ChangeTables,
  bounds: FoldBounds,
  fold: (some: FoldBounds) => Promise<number>,
): Promise<number> {
  const doing = `empty ${showTable(copy.target)}`;
  let rows = 0;
  let { applied } = bounds;
  for (;;) {
    const [next] = await connection.query<{ position: string; at: string }>(
      doing,
      `SELECT ${POSITION_COLUMN} AS position, ${TIME_COLUMN}::text AS at FROM ${quoteTable(log.staging)}
       WHERE ${OPERATION_COLUMN} = 't' AND ${POSITION_COLUMN} > $1 AND ${POSITION_COLUMN} <= $2 ORDER BY 1 LIMIT 1`,
      [applied, bounds.upTo],
    );
    const upTo = next?.position ?? bounds.upTo;
    rows += await fold({ ...bounds, applied, upTo, truncated: null });
    if (!next) return rows;
    await connection.query(
      doing,
      `UPDATE ${quoteTable(copy.target)} SET ${DELETED_COLUMN} = true, ${POSITION_COLUMN} = $1, ${TIME_COLUMN} = $2::text::timestamptz
       WHERE NOT ${DELETED_COLUMN}`,
      [next.position, next.at],
    );
    applied = next.position;
  }
}

/** @throws ExtractError DESTINATION_FAILED where a value is nowhere to be found */
async function foldOnce(
  connection: DestinationConnection,
  { copy }: ChangeTables,
  sql: string,
): Promise<number> {
  const target = showTable(copy.target);
  const doing = `apply changes to ${target}`;
  const result = await askOne<FoldResult>(connection, doing, sql);
  if (result.unknown === null) return result.moved;
  throw new ExtractError(
    "DESTINATION_FAILED",
    `${target}: the change at ${result.unknown} came without a value that no earlier row has; copy the stream anew`,
    { table: target, position: result.unknown },
  );
}

async function askOne<Row>(
  connection: DestinationConnection,
  doing: string,
  sql: string,
): Promise<Row> {
  const [row] = await connection.query<Row>(doing, sql);
  assert(row, "the statement has one row");
  return row;
}

async function endGeneration(
  connection: DestinationConnection,
  context: DestinationContext,
  { log, copy }: ChangeTables,
  step: CommitStep,
): Promise<void> {
  const doing = `end generation ${log.generation} of ${showTable(copy.target)}`;
  const rows = step.files.reduce((sum, file) => sum + file.rows, 0);
  await connection.query(
    doing,
    `DROP TABLE IF EXISTS ${quoteTable(log.staging)}, ${quoteTable(copy.staging)}`,
  );
  await connection.query(
    doing,
    `UPDATE ${OWN_SCHEMA}.generations SET state = 'published', rows = $5, published_at = $6 WHERE ${WHERE_GENERATION}`,
    [...generationKey(context, log), rows, step.committedAt],
  );
}
