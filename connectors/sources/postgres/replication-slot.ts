/**
 * The slot that holds the log for a sync, and the publication of exactly its tables: made, checked and given up. Both
 * have names of ours, so that what has them is this sync's and nobody else's.
 */
import { setTimeout as sleep } from "node:timers/promises";
import { ExtractError } from "../../../proto/error.ts";
import { formatCommit } from "../../../proto/log-position.ts";
import { PostgresConnection } from "./connection.ts";
import { quoteRelation } from "./sql.ts";
import { quoteIdentifier, quoteLiteral } from "./types.ts";
import type { PostgresConfig } from "./url.ts";

/** How long a session of ours that has outlived its process may hold the slot, once it was told to end. */
const RELEASE_MS_MAX = 30_000;
const RELEASE_POLL_MS = 100;

export interface PublishedTable {
  readonly schema: string;
  readonly name: string;
}

export interface SlotRow {
  readonly plugin: string | null;
  readonly isHere: boolean;
  readonly isLost: boolean;
  readonly activePid: number | null;
  readonly confirmed: string | null;
}

/** Null: there is none of this name. */
export async function findSlot(
  connection: PostgresConnection,
  slot: string,
): Promise<SlotRow | null> {
  const [row] = await connection.query<SlotRow>(
    `SELECT plugin::text AS plugin, coalesce(database = current_database(), false) AS "isHere",
      coalesce(to_jsonb(s) ->> 'wal_status' = 'lost', false) OR confirmed_flush_lsn IS NULL AS "isLost",
      active_pid AS "activePid", confirmed_flush_lsn::text AS confirmed
    FROM pg_replication_slots s WHERE slot_name = $1`,
    [slot],
  );
  return row ?? null;
}

/**
 * Ends the session that is at work on the slot: the run's lock says that no other run of this sync is alive, so it is
 * one that the server has not yet missed its client of.
 * @throws ExtractError SOURCE_LOG_UNSUITABLE where it does not end
 */
export async function releaseSlot(
  connection: PostgresConnection,
  slot: string,
): Promise<void> {
  const deadline = Date.now() + RELEASE_MS_MAX;
  for (;;) {
    const found = await findSlot(connection, slot);
    if (found === null || found.activePid === null) return;
    if (Date.now() > deadline)
      throw new ExtractError(
        "SOURCE_LOG_UNSUITABLE",
        `the replication slot ${slot} is still held by session ${found.activePid}, which was told to end ${RELEASE_MS_MAX / 1000} s ago`,
        { slot, pid: found.activePid },
      );
    await connection.query("SELECT pg_terminate_backend($1)", [
      found.activePid,
    ]);
    await sleep(RELEASE_POLL_MS);
  }
}

/** The server forgets what it has kept for the slot; whoever reads from it is ended. */
export async function dropSlot(
  connection: PostgresConnection,
  slot: string,
): Promise<void> {
  await releaseSlot(connection, slot);
  await connection.query(
    "SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots WHERE slot_name = $1",
    [slot],
  );
}

/** What an attempt that died in the middle of making them has left. */
export async function removeLog(
  connection: PostgresConnection,
  names: { readonly slot: string; readonly publication: string },
): Promise<void> {
  await dropSlot(connection, names.slot);
  await connection.query(
    `DROP PUBLICATION IF EXISTS ${quoteIdentifier(names.publication)}`,
  );
}

/**
 * Makes the publication one of exactly these tables. Partitioned ones are told of under their own name.
 * @returns tables that it did not have before
 */
export async function publishTables(
  connection: PostgresConnection,
  publication: string,
  tables: readonly PublishedTable[],
): Promise<readonly PublishedTable[]> {
  const name = quoteIdentifier(publication);
  const [known] = await connection.query<{ tables: string }>(
    `SELECT coalesce(json_agg(json_build_array(s.nspname, c.relname)) FILTER (WHERE c.oid IS NOT NULL), '[]')::text AS tables
    FROM pg_publication p
    LEFT JOIN pg_publication_rel r ON r.prpubid = p.oid
    LEFT JOIN pg_class c ON c.oid = r.prrelid
    LEFT JOIN pg_namespace s ON s.oid = c.relnamespace
    WHERE p.pubname = $1 GROUP BY p.oid`,
    [publication],
  );
  if (known === undefined) {
    await connection.query(
      `CREATE PUBLICATION ${name} FOR TABLE ${listTables(tables)} WITH (publish_via_partition_root = true)`,
    );
    return tables;
  }
  const has = (JSON.parse(known.tables) as [string, string][]).map(
    ([schema, table]) => ({ schema, name: table }),
  );
  const added = tables.filter((one) => !includes(has, one));
  const isSame = added.length === 0 && has.length === tables.length;
  if (!isSame)
    await connection.query(
      `ALTER PUBLICATION ${name} SET TABLE ${listTables(tables)}`,
    );
  return added;
}

function listTables(tables: readonly PublishedTable[]): string {
  return tables.map((table) => quoteRelation(table)).join(", ");
}

function includes(
  tables: readonly PublishedTable[],
  { schema, name }: PublishedTable,
): boolean {
  return tables.some((one) => one.schema === schema && one.name === name);
}

export interface CreatedSlot {
  /** `pg_lsn` as text: every transaction that was committed before is in the snapshot, every other one in the log. */
  readonly consistentPoint: string;
  /** Lives until the next command on `connection`, or its end. */
  readonly snapshot: string;
  readonly connection: PostgresConnection;
}

/** On a connection of its own, which is to be closed once the snapshot has been joined. */
export async function createSlot(
  config: PostgresConfig,
  slot: string,
): Promise<CreatedSlot> {
  const connection = await PostgresConnection.connect({
    ...config,
    replication: true,
  });
  try {
    const [created] = await connection.query<{
      consistent_point: string;
      snapshot_name: string;
    }>(
      `CREATE_REPLICATION_SLOT ${quoteIdentifier(slot)} LOGICAL pgoutput EXPORT_SNAPSHOT`,
    );
    if (created === undefined)
      throw new ExtractError(
        "SOURCE_PROTOCOL_VIOLATION",
        "the server made a replication slot and told nothing of it",
        { slot },
      );
    return {
      consistentPoint: created.consistent_point,
      snapshot: created.snapshot_name,
      connection,
    };
  } catch (error) {
    await connection.close();
    throw error;
  }
}

/** Makes the log go on beyond what was written before, whether anybody changes anything or not. */
export async function moveLog(connection: PostgresConnection): Promise<void> {
  await connection.query(
    `SELECT pg_logical_emit_message(true, ${quoteLiteral("millrace")}, '')`,
  );
}

/** `16/B374D848` as 20 hexadecimal digits that compare as the log goes. */
export function commitOfLsn(lsn: string): string {
  return formatCommit(toNumber(lsn));
}

/** Where the engine begins: everything that was committed at or behind this place. */
export function offsetOfLsn(lsn: string): string {
  return `{"lsn":${toNumber(lsn)}}`;
}

function toNumber(lsn: string): bigint {
  const [high = "", low = ""] = lsn.split("/");
  return (BigInt(`0x${high}`) << 32n) | BigInt(`0x${low}`);
}
