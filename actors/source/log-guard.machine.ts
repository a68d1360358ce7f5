/**
 * Watches what the source keeps of its log while we read it: that it still has what we are to read next, and how much it
 * keeps for us. It measures and judges; what a step means is done by its parent. A measure that fails is tried again:
 * that the log itself is gone is said by its error.
 */
import { assign, enqueueActions, fromPromise, sendParent, setup } from "xstate";
import { unexplained, toWireError, type WireError } from "../../proto/error.ts";
import type { LogBudget, LogMeasure, LogStep } from "../../proto/log-budget.ts";
import { judgePressure, noPressure, type LogPressure } from "./log-pressure.ts";

/** The question is asked anew, over another connection. */
const MEASURE_MS_MAX = 30_000;
/** Ending the session that reads it, and removing it. */
const DROP_MS_MAX = 60_000;
/** Measures in a row that may fail before people are told. */
const SILENT_FAILURES_MAX = 3;

export interface LogGuardInput {
  readonly budget: LogBudget;
  readonly everyMs: number;
}

interface LogGuardContext extends LogGuardInput {
  readonly pressure: LogPressure;
  readonly failures: number;
  readonly error: WireError | null;
}

export interface Measured extends LogMeasure {
  /** Of a clock that only goes forward. */
  readonly atMs: number;
}

export type LogGuardNews =
  | {
      readonly type: "logGuard.measured";
      readonly measure: LogMeasure;
      readonly step: LogStep;
    }
  /** Another step than at the measure before. */
  | {
      readonly type: "logGuard.stepped";
      readonly measure: LogMeasure;
      readonly step: LogStep;
    }
  /** The source cannot be asked, again and again. */
  | { readonly type: "logGuard.blind"; readonly error: WireError }
  /** The source does not have the log any more. */
  | { readonly type: "logGuard.failed"; readonly error: WireError }
  /** The source has forgotten the log, as it was told to; or why it has not. */
  | { readonly type: "logGuard.dropped"; readonly error: WireError | null };

export type LogGuardEvent = { readonly type: "log.giveUp" };

function silent(ms: number): WireError {
  return {
    code: "PEER_STALLED",
    message: `the source did not answer for ${ms / 1000} s`,
    details: {},
  };
}

function isGone({ code }: WireError): boolean {
  return code === "SOURCE_POSITION_EXPIRED";
}

export const logGuardMachine = setup({
  types: {
    input: {} as LogGuardInput,
    context: {} as LogGuardContext,
    events: {} as LogGuardEvent,
  },
  actors: {
    measureLog: fromPromise<Measured>(() =>
      Promise.reject(new Error("measureLog is not provided")),
    ),
    dropLog: fromPromise<void>(() =>
      Promise.reject(new Error("dropLog is not provided")),
    ),
  },
  actions: {
    judge: enqueueActions(({ context, enqueue }, measured: Measured) => {
      const { atMs, ...measure } = measured;
      const before = context.pressure.step;
      const pressure = judgePressure(
        context.pressure,
        context.budget,
        measure,
        atMs,
      );
      const { step } = pressure;
      enqueue.assign({ pressure, failures: 0 });
      enqueue.sendParent({ type: "logGuard.measured", measure, step });
      if (step !== before)
        enqueue.sendParent({ type: "logGuard.stepped", measure, step });
    }),
    countFailure: enqueueActions(
      ({ context, enqueue }, { error }: { error: WireError }) => {
        const failures = context.failures + 1;
        enqueue.assign({ failures });
        if (failures === SILENT_FAILURES_MAX)
          enqueue.sendParent({ type: "logGuard.blind", error });
      },
    ),
    keepError: assign({
      error: (_, params: { error: WireError }) => params.error,
    }),
  },
  guards: {
    isGone: (_, params: { error: WireError }) => isGone(params.error),
  },
  delays: {
    interval: ({ context }) => context.everyMs,
    measureDeadline: MEASURE_MS_MAX,
    dropDeadline: DROP_MS_MAX,
  },
}).createMachine({
  id: "logGuard",
  initial: "measuring",
  context: ({ input }) => ({
    ...input,
    pressure: noPressure,
    failures: 0,
    error: null,
  }),
  states: {
    measuring: {
      after: {
        measureDeadline: {
          target: "waiting",
          actions: {
            type: "countFailure",
            params: { error: silent(MEASURE_MS_MAX) },
          },
        },
      },
      invoke: {
        id: "measureLog",
        src: "measureLog",
        onDone: {
          target: "waiting",
          actions: { type: "judge", params: ({ event }) => event.output },
        },
        onError: [
          {
            guard: {
              type: "isGone",
              params: ({ event }) => ({ error: toWireError(event.error) }),
            },
            target: "failed",
            actions: {
              type: "keepError",
              params: ({ event }) => ({ error: toWireError(event.error) }),
            },
          },
          {
            target: "waiting",
            actions: {
              type: "countFailure",
              params: ({ event }) => ({ error: toWireError(event.error) }),
            },
          },
        ],
      },
      on: { "log.giveUp": "dropping" },
    },
    waiting: {
      after: { interval: "measuring" },
      on: { "log.giveUp": "dropping" },
    },
    dropping: {
      after: {
        dropDeadline: {
          target: "done",
          actions: sendParent({
            type: "logGuard.dropped" as const,
            error: silent(DROP_MS_MAX),
          }),
        },
      },
      invoke: {
        id: "dropLog",
        src: "dropLog",
        onDone: {
          target: "done",
          actions: sendParent({
            type: "logGuard.dropped" as const,
            error: null,
          }),
        },
        onError: {
          target: "done",
          actions: sendParent(({ event }) => ({
            type: "logGuard.dropped" as const,
            error: toWireError(event.error),
          })),
        },
      },
    },
    failed: {
      type: "final",
      entry: sendParent(({ context }) => ({
        type: "logGuard.failed" as const,
        error: context.error ?? unexplained,
      })),
    },
    done: { type: "final" },
  },
});
