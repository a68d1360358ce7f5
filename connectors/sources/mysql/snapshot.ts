/**
 * The snapshot that all readers of a run share. The servers cannot hand one on, so each session begins its own while
 * a lock keeps the server still; the ladder to that lock is walked from the surest rung down:
 *
 * | rung | what keeps the sessions' snapshots the same |
 * |---|---|
 * | global | FLUSH TABLES WITH READ LOCK |
 * | tables | LOCK TABLES … READ on all tables that may be selected |
 * | compared | nothing is locked; MariaDB and Percona Server tell the binlog position of a snapshot, and it has not moved |
 * | none | nothing: each session has a snapshot of its own, and the run says so |
 *
 * A run that follows the log and reads no table needs none of them.
 */
import { isDeepStrictEqual } from "node:util";
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
import { nameTable } from "./catalog.ts";
import type { HeldLog, LogSnapshotPlace } from "./change-log.ts";
import { MysqlConnection } from "./connection.ts";
import { readOpenTransactions } from "./cursor.ts";
import { readFileNodes } from "./file-node.ts";
import {
  climb,
  isLocked,
  LOCK_WAIT_SECONDS,
  notOneSnapshot,
  type ReachedRung,
} from "./lock-ladder.ts";
import { findUnreadable } from "./rights.ts";
import {
  beginOwnSnapshot,
  readServerPosition,
  readSnapshotPosition,
  type BinlogPosition,
  type SnapshotRung,
  writeRef,
} from "./snapshot-ref.ts";
import { quoteLiteral } from "./sql.ts";
import type { MysqlConfig } from "./url.ts";

/** After this the server is let go, whoever has joined by then. */
const HOLD_MS_MAX = 60_000;
/** How often the connections that hold locks are looked after, and how long an answer may take. */
const PROBE_MS = 2_000;
const PROBE_DEADLINE_MS = 30_000;

export interface HeldSnapshotOptions {
  /** Called once, when the locks are gone without close(). */
  readonly onLost?: (error: ExtractError) => void;
  /** Left out: HOLD_MS_MAX. */
  readonly holdMsMax?: number;
  /** The log is to begin where the snapshot is taken, or to go on from before. */
  readonly log?: LogOpenOrder | null;
}

/** Loaded only where a log is followed. */
async function holdNow(
  config: MysqlConfig,
  connection: MysqlConnection,
  order: LogOpenOrder,
): Promise<HeldLog> {
  const { holdLog } = await import("./change-log.ts");
  return holdLog(config, connection, order);
}

export class HeldSnapshot implements SourceSnapshot {
  readonly ref: SnapshotRef;
  readonly log?: LogOpened;
  /** As they were just before the snapshot was taken: what the lag of an incremental window is made from. */
  readonly openTransactions: OpenTransactions;
  readonly serverVersion: number;
  readonly rung: SnapshotRung;
  readonly position: BinlogPosition;
  readonly #warnings: string[];
  /** Keeps the server still until all have joined. */
  readonly #gate: MysqlConnection;
  /** Keeps metadata locks until the run is over. */
  readonly #holder: MysqlConnection;
  readonly #guard: string;
  readonly #onLost: ((error: ExtractError) => void) | null;
  #gateIsOpen = false;
  /** Statements one after the other, probes between them. */
  #queue: Promise<unknown> = Promise.resolve();
  #isBusy = false;
  #isOver = false;
  readonly #probe: NodeJS.Timeout;
  readonly #release: NodeJS.Timeout;

