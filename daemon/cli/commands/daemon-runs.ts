import {
  DaemonClient,
  findDaemon,
  type DaemonOptions,
} from "../daemon-client.ts";
import type { OutputOptions } from "../options.ts";
import { printJson, printNote, printOut } from "../print.ts";
import { renderTable } from "../table.ts";
import { createPaint, hasColours } from "../terminal.ts";
import { printCount, printDuration, printTime } from "../values.ts";
import type { RunView } from "./trigger.ts";

const RUNS_DEFAULT = 20;

interface Waiting {
  readonly queueId: string;
  readonly sync: string;
  readonly state: string;
  readonly queuedAt: number;
  readonly runId: string | null;
}

/** `millrace runs --daemon`. Gives the exit code. */
export async function runDaemonRuns(
  options: OutputOptions & DaemonOptions & { readonly limit?: number },
): Promise<number> {
  const client = new DaemonClient(findDaemon(options));
  const limit = options.limit ?? RUNS_DEFAULT;
  const [{ runs, next }, { queue }] = await Promise.all([
    client.ask<{ runs: readonly RunView[]; next: string | null }>(
      "GET",
      `/runs?limit=${limit}`,
    ),
    client.ask<{ queue: readonly Waiting[] }>(
      "GET",
      `/queue?state=queued,paused&limit=${limit}`,
    ),
  ]);
  const waiting = queue.filter(({ runId }) => runId === null);
  if (options.json === true) {
    printJson({ runs, queue: waiting, next });
    return 0;
  }
  if (runs.length === 0 && waiting.length === 0) {
    printOut("no runs yet");
    return 0;
  }
  const lines = renderTable(
    [
      { title: "run" },
      { title: "sync", shrinks: true },
      { title: "started" },
      { title: "took", align: "right" },
      { title: "attempts", align: "right" },
      { title: "rows", align: "right" },
      { title: "state" },
    ],
    [
      ...waiting.map(({ queueId, sync, queuedAt, state }) => [
        queueId,
        sync,
        printTime(queuedAt),
        "–",
        "–",
        "–",
        state,
      ]),
      ...runs.map((run) => [
        run.runId,
        run.sync ?? "–",
        printTime(run.startedAt),
        run.finishedAt === null
          ? "–"
          : printDuration(run.finishedAt - run.startedAt),
        printCount(run.epoch),
        printCount(run.rows),
        run.error === null ? run.state : `${run.state} (${run.error.code})`,
      ]),
    ],
    createPaint(hasColours(process.stdout)),
    process.stdout.isTTY ? process.stdout.columns : null,
  );
  printOut(lines.join("\n"));
  if (next !== null) printNote("there are older ones: --limit shows more");
  return 0;
}
