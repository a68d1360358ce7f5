/** The sync's own condition, as it was typed. */
import assert from "node:assert/strict";
import type { PostgresStream } from "./stream.ts";
import { fromRelation, type Queryable } from "./sql.ts";

/**
 * Lets the server parse a condition by itself. Every later query puts it between parentheses, and one that closes
 * them, as `a) OR (b` does, would undo the range beside it: rows would be read by several partitions. The parameter
 * asks for the extended protocol, which takes one statement only.
 * @throws ExtractError SOURCE_QUERY_FAILED, SOURCE_COLUMN_NOT_FOUND … in the server's words
 */
export async function checkCondition(
  connection: Queryable,
  stream: Pick<PostgresStream, "leaves">,
  where: string,
): Promise<void> {
  const [leaf] = stream.leaves;
  assert(leaf !== undefined, "a stream has at least one leaf");
  await connection.query(
    `EXPLAIN SELECT 1 FROM ${fromRelation(leaf, leaf.only)} WHERE $1::bool AND ${where}\n`,
    [true],
  );
}
