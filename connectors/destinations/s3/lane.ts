/**
 * Encoders of a thread take turns: the pieces that one has returned stay valid only until the next one is called, and
 * they may have to wait for memory.
 */
export class Lane {
  #last: Promise<void> | null = null;

  /** Runs `work` at once when nobody is at it, else behind those who are. Its failure is its caller's alone. */
  run(work: () => void | Promise<void>): void | Promise<void> {
    const before = this.#last;
    const done = before === null ? work() : before.then(work);
    if (done === undefined) return;
    const settled: Promise<void> = done.then(
      () => this.#end(settled),
      () => this.#end(settled),
    );
    this.#last = settled;
    return done;
  }

  #end(settled: Promise<void>): void {
    if (this.#last === settled) this.#last = null;
  }
}
