/**
 * When readers of the destination are shown what a run has followed so far: one stream's step at a time, each with all
 * that the ledger has by then. A stream's commit waits for the step that is under way.
 */

interface StreamApplies {
  /** It has rows that no reader has been shown. */
  isUnshown: boolean;
  isBusy: boolean;
  /** Where the log stands that is to be shown next; null: nothing is new. */
  wanted: string | null;
  /** Waits for the step that is under way. */
  next: (() => void) | null;
  /** What is shown from now on is the commit's. */
  isOver: boolean;
}

export class LogApplies {
  readonly #order: (stream: number, upTo: string) => boolean;
  readonly #streams = new Map<number, StreamApplies>();

  /**
   * @param order is answered by `noteApplied`. False: nothing was ordered, since the ledger does not have all of the
   * stream's snapshot yet, and it is asked again by the next `show`
   */
  constructor(order: (stream: number, upTo: string) => boolean) {
    this.#order = order;
  }

  /** The stream has rows that no reader has been shown. */
  note(stream: number): void {
    this.#of(stream).isUnshown = true;
  }

  isUnshown(stream: number): boolean {
    return this.#streams.get(stream)?.isUnshown ?? false;
  }

  /** Of every stream that has something to show. */
  show(upTo: string): void {
    for (const [stream, known] of this.#streams) {
      if (!known.isUnshown || known.isOver) continue;
      known.isUnshown = false;
      known.wanted = upTo;
      this.#go(stream, known);
    }
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
    known.isOver = true;
    if (known.isBusy) known.next = work;
    else work();
  }

  #go(stream: number, known: StreamApplies): void {
    if (known.isBusy || known.wanted === null) return;
    const upTo = known.wanted;
    known.wanted = null;
    known.isBusy = this.#order(stream, upTo);
    if (!known.isBusy) known.isUnshown = true;
  }

  #of(stream: number): StreamApplies {
    const known = this.#streams.get(stream);
    if (known) return known;
    const made: StreamApplies = {
      isUnshown: false,
      isBusy: false,
      wanted: null,
      next: null,
      isOver: false,
    };
    this.#streams.set(stream, made);
    return made;
  }
}
