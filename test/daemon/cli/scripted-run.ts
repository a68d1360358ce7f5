/**
 * A process that runs the command line's part of a sync over a bookkeeper that follows a script:
 * `scripted-run.ts SCRIPT OPTIONS`, both JSON. Used as a child, so that signals and exit codes are real.
 */
import { runToEnd } from "../../../daemon/cli/run.ts";
import { buildRequest } from "../../../daemon/config-request.ts";
import type {
  RunEvent,
  RunHandle,
  RunSummary,
} from "../../../daemon/request.ts";

export interface Script {
  readonly events: readonly RunEvent[];
  /** The end without a signal; null waits for one. */
  readonly summary: RunSummary | null;
  /** The ends of the runs that follow by themselves. */
  readonly later?: readonly RunSummary[];
  /** The end after `stop()`; null goes on. */
  readonly onStop: RunSummary | null;
  /** The end after `abort()`; null goes on. */
  readonly onAbort: RunSummary | null;
}

const [scriptText = "", optionsText = "{}"] = process.argv.slice(2);
const script = JSON.parse(scriptText) as Script;

let runs = 0;

function startScript(observe: (event: RunEvent) => void): RunHandle {
  const { promise, resolve } = Promise.withResolvers<RunSummary>();
  // a run of real processes keeps the loop alive
  const alive = setInterval(() => {}, 1000);
  const finish = (summary: RunSummary | null) => {
    if (summary === null) return;
    observe({ type: "run.finished", summary });
    clearInterval(alive);
    resolve(summary);
  };
  for (const event of script.events) observe(event);
  finish(runs === 0 ? script.summary : (script.later?.[runs - 1] ?? null));
  runs += 1;
  process.stderr.write("started\n");
  return {
    done: promise,
    stop: () => finish(script.onStop),
    abort: () => finish(script.onAbort),
    orderActor: () => Promise.resolve("forRun"),
  };
}

process.exitCode = await runToEnd(
  buildRequest({
    url: "postgres://me:hunter2@h/shop",
    destination: "/data/out",
  }),
  JSON.parse(optionsText),
  null,
  () => Promise.resolve((_, observe) => startScript(observe)),
);
