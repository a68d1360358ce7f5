import type { Ledger } from "../../../checkpoint/store/ledger.ts";
import type { RunRecord } from "../../../checkpoint/store/records.ts";
import { openLedger } from "../ledger-access.ts";
import type { DaemonOptions } from "../daemon-client.ts";
import type { OutputOptions } from "../options.ts";
import { printJson, printNote, printOut } from "../print.ts";
import { tryReadRequest } from "../../recorded-request.ts";
import { describeState, isUnfinished } from "../run-state.ts";
import { renderTable } from "../table.ts";
import { createPaint, hasColours } from "../terminal.ts";
import {
  printCount,
  printDuration,
  printQuantity,
  printTime,
} from "../values.ts";

const RUNS_DEFAULT = 20;

interface RunsOptions extends OutputOptions {
  readonly ledger?: string;
  readonly limit?: number;
}

/** `millrace runs`. Gives the exit code. */
export async function runRuns(
  destination: string | undefined,
  options: RunsOptions & DaemonOptions,
): Promise<number> {
  if (options.daemon !== undefined) {
    const { runDaemonRuns } = await import("./daemon-runs.ts");
    return runDaemonRuns(options);
  }
  const { ledger } = openLedger({ target: destination, path: options.ledger });
  try {
    const limit = options.limit ?? RUNS_DEFAULT;
    const runs = ledger.listRuns({ limit: limit + 1 });
    const shown = runs.slice(0, limit);
    if (options.json === true) {
      printJson({
        ledger: ledger.path,
        runs: shown.map((run) => toJson(ledger, run)),
      });
    } else if (runs.length === 0) {
      printOut("no runs yet");
    } else {
      printRuns(ledger, shown);
      if (runs.length > limit)
        printNote("there are older ones: --limit shows more");
    }
    return 0;
  } finally {
    ledger.close();
  }
}

function countRows(ledger: Ledger, run: RunRecord): number {
  return ledger.durableOf(run.runId).reduce((sum, { rows }) => sum + rows, 0);
}

function toJson(ledger: Ledger, run: RunRecord): object {
  const { runId, syncId, mode, epoch, startedAt, finishedAt, error } = run;
  return {
    runId,
    syncId,
    name: tryReadRequest(run)?.name ?? null,
    state: describeState(run),
    mode,
    epoch,
    startedAt,
    finishedAt,
    rows: countRows(ledger, run),
    error,
  };
}

function printRuns(ledger: Ledger, runs: readonly RunRecord[]): void {
  const lines = renderTable(
    [
      { title: "run" },
      { title: "sync", shrinks: true },
      { title: "mode" },
      { title: "started" },
      { title: "took", align: "right" },
      { title: "attempts", align: "right" },
      { title: "rows", align: "right" },
      { title: "state" },
    ],
    runs.map((run) => [
      run.runId,
      describeSync(run),
      run.mode,
      printTime(run.startedAt),
      run.finishedAt === null
        ? "–"
        : printDuration(run.finishedAt - run.startedAt),
      printCount(run.epoch),
      printCount(countRows(ledger, run)),
      run.error === null
        ? describeState(run)
        : `${describeState(run)} (${run.error.code})`,
    ]),
    createPaint(hasColours(process.stdout)),
    process.stdout.isTTY ? process.stdout.columns : null,
  );
  printOut(lines.join("\n"));
  const open = runs.filter(isUnfinished).length;
  if (open > 0) {
    printNote(`${printQuantity(open, "run")} can be resumed: millrace resume`);
  }
}

/** Its name in the configuration, or its tables. */
function describeSync(run: RunRecord): string {
  const request = tryReadRequest(run);
  if (request === null) return "–";
  const { name, tables } = request;
  return name ?? (tables.length === 0 ? "all tables" : tables.join(", "));
}
