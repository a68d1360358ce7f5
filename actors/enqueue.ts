/**
 * Actions that queue other actions: the types of `setup` cannot see actions that are declared beside the one being
 * written, so names and events pass through here, once, instead of casts all over the machines.
 */
import type { AnyActorRef, EventObject } from "xstate";

interface NamedAction {
  readonly type: string;
  readonly params?: unknown;
}

/** Queues an action of the same machine by its name. */
export function enqueueNamed(enqueue: unknown, action: NamedAction): void {
  (enqueue as (action: NamedAction) => void)(action);
}

/** Sends to an actor if it is still there: late facts for a finished actor are expected, not faults. */
export function tell<Event extends EventObject>(
  enqueue: unknown,
  target: AnyActorRef | undefined,
  event: Event,
): void {
  if (!target) return;
  (
    enqueue as { sendTo: (target: AnyActorRef, event: EventObject) => void }
  ).sendTo(target, event);
}

/** Asks a guard of the same machine by its name. */
export function checkNamed(check: unknown, guard: NamedAction): boolean {
  return (check as (guard: NamedAction) => boolean)(guard);
}
