/** An operator's orders to one actor of an attempt, each answered within its deadline. */
import type { AnyActorRef } from "xstate";
import { findActor } from "../actors/find-actor.ts";
import type { ActorOrder, OrderTarget, SourceFact } from "../proto/control.ts";
import { ExtractError } from "../proto/error.ts";
import type { ActorName, OrderOutcome } from "./request.ts";

/** The source answers from one step of its machine; one that does not is busy with something else, or stopped. */
const ORDER_DEADLINE_MS = 5_000;
/** Orders without an answer: more are refused. */
const ORDERS_PENDING_MAX = 100;

export interface OrderSurroundings {
  /** The machine of the attempt. */
  readonly root: AnyActorRef;
  /** @throws where the source is not started */
  sendToSource(order: {
    readonly type: "source.order";
    readonly id: number;
    readonly to: OrderTarget;
    readonly order: ActorOrder;
  }): void;
  /** What was followed, for people. */
  onFollowed(message: string): void;
}

type Answer = Extract<SourceFact, { type: "source.ordered" }>;

interface Pending {
  readonly order: ActorOrder;
  readonly timer: NodeJS.Timeout;
  readonly resolve: () => void;
  readonly reject: (error: ExtractError) => void;
}

const past: Record<ActorOrder, string> = {
  pause: "paused",
  resume: "resumed",
  retry: "told to read again",
  cancel: "cancelled",
};

export class ActorOrders {
  readonly #surroundings: OrderSurroundings;
  readonly #pending = new Map<number, Pending>();
  #lastId = 0;

  constructor(surroundings: OrderSurroundings) {
    this.#surroundings = surroundings;
  }

  /**
   * Followed means decided: a reader that is paused stops at the next place where it can be gone on from.
   * @throws ExtractError RUN_STATE with the reason where it is refused, or not answered in time
   */
  async give(actor: ActorName, order: ActorOrder): Promise<OrderOutcome> {
    if (actor.process === "bookkeeper") {
      const found = findActor(this.#surroundings.root, actor.id);
      if (found?.machine !== "streamRun") return "forRun";
      await this.#giveStream(found.ref, order);
      return "followed";
    }
    if (actor.process !== "source" || actor.thread !== 0)
      throw refused(
        `the actors of the ${actor.process}'s ${actor.thread === 0 ? "process" : `thread ${actor.thread}`}`,
        order,
        "they follow what is read; tell a partition's reader, a stream, or the run",
      );
    await this.#ask({ actor: actor.id }, order);
    return "followed";
  }

  answer({ id, subject, refusal }: Answer): void {
    const pending = this.#take(id);
    if (!pending) return;
    const { order } = pending;
    if (refusal !== null) {
      pending.reject(refused(subject, order, refusal));
      return;
    }
    this.#surroundings.onFollowed(
      `${subject} was ${past[order]} by an operator`,
    );
    pending.resolve();
  }

  /** The attempt is over: nobody answers any more. */
  end(): void {
    for (const id of this.#pending.keys()) {
      const pending = this.#take(id);
      pending?.reject(
        refused("the actor", pending.order, "the attempt has ended"),
      );
    }
  }

  async #giveStream(ref: AnyActorRef, order: ActorOrder): Promise<void> {
    const { context, value, can } = ref.getSnapshot() as {
      readonly context: { readonly stream: number };
      readonly value: string;
      can(event: { readonly type: string; readonly error: object }): boolean;
    };
    const { stream } = context;
    const subject = `stream ${stream}`;
    const cancel = {
      type: "stream.cancel",
      error: {
        code: "STREAM_CANCELLED",
        message: "cancelled by operator",
        details: { stream },
      },
    } as const;
    if (order === "retry")
      throw refused(
        subject,
        order,
        "its run reads it once; cancel it, and trigger a new run",
      );
    if (!can.call(ref.getSnapshot(), cancel))
      throw refused(
        subject,
        order,
        value === "failing"
          ? "it has failed already"
          : `it is ${value}: all of it is read, and it can only be committed`,
      );
    if (order !== "cancel") return this.#ask({ stream }, order);
    // what the source says to it is of no matter: the stream ends here, and its readers there
    const inSource = this.#ask({ stream }, order);
    ref.send(cancel);
    await inSource.catch(() => {});
  }

  #ask(to: OrderTarget, order: ActorOrder): Promise<void> {
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    if (this.#pending.size >= ORDERS_PENDING_MAX)
      throw refused("the source", order, "too many orders wait for an answer");
    this.#lastId += 1;
    const id = this.#lastId;
    const timer = setTimeout(() => {
      this.#take(id)?.reject(
        refused(
          "the source",
          order,
          `it gave no answer within ${ORDER_DEADLINE_MS} ms`,
        ),
      );
    }, ORDER_DEADLINE_MS);
    this.#pending.set(id, { order, timer, resolve, reject });
    try {
      this.#surroundings.sendToSource({ type: "source.order", id, to, order });
    } catch {
      this.#take(id)?.reject(
        refused("the source", order, "it is not started yet"),
      );
    }
    return promise;
  }

  #take(id: number): Pending | null {
    const pending = this.#pending.get(id);
    if (!pending) return null;
    this.#pending.delete(id);
    clearTimeout(pending.timer);
    return pending;
  }
}

export function refused(
  subject: string,
  order: ActorOrder,
  reason: string,
): ExtractError {
  return new ExtractError(
    "RUN_STATE",
    `${subject} cannot be told to ${order}: ${reason}`,
    { order },
  );
}
