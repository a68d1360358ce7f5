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
import type { CursorBounds, CursorOptions } from "../cursor-window.ts";
import { columnNotFound } from "../selection.ts";
import { listColumns, nameTable, type TableName } from "./catalog.ts";
import {
  keyLiteral,
  keyText,
  quoteIdentifier,
  quoteRelation,
  type Queryable,
} from "./sql.ts";
import type { MysqlColumn, MysqlStream } from "./stream.ts";
import { keyType } from "./types.ts";

/** Clocks of those who write the cursor may differ from the server's by so much. */
export const CLOCK_SKEW_SECONDS = 60;

const SECONDS_PER_DAY = 86_400;

/**
 * The transactions open on this server. To be read before the snapshot is taken: one that commits between the two is
 * invisible in the snapshot and gone from here. Those that were begun as read only write nothing.
 * @see MySQL manual, "The INFORMATION_SCHEMA INNODB_TRX Table": wants the PROCESS privilege; its times are in the
 * system's zone
 */
export async function readOpenTransactions(
  connection: Queryable,
): Promise<OpenTransactions> {
  const [clock] = await connection.query<{ now: string }>(
    "SELECT CAST(UTC_TIMESTAMP(6) AS CHAR) AS now",
  );
  assert(clock !== undefined, "a SELECT without a table has one row");
  try {
    const [row] = await connection.query<{ seconds: number | string | null }>(
      `SELECT MAX(TIMESTAMPDIFF(SECOND, trx_started, CONVERT_TZ(UTC_TIMESTAMP(), '+00:00', 'SYSTEM'))) AS seconds
      FROM information_schema.INNODB_TRX
      WHERE trx_is_read_only = 0 AND trx_mysql_thread_id <> CONNECTION_ID()`,
    );
    return {
      oldestSeconds: Math.max(0, Number(row?.seconds ?? 0)),
      complete: true,
      measuredAt: clock.now,
    };
  } catch (error) {
    const isRefused =
      error instanceof ExtractError && error.code !== "SOURCE_CONNECTION_LOST";
    if (!isRefused) throw error;
    return { oldestSeconds: 0, complete: false, measuredAt: clock.now };
  }
}

const timeTypes = new Set(["date", "datetime", "timestamp"]);
const orderedTypes = new Set([
  ...["tinyint", "smallint", "mediumint", "int", "bigint", "year", "decimal"],
  ...["char", "varchar", "tinytext", "text", "mediumtext", "longtext"],
]);

/**
 * To be called inside of the snapshot that the window is read in.
 * @throws ExtractError CURSOR_UNUSABLE, SOURCE_COLUMN_NOT_FOUND with the nearest names, USAGE for a lag in seconds on
 * a column that is no time
 */
export async function readCursorBounds(
  connection: Queryable,
  stream: MysqlStream,
  options: CursorOptions,
): Promise<CursorBounds> {
  const column = await findCursorColumn(connection, stream, options.column);
  const type = keyType(column);
  const title = `${stream.schema.namespace}.${stream.schema.name}.${column.name}`;
  const isTime = timeTypes.has(column.dataType);
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
        `a cursor lag in seconds has no meaning for ${title} of type ${column.columnType}`,
        { column: column.name },
      );
    }
    warnings.push(
      `rows of transactions that commit late with a lower ${title} are missed: a cursor of type ${column.columnType} has no lag; change data capture misses none`,
    );
  }
  const { from } = options;
  const to = await readHighest(connection, stream, column);
  const isBelow =
    to !== null && from !== null && (await isLess(connection, type, to, from));
  if (isBelow) {
    warnings.push(
      `the highest ${title} is now ${to}, below ${from} where the last run ended: nothing is new until it has passed that`,
    );
  }
  return {
    column: column.name,
    type,
    from,
    to,
    nextFrom: await computeNext(connection, column, {
      from,
      to,
      lagSeconds,
      now: options.openTransactions?.measuredAt ?? null,
    }),
    lagSeconds,
    nullRows: column.nullable
      ? await countNulls(connection, stream, column.name, options.where)
      : 0,
    warnings,
  };
}

async function findCursorColumn(
  connection: Queryable,
  stream: MysqlStream,
  name: string,
): Promise<MysqlColumn> {
  const table = toTable(stream);
  const columns = await listColumns(connection, [table]);
  const found = columns
    .get(nameTable(table))
    ?.find(({ column }) => column.name === name)?.column;
  if (found === undefined) {
    throw columnNotFound(table, name, stream.allColumnNames);
  }
  if (!timeTypes.has(found.dataType) && !orderedTypes.has(found.dataType)) {
    throw new ExtractError(
      "CURSOR_UNUSABLE",
      `${table.schema}.${table.name}.${name} of type ${found.columnType} cannot be a cursor`,
      { column: name, type: found.columnType },
    );
  }
  return found;
}

