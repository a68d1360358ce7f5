/** Our own tables in the destination: who may write, which generations there are, and which rows are durable. */
import { ExtractError } from "../../../proto/error.ts";
import type { DestinationContext } from "../destination.ts";
import type { DestinationConnection } from "./connection.ts";
import { hasState, namedColumn, namedTable } from "./errors.ts";
import {
  connectionName,
  connectionPrefix,
  OWN_SCHEMA,
  quoteLiteral,
} from "./names.ts";

/** How long older attempts may hold their epoch after they were ended, in ms. */
const TAKE_OVER_MS_MAX = 10_000;
/** Names the advisory lock under which our tables are made: two makers at once would collide in the catalog. */
export const MAKING_LOCK = 7_221_603_014;

/**
 * `checkpoints.held` is the epoch that the row's transaction found and locked; null, which is refused, where another
 * attempt holds the sync by now. `transaction` names the rows in staging: their `xmin`.
 * `copies` has how far each stream's log is applied: all rows up to `position`, `rows` of them (those of the snapshot
 * included) from the staging of `generation`; `snapshot_generation` is the one whose snapshot the copy began with.
 */
const createTables = `
  SELECT pg_advisory_xact_lock(${MAKING_LOCK});
  CREATE SCHEMA IF NOT EXISTS ${OWN_SCHEMA};
  CREATE TABLE IF NOT EXISTS ${OWN_SCHEMA}.epochs (
    sync_id text PRIMARY KEY,
    run_id text NOT NULL,
    epoch bigint NOT NULL,
    claimed_at timestamptz NOT NULL DEFAULT now()
  );
  CREATE TABLE IF NOT EXISTS ${OWN_SCHEMA}.generations (
    sync_id text NOT NULL,
    namespace text NOT NULL,
    name text NOT NULL,
    generation bigint NOT NULL,
    run_id text NOT NULL,
    fingerprint text NOT NULL,
    target_schema text NOT NULL,
    target_table text NOT NULL,
    state text NOT NULL CHECK (state IN ('open', 'published')),
    rows bigint,
    published_at timestamptz,
    PRIMARY KEY (sync_id, namespace, name, generation)
  );
  CREATE TABLE IF NOT EXISTS ${OWN_SCHEMA}.checkpoints (
    sync_id text NOT NULL,
    namespace text NOT NULL,
    name text NOT NULL,
    generation bigint NOT NULL,
    epoch bigint NOT NULL,
    index bigint NOT NULL,
    path text NOT NULL,
    rows bigint NOT NULL,
    bytes bigint NOT NULL,
    stamp json NOT NULL,
    transaction xid8 NOT NULL DEFAULT pg_current_xact_id(),
    held bigint NOT NULL,
    PRIMARY KEY (sync_id, namespace, name, generation, epoch, index)
  );
  CREATE TABLE IF NOT EXISTS ${OWN_SCHEMA}.copies (
    sync_id text NOT NULL,
    namespace text NOT NULL,
    name text NOT NULL,
    target_schema text NOT NULL,
    target_table text NOT NULL,
    generation bigint NOT NULL,
    snapshot_generation bigint NOT NULL,
    position text COLLATE "C" NOT NULL,
    rows bigint NOT NULL,
    applied_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (sync_id, namespace, name)
  )`;

/** The epoch's row, locked until the transaction ends so that no other attempt takes over meanwhile; no row if one has. */
export function selectEpoch({ syncId, attempt }: DestinationContext): string {
  return `SELECT epoch FROM ${OWN_SCHEMA}.epochs
    WHERE sync_id = ${quoteLiteral(syncId)} AND run_id = ${quoteLiteral(attempt.runId)} AND epoch = ${attempt.epoch}
    FOR SHARE`;
}

export function fenced({ attempt }: DestinationContext): ExtractError {
  return new ExtractError(
    "LEDGER_FENCED",
    `attempt ${attempt.epoch} of run ${attempt.runId} no longer holds the destination`,
    { runId: attempt.runId, epoch: attempt.epoch },
  );
}

/** Whether the server refused a checkpoint because it found no epoch to hold. */
export function isFenced(error: unknown): boolean {
  return (
    hasState(error, "23502") &&
    namedColumn(error) === "held" &&
    namedTable(error) === `${OWN_SCHEMA}.checkpoints`
  );
}

/** Inside a transaction. @throws ExtractError LEDGER_FENCED */
export async function holdEpoch(
  connection: DestinationConnection,
  context: DestinationContext,
): Promise<void> {
  const rows = await connection.query("lock the epoch", selectEpoch(context));
  if (rows.length === 0) throw fenced(context);
}

/** Makes our tables, where they are not there yet. @throws ExtractError DESTINATION_UNWRITABLE where it may not */
export async function makeOwnTables(
  connection: DestinationConnection,
): Promise<void> {
  // asking first: making what is there wants rights that a later run need not have any more
  const [found] = await connection.query<{ count: number }>(
    "look for our tables",
    `SELECT count(*)::int AS count FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
     WHERE n.nspname = '${OWN_SCHEMA}' AND c.relname IN ('epochs', 'generations', 'checkpoints', 'copies') AND c.relkind = 'r'`,
  );
  if (found?.count === 4) return;
  await connection.transaction(`make the schema ${OWN_SCHEMA}`, () =>
    connection.query(`make the schema ${OWN_SCHEMA}`, createTables),
  );
}

/**
 * Takes the destination over for this attempt. Connections of earlier ones are ended, so that none of them waits with
 * an open transaction; when this returns, no transaction of theirs can commit any more.
 * @throws ExtractError LEDGER_FENCED where a newer attempt of the run has it
 */
export async function claimEpoch(
  connection: DestinationConnection,
  context: DestinationContext,
): Promise<void> {
  const { syncId, attempt } = context;
  const doing = "take the destination over";
  const [held] = await connection.query<{ newer: boolean }>(
    doing,
    `SELECT run_id = $2 AND epoch > $3 AS newer FROM ${OWN_SCHEMA}.epochs WHERE sync_id = $1`,
    [syncId, attempt.runId, attempt.epoch],
  );
  if (held?.newer) throw fenced(context);
  await connection.query(
    doing,
    `SELECT pg_terminate_backend(pid) FROM pg_stat_activity
     WHERE datname = current_database() AND usename = current_user AND pid <> pg_backend_pid()
       AND starts_with(application_name, $1) AND application_name <> $2`,
    [connectionPrefix(syncId), connectionName(syncId, attempt)],
  );
  await connection.transaction(doing, async () => {
    await connection.query(
      doing,
      `SET LOCAL lock_timeout = ${TAKE_OVER_MS_MAX}`,
    );
    const claimed = await connection
      .query(
        doing,
        `INSERT INTO ${OWN_SCHEMA}.epochs AS e (sync_id, run_id, epoch) VALUES ($1, $2, $3)
         ON CONFLICT (sync_id) DO UPDATE SET run_id = excluded.run_id, epoch = excluded.epoch, claimed_at = now()
         WHERE e.run_id <> excluded.run_id OR e.epoch <= excluded.epoch
         RETURNING epoch`,
        [syncId, attempt.runId, attempt.epoch],
      )
      .catch((error: unknown) => {
        if (!hasState(error, "55P03")) throw error;
        throw new ExtractError(
          "DESTINATION_FAILED",
          "an earlier attempt still holds the destination and could not be ended",
          { syncId },
          { cause: error },
        );
      });
    if (claimed.length === 0) throw fenced(context);
  });
}
