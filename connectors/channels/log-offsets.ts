/**
 * Where the engine can begin again, as it has said so on the way, and what it has to know of the tables there: both belong
 * to the group of checkpoints that covers the rows before.
 */
export class LogOffsets {
  /** Of groups that the ledger does not have yet. */
  readonly #waiting = new Map<number, string>();
  readonly #history: string[];
  #historyAt: readonly string[] | null = null;
  #hasHistoryNews = false;
  #offset: string | null = null;

  constructor(history: readonly string[]) {
    this.#history = [...history];
  }

  /** The engine has told of one since the last group. */
  get isNew(): boolean {
    return this.#offset !== null;
  }

  addHistory(record: string): void {
    this.#history.push(record);
    this.#hasHistoryNews = true;
  }

  /** All that was told before it is behind it. */
  keep(offset: string | null): void {
    if (offset === null) return;
    this.#offset = offset;
    if (this.#hasHistoryNews) this.#historyAt = [...this.#history];
    this.#hasHistoryNews = false;
  }

  /** The log goes on from there, whatever was told. */
  replace(offset: string, history: readonly string[]): void {
    this.#offset = offset;
    this.#historyAt = history;
  }

  /** What the group records. */
  take(group: number): {
    readonly offset: string | null;
    readonly history: readonly string[] | null;
  } {
    const taken = { offset: this.#offset, history: this.#historyAt };
    if (taken.offset !== null) this.#waiting.set(group, taken.offset);
    this.#offset = null;
    this.#historyAt = null;
    return taken;
  }

  /** Of a group without rows. */
  await(group: number, offset: string): void {
    this.#waiting.set(group, offset);
  }

  /** @returns the last one of these groups; null: it is settled already */
  settle(upTo: number): string | null {
    const settled = [...this.#waiting].filter(([group]) => group <= upTo);
    for (const [group] of settled) this.#waiting.delete(group);
    return settled.at(-1)?.[1] ?? null;
  }
}
