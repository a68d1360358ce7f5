/**
 * One stream of one attempt, as the bookkeeper sees it: planned, read, and committed in the order that a crash at any
 * arrow can be taken up from: files durable, ledger `committing`, manifest, ledger `committed`, old files removed.
 */
import { assign, fromPromise, sendParent, setup } from "xstate";
import type { ReadOrder, SealedFile } from "../../proto/checkpoint.ts";
import type { CursorWindow, StreamSeed } from "../../proto/control.ts";
import { toWireError, type WireError } from "../../proto/error.ts";
import type { Partition, Plan } from "../../proto/partition.ts";

export interface StreamWork {
  readonly partitions: readonly Partition[];
  readonly orders: readonly ReadOrder[];
  readonly seed: StreamSeed;
  readonly window: CursorWindow | null;
}

export interface StreamRunInput {
  readonly stream: number;
  /** What an earlier attempt planned and is to be gone on with; null: plan. */
  readonly work: StreamWork | null;
  /** An earlier attempt got as far as the commit: only that is done again. */
  readonly isCommitting: boolean;
}

export type StreamRunEvent =
  | {
      readonly type: "stream.planned";
      readonly plan: Plan;
      readonly window: CursorWindow | null;
    }
  | { readonly type: "stream.read"; readonly index: number }
  | { readonly type: "state.recorded"; readonly index: number }
  | { readonly type: "stream.verified"; readonly files: readonly SealedFile[] }
  | { readonly type: "stream.published" }
  | { readonly type: "stream.superseded" }
  | { readonly type: "stream.failed"; readonly error: WireError }
  /** By an operator: followed as long as nothing is being committed. */
  | { readonly type: "stream.cancel"; readonly error: WireError };

export type StreamRunNews = {
  readonly type: "streamRun.ended";
  readonly stream: number;
  readonly outcome: "committed" | "failed";
  readonly error: WireError | null;
};

interface StreamRunContext extends StreamRunInput {
  readonly readIndex: number | null;
  readonly recordedIndex: number;
  readonly error: WireError | null;
}

type OfStream = { readonly stream: number };

