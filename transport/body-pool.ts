/**
 * Buffers for the bodies of batches. Ordinary bodies come from a few buffers that are used again and again (fresh ones
 * per frame would be garbage outside V8's heap, which it collects late); larger ones are made for one single row, once
 * the byte budget grants it, and given up after use.
 */
import assert from "node:assert/strict";
import { BUFFER_ALIGNMENT } from "./frames.ts";

/** A batch closes at 4 MiB, and its last row and paddings come on top. */
export const POOLED_BYTES_MAX = 8 * 1024 * 1024;
/** Bodies a consumer may hold at once; one more is being read ahead. */
export const BODIES_HELD_MAX = 3;
/** Capacities are rounded up to this, so that batches of about the same size share buffers. */
const CAPACITY_STEP_BYTES = 512 * 1024;

export interface ByteBudget {
  /** Called before a body above POOLED_BYTES_MAX is allocated; the read waits for the promise. */
  readonly reserveBytes?: (bytes: number) => Promise<void> | void;
  /** Called when such a body was given up. */
  readonly releaseBytes?: (bytes: number) => void;
}

export interface Body {
  /** Exactly as many bytes as asked for, not cleared. */
  readonly bytes: Uint8Array;
  /** Gives the buffer back; once. */
  release(): void;
}

export class BodyPool {
  readonly #budget: ByteBudget;
  readonly #free: Uint8Array[] = [];
  #held = 0;

  constructor(budget: ByteBudget) {
    this.#budget = budget;
  }

  get held(): number {
    return this.#held;
  }

  take(bytes: number): Body | Promise<Body> {
    assert.ok(this.#held <= BODIES_HELD_MAX, `${this.#held} bodies held`);
    if (bytes <= POOLED_BYTES_MAX) return this.#lend(bytes);
    const granted = this.#budget.reserveBytes?.(bytes);
    if (granted === undefined) return this.#makeSingle(bytes);
    return granted.then(() => this.#makeSingle(bytes));
  }

  #lend(bytes: number): Body {
    const fitting = this.#free.findIndex((one) => one.byteLength >= bytes);
    // where none fits, the smallest makes place for a larger one
    const [found] = this.#free.splice(Math.max(fitting, 0), 1);
    const buffer =
      found && fitting >= 0
        ? found
        : allocate(
            Math.ceil(bytes / CAPACITY_STEP_BYTES) * CAPACITY_STEP_BYTES,
          );
    return this.#hand(buffer.subarray(0, bytes), () => {
      this.#free.push(buffer);
      this.#free.sort((a, b) => a.byteLength - b.byteLength);
    });
  }

  #makeSingle(bytes: number): Body {
    return this.#hand(allocate(bytes), () =>
      this.#budget.releaseBytes?.(bytes),
    );
  }

  #hand(bytes: Uint8Array, giveBack: () => void): Body {
    let released = false;
    this.#held++;
    return {
      bytes,
      release: () => {
        assert.ok(!released, "a body is released once");
        released = true;
        this.#held--;
        giveBack();
      },
    };
  }
}

/** Not cleared: a body is handed out only when every byte of it was received. */
function allocate(bytes: number): Uint8Array {
  const buffer = Buffer.allocUnsafeSlow(bytes);
  assert.equal(buffer.byteOffset % BUFFER_ALIGNMENT, 0);
  return buffer;
}
