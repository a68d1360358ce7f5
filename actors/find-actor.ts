/** Finds an actor by the name that inspection records give it. */
import type { AnyActorRef } from "xstate";

export interface FoundActor {
  readonly ref: AnyActorRef;
  /** What its parent calls it (`reader:3/1`). */
  readonly name: string;
  /** The machine's id. */
  readonly machine: string;
}

interface Snapshot {
  readonly children?: Readonly<Record<string, AnyActorRef | undefined>>;
}

/** @returns the actor at or below the root; null where none of this name is alive */
export function findActor(
  root: AnyActorRef,
  sessionId: string,
): FoundActor | null {
  if (root.sessionId === sessionId)
    return { ref: root, name: root.id, machine: machineOf(root) };
  const { children = {} } = root.getSnapshot() as Snapshot;
  for (const child of Object.values(children)) {
    const found = child && findActor(child, sessionId);
    if (found) return found;
  }
  return null;
}

/** What xstate knows of an actor beside its public type. */
function machineOf(ref: AnyActorRef): string {
  const { logic } = ref as AnyActorRef & { readonly logic?: { id?: unknown } };
  return typeof logic?.id === "string" ? logic.id : ref.id;
}
