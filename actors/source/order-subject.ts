/** Whom an operator's order is for, in the words of the source process. */
import type { ActorOrder, OrderTarget } from "../../proto/control.ts";
import { findActor } from "../find-actor.ts";

export type OrderSubject =
  | { readonly kind: "reader"; readonly key: string }
  | { readonly kind: "stream"; readonly stream: number }
  | { readonly kind: "channel"; readonly channel: number }
  /** One that takes no orders. */
  | { readonly kind: "other"; readonly machine: string }
  /** It has finished, or never was. */
  | { readonly kind: "none"; readonly actor: string };

/** An order from an operator that has found its actor. */
export interface OrderedActor {
  readonly type: "actor.order";
  readonly id: number;
  readonly subject: OrderSubject;
  readonly order: ActorOrder;
}

export function findSubject(
  root: Parameters<typeof findActor>[0],
  to: OrderTarget,
): OrderSubject {
  if ("stream" in to) return { kind: "stream", stream: to.stream };
  const found = findActor(root, to.actor);
  if (!found) return { kind: "none", actor: to.actor };
  const { machine, name } = found;
  const rest = name.slice(name.indexOf(":") + 1);
  switch (machine) {
    case "reader":
      return { kind: "reader", key: rest };
    case "partitioner":
      return { kind: "stream", stream: Number(rest) };
    case "channel":
      return { kind: "channel", channel: Number(rest) };
    default:
      return { kind: "other", machine };
  }
}

/** For people. */
export function describeSubject(subject: OrderSubject): string {
  switch (subject.kind) {
    case "reader":
      return `partition ${subject.key}`;
    case "stream":
      return `stream ${subject.stream}`;
    case "channel":
      return `socket ${subject.channel}`;
    case "other":
      return `the source's ${subject.machine}`;
    case "none":
      return `the source's actor ${subject.actor}`;
  }
}
