/**
 * The snapshot that all readers of a run share, and the locks under which DDL cannot empty a table: a TRUNCATE or a
 * rewriting ALTER would give readers under the old snapshot 0 rows and no error.
 */
import type {
  LogOpened,
  LogOpenOrder,
  OpenTransactions,
} from "../../../proto/control.ts";
import { ExtractError } from "../../../proto/error.ts";
import type {
  HeldSnapshot as SourceSnapshot,
  LockProblem,
  LockTarget,
  SnapshotRef,
} from "../source.ts";
import { PostgresConnection } from "./connection.ts";
import type { HeldLog } from "./change-log.ts";
import { readOpenTransactions } from "./cursor.ts";
import { oidArray, quoteRelation } from "./sql.ts";
import type { PostgresConfig } from "./url.ts";

/** How long a table that another session holds exclusively is waited for. */
const LOCK_TIMEOUT_MS = 60_000;
/** How often the transaction that holds the snapshot is looked after. */
const PROBE_MS = 2_000;
/** Without an answer for so long, the snapshot counts as lost. */
const PROBE_DEADLINE_MS = 30_000;

export interface HeldSnapshotOptions {
  /** Called once, when the transaction is gone without close(). */
  readonly onLost?: (error: ExtractError) => void;
  /** The log is held first, and the snapshot is of the place where it begins, or of a later one. */
  readonly log?: LogOpenOrder | null;
}

/** Loaded only where a log is followed. */
async function holdNow(
  config: PostgresConfig,
  order: LogOpenOrder,
): Promise<HeldLog> {
  const { holdLog } = await import("./change-log.ts");
  return holdLog(config, order);
}

export class HeldSnapshot implements SourceSnapshot {
  readonly ref: SnapshotRef;
  /** As they were just before the snapshot was taken: what the lag of an incremental window is made from. */
  readonly openTransactions: OpenTransactions;
  readonly serverVersion: number;
  readonly log?: LogOpened;
  readonly #connection: PostgresConnection;
  readonly #onLost: ((error: ExtractError) => void) | null;
  /** Statements one after the other, probes between them. */
  #queue: Promise<unknown> = Promise.resolve();
  #isBusy = false;
  #isOver = false;
  #probe: NodeJS.Timeout | null = null;

  private constructor(
    connection: PostgresConnection,
    ref: SnapshotRef,
    openTransactions: OpenTransactions,
    options: HeldSnapshotOptions,
    log: LogOpened | null,
  ) {
    this.#connection = connection;
    if (log !== null) this.log = log;
    this.ref = ref;
    this.openTransactions = openTransactions;
    this.serverVersion = connection.serverVersion;
    this.#onLost = options.onLost ?? null;
    this.#probe = setInterval(() => void this.#runProbe(), PROBE_MS);
  }

  /**
   * Connects, begins a REPEATABLE READ, READ ONLY transaction and exports its snapshot. Works on a standby: since
   * version 10 no transaction id is taken for it.
   * @throws ExtractError SOURCE_UNREACHABLE, SOURCE_AUTH_FAILED, SOURCE_TLS_FAILED
   */
  static async open(
    config: PostgresConfig,
    options: HeldSnapshotOptions = {},
  ): Promise<HeldSnapshot> {
    const held = options.log ? await holdNow(config, options.log) : null;
    const connection = await PostgresConnection.connect(config);
    try {
      const openTransactions = await readOpenTransactions(connection);
      if (held?.slot) await connection.importSnapshot(held.slot.snapshot);
      else await connection.beginSnapshot(null);
      const [ref] = await connection.query<SnapshotRef>(
        "SELECT pg_export_snapshot() AS id, pg_current_snapshot()::text AS visible",
      );
      if (ref === undefined) {
        throw new ExtractError(
          "SOURCE_PROTOCOL_VIOLATION",
          "the server answered pg_export_snapshot() with no row",
          connection.details,
        );
      }
      await connection.query("SAVEPOINT unlocked");
      const log = held ? await held.describe(ref.visible) : null;
      return new HeldSnapshot(connection, ref, openTransactions, options, log);
    } catch (error) {
      await connection.close();
      throw error;
    } finally {
      await held?.close();
    }
  }

