/** `millrace daemon`: serves until it is told to stop, and says what it does, a line each. */
import { loadMillraceConfig, type MillraceConfig } from "../../config.ts";
import { errorCodes, ExtractError } from "../../../proto/error.ts";
import type { RunSummary } from "../../request.ts";
import type { Daemon } from "../../service/daemon.ts";
import type { ServedDaemon } from "../../service/main.ts";
import type { DaemonEvent } from "../../service/types.ts";
import type { OutputOptions } from "../options.ts";
import { shortenPath } from "../paths.ts";
import {
  describeError,
  printError,
  printJson,
  printNote,
  printOut,
  printWarning,
} from "../print.ts";
import { createPaint, hasColours, sanitizeLines } from "../terminal.ts";

export interface DaemonOptions extends OutputOptions {
  readonly file: string;
}

/** One press of Ctrl-C can arrive twice: from the terminal and from a parent that passes it on. */
const REPEAT_MS = 100;

/** What it says of errors comes by its own lines; this is for what nobody else tells. */
const LOG_LEVEL_DEFAULT = "warn";

/**
 * @returns the exit code, 0 after a stop in good order
 * @throws ExtractError CONFIG_INVALID, USAGE
 */
export async function runDaemon(
  options: DaemonOptions,
  version: string,
): Promise<number> {
  const config = loadMillraceConfig(options.file);
  if (config.daemon === null)
    throw new ExtractError(
      "CONFIG_INVALID",
      `${options.file} has no \`daemon\``,
      { help: "Write `daemon: {}` into it to take all defaults." },
    );
  if (options.logLevel !== undefined)
    // the processes of the runs read their level from here
    process.env["MILLRACE_LOG_LEVEL"] = options.logLevel;
  const { createServedDaemon } = await import("../../service/main.ts");
  const teller = options.json === true ? tellJson : tellPeople;
  const served: ServedDaemon = createServedDaemon({
    config,
    version,
    logLevel: options.logLevel ?? LOG_LEVEL_DEFAULT,
    onReady: (url) => teller.ready(served.daemon, url),
  });
  served.daemon.subscribe((event) => teller.event(event));
  const release = listenForSignals(served, options);
  try {
    const error = await served.daemon.run();
    if (error === null) {
      teller.stopped();
      return 0;
    }
    printNote(describeError(error, createPaint(hasColours(process.stderr))));
    return errorCodes[error.code].exitCode;
  } finally {
    release();
  }
}

function listenForSignals(
  { daemon, reload }: ServedDaemon,
  { file }: DaemonOptions,
): () => void {
  let lastMs = -Infinity;
  const stop = () => {
    if (performance.now() - lastMs < REPEAT_MS) return;
    lastMs = performance.now();
    printNote(
      daemon.isDraining
        ? "ending all runs at once"
        : "stopping: runs checkpoint first; a second signal ends them at once",
    );
    daemon.stop();
  };
  const onHangup = () => {
    try {
      reload();
    } catch (error) {
      if (!(error instanceof ExtractError)) throw error;
      printWarning(
        `${file} is not taken over, the configuration stays as it was`,
      );
      printError(error);
    }
  };
  const signals = { SIGINT: stop, SIGTERM: stop, SIGHUP: onHangup } as const;
  const each = Object.entries(signals) as [keyof typeof signals, () => void][];
  for (const [signal, listener] of each) process.on(signal, listener);
  return () => {
    for (const [signal, listener] of each) process.off(signal, listener);
  };
}

interface Teller {
  ready(daemon: Daemon, url: string): void;
  event(event: DaemonEvent): void;
  stopped(): void;
}

const tellJson: Teller = {
  ready(daemon, url) {
    const { ledgerPath } = daemon.config;
    printJson({
      type: "daemon.ready",
      id: daemon.id,
      pid: process.pid,
      url,
      ledger: ledgerPath,
      syncs: daemon.listSyncs().map(({ name, schedule, nextRunAt }) => ({
        name,
        schedule,
        nextRunAt,
      })),
    });
  },
  event: printJson,
  stopped: () => printJson({ type: "daemon.stopped" }),
};

const tellPeople: Teller = {
  ready(daemon, url) {
    printOut(describeReady(daemon.config, url));
    for (const { name, schedule, nextRunAt, isPaused } of daemon.listSyncs()) {
      const due = isPaused
        ? "paused"
        : nextRunAt === null
          ? "when it is asked for"
          : `next ${printTime(nextRunAt)}, ${schedule}`;
      printOut(`  ${name}  ${due}`);
    }
  },
  event(event) {
    const line = describeEvent(event);
    if (line !== null)
      printOut(`${printTime(event.at)} ${sanitizeLines(line)}`);
  },
  stopped: () => printOut("stopped"),
};

function describeReady(
  { file, ledgerPath }: MillraceConfig,
  url: string,
): string {
  return `millrace daemon serves ${shortenPath(file)} at ${url} (ledger ${shortenPath(ledgerPath ?? "")})`;
}

/** Null for what is told by other lines, or too often. */
function describeEvent(event: DaemonEvent): string | null {
  switch (event.type) {
    case "run.event": {
      const { sync, runId, event: told } = event;
      if (told.type === "run.started")
        return `${sync} ${told.runId} ${told.resumed ? "goes on" : "begins"}`;
      if (told.type === "run.finished")
        return `${sync} ${runId ?? told.summary.runId} ${describeEnd(told.summary)}`;
      if (told.type === "warning") return `${sync} warning: ${told.message}`;
      if (told.type === "log.event" && told.kind !== "log.started")
        return `${sync} log: ${told.message}`;
      return null;
    }
    case "queue.changed":
      return event.state === "taken" || event.state === "succeeded"
        ? null
        : `${event.sync} ${event.queueId} is ${event.state}`;
    case "sync.paused":
      return event.why === null
        ? `${event.sync} is paused`
        : `${event.sync} is paused: ${event.why}; \`millrace resume ${event.sync} --daemon\` agrees to that`;
    case "sync.resumed":
      return `${event.sync} is no longer paused`;
    case "config.reloaded":
      return event.changes.length === 0
        ? "the configuration was read again: nothing has changed"
        : ["the configuration was read again:", ...event.changes].join("\n  ");
    case "daemon.draining":
      return "draining";
  }
}

function describeEnd({ state, streams, elapsedMs, error }: RunSummary): string {
  const rows = streams.reduce((sum, stream) => sum + stream.rows, 0);
  const words = `${state}: ${rows.toLocaleString("en")} rows of ${streams.length} ${streams.length === 1 ? "table" : "tables"} in ${(elapsedMs / 1000).toFixed(1)} s`;
  return error === null ? words : `${words}; ${error.code}: ${error.message}`;
}

function printTime(at: number): string {
  return new Date(at).toISOString().slice(0, 19).replace("T", " ");
}
