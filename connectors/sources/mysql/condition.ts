/** The sync's own condition, as it was typed. */
import assert from "node:assert/strict";
import { quoteRelation, type Queryable } from "./sql.ts";
import type { MysqlStream } from "./stream.ts";

/**
 * Lets the server parse a condition by itself, and then between parentheses. Every later query puts it between
 * parentheses, and one that closes them, as `a) OR (b` does, would undo the range beside it: rows would be read by
 * several partitions. By itself it is refused, for what closes a parenthesis must have opened it. The connection takes
 * one statement at a time.
 * @throws ExtractError SOURCE_QUERY_FAILED, SOURCE_COLUMN_NOT_FOUND … in the server's words
 */
export async function checkCondition(
  connection: Queryable,
  stream: Pick<MysqlStream, "leaves">,
  where: string,
): Promise<void> {
  const [leaf] = stream.leaves;
  assert(leaf !== undefined, "a stream has at least one leaf");
  const select = `EXPLAIN SELECT 1 FROM ${quoteRelation(leaf)} WHERE`;
  await connection.query(`${select} ${where}\n`);
  await connection.query(`${select} (${where}\n) AND TRUE`);
}
