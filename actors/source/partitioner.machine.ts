/** One stream's plan: asks the connector to sample and split it, once more when the server was only away. */
import { assign, fromPromise, sendParent, setup } from "xstate";
import type {
  CursorOrder,
  CursorWindow,
  SourceOrder,
} from "../../proto/control.ts";
import { errorCodes, toWireError, type WireError } from "../../proto/error.ts";
import type { Plan } from "../../proto/partition.ts";

const PLAN_ATTEMPTS_MAX = 3;
const PLAN_BACKOFF_MS = 500;

export interface PartitionerInput {
  readonly stream: number;
  readonly where: string | null;
  readonly cursor: CursorOrder | null;
  /** Its changes are read as well. */
  readonly log: LogPlan | null;
}

export type LogPlan = NonNullable<
  Extract<SourceOrder, { type: "source.plan" }>["log"]
>;

export interface PartitionerOutput {
  readonly plan: Plan;
  readonly window: CursorWindow | null;
}

export type PartitionerNews =
  | ({
      readonly type: "partitioner.planned";
      readonly stream: number;
    } & PartitionerOutput)
  | {
      readonly type: "partitioner.failed";
      readonly stream: number;
      readonly error: WireError;
    };

interface PartitionerContext extends PartitionerInput {
  readonly attempt: number;
  readonly output: PartitionerOutput | null;
  readonly error: WireError | null;
}

export const partitionerMachine = setup({
  types: { input: {} as PartitionerInput, context: {} as PartitionerContext },
  actors: {
    planStream: fromPromise<PartitionerOutput, PartitionerInput>(() =>
      Promise.reject(new Error("planStream is not provided")),
    ),
  },
  actions: {
    keepError: assign({
      error: (_, params: { error: WireError }) => params.error,
    }),
    countAttempt: assign({ attempt: ({ context }) => context.attempt + 1 }),
  },
  guards: {
    isRetryable: ({ context }, params: { error: WireError }) =>
      errorCodes[params.error.code].disposition === "retryPartition" &&
      context.attempt < PLAN_ATTEMPTS_MAX,
  },
}).createMachine({
  id: "partitioner",
  initial: "planning",
  context: ({ input }) => ({ ...input, attempt: 1, output: null, error: null }),
  states: {
    planning: {
      invoke: {
        id: "planStream",
        src: "planStream",
        input: ({ context: { stream, where, cursor, log } }) => ({
          stream,
          where,
          cursor,
          log,
        }),
        onDone: {
          target: "planned",
          actions: assign({ output: ({ event }) => event.output }),
        },
        onError: [
          {
            guard: {
              type: "isRetryable",
              params: ({ event }) => ({ error: toWireError(event.error) }),
            },
            target: "backingOff",
            actions: "countAttempt",
          },
          {
            target: "failed",
            actions: {
              type: "keepError",
              params: ({ event }) => ({ error: toWireError(event.error) }),
            },
          },
        ],
      },
    },
    backingOff: { after: { [PLAN_BACKOFF_MS]: "planning" } },
    planned: {
      type: "final",
      entry: sendParent(({ context }) => ({
        type: "partitioner.planned" as const,
        stream: context.stream,
        ...context.output,
      })),
    },
    failed: {
      type: "final",
      entry: sendParent(({ context }) => ({
        type: "partitioner.failed" as const,
        stream: context.stream,
        error: context.error,
      })),
    },
  },
});
