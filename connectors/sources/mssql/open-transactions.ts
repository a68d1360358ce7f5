/** What was under way just before a snapshot: cursors of incremental syncs look back by its age. */
import type { OpenTransactions } from "../../../proto/control.ts";
import { queries, tryQuery } from "./catalog.ts";
import type { Queryable } from "./sql.ts";

/** Where this user may not see other sessions' transactions, the answer says that it is not complete. */
export async function readOpenTransactions(
  connection: Queryable,
): Promise<OpenTransactions> {
  const open = await tryQuery<{ oldestSeconds: number }>(
    connection,
    queries.openTransactions,
  );
  const [clock] = await connection.query<{ measuredAt: string }>(queries.clock);
  return {
    oldestSeconds: open?.[0]?.oldestSeconds ?? 0,
    complete: open !== null,
    measuredAt: clock?.measuredAt ?? "",
  };
}
