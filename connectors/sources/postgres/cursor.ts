/**
 * Incremental windows: what lies behind the last run's cursor and not above this snapshot's highest.
 *
 * Rows become visible when their transaction commits, not in the order of their cursor: a row may appear below the
 * highest cursor that was read. A time cursor therefore looks back by a lag, the age of the oldest transaction that
 * was open when the snapshot was taken and CLOCK_SKEW_SECONDS more; what comes twice is dropped (`repeats.ts`).
 */
import assert from "node:assert/strict";
import type { OpenTransactions } from "../../../proto/control.ts";
import { ExtractError } from "../../../proto/error.ts";
import type { PostgresStream } from "./stream.ts";
import type { CursorBounds, CursorOptions } from "../cursor-window.ts";
import { columnNotFound } from "../selection.ts";
import { domainBaseCte, quoteRelation, type Queryable } from "./sql.ts";
import { oids, quoteIdentifier } from "./types.ts";

/** Clocks of those who write the cursor may differ from the server's by so much. */
export const CLOCK_SKEW_SECONDS = 60;

const SECONDS_PER_DAY = 86_400;

/**
 * The transactions open in this database. To be read before the snapshot is taken: one that commits between the two
 * is invisible in the snapshot and gone from here.
 */
export async function readOpenTransactions(
  connection: Queryable,
): Promise<OpenTransactions> {
  const [row] = await connection.query<OpenTransactions>(`
    SELECT coalesce(greatest(0, max(extract(epoch FROM clock_timestamp() - started))), 0)::float8
        AS "oldestSeconds",
      NOT (pg_is_in_recovery() OR coalesce(bool_or(hidden), false)) AS complete,
      clock_timestamp()::text AS "measuredAt"
    FROM (
      SELECT xact_start AS started, query = '<insufficient privilege>' AS hidden
      FROM pg_stat_activity
      WHERE datname = current_database() AND pid <> pg_backend_pid()
        AND coalesce(backend_type, '') NOT IN ('autovacuum worker', 'walsender', 'parallel worker')
      UNION ALL
      SELECT prepared, false FROM pg_prepared_xacts WHERE database = current_database()
    ) AS transactions`);
  assert(row !== undefined, "an aggregate has one row");
  return row;
}

const timeOids: ReadonlySet<number> = new Set([
  oids.date,
  oids.timestamp,
  oids.timestamptz,
]);
const orderedOids: ReadonlySet<number> = new Set([
  oids.int2,
  oids.int4,
  oids.int8,
  oids.numeric,
  oids.text,
  oids.varchar,
  oids.bpchar,
]);

/**
 * To be called inside of the snapshot that the window is read in.
 * @throws ExtractError CURSOR_UNUSABLE, SOURCE_COLUMN_NOT_FOUND with the nearest names, USAGE for a lag in seconds on
 * a column that is no time
 */
export async function readCursorBounds(
  connection: Queryable,
  stream: PostgresStream,
  options: CursorOptions,
): Promise<CursorBounds> {
  const column = await findCursorColumn(connection, stream, options.column);
  const isTime = timeOids.has(column.baseTypeOid);
  const warnings: string[] = [];
  let lagSeconds = 0;
  if (isTime) {
    lagSeconds =
      options.lagSeconds ??
      (await chooseLag(connection, options.openTransactions, warnings));
  } else {
    if (options.lagSeconds !== null && options.lagSeconds > 0) {
      throw new ExtractError(
        "USAGE",
        `a cursor lag in seconds has no meaning for ${column.title} of type ${column.type}`,
        { column: options.column },
      );
    }
    warnings.push(
      `rows of transactions that commit late with a lower ${column.title} are missed: a cursor of type ${column.type} has no lag; change data capture misses none`,
    );
  }
  const window = await readWindow(connection, stream, column, {
    from: options.from,
    lagSeconds,
    now: options.openTransactions?.measuredAt ?? null,
  });
  if (window.isBelow) {
    warnings.push(
      `the highest ${column.title} is now ${window.to}, below ${options.from} where the last run ended: nothing is new until it has passed that`,
    );
  }
  return {
    column: options.column,
    type: column.type,
    from: options.from,
    to: window.to,
    nextFrom: window.nextFrom,
    lagSeconds,
    nullRows: column.notNull
      ? 0
      : await countNulls(connection, stream, options.column, options.where),
    warnings,
  };
}

interface CursorColumn {
  readonly type: string;
  readonly baseTypeOid: number;
  readonly notNull: boolean;
  /** `schema.table.column`, for people. */
  readonly title: string;
  readonly quoted: string;
}