  /**
   * Takes ACCESS SHARE locks and holds them until unlockAll() or close(), then proves that no table has been rewritten
   * since the snapshot. Views are locked with all that they read.
   * @returns those that this user may not lock; the others are locked
   * @throws ExtractError SOURCE_SCHEMA_CHANGED naming a relation that is gone or replaced; SOURCE_SNAPSHOT_LOST with
   * `reason: "rewritten"` naming a table that needs a new snapshot; SOURCE_QUERY_FAILED where a lock was not granted
   * in time. No lock of this call is held then.
   */
  lockRelations(
    relations: readonly LockTarget[],
  ): Promise<readonly LockProblem[]> {
    return this.#exclusively(async () => {
      await this.#connection.query(
        `SAVEPOINT locking; SET LOCAL lock_timeout = ${LOCK_TIMEOUT_MS}`,
      );
      try {
        const problems = await this.#lock(relations);
        await this.#connection.query(
          "SET LOCAL lock_timeout = 0; RELEASE SAVEPOINT locking",
        );
        return problems;
      } catch (error) {
        if (this.#connection.usable) {
          await this.#connection.query(
            "ROLLBACK TO SAVEPOINT locking; RELEASE SAVEPOINT locking",
          );
        }
        throw error;
      }
    });
  }

  /** Releases all locks and keeps the snapshot. */
  async unlockAll(): Promise<void> {
    await this.#exclusively(() =>
      this.#connection.query("ROLLBACK TO SAVEPOINT unlocked"),
    );
  }

  /** Ends the transaction, and with it the snapshot and its locks. */
  async close(): Promise<void> {
    this.#end();
    await this.#connection.close();
  }

  async #lock(relations: readonly LockTarget[]): Promise<LockProblem[]> {
    if (relations.length === 0) return [];
    const states = await this.#readStates(relations);
    const problems: LockProblem[] = [];
    const tables: LockTarget[] = [];
    for (const [i, relation] of relations.entries()) {
      const state = states[i];
      if (state === undefined || state.kind === null) throw isGone(relation);
      // a foreign table's rows are elsewhere: no lock of ours reaches them
      if (state.kind === "f") continue;
      if (state.lockable) tables.push(relation);
      else problems.push(...(await this.#lockBySelect(relation)));
    }
    problems.push(...(await this.#lockTables(tables)));
    await this.#proveUnchanged(
      relations.filter(
        (relation) => !problems.some((problem) => problem.oid === relation.oid),
      ),
    );
    return problems;
  }

  #readStates(
    relations: readonly LockTarget[],
  ): Promise<{ kind: string | null; lockable: boolean }[]> {
    return this.#connection.query(
      `SELECT c.relkind::text AS kind,
        coalesce(c.relkind IN ('r', 'p') AND has_table_privilege(c.oid, 'SELECT'), false) AS lockable
      FROM unnest($1::oid[]) WITH ORDINALITY AS r(oid, n)
      LEFT JOIN pg_class c ON c.oid = r.oid
      ORDER BY r.n`,
      [oidArray(relations.map((relation) => relation.oid))],
    );
  }

  /** One statement for all, or one for each where it is to be told which of them is refused. */
  async #lockTables(tables: readonly LockTarget[]): Promise<LockProblem[]> {
    if (tables.length === 0) return [];
    const list = tables
      .map((one) => `${one.fileNode === 0 ? "" : "ONLY "}${quoteRelation(one)}`)
      .join(", ");
    const error = await this.#attempt(
      `LOCK TABLE ${list} IN ACCESS SHARE MODE`,
    );
    if (error === null) return [];
    const [table] = tables;
    if (tables.length > 1 && error.code !== "SOURCE_CONNECTION_LOST") {
      const problems: LockProblem[] = [];
      for (const one of tables) {
        problems.push(...(await this.#lockTables([one])));
      }
      return problems;
    }
    return table === undefined ? [] : [refused(table, error)];
  }

  /**
   * A query that reads nothing takes the same lock on views and what they read, on materialised views, and on tables
   * of which only some columns are granted: LOCK TABLE serves none of these.
   */
  async #lockBySelect(relation: LockTarget): Promise<LockProblem[]> {
    const error = await this.#attempt(
      `SELECT FROM ${quoteRelation(relation)} LIMIT 0`,
    );
    return error === null ? [] : [refused(relation, error)];
  }

  /** Runs a statement that may fail without ending the transaction. */
  async #attempt(sql: string): Promise<ExtractError | null> {
    await this.#connection.query("SAVEPOINT attempt");
    try {
      await this.#connection.query(sql);
    } catch (error) {
      if (!(error instanceof ExtractError) || !this.#connection.usable) {
        throw error;
      }
      await this.#connection.query(
        "ROLLBACK TO SAVEPOINT attempt; RELEASE SAVEPOINT attempt",
      );
      return error;
    }
    await this.#connection.query("RELEASE SAVEPOINT attempt");
    return null;
  }

  /**
   * Once locked, names and storage can no longer change: what they are now is compared with what the snapshot and
   * discovery saw. All tables that this transaction has locked are looked at, those behind views included.
   */
  async #proveUnchanged(relations: readonly LockTarget[]): Promise<void> {
    const names = JSON.stringify(
      relations.map((one) => [quoteRelation(one), one.oid, one.fileNode]),
    );
    const [replaced] = await this.#connection.query<{ n: number }>(
      `SELECT (n - 1)::int AS n
      FROM json_array_elements($1::json) WITH ORDINALITY AS r(one, n)
      WHERE to_regclass(one ->> 0)::oid IS DISTINCT FROM (one ->> 1)::oid
      ORDER BY n LIMIT 1`,
      [names],
    );
    const gone = replaced === undefined ? undefined : relations[replaced.n];
    if (gone !== undefined) throw isGone(gone);
    const [rewritten] = await this.#connection.query<{
      schema: string;
      name: string;
    }>(
      `SELECT s.nspname::text AS schema, c.relname::text AS name
      FROM pg_locks l
      JOIN pg_class c ON c.oid = l.relation AND c.relkind IN ('r', 'm')
      JOIN pg_namespace s ON s.oid = c.relnamespace AND s.nspname <> 'pg_catalog'
      LEFT JOIN (
        SELECT (one ->> 1)::oid AS oid, (one ->> 2)::oid AS node
        FROM json_array_elements($1::json) AS r(one)
      ) AS known ON known.oid = c.oid AND known.node <> 0
      WHERE l.pid = pg_backend_pid() AND l.locktype = 'relation'
        AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())
        AND (c.relfilenode <> pg_relation_filenode(c.oid)
          OR known.node <> pg_relation_filenode(c.oid))
      LIMIT 1`,
      [names],
    );
    if (rewritten === undefined) return;
    const table = `${rewritten.schema}.${rewritten.name}`;
    throw new ExtractError(
      "SOURCE_SNAPSHOT_LOST",
      `${table} was truncated or rewritten after the snapshot was taken, which now sees it empty`,
      { table, reason: "rewritten" },
    );
  }

  async #exclusively<Result>(work: () => Promise<Result>): Promise<Result> {
    const before = this.#queue;
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#queue = promise;
    await before;
    this.#isBusy = true;
    try {
      return await work();
    } finally {
      this.#isBusy = false;
      resolve();
    }
  }

  async #runProbe(): Promise<void> {
    if (this.#isOver) return;
    if (this.#connection.usable && this.#isBusy) return;
    const deadline = setTimeout(
      () => this.#connection.destroy(),
      PROBE_DEADLINE_MS,
    );
    try {
      await this.#exclusively(() => this.#connection.query("SELECT"));
    } catch (error) {
      this.#lose(error);
    } finally {
      clearTimeout(deadline);
    }
  }

  #lose(cause: unknown): void {
    if (this.#isOver) return;
    this.#end();
    this.#connection.destroy();
    this.#onLost?.(
      new ExtractError(
        "SOURCE_SNAPSHOT_LOST",
        `the transaction that holds the snapshot is gone: ${cause instanceof Error ? cause.message : String(cause)}`,
        this.#connection.details,
        { cause },
      ),
    );
  }

  #end(): void {
    this.#isOver = true;
    if (this.#probe !== null) clearInterval(this.#probe);
    this.#probe = null;
  }
}

function isGone(relation: LockTarget): ExtractError {
  const table = `${relation.schema}.${relation.name}`;
  return new ExtractError(
    "SOURCE_SCHEMA_CHANGED",
    `${table} was dropped, renamed or replaced after it was discovered`,
    { table, oid: relation.oid },
  );
}

/** A refusal for want of a privilege is the relation's own problem; anything else is thrown. */
function refused(relation: LockTarget, error: ExtractError): LockProblem {
  if (error.code === "SOURCE_TABLE_NOT_FOUND") throw isGone(relation);
  if (error.code === "SOURCE_PERMISSION_DENIED") {
    const { schema, name, oid } = relation;
    return { schema, name, oid, message: error.message };
  }
  const table = `${relation.schema}.${relation.name}`;
  if (error.details["sqlState"] === "55P03") {
    throw new ExtractError(
      "SOURCE_QUERY_FAILED",
      `${table} could not be locked within ${LOCK_TIMEOUT_MS / 1000} s: another session holds it exclusively`,
      { ...error.details, table },
      { cause: error },
    );
  }
  throw error;
}
