import { expect, test } from "vitest";
import {
  createActor,
  fromCallback,
  fromPromise,
  SimulatedClock,
  type EventFrom,
  type StateValueFrom,
} from "xstate";
import {
  LEDGER_RETRY_MS,
  POLL_MS,
  runQueueMachine,
  type EntriesOrder,
  type TakeInput,
  type TakenRun,
  type TakeOutput,
} from "../../../actors/daemon/run-queue.machine.ts";
import { settle } from "../recorder.ts";
import {
  describeTable,
  doneBy,
  failedBy,
  listReachable,
  type AnyEvent,
  type StateName,
} from "../table.ts";

type State = StateName<StateValueFrom<typeof runQueueMachine>>;
type Event =
  | EventFrom<typeof runQueueMachine>["type"]
  | "took"
  | "takeFailed"
  | "nextTime"
  | "retryTime";

const limits = {
  runs: 4,
  perSource: 2,
  perDestination: 2,
  connectionsPerSource: 100,
};

const taken = (queueId: string): TakenRun => ({
  queueId,
  permit: { sync: queueId, source: "pg", destination: "out", connections: 3 },
});

const events: Record<Event, AnyEvent> = {
  "queue.changed": { type: "queue.changed" },
  "limits.changed": { type: "limits.changed", limits },
  "entry.ended": { type: "entry.ended", queueId: "q-1" },
  "queue.drain": { type: "queue.drain" },
  "queue.abort": { type: "queue.abort" },
  took: doneBy("takeRuns", { taken: [], nextInMs: null }),
  takeFailed: failedBy("takeRuns", new Error("the disk is full")),
  nextTime: { type: "xstate.after.untilNext.runQueue.waiting" },
  retryTime: { type: "xstate.after.ledgerRetry.runQueue.backingOff" },
};

describeTable<typeof runQueueMachine, State, Exclude<State, "drained">, Event>({
  machine: runQueueMachine,
  events,
  // one more than the one that ends
  contextOf: () => ({
    limits,
    held: [taken("q-1"), taken("q-2")],
    nextInMs: null,
    isStale: false,
    isDraining: false,
  }),
  // prettier-ignore
  nextState: {
    taking: {
      "queue.changed": "taking", "limits.changed": "taking", "entry.ended": "taking",
      "queue.drain": "taking", "queue.abort": "taking", took: "waiting", takeFailed: "backingOff",
      nextTime: "taking", retryTime: "taking",
    },
    waiting: {
      "queue.changed": "taking", "limits.changed": "taking", "entry.ended": "taking",
      "queue.drain": "draining", "queue.abort": "draining", took: "waiting", takeFailed: "waiting",
      nextTime: "taking", retryTime: "waiting",
    },
    backingOff: {
      "queue.changed": "backingOff", "limits.changed": "backingOff", "entry.ended": "backingOff",
      "queue.drain": "draining", "queue.abort": "draining", took: "backingOff",
      takeFailed: "backingOff", nextTime: "backingOff", retryTime: "taking",
    },
    draining: {
      "queue.changed": "draining", "limits.changed": "draining", "entry.ended": "draining",
      "queue.drain": "draining", "queue.abort": "draining", took: "draining", takeFailed: "draining",
      nextTime: "draining", retryTime: "draining",
    },
  },
});

test("every state can be reached", () => {
  expect(
    listReachable(runQueueMachine, {
      input: { limits },
      events: [
        ...Object.values(events),
        doneBy("takeRuns", { taken: [taken("q-1")], nextInMs: null }),
      ],
      distinguish: ({ held, isDraining, isStale }) => [
        Math.min(held.length, 1),
        isDraining,
        isStale,
      ],
    }),
  ).toEqual(Object.keys(runQueueMachine.states).toSorted());
});

