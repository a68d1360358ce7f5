/** How machines are given their effects, and how those begin. */
import {
  fromPromise,
  StateMachine,
  type AnyStateMachine,
  type PromiseActorLogic,
} from "xstate";

/** What the library's constructor ties to the machine that it makes. */
const boundMethods = [
  "transition",
  "getInitialSnapshot",
  "getPersistedSnapshot",
  "restoreSnapshot",
  "start",
] as const;

/**
 * What `machine.provide(effects)` returns, but on the machine's own tree of states instead of one that is built anew:
 * states, transitions and what is remembered of them depend on the configuration alone, and effects are looked up by
 * name in the machine of a snapshot. A thread then builds each machine once, however many runs it has.
 */
export function giveEffects<Machine extends AnyStateMachine>(
  machine: Machine,
  effects: Parameters<Machine["provide"]>[0],
): Machine {
  const given = Object.create(machine) as AnyStateMachine;
  const { actors, actions, guards, delays } = machine.implementations;
  given.implementations = {
    actors: { ...actors, ...effects.actors },
    actions: { ...actions, ...effects.actions },
    guards: { ...guards, ...effects.guards },
    delays: { ...delays, ...(effects.delays as typeof delays) },
  };
  for (const name of boundMethods)
    Object.defineProperty(given, name, {
      value: StateMachine.prototype[name].bind(given),
    });
  return given as Machine;
}

/**
 * A promise that a machine invokes, whose work begins when the machine's step is over and not in the middle of it: what
 * an effect does before it first waits (encoding a footer, writing a ledger, loading a driver) would hold up the step,
 * and with it the answers to whoever sent the event. Effects begin in the order in which they were invoked.
 */
export function fromEffect<Output, Input>(
  effect: (given: {
    readonly input: Input;
    /** Aborted when the machine no longer wants the answer. */
    readonly signal: AbortSignal;
  }) => PromiseLike<Output>,
): PromiseActorLogic<Output, Input> {
  return fromPromise<Output, Input>(({ input, signal }) =>
    Promise.resolve({ input, signal }).then(effect),
  );
}
