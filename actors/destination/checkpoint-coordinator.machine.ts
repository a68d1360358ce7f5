/**
 * Puts durable checkpoints back into index order and lets each state leave once. The ordering itself is the pure
 * `checkpoint/coordinator.ts`; this machine adds the clock: a checkpoint that holds up its stream without any progress
 * for `checkpointDeadlineMs` is named and fails the run.
 */
import { assign, enqueueActions, sendParent, setup } from "xstate";
import {
  CheckpointCoordinator,
  missingCheckpoint,
} from "../../checkpoint/coordinator.ts";
import type {
  CheckpointStamp,
  DurableReport,
  StreamState,
} from "../../proto/checkpoint.ts";
import type { StreamSeed } from "../../proto/control.ts";
import { toWireError, type WireError } from "../../proto/error.ts";
import { enqueueNamed } from "../enqueue.ts";

export interface CoordinatorInput {
  readonly epoch: number;
  readonly checkpointDeadlineMs: number;
}

export type CoordinatorEvent =
  | {
      readonly type: "stream.seeded";
      readonly stream: number;
      readonly seed: StreamSeed;
    }
  | { readonly type: "stream.ended"; readonly stream: number }
  | { readonly type: "checkpoint.announced"; readonly stamp: CheckpointStamp }
  | { readonly type: "checkpoint.durable"; readonly report: DurableReport }
  | {
      readonly type: "checkpoint.voided";
      readonly stream: number;
      readonly index: number;
    };

export type CoordinatorNews = {
  readonly type: "coordinator.failed";
  readonly error: WireError | null;
};

interface CoordinatorContext extends CoordinatorInput {
  /** The pure ordering: it has no clock and does no IO. */
  readonly coordinator: CheckpointCoordinator;
  readonly streams: readonly number[];
  /** By stream: the oldest index that is outstanding, while its deadline runs. */
  readonly heldUp: Readonly<Record<number, number>>;
  readonly error: WireError | null;
}

const deadlineOf = (stream: number): string => `deadline:${stream}`;

export const checkpointCoordinatorMachine = setup({
  types: {
    input: {} as CoordinatorInput,
    context: {} as CoordinatorContext,
    events: {} as
      | CoordinatorEvent
      | { readonly type: "coordinator.fault"; readonly error: WireError }
      | {
          readonly type: "checkpoint.overdue";
          readonly stream: number;
          readonly index: number;
        },
  },
  actions: {
    releaseState: (_, _params: { state: StreamState }) => {
      throw new Error("releaseState is not provided");
    },
    order: enqueueActions(
      ({ context, enqueue }, params: { event: CoordinatorEvent }) => {
        const { event } = params;
        let released: StreamState[] = [];
        try {
          switch (event.type) {
            case "stream.seeded":
              context.coordinator.begin(event.stream, event.seed);
              enqueue.assign({ streams: [...context.streams, event.stream] });
              break;
            case "stream.ended":
              if (context.streams.includes(event.stream))
                context.coordinator.end(event.stream);
              enqueue.assign({
                streams: context.streams.filter((one) => one !== event.stream),
              });
              break;
            case "checkpoint.announced":
              context.coordinator.announce(event.stamp);
              break;
            case "checkpoint.durable":
              released = context.coordinator.durable(event.report);
              break;
            case "checkpoint.voided":
              released = context.coordinator.void(event.stream, event.index);
              break;
          }
        } catch (error) {
          enqueue.raise({
            type: "coordinator.fault",
            error: toWireError(error),
          });
        }
        for (const state of released)
          enqueueNamed(enqueue, { type: "releaseState", params: { state } });
      },
    ),
    // each stream has its own clock, set anew only when what holds it up changes: others' progress is not its own
    watch: enqueueActions(
      ({ context, enqueue }, params: { stream: number }) => {
        const { stream } = params;
        const oldest = context.streams.includes(stream)
          ? context.coordinator.oldestOutstanding(stream)
          : null;
        const index = oldest?.index;
        if (index === context.heldUp[stream]) return;
        enqueue.cancel(deadlineOf(stream));
        const { [stream]: _, ...others } = context.heldUp;
        if (index === undefined) {
          enqueue.assign({ heldUp: others });
          return;
        }
        enqueue.assign({ heldUp: { ...others, [stream]: index } });
        enqueue.raise(
          { type: "checkpoint.overdue", stream, index },
          { id: deadlineOf(stream), delay: context.checkpointDeadlineMs },
        );
      },
    ),
    keepError: assign({
      error: (_, params: { error: WireError }) => params.error,
    }),
    nameMissing: assign({
      error: ({ context }, params: { stream: number }): WireError | null => {
        const outstanding = context.coordinator.oldestOutstanding(
          params.stream,
        );
        return outstanding && toWireError(missingCheckpoint(outstanding));
      },
    }),
  },
  guards: {
    isHeldUp: ({ context }) => Object.keys(context.heldUp).length > 0,
    isStillHeldUp: ({ context }, params: { stream: number; index: number }) =>
      context.heldUp[params.stream] === params.index,
  },
}).createMachine({
  id: "checkpointCoordinator",
  initial: "even",
  context: ({ input }) => ({
    ...input,
    coordinator: new CheckpointCoordinator(input.epoch),
    streams: [],
    heldUp: {},
    error: null,
  }),
  on: {
    "coordinator.fault": {
      target: ".failed",
      actions: { type: "keepError", params: ({ event }) => event },
    },
    "checkpoint.overdue": {
      guard: { type: "isStillHeldUp", params: ({ event }) => event },
      target: ".failed",
      actions: { type: "nameMissing", params: ({ event }) => event },
    },
    "stream.seeded": {
      target: ".deciding",
      actions: [
        { type: "order", params: ({ event }) => ({ event }) },
        {
          type: "watch",
          params: ({ event }) => ({ stream: event.stream }),
        },
      ],
    },
    "stream.ended": {
      target: ".deciding",
      actions: [
        { type: "order", params: ({ event }) => ({ event }) },
        {
          type: "watch",
          params: ({ event }) => ({ stream: event.stream }),
        },
      ],
    },
    "checkpoint.announced": {
      target: ".deciding",
      actions: [
        { type: "order", params: ({ event }) => ({ event }) },
        {
          type: "watch",
          params: ({ event }) => ({ stream: event.stamp.stream }),
        },
      ],
    },
    "checkpoint.durable": {
      target: ".deciding",
      actions: [
        { type: "order", params: ({ event }) => ({ event }) },
        {
          type: "watch",
          params: ({ event }) => ({ stream: event.report.stream }),
        },
      ],
    },
    "checkpoint.voided": {
      target: ".deciding",
      actions: [
        { type: "order", params: ({ event }) => ({ event }) },
        {
          type: "watch",
          params: ({ event }) => ({ stream: event.stream }),
        },
      ],
    },
  },
  states: {
    deciding: {
      always: [{ guard: "isHeldUp", target: "waiting" }, { target: "even" }],
    },
    even: {},
    waiting: {},
    failed: {
      type: "final",
      entry: sendParent(({ context }) => ({
        type: "coordinator.failed" as const,
        error: context.error,
      })),
    },
  },
});
