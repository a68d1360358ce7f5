/** Turns XState's inspection events into records for `--trace` and the inspector. */
import type { AnyActorRef, InspectionEvent } from "xstate";
import type { InspectionRecord } from "../proto/control.ts";
import type { Figures } from "../proto/figures.ts";
import {
  InspectionLines,
  type RecordOrigin,
  type SendLines,
} from "./inspection-lines.ts";

/** Events that come with every batch or tick, or only say what another record says. */
const passingEvents: ReadonlySet<string> = new Set([
  "worker.fact",
  "xstate.init",
  "xstate.stop",
  "xstate.promise.resolve",
  "xstate.promise.reject",
  "xstate.after.interval.statsEmitter.waiting",
]);

const ERROR_CHARS_MAX = 300;

/** The records of one thread's machines. */
export interface Inspector {
  /** From now on; what is there already is told as if it came now. */
  watch(root: AnyActorRef): void;
  /** Hands on the lines of another thread of this process. */
  forward(lines: string): void;
  /** Adds what no state shows. */
  tell(figures: Figures): void;
  /** What is gathered leaves now. */
  flush(): void;
}

interface Snapshot {
  readonly status?: string;
  readonly value?: unknown;
  readonly error?: unknown;
  readonly children?: Readonly<Record<string, AnyActorRef | undefined>>;
}

/** What xstate knows of an actor beside its public type. */
interface KnownActor {
  readonly sessionId: string;
  readonly id?: string;
  readonly src?: unknown;
  readonly logic?: { readonly id?: unknown };
  readonly _parent?: { readonly sessionId: string };
}

function machineOf({ id, src, logic }: KnownActor): string {
  if (typeof logic?.id === "string") return logic.id;
  return typeof src === "string" ? src : (id ?? "");
}

function messageOf(error: unknown): string {
  const message = error instanceof Error ? error.message : String(error);
  return message.slice(0, ERROR_CHARS_MAX);
}

class MachineInspector implements Inspector {
  readonly #origin: RecordOrigin;
  readonly #lines: InspectionLines;
  /** By actor, while it lives; null before its first. */
  readonly #states = new Map<string, string | null>();

  constructor(origin: RecordOrigin, send: SendLines) {
    this.#origin = origin;
    this.#lines = new InspectionLines(origin, send);
  }

  watch(root: AnyActorRef): void {
    this.#introduce(root);
    root.system.inspect((event: InspectionEvent) => this.#note(event));
  }

  forward(lines: string): void {
    this.#lines.forward(lines);
  }

  tell(figures: Figures): void {
    this.#lines.add({
      at: Date.now(),
      ...this.#origin,
      kind: "figures",
      actor: "",
      machine: "",
      figures,
    });
  }

  flush(): void {
    this.#lines.flush();
  }

  #introduce(actor: AnyActorRef): void {
    const snapshot = actor.getSnapshot() as Snapshot;
    if (snapshot.status !== "active") return;
    this.#begin(actor);
    this.#observe(actor, snapshot);
    for (const child of Object.values(snapshot.children ?? {}))
      if (child) this.#introduce(child);
  }

  #note(inspected: InspectionEvent): void {
    switch (inspected.type) {
      case "@xstate.actor":
        this.#begin(inspected.actorRef);
        return;
      case "@xstate.event": {
        const { event, sourceRef, actorRef } = inspected;
        if (passingEvents.has(event.type)) return;
        const from = sourceRef?.sessionId;
        this.#add("event", actorRef, {
          event: event.type,
          ...(from === undefined ? {} : { from }),
        });
        return;
      }
      case "@xstate.snapshot":
        this.#observe(inspected.actorRef, inspected.snapshot);
        return;
      default:
        return;
    }
  }

  #begin(actor: KnownActor): void {
    this.#states.set(actor.sessionId, null);
    const parent = actor._parent?.sessionId;
    this.#add("actor", actor, {
      name: actor.id ?? actor.sessionId,
      ...(parent === undefined ? {} : { parent }),
    });
  }

  #observe(actor: KnownActor, { value, status, error }: Snapshot): void {
    const known = this.#states.get(actor.sessionId);
    if (known === undefined) return;
    if (value !== undefined) {
      const state = typeof value === "string" ? value : JSON.stringify(value);
      if (state !== known) {
        this.#states.set(actor.sessionId, state);
        this.#add("state", actor, { state });
      }
    }
    if (status === undefined || status === "active") return;
    this.#states.delete(actor.sessionId);
    this.#add("stopped", actor, {
      state: status,
      ...(status === "error" ? { error: messageOf(error) } : {}),
    });
  }

  #add(
    kind: InspectionRecord["kind"],
    actor: KnownActor,
    more: Partial<InspectionRecord>,
  ): void {
    this.#lines.add({
      at: Date.now(),
      ...this.#origin,
      kind,
      actor: actor.sessionId,
      machine: machineOf(actor),
      ...more,
    });
  }
}

/** Of a child's main thread: the records leave over the control pipe, and before it is flushed for the last time. */
export function inspectChild(
  process: RecordOrigin["process"],
  root: AnyActorRef,
  pipe: {
    offer(lines: string): boolean;
    beforeFlush(prepare: () => void): void;
  },
): Inspector {
  const inspector = createInspector({ process, thread: 0 }, (lines) =>
    pipe.offer(lines),
  );
  inspector.watch(root);
  pipe.beforeFlush(() => inspector.flush());
  return inspector;
}

export function createInspector(
  origin: RecordOrigin,
  send: SendLines,
): Inspector {
  return new MachineInspector(origin, send);
}
