/**
 * When one sync is due. Timers run on a clock that cannot be set, schedules on one that can: the machine never sleeps
 * longer than CHECK_MS_MAX and looks at the clock on the wall each time it wakes. What it missed is made up for by one
 * run, however much it was, and no time of the schedule comes due twice, unless the clock was put back by more than
 * BACK_MS_MAX: then what it showed before is taken to have been wrong.
 */
import { assign, fromPromise, sendParent, setup } from "xstate";

/** A clock that jumps forward is seen within this. */
export const CHECK_MS_MAX = 15_000;
/** A clock that is put back by no more than this has shown these hours before: nothing in them is due again. */
export const BACK_MS_MAX = 86_400_000;
/** Where the due time cannot be told, it is asked again. */
const RETRY_MS = 60_000;

export interface SchedulerInput {
  readonly sync: string;
  /** The last time that came due, by the ledger; null for none. Milliseconds since the Unix epoch, as all here. */
  readonly lastDueAt: number | null;
}

export interface DueTime {
  /** Of the schedule; null when it never comes due again. */
  readonly dueAt: number | null;
  /** `dueAt` with its jitter. */
  readonly beginsAt: number | null;
  readonly now: number;
}

interface SchedulerContext extends SchedulerInput, DueTime {}

export type SchedulerReport =
  | {
      readonly type: "schedule.planned";
      readonly sync: string;
      readonly nextRunAt: number | null;
    }
  | {
      readonly type: "schedule.due";
      readonly sync: string;
      readonly dueAt: number;
    };

/** Behind which moment the next due time lies. */
function chooseAfter(
  { lastDueAt }: Pick<SchedulerInput, "lastDueAt">,
  now: number,
): number {
  if (lastDueAt === null || lastDueAt > now + BACK_MS_MAX) return now;
  return lastDueAt;
}

export const schedulerMachine = setup({
  types: {
    input: {} as SchedulerInput,
    context: {} as SchedulerContext,
  },
  actors: {
    // the first time of the schedule behind `chooseAfter(now)`, or null
    planNext: fromPromise<
      DueTime,
      { sync: string; chooseAfter: (now: number) => number }
    >(() => Promise.reject(new Error("planNext is not provided"))),
    readClock: fromPromise<number>(() =>
      Promise.reject(new Error("readClock is not provided")),
    ),
  },
  actions: {
    tellPlanned: sendParent(({ context }): SchedulerReport => ({
      type: "schedule.planned",
      sync: context.sync,
      nextRunAt: context.beginsAt,
    })),
    tellDue: sendParent(({ context }): SchedulerReport => ({
      type: "schedule.due",
      sync: context.sync,
      dueAt: context.dueAt ?? context.now,
    })),
    // times that were missed since are not made up for one by one
    passDue: assign({
      lastDueAt: ({ context }, { now }: { now: number }) =>
        Math.max(context.dueAt ?? now, now),
    }),
  },
  guards: {
    neverComes: (_, { dueAt }: DueTime) => dueAt === null,
    isDue: ({ context }, { now }: { now: number }) =>
      context.beginsAt !== null && now >= context.beginsAt,
    wasPutBack: ({ context }, { now }: { now: number }) => now < context.now,
  },
  delays: {
    untilCheck: ({ context }) =>
      Math.min(
        CHECK_MS_MAX,
        Math.max(0, (context.beginsAt ?? 0) - context.now),
      ),
    retry: RETRY_MS,
  },
}).createMachine({
  id: "scheduler",
  initial: "planning",
  context: ({ input }) => ({ ...input, dueAt: null, beginsAt: null, now: 0 }),
  states: {
    planning: {
      invoke: {
        id: "planNext",
        src: "planNext",
        input: ({ context }) => ({
          sync: context.sync,
          chooseAfter: (now: number) => chooseAfter(context, now),
        }),
        onDone: [
          {
            guard: { type: "neverComes", params: ({ event }) => event.output },
            target: "idle",
            actions: [assign(({ event }) => event.output), "tellPlanned"],
          },
          {
            target: "waiting",
            actions: [assign(({ event }) => event.output), "tellPlanned"],
          },
        ],
        onError: "unplanned",
      },
    },
    waiting: { after: { untilCheck: "looking" } },
    looking: {
      invoke: {
        id: "readClock",
        src: "readClock",
        onDone: [
          {
            guard: {
              type: "isDue",
              params: ({ event }) => ({ now: event.output }),
            },
            target: "planning",
            actions: [
              "tellDue",
              {
                type: "passDue",
                params: ({ event }) => ({ now: event.output }),
              },
            ],
          },
          {
            guard: {
              type: "wasPutBack",
              params: ({ event }) => ({ now: event.output }),
            },
            target: "planning",
          },
          {
            target: "waiting",
            actions: assign({ now: ({ event }) => event.output }),
          },
        ],
        onError: "unplanned",
      },
    },
    unplanned: { after: { retry: "planning" } },
    // a pattern with a last time, such as one of a single year
    idle: {},
  },
});
