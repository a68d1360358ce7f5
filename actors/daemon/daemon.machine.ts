/**
 * The root: opens what the daemon stands on, serves, and leaves in good order. A stop lets runs checkpoint; the second
 * one, or the deadline, ends them at once. What a run has made durable stays either way, and the next daemon goes on.
 */
import { assign, enqueueActions, fromPromise, setup } from "xstate";
import { toWireError, type WireError } from "../../proto/error.ts";
import type { RunLimits } from "./permits.ts";
import { runQueueMachine, type RunQueueEvent } from "./run-queue.machine.ts";
import {
  schedulerMachine,
  type SchedulerInput,
  type SchedulerReport,
} from "./scheduler.machine.ts";
import { enqueueNamed, tell } from "../enqueue.ts";

export interface DaemonInput {
  readonly limits: RunLimits;
  readonly drainMs: number;
}

/** A sync with a schedule; `version` changes with it. */
export interface Scheduled {
  readonly sync: string;
  readonly version: string;
  readonly lastDueAt: number | null;
}

export type DaemonEvent =
  /** The first one drains, the second one ends. */
  | { readonly type: "daemon.stop" }
  | { readonly type: "queue.changed" }
  | {
      readonly type: "config.changed";
      readonly limits: RunLimits;
      readonly drainMs: number;
      readonly schedules: readonly Scheduled[];
    }
  /** What it stands on is gone for good: the lock, or its place among the daemons. */
  | { readonly type: "daemon.fault"; readonly error: WireError }
  | SchedulerReport;

interface DaemonContext extends DaemonInput {
  readonly schedules: readonly Scheduled[];
  /** By sync. */
  readonly nextRuns: Readonly<Record<string, number | null>>;
  readonly error: WireError | null;
  readonly isStopping: boolean;
}

const schedulerId = (sync: string): string => `scheduler:${sync}`;

