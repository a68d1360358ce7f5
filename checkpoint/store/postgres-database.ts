/**
 * A ledger in a schema of Postgres, for daemons on several hosts. Writers that reach the whole ledger hold one advisory
 * lock for themselves, writers of one run hold it together and the run's row for themselves: what SQLite's single
 * writer guarantees, these locks guarantee here.
 */
import { strict as assert } from "node:assert";
import { randomUUID } from "node:crypto";
import { ExtractError } from "../../proto/error.ts";
import { LedgerDatabase } from "./database.ts";
import type { LedgerValue, Row, TransactionReach } from "./database.ts";
import { PostgresBridge } from "./postgres-bridge.ts";
import type { BridgeAnswer } from "./postgres-bridge.ts";
import { ledgerUnreachable, toPostgresError } from "./postgres-error.ts";
import { LEDGER_SCHEMA_NAME, prepareSchema } from "./postgres-schema.ts";
import { postgresDialect, toPostgresSql } from "./postgres-sql.ts";
import { redactLedgerUrl } from "./postgres-url.ts";
import { LEDGER_APPLICATION_ID } from "./schema.ts";

/** How long a connection may take to be made, and a lost one to be made again, in milliseconds. */
const CONNECT_MS = 10_000;
const RECONNECT_MS = 20_000;

/** How long one statement may take, waiting for other writers included, in milliseconds. */
const STATEMENT_MS = 20_000;

/**
 * How long a transaction may stand still before the server ends it, in milliseconds: a process that is stopped, or a
 * host that is gone, then holds nobody up for longer. Shorter than STATEMENT_MS, so that who waits for it goes on.
 */
const IDLE_TRANSACTION_MS = 10_000;

const CLOSE_MS = 2_000;

const SESSION = `
  SET search_path = ${LEDGER_SCHEMA_NAME}, pg_temp;
  SET statement_timeout = ${STATEMENT_MS};
  SET idle_in_transaction_session_timeout = ${IDLE_TRANSACTION_MS};
  SET synchronous_commit = on;
  SET default_transaction_isolation = 'read committed';
  SET default_transaction_read_only = on`;

const NOW =
  "SELECT (extract(epoch FROM clock_timestamp()) * 1000)::bigint AS now";

export interface PostgresOptions {
  readonly create: boolean;
  /** How long a lost connection may take to be made again; absent: RECONNECT_MS. */
  readonly reconnectMs?: number;
}

type Result = Exclude<BridgeAnswer, { readonly fault: object }>;

export class PostgresDatabase extends LedgerDatabase {
  override readonly path: string;
  override readonly id: string;
  override readonly dialect = postgresDialect;
  readonly #bridge: PostgresBridge;
  /** Names this client in `clients`. */
  readonly #client = randomUUID();
  readonly #reconnectMs: number;
  readonly #texts = new Map<string, string>();
  #isConnected = false;
  #token = 0;
  #isClosed = false;

  constructor(url: string, { create, reconnectMs }: PostgresOptions) {
    super();
    if (!URL.canParse(url))
      throw new ExtractError(
        "USAGE",
        "the ledger's address begins like a Postgres URL, and is none; is a character of it to be written as %XX?",
      );
    this.#reconnectMs = reconnectMs ?? RECONNECT_MS;
    this.path = redactLedgerUrl(url);
    this.#bridge = new PostgresBridge(url);
    try {
      this.#connect(CONNECT_MS, false);
      this.#prepare(create);
      this.id = String(this.get("SELECT id FROM ledger")?.["id"]);
    } catch (error) {
      this.#bridge.close(CLOSE_MS);
      throw error;
    }
  }

