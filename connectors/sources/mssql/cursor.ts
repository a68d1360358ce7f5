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
import { listColumns } from "./catalog.ts";
import { readOpenTransactions } from "./open-transactions.ts";
import { onlyLeaf } from "./plan.ts";
import {
  bindParameter,
  quoteIdentifier,
  quoteRelation,
  type Queryable,
  type SqlParameter,
} from "./sql.ts";
import type { MssqlStream } from "./stream.ts";
import { formatType, keyToText, keyType, textToKey } from "./types.ts";

/** Clocks of those who write the cursor may differ from the server's by so much. */
const CLOCK_SKEW_SECONDS = 60;

const SECONDS_PER_DAY = 86_400;

const timeTypes: ReadonlySet<string> = new Set([
  "date",
  "smalldatetime",
  "datetime",
  "datetime2",
  "datetimeoffset",
]);
const orderedTypes: ReadonlySet<string> = new Set([
  "tinyint",
  "smallint",
  "int",
  "bigint",
  "decimal",
  "numeric",
  "smallmoney",
  "money",
  "char",
  "varchar",
  "nchar",
  "nvarchar",
  "timestamp",
  "rowversion",
]);

/**
 * To be called inside of the transaction that the window is read in.
 * @throws ExtractError CURSOR_UNUSABLE, SOURCE_COLUMN_NOT_FOUND with the nearest names, USAGE for a lag in seconds on
 * a column that is no time
 */
export async function readCursorBounds(
  connection: Queryable,
  stream: MssqlStream,
  options: CursorOptions,
): Promise<CursorBounds> {
  const column = await findCursorColumn(connection, stream, options.column);
  const warnings: string[] = [];
  let lagSeconds = 0;
  if (timeTypes.has(column.baseType)) {
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
    nullRows: column.nullable
      ? await countNulls(connection, stream, options.column, options.where)
      : 0,
    warnings,
  };
}

interface CursorColumn {
  readonly baseType: string;
  readonly type: string;
  readonly nullable: boolean;
  /** `schema.table.column`, for people. */
  readonly title: string;
  readonly quoted: string;
}

async function findCursorColumn(
  connection: Queryable,
  stream: MssqlStream,
  name: string,
): Promise<CursorColumn> {
  const { namespace: schema, name: table } = stream.schema;
  const rows = await listColumns(connection, [onlyLeaf(stream).oid]);
  const row = rows.find((column) => column.name === name);
  if (row === undefined) {
    throw columnNotFound({ schema, name: table }, name, stream.allColumnNames);
  }
  const baseType = (row.baseType ?? row.typeName).toLowerCase();
  const title = `${schema}.${table}.${name}`;
  const isOrdered = timeTypes.has(baseType) || orderedTypes.has(baseType);
  if (!isOrdered || row.maxLength < 0) {
    const type = formatType({ ...row, typeName: row.typeName, baseType });
    throw new ExtractError(
      "CURSOR_UNUSABLE",
      `${title} of type ${type} cannot be a cursor`,
      { column: name, type },
    );
  }
  return {
    baseType,
    type: keyType({ ...row, baseType }),
    nullable: row.nullable,
    title,
    quoted: `t.${quoteIdentifier(name)}`,
  };
}

async function chooseLag(
  connection: Queryable,
  given: OpenTransactions | null,
  warnings: string[],
): Promise<number> {
  const open = given ?? (await readOpenTransactions(connection));
  if (!open.complete) {
    warnings.push(
      "the open transactions of other sessions cannot be seen (GRANT VIEW SERVER STATE), so the cursor's lag may be too short; --cursor-lag sets it",
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

/** The first of the descending order, which comes from an index where there is one. */
async function readWindow(
  connection: Queryable,
  stream: MssqlStream,
  column: CursorColumn,
  {
    from,
    lagSeconds,
    now,
  }: { from: string | null; lagSeconds: number; now: string | null },
): Promise<Window> {
  const { namespace: schema, name } = stream.schema;
  const params: SqlParameter[] = [];
  const lowered = lowerByLag(column, lagSeconds, now, params);
  const start =
    from === null ? null : textToKey(bindParameter(params, from), column.type);
  const next =
    start === null
      ? lowered
      : `CASE WHEN ${lowered} < ${start} THEN ${start} ELSE ${lowered} END`;
  const below =
    start === null ? "0" : `CASE WHEN highest < ${start} THEN 1 ELSE 0 END`;
  const [row] = await connection.query<{
    to: string;
    nextFrom: string;
    isBelow: number;
  }>(
    `SELECT ${keyToText("highest", column.type)} AS [to], ${keyToText(next, column.type)} AS nextFrom, ${below} AS isBelow
FROM (SELECT TOP (1) ${column.quoted} AS highest FROM ${quoteRelation({ schema, name })} AS t
  WHERE ${column.quoted} IS NOT NULL ORDER BY ${column.quoted} DESC) AS found`,
    params,
  );
  return row === undefined
    ? { to: null, nextFrom: from, isBelow: false }
    : { ...row, isBelow: Number(row.isBelow) === 1 };
}

/**
 * A date stands for a whole day: what was open at 00:10 with a lag of 15 minutes began the day before, and the bound
 * itself is exclusive, so one more day is taken. One row that lies in the future would hide all that are written until
 * then, so the lag counts from the snapshot at the latest; of a time without a zone nobody knows whether it does.
 */
function lowerByLag(
  column: CursorColumn,
  lagSeconds: number,
  now: string | null,
  params: SqlParameter[],
): string {
  assert(Number.isFinite(lagSeconds) && lagSeconds >= 0);
  if (!timeTypes.has(column.baseType)) return "highest";
  let written = "highest";
  if (
    now !== null &&
    (column.baseType === "datetimeoffset" || column.baseType === "date")
  ) {
    const clock = textToKey(bindParameter(params, now), "datetimeoffset(7)");
    const today = `CONVERT(${column.type}, ${clock})`;
    written = `CASE WHEN highest > ${today} THEN ${today} ELSE highest END`;
  }
  if (lagSeconds === 0) return written;
  const lowered =
    column.baseType === "date"
      ? `DATEADD(day, ${-Math.ceil(lagSeconds / SECONDS_PER_DAY) - 1}, ${written})`
      : `DATEADD(second, ${-Math.ceil(lagSeconds)}, ${written})`;
  return `CONVERT(${column.type}, ${lowered})`;
}

async function countNulls(
  connection: Queryable,
  stream: MssqlStream,
  column: string,
  where: string | null,
): Promise<number> {
  const { namespace: schema, name } = stream.schema;
  const [row] = await connection.query<{ rows: number }>(
    `SELECT CAST(COUNT_BIG(*) AS float) AS [rows] FROM ${quoteRelation({ schema, name })} AS t
WHERE t.${quoteIdentifier(column)} IS NULL${where === null ? "" : ` AND (${where}\n)`}`,
  );
  return row?.rows ?? 0;
}
