/**
 * The order in which things happen, drawn from a seed: whatever is ready waits in one pool, and one at a time is taken
 * out of it. Time stands still until nothing is ready.
 */
import { SimulatedClock } from "xstate";
import { settle } from "../actors/recorder.ts";

/** The clock moves by this much while nothing is ready. */
const TICK_MS = 50;
/** Longer than every back-off: when nothing happens for so long, nothing ever will. */
const IDLE_MS_MAX = 12_000;
const STEPS_MAX = 50_000;

export class World {
  readonly clock = new SimulatedClock();
  #state: number;
  #ready: (() => void)[] = [];

  constructor(seed: number) {
    this.#state = seed;
  }

  /** Uniform in [0, 1): mulberry32, whose period is far beyond what a simulation draws. */
  random(): number {
    this.#state = (this.#state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(this.#state ^ (this.#state >>> 15), 1 | this.#state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  }

  happens(probability: number): boolean {
    return this.random() < probability;
  }

  /** From `least` to `most`, both included. */
  draw(least: number, most: number): number {
    return least + Math.floor(this.random() * (most - least + 1));
  }

  later(work: () => void): void {
    this.#ready.push(work);
  }

  /** Resolves when this is drawn. */
  turn(): Promise<void> {
    return new Promise((resolve) => this.later(resolve));
  }

  /** What was ready happens no more: its process is gone. */
  forget(): void {
    this.#ready = [];
  }

  /** Lets things happen until `isOver`. @returns false where nothing happens any more */
  async run(isOver: () => boolean): Promise<boolean> {
    let idleMs = 0;
    for (let step = 0; step < STEPS_MAX && !isOver(); step += 1) {
      await settle();
      if (this.#ready.length === 0 || this.happens(0.02)) {
        if (this.#ready.length === 0) idleMs += TICK_MS;
        if (idleMs > IDLE_MS_MAX) return false;
        this.clock.increment(TICK_MS);
        continue;
      }
      idleMs = 0;
      const [work] = this.#ready.splice(
        this.draw(0, this.#ready.length - 1),
        1,
      );
      work?.();
    }
    await settle();
    return isOver();
  }
}

/** Messages from one sender to one receiver: in order, each at a time of its own. */
export class Post<Message> {
  readonly #world: World;
  readonly #receive: (message: Message) => void;
  readonly #queue: Message[] = [];

  constructor(world: World, receive: (message: Message) => void) {
    this.#world = world;
    this.#receive = receive;
  }

  send(message: Message): void {
    this.#queue.push(message);
    this.#world.later(() => {
      const first = this.#queue.shift();
      if (first !== undefined) this.#receive(first);
    });
  }
}
