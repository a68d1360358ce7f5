/** A ledger in an SQLite file: opened with suspicion, brought to the newest version, and then trusted. */
import { randomUUID } from "node:crypto";
import {
  existsSync,
  closeSync,
  fsyncSync,
  mkdirSync,
  openSync,
  statSync,
} from "node:fs";
import { dirname, resolve } from "node:path";
import { DatabaseSync } from "node:sqlite";
import type { StatementSync } from "node:sqlite";
import { ExtractError } from "../../proto/error.ts";
import { corruptLedger, LedgerDatabase } from "./database.ts";
import type { Dialect, LedgerValue, Row } from "./database.ts";
import {
  LEDGER_APPLICATION_ID,
  LEDGER_STEPS,
  LEDGER_VERSION,
} from "./schema.ts";
import { LogKeeper } from "./log-keeper.ts";
import { toLedgerError } from "./sqlite-error.ts";

/** How long a statement waits for another process's transaction, in milliseconds; ours take a few. */
const LEDGER_BUSY_MS = 10_000;

/** A ledger of at most so many bytes is checked whole whenever it is opened: 1.5 ms a megabyte, 0.3 for a usual one. */
const QUICK_CHECK_BYTES_MAX = 2 * 1024 * 1024;

/**
 * Where a thread carries the log over into the file, the writer does so by itself only beyond so many pages of 4 KiB,
 * should the thread never have come to it.
 */
const CARRIED_OVER_PAGES_MAX = 32_768;

export interface SqliteOptions {
  readonly create: boolean;
  /**
   * `gathered`: a commit outlives this process when it returns, and a failure of the machine once `settled` resolves,
   * which one sync of the disk does for many. Otherwise each commit waits for the disk.
   */
  readonly commits?: "gathered";
  /** The clock of this ledger, in milliseconds since the Unix epoch; absent: this host's. */
  readonly now?: () => number;
}

const sqliteDialect: Dialect = {
  jsonText: (column, member) => `json_extract(${column}, '$.${member}')`,
  jsonArray: (column) => `json_group_array(${column} ORDER BY ${column})`,
};

export class SqliteDatabase extends LedgerDatabase {
  override readonly path: string;
  override readonly id: string;
  override readonly dialect = sqliteDialect;
  readonly #database: DatabaseSync;
  readonly #statements = new Map<string, StatementSync>();
  readonly #log: LogKeeper | null;
  readonly #now: () => number;
  /** Rows that this connection has changed so far. */
  #changes = 0;

