/**
 * The run's snapshot, held by the keeper until all sessions have joined.
 *
 * A transaction under SNAPSHOT isolation sees the rows as they were committed when it first looked at data. Where all
 * tables stand still while the sessions do that, they see the same: the keeper holds shared locks on all of them
 * meanwhile, which wait for writers to end and let readers pass.
 */
import type { OpenTransactions } from "../../../proto/control.ts";
import { ExtractError } from "../../../proto/error.ts";
import type {
  HeldSnapshot as SourceSnapshot,
  LockProblem,
  LockTarget,
  SnapshotRef,
} from "../source.ts";
import { listRelations, type RelationRow } from "./catalog.ts";
import { MssqlConnection } from "./connection.ts";
import { readOpenTransactions } from "./open-transactions.ts";
import { formatSnapshot, type SnapshotMode } from "./snapshot-mode.ts";
import { readSnapshotState } from "./snapshot-state.ts";
import { quoteRelation } from "./sql.ts";
import type { MssqlConfig } from "./url.ts";

/** How long a table that a writer holds is waited for. */
const LOCK_TIMEOUT_MS = 10_000;
/** More are not locked: each lock is memory of the server, and the whole would stand still for too long. */
const TABLES_LOCKED_MAX = 2_000;
/** Locks asked for in one batch. */
const LOCKS_PER_BATCH = 100;
/** How often the connection that holds the locks is looked after. */
const PROBE_MS = 2_000;

export class HeldSnapshot implements SourceSnapshot {
  readonly ref: SnapshotRef;
  readonly openTransactions: OpenTransactions;
  readonly warnings: readonly string[];
  readonly #connection: MssqlConnection;
  readonly #onLost: (error: ExtractError) => void;
  #queue: Promise<unknown> = Promise.resolve();
  #isOver = false;
  #probe: NodeJS.Timeout | null;

  private constructor(
    connection: MssqlConnection,
    mode: SnapshotMode,
    openTransactions: OpenTransactions,
    warnings: readonly string[],
    onLost: (error: ExtractError) => void,
  ) {
    this.#connection = connection;
    this.ref = {
      id: formatSnapshot(mode),
      visible: openTransactions.measuredAt,
    };
    this.openTransactions = openTransactions;
    this.warnings = warnings;
    this.#onLost = onLost;
    // once the sessions have joined, each has its own: this connection matters no more
    this.#probe =
      mode.kind === "snapshot"
        ? setInterval(() => void this.#runProbe(), PROBE_MS)
        : null;
  }

  /** @throws ExtractError SOURCE_UNREACHABLE, SOURCE_AUTH_FAILED, SOURCE_TLS_FAILED */
  static async open(
    config: MssqlConfig,
    onLost: (error: ExtractError) => void,
  ): Promise<HeldSnapshot> {
    const connection = await MssqlConnection.connect(config);
    try {
      const openTransactions = await readOpenTransactions(connection);
      const state = await readSnapshotState(connection);
      const warnings: string[] = [];
      let mode: SnapshotMode = {
        kind: state.committedSnapshot ? "statement" : "committed",
      };
      if (state.allowsSnapshot) {
        const relations = await listRelations(connection);
        const tables = relations.filter(
          (relation) => relation.kind === "U" && relation.readable,
        );
        const fault = await lockTables(connection, tables);
        if (fault !== null) {
          warnings.push(
            `each reader has a snapshot of its own, since the tables could not be made to stand still for a moment: ${fault}`,
          );
        }
        const [first] = tables;
        mode = {
          kind: "snapshot",
          touch: first === undefined ? null : quoteRelation(first),
        };
      } else {
        warnings.push(
          state.committedSnapshot
            ? "each query has a snapshot of its own (READ_COMMITTED_SNAPSHOT): what is committed between two of them is in one and not in the other; ALTER DATABASE … SET ALLOW_SNAPSHOT_ISOLATION ON gives each reader one snapshot"
            : "there is no snapshot: rows are read as they are committed when a query passes them, and a row whose key is changed meanwhile may be missed or come twice; ALTER DATABASE … SET ALLOW_SNAPSHOT_ISOLATION ON mends that",
        );
      }
      return new HeldSnapshot(
        connection,
        mode,
        openTransactions,
        warnings,
        onLost,
      );
    } catch (error) {
      connection.destroy();
      throw error;
    }
  }

  /**
   * All sessions have joined: lets the writers go on. From here on DDL on a table ends the snapshot transactions that
   * read it, with an error (3961), so that no table is empty without a word.
   * @throws ExtractError SOURCE_SCHEMA_CHANGED naming a table that is gone
   */
  async lockRelations(
    relations: readonly LockTarget[],
  ): Promise<readonly LockProblem[]> {
    return this.#exclusively(async () => {
      const found = new Set(
        (await listRelations(this.#connection)).map(({ id }) => id),
      );
      await this.#release();
      const gone = relations.find((relation) => !found.has(relation.oid));
      if (gone === undefined) return [];
      const table = `${gone.schema}.${gone.name}`;
      throw new ExtractError(
        "SOURCE_SCHEMA_CHANGED",
        `${table} was dropped or replaced after it was discovered`,
        { table, oid: gone.oid },
      );
    });
  }

  async close(): Promise<void> {
    this.#end();
    await this.#queue.catch(() => {});
    await this.#connection.close();
  }

  async #release(): Promise<void> {
    this.#stopProbe();
    await this.#connection.run("IF @@TRANCOUNT > 0 ROLLBACK");
  }

