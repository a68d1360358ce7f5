/** One source, destination or keeper in a shared thread, as its bookkeeper sees it: the same as a process. */
import type { InlineRole } from "../../actors/inline/messages.ts";
import type { Child, ChildListener } from "../processes.ts";

/** A child that is told to end gets this long; a thread that does not answer is ended with all that live in it. */
const END_AFTER_MS = 15_000;
/** One that has done its work gets this long before it is told to end. */
const LEAVE_AFTER_MS = 3_000;

export type ChildOrder =
  | { readonly type: "start"; readonly role: InlineRole }
  | { readonly type: "order"; readonly text: string }
  | { readonly type: "detach" }
  | { readonly type: "end" };

export interface ChildThread {
  post(order: ChildOrder): void;
  /** With everybody in it. */
  end(): void;
}

export class InlineChild implements Child {
  readonly role: InlineRole;
  /** It lives and dies with the bookkeeper. */
  readonly pid = null;
  readonly startTime = null;
  readonly listener: ChildListener;
  readonly #thread: ChildThread;
  readonly #gone = Promise.withResolvers<void>();
  #isGone = false;
  #isEnding = false;

  constructor(role: InlineRole, listener: ChildListener, thread: ChildThread) {
    this.role = role;
    this.listener = listener;
    this.#thread = thread;
  }

  send(order: { readonly type: string }): void {
    const text = JSON.stringify(order);
    if (!this.#isGone) this.#thread.post({ type: "order", text });
  }

  async end(): Promise<void> {
    this.kill();
    await this.#gone.promise;
  }

  kill(): void {
    if (this.#isGone || this.#isEnding) return;
    this.#isEnding = true;
    this.#thread.post({ type: "end" });
    const timer = setTimeout(() => this.#thread.end(), END_AFTER_MS);
    void this.#gone.promise.then(() => clearTimeout(timer));
  }

  async leave(): Promise<void> {
    const timer = setTimeout(() => this.kill(), LEAVE_AFTER_MS);
    await this.#gone.promise;
    clearTimeout(timer);
  }

  /** Nobody asks for it any more; it is to be gone soon all the same, since others live in its thread. */
  detach(): void {
    if (this.#isGone) return;
    this.#thread.post({ type: "detach" });
    void this.leave();
  }

  /** Its last: whatever it held is let go of, or has gone with its thread. */
  noteGone(description: string): void {
    if (this.#isGone) return;
    this.#isGone = true;
    this.#gone.resolve();
    this.listener.onExit(description);
  }
}
