/** One thread of the pool, and who lives in it. */
import { Worker } from "node:worker_threads";
import type {
  InlineFact,
  InlineOrder,
  InlineRole,
  InlineThreadData,
} from "../../actors/inline/messages.ts";
import type { Child, ChildListener } from "../processes.ts";
import { inlineScript } from "../spawn.ts";
import { InlineChild } from "./child.ts";
import type { Turns } from "./turns.ts";

/** The thread is told what was read of its facts after so many characters. */
const READ_TOLD_CHARS = 256 * 1024;

export class PoolThread {
  readonly #worker: Worker;
  readonly #turns: Turns;
  readonly #children = new Map<number, InlineChild>();
  #nextChild = 1;
  #readChars = 0;
  #error: string | null = null;
  isGone = false;

  constructor(
    name: string,
    {
      heapMibMax,
      turns,
      ownChannels = false,
    }: {
      readonly heapMibMax: number | null;
      readonly turns: Turns;
    } & InlineThreadData,
    onGone: () => void,
  ) {
    this.#turns = turns;
    const limits =
      heapMibMax === null
        ? {}
        : { resourceLimits: { maxOldGenerationSizeMb: heapMibMax } };
    const workerData: InlineThreadData = { ownChannels };
    this.#worker = new Worker(inlineScript, { name, workerData, ...limits });
    // all that has come is taken from a port in one turn of the loop
    this.#worker.on("message", (fact: InlineFact) =>
      turns.add(() => this.#receive(fact)),
    );
    this.#worker.on("error", (error: Error) => {
      this.#error = error.message;
    });
    this.#worker.on("exit", (code) => {
      this.isGone = true;
      onGone();
      const reason = this.#error ?? `exit code ${code}`;
      // behind its last facts
      this.#turns.add(() => {
        for (const id of [...this.#children.keys()])
          this.#remove(id, `the thread that it shared ended: ${reason}`);
      });
    });
    // the daemon lives as long as its machines do
    this.#worker.unref();
  }

  get load(): number {
    return this.#children.size;
  }

  start(role: InlineRole, listener: ChildListener): Child {
    const id = this.#nextChild++;
    const child = new InlineChild(role, listener, {
      post: (order) => this.#post({ ...order, child: id }),
      end: () => void this.end(),
    });
    this.#children.set(id, child);
    this.#post({ type: "start", role, child: id });
    return child;
  }

  async end(): Promise<void> {
    await this.#worker.terminate();
  }

  #post(order: InlineOrder): void {
    this.#worker.postMessage(order);
  }

  #receive(fact: InlineFact): void {
    if (fact.type === "exited") {
      this.#remove(fact.child, `exit code ${fact.code}`);
      return;
    }
    this.#noteRead(fact.text.length);
    const listener = this.#children.get(fact.child)?.listener;
    const message: unknown = JSON.parse(fact.text);
    if (fact.type === "protocol") listener?.onProtocolMessage(message);
    else listener?.onFact(message as { type: string });
  }

  #noteRead(chars: number): void {
    this.#readChars += chars;
    if (this.#readChars < READ_TOLD_CHARS) return;
    this.#post({ type: "read", chars: this.#readChars });
    this.#readChars = 0;
  }

  #remove(id: number, description: string): void {
    const child = this.#children.get(id);
    this.#children.delete(id);
    child?.noteGone(description);
  }
}
