/**
 * What the catalogue says of tables, columns, keys and sizes. Each query is a constant that a golden file repeats with
 * the documentation it rests on (`test/connectors/sources/mssql/golden/`). All but the first three are optional: a
 * server may lack the view or refuse it, and then there is another way or none.
 */
import { ExtractError } from "../../../proto/error.ts";
import type { Queryable } from "./sql.ts";

/** Ids in one IN list. */
const IDS_MAX = 1_000;

/** `$IDS` stands for a list of object ids. */
export const queries = {
  relations: `SELECT o.object_id AS id, s.name AS [schema], o.name AS name, RTRIM(o.type) AS kind,
  CASE WHEN s.name = SCHEMA_NAME() THEN 1 ELSE 0 END AS isDefault,
  HAS_PERMS_BY_NAME(QUOTENAME(s.name) + N'.' + QUOTENAME(o.name), N'OBJECT', N'SELECT') AS readable
FROM sys.objects AS o
JOIN sys.schemas AS s ON s.schema_id = o.schema_id
WHERE o.type IN ('U', 'V') AND o.is_ms_shipped = 0
ORDER BY s.name, o.name`,

  columns: `SELECT c.object_id AS id, c.name AS name, t.name AS typeName, b.name AS baseType,
  t.is_assembly_type AS isClr, c.max_length AS maxLength, c.precision AS precision, c.scale AS scale,
  c.is_nullable AS nullable, c.collation_name AS collation,
  CASE WHEN c.collation_name IS NOT NULL
    THEN CAST(COLLATIONPROPERTY(c.collation_name, 'CodePage') AS int) END AS codePage
FROM sys.columns AS c
JOIN sys.types AS t ON t.user_type_id = c.user_type_id
LEFT JOIN sys.types AS b ON b.user_type_id = c.system_type_id
WHERE c.object_id IN ($IDS) AND c.is_column_set = 0
ORDER BY c.object_id, c.column_id`,

  indexes: `SELECT i.object_id AS id, i.index_id AS indexId, i.name AS name, i.type AS type,
  i.is_unique AS isUnique, i.is_primary_key AS isPrimary, c.name AS columnName,
  ic.is_descending_key AS isDescending
FROM sys.indexes AS i
LEFT JOIN sys.index_columns AS ic
  ON ic.object_id = i.object_id AND ic.index_id = i.index_id AND ic.key_ordinal > 0
LEFT JOIN sys.columns AS c ON c.object_id = ic.object_id AND c.column_id = ic.column_id
WHERE i.object_id IN ($IDS) AND i.is_disabled = 0 AND i.is_hypothetical = 0 AND i.has_filter = 0
ORDER BY i.object_id, i.index_id, ic.key_ordinal`,

  primaryKeys: `SELECT k.TABLE_SCHEMA AS [schema], k.TABLE_NAME AS [table], k.CONSTRAINT_NAME AS name,
  k.COLUMN_NAME AS columnName
FROM INFORMATION_SCHEMA.TABLE_CONSTRAINTS AS c
JOIN INFORMATION_SCHEMA.KEY_COLUMN_USAGE AS k
  ON k.CONSTRAINT_SCHEMA = c.CONSTRAINT_SCHEMA AND k.CONSTRAINT_NAME = c.CONSTRAINT_NAME
WHERE c.CONSTRAINT_TYPE = 'PRIMARY KEY'
ORDER BY k.TABLE_SCHEMA, k.TABLE_NAME, k.ORDINAL_POSITION`,

  readableColumns: `SELECT c.object_id AS id, c.name AS name
FROM sys.columns AS c
JOIN sys.objects AS o ON o.object_id = c.object_id
JOIN sys.schemas AS s ON s.schema_id = o.schema_id
WHERE c.object_id IN ($IDS) AND HAS_PERMS_BY_NAME(
  QUOTENAME(s.name) + N'.' + QUOTENAME(o.name), N'OBJECT', N'SELECT', c.name, N'COLUMN') = 1`,

  sizes: `SELECT p.object_id AS id, CAST(SUM(p.row_count) AS float) AS [rows],
  CAST(SUM(p.in_row_data_page_count) AS float) AS pages,
  CAST(SUM(p.lob_used_page_count + p.row_overflow_used_page_count) AS float) AS largePages
FROM sys.dm_db_partition_stats AS p
WHERE p.object_id IN ($IDS) AND p.index_id IN (0, 1, 5)
GROUP BY p.object_id`,

  partitionRows: `SELECT p.object_id AS id, CAST(SUM(p.rows) AS float) AS [rows]
FROM sys.partitions AS p
WHERE p.object_id IN ($IDS) AND p.index_id IN (0, 1, 5)
GROUP BY p.object_id`,

  rowSecurity: `SELECT DISTINCT r.target_object_id AS id
FROM sys.security_predicates AS r
JOIN sys.security_policies AS p ON p.object_id = r.object_id
WHERE p.is_enabled = 1 AND r.predicate_type = 0`,

  maskedColumns: `SELECT m.object_id AS id, m.name AS name
FROM sys.masked_columns AS m
WHERE m.is_masked = 1 AND HAS_PERMS_BY_NAME(DB_NAME(), N'DATABASE', N'UNMASK') = 0`,

  histogram: `SELECT h.step_number AS step, $KEY AS [key],
  CAST(h.range_rows + h.equal_rows AS float) AS [rows]
FROM sys.dm_db_stats_histogram($ID, $INDEX) AS h
WHERE h.range_high_key IS NOT NULL
ORDER BY h.step_number`,

  snapshotState: `SELECT d.snapshot_isolation_state AS snapshotState,
  d.is_read_committed_snapshot_on AS committedSnapshot
FROM sys.databases AS d
WHERE d.name = DB_NAME()`,

  openTransactions: `SELECT CAST(COALESCE(MAX(DATEDIFF(second, a.transaction_begin_time, GETDATE())), 0) AS float) AS oldestSeconds
FROM sys.dm_tran_active_transactions AS a
JOIN sys.dm_tran_database_transactions AS d ON d.transaction_id = a.transaction_id
WHERE d.database_id = DB_ID() AND d.database_transaction_begin_time IS NOT NULL`,

  clock: `SELECT CONVERT(nvarchar(40), SYSUTCDATETIME(), 121) + N' +00:00' AS measuredAt`,
} as const;

