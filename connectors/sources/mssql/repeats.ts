/**
 * Rows that come again: an incremental window begins below the end of the one before, by the lag, and what has been
 * moved by then is dropped by the server.
 *
 * A run notes the rows of its window's end by a hash of their content. A row that was changed has another hash and
 * comes again, whether or not its cursor has moved; so do rows that became visible since.
 */
import type { RepeatFilter } from "../../../proto/control.ts";
import { ExtractError } from "../../../proto/error.ts";
import { listColumns } from "./catalog.ts";
import type { CursorBounds, RepeatZone } from "../cursor-window.ts";
import { onlyLeaf } from "./plan.ts";
import {
  filterConditions,
  quoteIdentifier,
  quoteRelation,
  type Queryable,
  type SqlParameter,
} from "./sql.ts";
import type { MssqlStream } from "./stream.ts";

/** Rows that are noted of one window: some MB, which each statement of the next run carries. */
const REPEATS_MAX = 50_000;

/** What has been moved of a window's end. */
export interface MovedRows {
  /** The columns that the hash is made of, in order, and the form in which each goes into it. */
  readonly columns: readonly {
    readonly name: string;
    readonly form: HashForm;
  }[];
  /** JSON object: name → how many rows have it. */
  readonly known: string;
}

/** How a column's value is brought to text that tells every value from every other. */
type HashForm = "text" | "bytes" | "float" | "time";

/**
 * The rows of `(nextFrom, to]`, which come again in the next run. Null where there are none.
 * @throws ExtractError CURSOR_UNUSABLE where they are too many
 */
export async function readMovedRows(
  connection: Queryable,
  stream: MssqlStream,
  bounds: CursorBounds,
  where: string | null,
  rowsMax: number = REPEATS_MAX,
): Promise<MovedRows | null> {
  const { nextFrom, to } = bounds;
  if (nextFrom === null || to === null || nextFrom === to) return null;
  const columns = await chooseColumns(connection, stream, bounds.column);
  const zone = { ...bounds, after: nextFrom, upTo: to };
  const known = await countNames(connection, stream, zone, where, {
    name: nameRow(columns),
    rowsMax,
  });
  if (known !== null) return { columns, known: JSON.stringify(known) };
  const { namespace, name } = stream.schema;
  throw new ExtractError(
    "CURSOR_UNUSABLE",
    `${namespace}.${name} has more than ${rowsMax} changes within ${bounds.lagSeconds} s of its highest ${bounds.column}, too many to tell apart from new ones in the next run: end transactions that have been open for long, or choose a shorter --cursor-lag`,
    { column: bounds.column, lagSeconds: bounds.lagSeconds },
  );
}

/**
 * The filter for a window that begins at `zone.after`, where `moved` was noted of the window that ended at `zone.upTo`.
 * @param warnings gets a sentence where rows come twice all the same
 */
export async function buildRepeatFilter(
  connection: Queryable,
  stream: MssqlStream,
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
    ({ name }) => !stream.allColumnNames.includes(name),
  );
  if (gone.length > 0) {
    warnings.push(
      `${table} has lost ${gone.map(({ name }) => name).join(", ")} since the last run: rows above ${zone.column} ${zone.after} come a second time`,
    );
    return null;
  }
  const name = nameRow(moved.columns);
  if (stream.key !== null) return { upTo, names: [name], known: moved.known };
  // without a key, rows may be equal: of those that are more than were moved, all come again
  const known = JSON.parse(moved.known) as Record<string, number>;
  const now = await countNames(connection, stream, zone, where, {
    name,
    rowsMax: null,
  });
  let added = false;
  for (const [row, count] of Object.entries(now ?? {})) {
    const before = known[row];
    if (before === undefined || count <= before) continue;
    delete known[row];
    added = true;
  }
  if (added) {
    warnings.push(
      `${table} has new rows that equal some of the last run in every column: these come again with them`,
    );
  }
  return { upTo, names: [name], known: JSON.stringify(known) };
}

async function chooseColumns(
  connection: Queryable,
  stream: MssqlStream,
  cursor: string,
): Promise<MovedRows["columns"]> {
  const names = new Set([
    ...(stream.key?.columns ?? []).map((column) => column.name),
    ...stream.columns.map((column) => column.name),
    cursor,
  ]);
  const rows = await listColumns(connection, [onlyLeaf(stream).oid]);
  return rows
    .filter((row) => names.has(row.name))
    .map((row) => ({
      name: row.name,
      form: row.isClr ? "bytes" : formOf((row.baseType ?? "").toLowerCase()),
    }));
}

function formOf(baseType: string): HashForm {
  switch (baseType) {
    case "binary":
    case "varbinary":
    case "image":
    case "timestamp":
    case "rowversion":
    case "money":
    case "smallmoney":
    case "sql_variant":
      return "bytes";
    case "real":
    case "float":
      return "float";
    case "date":
    case "time":
    case "smalldatetime":
    case "datetime":
    case "datetime2":
    case "datetimeoffset":
      return "time";
    default:
      return "text";
  }
}

/** Each value as its length and text, NULL as a sign of its own, so that no two rows give the same text. */
function nameRow(columns: MovedRows["columns"]): string {
  const parts = columns.map(({ name, form }) => {
    const column = `t.${quoteIdentifier(name)}`;
    const text = {
      text: `CONVERT(nvarchar(max), ${column})`,
      bytes: `CONVERT(nvarchar(max), CONVERT(varbinary(max), ${column}), 1)`,
      float: `CONVERT(nvarchar(60), ${column}, 3)`,
      time: `CONVERT(nvarchar(60), ${column}, 121)`,
    }[form];
    return `COALESCE(CONCAT(DATALENGTH(${column}), N':') + ${text}, N'-')`;
  });
  return `CONVERT(nvarchar(64), HASHBYTES('SHA2_256', CONCAT(N'', ${parts.join(", N';', ")})), 2)`;
}

/** How many rows have each name; null where there are more rows than wanted. */
async function countNames(
  connection: Queryable,
  stream: MssqlStream,
  zone: RepeatZone,
  where: string | null,
  limits: { readonly name: string; readonly rowsMax: number | null },
): Promise<Record<string, number> | null> {
  const { column, type, after, upTo } = zone;
  const params: SqlParameter[] = [];
  const conditions = filterConditions(
    { where, cursor: { column, type, from: after, to: upTo } },
    params,
  );
  const { namespace: schema, name } = stream.schema;
  const top = limits.rowsMax === null ? "" : `TOP (${limits.rowsMax + 1}) `;
  const rows = await connection.query<{ name: string; rows: number }>(
    `SELECT name, CAST(COUNT_BIG(*) AS float) AS [rows] FROM (
  SELECT ${top}${limits.name} AS name FROM ${quoteRelation({ schema, name })} AS t WHERE ${conditions.join(" AND ")}
) AS noted
GROUP BY name`,
    params,
  );
  const total = rows.reduce((sum, row) => sum + row.rows, 0);
  if (limits.rowsMax !== null && total > limits.rowsMax) return null;
  return Object.fromEntries(rows.map((row) => [row.name, row.rows]));
}
