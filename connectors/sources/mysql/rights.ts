/** What may be read, found out by trying: rights come from accounts, roles, tables and columns. */
import { ExtractError } from "../../../proto/error.ts";
import { nameTable, type TableName } from "./catalog.ts";
import { quoteIdentifier, quoteRelation, type Queryable } from "./sql.ts";

/** Tables whose rights one statement tries. */
const TRIED_TOGETHER = 50;

/**
 * Why tables cannot be read, as far as they cannot: each is asked for all its columns and none of its rows. As a side
 * effect the transaction holds their metadata locks.
 * @param columnsOf the columns to ask for; null: all
 */
export async function findUnreadable(
  connection: Queryable,
  tables: readonly TableName[],
  columnsOf: (table: TableName) => readonly string[] | null = () => null,
): Promise<ReadonlyMap<string, ExtractError>> {
  const errors = new Map<string, ExtractError>();
  const attempt = async (some: readonly TableName[]): Promise<void> => {
    const parts = some.map((table) => {
      const list = columnsOf(table)?.map(quoteIdentifier).join(", ") ?? "*";
      return `SELECT 1 FROM (SELECT ${list} FROM ${quoteRelation(table)} LIMIT 0) AS t`;
    });
    try {
      await connection.query(parts.join(" UNION ALL "));
    } catch (error) {
      if (!(error instanceof ExtractError)) throw error;
      if (error.code === "SOURCE_CONNECTION_LOST") throw error;
      const [table] = some;
      if (table !== undefined && some.length === 1) {
        errors.set(nameTable(table), error);
        return;
      }
      for (const one of some) await attempt([one]);
    }
  };
  for (let at = 0; at < tables.length; at += TRIED_TOGETHER) {
    await attempt(tables.slice(at, at + TRIED_TOGETHER));
  }
  return errors;
}