/** What a server answers where a view is absent, refused or of another shape. */
const refusals: ReadonlySet<string> = new Set([
  "SOURCE_QUERY_FAILED",
  "SOURCE_PERMISSION_DENIED",
  "SOURCE_TABLE_NOT_FOUND",
  "SOURCE_COLUMN_NOT_FOUND",
]);

/** Null where the server refuses the query; the connection and its transaction are as they were. */
export async function tryQuery<Row>(
  connection: Queryable,
  sql: string,
  params: readonly string[] = [],
): Promise<Row[] | null> {
  try {
    return await connection.query<Row>(sql, params);
  } catch (error) {
    if (error instanceof ExtractError && refusals.has(error.code)) return null;
    throw error;
  }
}

/** Runs a query for all ids, some at a time. */
async function forIds<Row>(
  sql: string,
  ids: readonly number[],
  run: (sql: string) => Promise<Row[] | null>,
): Promise<Row[] | null> {
  const rows: Row[] = [];
  for (let at = 0; at < ids.length; at += IDS_MAX) {
    const list = ids.slice(at, at + IDS_MAX).join(", ");
    const part = await run(sql.replace("$IDS", list));
    if (part === null) return null;
    for (const row of part) rows.push(row);
  }
  return rows;
}

export interface RelationRow {
  readonly id: number;
  readonly schema: string;
  readonly name: string;
  /** Of `sys.objects`: U table, V view. */
  readonly kind: "U" | "V";
  /** In the schema that an unqualified name means. */
  readonly isDefault: boolean;
  /** All of it, not only some columns. */
  readonly readable: boolean;
}

export async function listRelations(
  connection: Queryable,
): Promise<RelationRow[]> {
  const rows = await connection.query<
    Omit<RelationRow, "isDefault" | "readable"> & {
      isDefault: number;
      readable: number | null;
    }
  >(queries.relations);
  return rows.map((row) => ({
    ...row,
    isDefault: Number(row.isDefault) === 1,
    readable: Number(row.readable) === 1,
  }));
}

export interface ColumnRow {
  readonly id: number;
  readonly name: string;
  readonly typeName: string;
  /** Null for types of the common language runtime. */
  readonly baseType: string | null;
  readonly isClr: boolean;
  readonly maxLength: number;
  readonly precision: number;
  readonly scale: number;
  readonly nullable: boolean;
  readonly collation: string | null;
  readonly codePage: number | null;
}

