/** The batches of one read: how many there may be, how large they are, and which one is being filled. */
import { batchCapacity, BatchSet, type ColumnPlan } from "./batch-set.ts";

/** Batches of one partition that exist at a time: all of them may be with the sink before reading stops. */
const SETS_MAX = 3;
/** Rows of the first batch of a table of unknown size; a batch that its rows filled makes the next ones larger. */
const FIRST_ROWS = 1_024;
const CAPACITY_GROWTH = 4;

export class BatchSupply {
  readonly #fields: readonly ColumnPlan[];
  readonly #free: BatchSet[] = [];
  #current: BatchSet | null = null;
  #count = 0;
  #capacity: number;

  constructor(fields: readonly ColumnPlan[], estimatedRows: number) {
    this.#fields = fields;
    this.#capacity = batchCapacity(
      fields,
      Math.max(FIRST_ROWS, Math.ceil(estimatedRows * 1.25)),
    );
  }

  /** The batch to decode into; null while all are taken. */
  open(): BatchSet | null {
    if (this.#current !== null) return this.#current;
    let set = this.#free.pop() ?? null;
    if (set !== null && set.capacity < this.#capacity) {
      set = null;
      this.#count--;
    }
    if (set === null) {
      if (this.#count === SETS_MAX) return null;
      set = new BatchSet(this.#fields, this.#capacity);
      this.#count++;
    }
    this.#current = set;
    return set;
  }

  /** The batch in the making, if it has rows. */
  get filled(): BatchSet | null {
    return this.#current !== null && this.#current.rowCount > 0
      ? this.#current
      : null;
  }

  /** Takes the batch in the making away, if it has rows; it comes back by `giveBack`. */
  take(): BatchSet | null {
    const set = this.filled;
    if (set === null) return null;
    this.#current = null;
    if (set.rowCount === set.capacity) {
      const wanted = set.capacity * CAPACITY_GROWTH;
      this.#capacity = batchCapacity(this.#fields, wanted);
    }
    return set;
  }

  giveBack(set: BatchSet): void {
    set.reset();
    this.#free.push(set);
  }
}
