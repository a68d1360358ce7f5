/**
 * The statement that applies staged changes to the copy: all rows of a key become one, and of each column the last value
 * that was sent counts. Pure: text of SQL.
 *
 * Rows of a key between two deletions are a life. A row that came by a change of key continues the life of its old key,
 * which ended with the deletion just before. So a value that was not sent is found by walking back: through the life,
 * through those it continues, and then in the copy, under the key of the first of them. Where that has no row, the copy's
 * row of the key itself is taken: a log that began before the snapshot tells changes of key that the snapshot has already.
 */
import {
  DELETED_COLUMN,
  OLD_KEY_COLUMN,
  OPERATION_COLUMN,
  POSITION_COLUMN,
  TIME_COLUMN,
  UNCHANGED_COLUMN,
} from "../../../proto/change-columns.ts";
import { SNAPSHOT_ENDING } from "../../../proto/log-position.ts";
import type { ChangeTables } from "./change-tables.ts";
import { quoteIdentifier, quoteLiteral, quoteTable } from "./names.ts";
import { listColumns } from "./staging.ts";
import type { TargetColumn } from "./types.ts";

/** Positions; the empty text is before all of them. */
export interface FoldBounds {
  /** What was applied before. */
  readonly applied: string;
  /** What is to be applied, inclusive. */
  readonly upTo: string;
  /** The last truncation in between, which nothing before it survives. */
  readonly truncated: string | null;
  /** Up to here a row may change one that is not there any more. */
  readonly consistentFrom: string;
}

/** What the statement answers. */
export interface FoldResult {
  /** Rows that left staging. */
  readonly moved: number;
  /** A row of which a value was neither sent nor there before; null: none. */
  readonly unknown: string | null;
}

/** A column of which some rows did not send the value. */
export interface UnsentColumn {
  readonly column: TargetColumn;
  /** As the source calls it. */
  readonly name: string;
}

/** Takes the rows out of staging, and into the history. */
function takeRows(
  { log, history }: ChangeTables,
  { applied, upTo }: FoldBounds,
): string[] {
  const taken = [
    `moved AS (DELETE FROM ${quoteTable(log.staging)} WHERE ${POSITION_COLUMN} <= ${quoteLiteral(upTo)} RETURNING *)`,
  ];
  if (!history) return taken;
  const names = listColumns(history.columns);
  return [
    ...taken,
    `kept AS (INSERT INTO ${quoteTable(history.table)} (${names})
       SELECT DISTINCT ON (${POSITION_COLUMN}) ${names} FROM moved WHERE ${POSITION_COLUMN} > ${quoteLiteral(applied)} ORDER BY ${POSITION_COLUMN})`,
  ];
}

const answerMoved = `(SELECT count(*) FROM moved)::float8 AS moved`;

/** Without a copy: rows go into the history alone. */
export function historyStatement(
  tables: ChangeTables,
  bounds: FoldBounds,
): string {
  return `WITH ${takeRows(tables, bounds).join(",\n")}
    SELECT ${answerMoved}, NULL AS unknown`;
}

/** Where every value was sent and no row that was deleted stays: the newest row of a key is what becomes of it. */
export function newestStatement(
  tables: ChangeTables,
  bounds: FoldBounds,
): string {
  const { copy } = tables;
  const key = listColumns(keyOf(tables));
  return `WITH ${takeRows(tables, bounds).join(",\n")},
    newest AS MATERIALIZED (
      SELECT DISTINCT ON (${key}) ${listColumns(copy.columns)}, ${OPERATION_COLUMN} = 'd' AS _millrace_gone
      FROM moved WHERE ${POSITION_COLUMN} > ${behindWhat(bounds)} AND ${OPERATION_COLUMN} <> 't' ORDER BY ${key}, ${POSITION_COLUMN} DESC
    ),
    gone AS (
      DELETE FROM ${quoteTable(copy.target)} t USING newest s
      WHERE s._millrace_gone AND ${joinKeys(tables, "t", "s")} AND ${isNewer(`s.${POSITION_COLUMN}`)} RETURNING 1
    ),
    put AS (
      INSERT INTO ${quoteTable(copy.target)} AS t (${listColumns(copy.columns)})
      SELECT ${listColumns(copy.columns)} FROM newest s WHERE NOT s._millrace_gone AND ${behind("gone")}
      ${onConflict(tables)} RETURNING 1
    )
    SELECT ${answerMoved}, NULL AS unknown FROM (SELECT count(*) FROM put) p`;
}

