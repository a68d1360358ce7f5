/**
 * What the source, the destination and the keeper of a run stand on: a process of their own (`child.ts`), or a thread
 * that they share with those of other runs (`inline/thread.ts`). They hold nothing outside of what they are given here.
 */
import type { ControlPipe } from "./child.ts";

export interface Surroundings<Order extends { readonly type: string }, Fact> {
  /** Whether it may hold on to something when its bookkeeper has died. */
  readonly outlivesBookkeeper: boolean;
  /**
   * Orders come from now on. `onGone`: the bookkeeper has let go, or has died; by default that ends everything at once:
   * nothing is sealed any more that nobody would record.
   */
  open(onOrder: (order: Order) => void, onGone?: () => void): ControlPipe<Fact>;
  /** One message of the Airbyte protocol. */
  writeProtocol(message: object): void;
  /** Ends everything that was begun here, as it is. */
  exit(code: number): void;
}

/** A channel's worker as those see it who have started it. */
export interface ChannelThread<Order> {
  postMessage(order: Order): void;
  terminate(): Promise<unknown>;
}

export interface ChannelThreadEvents<Fact> {
  onMessage(fact: Fact): void;
  onError(error: unknown): void;
  onExit(): void;
}

/** The same from inside. */
export interface ChannelPort<Order, Fact> {
  postMessage(fact: Fact): void;
  onMessage(listen: (order: Order) => void): void;
}

/** What lives in a thread with others has to let go of everything itself. */
export interface Hosted {
  /** Settles when nothing of it is at work any more, nor ever will be. Never rejects. */
  destroy(): Promise<void>;
}
