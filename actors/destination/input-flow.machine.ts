/**
 * Takes frames off one socket only when the writers behind it can: one at a time, and none while too many seals are
 * under way. While it waits, nobody reads the socket, and the source feels it. More rows of a writer that is open change
 * nothing here and are not told.
 */
import { assign, enqueueActions, fromPromise, setup } from "xstate";
import type { CheckpointStamp, SealedFile } from "../../proto/checkpoint.ts";
import { toWireError, unexplained, type WireError } from "../../proto/error.ts";
import { enqueueNamed, tell } from "../enqueue.ts";
import { writerMachine, type WriterNews } from "./writer.machine.ts";

/** Seals (file sync, rename) of one channel that may be under way while reading goes on. */
export const SEALS_AT_ONCE_MAX = 16;

/** What the worker did last. */
export type FrameOutcome =
  | {
      readonly kind: "written";
      readonly writer: string;
      readonly stream: number;
      readonly partition: number;
    }
  | {
      readonly kind: "checkpoint";
      readonly writer: string;
      readonly stamp: CheckpointStamp;
    }
  | {
      readonly kind: "discard";
      readonly writer: string;
      readonly wasOpen: boolean;
    }
  | { readonly kind: "nothing" }
  | { readonly kind: "end" };

export type InputFlowEvent = WriterNews;

interface InputFlowContext {
  readonly open: readonly string[];
  readonly seals: number;
  readonly error: WireError | null;
}

export const inputFlowMachine = setup({
  types: {
    context: {} as InputFlowContext,
    events: {} as InputFlowEvent,
    children: {} as Record<string, "writer">,
  },
  actors: {
    // frames taken from the socket and handed to their writers' files, up to the first that is to be known of here
    takeFrames: fromPromise<FrameOutcome>(() =>
      Promise.reject(new Error("takeFrames is not provided")),
    ),
    writer: writerMachine,
  },
  actions: {
    acknowledge: (
      _,
      _params: { stamp: CheckpointStamp; files: readonly SealedFile[] },
    ) => {
      throw new Error("acknowledge is not provided");
    },
    answerDiscard: (_, _params: { key: string }) => {
      throw new Error("answerDiscard is not provided");
    },
    reportPaused: () => {
      throw new Error("reportPaused is not provided");
    },
    reportResumed: () => {
      throw new Error("reportResumed is not provided");
    },
    reportEnded: () => {
      throw new Error("reportEnded is not provided");
    },
    reportBroken: (_, _params: { error: WireError }) => {
      throw new Error("reportBroken is not provided");
    },
    keepError: assign({
      error: (_, params: { error: WireError }) => params.error,
    }),
  },
  guards: {
    isEnd: (_, params: { outcome: FrameOutcome }) =>
      params.outcome.kind === "end",
    tooManySeals: ({ context }) => context.seals >= SEALS_AT_ONCE_MAX,
    noSeals: ({ context }) => context.seals === 0,
  },
}).createMachine({
  id: "inputFlow",
  initial: "taking",
  context: { open: [], seals: 0, error: null },
  on: {
    "writer.sealed": {
      actions: [
        assign({ seals: ({ context }) => context.seals - 1 }),
        { type: "acknowledge", params: ({ event }) => event },
      ],
    },
    "writer.discarded": {
      actions: { type: "answerDiscard", params: ({ event }) => event },
    },
    "writer.failed": {
      target: ".broken",
      actions: {
        type: "keepError",
        params: ({ event }) => ({
          error: event.error ?? unexplained,
        }),
      },
    },
  },
  states: {
    taking: {
      invoke: {
        id: "takeFrames",
        src: "takeFrames",
        onDone: [
          {
            guard: {
              type: "isEnd",
              params: ({ event }) => ({ outcome: event.output }),
            },
            target: "sealingTheRest",
          },
          {
            target: "deciding",
            actions: enqueueActions(({ context, event, enqueue, system }) => {
              const outcome = event.output;
              switch (outcome.kind) {
                case "written":
                  if (context.open.includes(outcome.writer)) return;
                  enqueue.assign({ open: [...context.open, outcome.writer] });
                  enqueue.spawnChild("writer", {
                    id: outcome.writer,
                    systemId: outcome.writer,
                    input: {
                      key: outcome.writer,
                      stream: outcome.stream,
                      partition: outcome.partition,
                    },
                  });
                  return;
                case "checkpoint": {
                  const { stamp } = outcome;
                  if (!context.open.includes(outcome.writer)) {
                    // a checkpoint over no rows: there is nothing to make durable
                    enqueueNamed(enqueue, {
                      type: "acknowledge",
                      params: { stamp, files: [] },
                    });
                    return;
                  }
                  enqueue.assign({
                    open: context.open.filter((key) => key !== outcome.writer),
                    seals: context.seals + 1,
                  });
                  tell(enqueue, system.get(outcome.writer), {
                    type: "checkpoint.met",
                    stamp,
                  });
                  return;
                }
                case "discard":
                  if (context.open.includes(outcome.writer)) {
                    enqueue.assign({
                      open: context.open.filter(
                        (key) => key !== outcome.writer,
                      ),
                    });
                    tell(enqueue, system.get(outcome.writer), {
                      type: "writer.discard",
                    });
                  } else {
                    enqueueNamed(enqueue, {
                      type: "answerDiscard",
                      params: { key: outcome.writer },
                    });
                  }
                  return;
                case "nothing":
                case "end":
                  return;
              }
            }),
          },
        ],
        onError: {
          target: "broken",
          actions: {
            type: "keepError",
            params: ({ event }) => ({ error: toWireError(event.error) }),
          },
        },
      },
    },
    deciding: {
      always: [
        { guard: "tooManySeals", target: "pausedByWriter" },
        { target: "taking" },
      ],
    },
    pausedByWriter: {
      entry: "reportPaused",
      exit: "reportResumed",
      always: {
        guard: ({ context }) => context.seals < SEALS_AT_ONCE_MAX,
        target: "taking",
      },
    },
    sealingTheRest: { always: { guard: "noSeals", target: "ended" } },
    ended: { type: "final", entry: "reportEnded" },
    broken: {
      type: "final",
      entry: {
        type: "reportBroken",
        params: ({ context }) => ({
          error: context.error ?? unexplained,
        }),
      },
    },
  },
});
