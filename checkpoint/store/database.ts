/**
 * The database under a ledger, as the rest of the store sees it: statements, transactions, and the fence around every
 * write. Statements are written in what SQLite and Postgres have in common; `dialect` has the rest.
 */
import { strict as assert } from "node:assert";
import { ExtractError } from "../../proto/error.ts";

export type LedgerValue = null | number | string;

export type Row = Record<string, null | number | bigint | string | Uint8Array>;

/** What the two databases do not spell alike. */
export interface Dialect {
  /** The text of a member of a column that holds a JSON object. */
  jsonText(column: string, member: string): string;
  /** The values of a group, as a JSON array in their order. */
  jsonArray(column: string): string;
}

/**
 * How far a transaction reaches: `ledger` keeps all other writers out; `run` only those that reach as far, and those
 * of the same run once it has been fenced. Where a database has one writer at a time, both are the same.
 */
export type TransactionReach = "ledger" | "run";

export abstract class LedgerDatabase {
  /** Absolute; or the URL, without a password. */
  abstract readonly path: string;
  /** Drawn when the ledger was made: two that number their generations alike are told apart by it. */
  abstract readonly id: string;
  abstract readonly dialect: Dialect;
  #reach: TransactionReach | null = null;
  #poisoned = false;

  abstract close(): void;

  /** Whether all that was committed is on disk. Where a commit waits for the disk, it always is. */
  get isSettled(): boolean {
    return true;
  }

  /**
   * Resolves once all that is committed now is on disk.
   * @throws ExtractError LEDGER_UNWRITABLE
   */
  settled(): Promise<void> {
    return Promise.resolve();
  }

  /** Milliseconds since the Unix epoch, by the clock that all who use this ledger share. */
  abstract now(): number;

  /** Rows changed. */
  abstract run(sql: string, ...values: LedgerValue[]): number;
  abstract get(sql: string, ...values: LedgerValue[]): Row | undefined;
  abstract all(sql: string, ...values: LedgerValue[]): Row[];

  protected abstract begin(reach: TransactionReach): void;
  /** Also when `work` has thrown and the database has rolled back by itself. */
  protected abstract rollBack(): void;
  protected abstract commit(): void;
  /** The run's row, held against other writers until the transaction ends. */
  protected abstract lockRun(runId: string): Row | undefined;

  protected get isInTransaction(): boolean {
    return this.#reach !== null;
  }

  /**
   * Runs `work` in one transaction, which is on disk when this returns, or is so once `settled` resolves. Calls inside
   * another's work join it; once one of them has thrown, the outermost rolls everything back, even where the error was
   * caught in between.
   */
  transaction<Result>(
    work: () => Result,
    reach: TransactionReach = "ledger",
  ): Result {
    if (this.#reach !== null) {
      // to reach further now would wait for others that may be waiting for this one
      assert(reach === "run" || this.#reach === "ledger");
      return this.#join(work);
    }
    this.begin(reach);
    this.#reach = reach;
    this.#poisoned = false;
    try {
      const result = this.#join(work);
      assert(!this.#poisoned, "a part of this transaction had failed");
      this.commit();
      return result;
    } catch (error) {
      this.rollBack();
      throw error;
    } finally {
      this.#reach = null;
    }
  }

  /**
   * A transaction of one attempt's writes. The run is held while its epoch is compared, so that no newer attempt can
   * come in between.
   * @throws ExtractError LEDGER_FENCED when a newer attempt, or a newer run, has taken over; RUN_NOT_FOUND
   */
  fenced<Result>(runId: string, epoch: number, work: () => Result): Result {
    return this.transaction(() => {
      const run = this.lockRun(runId);
      if (!run) throw runNotFound(runId);
      const current = Number(run["epoch"]);
      if (current !== epoch || run["state"] === "abandoned")
        throw new ExtractError(
          "LEDGER_FENCED",
          current === epoch
            ? `attempt ${epoch} of run ${runId} is fenced off: a newer run of its sync has begun`
            : `attempt ${epoch} of run ${runId} is fenced off by attempt ${current}`,
          { runId, epoch, current },
        );
      return work();
    }, "run");
  }

  /**
   * Reads a JSON text of the ledger.
   * @throws ExtractError LEDGER_CORRUPT
   */
  parse<Value>(text: unknown): Value {
    try {
      return JSON.parse(String(text)) as Value;
    } catch (error) {
      throw corruptLedger(this.path, "a value is not JSON", error);
    }
  }

  #join<Result>(work: () => Result): Result {
    try {
      const result = work();
      assert(!(result instanceof Promise), "a transaction's work is done here");
      return result;
    } catch (error) {
      this.#poisoned = true;
      throw error;
    }
  }
}

export function runNotFound(run: string, why = "is not in this ledger") {
  return new ExtractError("RUN_NOT_FOUND", `run ${run} ${why}`, { run });
}

export function corruptLedger(
  path: string,
  what: string,
  cause?: unknown,
): ExtractError {
  return new ExtractError(
    "LEDGER_CORRUPT",
    `ledger ${path}: ${what}`,
    { path },
    { cause },
  );
}
