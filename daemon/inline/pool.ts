/**
 * Threads beside the bookkeeper's loop, in which the sources, destinations and keepers of small runs live: what a process
 * of its own costs (its start, its memory) is paid once for all of them.
 */
import type { InlineRole } from "../../actors/inline/messages.ts";
import type { Child, ChildListener } from "../processes.ts";
import { PoolThread } from "./pool-thread.ts";
import { Turns } from "./turns.ts";

/** Where all children of one run are started. */
export interface Seat {
  spawn(role: InlineRole, listener: ChildListener): Child;
  /** Settles when none of them is left. */
  empty(): Promise<void>;
}

export interface InlinePoolOptions {
  readonly threads: number;
  /** Of each thread; null: as much as a process may have. */
  readonly heapMibMax?: number | null;
  /** In which what the threads tell is taken in; absent: their own. */
  readonly turns?: Turns;
  /** Each channel has a thread of its own. */
  readonly ownChannels?: boolean;
}

export class InlinePool {
  readonly #threads: (PoolThread | null)[];
  readonly #heapMibMax: number | null;
  readonly #turns: Turns;
  readonly #ownChannels: boolean;
  #isClosed = false;

  constructor({
    threads,
    heapMibMax = null,
    turns = new Turns(),
    ownChannels = false,
  }: InlinePoolOptions) {
    this.#ownChannels = ownChannels;
    this.#heapMibMax = heapMibMax;
    this.#turns = turns;
    this.#threads = Array.from({ length: threads }, () => null);
  }

  /** Starts all threads, which load their code before it is needed. */
  warm(): void {
    for (const slot of this.#threads.keys()) this.#threadOf(slot);
  }

  /** On the thread that has the least to do; in another one, should that have died. */
  place(): Seat {
    return new PoolSeat(() => this.#choose());
  }

  /** Ends all threads, and what is left in them. */
  async close(): Promise<void> {
    this.#isClosed = true;
    const threads = this.#threads.filter((thread) => thread !== null);
    await Promise.all(threads.map((thread) => thread.end()));
  }

  #choose(): PoolThread {
    if (this.#isClosed) throw new Error("the pool is closed");
    let best = 0;
    for (const slot of this.#threads.keys())
      if (this.#loadOf(slot) < this.#loadOf(best)) best = slot;
    return this.#threadOf(best);
  }

  #loadOf(slot: number): number {
    return this.#threads[slot]?.load ?? 0;
  }

  #threadOf(slot: number): PoolThread {
    const known = this.#threads[slot];
    if (known) return known;
    const how = {
      ...{ heapMibMax: this.#heapMibMax, turns: this.#turns },
      ownChannels: this.#ownChannels,
    };
    const fresh = new PoolThread(`inline-${slot + 1}`, how, () => {
      // whoever is placed here next starts another one
      if (this.#threads[slot] === fresh) this.#threads[slot] = null;
    });
    this.#threads[slot] = fresh;
    return fresh;
  }
}

/** The children of a run live in one thread: its death ends whole runs, and as few as can be. */
class PoolSeat implements Seat {
  readonly #choose: () => PoolThread;
  #thread: PoolThread | null = null;
  #count = 0;
  #waiting: PromiseWithResolvers<void> | null = null;

  constructor(choose: () => PoolThread) {
    this.#choose = choose;
  }

  spawn(role: InlineRole, listener: ChildListener): Child {
    if (this.#thread === null || this.#thread.isGone)
      this.#thread = this.#choose();
    this.#count += 1;
    return this.#thread.start(role, {
      onFact: (fact) => listener.onFact(fact),
      onProtocolMessage: (message) => listener.onProtocolMessage(message),
      onExit: (description) => {
        this.#count -= 1;
        if (this.#count === 0) this.#waiting?.resolve();
        listener.onExit(description);
      },
    });
  }

  async empty(): Promise<void> {
    if (this.#count === 0) return;
    this.#waiting = Promise.withResolvers<void>();
    await this.#waiting.promise;
  }
}