async function findCursorColumn(
  connection: Queryable,
  stream: PostgresStream,
  name: string,
): Promise<CursorColumn> {
  const table = {
    schema: stream.schema.namespace,
    name: stream.schema.name,
  };
  const [row] = await connection.query<{ type: string; baseTypeOid: number }>(
    `WITH RECURSIVE ${domainBaseCte}
    SELECT format_type(coalesce(d.type, a.atttypid), coalesce(d.modifier, a.atttypmod)) AS type,
      coalesce(d.type, a.atttypid) AS "baseTypeOid"
    FROM pg_attribute a
    LEFT JOIN domains d ON d.domain = a.atttypid
    WHERE a.attrelid = $1::regclass AND a.attname = $2 AND a.attnum > 0 AND NOT a.attisdropped`,
    [quoteRelation(table), name],
  );
  if (row === undefined) {
    throw columnNotFound(table, name, stream.allColumnNames);
  }
  const title = `${table.schema}.${table.name}.${name}`;
  if (!timeOids.has(row.baseTypeOid) && !orderedOids.has(row.baseTypeOid)) {
    throw new ExtractError(
      "CURSOR_UNUSABLE",
      `${title} of type ${row.type} cannot be a cursor`,
      { column: name, type: row.type },
    );
  }
  // of the selected columns it is known whether all leaves forbid NULL; of others it is not
  const notNull = stream.columns.some(
    (column) => column.name === name && column.notNull,
  );
  return { ...row, notNull, title, quoted: quoteIdentifier(name) };
}

async function chooseLag(
  connection: Queryable,
  given: OpenTransactions | null,
  warnings: string[],
): Promise<number> {
  const open = given ?? (await readOpenTransactions(connection));
  if (!open.complete) {
    warnings.push(
      `not all open transactions can be seen (GRANT pg_read_all_stats, or read from the primary), so the cursor's lag may be too short; --cursor-lag sets it`,
    );
  }
  return Math.ceil(open.oldestSeconds) + CLOCK_SKEW_SECONDS;
}

interface Window {
  readonly to: string | null;
  readonly nextFrom: string | null;
  /** The highest cursor is below the last run's end. */
  readonly isBelow: boolean;
}

/** Not max(), which some types lack: the first of the descending order comes from an index as well. */
async function readWindow(
  connection: Queryable,
  stream: PostgresStream,
  column: CursorColumn,
  {
    from,
    lagSeconds,
    now,
  }: { from: string | null; lagSeconds: number; now: string | null },
): Promise<Window> {
  const table = quoteRelation({
    schema: stream.schema.namespace,
    name: stream.schema.name,
  });
  const [row] = await connection.query<Window>(
    `SELECT top::text AS to, greatest($1::${column.type}, ${lowerByLag(column, lagSeconds)})::text AS "nextFrom",
      coalesce(top < $1::${column.type}, false) AS "isBelow"
    FROM (SELECT ${column.quoted} AS top FROM ${table} WHERE ${column.quoted} IS NOT NULL
      ORDER BY ${column.quoted} DESC LIMIT 1) AS highest`,
    isClocked(column) ? [from, now] : [from],
  );
  if (row === undefined) return { to: null, nextFrom: from, isBelow: false };
  if (row.to !== null && isEndless(column, row.to)) {
    throw new ExtractError(
      "CURSOR_UNUSABLE",
      `the highest ${column.title} is ${row.to}: nothing could ever lie above it`,
      { column: column.title },
    );
  }
  return row;
}

function isEndless(column: CursorColumn, text: string): boolean {
  const isWord = /^(infinity|nan)$/i.test(text);
  return (
    isWord &&
    (timeOids.has(column.baseTypeOid) || column.baseTypeOid === oids.numeric)
  );
}

/** Whether a value names a moment of the server's clock, whatever the zone of those who write it. */
function isClocked(column: CursorColumn): boolean {
  return (
    column.baseTypeOid === oids.timestamptz || column.baseTypeOid === oids.date
  );
}

/**
 * A date stands for a whole day: what was open at 00:10 with a lag of 15 minutes began the day before, and the bound
 * itself is exclusive, so one more day is taken. One row that lies in the future would hide all that are written until
 * then, so the lag counts from the snapshot at the latest; of a timestamp without a zone nobody knows whether it does.
 */
function lowerByLag(column: CursorColumn, lagSeconds: number): string {
  assert(Number.isFinite(lagSeconds) && lagSeconds >= 0);
  if (!timeOids.has(column.baseTypeOid)) return "top";
  const written = isClocked(column)
    ? `least(top, $2::timestamptz::${column.type})`
    : "top";
  if (lagSeconds === 0) return written;
  return column.baseTypeOid === oids.date
    ? `${written} - ${Math.ceil(lagSeconds / SECONDS_PER_DAY) + 1}`
    : `${written} - make_interval(secs => ${lagSeconds})`;
}

async function countNulls(
  connection: Queryable,
  stream: PostgresStream,
  column: string,
  where: string | null,
): Promise<number> {
  const table = quoteRelation({
    schema: stream.schema.namespace,
    name: stream.schema.name,
  });
  const [row] = await connection.query<{ count: number }>(
    `SELECT count(*)::float8 AS count FROM ${table}
    WHERE ${quoteIdentifier(column)} IS NULL${where === null ? "" : ` AND (${where}\n)`}`,
  );
  assert(row !== undefined, "an aggregate has one row");
  return row.count;
}
