/** The ladder to one snapshot, from the surest rung down (`snapshot.ts` has the table). */
import { ExtractError } from "../../../proto/error.ts";
import {
  listTables,
  nameTable,
  readDatabase,
  type TableName,
} from "./catalog.ts";
import type { MysqlConnection } from "./connection.ts";
import { findUnreadable } from "./rights.ts";
import {
  beginOwnSnapshot,
  readSnapshotPosition,
  type SnapshotRung,
} from "./snapshot-ref.ts";
import { quoteRelation } from "./sql.ts";

/** How long running statements may keep a lock from us: others that want to write wait behind it meanwhile. */
export const LOCK_WAIT_SECONDS = 10;
/** Tables that one LOCK TABLES names. */
const LOCKED_TABLES_MAX = 5_000;

export interface ReachedRung {
  readonly rung: SnapshotRung;
  /** Sentences for people. */
  readonly warnings: readonly string[];
}

/**
 * The surest rung that this user and this server allow.
 * @param chosen the tables that will be read; null: not known yet
 */
export async function climb(
  gate: MysqlConnection,
  other: MysqlConnection,
  chosen: readonly TableName[] | null = null,
): Promise<ReachedRung> {
  const noGlobal = await attempt(gate, "FLUSH TABLES WITH READ LOCK");
  if (noGlobal === null) return { rung: "global", warnings: [] };
  const noTables = await lockTables(
    gate,
    chosen ?? (await listReadable(other)),
  );
  if (noTables === null) return { rung: "tables", warnings: [] };
  await beginOwnSnapshot(other);
  const seen = await readSnapshotPosition(other);
  await other.query("COMMIT");
  if (seen !== null) return { rung: "compared", warnings: [] };
  return {
    rung: "none",
    warnings: [
      notOneSnapshot(
        `no lock was to be had (${noGlobal}; ${noTables}): grant RELOAD, or LOCK TABLES on the databases`,
      ),
    ],
  };
}

/** Nothing is written while the snapshots are taken. */
export function isLocked(rung: SnapshotRung): boolean {
  return rung === "global" || rung === "tables";
}

export function notOneSnapshot(why: string): string {
  return `each connection reads a snapshot of its own, taken within the same moments but not at once, since ${why}; rows of one transaction may be seen in part`;
}

/** @returns null where it was done, else the server's words */
async function attempt(
  connection: MysqlConnection,
  sql: string,
): Promise<string | null> {
  try {
    await connection.query(sql);
    return null;
  } catch (error) {
    if (!(error instanceof ExtractError) || !connection.usable) throw error;
    return error.message;
  }
}

/** All that could be chosen. */
async function listReadable(
  connection: MysqlConnection,
): Promise<readonly TableName[]> {
  const listed = await listTables(connection, await readDatabase(connection));
  const tables = listed.filter(({ isView }) => !isView);
  const unreadable = await findUnreadable(connection, tables);
  return tables.filter((one) => !unreadable.has(nameTable(one)));
}

async function lockTables(
  gate: MysqlConnection,
  chosen: readonly TableName[],
): Promise<string | null> {
  if (chosen.length === 0) return "there are no tables";
  if (chosen.length > LOCKED_TABLES_MAX) {
    return `${chosen.length} tables are too many to lock at once`;
  }
  const list = chosen.map((table) => `${quoteRelation(table)} READ`);
  return attempt(gate, `LOCK TABLES ${list.join(", ")}`);
}
