/**
 * Work of many runs on one loop: some milliseconds of it in each turn, so that whoever else waits for the loop, the API
 * above all, has its turn in between. In the order in which it was added.
 */

/** One piece of work takes less, as a rule; at least one is done in each turn. */
const TURN_MS = 4;

export class Turns {
  #work: (() => void)[] = [];
  #next = 0;
  #isScheduled = false;

  add(work: () => void): void {
    this.#work.push(work);
    this.#schedule();
  }

  #schedule(): void {
    if (this.#isScheduled) return;
    this.#isScheduled = true;
    setImmediate(() => this.#take());
  }

  #take(): void {
    this.#isScheduled = false;
    const until = performance.now() + TURN_MS;
    try {
      do {
        const work = this.#work[this.#next];
        if (!work) break;
        this.#next += 1;
        work();
      } while (performance.now() < until);
    } finally {
      this.#letGo();
      // also when one of them has thrown, which is for whoever hears of what nobody has caught
      if (this.#next < this.#work.length) this.#schedule();
    }
  }

  /** Of what is done, once it is the larger part. */
  #letGo(): void {
    if (this.#next * 2 < this.#work.length) return;
    this.#work = this.#work.slice(this.#next);
    this.#next = 0;
  }
}
