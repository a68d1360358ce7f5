/**
 * The catalog as discovery reads it. Of a few tables each is asked for by name, which spares the server to open all
 * others; of many, whole databases are, so that 5,000 tables cost as many round trips as ten.
 * @see MySQL manual, "INFORMATION_SCHEMA Tables"; MariaDB documentation, "Information Schema Tables"
 */
import { createHash } from "node:crypto";
import { quoteLiteral, type Queryable } from "./sql.ts";
import type { MysqlColumn } from "./stream.ts";

/** Tables that are asked for one by one; more are read with their whole database. */
const TABLES_BY_NAME_MAX = 8;

const systemDatabases: readonly string[] = [
  "information_schema",
  "mysql",
  "ndbinfo",
  "performance_schema",
  "sys",
];

export interface TableName {
  readonly schema: string;
  readonly name: string;
}

export interface ListedTable extends TableName {
  readonly isView: boolean;
  /** E.g. `InnoDB`; null for views. */
  readonly engine: string | null;
}

/** A name as a key of maps: names hold any character but NUL. */
export function nameTable({ schema, name }: TableName): string {
  return `${schema}\0${name}`;
}

/** A number of 48 bits made of a text: the same at every discovery, on every machine. */
export function hashToNumber(text: string): number {
  return createHash("sha256").update(text).digest().readUIntBE(0, 6);
}

/** The database that the connection is in; null for none. */
export async function readDatabase(
  connection: Queryable,
): Promise<string | null> {
  const [row] = await connection.query<{ name: string | null }>(
    "SELECT DATABASE() AS name",
  );
  return row?.name ?? null;
}

/** Tables and views of one database, or of all that are not the server's own, by name. */
export async function listTables(
  connection: Queryable,
  database: string | null,
): Promise<ListedTable[]> {
  const scope =
    database === null
      ? `NOT IN (${systemDatabases.map(quoteLiteral).join(", ")})`
      : `= ${quoteLiteral(database)}`;
  const rows = await connection.query<{
    schema: string;
    name: string;
    type: string;
    engine: string | null;
  }>(
    `SELECT TABLE_SCHEMA AS \`schema\`, TABLE_NAME AS name, TABLE_TYPE AS type, ENGINE AS engine
    FROM information_schema.TABLES WHERE TABLE_SCHEMA ${scope}`,
  );
  // the catalog may compare without case where the file system does not
  const isExact = rows.some(({ schema }) => schema === database);
  return rows
    .filter(
      ({ schema, type }) =>
        !/^(SYSTEM VIEW|SEQUENCE|TEMPORARY|LOCAL TEMPORARY)/.test(type) &&
        (!isExact || schema === database),
    )
    .map(({ schema, name, type, engine }) => ({
      schema,
      name,
      isView: type === "VIEW",
      engine,
    }))
    .sort(
      (a, b) => compareText(a.schema, b.schema) || compareText(a.name, b.name),
    );
}

function compareText(a: string, b: string): number {
  if (a === b) return 0;
  return a < b ? -1 : 1;
}

/** Runs `ask` for each table, or for each database where they are many; rows of other tables are dropped. */
export async function askFor<Row extends TableName>(
  tables: readonly TableName[],
  ask: (condition: string) => Promise<Row[]>,
): Promise<ReadonlyMap<string, Row[]>> {
  const result = new Map<string, Row[]>(
    tables.map((table) => [nameTable(table), []]),
  );
  const isFew = tables.length <= TABLES_BY_NAME_MAX;
  const databases = [...new Set(tables.map(({ schema }) => schema))];
  const targets: readonly { schema: string; name?: string }[] = isFew
    ? tables
    : databases.map((schema) => ({ schema }));
  for (const { schema, name } of targets) {
    const inDatabase = `TABLE_SCHEMA = ${quoteLiteral(schema)}`;
    const rows = await ask(
      name === undefined
        ? inDatabase
        : `${inDatabase} AND TABLE_NAME = ${quoteLiteral(name)}`,
    );
    for (const row of rows) {
      // names that differ by case only may be equal to the catalog
      const isMeant =
        row.schema === schema && (name === undefined || row.name === name);
      if (isMeant) result.get(nameTable(row))?.push(row);
    }
  }
  return result;
}

export const tableColumns = "TABLE_SCHEMA AS `schema`, TABLE_NAME AS name";

export interface TableStatistics extends TableName {
  /** Estimated; null where the engine has none. */
  readonly rows: number | null;
  readonly dataBytes: number;
  readonly isPartitioned: boolean;
  readonly created: string | null;
}

