/**
 * Takes runs from the ledger's queue as far as limits allow, has them run by one actor, and lets none begin once it
 * drains. The ledger is the queue: what this machine knows is only what it holds, so nothing is lost with it.
 */
import {
  assign,
  fromCallback,
  fromPromise,
  setup,
  type ActorRef,
  type Snapshot,
} from "xstate";
import type { RunLimits, RunPermit } from "./permits.ts";

/** The ledger is looked into so often where nothing tells of a change: other daemons may fill it. */
export const POLL_MS = 5_000;
/** After the ledger could not be read. */
export const LEDGER_RETRY_MS = 2_000;

/** An entry that this daemon holds. */
export interface TakenRun {
  readonly queueId: string;
  readonly permit: RunPermit;
}

export interface RunQueueInput {
  readonly limits: RunLimits;
}

export interface TakeInput {
  readonly limits: RunLimits;
  readonly held: readonly TakenRun[];
}

export interface TakeOutput {
  readonly taken: readonly TakenRun[];
  /** How long until one that waits is due; null when none waits. */
  readonly nextInMs: number | null;
}

export type RunStop = "run.stop" | "run.abort";

/** A stop is for all that it runs. */
export type EntriesOrder =
  | { readonly type: "entry.begin"; readonly run: TakenRun }
  | { readonly type: RunStop };

export type RunQueueEvent =
  /** Something was added, came free, or was let go on. */
  | { readonly type: "queue.changed" }
  | { readonly type: "limits.changed"; readonly limits: RunLimits }
  /** From the actor of the run, the last that it says. */
  | { readonly type: "entry.ended"; readonly queueId: string }
  | { readonly type: "queue.drain" }
  | { readonly type: "queue.abort" };

interface RunQueueContext extends RunQueueInput {
  readonly held: readonly TakenRun[];
  readonly nextInMs: number | null;
  /** Something changed while the queue was being read. */
  readonly isStale: boolean;
  readonly isDraining: boolean;
}

const entriesId = "entries";

