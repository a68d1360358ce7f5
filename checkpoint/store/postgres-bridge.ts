/**
 * A connection to Postgres for code that does not wait by promises: a thread has the connection, and this one sleeps
 * until it answers. The ledger's calls are then the same over both databases, and a transaction cannot be come in
 * between by another turn of the event loop.
 */
import {
  MessageChannel,
  receiveMessageOnPort,
  Worker,
  type MessagePort,
} from "node:worker_threads";
import type { LedgerValue, Row } from "./database.ts";
import { findWorkerFile } from "./worker-file.ts";

/** Longer than any order may take, in milliseconds: after it the thread is given up. */
const ANSWER_MARGIN_MS = 5_000;

export interface BridgeWorkerData {
  readonly url: string;
  readonly port: MessagePort;
  /** The number of the last order that was answered, as an Int32. */
  readonly signal: SharedArrayBuffer;
}

export type BridgeOrder =
  | {
      readonly kind: "connect";
      readonly timeoutMs: number;
      /** Tries again until the time is over. */
      readonly persists: boolean;
      /** Statements that begin the session. */
      readonly setup: string;
      /** As the server's views show it. */
      readonly name: string;
    }
  | {
      readonly kind: "query";
      readonly timeoutMs: number;
      readonly sql: string;
      /** Null: the text may hold several statements. */
      readonly values: readonly LedgerValue[] | null;
    }
  | { readonly kind: "close"; readonly timeoutMs: number };

export interface BridgeFault {
  /** SQLSTATE, or the system's name of the fault. */
  readonly code: string | null;
  /** Without the password. */
  readonly message: string;
  /** The connection is gone. */
  readonly isLost: boolean;
}

export type BridgeAnswer =
  | {
      readonly rows: readonly Row[];
      readonly changed: number;
      /** The command of the last statement, as the server names it. */
      readonly command: string;
      readonly fault?: undefined;
    }
  | { readonly fault: BridgeFault };

export class PostgresBridge {
  readonly #url: string;
  #thread: {
    readonly worker: Worker;
    readonly port: MessagePort;
    readonly signal: Int32Array;
  } | null = null;
  #orders = 0;

  constructor(url: string) {
    this.#url = url;
  }

  /** Sleeps until it is done, or its time is over. */
  ask(order: BridgeOrder): BridgeAnswer {
    const thread = (this.#thread ??= this.#start());
    const id = ++this.#orders;
    thread.port.postMessage({ id, order });
    const deadline = performance.now() + order.timeoutMs + ANSWER_MARGIN_MS;
    for (;;) {
      const before = Atomics.load(thread.signal, 0);
      const received = receiveMessageOnPort(thread.port)?.message as
        | (BridgeAnswer & { readonly id: number })
        | undefined;
      if (received?.id === id) return received;
      const left = deadline - performance.now();
      if (left <= 0) break;
      if (!received) Atomics.wait(thread.signal, 0, before, left);
    }
    this.#giveUp();
    const message = `its thread did not answer within ${order.timeoutMs + ANSWER_MARGIN_MS} ms`;
    return { fault: { code: null, message, isLost: true } };
  }

  close(timeoutMs: number): void {
    if (this.#thread) this.ask({ kind: "close", timeoutMs });
    this.#giveUp();
  }

  #start() {
    const { port1, port2 } = new MessageChannel();
    const buffer = new SharedArrayBuffer(4);
    const workerData: BridgeWorkerData = {
      url: this.#url,
      port: port2,
      signal: buffer,
    };
    const worker = new Worker(findWorkerFile("postgres-worker"), {
      workerData,
      transferList: [port2],
      name: "ledger",
    });
    // a ledger that nobody uses keeps no process alive; what it died of is told by the next order
    worker.unref();
    worker.on("error", () => {});
    return { worker, port: port1, signal: new Int32Array(buffer) };
  }

  #giveUp(): void {
    const thread = this.#thread;
    this.#thread = null;
    thread?.port.close();
    void thread?.worker.terminate();
  }
}
