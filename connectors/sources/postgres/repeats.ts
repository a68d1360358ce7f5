/**
 * Rows that come again: an incremental window begins below the end of the one before, by the lag, and what has been
 * moved by then is dropped by the server.
 *
 * A run notes the rows of its window's end, under its snapshot, by a hash of their content. A row that was changed has
 * another hash and comes again, whether or not its cursor has moved; so do rows that became visible since. Where they
 * are more than REPEATS_MAX, as after a bulk load, the transactions that wrote them are noted instead: whatever stands
 * in the heap with the id of a transaction whose rows the snapshot showed was shown as well.
 */
import assert from "node:assert/strict";
import type { RepeatFilter } from "../../../proto/control.ts";
import { ExtractError } from "../../../proto/error.ts";
import type { PostgresStream } from "./stream.ts";
import type { CursorBounds, RepeatZone } from "../cursor-window.ts";
import { filterConditions, quoteRelation, type Queryable } from "./sql.ts";
import { quoteIdentifier } from "./types.ts";

/** Rows, or transactions, that are noted of one window: about 4 MB, which each statement of the next run carries. */
export const REPEATS_MAX = 100_000;

/** What has been moved of a window's end. */
export interface MovedRows {
  readonly by: "row" | "transaction";
  /** The columns that the hash is made of, in order; none by transaction. */
  readonly columns: readonly string[];
  /** JSON object: name → how many rows have it. */
  readonly known: string;
}

/**
 * The rows of `(nextFrom, to]`, which come again in the next run. Null where there are none.
 * @throws ExtractError CURSOR_UNUSABLE where they are too many
 */
export async function readMovedRows(
  connection: Queryable,
  stream: PostgresStream,
  bounds: CursorBounds,
  where: string | null,
  namesMax: number = REPEATS_MAX,
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
  const byRow = await countNames(connection, stream, zone, where, {
    name: nameByRow(columns),
    rowsMax: namesMax,
    namesMax,
  });
  if (byRow !== null) return { by: "row", columns, known: byRow };
  const byTransaction = isHeap(stream)
    ? await countNames(connection, stream, zone, where, {
        name: nameByTransaction,
        rowsMax: null,
        namesMax,
      })
    : null;
  if (byTransaction !== null) {
    return { by: "transaction", columns: [], known: byTransaction };
  }
  const { namespace, name } = stream.schema;
  throw new ExtractError(
    "CURSOR_UNUSABLE",
    `${namespace}.${name} has more than ${namesMax} changes within ${describeLag(bounds.lagSeconds)} of its highest ${bounds.column}, too many to tell apart from new ones in the next run: end transactions that have been open for long, or choose a shorter --cursor-lag`,
    { column: bounds.column, lagSeconds: bounds.lagSeconds },
  );
}

/**
 * The filter for a window that begins at `from`, where `moved` was noted of the window that ended at `upTo`. To be made
 * under the snapshot that is read with it.
 * @param warnings gets a sentence where rows come twice all the same
 */
export async function buildRepeatFilter(
  connection: Queryable,
  stream: PostgresStream,
  {
    zone,
    moved,
    where,
  }: { zone: RepeatZone; moved: MovedRows; where: string | null },
  warnings: string[],
): Promise<RepeatFilter | null> {
  const { upTo } = zone;
  if (moved.by === "transaction") {
    return { upTo, names: [nameByTransaction], known: moved.known };
  }
  const gone = moved.columns.filter(
    (column) => !stream.allColumnNames.includes(column),
  );
  const table = `${stream.schema.namespace}.${stream.schema.name}`;
  if (gone.length > 0) {
    warnings.push(
      `${table} has lost ${gone.join(", ")} since the last run: rows above ${zone.column} ${zone.after} come a second time`,
    );
    return null;
  }
  const name = nameByRow(moved.columns);
  const names = [name];
  if (hasUniqueRows(stream)) return { upTo, names, known: moved.known };
  const more = await findAddedTwins(connection, stream, zone, where, {
    name,
    known: moved.known,
  });
  if (more.length === 0) return { upTo, names, known: moved.known };
  const known = JSON.parse(moved.known) as Record<string, number>;
  if (!isHeap(stream)) {
    for (const twin of more) delete known[twin.name];
    warnings.push(
      `${table} has new rows that equal some of the last run in every column: these come again with them`,
    );
    return { upTo, names, known: JSON.stringify(known) };
  }
  // of rows that nothing tells apart, as many as were moved are left out: by their places, which this snapshot fixes
  for (const twin of more) {
    const count = known[twin.name] ?? 0;
    delete known[twin.name];
    for (const place of twin.places.slice(0, count)) known[place] = 1;
  }
  return { upTo, names: [...names, nameByPlace], known: JSON.stringify(known) };
}

