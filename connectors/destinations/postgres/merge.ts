/** Merges staging into the table by key: of one key the newest row counts, and rows marked as deleted take it away. */
import type { DeletePolicy } from "./config.ts";
import type { DestinationConnection } from "./connection.ts";
import { quoteIdentifier, quoteTable, showTable } from "./names.ts";
import { listColumns, ORDER_COLUMN, type StreamTables } from "./staging.ts";

/** A column that marks rows as deleted: a boolean, or the letter of an operation. */
const FLAG_COLUMN = "_deleted";
const OPERATION_COLUMN = "_op";

/**
 * In the caller's transaction. DELETE and INSERT … ON CONFLICT, since MERGE came with Postgres 15 only.
 * @throws ExtractError of the destination
 */
export async function mergeStaging(
  connection: DestinationConnection,
  tables: StreamTables,
  deletes: DeletePolicy,
): Promise<void> {
  const doing = `merge into ${showTable(tables.target)}`;
  for (const sql of mergeStatements(tables, deletes))
    await connection.query(doing, sql);
}

function mergeStatements(
  tables: StreamTables,
  deletes: DeletePolicy,
): string[] {
  const { target, staging, columns } = tables;
  const key = tables.key ?? [];
  const keyList = listColumns(key.map((name) => ({ name })));
  const names = listColumns(columns);
  const latest = `(SELECT DISTINCT ON (${keyList}) * FROM ${quoteTable(staging)} ORDER BY ${keyList}, ${ORDER_COLUMN} DESC)`;
  const isDeleted = deletes === "hard" ? deletionMark(tables) : null;
  const rest = columns.filter(({ name }) => !key.includes(name));
  const updates = rest
    .map(({ name }) => quoteIdentifier(name))
    .map((name) => `${name} = excluded.${name}`);
  const onConflict =
    updates.length > 0 ? `DO UPDATE SET ${updates.join(", ")}` : "DO NOTHING";
  const insert =
    `INSERT INTO ${quoteTable(target)} (${names}) SELECT ${names} FROM ${latest} s` +
    (isDeleted === null ? "" : ` WHERE NOT ${isDeleted}`) +
    ` ON CONFLICT (${keyList}) ${onConflict}`;
  if (isDeleted === null) return [insert];
  const sameKey = key
    .map((name) => quoteIdentifier(name))
    .map((name) => `t.${name} = s.${name}`);
  return [
    `DELETE FROM ${quoteTable(target)} t USING ${latest} s WHERE ${isDeleted} AND ${sameKey.join(" AND ")}`,
    insert,
  ];
}

/** A condition on row `s`, never NULL; null where no column marks deletions. */
function deletionMark({ columns }: StreamTables): string | null {
  const marks: string[] = [];
  for (const { name, logical } of columns) {
    if (name === FLAG_COLUMN && logical === "boolean")
      marks.push(`coalesce(s.${FLAG_COLUMN}, false)`);
    if (name === OPERATION_COLUMN && logical === "text")
      marks.push(
        `coalesce(lower(s.${OPERATION_COLUMN}) IN ('d', 'delete'), false)`,
      );
  }
  return marks.length === 0 ? null : `(${marks.join(" OR ")})`;
}