export async function listColumns(
  connection: Queryable,
  ids: readonly number[],
): Promise<ColumnRow[]> {
  const rows = await forIds<ColumnRow>(queries.columns, ids, (sql) =>
    connection.query(sql),
  );
  return (rows ?? []).map((row) => ({
    ...row,
    isClr: Boolean(row.isClr),
    nullable: Boolean(row.nullable),
  }));
}

/** Columns that may be read of tables that may not be read as a whole. */
export async function listReadableColumns(
  connection: Queryable,
  ids: readonly number[],
): Promise<{ readonly id: number; readonly name: string }[]> {
  const rows = await forIds<{ id: number; name: string }>(
    queries.readableColumns,
    ids,
    (sql) => tryQuery(connection, sql),
  );
  return rows ?? [];
}

export interface IndexRow {
  readonly id: number;
  readonly indexId: number;
  readonly name: string;
  /** Of `sys.indexes`: 0 heap, 1 clustered, 2 nonclustered, 5 clustered columnstore. */
  readonly type: number;
  readonly isUnique: boolean;
  readonly isPrimary: boolean;
  readonly columns: readonly {
    readonly name: string;
    readonly isDescending: boolean;
  }[];
}

/** Null where the server does not tell. */
export async function listIndexes(
  connection: Queryable,
  ids: readonly number[],
): Promise<IndexRow[] | null> {
  interface Row {
    readonly id: number;
    readonly indexId: number;
    readonly name: string | null;
    readonly type: number;
    readonly isUnique: boolean;
    readonly isPrimary: boolean;
    readonly columnName: string | null;
    readonly isDescending: boolean | null;
  }
  const rows = await forIds<Row>(queries.indexes, ids, (sql) =>
    tryQuery(connection, sql),
  );
  if (rows === null) return null;
  const groups = Map.groupBy(rows, (row) => `${row.id} ${row.indexId}`);
  return [...groups.values()].flatMap((parts) => {
    const [first] = parts;
    if (first === undefined) return [];
    return [
      {
        id: first.id,
        indexId: first.indexId,
        name: first.name ?? "",
        type: Number(first.type),
        isUnique: Boolean(first.isUnique),
        isPrimary: Boolean(first.isPrimary),
        columns: parts.flatMap(({ columnName, isDescending }) =>
          columnName === null
            ? []
            : [{ name: columnName, isDescending: Boolean(isDescending) }],
        ),
      },
    ];
  });
}

export interface PrimaryKeyRow {
  readonly schema: string;
  readonly table: string;
  readonly name: string;
  readonly columnName: string;
}

/** As the standard's views tell them, which every server has; null where it does not. */
export function listPrimaryKeys(
  connection: Queryable,
): Promise<PrimaryKeyRow[] | null> {
  return tryQuery(connection, queries.primaryKeys);
}

export interface SizeRow {
  readonly id: number;
  readonly rows: number;
  /** 0 where only rows are known. */
  readonly pages: number;
  /** Of values that do not lie in their rows. */
  readonly largePages: number;
}

/** Rows and pages by the server's own count; tables of which it tells nothing are left out. */
export async function listSizes(
  connection: Queryable,
  ids: readonly number[],
): Promise<SizeRow[]> {
  const sizes = await forIds<SizeRow>(queries.sizes, ids, (sql) =>
    tryQuery(connection, sql),
  );
  if (sizes !== null) return sizes;
  const rows = await forIds<{ id: number; rows: number }>(
    queries.partitionRows,
    ids,
    (sql) => tryQuery(connection, sql),
  );
  return (rows ?? []).map((row) => ({ ...row, pages: 0, largePages: 0 }));
}

/** Tables of which a policy may hide rows from this user. */
export async function listRowSecurity(
  connection: Queryable,
): Promise<ReadonlySet<number>> {
  const rows = await tryQuery<{ id: number }>(connection, queries.rowSecurity);
  return new Set(rows?.map((row) => row.id));
}

/** Columns whose values this user sees masked. */
export async function listMaskedColumns(
  connection: Queryable,
): Promise<{ readonly id: number; readonly name: string }[]> {
  return (await tryQuery(connection, queries.maskedColumns)) ?? [];
}
