/** The unique indexes of tables, as the catalog describes them. */
import { askFor, tableColumns, type TableName } from "./catalog.ts";
import { quoteRelation, type Queryable } from "./sql.ts";

/** A column of a unique index. */
export interface IndexRow extends TableName {
  readonly index: string;
  readonly place: number;
  /** Null for an expression. */
  readonly column: string | null;
  readonly nullable: boolean;
  /** Only the first characters count. */
  readonly isPrefix: boolean;
  readonly isDescending: boolean;
  readonly isBtree: boolean;
  /** The optimiser may use it. */
  readonly isVisible: boolean;
}

export function listUniqueIndexes(
  connection: Queryable,
  tables: readonly TableName[],
): Promise<ReadonlyMap<string, readonly IndexRow[]>> {
  const { flavour, serverVersion } = connection;
  let visible = "'YES'";
  if (flavour === "mysql" && serverVersion >= 80_000) visible = "IS_VISIBLE";
  if (flavour === "mariadb" && serverVersion >= 100_600) {
    visible = "IF(IGNORED = 'YES', 'NO', 'YES')";
  }
  return askFor(tables, async (condition) => {
    const rows = await connection.query<
      TableName & {
        index: string;
        place: number | string;
        column: string | null;
        nullable: string | null;
        prefix: number | string | null;
        direction: string | null;
        kind: string;
        visible: string;
      }
    >(
      `SELECT ${tableColumns}, INDEX_NAME AS \`index\`, SEQ_IN_INDEX AS place,
        COLUMN_NAME AS \`column\`, NULLABLE AS nullable, SUB_PART AS prefix,
        COLLATION AS direction, INDEX_TYPE AS kind, ${visible} AS visible
      FROM information_schema.STATISTICS WHERE ${condition} AND NON_UNIQUE = 0
      ORDER BY TABLE_SCHEMA, TABLE_NAME, INDEX_NAME, SEQ_IN_INDEX`,
    );
    return rows.map((row) => ({
      schema: row.schema,
      name: row.name,
      index: row.index,
      place: Number(row.place),
      column: row.column,
      nullable: row.nullable === "YES",
      isPrefix: row.prefix !== null,
      isDescending: row.direction === "D",
      isBtree: row.kind === "BTREE",
      isVisible: row.visible === "YES",
    }));
  });
}

/** Names of a table's unique indexes in the server's own order, which decides which of them is the clustered one. */
export async function listIndexOrder(
  connection: Queryable,
  table: TableName,
): Promise<string[]> {
  const rows = await connection.query<{ Key_name: string }>(
    `SHOW INDEX FROM ${quoteRelation(table)} WHERE Non_unique = 0`,
  );
  return [...new Set(rows.map((row) => row.Key_name))];
}