export const runQueueMachine = setup({
  types: {
    input: {} as RunQueueInput,
    context: {} as RunQueueContext,
    events: {} as RunQueueEvent,
  },
  actors: {
    takeRuns: fromPromise<TakeOutput, TakeInput>(() =>
      Promise.reject(new Error("takeRuns is not provided")),
    ),
    // has each run from the ledger's entry to the end of its attempt; answers `entry.ended` whatever happens. One actor
    // for thousands of runs: to add one to a machine's children, or to take one away, costs as much as it has
    runEntries: fromCallback<EntriesOrder>(() => {
      throw new Error("runEntries is not provided");
    }),
  },
  actions: {
    noteChange: assign({ isStale: true }),
    noteDrain: assign({ isDraining: true }),
    setLimits: assign({
      limits: (_, params: { limits: RunLimits }) => params.limits,
    }),
    hold: assign(({ context }, { taken, nextInMs }: TakeOutput) => ({
      held: [...context.held, ...taken],
      nextInMs,
    })),
    beginRuns: ({ self }, { taken }: TakeOutput) => {
      for (const run of taken) tellEntries(self, { type: "entry.begin", run });
    },
    // held in the ledger, and nobody has begun them
    giveBack: (_, _params: { taken: readonly TakenRun[] }) => {
      throw new Error("giveBack is not provided");
    },
    reportTrouble: (_, _params: { error: unknown }) => {
      throw new Error("reportTrouble is not provided");
    },
    stopAll: ({ self }, { how }: { how: RunStop }) =>
      tellEntries(self, { type: how }),
    forget: assign(({ context }, { queueId }: { queueId: string }) => ({
      held: context.held.filter((one) => one.queueId !== queueId),
    })),
  },
  guards: {
    isEmpty: ({ context }) => context.held.length === 0,
    wasLast: ({ context }, { queueId }: { queueId: string }) =>
      context.held.every((one) => one.queueId === queueId),
    isStale: ({ context }) => context.isStale,
    isDraining: ({ context }) => context.isDraining,
  },
  delays: {
    untilNext: ({ context }) =>
      Math.min(POLL_MS, Math.max(1, context.nextInMs ?? POLL_MS)),
    ledgerRetry: LEDGER_RETRY_MS,
  },
}).createMachine({
  id: "runQueue",
  initial: "taking",
  invoke: { id: entriesId, src: "runEntries" },
  context: ({ input }) => ({
    ...input,
    held: [],
    nextInMs: null,
    isStale: false,
    isDraining: false,
  }),
  on: {
    "limits.changed": {
      actions: [
        { type: "setLimits", params: ({ event }) => event },
        "noteChange",
      ],
    },
    "entry.ended": {
      actions: [{ type: "forget", params: ({ event }) => event }, "noteChange"],
    },
  },
  states: {
    taking: {
      entry: assign({ isStale: false }),
      invoke: {
        id: "takeRuns",
        src: "takeRuns",
        input: ({ context: { limits, held } }) => ({ limits, held }),
        onDone: [
          {
            guard: "isDraining",
            target: "draining",
            actions: { type: "giveBack", params: ({ event }) => event.output },
          },
          {
            guard: "isStale",
            target: "taking",
            reenter: true,
            actions: [
              { type: "hold", params: ({ event }) => event.output },
              { type: "beginRuns", params: ({ event }) => event.output },
            ],
          },
          {
            target: "waiting",
            actions: [
              { type: "hold", params: ({ event }) => event.output },
              { type: "beginRuns", params: ({ event }) => event.output },
            ],
          },
        ],
        onError: [
          {
            guard: "isDraining",
            target: "draining",
            actions: { type: "reportTrouble", params: ({ event }) => event },
          },
          {
            target: "backingOff",
            actions: { type: "reportTrouble", params: ({ event }) => event },
          },
        ],
      },
      on: {
        "queue.changed": { actions: "noteChange" },
        // what is being taken has to be given back first
        "queue.drain": { actions: "noteDrain" },
        "queue.abort": {
          actions: [
            "noteDrain",
            { type: "stopAll", params: { how: "run.abort" } },
          ],
        },
      },
    },
    waiting: {
      after: { untilNext: "taking" },
      on: {
        "queue.changed": "taking",
        "limits.changed": {
          target: "taking",
          actions: { type: "setLimits", params: ({ event }) => event },
        },
        "entry.ended": {
          target: "taking",
          actions: { type: "forget", params: ({ event }) => event },
        },
        "queue.drain": "draining",
        "queue.abort": {
          target: "draining",
          actions: { type: "stopAll", params: { how: "run.abort" } },
        },
      },
    },
    backingOff: {
      after: { ledgerRetry: "taking" },
      on: {
        "queue.drain": "draining",
        "queue.abort": {
          target: "draining",
          actions: { type: "stopAll", params: { how: "run.abort" } },
        },
      },
    },
    draining: {
      entry: { type: "stopAll", params: { how: "run.stop" } },
      always: { guard: "isEmpty", target: "drained" },
      on: {
        "entry.ended": [
          {
            guard: { type: "wasLast", params: ({ event }) => event },
            target: "drained",
            actions: { type: "forget", params: ({ event }) => event },
          },
          { actions: { type: "forget", params: ({ event }) => event } },
        ],
        "queue.abort": {
          actions: { type: "stopAll", params: { how: "run.abort" } },
        },
      },
    },
    drained: { type: "final" },
  },
});

type QueueSelf = {
  getSnapshot(): { readonly children: Record<string, unknown> };
};

function tellEntries(self: QueueSelf, order: EntriesOrder): void {
  const entries = self.getSnapshot().children[entriesId] as
    | ActorRef<Snapshot<unknown>, EntriesOrder>
    | undefined;
  entries?.send(order);
}