export function toTable({ schema }: Pick<MysqlStream, "schema">): TableName {
  return { schema: schema.namespace, name: schema.name };
}

async function chooseLag(
  connection: Queryable,
  given: OpenTransactions | null,
  warnings: string[],
): Promise<number> {
  const open = given ?? (await readOpenTransactions(connection));
  if (!open.complete) {
    warnings.push(
      `open transactions cannot be seen (GRANT PROCESS), so the cursor's lag of ${CLOCK_SKEW_SECONDS} s may be too short; --cursor-lag sets it`,
    );
  }
  return Math.ceil(open.oldestSeconds) + CLOCK_SKEW_SECONDS;
}

/** Not MAX(), whose result has a type of its own. */
async function readHighest(
  connection: Queryable,
  stream: MysqlStream,
  column: MysqlColumn,
): Promise<string | null> {
  const quoted = `t.${quoteIdentifier(column.name)}`;
  const [row] = await connection.query<{ top: string }>(
    `SELECT ${keyText(quoted, keyType(column))} AS top
    FROM ${quoteRelation(toTable(stream))} AS t WHERE ${quoted} IS NOT NULL
    ORDER BY ${quoted} DESC LIMIT 1`,
  );
  return row?.top ?? null;
}

/** A text of the column's type as an expression of that type, so that comparing and subtracting mean what they should. */
function typed(type: string, text: string): string {
  const literal = keyLiteral(type, text);
  const [, charset, collation] =
    /CHARACTER SET (\w+) COLLATE (\w+)$/i.exec(type) ?? [];
  if (charset !== undefined) {
    return `CONVERT(${literal} USING ${charset}) COLLATE ${collation}`;
  }
  if (/^date\b/i.test(type)) return `CAST(${literal} AS DATE)`;
  const digits = /^(?:datetime|timestamp)(?:\((\d)\))?/i.exec(type);
  return digits === null
    ? literal
    : `CAST(${literal} AS DATETIME(${digits[1] ?? 0}))`;
}

async function isLess(
  connection: Queryable,
  type: string,
  a: string,
  b: string,
): Promise<boolean> {
  const [row] = await connection.query<{ less: number | string | null }>(
    `SELECT ${typed(type, a)} < ${typed(type, b)} AS less`,
  );
  return Number(row?.less ?? 0) === 1;
}

/**
 * A date stands for a whole day, in a zone that nobody knows: what was open at 00:10 with a lag of 15 minutes began the
 * day before, and the bound itself is exclusive, so one more day is taken. One row that lies in the future would hide
 * all that are written until then, so the lag counts from the snapshot at the latest (a day later for dates); of a
 * datetime nobody knows whether it does.
 */
async function computeNext(
  connection: Queryable,
  column: MysqlColumn,
  {
    from,
    to,
    lagSeconds,
    now,
  }: {
    from: string | null;
    to: string | null;
    lagSeconds: number;
    now: string | null;
  },
): Promise<string | null> {
  if (to === null) return from;
  const type = keyType(column);
  assert(Number.isFinite(lagSeconds) && lagSeconds >= 0);
  let next = typed(type, to);
  const moment = now === null ? null : typed("datetime(6)", now);
  if (column.dataType === "date") {
    if (moment !== null)
      next = `LEAST(${next}, CAST(${moment} + INTERVAL 1 DAY AS DATE))`;
    if (lagSeconds > 0)
      next = `${next} - INTERVAL ${Math.ceil(lagSeconds / SECONDS_PER_DAY) + 1} DAY`;
  } else if (timeTypes.has(column.dataType)) {
    const digits = column.datetimePrecision ?? 0;
    if (moment !== null && column.dataType === "timestamp")
      next = `CAST(LEAST(${next}, ${moment}) AS DATETIME(${digits}))`;
    if (lagSeconds > 0)
      next = `CAST(${next} - INTERVAL ${Math.ceil(lagSeconds)} SECOND AS DATETIME(${digits}))`;
  }
  const [row] = await connection.query<{ next: string | null }>(
    `SELECT CAST(${next} AS CHAR) AS next`,
  );
  // nothing lies before a date that cannot be counted from
  const computed = row?.next ?? null;
  if (from === null || computed === null) return computed ?? from;
  return (await isLess(connection, type, computed, from)) ? from : computed;
}

async function countNulls(
  connection: Queryable,
  stream: MysqlStream,
  column: string,
  where: string | null,
): Promise<number> {
  const [row] = await connection.query<{ count: number | string }>(
    `SELECT COUNT(*) AS count FROM ${quoteRelation(toTable(stream))}
    WHERE ${quoteIdentifier(column)} IS NULL${where === null ? "" : ` AND (${where}\n)`}`,
  );
  return Number(row?.count ?? 0);
}
