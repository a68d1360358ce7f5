/** Sends results in their order, at least once each, for as long as it takes. */
import { toWireError, type WireError } from "../../../proto/error.ts";
import type { DaemonEvent } from "../../service/types.ts";
import { Outbox } from "../outbox.ts";
import type { TriggerFormat } from "../parse-trigger.ts";
import { findOwed, remember, type ResultLedger } from "../result-memory.ts";
import {
  encodeResult,
  RunFollower,
  SEQUENCE_LAST,
  type RunResult,
} from "../run-results.ts";
import type { TriggerLog } from "./client.ts";
import type { Sender } from "./sender.ts";

const RESULTS_PER_SEND_MAX = 200;
const BACKOFF_MS_MIN = 500;
const BACKOFF_MS_MAX = 30_000;

export interface PublisherHealth {
  readonly sent: number;
  readonly waiting: number;
  /** Checkpoints, mostly: ends of runs come again from the ledger. */
  readonly dropped: number;
  /** Why the brokers take none; null while they do. */
  readonly error: WireError | null;
}

export interface PublisherOptions {
  readonly topic: string;
  readonly format: TriggerFormat;
  readonly ledger: ResultLedger;
  readonly log: TriggerLog;
}

export class Publisher {
  readonly #sender: Sender;
  readonly #options: PublisherOptions;
  readonly #outbox = new Outbox();
  readonly #runs = new RunFollower();
  readonly #stop = new AbortController();
  #sending: Promise<void> | null = null;
  #isClosing = false;
  #sent = 0;
  #error: WireError | null = null;

  constructor(sender: Sender, options: PublisherOptions) {
    this.#sender = sender;
    this.#options = options;
    this.#addOwed();
  }

  observe(event: DaemonEvent): void {
    if (event.type !== "run.event") return;
    const result = this.#runs.observe(event);
    if (!result) return;
    if (result.type === "started") this.#try(() => remember(this.#options.ledger, result)); // prettier-ignore
    this.#outbox.add(result);
    this.#wake();
  }

  health(): PublisherHealth {
    const { length: waiting, dropped } = this.#outbox;
    return { sent: this.#sent, waiting, dropped, error: this.#error };
  }

  /** Sends what waits, for so long at most. Ends of runs that are not sent come again from the ledger. */
  async close(waitMs: number): Promise<void> {
    this.#isClosing = true;
    const deadline = setTimeout(() => this.#stop.abort(), waitMs);
    await this.#sending;
    clearTimeout(deadline);
    this.#stop.abort();
  }

  #addOwed(): void {
    this.#try(() => {
      for (const result of findOwed(this.#options.ledger))
        this.#outbox.add(result);
    });
    this.#wake();
  }

  #wake(): void {
    if (this.#outbox.length === 0 || this.#isClosing) return;
    this.#sending ??= this.#sendAll().finally(() => {
      this.#sending = null;
      if (this.#outbox.takeBehind()) this.#addOwed();
      else this.#wake();
    });
  }

  async #sendAll(): Promise<void> {
    let backoffMs = BACKOFF_MS_MIN;
    while (this.#outbox.length > 0 && !this.#stop.signal.aborted) {
      const results = this.#outbox.first(RESULTS_PER_SEND_MAX);
      try {
        await this.#send(results);
        this.#error = null;
        backoffMs = BACKOFF_MS_MIN;
      } catch (error) {
        this.#tell(toWireError(error));
        await this.#wait(backoffMs);
        backoffMs = Math.min(BACKOFF_MS_MAX, 2 * backoffMs);
      }
    }
  }

  async #send(results: readonly RunResult[]): Promise<void> {
    const { topic, format, ledger } = this.#options;
    await this.#sender.send(
      topic,
      results.map((result) => ({
        key: result.sync,
        value: encodeResult(result, format),
      })),
    );
    this.#outbox.remove(results);
    this.#sent += results.length;
    for (const result of results)
      if (result.sequence === SEQUENCE_LAST && result.runId !== "")
        this.#try(() => remember(ledger, result));
  }

  /** Once for each fault, not for each attempt. */
  #tell(error: WireError): void {
    if (this.#error?.message !== error.message)
      this.#options.log.warn(
        { code: error.code, topic: this.#options.topic },
        `results are not taken, and wait: ${error.message}`,
      );
    this.#error = error;
  }

  async #wait(ms: number): Promise<void> {
    const { signal } = this.#stop;
    if (signal.aborted) return;
    await new Promise<void>((done) => {
      const timer = setTimeout(done, ms);
      signal.addEventListener("abort", () => (clearTimeout(timer), done()), { once: true }); // prettier-ignore
    });
  }

  /** What is not remembered is told again after a restart, or not: never a reason to end a run. */
  #try(work: () => void): void {
    try {
      work();
    } catch (error) {
      this.#options.log.warn(
        { code: toWireError(error).code },
        `the ledger could not remember which results are sent: ${toWireError(error).message}`,
      );
    }
  }
}