export const daemonMachine = setup({
  types: {
    input: {} as DaemonInput,
    context: {} as DaemonContext,
    events: {} as DaemonEvent,
    output: {} as { readonly error: WireError | null },
  },
  actors: {
    // lock, ledger, what a dead daemon held; gives what is scheduled
    openDaemon: fromPromise<readonly Scheduled[]>(() =>
      Promise.reject(new Error("openDaemon is not provided")),
    ),
    // what people and queues speak to
    openFronts: fromPromise<void>(() =>
      Promise.reject(new Error("openFronts is not provided")),
    ),
    // no new orders from queues; people may still look
    quietFronts: fromPromise<void>(() =>
      Promise.reject(new Error("quietFronts is not provided")),
    ),
    closeDaemon: fromPromise<void>(() =>
      Promise.reject(new Error("closeDaemon is not provided")),
    ),
    runQueue: runQueueMachine,
    scheduler: schedulerMachine,
  },
  actions: {
    tellReady: () => {
      throw new Error("tellReady is not provided");
    },
    tellDraining: () => {
      throw new Error("tellDraining is not provided");
    },
    enqueueDue: (_, _params: { sync: string; dueAt: number }) => {
      throw new Error("enqueueDue is not provided");
    },
    noteStop: assign({ isStopping: true }),
    noteError: assign({
      error: ({ context }, params: { error: unknown }) =>
        context.error ??
        (isWireError(params.error) ? params.error : toWireError(params.error)),
    }),
    notePlanned: assign({
      nextRuns: (
        { context },
        params: { sync: string; nextRunAt: number | null },
      ) => ({ ...context.nextRuns, [params.sync]: params.nextRunAt }),
    }),
    setSettings: assign({
      limits: (_, params: DaemonInput) => params.limits,
      drainMs: (_, params: DaemonInput) => params.drainMs,
    }),
    setSchedules: assign({
      schedules: (_, params: { schedules: readonly Scheduled[] }) =>
        params.schedules,
      nextRuns: ({ context }, params) => {
        const names = new Set(params.schedules.map(({ sync }) => sync));
        return Object.fromEntries(
          Object.entries(context.nextRuns).filter(([sync]) => names.has(sync)),
        );
      },
    }),
  },
  guards: {
    isStopping: ({ context }) => context.isStopping,
    isError: (_, { error }: { error: WireError | null }) => error !== null,
  },
  delays: { drain: ({ context }) => context.drainMs },
}).createMachine({
  id: "daemon",
  initial: "starting",
  context: ({ input }) => ({
    ...input,
    schedules: [],
    nextRuns: {},
    error: null,
    isStopping: false,
  }),
  states: {
    starting: {
      invoke: {
        id: "openDaemon",
        src: "openDaemon",
        onDone: [
          { guard: "isStopping", target: "closing" },
          {
            target: "working",
            actions: enqueueActions(({ enqueue, context, event }) =>
              changeSchedules(enqueue, context.schedules, event.output),
            ),
          },
        ],
        onError: {
          target: "closing",
          actions: { type: "noteError", params: ({ event }) => event },
        },
      },
      on: { "daemon.stop": { actions: "noteStop" } },
    },
    // the queue lives through both: runs go on while the daemon drains
    working: {
      invoke: {
        id: "runQueue",
        systemId: "runQueue",
        src: "runQueue",
        input: ({ context }) => ({ limits: context.limits }),
        onDone: "closing",
        onError: {
          target: "closing",
          actions: { type: "noteError", params: ({ event }) => event },
        },
      },
      initial: "serving",
      states: {
        serving: {
          exit: [
            enqueueActions(({ enqueue, context }) =>
              changeSchedules(enqueue, context.schedules, []),
            ),
            "tellDraining",
          ],
          invoke: {
            id: "openFronts",
            src: "openFronts",
            onDone: { actions: "tellReady" },
            onError: {
              target: "draining",
              actions: { type: "noteError", params: ({ event }) => event },
            },
          },
          on: {
            "daemon.stop": "draining",
            "daemon.fault": {
              target: "aborting",
              actions: { type: "noteError", params: ({ event }) => event },
            },
            "queue.changed": {
              actions: enqueueActions(({ enqueue, system }) =>
                tell<RunQueueEvent>(enqueue, system.get("runQueue"), {
                  type: "queue.changed",
                }),
              ),
            },
            "config.changed": {
              actions: [
                { type: "setSettings", params: ({ event }) => event },
                enqueueActions(({ enqueue, system, event: { limits } }) =>
                  tell<RunQueueEvent>(enqueue, system.get("runQueue"), {
                    type: "limits.changed",
                    limits,
                  }),
                ),
                enqueueActions(({ enqueue, context, event }) =>
                  changeSchedules(enqueue, context.schedules, event.schedules),
                ),
              ],
            },
            "schedule.planned": {
              actions: { type: "notePlanned", params: ({ event }) => event },
            },
            "schedule.due": {
              actions: { type: "enqueueDue", params: ({ event }) => event },
            },
          },
        },
        draining: {
          entry: enqueueActions(({ enqueue, system }) =>
            tell<RunQueueEvent>(enqueue, system.get("runQueue"), {
              type: "queue.drain",
            }),
          ),
          invoke: {
            id: "quietFronts",
            src: "quietFronts",
            onDone: {},
            onError: {
              actions: { type: "noteError", params: ({ event }) => event },
            },
          },
          after: { drain: { target: "aborting" } },
          on: {
            "daemon.stop": "aborting",
            "daemon.fault": {
              target: "aborting",
              actions: { type: "noteError", params: ({ event }) => event },
            },
          },
        },
        aborting: {
          entry: enqueueActions(({ enqueue, system }) =>
            tell<RunQueueEvent>(enqueue, system.get("runQueue"), {
              type: "queue.abort",
            }),
          ),
        },
      },
    },
    closing: {
      invoke: {
        id: "closeDaemon",
        src: "closeDaemon",
        onDone: [
          {
            guard: {
              type: "isError",
              params: ({ context: { error } }) => ({ error }),
            },
            target: "failed",
          },
          "stopped",
        ],
        onError: {
          target: "failed",
          actions: { type: "noteError", params: ({ event }) => event },
        },
      },
    },
    stopped: { type: "final" },
    failed: { type: "final" },
  },
  output: ({ context }) => ({ error: context.error }),
});

/** The schedulers of what is new or has changed begin anew; those of what is the same go on. */
function changeSchedules(
  enqueue: unknown,
  before: readonly Scheduled[],
  schedules: readonly Scheduled[],
): void {
  const queue = enqueue as {
    stopChild: (id: string) => void;
    spawnChild: (
      src: "scheduler",
      options: { id: string; input: SchedulerInput },
    ) => void;
  };
  const has = (list: readonly Scheduled[], { sync, version }: Scheduled) =>
    list.some((one) => one.sync === sync && one.version === version);
  for (const one of before)
    if (!has(schedules, one)) queue.stopChild(schedulerId(one.sync));
  for (const one of schedules) {
    if (has(before, one)) continue;
    const { sync, lastDueAt } = one;
    queue.spawnChild("scheduler", {
      id: schedulerId(sync),
      input: { sync, lastDueAt },
    });
  }
  enqueueNamed(enqueue, { type: "setSchedules", params: { schedules } });
}

function isWireError(error: unknown): error is WireError {
  return (
    typeof error === "object" &&
    error !== null &&
    !(error instanceof Error) &&
    "code" in error &&
    "details" in error
  );
}
