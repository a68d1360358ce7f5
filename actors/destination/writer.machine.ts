/** The rows of one partition between two checkpoints: written until the checkpoint is met, then sealed, or dropped. */
import { assign, fromPromise, sendParent, setup } from "xstate";
import type { CheckpointStamp, SealedFile } from "../../proto/checkpoint.ts";
import { toWireError, type WireError } from "../../proto/error.ts";

export interface WriterInput {
  /** Names the open files behind it: `stream/partition/first sequence`. */
  readonly key: string;
  readonly stream: number;
  readonly partition: number;
}

export type WriterEvent =
  | { readonly type: "checkpoint.met"; readonly stamp: CheckpointStamp }
  | { readonly type: "writer.discard" };

export type WriterNews =
  | {
      readonly type: "writer.sealed";
      readonly key: string;
      readonly stamp: CheckpointStamp;
      readonly files: readonly SealedFile[];
    }
  | { readonly type: "writer.discarded"; readonly key: string }
  | {
      readonly type: "writer.failed";
      readonly key: string;
      readonly stamp: CheckpointStamp | null;
      readonly error: WireError | null;
    };

interface WriterContext extends WriterInput {
  readonly stamp: CheckpointStamp | null;
  readonly files: readonly SealedFile[];
  readonly error: WireError | null;
}

export const writerMachine = setup({
  types: {
    input: {} as WriterInput,
    context: {} as WriterContext,
    events: {} as WriterEvent,
  },
  actors: {
    seal: fromPromise<
      readonly SealedFile[],
      { key: string; stamp: CheckpointStamp }
    >(() => Promise.reject(new Error("seal is not provided"))),
    discard: fromPromise<void, { key: string }>(() =>
      Promise.reject(new Error("discard is not provided")),
    ),
  },
  actions: {
    keepStamp: assign({
      stamp: (_, params: { stamp: CheckpointStamp }) => params.stamp,
    }),
    keepError: assign({
      error: (_, params: { error: WireError }) => params.error,
    }),
  },
}).createMachine({
  id: "writer",
  initial: "writing",
  context: ({ input }) => ({ ...input, stamp: null, files: [], error: null }),
  states: {
    writing: {
      on: {
        "checkpoint.met": {
          target: "sealing",
          actions: { type: "keepStamp", params: ({ event }) => event },
        },
        "writer.discard": "discarding",
      },
    },
    sealing: {
      invoke: {
        id: "seal",
        src: "seal",
        input: ({ context }) => {
          if (!context.stamp) throw new Error("sealing without a checkpoint");
          return { key: context.key, stamp: context.stamp };
        },
        onDone: {
          target: "sealed",
          actions: assign({ files: ({ event }) => event.output }),
        },
        onError: {
          target: "failed",
          actions: {
            type: "keepError",
            params: ({ event }) => ({ error: toWireError(event.error) }),
          },
        },
      },
    },
    discarding: {
      invoke: {
        id: "discard",
        src: "discard",
        input: ({ context }) => ({ key: context.key }),
        onDone: "discarded",
        onError: {
          target: "failed",
          actions: {
            type: "keepError",
            params: ({ event }) => ({ error: toWireError(event.error) }),
          },
        },
      },
    },
    sealed: {
      type: "final",
      entry: sendParent(({ context }) => ({
        type: "writer.sealed" as const,
        key: context.key,
        stamp: context.stamp,
        files: context.files,
      })),
    },
    discarded: {
      type: "final",
      entry: sendParent(({ context }) => ({
        type: "writer.discarded" as const,
        key: context.key,
      })),
    },
    failed: {
      type: "final",
      entry: sendParent(({ context }) => ({
        type: "writer.failed" as const,
        key: context.key,
        stamp: context.stamp,
        error: context.error,
      })),
    },
  },
});
