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
  daemonMachine,
  type Scheduled,
} from "../../../actors/daemon/daemon.machine.ts";
import {
  runQueueMachine,
  type EntriesOrder,
  type TakeInput,
  type TakenRun,
  type TakeOutput,
} from "../../../actors/daemon/run-queue.machine.ts";
import { schedulerMachine } from "../../../actors/daemon/scheduler.machine.ts";
import { settle } from "../recorder.ts";
import {
  describeTable,
  doneBy,
  failedBy,
  listReachable,
  nameState,
  type AnyEvent,
  type StateName,
} from "../table.ts";

type State = StateName<StateValueFrom<typeof daemonMachine>>;
type Event =
  | EventFrom<typeof daemonMachine>["type"]
  | "opened"
  | "openFailed"
  | "frontsOpen"
  | "frontsFailed"
  | "quiet"
  | "quietFailed"
  | "queueDone"
  | "queueFailed"
  | "drainTime"
  | "closed"
  | "closeFailed";

const limits = {
  runs: 4,
  perSource: 2,
  perDestination: 2,
  connectionsPerSource: 100,
};
const error = {
  code: "LEDGER_FENCED",
  message: "taken over",
  details: {},
} as const;

const events: Record<Event, AnyEvent> = {
  "daemon.stop": { type: "daemon.stop" },
  "daemon.fault": { type: "daemon.fault", error },
  "queue.changed": { type: "queue.changed" },
  "config.changed": {
    type: "config.changed",
    limits,
    drainMs: 1,
    schedules: [],
  },
  "schedule.planned": { type: "schedule.planned", sync: "a", nextRunAt: 1 },
  "schedule.due": { type: "schedule.due", sync: "a", dueAt: 1 },
  opened: doneBy("openDaemon", []),
  openFailed: failedBy("openDaemon", new Error("locked")),
  frontsOpen: doneBy("openFronts"),
  frontsFailed: failedBy("openFronts", new Error("port in use")),
  quiet: doneBy("quietFronts"),
  quietFailed: failedBy("quietFronts", new Error("broker away")),
  queueDone: doneBy("runQueue"),
  queueFailed: failedBy("runQueue", new Error("a fault of ours")),
  drainTime: { type: "xstate.after.drain.daemon.working.draining" },
  closed: doneBy("closeDaemon"),
  closeFailed: failedBy("closeDaemon", new Error("disk gone")),
};

/** What does not concern a state leaves it as it is. */
const stay = (state: State): Record<Event, State> =>
  Object.fromEntries(
    Object.keys(events).map((name): [string, State] => [name, state]),
  ) as Record<Event, State>;

describeTable<
  typeof daemonMachine,
  State,
  Exclude<State, "stopped" | "failed" | "working">,
  Event
>({
  machine: daemonMachine,
  events,
  contextOf: () => ({
    limits,
    drainMs: 1000,
    schedules: [],
    nextRuns: {},
    error: null,
    isStopping: false,
  }),
  // prettier-ignore
  nextState: {
    starting: { ...stay("starting"), opened: "working.serving", openFailed: "closing" },
    "working.serving": {
      ...stay("working.serving"), "daemon.stop": "working.draining", "daemon.fault": "working.aborting",
      frontsFailed: "working.draining", queueDone: "closing", queueFailed: "closing",
    },
    "working.draining": {
      ...stay("working.draining"), "daemon.stop": "working.aborting", "daemon.fault": "working.aborting",
      drainTime: "working.aborting", queueDone: "closing", queueFailed: "closing",
    },
    "working.aborting": { ...stay("working.aborting"), queueDone: "closing", queueFailed: "closing" },
    closing: { ...stay("closing"), closed: "stopped", closeFailed: "failed" },
  },
});

test("every state can be reached", () => {
  expect(
    listReachable(daemonMachine, {
      input: { limits, drainMs: 1000 },
      events: Object.values(events),
      distinguish: ({ error: known, isStopping }) => [
        known !== null,
        isStopping,
      ],
    }),
  ).toEqual([
    "closing",
    "failed",
    "starting",
    "stopped",
    "working.aborting",
    "working.draining",
    "working.serving",
  ]);
});

