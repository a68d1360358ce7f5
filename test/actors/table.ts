/**
 * A machine's table: for each state and each event, the state that follows. No effect is run, so the cells are the
 * machine's own opinion; the types see to it that a new state or event compiles only once its cells are filled.
 */
import { describe, expect, test } from "vitest";
import {
  createActor,
  createMachine,
  type ActorScope,
  type AnyStateMachine,
  type AnyMachineSnapshot,
  type ContextFrom,
  type EventObject,
} from "xstate";
import { getShortestPaths } from "xstate/graph";

/** A state's name as one text: `moving.reading`. */
export type StateName<Value> = Value extends string
  ? Value
  : {
      [
        Key in keyof Value & string
      ]: `${Key}.${StateName<NonNullable<Value[Key]>>}`;
    }[keyof Value & string];

export function nameState(value: unknown): string {
  if (typeof value === "string") return value;
  const [[key, inner] = ["", ""]] = Object.entries(value as object);
  return `${key}.${nameState(inner)}`;
}

function parseState(name: string): string | object {
  const dot = name.indexOf(".");
  return dot < 0
    ? name
    : { [name.slice(0, dot)]: parseState(name.slice(dot + 1)) };
}

/** An event of any shape: invoked actors' answers and delays are not among a machine's declared ones. */
export type AnyEvent = EventObject & { readonly [key: string]: unknown };

export const doneBy = (actorId: string, output?: unknown): AnyEvent => ({
  type: `xstate.done.actor.${actorId}`,
  output,
  actorId,
});

export const failedBy = (actorId: string, error: unknown): AnyEvent => ({
  type: `xstate.error.actor.${actorId}`,
  error,
  actorId,
});

type Scope = ActorScope<AnyMachineSnapshot, EventObject>;

/**
 * Where nothing happens, with a parent for `sendParent` to name: XState's own `transition` knows none, and most machines
 * here report to one.
 */
function createStillScope(): Scope {
  const self = createActor(createMachine({})) as unknown as Scope["self"];
  Object.assign(self, { _parent: createActor(createMachine({})) });
  return {
    self,
    id: "",
    sessionId: "",
    system: self.system,
    logger: () => {},
    defer: () => {},
    emit: () => {},
    stopChild: () => {},
    actionExecutor: () => {},
  };
}

function step(
  machine: AnyStateMachine,
  from: AnyMachineSnapshot,
  event: EventObject,
): AnyMachineSnapshot {
  return machine.transition(from, event, createStillScope());
}

export interface Table<
  Machine extends AnyStateMachine,
  State extends string,
  Row extends string,
  Column extends string,
> {
  readonly machine: Machine;
  readonly contextOf: (state: Row) => ContextFrom<Machine>;
  readonly events: Readonly<Record<Column, AnyEvent>>;
  /** Rows are the states in which a machine rests; final ones hear nothing. */
  readonly nextState: Readonly<Record<Row, Readonly<Record<Column, State>>>>;
}

export function describeTable<
  Machine extends AnyStateMachine,
  State extends string,
  Row extends string,
  Column extends string,
>(table: Table<Machine, State, Row, Column>): void {
  const { machine, contextOf, events, nextState } = table;
  describe("what follows in each state", () => {
    test.for(Object.keys(nextState) as Row[])("%s", (state) => {
      const row = Object.entries<AnyEvent>(events).map(([name, event]) => {
        const from = machine.resolveState({
          value: parseState(state),
          context: contextOf(state),
        } as Parameters<Machine["resolveState"]>[0]);
        return [name, nameState(step(machine, from, event).value)];
      });
      expect(Object.fromEntries(row)).toEqual(nextState[state]);
    });
  });
}

/** The states that the events lead to from the start; paths differ where `distinguish` says so. */
export function listReachable<Machine extends AnyStateMachine>(
  machine: Machine,
  options: {
    readonly input?: unknown;
    readonly events: readonly EventObject[];
    readonly distinguish?: (context: ContextFrom<Machine>) => unknown;
  },
): string[] {
  const below = {
    getInitialSnapshot: (_: unknown, input: unknown) =>
      machine.getInitialSnapshot(createStillScope() as never, input as never),
    transition: (from: AnyMachineSnapshot, event: EventObject) =>
      step(machine, from, event),
    getPersistedSnapshot: (from: AnyMachineSnapshot) => from,
  };
  const paths = getShortestPaths(
    below as unknown as AnyStateMachine,
    {
      events: options.events,
      input: options.input,
      limit: 50_000,
      serializeState: ({
        value,
        context,
      }: {
        value: unknown;
        context: unknown;
      }) =>
        JSON.stringify([
          value,
          options.distinguish?.(context as ContextFrom<Machine>),
        ]),
    } as never,
  );
  const names = paths.map(({ state }) =>
    nameState((state as { value: unknown }).value),
  );
  return [...new Set(names)].toSorted();
}