/** Since version 8 the server keeps these for a day unless told otherwise. */
export async function listStatistics(
  connection: Queryable,
  tables: readonly TableName[],
): Promise<ReadonlyMap<string, TableStatistics>> {
  if (connection.flavour === "mysql" && connection.serverVersion >= 80_000) {
    await connection.query("SET SESSION information_schema_stats_expiry = 0");
  }
  const found = await askFor(tables, async (condition) => {
    const rows = await connection.query<
      TableName & {
        rows: number | string | null;
        bytes: number | string | null;
        options: string | null;
        created: string | null;
      }
    >(
      `SELECT ${tableColumns}, TABLE_ROWS AS \`rows\`, DATA_LENGTH AS bytes,
        CREATE_OPTIONS AS options, CREATE_TIME AS created
      FROM information_schema.TABLES WHERE ${condition}`,
    );
    return rows.map(
      ({ schema, name, rows: count, bytes, options, created }) => ({
        schema,
        name,
        rows: count === null ? null : Number(count),
        dataBytes: Number(bytes ?? 0),
        isPartitioned: /\bpartitioned\b/.test(options ?? ""),
        created,
      }),
    );
  });
  return new Map(
    [...found].flatMap(([key, [row]]) =>
      row === undefined ? [] : [[key, row]],
    ),
  );
}

export interface ColumnRow extends TableName {
  readonly column: MysqlColumn;
  /** Rows that were there before it have a value in it at once. */
  readonly filled: boolean;
}

/** The columns that this user may see, in their declared order; generated and invisible ones are columns like any other. */
export async function listColumns(
  connection: Queryable,
  tables: readonly TableName[],
): Promise<ReadonlyMap<string, readonly ColumnRow[]>> {
  const checked = await listJsonChecks(connection, tables);
  return askFor(tables, async (condition) => {
    const rows = await connection.query<
      TableName & {
        column: string;
        dataType: string;
        columnType: string;
        charset: string | null;
        collation: string | null;
        precision: number | string | null;
        scale: number | string | null;
        datetimePrecision: number | string | null;
        nullable: string;
        extra: string;
        expression: string | null;
        filler: string | null;
      }
    >(
      `SELECT ${tableColumns}, COLUMN_NAME AS \`column\`, DATA_TYPE AS dataType,
        COLUMN_TYPE AS columnType, CHARACTER_SET_NAME AS charset,
        COLLATION_NAME AS collation, NUMERIC_PRECISION AS \`precision\`,
        NUMERIC_SCALE AS scale, DATETIME_PRECISION AS datetimePrecision,
        IS_NULLABLE AS nullable, EXTRA AS extra, GENERATION_EXPRESSION AS expression,
        COLUMN_DEFAULT AS filler
      FROM information_schema.COLUMNS WHERE ${condition}
      ORDER BY TABLE_SCHEMA, TABLE_NAME, ORDINAL_POSITION`,
    );
    return rows.map((row) => ({
      schema: row.schema,
      name: row.name,
      filled: isFilled(row),
      column: {
        name: row.column,
        dataType: row.dataType.toLowerCase(),
        columnType: row.columnType,
        charset: row.charset,
        collation: row.collation,
        unsigned: /\bunsigned\b/i.test(row.columnType),
        precision: toNumber(row.precision),
        scale: toNumber(row.scale),
        datetimePrecision: toNumber(row.datetimePrecision),
        nullable: row.nullable === "YES",
        generated: (row.expression ?? "") !== "",
        invisible: /\bINVISIBLE\b/i.test(row.extra),
        jsonChecked:
          row.dataType.toLowerCase() === "longtext" &&
          checked.has(`${nameTable(row)}\0${row.column}`),
      },
    }));
  });
}

/** By a default (MariaDB writes one that is NULL as the word), a computation, or what NOT NULL stands for. */
function isFilled({
  nullable,
  expression,
  filler,
}: {
  readonly nullable: string;
  readonly expression: string | null;
  readonly filler: string | null;
}): boolean {
  return (
    nullable !== "YES" ||
    (expression ?? "") !== "" ||
    (filler !== null && filler.toUpperCase() !== "NULL")
  );
}

function toNumber(value: number | string | null): number | null {
  return value === null ? null : Number(value);
}

/** MariaDB's JSON type is a text with this check, which nothing else tells. */
async function listJsonChecks(
  connection: Queryable,
  tables: readonly TableName[],
): Promise<ReadonlySet<string>> {
  if (connection.flavour !== "mariadb") return new Set();
  const found = await askFor(tables, (condition) =>
    connection.query<TableName & { clause: string }>(
      `SELECT CONSTRAINT_SCHEMA AS \`schema\`, TABLE_NAME AS name, CHECK_CLAUSE AS clause
      FROM information_schema.CHECK_CONSTRAINTS
      WHERE ${condition.replaceAll("TABLE_SCHEMA", "CONSTRAINT_SCHEMA")}
        AND CHECK_CLAUSE LIKE 'json\\_valid(%'`,
    ),
  );
  const columns = new Set<string>();
  for (const [table, rows] of found) {
    for (const { clause } of rows) {
      const quoted = /^json_valid\((`(?:[^`]|``)+`)\)$/.exec(clause)?.[1];
      if (quoted === undefined) continue;
      columns.add(`${table}\0${quoted.slice(1, -1).replaceAll("``", "`")}`);
    }
  }
  return columns;
}