  private constructor(
    gate: MysqlConnection,
    holder: MysqlConnection,
    state: ReachedRung & {
      guard: string;
      position: BinlogPosition;
      openTransactions: OpenTransactions;
      log: LogOpened | null;
    },
    options: HeldSnapshotOptions,
  ) {
    if (state.log !== null) this.log = state.log;
    this.#gate = gate;
    this.#holder = holder;
    this.#guard = state.guard;
    this.#warnings = [...state.warnings];
    this.rung = state.rung;
    this.position = state.position;
    this.openTransactions = state.openTransactions;
    this.serverVersion = gate.serverVersion;
    this.#onLost = options.onLost ?? null;
    this.ref = writeRef({
      rung: state.rung,
      guard: state.guard,
      holder: gate.threadId,
      position: state.position,
    });
    this.#probe = setInterval(() => void this.#runProbe(), PROBE_MS);
    this.#release = setTimeout(() => {
      void this.#exclusively(() => this.#openGate()).catch(() => {});
    }, options.holdMsMax ?? HOLD_MS_MAX);
  }

  /**
   * Connects, takes the surest lock that this user may have, and reads the binlog position under it. Another session
   * joins by `joinSnapshot` until `lockRelations`, or for a minute.
   * @throws ExtractError SOURCE_UNREACHABLE, SOURCE_AUTH_FAILED, SOURCE_TLS_FAILED
   */
  static async open(
    config: MysqlConfig,
    options: HeldSnapshotOptions = {},
  ): Promise<HeldSnapshot> {
    const [gate, holder] = await connectTwo(config);
    try {
      const held = options.log
        ? await holdNow(config, holder, options.log)
        : null;
      const openTransactions = await readOpenTransactions(gate);
      const guard = `millrace-${crypto.randomUUID()}`;
      await gate.query(`SET SESSION lock_wait_timeout = ${LOCK_WAIT_SECONDS}`);
      await gate.query(`SELECT GET_LOCK(${quoteLiteral(guard)}, 0)`);
      const rung =
        held?.isRead === false
          ? { rung: "none" as const, warnings: [] }
          : await climb(gate, holder, held?.tables);
      const isStill = isLocked(rung.rung);
      const definitions = held?.isRead && !isStill ? await held.define() : null;
      // without a lock, the log must be followed from before the first snapshot
      const before = await readServerPosition(gate);
      let position: BinlogPosition = { ...before, file: null, offset: null };
      if (isStill) position = await readServerPosition(gate);
      // the log's end is told to few users, a snapshot's place in it to all
      if (isStill && position.file === null) {
        await beginOwnSnapshot(holder);
        position = { ...position, ...(await readSnapshotPosition(holder)) };
        await holder.query("COMMIT");
      }
      if (rung.rung === "compared") {
        await beginOwnSnapshot(gate);
        const seen = await readSnapshotPosition(gate);
        position = { ...before, ...seen };
        await gate.query("COMMIT");
      }
      const place = rung.rung === "none" ? before : position;
      const log = held && (await describeLog(held, rung, place, definitions));
      const state = { ...rung, guard, position, openTransactions, log };
      return new HeldSnapshot(gate, holder, state, options);
    } catch (error) {
      await Promise.all([gate.close(), holder.close()]);
      throw error;
    }
  }

  /** What this snapshot does not promise; `lockRelations` may add to it. */
  get warnings(): readonly string[] {
    return this.#warnings;
  }

  /**
   * Takes the tables' metadata locks, which keep DDL away until close(), proves that none has been rewritten since it
   * was discovered, and lets the server go.
   * @returns those that this user may not read; the others are locked
   * @throws ExtractError SOURCE_SCHEMA_CHANGED naming a table that is gone; SOURCE_SNAPSHOT_LOST with
   * `reason: "rewritten"` naming one that is another than it was; SOURCE_QUERY_FAILED where a lock was not granted in
   * time
   */
  lockRelations(
    relations: readonly LockTarget[],
  ): Promise<readonly LockProblem[]> {
    return this.#exclusively(async () => {
      try {
        return await this.#lock(relations);
      } finally {
        await this.#openGate();
      }
    });
  }

  /** Ends the transactions, and with them the locks. */
  async close(): Promise<void> {
    this.#end();
    await Promise.all([this.#gate.close(), this.#holder.close()]);
  }

  async #lock(relations: readonly LockTarget[]): Promise<LockProblem[]> {
    await this.#holder.query(
      `SET SESSION lock_wait_timeout = ${LOCK_WAIT_SECONDS}`,
    );
    await this.#holder.query(
      "SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED",
    );
    await this.#holder.query("START TRANSACTION READ ONLY");
    const refused = await findUnreadable(this.#holder, relations);
    const problems: LockProblem[] = [];
    for (const relation of relations) {
      const error = refused.get(nameTable(relation));
      if (error === undefined) continue;
      const { schema, name, oid } = relation;
      if (error.code !== "SOURCE_PERMISSION_DENIED") {
        throw explainRefusal(relation, error);
      }
      problems.push({ schema, name, oid, message: error.message });
    }
    const known = relations.filter(({ fileNode }) => fileNode !== 0);
    const now = await readFileNodes(this.#holder, known);
    for (const relation of known) {
      const node = now.get(nameTable(relation)) ?? 0;
      if (node !== 0 && node !== relation.fileNode) throw isRewritten(relation);
    }
    return problems;
  }

  /** The guard goes first: whoever finds it held knows that the lock was held as well. */
  async #openGate(): Promise<void> {
    if (this.#gateIsOpen) return;
    this.#gateIsOpen = true;
    clearTimeout(this.#release);
    if (!this.#gate.usable) {
      // who has joined by then has proved it; only the comparison has still to come
      if (this.rung === "compared")
        this.#warnings.push(notOneSnapshot("a connection was lost"));
      return;
    }
    if (this.rung === "compared") await this.#compare();
    await this.#gate.query(`DO RELEASE_LOCK(${quoteLiteral(this.#guard)})`);
    await this.#gate.query("UNLOCK TABLES");
    await this.#gate.close();
  }

  /** Positions only grow: where a new snapshot has the first one's, all between the two have it, too. */
  async #compare(): Promise<void> {
    await beginOwnSnapshot(this.#gate);
    const now = await readSnapshotPosition(this.#gate);
    await this.#gate.query("COMMIT");
    const { file, offset } = this.position;
    if (now?.file === file && now.offset === offset) return;
    this.#warnings.push(notOneSnapshot("it was written to meanwhile"));
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
    if (this.#isOver || this.#isBusy) return;
    const deadline = setTimeout(() => {
      this.#gate.destroy();
      this.#holder.destroy();
    }, PROBE_DEADLINE_MS);
    try {
      await this.#exclusively(async () => {
        await this.#holder.query("DO 0");
        if (!this.#gateIsOpen) await this.#gate.query("DO 0");
      });
    } catch (error) {
      this.#lose(error);
    } finally {
      clearTimeout(deadline);
    }
  }

  #lose(cause: unknown): void {
    if (this.#isOver) return;
    this.#end();
    this.#gate.destroy();
    this.#holder.destroy();
    this.#onLost?.(
      new ExtractError(
        "SOURCE_SNAPSHOT_LOST",
        `the connection that keeps the tables as they are is gone: ${cause instanceof Error ? cause.message : String(cause)}`,
        this.#holder.details,
        { cause },
      ),
    );
  }

  #end(): void {
    this.#isOver = true;
    clearInterval(this.#probe);
    clearTimeout(this.#release);
  }
}

/** @param before definitions from before the position, where no lock keeps them as they are */
async function describeLog(
  held: HeldLog,
  { rung }: ReachedRung,
  position: BinlogPosition,
  before: LogSnapshotPlace["definitions"] | null,
): Promise<LogOpened> {
  if (!held.isRead) return held.describe(null);
  const definitions = await held.define();
  if (before && !isDeepStrictEqual(before, definitions))
    throw new ExtractError(
      "SOURCE_SNAPSHOT_LOST",
      "a table was altered while the snapshot was taken",
      { reason: "changed" },
    );
  return held.describe({ rung, position, definitions });
}

/** Both or none; at once, since a login takes several round trips. */
async function connectTwo(
  config: MysqlConfig,
): Promise<[MysqlConnection, MysqlConnection]> {
  const connecting = [
    MysqlConnection.connect(config),
    MysqlConnection.connect(config),
  ] as const;
  try {
    return await Promise.all(connecting);
  } catch (error) {
    for (const one of await Promise.allSettled(connecting))
      if (one.status === "fulfilled") await one.value.close();
    throw error;
  }
}

function explainRefusal(
  relation: LockTarget,
  error: ExtractError,
): ExtractError {
  const table = `${relation.schema}.${relation.name}`;
  if (error.code === "SOURCE_TABLE_NOT_FOUND") {
    return new ExtractError(
      "SOURCE_SCHEMA_CHANGED",
      `${table} was dropped or renamed after it was discovered`,
      { table, oid: relation.oid },
    );
  }
  if (error.details["errno"] === 1205) {
    return new ExtractError(
      "SOURCE_QUERY_FAILED",
      `${table} could not be locked within ${LOCK_WAIT_SECONDS} s: another session holds it exclusively`,
      { ...error.details, table },
      { cause: error },
    );
  }
  return new ExtractError(
    error.code,
    error.message,
    { ...error.details, table },
    { cause: error },
  );
}

function isRewritten({ schema, name }: LockTarget): ExtractError {
  const table = `${schema}.${name}`;
  return new ExtractError(
    "SOURCE_SNAPSHOT_LOST",
    `${table} was truncated or rewritten after it was discovered`,
    { table, reason: "rewritten" },
  );
}
