/** Runs a machine below a parent that only listens, on a clock that stands still until it is moved. */
import {
  createActor,
  createMachine,
  SimulatedClock,
  type ActorRefFrom,
  type AnyStateMachine,
  type EventObject,
  type InputFrom,
} from "xstate";

export interface Recorded<Machine extends AnyStateMachine> {
  readonly subject: ActorRefFrom<Machine>;
  /** What it told its parent. */
  readonly heard: EventObject[];
  readonly clock: SimulatedClock;
  state(): unknown;
}

export function runBelow<Machine extends AnyStateMachine>(
  machine: Machine,
  input: InputFrom<Machine>,
): Recorded<Machine> {
  const heard: EventObject[] = [];
  const clock = new SimulatedClock();
  const parent = createActor(
    createMachine({
      invoke: { id: "subject", src: machine, input: input as object },
      on: {
        "*": {
          actions: ({ event }) => {
            if (!event.type.startsWith("xstate.")) heard.push(event);
          },
        },
      },
    }),
    { clock },
  ).start();
  const subject = parent.getSnapshot().children["subject"];
  if (!subject) throw new Error("the machine was over at once");
  return {
    subject: subject as ActorRefFrom<Machine>,
    heard,
    clock,
    state: () => (subject.getSnapshot() as { value: unknown }).value,
  };
}

/** Lets every promise that is settled already be heard of. */
export function settle(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}
