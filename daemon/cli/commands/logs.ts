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
import { isRunId } from "./order.ts";
import { checkName } from "./trigger.ts";

const PAGE = 1000;
/** Of a sync, the newest. */
const SYNC_EVENTS = 100;
const FINAL = new Set(["succeeded", "failed", "cancelled"]);

interface LogsOptions extends OutputOptions, DaemonOptions {
  readonly follow?: boolean;
}

interface TimelineEvent {
  readonly at: number;
  readonly kind: string;
  readonly details: Readonly<Record<string, unknown>>;
  /** Of a sync's timeline only; null for what is of no run. */
  readonly runId?: string | null;
}

/** `millrace logs`. Gives the exit code. */
export async function runLogs(
  run: string,
  options: LogsOptions,
): Promise<number> {
  const client = new DaemonClient(findDaemon(options));
  if (!isRunId(run)) return printSync(client, checkName(run), options);
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

/** The newest events of a sync, oldest first; with `--follow` those that come, until it is interrupted. */
async function printSync(
  client: DaemonClient,
  sync: string,
  options: LogsOptions,
): Promise<number> {
  const name = encodeURIComponent(sync);
  const stop = new AbortController();
  const news =
    options.follow === true ? client.follow(`sync=${name}`, stop.signal) : null;
  let next = news?.next() ?? null;
  next?.catch(() => {
    // told where it is waited for
  });
  try {
    const { events } = await client.ask<{ events: readonly TimelineEvent[] }>(
      "GET",
      `/syncs/${name}/timeline?limit=${SYNC_EVENTS}`,
    );
    for (const event of events.toReversed()) print(event, options);
    while (news !== null && next !== null) {
      const { value, done } = await next;
      if (done === true) break;
      printNews(value, options);
      next = news.next();
    }
    return 0;
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
  const ofRun = typeof event.runId === "string" ? { run: event.runId } : {};
  const details = Object.entries({ ...ofRun, ...event.details })
    .map(([name, value]) => `${name}=${describe(value)}`)
    .join(" ");
  printOut(
    `${paint.dim(printTime(event.at))} ${paint.bold(sanitize(event.kind))} ${sanitize(details)}`.trimEnd(),
  );
}

function describe(value: unknown): string {
  return typeof value === "string" ? value : JSON.stringify(value);
}
