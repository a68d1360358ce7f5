/**
 * The log of the chosen tables, held at the server from a place that the run's snapshot knows: every change is in the
 * snapshot or behind that place. What the server cannot give is refused before anything is made or read.
 */
import { strict as assert } from "node:assert";
import { setTimeout as sleep } from "node:timers/promises";
import type { LogOpened, LogOpenOrder } from "../../../proto/control.ts";
import { ExtractError } from "../../../proto/error.ts";
import { commitOf, positionOfSnapshot } from "../../../proto/log-position.ts";
import { PostgresConnection } from "./connection.ts";
import { discover } from "./discover.ts";
import {
  commitOfLsn,
  createSlot,
  findSlot,
  moveLog,
  offsetOfLsn,
  publishTables,
  releaseSlot,
  removeLog,
  type CreatedSlot,
} from "./replication-slot.ts";
import { oidArray } from "./sql.ts";
import type { PostgresStream } from "./stream.ts";
import type { PostgresConfig } from "./url.ts";

/** How long transactions that ran before a table was published are waited for: the keeper's own deadline is near. */
const RUNNING_MS_MAX = 45_000;
const RUNNING_POLL_MS = 50;

/** The log, before a snapshot is taken. */
export interface HeldLog {
  /** A new slot, whose snapshot is to be joined; null: any snapshot from now on will do. */
  readonly slot: CreatedSlot | null;
  /** Once the snapshot is there. `visible`: the transactions that it shows. */
  describe(visible: string): Promise<LogOpened>;
  close(): Promise<void>;
}

/** @throws ExtractError SOURCE_LOG_UNSUITABLE, SOURCE_POSITION_EXPIRED, and what discovery throws */
export async function holdLog(
  config: PostgresConfig,
  order: LogOpenOrder,
): Promise<HeldLog> {
  const connection = await PostgresConnection.connect(config);
  try {
    const identity = await readIdentity(connection);
    const tables = await chooseTables(connection, order);
    const { known, sourceEpoch } = order;
    const slot =
      known === null
        ? await makeLog(connection, config, order, tables)
        : await goOn(connection, { ...order, known }, identity, tables);
    const at = (lsn: string) =>
      positionOfSnapshot(sourceEpoch, commitOfLsn(lsn));
    const before = slot?.consistentPoint ?? (await readNow(connection)).written;
    const position = known?.position ?? at(before);
    return {
      slot,
      describe: async (visible) => {
        const { now, takenAt } = await readNow(connection);
        await moveLog(connection);
        return {
          connector: "postgresql",
          identity,
          position,
          offset: slot && offsetOfLsn(slot.consistentPoint),
          history: [],
          // the slot's own snapshot is of the moment at which the log begins
          visible: slot ? null : visible,
          consistentFrom: slot ? null : at(now),
          takenAt,
          now: at(now),
          before: at(before),
          tables: tables.map(({ schema: { namespace, name } }) => ({
            namespace,
            name,
          })),
        };
      },
      close: async () => {
        await slot?.connection.close();
        await connection.close();
      },
    };
  } catch (error) {
    await connection.close();
    throw error;
  }
}

async function makeLog(
  connection: PostgresConnection,
  config: PostgresConfig,
  order: LogOpenOrder,
  tables: readonly PostgresStream[],
): Promise<CreatedSlot> {
  await removeLog(connection, order);
  // before the slot: what decodes the log looks the publication up as it was at the place that it decodes
  await publishTables(connection, order.publication, tables.map(nameOf));
  return createSlot(config, order.slot);
}

/** The log is there from where the ledger stands, or the run ends here: nothing is passed over. */
async function goOn(
  connection: PostgresConnection,
  order: LogOpenOrder & { readonly known: NonNullable<LogOpenOrder["known"]> },
  identity: string,
  tables: readonly PostgresStream[],
): Promise<null> {
  const { known, slot, publication, copied } = order;
  if (known.identity !== identity)
    throw expired(
      `this is another server or database than the log was followed from (${identity} instead of ${known.identity})`,
      slot,
    );
  const found = await findSlot(connection, slot);
  if (found === null)
    throw expired(`the replication slot ${slot} does not exist any more`, slot);
  if (found.plugin !== "pgoutput" || !found.isHere)
    throw expired(`the replication slot ${slot} is not ours`, slot);
  if (found.isLost)
    throw expired(`the server has removed what ${slot} was to keep`, slot);
  const acknowledged = /"lsn":(\d{1,20})/.exec(known.offset ?? "")?.[1];
  const confirmed = BigInt(`0x${commitOfLsn(found.confirmed ?? "0/0")}`);
  if (acknowledged !== undefined && confirmed > BigInt(acknowledged))
    throw expired(
      `the replication slot ${slot} stands at ${found.confirmed}, behind what was copied: it was made again, or somebody else has read from it`,
      slot,
    );
  const { now } = await readNow(connection);
  if (commitOfLsn(now) < commitOf(known.position))
    throw expired(
      `the server's log ends at ${now}, before what was copied from it: it has been set back`,
      slot,
    );
  await releaseSlot(connection, slot);
  const added = await publishTables(
    connection,
    publication,
    tables.map(nameOf),
  );
  const isCopied = ({ schema: { namespace, name } }: PostgresStream) =>
    copied.some((one) => one.namespace === namespace && one.name === name);
  if (added.length > 0 || !tables.every(isCopied))
    await waitForRunning(connection);
  return null;
}

