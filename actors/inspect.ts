/** Turns XState's inspection events into records for `--trace` and the inspector. */
import type { InspectionEvent } from "xstate";
import type { InspectionRecord } from "../proto/control.ts";

/** Facts that come with every batch would drown the others; their sums are in the progress. */
const tooFrequent = new Set(["worker.fact"]);

function nameOf(actor: object): string {
  return "id" in actor ? String(actor.id) : "";
}

function stateText(value: unknown): string {
  return typeof value === "string" ? value : JSON.stringify(value);
}

/**
 * The `inspect` option of `createActor`. `emit` gets a record for each event that an actor receives and for each
 * state that a machine enters.
 */
export function createInspector(
  process: string,
  thread: number,
  emit: (record: InspectionRecord) => void,
): (event: InspectionEvent) => void {
  const states = new Map<string, string>();
  return (inspected) => {
    if (inspected.type === "@xstate.event") {
      const { type } = inspected.event;
      if (tooFrequent.has(type)) return;
      emit({
        at: Date.now(),
        process,
        thread,
        kind: "event",
        actor: inspected.actorRef.sessionId,
        machine: nameOf(inspected.actorRef),
        event: type,
      });
      return;
    }
    if (inspected.type !== "@xstate.snapshot") return;
    const snapshot: { value?: unknown; status?: string } = inspected.snapshot;
    const state =
      snapshot.value === undefined
        ? (snapshot.status ?? "")
        : stateText(snapshot.value);
    const { sessionId } = inspected.actorRef;
    const id = nameOf(inspected.actorRef);
    if (states.get(sessionId) === state) return;
    states.set(sessionId, state);
    emit({
      at: Date.now(),
      process,
      thread,
      kind: "state",
      actor: sessionId,
      machine: id,
      state,
    });
  };
}
