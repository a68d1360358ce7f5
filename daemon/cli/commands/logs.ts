import {
  DaemonClient,
  findDaemon,
  type DaemonNews,
  type DaemonOptions,
} from "../daemon-client.ts";
import type { OutputOptions } from "../options.ts";
import { printJson, printOut } from "../print.ts";
import { createPaint, hasColours, sanitize } from "../terminal.ts";
import { printTime } from "../values.ts";

const PAGE = 1000;
const FINAL = new Set(["succeeded", "failed", "cancelled"]);

interface LogsOptions extends OutputOptions, DaemonOptions {
  readonly follow?: boolean;
}

interface TimelineEvent {
  readonly at: number;
  readonly kind: string;
  readonly details: Readonly<Record<string, unknown>>;
}

/** `millrace logs`. Gives the exit code. */
export async function runLogs(
  run: string,
  options: LogsOptions,
): Promise<number> {
  const client = new DaemonClient(findDaemon(options));
  const stop = new AbortController();
  const news =
    options.follow === true
      ? client.follow(`run=${encodeURIComponent(run)}`, stop.signal)
      : null;
  // listened to before the past is read, so that nothing falls between the two
  let next = news?.next() ?? null;
  next?.catch(() => {
    // told where it is waited for
  });
  try {
    const isOver = await printPast(client, run, options);
    if (news === null || next === null || isOver) return 0;
    for (;;) {
      const { value, done } = await next;
      if (done === true) return 0;
      if (printNews(value, options)) return 0;
      next = news.next();
    }
  } finally {
    stop.abort();
  }
}

/** Whether the run is over. */
async function printPast(
  client: DaemonClient,
  run: string,
  options: OutputOptions,
): Promise<boolean> {
  if (run.startsWith("q-")) {
    const entry = await client.ask<{ runId: string | null; state: string }>(
      "GET",
      `/queue/${run}`,
    );
    if (entry.runId === null) return FINAL.has(entry.state);
  }
  for (let offset = 0; ; offset += PAGE) {
    const { events, total } = await client.ask<{
      events: readonly TimelineEvent[];
      total: number;
    }>("GET", `/runs/${run}/timeline?offset=${offset}&limit=${PAGE}`);
    for (const event of events) print(event, options);
    if (offset + PAGE >= total) break;
  }
  const { run: now } = await client.ask<{ run: { state: string } }>(
    "GET",
    `/runs/${run}`,
  );
  return now.state !== "running";
}

/** Whether it was the last. */
function printNews(
  { type, data }: DaemonNews,
  options: OutputOptions,
): boolean {
  const at = typeof data["at"] === "number" ? data["at"] : Date.now();
  if (type === "run.event") {
    const { type: kind, ...details } = data["event"] as { type: string };
    // ten a second would drown the rest; `millrace inspect` shows it
    if (kind !== "stream.progress") print({ at, kind, details }, options);
    return false;
  }
  if (type === "gap") {
    print({ at, kind: type, details: data }, options);
    return false;
  }
  const { state } = data;
  print({ at, kind: type, details: { state } }, options);
  return typeof state === "string" && FINAL.has(state);
}

function print(event: TimelineEvent, { json }: OutputOptions): void {
  if (json === true) {
    printJson(event);
    return;
  }
  const paint = createPaint(hasColours(process.stdout));
  const details = Object.entries(event.details)
    .map(([name, value]) => `${name}=${describe(value)}`)
    .join(" ");
  printOut(
    `${paint.dim(printTime(event.at))} ${paint.bold(sanitize(event.kind))} ${sanitize(details)}`.trimEnd(),
  );
}

function describe(value: unknown): string {
  return typeof value === "string" ? value : JSON.stringify(value);
}
