/**
 * Whose rows may leave. Where a state is of all streams, it covers all that is in front of it: a channel that has begun
 * to write goes on alone until the state of its rows has left. Pure.
 */
import { strict as assert } from "node:assert";

/** Kept by the channel that has the output. */
export class Turns {
  readonly #give: (channel: number) => void;
  readonly #waiting: number[] = [];
  #holder: number | null = null;

  constructor(give: (channel: number) => void) {
    this.#give = give;
  }

  want(channel: number): void {
    assert(!this.#waiting.includes(channel), "a channel asks once");
    this.#waiting.push(channel);
    this.#next();
  }

  /** The state of what the holder has written is in front of all that follows. */
  endTurn(): void {
    this.#holder = null;
    this.#next();
  }

  #next(): void {
    if (this.#holder !== null) return;
    const next = this.#waiting.shift();
    if (next === undefined) return;
    this.#holder = next;
    this.#give(next);
  }
}