/** A daemon with one run that ends when it is told to, or with `isStubborn` only when it is aborted. */
function start(options: {
  readonly schedules?: readonly Scheduled[];
  readonly opening?: Promise<void>;
  readonly fronts?: Promise<void>;
  readonly isStubborn?: boolean;
}) {
  const told: string[] = [];
  const clock = new SimulatedClock();
  const run: TakenRun = {
    queueId: "q-1",
    permit: { sync: "a", source: "pg", destination: "out", connections: 3 },
  };
  let taken: readonly TakenRun[] = [run];
  const daemon = createActor(
    daemonMachine.provide({
      actors: {
        openDaemon: fromPromise(async () => {
          await options.opening;
          return options.schedules ?? [];
        }),
        openFronts: fromPromise(() => options.fronts ?? Promise.resolve()),
        quietFronts: fromPromise<void>(async () => {
          told.push("quiet");
        }),
        closeDaemon: fromPromise<void>(async () => {
          told.push("close");
        }),
        runQueue: runQueueMachine.provide({
          actors: {
            takeRuns: fromPromise<TakeOutput, TakeInput>(async () => {
              const output = { taken, nextInMs: null };
              taken = [];
              return output;
            }),
            runEntries: fromCallback<EntriesOrder>(({ receive, sendBack }) => {
              let isAtWork = false;
              receive(({ type }) => {
                if (type === "entry.begin") {
                  told.push("begin");
                  isAtWork = true;
                  return;
                }
                if (!isAtWork) return;
                told.push(type);
                if (type === "run.abort" || !options.isStubborn)
                  sendBack({ type: "entry.ended", queueId: "q-1" });
              });
            }),
          },
        }),
        scheduler: schedulerMachine.provide({
          actors: {
            planNext: fromPromise(async ({ input }) => {
              told.push(`plan ${input.sync}`);
              return { dueAt: 1000, beginsAt: 1000, now: clock.now() };
            }),
            readClock: fromPromise(async () => clock.now()),
          },
        }),
      },
      actions: {
        tellReady: () => void told.push("ready"),
        tellDraining: () => void told.push("draining"),
        enqueueDue: (_, { sync, dueAt }) =>
          void told.push(`${sync} due ${dueAt}`),
      },
    }),
    { input: { limits, drainMs: 5000 }, clock },
  ).start();
  return {
    told,
    clock,
    daemon,
    state: () => nameState(daemon.getSnapshot().value),
    output: () => daemon.getSnapshot().output,
  };
}

test("a stop lets runs checkpoint, then closes what was opened", async () => {
  const { told, daemon, output } = start({});
  await settle();
  daemon.send({ type: "daemon.stop" });
  await settle();
  expect(told).toEqual([
    "begin",
    "ready",
    "draining",
    "run.stop",
    "quiet",
    "close",
  ]);
  expect(output()).toEqual({ error: null });
});

test.for(["a second stop", "the deadline"] as const)(
  "%s ends runs that do not stop",
  async (what) => {
    const { told, daemon, clock, state } = start({ isStubborn: true });
    await settle();
    daemon.send({ type: "daemon.stop" });
    await settle();
    clock.increment(4999);
    expect(state()).toBe("working.draining");
    if (what === "the deadline") clock.increment(1);
    else daemon.send({ type: "daemon.stop" });
    await settle();
    expect(told.slice(-2)).toEqual(["run.abort", "close"]);
    expect(state()).toBe("stopped");
  },
);

test("a stop while it starts waits for what is being opened, and closes it", async () => {
  const opening = Promise.withResolvers<void>();
  const { told, daemon, state } = start({ opening: opening.promise });
  daemon.send({ type: "daemon.stop" });
  expect(state()).toBe("starting");
  opening.resolve();
  await settle();
  expect(told).toEqual(["close"]);
  expect(state()).toBe("stopped");
});

test("fronts that cannot be opened end the daemon by their reason, once its runs have stopped", async () => {
  const { told, state, output } = start({
    fronts: Promise.reject(new Error("port in use")),
  });
  await settle();
  await settle();
  expect(told).not.toContain("ready");
  expect(told.at(-1)).toBe("close");
  expect(state()).toBe("failed");
  expect(output()?.error?.message).toBe("port in use");
});

const scheduled = (sync: string, version: string): Scheduled => ({
  sync,
  version,
  lastDueAt: null,
});

test("schedules that are new or have changed begin anew, the others go on, those that are gone end", async () => {
  const { told, daemon, clock } = start({
    schedules: [scheduled("a", "1"), scheduled("b", "1")],
  });
  await settle();
  expect(daemon.getSnapshot().context.nextRuns).toEqual({ a: 1000, b: 1000 });
  told.length = 0;
  daemon.send({
    type: "config.changed",
    limits,
    drainMs: 5000,
    schedules: [scheduled("a", "1"), scheduled("c", "1")],
  });
  await settle();
  expect(told).toEqual(["plan c"]);
  expect(daemon.getSnapshot().context.nextRuns).toEqual({ a: 1000, c: 1000 });
  clock.increment(1000);
  await settle();
  expect(told.filter((line) => line.includes("due"))).toEqual([
    "a due 1000",
    "c due 1000",
  ]);
});

test("nothing comes due once it drains", async () => {
  const { told, daemon, clock } = start({
    schedules: [scheduled("a", "1")],
    isStubborn: true,
  });
  await settle();
  daemon.send({ type: "daemon.stop" });
  clock.increment(2000);
  await settle();
  expect(told).not.toContain("a due 1000");
  expect(daemon.getSnapshot().context.nextRuns).toEqual({});
});
