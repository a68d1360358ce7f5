/**
 * Who may write. SQLite lets one connection write at a time; a transaction that wrote keeps that right until it ends.
 * Shared locks of tables (HOLDLOCK, REPEATABLE READ, SERIALIZABLE) last as long as their transaction and keep writers
 * away; other readers never wait, as with READ_COMMITTED_SNAPSHOT.
 */
import { setTimeout as sleep } from "node:timers/promises";
import { SqlError } from "../types/storage.ts";

/** How often a waiting connection looks again. */
const LOOK_MS = 3;

export interface Waiter {
  /** True when the client no longer waits. */
  isCancelled(): boolean;
  /** SET LOCK_TIMEOUT; null waits for ever. */
  readonly lockTimeoutMs: number | null;
}

export class Locks {
  #writer: object | null = null;
  readonly #written = new Set<number>();
  readonly #shared = new Map<number, Set<object>>();

  async #wait(until: () => boolean, waiter: Waiter): Promise<void> {
    const end =
      waiter.lockTimeoutMs === null
        ? Infinity
        : Date.now() + waiter.lockTimeoutMs;
    while (!until()) {
      if (waiter.isCancelled())
        throw new SqlError(3617, "The statement was cancelled.");
      if (Date.now() >= end)
        throw new SqlError(
          1222,
          "Lock request time out period exceeded.",
          16,
          51,
        );
      await sleep(LOOK_MS);
    }
  }

  /** Takes the right to write into a table. */
  async write(
    owner: object,
    tableId: number | null,
    waiter: Waiter,
  ): Promise<void> {
    const isFree = () =>
      (this.#writer === null || this.#writer === owner) &&
      (tableId === null ||
        [...(this.#shared.get(tableId) ?? [])].every(
          (other) => other === owner,
        ));
    await this.#wait(isFree, waiter);
    this.#writer = owner;
    if (tableId !== null) this.#written.add(tableId);
  }

  /** Takes a shared lock, once no other connection has written into the table without commit. */
  async share(owner: object, tableId: number, waiter: Waiter): Promise<void> {
    const isFree = () =>
      this.#writer === null ||
      this.#writer === owner ||
      !this.#written.has(tableId);
    await this.#wait(isFree, waiter);
    const owners = this.#shared.get(tableId) ?? new Set();
    owners.add(owner);
    this.#shared.set(tableId, owners);
  }

  /** Gives everything back, at the end of a transaction. */
  release(owner: object): void {
    if (this.#writer === owner) {
      this.#writer = null;
      this.#written.clear();
    }
    for (const [tableId, owners] of this.#shared) {
      owners.delete(owner);
      if (owners.size === 0) this.#shared.delete(tableId);
    }
  }
}