  constructor(path: string, options: SqliteOptions) {
    super();
    this.path = resolve(path);
    this.#now = options.now ?? Date.now;
    this.#database = openFile(this.path, options.create);
    try {
      prepareFile(this.#database, this.path, options.create);
      const row = this.get("SELECT id FROM ledger");
      if (!row) throw corruptLedger(this.path, "it has no identity");
      this.id = String(row["id"]);
      this.#log = options.commits === "gathered" ? this.#gatherCommits() : null;
    } catch (error) {
      this.#database.close();
      throw toLedgerError(error, this.path);
    }
  }

  /**
   * The log and its name are on disk already, and from here on it is synced by its keeper. SQLite still syncs before and
   * after pages are carried over, so that the file is sound whatever happens: what is lost is the end of the log alone.
   */
  #gatherCommits(): LogKeeper {
    // a log of which nothing was written is not there
    this.#database.exec(
      `BEGIN IMMEDIATE; PRAGMA user_version = ${LEDGER_VERSION}; COMMIT;
       PRAGMA synchronous = NORMAL; PRAGMA wal_autocheckpoint = ${CARRIED_OVER_PAGES_MAX}`,
    );
    syncFolder(dirname(this.path));
    return new LogKeeper(this.path);
  }

  override close(): void {
    this.#statements.clear();
    if (!this.#database.isOpen) return;
    try {
      // what could not be made durable before is not made so now
      if (this.#log && !this.#log.fault) syncFile(`${this.path}-wal`);
    } finally {
      this.#log?.close();
      this.#database.close();
    }
  }

  override get isSettled(): boolean {
    return this.#log?.isSettled ?? true;
  }

  override settled(): Promise<void> {
    return this.#log?.settled() ?? Promise.resolve();
  }

  /** The file is this host's, and so is its clock. */
  override now(): number {
    return this.#now();
  }

  override run(sql: string, ...values: LedgerValue[]): number {
    const changed = this.#step(() =>
      Number(this.#prepare(sql).run(...values).changes),
    );
    if (!this.isInTransaction) this.#noteCommit();
    return changed;
  }

  override get(sql: string, ...values: LedgerValue[]): Row | undefined {
    return this.#step(() => this.#prepare(sql).get(...values));
  }

  override all(sql: string, ...values: LedgerValue[]): Row[] {
    return this.#step(() => this.#prepare(sql).all(...values));
  }

  protected override begin(): void {
    if (this.#log?.fault) throw this.#log.fault;
    this.#step(() => this.#database.exec("BEGIN IMMEDIATE"));
  }

  protected override commit(): void {
    this.#step(() => this.#database.exec("COMMIT"));
    this.#noteCommit();
  }

  /** A transaction that has changed nothing has nothing to be synced. */
  #noteCommit(): void {
    if (!this.#log) return;
    const row = this.#prepare("SELECT total_changes() AS changes").get();
    const changes = Number(row?.["changes"]);
    if (changes === this.#changes) return;
    this.#changes = changes;
    this.#log.note();
  }

  protected override rollBack(): void {
    // SQLite rolls back by itself on some errors
    if (this.#database.isTransaction) this.#database.exec("ROLLBACK");
  }

  /** The transaction holds the write lock of the whole file. */
  protected override lockRun(runId: string): Row | undefined {
    return this.get("SELECT epoch, state FROM runs WHERE id = ?", runId);
  }

  #prepare(sql: string): StatementSync {
    let statement = this.#statements.get(sql);
    if (statement === undefined) {
      statement = this.#database.prepare(sql);
      this.#statements.set(sql, statement);
    }
    return statement;
  }

  #step<Result>(step: () => Result): Result {
    try {
      return step();
    } catch (error) {
      throw toLedgerError(error, this.path);
    }
  }
}

function openFile(path: string, create: boolean): DatabaseSync {
  try {
    if (create) makeFolder(dirname(path));
    else if (!statSync(path, { throwIfNoEntry: false }))
      throw new ExtractError("RUN_NOT_FOUND", `there is no ledger at ${path}`, {
        path,
      });
    return new DatabaseSync(path, { timeout: LEDGER_BUSY_MS });
  } catch (error) {
    if (error instanceof Error && "errno" in error)
      throw new ExtractError(
        "DESTINATION_UNWRITABLE",
        `the folder of ledger ${path} cannot be made: ${error.message}`,
        { path },
        { cause: error },
      );
    throw toLedgerError(error, path);
  }
}

/**
 * SQLite makes its own file's name durable; the names of new folders above it are ours to make so. One by one: Node's
 * recursive mkdir never returns below /proc/self.
 */
function makeFolder(folder: string): void {
  const missing: string[] = [];
  for (let path = folder; !existsSync(path); path = dirname(path))
    missing.push(path);
  for (const path of missing.toReversed()) {
    try {
      mkdirSync(path);
    } catch (error) {
      // another process may make the same folders
      if (!existsSync(path)) throw error;
    }
  }
  for (const path of missing) syncFolder(dirname(path));
}

function syncFolder(folder: string): void {
  syncFile(folder);
}

function syncFile(path: string): void {
  const file = openSync(path, "r");
  try {
    fsyncSync(file);
  } finally {
    closeSync(file);
  }
}

/** Nothing is written to a file before it is known to be ours or empty. */
function prepareFile(
  database: DatabaseSync,
  path: string,
  create: boolean,
): void {
  const unclean = hasLog(path);
  const state = readState(database);
  if (state === "empty") {
    if (!create)
      throw new ExtractError("RUN_NOT_FOUND", `the ledger ${path} is empty`, {
        path,
      });
  } else checkState(database, path, state, unclean);
  // WAL: readers (`millrace runs`) never wait for the run. FULL: a commit is on disk when it returns.
  database.exec(
    "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA foreign_keys = ON",
  );
  if (state === "empty" || state.version < LEDGER_VERSION)
    bringUpToDate(database, path);
}

type FileState =
  | "empty"
  | { readonly applicationId: number; readonly version: number };

/** In one look: between two, another process may have finished making the ledger. */
function readState(database: DatabaseSync): FileState {
  if (database.isTransaction) return lookAtState(database);
  database.exec("BEGIN");
  try {
    return lookAtState(database);
  } finally {
    if (database.isTransaction) database.exec("ROLLBACK");
  }
}

function lookAtState(database: DatabaseSync): FileState {
  const applicationId = readPragma(database, "application_id");
  const version = readPragma(database, "user_version");
  const tables = database
    .prepare("SELECT count(*) AS count FROM sqlite_schema")
    .get()?.["count"];
  return applicationId === 0 && version === 0 && tables === 0
    ? "empty"
    : { applicationId, version };
}

function checkState(
  database: DatabaseSync,
  path: string,
  state: Exclude<FileState, "empty">,
  unclean: boolean,
): void {
  if (state.applicationId !== LEDGER_APPLICATION_ID)
    throw corruptLedger(path, "the file is another application's database");
  if (state.version > LEDGER_VERSION)
    throw corruptLedger(
      path,
      `it was written by a newer Millrace (ledger version ${state.version}, this one knows ${LEDGER_VERSION})`,
    );
  if (state.version < 1)
    throw corruptLedger(path, `it has the version ${state.version}`);
  const bytes =
    readPragma(database, "page_count") * readPragma(database, "page_size");
  const size = statSync(path).size;
  // pages that are in the log only make the file shorter than its count of pages
  const logged = unclean || hasLog(path);
  if (!logged && size < bytes)
    throw corruptLedger(path, `it is cut off: ${size} of ${bytes} bytes`);
  // a larger one only where its last user did not close it, or one is at work
  if (logged || size <= QUICK_CHECK_BYTES_MAX) {
    const found = database.prepare("PRAGMA quick_check(1)").get();
    if (found?.["quick_check"] !== "ok")
      throw corruptLedger(path, String(found?.["quick_check"]));
  }
}

function hasLog(path: string): boolean {
  return (statSync(`${path}-wal`, { throwIfNoEntry: false })?.size ?? 0) > 0;
}

function readPragma(database: DatabaseSync, name: string): number {
  return Number(database.prepare(`PRAGMA ${name}`).get()?.[name]);
}

/**
 * Makes the tables, or takes the steps from an older version, in one transaction. Another process may be doing the
 * same: whoever gets the write lock first does.
 */
function bringUpToDate(database: DatabaseSync, path: string): void {
  database.exec("BEGIN IMMEDIATE");
  try {
    const state = readState(database);
    if (state !== "empty") checkState(database, path, state, false);
    const version = state === "empty" ? 0 : state.version;
    for (const step of LEDGER_STEPS.slice(version)) database.exec(step);
    if (state === "empty") {
      database.prepare("INSERT INTO ledger (id) VALUES (?)").run(randomUUID());
      database.exec(`PRAGMA application_id = ${LEDGER_APPLICATION_ID}`);
    }
    database.exec(`PRAGMA user_version = ${LEDGER_VERSION}`);
    database.exec("COMMIT");
  } catch (error) {
    if (database.isTransaction) database.exec("ROLLBACK");
    throw error;
  }
}
