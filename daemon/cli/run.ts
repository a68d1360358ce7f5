/** Runs one sync to its end: shows what happens, listens for Ctrl-C, and gives the exit code. */
import type { AfterRunHook } from "../after-run/config.ts";
import type {
  RunEvent,
  RunHandle,
  RunSummary,
  SyncRequest,
} from "../request.ts";
import type { OutputOptions } from "./options.ts";
import {
  describeError,
  printJson,
  printNote,
  printOut,
  printWarning,
} from "./print.ts";
import { createPaint, hasColours } from "./terminal.ts";
import { nameTable } from "../../proto/table-name.ts";

/** One press of Ctrl-C can arrive twice: from the terminal and from a parent that passes it on. */
const REPEAT_MS = 100;

const EXIT_INTERRUPTED = 130;

/** Changes of tables that one command follows, each by another run. */
const CUTS_MAX = 100;

/** The bookkeeper's side of a run. */
export type StartRun = (
  request: SyncRequest,
  observe: (event: RunEvent) => void,
) => RunHandle;

async function loadBookkeeper(): Promise<StartRun> {
  const { warmChildren } = await import("../spawn.ts");
  warmChildren();
  const { startRun } = await import("../sync.ts");
  return startRun;
}

/** @throws ExtractError for a request that the bookkeeper refuses before it begins */
export async function runToEnd(
  request: SyncRequest,
  options: OutputOptions,
  hook: AfterRunHook | null = null,
  loadStartRun: () => Promise<StartRun> = loadBookkeeper,
): Promise<number> {
  if (options.logLevel !== undefined) {
    // The processes of the run read their level from here.
    process.env["MILLRACE_LOG_LEVEL"] = options.logLevel;
  }
  const [startRun, { createProgress }] = await Promise.all([
    loadStartRun(),
    import("./progress.ts"),
  ]);
  let next = request;
  for (let cuts = 0; ;) {
    const { summary, isStopped } = await runOnce(
      startRun,
      createProgress,
      next,
      options,
    );
    // what begins anew does so once
    const log = { ...request.log, resync: false };
    next = { ...request, restart: false, log };
    await report(summary, request, options);
    if (hook !== null) await callAfterRun(hook, request, summary);
    // a log that is followed without end is followed by one run after the other
    // and one that was to end further on, behind the new shape of a table, goes on there
    const { continuous } = request.log;
    if (summary.isCut === true) cuts++;
    const isDue = continuous || (summary.isCut === true && cuts < CUTS_MAX);
    const goesOn = isDue && summary.state === "succeeded";
    if (isStopped || !goesOn) return summary.exitCode;
  }
}

async function runOnce(
  startRun: StartRun,
  createProgress: typeof import("./progress.ts").createProgress,
  request: SyncRequest,
  options: OutputOptions,
): Promise<{ readonly summary: RunSummary; readonly isStopped: boolean }> {
  const silent = options.json === true || options.quiet === true;
  const progress = silent ? null : createProgress(process.stderr);
  // Before the run begins: from then on there are processes that a signal must not leave behind.
  const stopping = listenForStop();
  const handle = startRun(request, (event) => {
    if (options.json === true) printJson(event);
    else if (isWarning(event) && progress === null) printWarning(event.message);
    progress?.observe(event);
  });
  stopping.attach(handle);
  try {
    const summary = await handle.done;
    return { summary, isStopped: stopping.isStopped() };
  } finally {
    stopping.release();
    progress?.close();
  }
}

function isWarning(
  event: RunEvent,
): event is Extract<RunEvent, { type: "warning" | "log.event" }> {
  return (
    event.type === "warning" ||
    (event.type === "log.event" && event.kind !== "log.started")
  );
}

/**
 * Ctrl-C stops the run at the next checkpoint, then at once, then leaves. Signals are delivered between turns of the
 * loop: when one is heard, the handle is there.
 */
function listenForStop() {
  let handle: RunHandle | null = null;
  let presses = 0;
  let lastMs = -Infinity;
  const onSignal = () => {
    if (performance.now() - lastMs < REPEAT_MS) return;
    lastMs = performance.now();
    presses++;
    if (presses === 1) {
      printNote("stopping at the next checkpoint; press again to stop at once");
      handle?.stop();
    } else if (presses === 2) {
      printNote("stopping at once");
      handle?.abort();
    } else {
      process.exit(EXIT_INTERRUPTED);
    }
  };
  const signals = ["SIGINT", "SIGTERM", "SIGHUP"] as const;
  for (const signal of signals) process.on(signal, onSignal);
  return {
    attach(running: RunHandle) {
      handle = running;
    },
    isStopped: () => presses > 0,
    release() {
      for (const signal of signals) process.off(signal, onSignal);
    },
  };
}

async function report(
  summary: RunSummary,
  request: SyncRequest,
  options: OutputOptions,
): Promise<void> {
  const paint = createPaint(hasColours(process.stderr));
  if (options.json !== true && options.quiet !== true) {
    const { renderSummary } = await import("./summary.ts");
    const { shortenPath } = await import("./paths.ts");
    const width = process.stdout.isTTY ? process.stdout.columns : null;
    const lines = renderSummary(
      summary,
      createPaint(hasColours(process.stdout)),
      width,
      shortenPath,
    );
    printOut(lines.join("\n"));
  }
  for (const { namespace, name, error } of summary.streams) {
    if (error === null) continue;
    const details = { table: nameTable({ namespace, name }), ...error.details };
    printNote(describeError({ ...error, details }, paint));
  }
  if (summary.error !== null && !repeatsStream(summary)) {
    printNote(describeError(summary.error, paint));
    const stack = summary.error.details["stack"];
    if (typeof stack === "string" && stack !== "") printNote(paint.dim(stack));
  }
  if (summary.state === "interrupted" || summary.exitCode === 3) {
    const { quotePath } = await import("./paths.ts");
    const { nameDestination } = await import("../destinations.ts");
    const { nameLedger } =
      await import("../../checkpoint/store/postgres-url.ts");
    const ledger =
      request.ledgerPath === null
        ? ""
        : ` --ledger ${quotePath(nameLedger(request.ledgerPath))}`;
    printNote(
      `go on with: millrace resume ${quotePath(nameDestination(request.destination))}${ledger}`,
    );
  }
}

/** What the hook says changes nothing for the run, whose exit code is its own. */
async function callAfterRun(
  hook: AfterRunHook,
  { name }: SyncRequest,
  summary: RunSummary,
): Promise<void> {
  const { callHook, describeRun, isDue } = await import("../after-run/hook.ts");
  const { state, runId } = summary;
  const end = state === "interrupted" ? "cancelled" : state;
  if (!isDue(hook, end)) return;
  const payload = describeRun(name ?? "", runId, end, summary);
  const { succeeded, result, answer } = await callHook(
    hook,
    payload,
    new AbortController().signal,
  );
  if (!succeeded)
    printWarning(`the hook after the run failed: ${result}\n${answer.trim()}`);
}

/** The run's error may be that of its one failed stream. */
function repeatsStream(summary: RunSummary): boolean {
  return summary.streams.some(
    ({ error }) =>
      error !== null &&
      error.code === summary.error?.code &&
      error.message === summary.error.message,
  );
}