  async #exclusively<Result>(work: () => Promise<Result>): Promise<Result> {
    const turn = this.#queue.then(work);
    this.#queue = turn.catch(() => {});
    return turn;
  }

  async #runProbe(): Promise<void> {
    if (this.#isOver) return;
    try {
      await this.#exclusively(async () => {
        if (this.#isOver || this.#probe === null) return;
        await this.#connection.query("SELECT 1 AS alive");
      });
    } catch (error) {
      this.#lose(error);
    }
  }

  #lose(cause: unknown): void {
    if (this.#isOver) return;
    this.#end();
    this.#connection.destroy();
    this.#onLost(
      new ExtractError(
        "SOURCE_SNAPSHOT_LOST",
        `the connection that keeps the tables still is gone: ${cause instanceof Error ? cause.message : String(cause)}`,
        this.#connection.details,
        { cause },
      ),
    );
  }

  #end(): void {
    this.#isOver = true;
    this.#stopProbe();
  }

  #stopProbe(): void {
    if (this.#probe !== null) clearInterval(this.#probe);
    this.#probe = null;
  }
}

/**
 * Shared locks on all tables until the transaction ends; never more than LOCK_TIMEOUT_MS for each batch of them.
 * @returns why they were not taken, or null; then none is held
 * @see SQL Server documentation, "Table hints (Transact-SQL)", TABLOCK and HOLDLOCK
 */
async function lockTables(
  connection: MssqlConnection,
  tables: readonly RelationRow[],
): Promise<string | null> {
  if (tables.length > TABLES_LOCKED_MAX) {
    return `there are ${tables.length} of them, more than ${TABLES_LOCKED_MAX}`;
  }
  try {
    await connection.run(
      `SET LOCK_TIMEOUT ${LOCK_TIMEOUT_MS}; SET TRANSACTION ISOLATION LEVEL READ COMMITTED; BEGIN TRANSACTION`,
    );
    for (let at = 0; at < tables.length; at += LOCKS_PER_BATCH) {
      const statements = tables
        .slice(at, at + LOCKS_PER_BATCH)
        .map(
          (table) =>
            `SELECT TOP (1) 1 AS locked FROM ${quoteRelation(table)} WITH (TABLOCK, HOLDLOCK)`,
        );
      await connection.run(statements.join("; "));
    }
    return null;
  } catch (error) {
    if (!(error instanceof ExtractError) || !connection.usable) throw error;
    await connection.run("IF @@TRANCOUNT > 0 ROLLBACK");
    return error.message;
  }
}
