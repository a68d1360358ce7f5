/**
 * When readers of the destination are shown what a run has followed so far: one stream's step at a time, each with all
 * that the ledger has by then. A stream's commit waits for the step that is under way.
 */

interface StreamApplies {
  isBusy: boolean;
  /** Where the log stands that is to be shown next; null: nothing is new. */
  wanted: string | null;
  /** Waits for the step that is under way. */
  next: (() => void) | null;
}

export class LogApplies {
  readonly #order: (stream: number, upTo: string) => void;
  readonly #streams = new Map<number, StreamApplies>();

  /** @param order is answered by `noteApplied` */
  constructor(order: (stream: number, upTo: string) => void) {
    this.#order = order;
  }

  want(stream: number, upTo: string): void {
    const known = this.#of(stream);
    known.wanted = upTo;
    this.#go(stream, known);
  }

  noteApplied(stream: number): void {
    const known = this.#of(stream);
    known.isBusy = false;
    const { next } = known;
    if (next === null) return this.#go(stream, known);
    known.next = null;
    next();
  }

  /** What is shown from now on is the commit's. */
  afterwards(stream: number, work: () => void): void {
    const known = this.#of(stream);
    known.wanted = null;
    if (known.isBusy) known.next = work;
    else work();
  }

  #go(stream: number, known: StreamApplies): void {
    if (known.isBusy || known.wanted === null) return;
    const upTo = known.wanted;
    known.wanted = null;
    known.isBusy = true;
    this.#order(stream, upTo);
  }

  #of(stream: number): StreamApplies {
    const known = this.#streams.get(stream);
    if (known) return known;
    const made: StreamApplies = { isBusy: false, wanted: null, next: null };
    this.#streams.set(stream, made);
    return made;
  }
}
