/** Whether all that was made durable of a stream's changes is there. */
import assert from "node:assert/strict";

import type { SealedFile } from "../../../proto/checkpoint.ts";
import type { CommitStep } from "../../../proto/control.ts";
import { ExtractError } from "../../../proto/error.ts";
import { POSITION_COLUMN } from "../../../proto/change-columns.ts";
import type { DestinationContext } from "../destination.ts";
import { describeChangeTables, type ChangeTables } from "./change-tables.ts";
import type { PostgresDestinationConfig } from "./config.ts";
import type { DestinationConnection } from "./connection.ts";
import { LAST_POSITION, readCopy } from "./copy-state.ts";
import { emptyPath, OWN_SCHEMA, quoteTable, showTable } from "./names.ts";
import { generationKey, makeStaging, WHERE_GENERATION } from "./staging.ts";
import { checkFiles, isPublished } from "./verify.ts";

/** Rows by where they are. */
interface Counts {
  readonly snapshot: number;
  /** Of the log, up to the position asked for. */
  readonly log: number;
  readonly staged: number;
  /** Of all checkpoints. */
  readonly owed: number;
}

/**
 * Nothing that a checkpoint made durable may be missing: the rows in staging and those that were taken from it are the
 * rows of all checkpoints.
 * @param taken rows that were taken from staging
 * @throws ExtractError DESTINATION_FAILED
 */
export async function countStaged(
  connection: DestinationConnection,
  context: DestinationContext,
  tables: ChangeTables,
  taken: number,
  upTo: string = LAST_POSITION,
): Promise<Counts> {
  const { log, copy } = tables;
  const doing = `count what is staged for ${showTable(copy.target)}`;
  const [there] = await connection.query<{ snapshot: boolean }>(
    doing,
    "SELECT to_regclass($1) IS NOT NULL AS snapshot",
    [quoteTable(copy.staging)],
  );
  const snapshot = there?.snapshot
    ? `(SELECT count(*) FROM ${quoteTable(copy.staging)})`
    : "0";
  // one statement, so that all counts are of one moment
  const [counts] = await connection.query<Counts>(
    doing,
    `SELECT ${snapshot}::float8 AS snapshot, s.log, s.staged,
       (SELECT coalesce(sum(rows), 0) FROM ${OWN_SCHEMA}.checkpoints WHERE ${WHERE_GENERATION})::float8 AS owed
     FROM (SELECT count(*)::float8 AS staged, count(*) FILTER (WHERE ${POSITION_COLUMN} <= $5)::float8 AS log
           FROM ${quoteTable(log.staging)}) s`,
    [...generationKey(context, log), upTo],
  );
  assert(counts, "counts have one row");
  const found = counts.snapshot + counts.staged;
  if (found + taken === counts.owed) return counts;
  throw new ExtractError(
    "DESTINATION_FAILED",
    `${showTable(copy.target)} has ${found} staged and ${taken} applied rows instead of ${counts.owed}; begin anew with --restart`,
    { table: showTable(copy.target), rowsSealed: counts.owed },
  );
}

/**
 * Proves that what was applied and what is staged up to the step's place in the log are exactly the rows of the files.
 * May be done again, also after the generation was published.
 * @throws ExtractError DESTINATION_FAILED where rows are missing or too many
 */
export async function verifyChanges(
  connection: DestinationConnection,
  context: DestinationContext,
  config: PostgresDestinationConfig,
  step: CommitStep,
): Promise<readonly SealedFile[]> {
  const tables = describeChangeTables(context, config, step.stream);
  const { log, copy } = tables;
  const files = step.files.filter(({ rows }) => rows > 0);
  const empty = [
    { path: emptyPath(copy.target, log.generation), rows: 0, bytes: 0 },
  ];
  const answer = files.length > 0 ? files : empty;
  await makeStaging(connection, context, log);
  if (await isPublished(connection, context, log)) return answer;
  await checkFiles(connection, context, log, files);
  const known = await readCopy(connection, context, copy);
  const taken = known?.generation === log.generation ? known.rows : 0;
  const counts = await countStaged(
    connection,
    context,
    tables,
    taken,
    step.log?.upTo,
  );
  const rows = files.reduce((sum, file) => sum + file.rows, 0);
  const found = counts.snapshot + counts.log + taken;
  if (found === rows) return answer;
  throw new ExtractError(
    "DESTINATION_FAILED",
    `${showTable(copy.target)} has ${found} rows, staged and applied, instead of ${rows}`,
    { table: showTable(copy.target), rowsSealed: rows },
  );
}