/** @param unsent the columns that some row did not send */
export function foldStatement(
  tables: ChangeTables,
  bounds: FoldBounds,
  unsent: readonly UnsentColumn[],
): string {
  const { copy, isSoft } = tables;
  const key = keyOf(tables);
  const names = key.map((_, i) => `k${i}`).join(", ");
  const pair = (a: string, b: string, there = "k", here = "k"): string =>
    key.map((_, i) => `${a}.${there}${i} = ${b}.${here}${i}`).join(" AND ");
  const inCopy = (row: string, of: string): string =>
    key
      .map(({ name }, i) => `${row}.${quoteIdentifier(name)} = ${of}.k${i}`)
      .join(" AND ");
  const firstKey = quoteIdentifier(key[0]?.name ?? "");
  const hasBase = `b.${firstKey} IS NOT NULL`;
  const value = (column: TargetColumn): string => {
    const name = quoteIdentifier(column.name);
    const i = unsent.findIndex((one) => one.column === column);
    if (i < 0) return `v.${name}`;
    return `CASE WHEN f.n${i} IS NOT NULL THEN r${i}.${name} WHEN ${hasBase} THEN b.${name} ELSE o.${name} END AS ${name}`;
  };
  const columns = copy.columns.map((column) => {
    const place = key.indexOf(column);
    if (place >= 0) return `l.k${place} AS ${quoteIdentifier(column.name)}`;
    switch (column.name) {
      case POSITION_COLUMN:
        return `l.p AS ${POSITION_COLUMN}`;
      case TIME_COLUMN:
        return `l.at AS ${TIME_COLUMN}`;
      case DELETED_COLUMN:
        return `l.gone AS ${DELETED_COLUMN}`;
      default:
        return value(column);
    }
  });
  const isLost =
    unsent.length === 0
      ? "false"
      : `(${unsent.map((_, i) => `f.n${i} IS NULL`).join(" OR ")}) AND b.${firstKey} IS NULL AND o.${firstKey} IS NULL`;
  const bases =
    unsent.length === 0
      ? ""
      : `LEFT JOIN ${quoteTable(copy.target)} b ON ${inCopy("b", "e")} AND e.life <= 0
         LEFT JOIN ${quoteTable(copy.target)} o ON ${inCopy("o", "l")}`;
  const removal = isSoft
    ? `gone AS (
      UPDATE ${quoteTable(copy.target)} t SET ${DELETED_COLUMN} = true, ${POSITION_COLUMN} = l.p, ${TIME_COLUMN} = l.at
      FROM newest l JOIN found f USING (id)
      WHERE f.n IS NULL AND ${inCopy("t", "l")} AND ${isNewer("l.p")} RETURNING 1
    )`
    : `gone AS (
      DELETE FROM ${quoteTable(copy.target)} t USING newest l
      WHERE l.gone AND ${inCopy("t", "l")} AND ${isNewer("l.p")} RETURNING 1
    )`;
  return `WITH RECURSIVE ${takeRows(tables, bounds).join(",\n")},
    ordered AS MATERIALIZED (
      SELECT m.*, row_number() OVER (ORDER BY ${POSITION_COLUMN}) AS _millrace_n,
        CASE WHEN ${UNCHANGED_COLUMN} <> '[]' THEN ${UNCHANGED_COLUMN}::jsonb END AS _millrace_unsent
      FROM (SELECT DISTINCT ON (${POSITION_COLUMN}) * FROM moved WHERE ${POSITION_COLUMN} > ${behindWhat(bounds)} AND ${OPERATION_COLUMN} <> 't' ORDER BY ${POSITION_COLUMN}) m
    ),
    changes AS MATERIALIZED (
      SELECT _millrace_n AS n, ${POSITION_COLUMN} AS p, ${TIME_COLUMN} AS at, ${OPERATION_COLUMN} = 'd' AS gone, _millrace_unsent AS unsent,
        ${key.map(({ name }, i) => `${quoteIdentifier(name)} AS k${i}`).join(", ")},
        ${OLD_KEY_COLUMN} IS NOT NULL AND _millrace_unsent IS NOT NULL AS continues,
        ${key.map(({ type }, i) => `CASE WHEN _millrace_unsent IS NOT NULL THEN (${OLD_KEY_COLUMN}::jsonb ->> ${i})::${type} END AS o${i}`).join(", ")},
        count(*) FILTER (WHERE ${OPERATION_COLUMN} = 'd') OVER (
          PARTITION BY ${listColumns(key)} ORDER BY _millrace_n ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING) AS life
      FROM ordered
    ),
    newest AS MATERIALIZED (
      SELECT DISTINCT ON (${names}) n AS id, p, at, gone, life, ${names} FROM changes ORDER BY ${names}, n DESC
    ),
    continued AS MATERIALIZED (
      SELECT DISTINCT ON (${key.map((_, i) => `c.k${i}`).join(", ")}, c.life) ${key.map((_, i) => `c.k${i}, c.o${i}`).join(", ")}, c.life,
        coalesce(s.life, -1) AS before
      FROM changes c LEFT JOIN changes s ON ${pair("s", "c", "k", "o")} AND s.gone AND s.n < c.n
      WHERE c.continues ORDER BY ${key.map((_, i) => `c.k${i}`).join(", ")}, c.life, s.n DESC NULLS LAST
    ),
    walk AS (
      SELECT id, life, 0 AS depth, ${names} FROM newest ${isSoft ? "" : "WHERE NOT gone"}
      UNION ALL
      SELECT w.id, c.before, w.depth + 1, ${key.map((_, i) => `c.o${i}`).join(", ")}
      FROM walk w JOIN continued c ON ${pair("c", "w")} AND c.life = w.life
    ),
    earliest AS (SELECT DISTINCT ON (id) id, life, ${names} FROM walk ORDER BY id, depth DESC),
    found AS MATERIALIZED (
      SELECT w.id, max(c.n) FILTER (WHERE NOT c.gone) AS n${unsent
        .map(
          ({ name }, i) =>
            `, max(c.n) FILTER (WHERE NOT c.gone AND (c.unsent ? ${quoteLiteral(name)}) IS NOT TRUE) AS n${i}`,
        )
        .join("")}
      FROM walk w JOIN changes c ON ${pair("c", "w")} AND c.life = w.life GROUP BY w.id
    ),
    folded AS MATERIALIZED (
      SELECT ${columns.join(", ")}, ${isLost} AS _millrace_lost
      FROM newest l JOIN found f USING (id) JOIN earliest e USING (id) JOIN ordered v ON v._millrace_n = f.n
      ${unsent.map((_, i) => `LEFT JOIN ordered r${i} ON r${i}._millrace_n = f.n${i}`).join("\n")}
      ${bases}
    ),
    ${removal},
    put AS (
      INSERT INTO ${quoteTable(copy.target)} AS t (${listColumns(copy.columns)})
      SELECT ${listColumns(copy.columns)} FROM folded WHERE NOT _millrace_lost AND ${behind("gone")}
      ${onConflict(tables)} RETURNING 1
    )
    SELECT ${answerMoved}, (SELECT min(${POSITION_COLUMN}) FROM folded WHERE _millrace_lost AND ${POSITION_COLUMN} > ${quoteLiteral(bounds.consistentFrom)}) AS unknown
    FROM (SELECT count(*) FROM put) p`;
}

