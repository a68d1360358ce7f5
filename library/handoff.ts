/**
 * From a reader that pushes batches to a consumer that asks for them: the reader's promise settles when the consumer
 * asks for the next one, and so nothing is read from the server that nobody takes.
 */
import type { ColumnBatch } from "../proto/columns.ts";
import type { ReadSink } from "../connectors/sources/source.ts";

interface Given {
  readonly batch: ColumnBatch;
  /** Its buffers may be used again. */
  free(): void;
}

export class Handoff implements ReadSink {
  /** As many as the reader has buffers for: it waits for the first before it fills another one. */
  readonly #given: Given[] = [];
  readonly #onNulled: (column: string, reason: string) => void;
  #wake: (() => void) | null = null;
  #isOver = false;
  /** What the reading ended with, where that is not its end. */
  #fault: { readonly error: unknown } | null = null;

  constructor(onNulled: (column: string, reason: string) => void) {
    this.#onNulled = onNulled;
  }

  batch(batch: ColumnBatch): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>();
    if (this.#isOver) resolve();
    else this.#given.push({ batch, free: resolve });
    this.#wake?.();
    return promise;
  }

  async checkpoint(): Promise<void> {
    // nothing is kept between two iterations
  }

  valueNulled(column: string, reason: string): void {
    this.#onNulled(column, reason);
  }

  /** No batch comes any more; with an error where it is not the end. What was given before is still to be had. */
  end(error: unknown = null): void {
    this.#isOver = true;
    if (error !== null) this.#fault ??= { error };
    this.#wake?.();
  }

  /** Nobody takes what is left. */
  leave(): void {
    this.#isOver = true;
    for (const { free } of this.#given.splice(0)) free();
  }

  /** The next batch, to be freed; null at the end. @throws what the reading ended with */
  async next(): Promise<Given | null> {
    for (;;) {
      const next = this.#given.shift();
      if (next) return next;
      if (this.#fault) throw this.#fault.error;
      if (this.#isOver) return null;
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
      this.#wake = null;
    }
  }
}
