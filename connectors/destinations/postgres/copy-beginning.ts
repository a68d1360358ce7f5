/** What is done before changes are applied: the tables are made or altered, and a snapshot takes the copy's place. */
import assert from "node:assert/strict";

import {
  DELETED_COLUMN,
  OPERATION_COLUMN,
  POSITION_COLUMN,
  TIME_COLUMN,
  UNCHANGED_COLUMN,
} from "../../../proto/change-columns.ts";
import { changeColumnNames, checkChangeStream } from "../change-rows.ts";
import type { DestinationContext } from "../destination.ts";
import { defineChangeColumns, type ChangeTables } from "./change-tables.ts";
import {
  alterTarget,
  insertStaging,
  makeSchema,
  moveStaging,
} from "./commit.ts";
import { readCopy, type CopyState } from "./copy-state.ts";
import type { PostgresDestinationConfig } from "./config.ts";
import type { DestinationConnection } from "./connection.ts";
import { quoteIdentifier, quoteTable, showTable } from "./names.ts";
import { listColumns } from "./staging.ts";
import {
  checkKey,
  checkShape,
  choosePublishWay,
  lookUpTargets,
  refuse,
  type FoundTarget,
  type Publishing,
} from "./target.ts";

/**
 * Whether this generation's snapshot takes the place of the copy: there is none yet, the stream was reset, or rows of a
 * snapshot wait. @returns the generation, or null where the copy goes on
 */
export function findBeginning(
  { log }: ChangeTables,
  known: CopyState | null,
  snapshotRows: number,
): number | null {
  const { generation, isReset } = log;
  if (known?.snapshotGeneration === generation) {
    assert.equal(
      snapshotRows,
      0,
      "rows of a snapshot behind its last partition",
    );
    return null;
  }
  const begins = known === null || isReset || snapshotRows > 0;
  return begins ? generation : null;
}

/**
 * Whether a stream can end in the tables that are there, before any row is read.
 * @throws ExtractError USAGE, DESTINATION_UNWRITABLE, DESTINATION_FOREIGN
 */
export async function checkChangeTarget(
  connection: DestinationConnection,
  context: DestinationContext,
  config: PostgresDestinationConfig,
  tables: ChangeTables,
  found: FoundTarget,
): Promise<void> {
  const { log, copy, history, keepsCopy } = tables;
  checkChangeStream(log.schema);
  if (history) {
    const [kept] = await lookUpTargets(connection, [history.table]);
    assert(kept, "a table that was looked up has no answer");
    checkHistory(tables, kept);
  }
  if (!keepsCopy) return;
  const known = await readCopy(connection, context, copy);
  const begins =
    known === null ||
    (log.isReset && known.snapshotGeneration !== log.generation);
  const { syncId } = context;
  await chooseChangeWay(connection, config, syncId, tables, found, begins);
}

/** Again under the lock. @throws ExtractError DESTINATION_UNWRITABLE, DESTINATION_FOREIGN */
async function chooseChangeWay(
  connection: DestinationConnection,
  config: PostgresDestinationConfig,
  syncId: string,
  tables: ChangeTables,
  found: FoundTarget,
  begins: boolean,
): Promise<Publishing> {
  const { copy } = tables;
  if (copy.key === null)
    throw refuse(
      copy,
      "has no key that Postgres can index, which cdc applies changes by; `history: instead` needs none",
    );
  const { table } = found;
  if (begins) {
    if (table) checkKeyOfOthers(tables, table, found.publishedBy === syncId);
    const overwriting = { ...config, mode: "full-refresh-overwrite" } as const;
    return choosePublishWay(connection, overwriting, syncId, copy, found);
  }
  if (table === null)
    throw refuse(
      copy,
      "was removed since its rows were copied, and only its changes come now; reset the stream",
    );
  const merging = { ...config, mode: "incremental-append-dedupe" } as const;
  const going = { ...copy, isReset: false };
  return choosePublishWay(connection, merging, syncId, going, found);
}

/** A table of ours is dropped and made anew where nothing hangs on it; any other is filled, and has to have the key. */
function checkKeyOfOthers(
  { copy }: ChangeTables,
  table: NonNullable<FoundTarget["table"]>,
  isOurs: boolean,
): void {
  if (!isOurs || table.attachments.length > 0) checkKey(copy, table);
}

