/**
 * One message queue that triggers runs: connecting, recording what comes, and what to do while the queue's brokers or
 * the ledger are away. A daemon runs on whatever state this is in.
 */
import { assign, fromPromise, setup } from "xstate";
import { toWireError, type WireError } from "../../proto/error.ts";

/** Between attempts to connect; doubled by each that fails. */
const CONNECT_BACKOFF_MS_MIN = 500;
const CONNECT_BACKOFF_MS_MAX = 30_000;
/** Until a message that could not be recorded is tried again. */
const RECORD_BACKOFF_MS_MIN = 250;
const RECORD_BACKOFF_MS_MAX = 15_000;
/** A connection that has held so long is no part of a row of failures. */
const STABLE_MS = 60_000;

export type QueueTriggerEvent =
  | { readonly type: "message.recorded" }
  /** The ledger, or the topic for what is malformed, took a message not: nothing is fetched until it is tried again. */
  | { readonly type: "record.refused"; readonly error: WireError }
  | { readonly type: "connection.lost"; readonly error: WireError }
  /** Others read the same queue and record elsewhere. */
  | { readonly type: "group.foreign"; readonly error: WireError }
  | { readonly type: "trigger.stop" };

interface QueueTriggerContext {
  /** Attempts to connect that have failed in a row, or did not hold. */
  readonly failures: number;
  /** Attempts to record the same message. */
  readonly refusals: number;
  /** Why it does not consume; null while all is well. */
  readonly error: WireError | null;
}

const backoff = (min: number, max: number, failures: number): number =>
  Math.min(max, min * 2 ** Math.max(0, failures - 1));

export const queueTriggerMachine = setup({
  types: {
    context: {} as QueueTriggerContext,
    events: {} as QueueTriggerEvent,
  },
  actors: {
    /** Leaves what is left of the connection before, joins the group, and begins to consume. */
    connect: fromPromise<void>(() =>
      Promise.reject(new Error("connect is not provided")),
    ),
    /** Commits what is recorded, and leaves the group. */
    disconnect: fromPromise<void>(() =>
      Promise.reject(new Error("disconnect is not provided")),
    ),
  },
  actions: {
    resumeFetching: () => {
      throw new Error("resumeFetching is not provided");
    },
    /** Once nothing is left to be tried. */
    leaveGroup: () => {
      throw new Error("leaveGroup is not provided");
    },
    keepError: assign({
      error: (_, params: { error: WireError }) => params.error,
    }),
    forgetFailures: assign({ failures: 0 }),
    countFailure: assign({
      failures: ({ context }) => context.failures + 1,
    }),
    countRefusal: assign({
      refusals: ({ context }) => context.refusals + 1,
    }),
    forgetRefusals: assign({ refusals: 0, error: null }),
  },
  guards: {
    isForeign: (_, params: { error: unknown }) =>
      toWireError(params.error).code === "KAFKA_GROUP_FOREIGN",
  },
  delays: {
    connectBackoff: ({ context }) =>
      backoff(CONNECT_BACKOFF_MS_MIN, CONNECT_BACKOFF_MS_MAX, context.failures),
    recordBackoff: ({ context }) =>
      backoff(RECORD_BACKOFF_MS_MIN, RECORD_BACKOFF_MS_MAX, context.refusals),
    stable: STABLE_MS,
  },
}).createMachine({
  id: "queueTrigger",
  initial: "connecting",
  context: { failures: 0, refusals: 0, error: null },
  on: {
    "group.foreign": {
      target: ".refused",
      actions: { type: "keepError", params: ({ event }) => event },
    },
    "connection.lost": {
      target: ".backingOff",
      actions: [
        { type: "keepError", params: ({ event }) => event },
        "countFailure",
      ],
    },
    "trigger.stop": ".draining",
  },
  states: {
    connecting: {
      invoke: {
        id: "connect",
        src: "connect",
        onDone: { target: "consuming", actions: assign({ error: null }) },
        onError: [
          {
            guard: { type: "isForeign", params: ({ event }) => event },
            target: "refused",
            actions: {
              type: "keepError",
              params: ({ event }) => ({ error: toWireError(event.error) }),
            },
          },
          {
            target: "backingOff",
            actions: [
              {
                type: "keepError",
                params: ({ event }) => ({ error: toWireError(event.error) }),
              },
              "countFailure",
            ],
          },
        ],
      },
    },
    consuming: {
      entry: "resumeFetching",
      after: { stable: { actions: "forgetFailures" } },
      on: {
        "message.recorded": { actions: ["forgetRefusals", "forgetFailures"] },
        "record.refused": {
          target: "paused",
          actions: [
            { type: "keepError", params: ({ event }) => event },
            "countRefusal",
          ],
        },
      },
    },
    /** The ledger takes nothing: the group is kept alive, and nothing is fetched. */
    paused: {
      after: { recordBackoff: "consuming" },
    },
    backingOff: {
      after: { connectBackoff: "connecting" },
      // what is lost is lost already
      on: { "connection.lost": {} },
    },
    /** Until somebody changes the configuration: joining again would only disturb the others. */
    refused: {
      entry: "leaveGroup",
      on: { "connection.lost": {}, "group.foreign": {} },
    },
    draining: {
      invoke: {
        id: "disconnect",
        src: "disconnect",
        onDone: "stopped",
        onError: "stopped",
      },
      on: { "connection.lost": {}, "group.foreign": {}, "trigger.stop": {} },
    },
    stopped: { type: "final" },
  },
});
