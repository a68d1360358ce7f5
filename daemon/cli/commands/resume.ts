import { realpathSync } from "node:fs";
import { resolve } from "node:path";
import type { Ledger } from "../../../checkpoint/store/ledger.ts";
import { resolveLedger } from "../../../checkpoint/store/postgres-url.ts";
import type { RunRecord } from "../../../checkpoint/store/records.ts";
import { identifyDatabase } from "../../../connectors/sources/url.ts";
import { ExtractError } from "../../../proto/error.ts";
import { nameDestination } from "../../destinations.ts";
import { lacksSecrets } from "../../identity.ts";
import type { SyncRequest } from "../../request.ts";
import { chooseRun, openLedger } from "../ledger-access.ts";
import type { DaemonOptions } from "../daemon-client.ts";
import type { OutputOptions } from "../options.ts";
import { quotePath } from "../paths.ts";
import { readRecordedRequest } from "../../recorded-request.ts";
import { readSourceUrl, usage } from "../request.ts";
import { describeState, isRunning, isUnfinished } from "../run-state.ts";

/** Runs looked through for one that can be resumed, when none is named. */
const RUNS_SEARCHED_MAX = 1000;

export interface ResumeOptions extends OutputOptions {
  readonly destination?: string;
  readonly source?: string;
  readonly ledger?: string;
  readonly channels?: number;
  readonly readers?: number;
  readonly attempts?: number;
  readonly trace?: string;
}

/** `millrace resume`, here or by a daemon. Gives the exit code. */
export async function runResume(
  target: string | undefined,
  options: ResumeOptions & DaemonOptions,
): Promise<number> {
  if (target !== undefined && (await isOfDaemon(target, options))) {
    const { runOrder } = await import("./order.ts");
    return runOrder("resume", target, options);
  }
  const request = readResumeRequest(target, options);
  const { runToEnd } = await import("../run.ts");
  return runToEnd(request, options);
}

/** It is when the caller says so, and for an id that no ledger is named for and a daemon that listens knows. */
async function isOfDaemon(
  target: string,
  options: ResumeOptions & DaemonOptions,
): Promise<boolean> {
  if (options.daemon !== undefined) return true;
  if (options.destination !== undefined || options.ledger !== undefined)
    return false;
  const { isKnownRun, isRunId } = await import("./order.ts");
  return isRunId(target) && isKnownRun(target, options);
}

/**
 * The recorded request of the run that is meant, with the password and the options of this call.
 * @throws ExtractError RUN_NOT_FOUND where there is nothing to resume, RUN_LOCKED while the run is alive, USAGE
 */
export function readResumeRequest(
  target: string | undefined,
  options: ResumeOptions,
): SyncRequest {
  const { ledger, root, runId } = openLedger({
    target,
    destination: options.destination,
    path: options.ledger,
  });
  try {
    const run =
      runId === null ? findUnfinished(ledger) : chooseRun(ledger, runId);
    checkResumable(run);
    const recorded = readRecordedRequest(run);
    if (root !== null) checkPlace(recorded, root, run);
    if (lacksSecrets(recorded)) {
      throw usage(
        `run ${run.runId} needs the salts and keys of its mappers, which are never recorded`,
        "Go on with `millrace sync -f <yaml> [name]`, which has them.",
      );
    }
    const { destination } = recorded;
    if (destination.kind === "airbyte" && destination.connector !== null)
      throw usage(
        `run ${run.runId} needs the configuration of its destination, which is never recorded`,
        "Go on with the same `millrace sync`, which has it.",
      );
    return {
      ...recorded,
      source: { url: chooseUrl(recorded.source.url, options.source) },
      restart: false,
      channels: options.channels ?? recorded.channels,
      readers: options.readers ?? recorded.readers,
      attemptsMax: options.attempts ?? recorded.attemptsMax,
      ledgerPath:
        options.ledger === undefined
          ? recorded.ledgerPath
          : resolveLedger(options.ledger, process.cwd()),
      tracePath:
        options.trace === undefined
          ? recorded.tracePath
          : resolve(options.trace),
    };
  } finally {
    ledger.close();
  }
}

/** The newest run that can be resumed, else the newest, whose state says why it cannot. */
function findUnfinished(ledger: Ledger): RunRecord {
  const runs = ledger.listRuns({ limit: RUNS_SEARCHED_MAX });
  return runs.find(isUnfinished) ?? chooseRun(ledger, null);
}

function checkResumable(run: RunRecord): void {
  if (isUnfinished(run)) return;
  if (isRunning(run)) {
    throw new ExtractError(
      "RUN_LOCKED",
      `run ${run.runId} is running, in process ${run.pid}`,
      { run: run.runId, pid: run.pid },
    );
  }
  const help = {
    succeeded: "All its rows are there; `millrace sync` copies anew.",
    partlyFailed:
      "Its good tables are there; mend the cause and run the sync again.",
    abandoned: "A newer run of the same sync has taken its place.",
  }[run.state as "succeeded" | "partlyFailed" | "abandoned"];
  throw new ExtractError(
    "RUN_NOT_FOUND",
    `there is nothing to resume: run ${run.runId} is ${describeState(run)}`,
    { run: run.runId, help },
  );
}

/** A folder that was moved would be taken for another sync, and begun anew at its old place. */
function checkPlace(request: SyncRequest, root: string, run: RunRecord): void {
  const recorded = nameDestination(request.destination);
  if (recorded === root || realPath(recorded) === realPath(root)) return;
  throw usage(
    `run ${run.runId} wrote to ${quotePath(recorded)}, not to ${quotePath(root)}`,
    "Move the folder back, or run the sync again with --restart.",
  );
}

function realPath(path: string): string {
  try {
    return realpathSync(path);
  } catch {
    return path;
  }
}

/**
 * The URL that is given, if it names the recorded server and database: any other would make it another sync.
 * @throws ExtractError USAGE
 */
function chooseUrl(recorded: string, given: string | undefined): string {
  if (given === undefined) return recorded;
  const url = readSourceUrl(given);
  const place = describePlace(recorded);
  if (describePlace(url) === place) return url;
  throw usage(
    "--source names another server or database than the run's",
    `The run reads ${place}.`,
  );
}

function describePlace(url: string): string {
  const [host, port, database] = identifyDatabase(url).slice(-3);
  return `${host}:${port}/${database}`;
}