/** @returns rows that were taken from the snapshot's staging */
export async function beginCopy(
  connection: DestinationConnection,
  context: DestinationContext,
  config: PostgresDestinationConfig,
  tables: ChangeTables,
  { begins, snapshotRows }: { begins: boolean; snapshotRows: number },
): Promise<number> {
  const { copy, keepsCopy } = tables;
  await makeSchema(connection, copy.target.schema);
  await prepareHistory(connection, tables);
  if (begins) await keepSnapshot(connection, tables);
  if (!keepsCopy) {
    if (begins)
      await connection.query(
        `empty the staging of ${showTable(copy.target)}`,
        `DROP TABLE ${quoteTable(copy.staging)}`,
      );
    return begins ? snapshotRows : 0;
  }
  const choose = async (): Promise<Publishing & { found: FoundTarget }> => {
    const [found] = await lookUpTargets(connection, [copy.target]);
    assert(found, "a table that was looked up has no answer");
    const { syncId } = context;
    return {
      found,
      ...(await chooseChangeWay(
        connection,
        config,
        syncId,
        tables,
        found,
        begins,
      )),
    };
  };
  // looked at before the lock, since a lock that grows later may meet another's
  const expected = await choose();
  const isAltered = begins || expected.alterations.length > 0;
  if (expected.found.table)
    await connection.query(
      `lock ${showTable(copy.target)}`,
      `LOCK TABLE ${quoteTable(copy.target)} IN ${isAltered ? "ACCESS EXCLUSIVE" : "SHARE ROW EXCLUSIVE"} MODE`,
    );
  const { found, way, alterations } = await choose();
  await alterTarget(connection, copy, alterations);
  if (!begins) return 0;
  if (way === "move") {
    await addKey(connection, tables);
    await moveStaging(connection, copy, found.table !== null);
    return snapshotRows;
  }
  assert.equal(way, "refill");
  const doing = `fill ${showTable(copy.target)}`;
  await connection.query(doing, `TRUNCATE ${quoteTable(copy.target)}`);
  await insertStaging(connection, copy, snapshotRows);
  await connection.query(doing, `DROP TABLE ${quoteTable(copy.staging)}`);
  return snapshotRows;
}

async function addKey(
  connection: DestinationConnection,
  { copy }: ChangeTables,
): Promise<void> {
  const columns = listColumns((copy.key ?? []).map((name) => ({ name })));
  await connection.query(
    `make the primary key of ${showTable(copy.target)}`,
    `ALTER TABLE ${quoteTable(copy.staging)} ADD PRIMARY KEY (${columns})`,
  );
}

/** Made, or given the columns that appeared. @throws ExtractError DESTINATION_UNWRITABLE */
async function prepareHistory(
  connection: DestinationConnection,
  { history, copy }: ChangeTables,
): Promise<void> {
  if (!history) return;
  const [found] = await lookUpTargets(connection, [history.table]);
  assert(found, "a table that was looked up has no answer");
  const doing = `make ${showTable(history.table)}`;
  if (found.table === null) {
    await connection.query(
      doing,
      `CREATE TABLE ${quoteTable(history.table)} (${defineChangeColumns(history.columns)})`,
    );
    return;
  }
  const alterations = checkHistory({ history, copy }, found);
  if (alterations.length > 0)
    await connection.query(
      doing,
      `ALTER TABLE ${quoteTable(history.table)} ${alterations.join(", ")}`,
    );
}

/** @returns what ALTER TABLE has to do. @throws ExtractError DESTINATION_UNWRITABLE */
function checkHistory(
  { history, copy }: Pick<ChangeTables, "history" | "copy">,
  { table, mayCreate }: FoundTarget,
): readonly string[] {
  assert(history);
  const place = { ...copy, target: history.table, columns: history.columns };
  if (table === null) {
    if (mayCreate) return [];
    throw refuse(
      place,
      `cannot be made: this user may not create tables in schema ${history.table.schema}`,
    );
  }
  if (table.relkind !== "r" && table.relkind !== "p")
    throw refuse(place, "is there and is no table");
  if (!table.mayInsert)
    throw refuse(place, "is there, and this user may not insert into it");
  // a table without these columns is somebody's, and stays as it is
  const isHistory = changeColumnNames.every((name) =>
    table.columns.some((column) => column.name === name),
  );
  return checkShape(place, table.columns, table.isOwner && isHistory);
}

/** The snapshot's rows as changes: what the copy leaves out of them is the same in all. */
async function keepSnapshot(
  connection: DestinationConnection,
  { history, copy }: ChangeTables,
): Promise<void> {
  if (!history) return;
  const staged = new Set(copy.columns.map(({ name }) => name));
  const constants: Readonly<Record<string, string>> = {
    [OPERATION_COLUMN]: "'r'",
    [DELETED_COLUMN]: "false",
    [UNCHANGED_COLUMN]: "'[]'",
  };
  const values = history.columns.map(({ name, type }) => {
    const constant = constants[name];
    if (constant !== undefined) return constant;
    return staged.has(name) ? quoteIdentifier(name) : `NULL::${type}`;
  });
  await connection.query(
    `fill ${showTable(history.table)}`,
    `INSERT INTO ${quoteTable(history.table)} (${listColumns(history.columns)}) SELECT ${values.join(", ")} FROM ${quoteTable(copy.staging)}`,
  );
  assert(staged.has(POSITION_COLUMN) && staged.has(TIME_COLUMN));
}
