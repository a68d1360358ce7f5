import type { RunRecord } from "../../checkpoint/store/records.ts";
import { mayBeAlive } from "../../checkpoint/store/process-identity.ts";

/** The state as it is now: a run whose process is gone is not running. */
export function describeState(run: RunRecord): string {
  if (run.state === "partlyFailed") return "partly failed";
  if (run.state !== "running") return run.state;
  return isRunning(run) ? "running" : "died";
}

export function isRunning(run: RunRecord): boolean {
  return run.state === "running" && mayBeAlive(run);
}

/** Whether `resume` can go on with it, as far as its own record says. */
export function isUnfinished(run: RunRecord): boolean {
  return (
    run.state === "failed" ||
    run.state === "interrupted" ||
    (run.state === "running" && !isRunning(run))
  );
}
