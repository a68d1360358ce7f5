/** What is done about a log that its source keeps too much of: told, hurried, given the readers' place, given up. */
import { assign, enqueueActions } from "xstate";
import type { WireError } from "../../proto/error.ts";
import {
  reaches,
  type LogMeasure,
  type LogStep,
} from "../../proto/log-budget.ts";
import { enqueueNamed, tell } from "../enqueue.ts";
import { streamOfKey } from "./source-process-context.ts";
import { withOrders } from "./source-process-orders.ts";

/** How often the source is asked about its log. */
const GUARD_EVERY_MS = 1_000;
/** Checkpoints of a log that is in a hurry, where they are not as fast anyway. */
const HURRIED_CHECKPOINT_MS = 1_000;

export const withGuard = withOrders.extend({
  actions: {
    beginGuard: enqueueActions(({ context, enqueue }) => {
      const log = context.settings?.log;
      if (!log || !context.log || context.log.isGuarded) return;
      enqueue.assign({ log: { ...context.log, isGuarded: true } });
      enqueue.spawnChild("logGuard", {
        id: "logGuard",
        systemId: "logGuard",
        input: { budget: log.budget, everyMs: GUARD_EVERY_MS },
      });
    }),
    takeStep: enqueueActions(
      (
        { context, enqueue, system },
        { step, measure }: { step: LogStep; measure: LogMeasure },
      ) => {
        const { log, settings } = context;
        if (!log || !settings?.log) return;
        const before = log.step;
        enqueue.assign({ log: { ...log, step } });
        enqueueNamed(enqueue, {
          type: "report",
          params: { type: "log.stepped", step, measure },
        });
        if (reaches(step, "hurry") !== reaches(before, "hurry"))
          enqueueNamed(enqueue, { type: "paceLog" });
        if (reaches(step, "pause") === reaches(before, "pause")) return;
        for (const key of Object.keys(context.weights)) {
          // what an operator has paused stays so
          if (context.pausedStreams.includes(streamOfKey(key))) continue;
          tell(enqueue, system.get(`reader:${key}`), {
            type: reaches(step, "pause") ? "reader.pause" : "reader.unpause",
          });
        }
      },
    ),
    paceLog: enqueueActions(({ context, enqueue, system }) => {
      const { log, settings } = context;
      if (!log || !settings?.log) return;
      const { checkpointEveryMs } = settings.log;
      const isHurried = reaches(log.step, "hurry");
      tell(enqueue, system.get("logReader"), {
        type: "log.pace",
        checkpointEveryMs: isHurried
          ? Math.min(checkpointEveryMs, HURRIED_CHECKPOINT_MS)
          : checkpointEveryMs,
      });
    }),
    // its reader may begin only now
    paceAgain: enqueueActions(({ context, enqueue }) => {
      if (context.log && reaches(context.log.step, "hurry"))
        enqueueNamed(enqueue, { type: "paceLog" });
    }),
    dropLog: enqueueActions(
      ({ enqueue, system }, { reason }: { reason: string }) => {
        enqueue.assign({
          error: { code: "LOG_GIVEN_UP", message: reason, details: {} },
        });
        tell(enqueue, system.get("logGuard"), { type: "log.giveUp" });
      },
    ),
    noteDropped: assign({
      error: ({ context }, { error }: { error: WireError | null }) =>
        error === null || context.error === null
          ? context.error
          : {
              ...context.error,
              message: `${context.error.message}; the source still keeps it, until the next run removes it: ${error.message}`,
            },
    }),
  },
  guards: {
    isHeld: ({ context }, { key }: { key: string }) =>
      context.pausedStreams.includes(streamOfKey(key)) ||
      (context.log !== null && reaches(context.log.step, "pause")),
  },
});
