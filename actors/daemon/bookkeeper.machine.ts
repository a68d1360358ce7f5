/**
 * The root of the bookkeeper: opens the ledger and the run, makes attempts while their faults are worth retrying, and
 * closes. `millrace sync` is this machine living for one run.
 */
import { assign, fromPromise, setup } from "xstate";
import { errorCodes, toWireError, type WireError } from "../../proto/error.ts";
import type { RunOutcome } from "../run/run.machine.ts";

const BACKOFF_MS_MIN = 500;
const BACKOFF_MS_MAX = 30_000;
const RETRYABLE_EXIT_CODE = 3;

export interface BookkeeperInput {
  readonly attemptsMax: number;
}

export interface AttemptOutput {
  readonly outcome: RunOutcome;
  readonly error: WireError | null;
}

interface BookkeeperContext extends BookkeeperInput {
  readonly attempts: number;
  readonly last: AttemptOutput | null;
  readonly isStopping: boolean;
}

type StopEvent = {
  readonly type: "run.stop" | "run.abort";
};

/** What `corrupt` bytes leave is read again like what a lost process leaves: only what is durable counts. */
function isWorthRetrying(error: WireError | null): boolean {
  // what follows is another run
  if (!error || error.code === "LOG_GIVEN_UP" || error.code === "RUN_OUTDATED")
    return false;
  const { exitCode, disposition } = errorCodes[error.code];
  return exitCode === RETRYABLE_EXIT_CODE || disposition === "retryPartition";
}

const failed = (error: unknown): AttemptOutput => ({
  outcome: "failed",
  error: toWireError(error),
});

const stopped = ({
  event,
}: {
  readonly event: StopEvent;
}): { outcome: RunOutcome } => ({
  outcome: event.type === "run.abort" ? "aborted" : "interrupted",
});

export const bookkeeperMachine = setup({
  types: {
    input: {} as BookkeeperInput,
    context: {} as BookkeeperContext,
    events: {} as StopEvent,
  },
  actors: {
    // lock, ledger, earlier attempts' processes: throws what keeps the run from beginning at all
    openRun: fromPromise<void>(() =>
      Promise.reject(new Error("openRun is not provided")),
    ),
    attemptRun: fromPromise<AttemptOutput, { attempt: number }>(() =>
      Promise.reject(new Error("attemptRun is not provided")),
    ),
    closeRun: fromPromise<void, { last: AttemptOutput }>(() =>
      Promise.reject(new Error("closeRun is not provided")),
    ),
  },
  actions: {
    // a run that was stopped between two attempts is interrupted, and still says what it was waiting to retry
    noteStop: assign({
      isStopping: true,
      last: ({ context }, params: { outcome: RunOutcome }) => ({
        outcome: params.outcome,
        error: context.last?.error ?? null,
      }),
    }),
    stopAttempt: () => {
      throw new Error("stopAttempt is not provided");
    },
    abortAttempt: () => {
      throw new Error("abortAttempt is not provided");
    },
    announceRetry: (
      _,
      _params: { error: WireError | null; attempt: number },
    ) => {
      throw new Error("announceRetry is not provided");
    },
  },
  guards: {
    wasStopped: ({ context }) => context.isStopping,
    retries: ({ context }, params: AttemptOutput) =>
      params.outcome === "failed" &&
      !context.isStopping &&
      context.attempts < context.attemptsMax &&
      isWorthRetrying(params.error),
  },
  delays: {
    backoff: ({ context }) =>
      Math.min(BACKOFF_MS_MAX, BACKOFF_MS_MIN * 2 ** (context.attempts - 1)),
  },
}).createMachine({
  id: "bookkeeper",
  initial: "opening",
  context: ({ input }) => ({
    ...input,
    attempts: 0,
    last: null,
    isStopping: false,
  }),
  states: {
    opening: {
      invoke: {
        id: "openRun",
        src: "openRun",
        onDone: [{ guard: "wasStopped", target: "closing" }, "attempting"],
        onError: {
          target: "closing",
          actions: assign({ last: ({ event }) => failed(event.error) }),
        },
      },
      // what is opened has to be closed again, so the opening is waited for
      on: {
        "run.stop": { actions: { type: "noteStop", params: stopped } },
        "run.abort": { actions: { type: "noteStop", params: stopped } },
      },
    },
    attempting: {
      entry: assign({ attempts: ({ context }) => context.attempts + 1 }),
      invoke: {
        id: "attemptRun",
        src: "attemptRun",
        input: ({ context }) => ({ attempt: context.attempts }),
        onDone: [
          {
            guard: { type: "retries", params: ({ event }) => event.output },
            target: "backingOff",
            actions: assign({ last: ({ event }) => event.output }),
          },
          {
            target: "closing",
            actions: assign({ last: ({ event }) => event.output }),
          },
        ],
        onError: {
          target: "closing",
          actions: assign({ last: ({ event }) => failed(event.error) }),
        },
      },
      on: {
        "run.stop": { actions: [assign({ isStopping: true }), "stopAttempt"] },
        "run.abort": {
          actions: [assign({ isStopping: true }), "abortAttempt"],
        },
      },
    },
    backingOff: {
      entry: {
        type: "announceRetry",
        params: ({ context }) => ({
          error: context.last?.error ?? null,
          attempt: context.attempts + 1,
        }),
      },
      after: { backoff: "attempting" },
      on: {
        "run.stop": {
          target: "closing",
          actions: { type: "noteStop", params: stopped },
        },
        "run.abort": {
          target: "closing",
          actions: { type: "noteStop", params: stopped },
        },
      },
    },
    closing: {
      invoke: {
        id: "closeRun",
        src: "closeRun",
        input: ({ context }) => ({
          last: context.last ?? failed(new Error("no attempt was made")),
        }),
        onDone: "closed",
        onError: {
          target: "closed",
          actions: assign({
            last: ({ context, event }) =>
              context.last?.error ? context.last : failed(event.error),
          }),
        },
      },
    },
    closed: { type: "final" },
  },
});