/**
 * Waits until all transactions that run now have ended: what they wrote before a table was published is in no log, and
 * what one has committed that waits for a standby is in no snapshot yet.
 */
async function waitForRunning(connection: PostgresConnection): Promise<void> {
  const isNew = connection.serverVersion >= 130_000;
  const snapshot = isNew ? "pg_current_snapshot()" : "txid_current_snapshot()";
  const prefix = isNew ? "pg_snapshot" : "txid_snapshot";
  const [begun] = await connection.query<{ bound: string }>(
    `SELECT ${prefix}_xmax(${snapshot})::text AS bound`,
  );
  const deadline = Date.now() + RUNNING_MS_MAX;
  for (;;) {
    const [row] = await connection.query<{ oldest: string }>(
      `SELECT ${prefix}_xmin(${snapshot})::text AS oldest`,
    );
    if (BigInt(row?.oldest ?? 0) >= BigInt(begun?.bound ?? 0)) return;
    if (Date.now() > deadline)
      throw new ExtractError(
        "SOURCE_SNAPSHOT_LOST",
        `transaction ${row?.oldest ?? ""} has been open for more than ${RUNNING_MS_MAX / 1000} s: a table that is copied for the first time has to wait for it`,
        { transaction: row?.oldest ?? "" },
      );
    await sleep(RUNNING_POLL_MS);
  }
}

async function readIdentity(connection: PostgresConnection): Promise<string> {
  const [row] = await connection.query<{
    level: string;
    standby: boolean;
    server: string;
    database: string;
  }>(
    `SELECT current_setting('wal_level') AS level, pg_is_in_recovery() AS standby,
      (SELECT system_identifier::text FROM pg_control_system()) AS server,
      (SELECT oid::text FROM pg_database WHERE datname = current_database()) AS database`,
  );
  if (row?.level !== "logical")
    throw unsuitable(
      `wal_level is ${row?.level ?? "unknown"}; set wal_level = logical in postgresql.conf and restart the server`,
    );
  if (row.standby)
    throw unsuitable("this server is a standby: follow the log of its primary");
  return `${row.server}/${row.database}`;
}

async function readNow(connection: PostgresConnection): Promise<{
  readonly now: string;
  readonly written: string;
  readonly takenAt: string;
}> {
  const [row] = await connection.query<{
    now: string;
    written: string;
    takenAt: string;
  }>(
    // what is visible may not be written yet, where commits do not wait for the disk
    `SELECT pg_current_wal_insert_lsn()::text AS now, pg_current_wal_lsn()::text AS written,
      (extract(epoch FROM clock_timestamp()) * 1000000)::int8::text AS "takenAt"`,
  );
  assert(row);
  return row;
}

/** The tables of the selection, each with something that tells its rows apart in the log. */
async function chooseTables(
  connection: PostgresConnection,
  { include, exclude }: LogOpenOrder,
): Promise<readonly PostgresStream[]> {
  const { streams } = await discover(connection, {
    include,
    exclude,
    columns: null,
  });
  const isTable = ({ relationKind }: PostgresStream) =>
    relationKind === "table" || relationKind === "partitioned";
  const other = streams.find((stream) => !isTable(stream));
  if (other && include.length > 0)
    throw unsuitable(
      `${other.schema.namespace}.${other.schema.name} is no table: it has no changes of its own`,
    );
  const tables = streams.filter(isTable);
  if (tables.length === 0) throw unsuitable("no table is selected");
  const nameless = await findNameless(connection, tables);
  if (nameless.length > 0)
    throw unsuitable(
      `${nameless.join(", ")}: no primary key and no replica identity, so that the log could not say which row was changed; ` +
        "add a primary key, or ALTER TABLE … REPLICA IDENTITY FULL, or leave the table out",
    );
  return tables;
}

/** Where such a table is published, the server refuses its users' updates. */
async function findNameless(
  connection: PostgresConnection,
  tables: readonly PostgresStream[],
): Promise<readonly string[]> {
  const oids = tables.flatMap(({ leaves }) => leaves.map(({ oid }) => oid));
  const rows = await connection.query<{ table: string }>(
    `SELECT s.nspname || '.' || c.relname AS table FROM pg_class c JOIN pg_namespace s ON s.oid = c.relnamespace
    WHERE c.oid = ANY($1::oid[]) AND c.relkind IN ('r', 'p') AND CASE c.relreplident
      WHEN 'f' THEN false WHEN 'n' THEN true
      WHEN 'd' THEN NOT EXISTS (SELECT FROM pg_index i WHERE i.indrelid = c.oid AND i.indisprimary)
      ELSE NOT EXISTS (SELECT FROM pg_index i WHERE i.indrelid = c.oid AND i.indisreplident) END
    ORDER BY 1`,
    [oidArray(oids)],
  );
  return rows.map(({ table }) => table);
}

function nameOf({ schema: { namespace, name } }: PostgresStream) {
  return { schema: namespace, name };
}

function unsuitable(message: string): ExtractError {
  return new ExtractError("SOURCE_LOG_UNSUITABLE", message, {});
}

function expired(message: string, slot: string): ExtractError {
  return new ExtractError("SOURCE_POSITION_EXPIRED", message, { slot });
}
