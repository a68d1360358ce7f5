import {
  DaemonClient,
  findDaemon,
  type DaemonOptions,
} from "../daemon-client.ts";
import type { OutputOptions } from "../options.ts";
import { printJson, printNote, printOut } from "../print.ts";
import { renderTable } from "../table.ts";
import { createPaint, hasColours, sanitize } from "../terminal.ts";
import { printCount, printTime } from "../values.ts";
import { checkName, printReceipt, type Receipt } from "./trigger.ts";

const STREAMS_PAGE = 100;

interface SyncsOptions extends OutputOptions, DaemonOptions {
  readonly days?: number;
}

interface Sync {
  readonly name: string;
  readonly schedule: string | null;
  readonly nextRunAt: number | null;
  readonly isPaused: boolean;
  readonly pause: {
    readonly runId: string;
    readonly streams: readonly {
      readonly stream: string;
      readonly change: string;
    }[];
    readonly more: number;
  } | null;
  readonly queued: number;
  readonly running: readonly string[];
  readonly lastRun: { readonly runId: string; readonly state: string } | null;
}

interface Counts {
  readonly runs: number;
  readonly successRate: number | null;
}

interface StreamCounts extends Counts {
  readonly stream: string;
  readonly lastRun: string | null;
  readonly lastState: string | null;
}

/** `millrace syncs`. Gives the exit code. */
export async function runSyncs(
  name: string | undefined,
  options: SyncsOptions,
): Promise<number> {
  const client = new DaemonClient(findDaemon(options));
  if (name === undefined) {
    const { syncs } = await client.ask<{ syncs: readonly Sync[] }>(
      "GET",
      "/syncs",
    );
    if (options.json === true) printJson({ syncs });
    else printSyncs(syncs);
    return 0;
  }
  const path = `/syncs/${encodeURIComponent(checkName(name))}`;
  const days = options.days === undefined ? "" : `days=${options.days}&`;
  const [sync, counts] = await Promise.all([
    client.ask<Sync>("GET", path),
    client.ask<Counts>("GET", `${path}/counts?${days}`),
  ]);
  const { streams, total } = await client.ask<{
    streams: readonly StreamCounts[];
    total: number;
  }>("GET", `${path}/streams?${days}limit=${STREAMS_PAGE}`);
  if (options.json === true) {
    printJson({ sync, counts, streams, total });
    return 0;
  }
  printSyncs([sync]);
  printOut(
    `\n${printCount(counts.runs)} runs, ${describeRate(counts)} succeeded`,
  );
  if (streams.length > 0) printStreams(streams);
  if (total > streams.length)
    printNote(`there are ${printCount(total - streams.length)} more streams`);
  printPause(sync);
  return 0;
}

function describeRate({ successRate }: Counts): string {
  return successRate === null ? "–" : `${(successRate * 100).toFixed(1)} %`;
}

function describeState({ isPaused, pause, running, queued }: Sync): string {
  if (pause !== null) return "waits for agreement";
  if (isPaused) return "paused";
  if (running.length > 0) return "at work";
  return queued > 0 ? `${printCount(queued)} queued` : "idle";
}

function printTable(
  titles: Parameters<typeof renderTable>[0],
  rows: readonly (readonly string[])[],
): void {
  const lines = renderTable(
    titles,
    rows,
    createPaint(hasColours(process.stdout)),
    process.stdout.isTTY ? process.stdout.columns : null,
  );
  printOut(lines.join("\n"));
}

function printSyncs(syncs: readonly Sync[]): void {
  printTable(
    [
      { title: "sync" },
      { title: "state" },
      { title: "schedule", shrinks: true },
      { title: "next" },
      { title: "last run" },
      { title: "ended" },
    ],
    syncs.map((sync) => [
      sync.name,
      describeState(sync),
      sync.schedule ?? "–",
      sync.nextRunAt === null ? "–" : printTime(sync.nextRunAt),
      sync.lastRun?.runId ?? "–",
      sync.lastRun?.state ?? "–",
    ]),
  );
}

function printStreams(streams: readonly StreamCounts[]): void {
  printTable(
    [
      { title: "stream", shrinks: true },
      { title: "runs", align: "right" },
      { title: "succeeded", align: "right" },
      { title: "last run" },
      { title: "ended" },
    ],
    streams.map((one) => [
      one.stream,
      printCount(one.runs),
      describeRate(one),
      one.lastRun ?? "–",
      one.lastState ?? "–",
    ]),
  );
}

function printPause({ name, pause }: Sync): void {
  if (pause === null) return;
  for (const { stream, change } of pause.streams)
    printNote(sanitize(`${stream} has changed: ${change}`));
  if (pause.more > 0)
    printNote(`${printCount(pause.more)} more streams have changed`);
  printNote(`\`millrace resume ${name} --daemon\` agrees to that`);
}

/** `millrace backfill`. Gives the exit code. */
export async function runBackfill(
  sync: string,
  stream: string,
  options: OutputOptions & DaemonOptions,
): Promise<number> {
  const client = new DaemonClient(findDaemon(options));
  const name = encodeURIComponent(checkName(sync));
  const receipt = await client.ask<Receipt>(
    "POST",
    `/syncs/${name}/streams/${encodeURIComponent(stream)}/backfill`,
  );
  printReceipt(receipt, options);
  return 0;
}
