/**
 * Ends a wait for the engine's next words that has lasted too long. One timer for all waits: a log that is read at full
 * speed has thousands of them a second.
 */
import { ExtractError } from "../../../../proto/error.ts";

export class SilenceWatch {
  /** Why the wait was ended; null: it was not. */
  failure: ExtractError | null = null;
  readonly #pid: number | null;
  readonly #endWait: () => void;
  #timer: NodeJS.Timeout | null = null;
  #msMax = 0;
  #isWaiting = false;

  constructor(pid: number | null, endWait: () => void) {
    this.#pid = pid;
    this.#endWait = endWait;
  }

  begin(msMax: number): void {
    if (this.#timer !== null && msMax === this.#msMax) {
      // also one that went off while nobody waited
      this.#timer.refresh();
    } else {
      this.close();
      this.#msMax = msMax;
      // whoever stops listening need not say so: the engine keeps this process alive, and its watch does not
      this.#timer = setTimeout(() => this.#fail(), msMax).unref();
    }
    this.#isWaiting = true;
  }

  /** Somebody is at work on what has come. */
  end(): void {
    this.#isWaiting = false;
  }

  close(): void {
    if (this.#timer !== null) clearTimeout(this.#timer);
    this.#timer = null;
    this.#isWaiting = false;
  }

  #fail(): void {
    if (!this.#isWaiting) return;
    this.failure = new ExtractError(
      "PEER_STALLED",
      `the change data engine has said nothing for ${this.#msMax / 1000} s`,
      { pid: this.#pid },
    );
    this.#endWait();
  }
}
