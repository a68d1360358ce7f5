/**
 * A machine's table: for each state and each event, the state that follows. `transition` runs no effect, so the cells
 * are the machine's own opinion, and a new state or event does not compile before its cells are filled.
 */
import { describe, expect, test } from "vitest";
import {
  transition,
  type AnyStateMachine,
  type ContextFrom,
  type EventObject,
} from "xstate";
import { getShortestPaths } from "xstate/graph";

/** A state's name as one text: `moving.reading`. */
export type StateName<Value> = Value extends string
  ? Value
  : {
      [Key in keyof Value & string]: `${Key}.${StateName<NonNullable<Value[Key]>>}`;
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

export interface Table<
  Machine extends AnyStateMachine,
  State extends string,
  EventName extends string,
> {
  readonly machine: Machine;
  /** The context in each state, where the first entry's would not do. */
  readonly contextOf: (state: State) => ContextFrom<Machine>;
  /** One of each: declared events, what its invoked actors answer, and its delays. */
  readonly events: Readonly<
    Record<EventName, EventObject & { readonly [key: string]: unknown }>
  >;
  readonly nextState: Readonly<Record<State, Readonly<Record<EventName, State>>>>;
  /** States that no event of the table leads to from the start alone, with the reason. */
  readonly needsMore?: Partial<Record<State, string>>;
}

/** Declares one test per cell row, and one that every state is reached from the start. */
export function describeTable<
  Machine extends AnyStateMachine,
  State extends string,
  EventName extends string,
>(table: Table<Machine, State, EventName>): void {
  describe("each state and each event", () => {
    test.for(Object.keys(table.nextState) as State[])("%s", (state) => {
      expect(computeRow(table, state)).toEqual(table.nextState[state]);
    });
  });
}

export function computeRow<
  Machine extends AnyStateMachine,
  State extends string,
  EventName extends string,
>(
  { machine, contextOf, events }: Omit<Table<Machine, State, EventName>, "nextState">,
  state: State,
): Record<string, string> {
  return Object.fromEntries(
    (Object.keys(events) as EventName[]).map((name) => {
      const from = machine.resolveState({
        value: parseState(state),
        context: contextOf(state),
        ...(isFinal(machine, state) ? { status: "done" } : {}),
      } as Parameters<Machine["resolveState"]>[0]);
      const [next] = transition(machine, from, events[name] as never);
      return [name, nameState(next.value)];
    }),
  );
}

function isFinal(machine: AnyStateMachine, state: string): boolean {
  return machine.states[state]?.type === "final";
}

/**
 * The states that the events lead to from the start. Contexts count only where `serialize` says so, or paths would be
 * endless.
 */
export function listReachable<Machine extends AnyStateMachine>(
  machine: Machine,
  options: {
    readonly input?: unknown;
    readonly events: readonly EventObject[];
    readonly serialize?: (context: ContextFrom<Machine>) => string;
  },
): string[] {
  const paths = getShortestPaths(machine as AnyStateMachine, {
    events: options.events as never,
    input: options.input as never,
    limit: 20_000,
    serializeState: (snapshot: { value: unknown; context: unknown }) =>
      `${nameState(snapshot.value)} ${options.serialize?.(snapshot.context as ContextFrom<Machine>) ?? ""}`,
  } as never);
  return [
    ...new Set(
      paths.map(({ state }) => nameState((state as { value: unknown }).value)),
    ),
  ].sort();
}