const nameByTransaction = "xmin::text";
const nameByPlace = "tableoid::text || ctid::text";

/** The text of a row is exact under our session's settings. */
function nameByRow(columns: readonly string[]): string {
  return `md5(ROW(${columns.map(quoteIdentifier).join(", ")})::text)`;
}

/** A key is unique in each leaf; in those of an inherited table only there. */
function hasUniqueRows({ key, relationKind, leaves }: PostgresStream): boolean {
  return (
    key !== null && (relationKind === "partitioned" || leaves.length === 1)
  );
}

/** Whether rows have transaction ids and places that mean something: a refreshed view's rows are all new. */
function isHeap({ relationKind, leaves }: PostgresStream): boolean {
  return (
    (relationKind === "table" || relationKind === "partitioned") &&
    leaves.every((leaf) => leaf.heap)
  );
}

function fromZone(
  stream: PostgresStream,
  zone: RepeatZone,
  where: string | null,
): { readonly sql: string; readonly params: readonly string[] } {
  const { column, type, after, upTo } = zone;
  const { sql, params } = filterConditions(
    { where, cursor: { column, type, from: after, to: upTo } },
    1,
  );
  const { namespace: schema, name } = stream.schema;
  return {
    sql: `FROM ${quoteRelation({ schema, name })} WHERE ${sql.join(" AND ")}`,
    params: params.map(String),
  };
}

/** Null where there are more rows or names than wanted. */
async function countNames(
  connection: Queryable,
  stream: PostgresStream,
  zone: RepeatZone,
  where: string | null,
  limits: {
    readonly name: string;
    readonly rowsMax: number | null;
    readonly namesMax: number;
  },
): Promise<string | null> {
  const { sql, params } = fromZone(stream, zone, where);
  const { name, rowsMax, namesMax } = limits;
  const limit = rowsMax === null ? "" : `LIMIT ${rowsMax + 1}`;
  const [found] = await connection.query<{
    rows: number;
    names: number;
    known: string | null;
  }>(
    `SELECT coalesce(sum(count), 0)::float8 AS rows, count(*)::float8 AS names,
      json_object_agg(name, count)::text AS known
    FROM (
      SELECT name, count(*) FROM (SELECT ${name} AS name ${sql} ${limit}) AS noted
      GROUP BY name LIMIT ${namesMax + 1}
    ) AS named`,
    params,
  );
  assert(found !== undefined, "an aggregate has one row");
  if (found.rows > (rowsMax ?? Infinity) || found.names > namesMax) return null;
  return found.known ?? "{}";
}

/** Names that more rows have now than had been moved. */
async function findAddedTwins(
  connection: Queryable,
  stream: PostgresStream,
  zone: RepeatZone,
  where: string | null,
  { name, known }: { readonly name: string; readonly known: string },
): Promise<{ name: string; places: readonly string[] }[]> {
  const { sql, params } = fromZone(stream, zone, where);
  const place = isHeap(stream) ? nameByPlace : "NULL";
  return connection.query(
    `SELECT name, json_agg(place ORDER BY place) AS places
    FROM (SELECT ${name} AS name, ${place} AS place ${sql}) AS seen
    GROUP BY name
    HAVING count(*) > ($${params.length + 1}::jsonb ->> name)::int8`,
    [...params, known],
  );
}

function describeLag(seconds: number): string {
  return seconds === 0 ? "the lag" : `${seconds} s`;
}
