/**
 * One re-split: an idle channel has asked a reader for the tail of its range. The reader stops first, then the middle of
 * what is left is found, then the ledger has both parts; only then is either read.
 */
import { assign, fromPromise, sendParent, setup } from "xstate";
import { toWireError, type WireError } from "../../proto/error.ts";
import type { Partition, Position } from "../../proto/partition.ts";

export interface ResplitterInput {
  readonly key: string;
  readonly range: Partition;
  readonly rowBytes: number;
  readonly bytesMin: number;
}

export interface FindSplitInput extends Omit<ResplitterInput, "key"> {
  readonly resumeAfter: Position | null;
}

export interface FoundSplit {
  readonly giver: Partition;
  readonly taker: Omit<Partition, "ordinal">;
}

export type ResplitterEvent =
  | { readonly type: "reader.yielded"; readonly resumeAfter: Position | null }
  /** The reader went its own way: it was through, failed, or was told to end. */
  | { readonly type: "reader.kept" }
  | {
      readonly type: "source.resplit";
      readonly giver: Partition;
      readonly taker: Partition | null;
    };

export type ResplitterNews =
  | ({ readonly type: "resplitter.found" } & FoundSplit)
  | {
      readonly type: "resplitter.ended";
      readonly key: string;
      /** `kept`: the giver did not stop. `refused`: it did, and goes on with the range it had. */
      readonly outcome: "kept" | "refused" | "split";
      readonly giver: Partition;
      readonly taker: Partition | null;
      readonly error: WireError | null;
    };

interface ResplitterContext extends ResplitterInput {
  readonly resumeAfter: Position | null;
  readonly found: FoundSplit | null;
  readonly giver: Partition;
  readonly taker: Partition | null;
  readonly error: WireError | null;
}

export const resplitterMachine = setup({
  types: {
    input: {} as ResplitterInput,
    context: {} as ResplitterContext,
    events: {} as ResplitterEvent,
  },
  actors: {
    findSplit: fromPromise<FoundSplit | null, FindSplitInput>(() =>
      Promise.reject(new Error("findSplit is not provided")),
    ),
  },
  actions: {
    tellEnd: sendParent(
      (
        { context: { key, giver, taker, error } },
        params: { outcome: "kept" | "refused" | "split" },
      ) => ({
        type: "resplitter.ended" as const,
        key,
        outcome: params.outcome,
        giver,
        taker,
        error,
      }),
    ),
  },
}).createMachine({
  id: "resplitter",
  initial: "asking",
  context: ({ input }) => ({
    ...input,
    resumeAfter: null,
    found: null,
    giver: input.range,
    taker: null,
    error: null,
  }),
  on: { "reader.kept": ".kept" },
  states: {
    asking: {
      on: {
        "reader.yielded": {
          target: "finding",
          actions: assign({ resumeAfter: ({ event }) => event.resumeAfter }),
        },
      },
    },
    finding: {
      invoke: {
        id: "findSplit",
        src: "findSplit",
        input: ({ context: { range, resumeAfter, rowBytes, bytesMin } }) => ({
          range,
          resumeAfter,
          rowBytes,
          bytesMin,
        }),
        onDone: [
          {
            guard: ({ event }) => event.output === null,
            target: "refused",
          },
          {
            target: "recording",
            actions: assign({ found: ({ event }) => event.output }),
          },
        ],
        onError: {
          target: "refused",
          actions: assign({ error: ({ event }) => toWireError(event.error) }),
        },
      },
    },
    recording: {
      entry: sendParent(({ context }) => ({
        type: "resplitter.found" as const,
        ...context.found,
      })),
      on: {
        "source.resplit": [
          {
            guard: ({ event }) => event.taker === null,
            target: "refused",
          },
          {
            target: "split",
            actions: assign({
              giver: ({ event }) => event.giver,
              taker: ({ event }) => event.taker,
            }),
          },
        ],
      },
    },
    kept: {
      type: "final",
      entry: { type: "tellEnd", params: { outcome: "kept" } },
    },
    refused: {
      type: "final",
      entry: { type: "tellEnd", params: { outcome: "refused" } },
    },
    split: {
      type: "final",
      entry: { type: "tellEnd", params: { outcome: "split" } },
    },
  },
});
