import fc from "fast-check";
import { expect, test } from "vitest";
import { fromPromise, type StateValueFrom } from "xstate";
import {
  BACK_MS_MAX,
  CHECK_MS_MAX,
  schedulerMachine,
  type DueTime,
} from "../../../actors/daemon/scheduler.machine.ts";
import { runBelow, settle, type Recorded } from "../recorder.ts";
import {
  describeTable,
  doneBy,
  failedBy,
  listReachable,
  type AnyEvent,
  type StateName,
} from "../table.ts";

type State = StateName<StateValueFrom<typeof schedulerMachine>>;
type Event =
  | "planned"
  | "neverDue"
  | "planFailed"
  | "checkTime"
  | "notYet"
  | "due"
  | "putBack"
  | "clockFailed"
  | "retryTime";

const HOUR_MS = 3_600_000;
const NOW = 100 * HOUR_MS;

const planned: DueTime = {
  dueAt: NOW + 1000,
  beginsAt: NOW + 1000,
  now: NOW,
};

const events: Record<Event, AnyEvent> = {
  planned: doneBy("planNext", planned),
  neverDue: doneBy("planNext", { dueAt: null, beginsAt: null, now: NOW }),
  planFailed: failedBy("planNext", new Error("no such zone")),
  checkTime: { type: "xstate.after.untilCheck.scheduler.waiting" },
  notYet: doneBy("readClock", NOW + 999),
  due: doneBy("readClock", NOW + 1000),
  putBack: doneBy("readClock", NOW - 1),
  clockFailed: failedBy("readClock", new Error("no clock")),
  retryTime: { type: "xstate.after.retry.scheduler.unplanned" },
};

describeTable<typeof schedulerMachine, State, State, Event>({
  machine: schedulerMachine,
  events,
  contextOf: () => ({ sync: "a", lastDueAt: null, ...planned }),
  // prettier-ignore
  nextState: {
    planning: {
      planned: "waiting", neverDue: "idle", planFailed: "unplanned", checkTime: "planning", notYet: "planning",
      due: "planning", putBack: "planning", clockFailed: "planning", retryTime: "planning",
    },
    waiting: {
      planned: "waiting", neverDue: "waiting", planFailed: "waiting", checkTime: "looking", notYet: "waiting",
      due: "waiting", putBack: "waiting", clockFailed: "waiting", retryTime: "waiting",
    },
    looking: {
      planned: "looking", neverDue: "looking", planFailed: "looking", checkTime: "looking", notYet: "waiting",
      due: "planning", putBack: "planning", clockFailed: "unplanned", retryTime: "looking",
    },
    unplanned: {
      planned: "unplanned", neverDue: "unplanned", planFailed: "unplanned", checkTime: "unplanned",
      notYet: "unplanned", due: "unplanned", putBack: "unplanned", clockFailed: "unplanned", retryTime: "planning",
    },
    idle: {
      planned: "idle", neverDue: "idle", planFailed: "idle", checkTime: "idle", notYet: "idle", due: "idle",
      putBack: "idle", clockFailed: "idle", retryTime: "idle",
    },
  },
});

test("every state can be reached", () => {
  expect(
    listReachable(schedulerMachine, {
      input: { sync: "a", lastDueAt: null },
      events: Object.values(events),
    }),
  ).toEqual(Object.keys(schedulerMachine.states).toSorted());
});

/** Due at each full hour, on a clock on the wall that is set by the test. */
function start(lastDueAt: number | null, jitterMs = 0) {
  let skewMs = NOW;
  let readNow = (): number => skewMs;
  const scheduler: Recorded<typeof schedulerMachine> = runBelow(
    schedulerMachine.provide({
      actors: {
        planNext: fromPromise(async ({ input }) => {
          const now = readNow();
          const after = input.chooseAfter(now);
          const dueAt = (Math.floor(after / HOUR_MS) + 1) * HOUR_MS;
          return { dueAt, beginsAt: dueAt + jitterMs, now };
        }),
        readClock: fromPromise(async () => readNow()),
      },
    }),
    { sync: "a", lastDueAt },
  );
  readNow = () => skewMs + scheduler.clock.now();
  return {
    now: readNow,
    /** What came due, in hours behind NOW. */
    due: () =>
      scheduler.heard.flatMap((event) =>
        event.type === "schedule.due" && "dueAt" in event
          ? [(Number(event.dueAt) - NOW) / HOUR_MS]
          : [],
      ),
    pass: async (ms: number) => {
      for (let left = ms; left > 0; left -= CHECK_MS_MAX) {
        await settle();
        scheduler.clock.increment(Math.min(left, CHECK_MS_MAX));
        await settle();
      }
    },
    set: (hours: number) => (skewMs += hours * HOUR_MS),
  };
}

test("each time of the schedule comes due once", async () => {
  const schedule = start(null);
  await schedule.pass(3 * HOUR_MS + 1);
  expect(schedule.due()).toEqual([1, 2, 3]);
});

test("what was missed while nobody looked is made up for by one run", async () => {
  const schedule = start(NOW - 5 * HOUR_MS);
  await schedule.pass(HOUR_MS + 1);
  expect(schedule.due()).toEqual([-4, 1]);
});

test("a clock that jumps ahead makes one run due, within the time of one look", async () => {
  const schedule = start(null);
  await schedule.pass(HOUR_MS + 1);
  schedule.set(50);
  await schedule.pass(2 * CHECK_MS_MAX);
  expect(schedule.due()).toEqual([1, 2]);
  await schedule.pass(HOUR_MS);
  expect(schedule.due()).toEqual([1, 2, 52]);
});

test("a clock that is put back makes nothing due again", async () => {
  const schedule = start(null);
  await schedule.pass(2 * HOUR_MS + 1);
  schedule.set(-2);
  await schedule.pass(4 * HOUR_MS);
  expect(schedule.due()).toEqual([1, 2, 3, 4]);
});

test("a clock that was wrong by more than a day is forgotten", async () => {
  const schedule = start(null);
  schedule.set(1000);
  await schedule.pass(HOUR_MS + 1);
  schedule.set(-1000 - BACK_MS_MAX / HOUR_MS);
  await schedule.pass(2 * HOUR_MS);
  expect(schedule.due().slice(-2)).toEqual([-22, -21]);
});

test("jitter delays a run and does not move the schedule", async () => {
  const schedule = start(null, 10_000);
  await schedule.pass(HOUR_MS + 9_000);
  expect(schedule.due()).toEqual([]);
  await schedule.pass(2_000);
  expect(schedule.due()).toEqual([1]);
  await schedule.pass(HOUR_MS);
  expect(schedule.due()).toEqual([1, 2]);
});

test("however the clock is set, no time comes due twice and no look makes two due", async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.array(
        fc.record({
          hours: fc.integer({ min: -20, max: 20 }),
          looks: fc.integer({ min: 1, max: 6 }),
        }),
        { maxLength: 8 },
      ),
      async (jumps) => {
        const schedule = start(null);
        let before = 0;
        for (const { hours, looks } of jumps) {
          schedule.set(hours);
          await schedule.pass(looks * CHECK_MS_MAX);
          const { length } = schedule.due();
          expect(length - before).toBeLessThanOrEqual(looks);
          before = length;
        }
        // put back no further than a day in one go: sums of jumps stay below it or are forgotten as wrong
        const total = jumps.reduce(
          (sum, { hours }) => sum + Math.abs(hours),
          0,
        );
        if (total * HOUR_MS > BACK_MS_MAX) return;
        expect(new Set(schedule.due()).size).toBe(schedule.due().length);
      },
    ),
    { numRuns: 30 },
  );
});