/** A queue over answers that the test gives, and runs that end when it says so. */
function start(answers: (TakeOutput | Error)[]) {
  const told: string[] = [];
  const asked: TakeInput[] = [];
  const ends = new Map<string, () => void>();
  const clock = new SimulatedClock();
  const gates: (() => void)[] = [];
  let isGated = false;
  const queue = createActor(
    runQueueMachine.provide({
      actors: {
        takeRuns: fromPromise(async ({ input }) => {
          asked.push(input);
          const answer = answers.shift();
          if (isGated) await new Promise<void>((pass) => gates.push(pass));
          if (answer instanceof Error) throw answer;
          return answer ?? { taken: [], nextInMs: null };
        }),
        runEntries: fromCallback<EntriesOrder>(({ receive, sendBack }) => {
          receive((order) => {
            if (order.type !== "entry.begin") {
              for (const queueId of ends.keys())
                told.push(`${queueId} ${order.type}`);
              return;
            }
            const { queueId } = order.run;
            told.push(`${queueId} begins`);
            ends.set(queueId, () => {
              ends.delete(queueId);
              sendBack({ type: "entry.ended", queueId });
            });
          });
        }),
      },
      actions: {
        giveBack: (_, { taken: back }) =>
          told.push(...back.map(({ queueId }) => `${queueId} given back`)),
        reportTrouble: (_, { error }) => told.push(String(error)),
      },
    }),
    { input: { limits }, clock },
  ).start();
  return {
    told,
    asked,
    clock,
    queue,
    end: (queueId: string) => ends.get(queueId)?.(),
    hold: () => (isGated = true),
    letPass: () => gates.splice(0).forEach((pass) => pass()),
    state: () => queue.getSnapshot().value,
  };
}

const none: TakeOutput = { taken: [], nextInMs: null };
const take = (...names: string[]): TakeOutput => ({
  taken: names.map(taken),
  nextInMs: null,
});

test("what is taken begins, and its end lets the next be taken", async () => {
  const { told, asked, end } = start([take("q-1", "q-2"), take("q-3")]);
  await settle();
  expect(told).toEqual(["q-1 begins", "q-2 begins"]);
  end("q-1");
  await settle();
  expect(told.at(-1)).toBe("q-3 begins");
  expect(asked[1]?.held.map(({ queueId }) => queueId)).toEqual(["q-2"]);
});

test("without news the ledger is looked into when the next entry is due, and after a while in any case", async () => {
  const { asked, clock } = start([{ taken: [], nextInMs: 700 }, none]);
  await settle();
  clock.increment(699);
  expect(asked).toHaveLength(1);
  clock.increment(1);
  await settle();
  expect(asked).toHaveLength(2);
  clock.increment(POLL_MS - 1);
  expect(asked).toHaveLength(2);
  clock.increment(1);
  expect(asked).toHaveLength(3);
});

test("what changes while the queue is read has it read again", async () => {
  const { asked, queue, hold, letPass } = start([none, none, none]);
  await settle();
  hold();
  queue.send({ type: "queue.changed" });
  queue.send({ type: "queue.changed" });
  expect(asked).toHaveLength(2);
  letPass();
  await settle();
  expect(asked).toHaveLength(3);
});

test("a ledger that cannot be read is told and tried again; runs go on", async () => {
  const { told, clock, queue, state } = start([
    take("q-1"),
    new Error("no space"),
    take("q-2"),
  ]);
  await settle();
  queue.send({ type: "queue.changed" });
  await settle();
  expect(state()).toBe("backingOff");
  expect(told).toEqual(["q-1 begins", "Error: no space"]);
  clock.increment(LEDGER_RETRY_MS);
  await settle();
  expect(told.at(-1)).toBe("q-2 begins");
});

test("a drain stops what runs, begins nothing, and is over with the last run", async () => {
  const { told, queue, end, state } = start([take("q-1", "q-2"), take("q-3")]);
  await settle();
  queue.send({ type: "queue.drain" });
  queue.send({ type: "queue.changed" });
  await settle();
  expect(told.slice(2)).toEqual(["q-1 run.stop", "q-2 run.stop"]);
  end("q-1");
  expect(state()).toBe("draining");
  queue.send({ type: "queue.abort" });
  expect(told.at(-1)).toBe("q-2 run.abort");
  end("q-2");
  expect(queue.getSnapshot().status).toBe("done");
});

test("what is being taken when the drain comes is given back", async () => {
  const { told, queue, hold, letPass } = start([none, take("q-1")]);
  await settle();
  hold();
  queue.send({ type: "queue.changed" });
  queue.send({ type: "queue.drain" });
  letPass();
  await settle();
  expect(told).toEqual(["q-1 given back"]);
  expect(queue.getSnapshot().value).toBe("drained");
});

test("new limits count from the next taking on", async () => {
  const { asked, queue } = start([none, none]);
  await settle();
  queue.send({ type: "limits.changed", limits: { ...limits, runs: 9 } });
  expect(asked[1]?.limits.runs).toBe(9);
});