export const streamRunMachine = setup({
  types: {
    input: {} as StreamRunInput,
    context: {} as StreamRunContext,
    events: {} as StreamRunEvent,
  },
  actors: {
    // each of these writes to the ledger, and is on disk when it resolves
    recordPlan: fromPromise<
      StreamWork,
      OfStream & { plan: Plan; window: CursorWindow | null }
    >(() => Promise.reject(new Error("recordPlan is not provided"))),
    recordCommitting: fromPromise<
      void,
      OfStream & { files: readonly SealedFile[] }
    >(() => Promise.reject(new Error("recordCommitting is not provided"))),
    recordCommitted: fromPromise<void, OfStream>(() =>
      Promise.reject(new Error("recordCommitted is not provided")),
    ),
    recordRemoved: fromPromise<void, OfStream>(() =>
      Promise.reject(new Error("recordRemoved is not provided")),
    ),
    recordFailed: fromPromise<void, OfStream & { error: WireError }>(() =>
      Promise.reject(new Error("recordFailed is not provided")),
    ),
  },
  actions: {
    orderPlan: (_, _params: OfStream) => {
      throw new Error("orderPlan is not provided");
    },
    orderRead: (_, _params: OfStream & { work: StreamWork }) => {
      throw new Error("orderRead is not provided");
    },
    orderStep: (
      _,
      _params: OfStream & {
        step: "verify" | "publish" | "supersede" | "abandon";
      },
    ) => {
      throw new Error("orderStep is not provided");
    },
    keepError: assign({
      error: (_, params: { error: WireError }) => params.error,
    }),
  },
  guards: {
    hasWork: ({ context }) => context.work !== null,
    isCommitting: ({ context }) => context.isCommitting,
    isRecorded: ({ context }) =>
      context.readIndex !== null && context.recordedIndex >= context.readIndex,
  },
}).createMachine({
  id: "streamRun",
  initial: "deciding",
  context: ({ input }) => ({
    ...input,
    readIndex: null,
    recordedIndex: 0,
    error: null,
  }),
  on: {
    // too late for the stream alone: what the ledger calls committing has to be committed, by the next attempt
    "stream.failed": {
      target: ".broken",
      actions: { type: "keepError", params: ({ event }) => event },
    },
  },
  states: {
    deciding: {
      always: [
        { guard: "isCommitting", target: "verifying" },
        { guard: "hasWork", target: "reading" },
        { target: "planning" },
      ],
    },
    planning: {
      entry: { type: "orderPlan", params: ({ context }) => context },
      on: {
        "stream.planned": "recordingPlan",
        "stream.cancel": {
          target: "failing",
          actions: { type: "keepError", params: ({ event }) => event },
        },
        "stream.failed": {
          target: "failing",
          actions: { type: "keepError", params: ({ event }) => event },
        },
      },
    },
    recordingPlan: {
      on: {
        "stream.cancel": {
          target: "failing",
          actions: { type: "keepError", params: ({ event }) => event },
        },
        "stream.failed": {
          target: "failing",
          actions: { type: "keepError", params: ({ event }) => event },
        },
      },
      invoke: {
        id: "recordPlan",
        src: "recordPlan",
        input: ({ context, event }) => {
          if (event.type !== "stream.planned")
            throw new Error(`recording a plan after ${event.type}`);
          return {
            stream: context.stream,
            plan: event.plan,
            window: event.window,
          };
        },
        onDone: {
          target: "reading",
          actions: assign({ work: ({ event }) => event.output }),
        },
        onError: {
          target: "broken",
          actions: {
            type: "keepError",
            params: ({ event }) => ({ error: toWireError(event.error) }),
          },
        },
      },
    },
    reading: {
      entry: {
        type: "orderRead",
        params: ({ context }) => {
          if (!context.work) throw new Error("reading without a plan");
          return { stream: context.stream, work: context.work };
        },
      },
      always: { guard: "isRecorded", target: "verifying" },
      on: {
        "stream.read": {
          actions: assign({ readIndex: ({ event }) => event.index }),
        },
        "state.recorded": {
          actions: assign({ recordedIndex: ({ event }) => event.index }),
        },
        "stream.cancel": {
          target: "failing",
          actions: { type: "keepError", params: ({ event }) => event },
        },
        "stream.failed": {
          target: "failing",
          actions: { type: "keepError", params: ({ event }) => event },
        },
      },
    },
    verifying: {
      entry: {
        type: "orderStep",
        params: ({ context }) => ({ stream: context.stream, step: "verify" }),
      },
      on: {
        "stream.verified": "recordingCommitting",
        "stream.failed": {
          target: "failing",
          actions: { type: "keepError", params: ({ event }) => event },
        },
      },
    },
    recordingCommitting: {
      invoke: {
        id: "recordCommitting",
        src: "recordCommitting",
        input: ({ context, event }) => {
          if (event.type !== "stream.verified")
            throw new Error(`committing after ${event.type}`);
          return { stream: context.stream, files: event.files };
        },
        onDone: "publishing",
        onError: {
          target: "broken",
          actions: {
            type: "keepError",
            params: ({ event }) => ({ error: toWireError(event.error) }),
          },
        },
      },
    },
    publishing: {
      entry: {
        type: "orderStep",
        params: ({ context }) => ({ stream: context.stream, step: "publish" }),
      },
      on: { "stream.published": "recordingCommitted" },
    },
    recordingCommitted: {
      invoke: {
        id: "recordCommitted",
        src: "recordCommitted",
        input: ({ context }) => ({ stream: context.stream }),
        onDone: "superseding",
        onError: {
          target: "broken",
          actions: {
            type: "keepError",
            params: ({ event }) => ({ error: toWireError(event.error) }),
          },
        },
      },
    },
    superseding: {
      entry: {
        type: "orderStep",
        params: ({ context }) => ({
          stream: context.stream,
          step: "supersede",
        }),
      },
      on: { "stream.superseded": "recordingRemoved" },
    },
    recordingRemoved: {
      invoke: {
        id: "recordRemoved",
        src: "recordRemoved",
        input: ({ context }) => ({ stream: context.stream }),
        onDone: "committed",
        onError: {
          target: "broken",
          actions: {
            type: "keepError",
            params: ({ event }) => ({ error: toWireError(event.error) }),
          },
        },
      },
    },
    failing: {
      // the first reason counts
      on: { "stream.failed": {} },
      entry: {
        type: "orderStep",
        params: ({ context }) => ({ stream: context.stream, step: "abandon" }),
      },
      invoke: {
        id: "recordFailed",
        src: "recordFailed",
        input: ({ context }) => {
          if (!context.error) throw new Error("failing without an error");
          return { stream: context.stream, error: context.error };
        },
        onDone: "failed",
        onError: {
          target: "broken",
          actions: {
            type: "keepError",
            params: ({ event }) => ({ error: toWireError(event.error) }),
          },
        },
      },
    },
    committed: {
      type: "final",
      entry: sendParent(({ context }) => ({
        type: "streamRun.ended" as const,
        stream: context.stream,
        outcome: "committed" as const,
        error: null,
      })),
    },
    failed: {
      type: "final",
      entry: sendParent(({ context }) => ({
        type: "streamRun.ended" as const,
        stream: context.stream,
        outcome: "failed" as const,
        error: context.error,
      })),
    },
    // the ledger itself failed: that is the end of the attempt, not of the stream
    broken: {
      type: "final",
      entry: sendParent(({ context }) => ({
        type: "run.fault" as const,
        error: context.error,
      })),
    },
  },
});
