/**
 * Makes transactions durable beside the event loop. They are committed into SQLite's log, which outlives this process,
 * and a thread syncs the log to disk for all that were committed meanwhile. Whoever lets something out into the world
 * that rests on a transaction waits for `settled` before.
 */
import { Worker } from "node:worker_threads";
import { ExtractError } from "../../proto/error.ts";
import type { LogAnswer, LogOrder, LogWorkerData } from "./log-order.ts";
import { findWorkerFile } from "./worker-file.ts";

/** A disk that has not answered by then is named to those who wait for it. */
const SYNC_MS_MAX = 60_000;

/** Transactions between two times that the log is carried over into the file: some ten megabytes. */
const CARRIED_OVER_EVERY = 1_000;

interface Waiter {
  readonly upTo: number;
  readonly resolve: () => void;
  readonly reject: (error: ExtractError) => void;
}

export class LogKeeper {
  readonly #path: string;
  readonly #worker: Worker;
  /** Transactions are numbered from 1; up to which they are committed, told to the thread, and on disk. */
  #committed = 0;
  #told = 0;
  #durable = 0;
  #carriedOver = 0;
  #waiters: Waiter[] = [];
  #isScheduled = false;
  #deadline: NodeJS.Timeout | null = null;
  #fault: ExtractError | null = null;
  #isClosed = false;

  /** @param path of a ledger that has its log */
  constructor(path: string) {
    this.#path = path;
    const workerData: LogWorkerData = { path };
    this.#worker = new Worker(findWorkerFile("log-worker"), {
      workerData,
      name: "ledger-log",
    });
    this.#worker.on("message", (answer: LogAnswer) => this.#take(answer));
    this.#worker.on("error", ({ message }) => this.#fail(message));
    this.#worker.on("exit", () => this.#fail("the thread that syncs it ended"));
    this.#worker.unref();
  }

  /** What can no longer be made durable; null: nothing. The next commit is to be refused with it. */
  get fault(): ExtractError | null {
    return this.#fault;
  }

  get isSettled(): boolean {
    return this.#durable === this.#committed;
  }

  /** A transaction was committed into the log. */
  note(): void {
    this.#committed += 1;
    if (this.#isScheduled || this.#told > this.#durable) return;
    this.#isScheduled = true;
    // what else is committed in this turn of the loop shares the sync
    setImmediate(() => {
      this.#isScheduled = false;
      this.#order();
    });
  }

  /**
   * Resolves once all that is committed now is on disk.
   * @throws ExtractError LEDGER_UNWRITABLE
   */
  settled(): Promise<void> {
    if (this.#fault) return Promise.reject(this.#fault);
    if (this.isSettled) return Promise.resolve();
    return new Promise((resolve, reject) => {
      this.#waiters.push({ upTo: this.#committed, resolve, reject });
    });
  }

  /** After the log was synced by whoever closes the file. */
  close(): void {
    this.#isClosed = true;
    this.#durable = this.#committed;
    this.#stopClock();
    this.#wake();
    void this.#worker.terminate();
  }

  #order(): void {
    if (this.#fault || this.#isClosed || this.isSettled) return;
    this.#told = this.#committed;
    const isCarriedOver =
      this.#committed - this.#carriedOver >= CARRIED_OVER_EVERY;
    if (isCarriedOver) this.#carriedOver = this.#committed;
    this.#worker.ref();
    this.#deadline = setTimeout(
      () => this.#fail(`the disk has not answered for ${SYNC_MS_MAX} ms`),
      SYNC_MS_MAX,
    );
    const order: LogOrder = { upTo: this.#told, isCarriedOver };
    this.#worker.postMessage(order);
  }

  #take({ upTo, fault }: LogAnswer): void {
    if (this.#isClosed) return;
    if (fault !== null) return this.#fail(fault);
    this.#stopClock();
    this.#durable = upTo;
    this.#wake();
    this.#order();
  }

  #wake(): void {
    const waiters = this.#waiters;
    this.#waiters = waiters.filter(({ upTo }) => upTo > this.#durable);
    for (const { upTo, resolve } of waiters)
      if (upTo <= this.#durable) resolve();
  }

  #stopClock(): void {
    if (this.#deadline) clearTimeout(this.#deadline);
    this.#deadline = null;
    this.#worker.unref();
  }

  /** For good: after a sync that failed, the system may have dropped what it could not write. */
  #fail(words: string): void {
    if (this.#isClosed || this.#fault) return;
    this.#stopClock();
    this.#fault = new ExtractError(
      "LEDGER_UNWRITABLE",
      `the log of ledger ${this.#path} could not be made durable: ${words}`,
      { path: this.#path },
    );
    const waiters = this.#waiters;
    this.#waiters = [];
    for (const { reject } of waiters) reject(this.#fault);
  }
}