  override close(): void {
    if (this.#isClosed) return;
    this.#isClosed = true;
    try {
      if (this.#isConnected)
        this.#send(
          `BEGIN READ WRITE; DELETE FROM clients WHERE id = '${this.#client}'; COMMIT`,
          null,
        );
    } catch {
      // it is forgotten in time
    }
    this.#bridge.close(CLOSE_MS);
  }

  override now(): number {
    return Number(this.get(NOW)?.["now"]);
  }

  override run(sql: string, ...values: LedgerValue[]): number {
    if (!this.isInTransaction)
      return this.transaction(() => this.run(sql, ...values));
    return this.#send(this.#translate(sql), values).changed;
  }

  override get(sql: string, ...values: LedgerValue[]): Row | undefined {
    return this.#ask(sql, values).rows[0];
  }

  override all(sql: string, ...values: LedgerValue[]): Row[] {
    return [...this.#ask(sql, values).rows];
  }

  protected override begin(reach: TransactionReach): void {
    this.#token++;
    const lock =
      reach === "run"
        ? "pg_advisory_xact_lock_shared"
        : "pg_advisory_xact_lock";
    this.#overConnection(() => {
      try {
        this.#send(
          `BEGIN READ WRITE; SELECT ${lock}(${LEDGER_APPLICATION_ID});
           INSERT INTO clients (id, token) VALUES ('${this.#client}', ${this.#token})
           ON CONFLICT (id) DO UPDATE SET token = excluded.token, seen_at = clock_timestamp()`,
          null,
        );
      } catch (error) {
        this.rollBack();
        throw error;
      }
    });
  }

  protected override rollBack(): void {
    if (!this.#isConnected) return;
    try {
      this.#send("ROLLBACK", null);
    } catch {
      // the session is no longer to be trusted with the next transaction; without it there is nothing to roll back
      this.#isConnected = false;
    }
  }

  /** @throws ExtractError LEDGER_UNREACHABLE, saying whether it was committed as far as can be known */
  protected override commit(): void {
    try {
      const { command } = this.#send("COMMIT", null);
      // what a transaction with a failed statement gets for an answer
      assert(command === "COMMIT", `the transaction ended with ${command}`);
    } catch (error) {
      if (this.#isConnected) throw error;
      if (!this.#wasCommitted(error))
        throw ledgerUnreachable(
          this.path,
          "the connection broke, and the transaction was not committed",
          { committed: "no" },
        );
    }
  }

  protected override lockRun(runId: string): Row | undefined {
    return this.get(
      "SELECT epoch, state FROM runs WHERE id = ? FOR UPDATE",
      runId,
    );
  }

  /** Asked of the row that the transaction itself has written; the lock waits until its session is surely over. */
  #wasCommitted(cause: unknown): boolean {
    try {
      this.#connect(this.#reconnectMs, true);
      this.#send("BEGIN READ WRITE", null);
      const { rows } = this.#send(
        "SELECT token FROM clients WHERE id = $1 FOR UPDATE",
        [this.#client],
      );
      this.#send("COMMIT", null);
      return rows[0]?.["token"] === this.#token;
    } catch (error) {
      this.#isConnected = false;
      throw new ExtractError(
        "LEDGER_UNREACHABLE",
        `ledger ${this.path}: the connection broke in a commit, and whether it was done is not known: ${String((error as Error).message)}`,
        { path: this.path, committed: "unknown" },
        { cause },
      );
    }
  }

  #prepare(create: boolean): void {
    const access = {
      path: this.path,
      execute: (sql: string) => void this.#send(sql, null),
      all: (sql: string, ...values: LedgerValue[]) =>
        this.#send(sql, values).rows,
    };
    try {
      this.#send(
        `BEGIN READ WRITE; SELECT pg_advisory_xact_lock(${LEDGER_APPLICATION_ID})`,
        null,
      );
      prepareSchema(access, create);
      this.#send(
        `INSERT INTO clients (id, token) VALUES ('${this.#client}', 0)`,
        null,
      );
      this.#send("COMMIT", null);
    } catch (error) {
      this.rollBack();
      throw error;
    }
  }

  #connect(timeoutMs: number, persists: boolean): void {
    const { fault } = this.#bridge.ask({
      kind: "connect",
      timeoutMs,
      persists,
      setup: SESSION,
      name: `millrace ledger ${this.#client.slice(0, 8)}`,
    });
    if (fault) throw toPostgresError(fault, this.path, "connecting");
    this.#isConnected = true;
  }

  /** What can be done again as a whole: nothing of it counts if the connection breaks. */
  #overConnection<Result>(work: () => Result): Result {
    if (this.#isConnected) {
      try {
        return work();
      } catch (error) {
        if (this.#isConnected) throw error;
      }
    }
    this.#connect(this.#reconnectMs, true);
    return work();
  }

  #ask(sql: string, values: readonly LedgerValue[]): Result {
    const text = this.#translate(sql);
    return this.isInTransaction
      ? this.#send(text, values)
      : this.#overConnection(() => this.#send(text, values));
  }

  #send(sql: string, values: readonly LedgerValue[] | null): Result {
    assert(!this.#isClosed || sql.includes("DELETE FROM clients"));
    if (!this.#isConnected)
      throw ledgerUnreachable(this.path, "the connection broke", {
        committed: "no",
      });
    const answer = this.#bridge.ask({
      kind: "query",
      // the server gives up first, and says so
      timeoutMs: STATEMENT_MS + CLOSE_MS,
      sql,
      values,
    });
    if (!answer.fault) return answer;
    if (answer.fault.isLost) this.#isConnected = false;
    throw toPostgresError(answer.fault, this.path, sql);
  }

  #translate(sql: string): string {
    let text = this.#texts.get(sql);
    if (text === undefined) {
      text = toPostgresSql(sql);
      this.#texts.set(sql, text);
    }
    return text;
  }
}
