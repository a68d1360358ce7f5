/** Results on their way to the brokers: bounded, in order; while those are away, checkpoints are what is given up. */
import { SEQUENCE_LAST, type RunResult } from "./run-results.ts";

export const OUTBOX_RESULTS_MAX = 10_000;

export class Outbox {
  readonly #waiting: RunResult[] = [];
  #checkpoints = 0;
  #dropped = 0;
  #isBehind = false;

  get length(): number {
    return this.#waiting.length;
  }

  get dropped(): number {
    return this.#dropped;
  }

  /** Whether the end of a run was dropped since it was asked last: the ledger knows which. */
  takeBehind(): boolean {
    const behind = this.#isBehind;
    this.#isBehind = false;
    return behind;
  }

  add(result: RunResult): void {
    if (this.#waiting.length >= OUTBOX_RESULTS_MAX) this.#makeRoom();
    this.#waiting.push(result);
    if (result.type === "checkpoint") this.#checkpoints += 1;
  }

  /** The oldest; they stay until they are removed. */
  first(count: number): readonly RunResult[] {
    return this.#waiting.slice(0, count);
  }

  /** What `first` gave, once it is sent. Some of it may have been dropped meanwhile. */
  remove(sent: readonly RunResult[]): void {
    const gone = new Set(sent);
    while (this.#waiting[0] && gone.has(this.#waiting[0])) this.#take(0);
  }

  #makeRoom(): void {
    const checkpoint =
      this.#checkpoints === 0
        ? -1
        : this.#waiting.findIndex(({ type }) => type === "checkpoint");
    const dropped = this.#take(Math.max(0, checkpoint));
    this.#dropped += 1;
    if (dropped?.sequence === SEQUENCE_LAST) this.#isBehind = true;
  }

  #take(at: number): RunResult | undefined {
    const [taken] = this.#waiting.splice(at, 1);
    if (taken?.type === "checkpoint") this.#checkpoints -= 1;
    return taken;
  }
}
