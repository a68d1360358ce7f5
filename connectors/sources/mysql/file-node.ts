/** What tells a table from the one that had its name before: numbers that change when it is rewritten or truncated. */
import { ExtractError } from "../../../proto/error.ts";
import {
  hashToNumber,
  listStatistics,
  nameTable,
  type TableName,
} from "./catalog.ts";
import { quoteLiteral, type Queryable } from "./sql.ts";

/**
 * A number for each table that exists: of InnoDB's own numbers of the table and its partitions where this user may see
 * them (PROCESS), else of its time of creation and its partitions' names. 0 where neither is known.
 */
export async function readFileNodes(
  connection: Queryable,
  tables: readonly TableName[],
): Promise<ReadonlyMap<string, number>> {
  const nodes = new Map<string, number>();
  if (tables.length === 0) return nodes;
  const ids = await listTableIds(connection, tables);
  const others: TableName[] = [];
  for (const table of tables) {
    const own = ids?.get(toFileName(table)) ?? [];
    const parts = own.toSorted((a, b) => a - b);
    if (parts.length === 0) others.push(table);
    else nodes.set(nameTable(table), hashToNumber(parts.join(",")));
  }
  // these make the server open the tables
  if (others.length === 0) return nodes;
  const statistics = await listStatistics(connection, others);
  const partitions = await listPartitions(connection, others);
  for (const table of others) {
    const key = nameTable(table);
    const created = statistics.get(key)?.created;
    const named = partitions.get(key) ?? [];
    if (created === undefined) continue;
    const parts = [created, ...named].join("\0");
    nodes.set(key, created === null ? 0 : hashToNumber(parts));
  }
  return nodes;
}

/** InnoDB's numbers by the tables' names as files; null without the right to see them. */
async function listTableIds(
  connection: Queryable,
  tables: readonly TableName[],
): Promise<ReadonlyMap<string, number[]> | null> {
  const view =
    connection.flavour === "mysql" && connection.serverVersion >= 80_000
      ? "INNODB_TABLES"
      : "INNODB_SYS_TABLES";
  const databases = new Set(
    tables.map(({ schema }) => `${encodeFileName(schema)}/`),
  );
  const conditions = [...databases].map(
    (prefix) => `LEFT(NAME, ${prefix.length}) = ${quoteLiteral(prefix)}`,
  );
  let rows: { name: string; id: number | string }[];
  try {
    rows = await connection.query(
      `SELECT NAME AS name, TABLE_ID AS id FROM information_schema.${view}
      WHERE ${conditions.join(" OR ")}`,
    );
  } catch (error) {
    const isRefused =
      error instanceof ExtractError && error.code !== "SOURCE_CONNECTION_LOST";
    if (isRefused) return null;
    throw error;
  }
  const ids = new Map<string, number[]>();
  for (const { name, id } of rows) {
    // behind the #: a partition's own name
    const base = name.split("#")[0] ?? name;
    const list = ids.get(base);
    if (list === undefined) ids.set(base, [Number(id)]);
    else list.push(Number(id));
  }
  return ids;
}

function toFileName({ schema, name }: TableName): string {
  return `${encodeFileName(schema)}/${encodeFileName(name)}`;
}

/**
 * A name as InnoDB keeps it, of ASCII names only: for others the result names nothing.
 * @see MySQL manual, "Mapping of Identifiers to File Names"
 */
function encodeFileName(name: string): string {
  return name.replaceAll(
    /[^0-9A-Za-z_]/g,
    (character) => `@${character.charCodeAt(0).toString(16).padStart(4, "0")}`,
  );
}

async function listPartitions(
  connection: Queryable,
  tables: readonly TableName[],
): Promise<ReadonlyMap<string, readonly string[]>> {
  const databases = [...new Set(tables.map(({ schema }) => schema))];
  const rows = await connection.query<TableName & { partition: string }>(
    `SELECT TABLE_SCHEMA AS \`schema\`, TABLE_NAME AS name,
      CONCAT_WS('.', PARTITION_NAME, SUBPARTITION_NAME) AS \`partition\`
    FROM information_schema.PARTITIONS
    WHERE TABLE_SCHEMA IN (${databases.map(quoteLiteral).join(", ")}) AND PARTITION_NAME IS NOT NULL
    ORDER BY PARTITION_ORDINAL_POSITION, SUBPARTITION_ORDINAL_POSITION`,
  );
  const names = new Map<string, string[]>();
  for (const row of rows) {
    const list = names.get(nameTable(row));
    if (list === undefined) names.set(nameTable(row), [row.partition]);
    else list.push(row.partition);
  }
  return names;
}
