/**
 * Rows that come again: an incremental window begins below the end of the one before, by the lag, and what has been
 * moved by then is dropped by the server.
 *
 * A run notes the rows of its window's end, under its snapshot, by a hash of their content. A row that was changed has
 * another hash and comes again, whether or not its cursor has moved; so do rows that became visible since. Where they
 * are more than REPEATS_MAX, as after a bulk load, a sum of all their hashes is noted: as long as that is the same, all
 * of them have been moved, and no other.
 */
import assert from "node:assert/strict";
import type { RepeatFilter } from "../../../proto/control.ts";
import type { CursorBounds, RepeatZone } from "../cursor-window.ts";
import { toTable } from "./cursor.ts";
import {
  filterConditions,
  quoteIdentifier,
  quoteRelation,
  type Queryable,
} from "./sql.ts";
import type { MysqlStream } from "./stream.ts";

/** Rows that are noted of one window: about 2 MB, which each statement of the next run carries. */
const REPEATS_MAX = 50_000;

/** What has been moved of a window's end. */
export interface MovedRows {
  readonly by: "row" | "sum";
  /** The columns that the hashes are made of, in order. */
  readonly columns: readonly string[];
  /** JSON object: by row, hash → how many rows have it; by sum, `rows`, `a` and `b` of all. */
  readonly known: string;
}

/** The rows of `(nextFrom, to]`, which come again in the next run. Null where there are none. */
export async function readMovedRows(
  connection: Queryable,
  stream: MysqlStream,
  bounds: CursorBounds,
  where: string | null,
  rowsMax: number = REPEATS_MAX,
): Promise<MovedRows | null> {
  const { nextFrom, to } = bounds;
  if (nextFrom === null || to === null || nextFrom === to) return null;
  const zone = { ...bounds, after: nextFrom, upTo: to };
  const columns = [
    ...new Set([
      ...(stream.key?.columns ?? []).map((column) => column.name),
      ...stream.columns.map((column) => column.name),
      bounds.column,
    ]),
  ];
  const known = await countHashes(connection, stream, zone, where, {
    columns,
    rowsMax,
  });
  if (known !== null) {
    return { by: "row", columns, known: JSON.stringify(known) };
  }
  const sum = await sumHashes(connection, stream, zone, where, columns);
  return { by: "sum", columns, known: JSON.stringify(sum) };
}

/**
 * The filter for a window that begins at `from`, where `moved` was noted of the window that ended at `upTo`. To be made
 * under the snapshot that is read with it.
 * @param warnings gets a sentence where rows come twice all the same
 */
export async function buildRepeatFilter(
  connection: Queryable,
  stream: MysqlStream,
  {
    zone,
    moved,
    where,
  }: { zone: RepeatZone; moved: MovedRows; where: string | null },
  warnings: string[],
): Promise<RepeatFilter | null> {
  const { upTo } = zone;
  const table = `${stream.schema.namespace}.${stream.schema.name}`;
  const gone = moved.columns.filter(
    (column) => !stream.allColumnNames.includes(column),
  );
  if (gone.length > 0) {
    warnings.push(
      `${table} has lost ${gone.join(", ")} since the last run: rows above ${zone.column} ${zone.after} come a second time`,
    );
    return null;
  }
  if (moved.by === "sum") {
    const now = await sumHashes(connection, stream, zone, where, moved.columns);
    if (JSON.stringify(now) === moved.known) {
      return { upTo, names: ["'moved'"], known: '{"moved":1}' };
    }
    warnings.push(
      `rows of ${table} above ${zone.column} ${zone.after} have changed since the last run and are too many to tell apart: they come a second time; --cursor-lag sets a shorter lag`,
    );
    return null;
  }
  const names = [nameByRow(stream, moved.columns)];
  if (hasUniqueRows(stream)) return { upTo, names, known: moved.known };
  const known = JSON.parse(moved.known) as Record<string, number>;
  const now = await countHashes(connection, stream, zone, where, {
    columns: moved.columns,
    rowsMax: null,
  });
  const added = Object.keys(known).filter(
    (hash) => (now?.[hash] ?? 0) > (known[hash] ?? 0),
  );
  for (const hash of added) delete known[hash];
  if (added.length > 0) {
    warnings.push(
      `${table} has new rows that equal some of the last run in every column: these come again with them`,
    );
  }
  return { upTo, names, known: JSON.stringify(known) };
}

function hasUniqueRows({ key, schema }: MysqlStream): boolean {
  return key !== null || schema.key !== undefined;
}

/**
 * Each column's hash by itself, since a text made of all of them could be longer than the server lets a text be, and
 * NULL then. A float prints with six digits; as a double it has all.
 */
function nameByRow(stream: MysqlStream, columns: readonly string[]): string {
  const floats = new Set(
    stream.columns
      .filter(({ dataType }) => dataType === "float")
      .map(({ name }) => name),
  );
  const parts = columns.map((column) => {
    const value = `${quoteIdentifier(column)}${floats.has(column) ? " + 0E0" : ""}`;
    return `COALESCE(MD5(${value}), '-')`;
  });
  return `MD5(CONCAT(${parts.join(", ")}))`;
}

function fromZone(
  stream: MysqlStream,
  { column, type, after, upTo }: RepeatZone,
  where: string | null,
): string {
  const conditions = filterConditions({
    where,
    cursor: { column, type, from: after, to: upTo },
  });
  return `FROM ${quoteRelation(toTable(stream))} WHERE ${conditions.join(" AND ")}`;
}

/** Null where there are more rows than wanted. */
async function countHashes(
  connection: Queryable,
  stream: MysqlStream,
  zone: RepeatZone,
  where: string | null,
  {
    columns,
    rowsMax,
  }: { readonly columns: readonly string[]; readonly rowsMax: number | null },
): Promise<Record<string, number> | null> {
  const limit = rowsMax === null ? "" : `LIMIT ${rowsMax + 1}`;
  const rows = await connection.query<{ hash: string }>(
    `SELECT ${nameByRow(stream, columns)} AS hash ${fromZone(stream, zone, where)} ${limit}`,
  );
  if (rows.length > (rowsMax ?? Infinity)) return null;
  const counts: Record<string, number> = {};
  for (const { hash } of rows) counts[hash] = (counts[hash] ?? 0) + 1;
  return counts;
}

interface HashSum {
  readonly rows: string;
  /** Sums of the first and of the next 60 bits of the hashes. */
  readonly a: string;
  readonly b: string;
}

async function sumHashes(
  connection: Queryable,
  stream: MysqlStream,
  zone: RepeatZone,
  where: string | null,
  columns: readonly string[],
): Promise<HashSum> {
  const bits = (from: number): string =>
    `CAST(COALESCE(SUM(CAST(CONV(SUBSTR(hash, ${from}, 15), 16, 10) AS UNSIGNED)), 0) AS CHAR)`;
  const [row] = await connection.query<HashSum>(
    `SELECT CAST(COUNT(*) AS CHAR) AS \`rows\`, ${bits(1)} AS a, ${bits(16)} AS b
    FROM (SELECT ${nameByRow(stream, columns)} AS hash ${fromZone(stream, zone, where)}) AS hashed`,
  );
  assert(row !== undefined, "an aggregate has one row");
  return { rows: row.rows, a: row.a, b: row.b };
}
