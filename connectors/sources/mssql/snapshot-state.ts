/** Which kinds of snapshot the database allows. */
import { queries, tryQuery } from "./catalog.ts";
import type { Queryable } from "./sql.ts";

/** `sys.databases.snapshot_isolation_state`: 1 ON. */
const SNAPSHOT_ON = 1;

export interface SnapshotState {
  readonly allowsSnapshot: boolean;
  readonly committedSnapshot: boolean;
}

/** Of a server that does not tell, nothing is expected. */
export async function readSnapshotState(
  connection: Queryable,
): Promise<SnapshotState> {
  const rows = await tryQuery<{
    snapshotState: number | null;
    committedSnapshot: boolean | null;
  }>(connection, queries.snapshotState);
  const [row] = rows ?? [];
  return {
    allowsSnapshot: Number(row?.snapshotState ?? 0) === SNAPSHOT_ON,
    committedSnapshot: Boolean(row?.committedSnapshot),
  };
}