function behindWhat({ applied, truncated }: FoldBounds): string {
  return quoteLiteral(truncated ?? applied);
}

function keyOf({ copy }: ChangeTables): TargetColumn[] {
  return (copy.key ?? []).flatMap(
    (name) => copy.columns.find((column) => column.name === name) ?? [],
  );
}

function joinKeys(tables: ChangeTables, a: string, b: string): string {
  return keyOf(tables)
    .map(({ name }) => quoteIdentifier(name))
    .map((name) => `${a}.${name} = ${b}.${name}`)
    .join(" AND ");
}

/** What came later stays; a row of the snapshot gives way to whatever the log says. */
function isNewer(position: string): string {
  return `(t.${POSITION_COLUMN} COLLATE "C" < ${position} OR t.${POSITION_COLUMN} LIKE '%${SNAPSHOT_ENDING}')`;
}

/** The parts of one statement run in any order, but a value of another part has to be there first. */
function behind(part: string): string {
  return `(SELECT count(*) FROM ${part}) >= 0`;
}

function onConflict(tables: ChangeTables): string {
  const { copy } = tables;
  const key = keyOf(tables);
  const updates = copy.columns
    .filter((column) => !key.includes(column))
    .map(({ name }) => quoteIdentifier(name))
    .map((name) => `${name} = excluded.${name}`);
  return `ON CONFLICT (${listColumns(key)}) DO UPDATE SET ${updates.join(", ")} WHERE ${isNewer(`excluded.${POSITION_COLUMN}`)}`;
}
