import { expect, test } from "vitest";
import type { EventFrom, StateValueFrom } from "xstate";
import { statsEmitterMachine } from "../../actors/stats-emitter.machine.ts";
import { runBelow } from "./recorder.ts";
import {
  describeTable,
  listReachable,
  type AnyEvent,
  type StateName,
} from "./table.ts";

type State = StateName<StateValueFrom<typeof statsEmitterMachine>>;
type Event = EventFrom<typeof statsEmitterMachine>["type"] | "interval";

const events: Record<Event, AnyEvent> = {
  "stats.stop": { type: "stats.stop" },
  interval: { type: "xstate.after.interval.statsEmitter.waiting" },
};

describeTable<
  typeof statsEmitterMachine,
  State,
  Exclude<State, "emitting" | "stopped">,
  Event
>({
  machine: statsEmitterMachine,
  events,
  contextOf: () => ({ everyMs: 200 }),
  // prettier-ignore
  nextState: {
    waiting: {
      "stats.stop": "stopped", interval: "waiting",
    },
  },
});

test("every state in which it rests can be reached", () => {
  const reached = listReachable(statsEmitterMachine, {
    input: { everyMs: 200 },
    events: Object.values(events),
  });
  expect(reached).toEqual(["stopped", "waiting"]);
});

test("it beats every interval, and once more when it is stopped", () => {
  let beats = 0;
  const emitter = runBelow(
    statsEmitterMachine.provide({ actions: { emitStats: () => (beats += 1) } }),
    { everyMs: 200 },
  );
  emitter.clock.increment(199);
  expect(beats).toBe(0);
  emitter.clock.increment(1);
  emitter.clock.increment(200);
  emitter.clock.increment(200);
  expect(beats).toBe(3);
  emitter.subject.send({ type: "stats.stop" });
  emitter.clock.increment(1000);
  expect(beats).toBe(4);
});
