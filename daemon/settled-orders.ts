/**
 * Orders to a run's children leave once what they rest on is on disk, in the order in which they were given: nothing is
 * read, sealed, published, released or removed on the word of a transaction that a failing machine could take back.
 */
import type { Role } from "../actors/run/run.machine.ts";
import type { Ledger } from "../checkpoint/store/ledger.ts";
import { ExtractError, toWireError } from "../proto/error.ts";
import type { Placement } from "./placement.ts";
import type { Child, ChildListener } from "./processes.ts";

/** Orders of one child that wait for the disk: a bookkeeper whose ledger stands still must not fill its memory. */
export const ORDERS_WAITING_MAX = 100_000;

type SettledLedger = Pick<Ledger, "isSettled" | "settled">;
type Order = { readonly type: string };

/** @param ledger asked for when there is an order */
export function settleOrders(
  placement: Placement,
  ledger: () => SettledLedger,
): Placement {
  return {
    spawn: (role, listener) =>
      new SettledChild(placement.spawn(role, listener), listener, ledger),
    enter: (signal) => placement.enter(signal),
    leave: () => placement.leave(),
  };
}

class SettledChild implements Child {
  readonly #child: Child;
  readonly #listener: ChildListener;
  readonly #ledger: () => SettledLedger;
  /** The first ones wait for the sync that is under way. */
  #waiting: (() => void)[] = [];
  #isPumping = false;

  constructor(
    child: Child,
    listener: ChildListener,
    ledger: () => SettledLedger,
  ) {
    this.#child = child;
    this.#listener = listener;
    this.#ledger = ledger;
  }

  get role(): Role {
    return this.#child.role;
  }

  get pid(): number | null {
    return this.#child.pid;
  }

  get startTime(): string | null {
    return this.#child.startTime;
  }

  send(order: Order): void {
    // whether a child is alive rests on no transaction
    if (order.type === "ping") this.#child.send(order);
    else this.#afterwards(() => this.#child.send(order));
  }

  detach(): void {
    this.#afterwards(() => this.#child.detach());
  }

  end(): Promise<void> {
    this.#waiting = [];
    return this.#child.end();
  }

  kill(): void {
    this.#waiting = [];
    this.#child.kill();
  }

  leave(): Promise<void> {
    return this.#child.leave();
  }

  #afterwards(work: () => void): void {
    if (!this.#isPumping && this.#ledger().isSettled) return work();
    if (this.#waiting.length >= ORDERS_WAITING_MAX) {
      this.#waiting = [];
      return this.#fail(
        new ExtractError(
          "LEDGER_UNWRITABLE",
          `${ORDERS_WAITING_MAX} orders wait for the ledger's disk`,
        ),
      );
    }
    this.#waiting.push(work);
    if (!this.#isPumping) void this.#pump();
  }

  async #pump(): Promise<void> {
    this.#isPumping = true;
    try {
      while (this.#waiting.length > 0) {
        // what is ordered meanwhile may rest on what is written meanwhile
        const { length } = this.#waiting;
        await this.#ledger().settled();
        for (const work of this.#waiting.splice(0, length)) work();
      }
    } catch (error) {
      this.#waiting = [];
      this.#fail(error);
    } finally {
      this.#isPumping = false;
    }
  }

  #fail(error: unknown): void {
    const failure = { type: "process.failed", error: toWireError(error) };
    this.#listener.onFact(failure);
  }
}
