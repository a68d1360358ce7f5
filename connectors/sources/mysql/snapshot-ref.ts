/** How a session joins the run's snapshot, and what a snapshot tells of the binlog. */
import assert from "node:assert/strict";
import { ExtractError } from "../../../proto/error.ts";
import type { SnapshotRef } from "../source.ts";
import { quoteLiteral, type Queryable } from "./sql.ts";

export type SnapshotRung = "global" | "tables" | "compared" | "none";

/** A place in the server's log; what is null is not known, or the server keeps no log. */
export interface BinlogPosition {
  readonly file: string | null;
  readonly offset: number | null;
  /** GTIDs executed, in the server's own form: `uuid:1-5`, MariaDB `0-1-5`. */
  readonly gtid: string | null;
}

/** What a `SnapshotRef` of this source holds: `id` is for joining, `visible` the position as JSON. */
export interface RefParts {
  readonly rung: SnapshotRung;
  /** Name of a user lock, held as long as the server is kept still. */
  readonly guard: string;
  /** The connection that holds it. */
  readonly holder: number;
  readonly position: BinlogPosition;
}

export function writeRef({
  rung,
  guard,
  holder,
  position,
}: RefParts): SnapshotRef {
  const { file, offset, gtid } = position;
  return {
    id: JSON.stringify({ rung, guard, holder }),
    visible: JSON.stringify({ file, offset, gtid }),
  };
}

function readRef(ref: SnapshotRef): RefParts {
  const parts = JSON.parse(ref.id) as Omit<RefParts, "position">;
  assert(typeof parts.guard === "string" && typeof parts.holder === "number");
  return { ...parts, position: JSON.parse(ref.visible) as BinlogPosition };
}

/**
 * How long a statement of ours waits for a table that another session locks. One that waits to change it makes all
 * others wait behind it, ours included, while it waits for our metadata locks: without an end nobody would go on.
 */
const TABLE_WAIT_SECONDS = 60;

/** A snapshot of this connection's own; ends the transaction that it was in. */
export async function beginOwnSnapshot(connection: Queryable): Promise<void> {
  await connection.query(
    `SET SESSION lock_wait_timeout = ${TABLE_WAIT_SECONDS}`,
  );
  await connection.query(
    "SET SESSION TRANSACTION ISOLATION LEVEL REPEATABLE READ",
  );
  await connection.query(
    "START TRANSACTION WITH CONSISTENT SNAPSHOT, READ ONLY",
  );
}

/**
 * Joins the run's snapshot, and proves it: the guard is looked for after the snapshot was taken and let go before the
 * lock, so that one which is still held was taken under the lock. Where the server tells a snapshot's position, that
 * is compared as well.
 * @throws ExtractError SOURCE_SNAPSHOT_LOST where the server has been let go
 */
export async function joinSnapshot(
  connection: Queryable,
  ref: SnapshotRef | null,
): Promise<void> {
  await beginOwnSnapshot(connection);
  if (ref === null) return;
  const { rung, guard, holder, position } = readRef(ref);
  const [row] = await connection.query<{ holder: number | string | null }>(
    `SELECT IS_USED_LOCK(${quoteLiteral(guard)}) AS holder`,
  );
  if (row?.holder == null || Number(row.holder) !== holder) {
    throw lost("the server has been let go: it shows a later state now");
  }
  if (rung !== "global") return;
  const own = await readSnapshotPosition(connection);
  if (own === null) return;
  if (own.file !== position.file || own.offset !== position.offset) {
    throw lost(
      `a snapshot at ${own.file}:${own.offset} is not the one at ${position.file}:${position.offset}`,
    );
  }
}

function lost(message: string): ExtractError {
  return new ExtractError("SOURCE_SNAPSHOT_LOST", message, {
    reason: "late",
  });
}

/**
 * The position that this connection's snapshot belongs to; null where the server does not tell, or keeps no log.
 * @see MariaDB documentation, "START TRANSACTION", binlog_snapshot_file; Percona Server has the same
 */
export async function readSnapshotPosition(
  connection: Queryable,
): Promise<Pick<BinlogPosition, "file" | "offset"> | null> {
  const rows = await connection.query<{ Variable_name: string; Value: string }>(
    "SHOW SESSION STATUS LIKE 'binlog\\_snapshot\\_%'",
  );
  const values = new Map(
    rows.map((row) => [row.Variable_name.toLowerCase(), row.Value]),
  );
  const file = values.get("binlog_snapshot_file") ?? "";
  const offset = values.get("binlog_snapshot_position") ?? "";
  return file === "" || offset === "" ? null : { file, offset: Number(offset) };
}

/** Where the server's log ends now: of a snapshot only while a lock keeps it still. */
export async function readServerPosition(
  connection: Queryable,
): Promise<BinlogPosition> {
  const { flavour, serverVersion } = connection;
  const renamed = flavour === "mysql" && serverVersion >= 80_200;
  const [status] = await attempt<{ File: string; Position: number | string }>(
    connection,
    renamed ? "SHOW BINARY LOG STATUS" : "SHOW MASTER STATUS",
  );
  const [executed] = await attempt<{ gtid: string }>(
    connection,
    flavour === "mysql"
      ? "SELECT @@global.gtid_executed AS gtid"
      : "SELECT @@global.gtid_binlog_pos AS gtid",
  );
  return {
    file: status?.File ?? null,
    offset: status === undefined ? null : Number(status.Position),
    gtid: executed?.gtid.replaceAll(/\s/g, "") || null,
  };
}

/** No rows where this user may not ask, or the server does not know. */
async function attempt<Row>(
  connection: Queryable,
  sql: string,
): Promise<Row[]> {
  try {
    return await connection.query<Row>(sql);
  } catch (error) {
    const isRefused =
      error instanceof ExtractError && error.code !== "SOURCE_CONNECTION_LOST";
    if (isRefused) return [];
    throw error;
  }
}
