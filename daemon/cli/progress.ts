/**
 * Live progress of a run: on a terminal a few lines that are drawn over, elsewhere a plain line now and then. Drawn by
 * hand: a bar library would have to be told which lines to add and drop at each turn, and costs start-up time.
 */
import type { RunEvent, StreamSummary } from "../request.ts";
import { describeDifference } from "../schema-changes.ts";
import {
  applyEvent,
  createProgressState,
  estimateRemainingMs,
  measureRate,
  measureShare,
  sumStreams,
  type ProgressState,
  type StreamProgress,
} from "./progress-state.ts";
import {
  WIDTH_DEFAULT,
  coverSecrets,
  createPaint,
  cutText,
  hasColours,
  padText,
  sanitize,
  sanitizeLines,
  type Output,
  type Paint,
} from "./terminal.ts";
import {
  printByteRate,
  printBytes,
  printCount,
  printDuration,
  printLag,
  printQuantity,
  printRowRate,
} from "./values.ts";
import { nameTable } from "../../proto/table-name.ts";

export const DRAW_INTERVAL_MS = 100;
export const LINE_INTERVAL_MS = 3000;
/** Streams shown at a time; the rest is in the total. */
export const ACTIVE_LINES_MAX = 8;
const BAR_WIDTH = 20;
const NAME_WIDTH_MAX = 32;

export interface Progress {
  observe(event: RunEvent): void;
  /** Removes what is drawn over and stops all timers. */
  close(): void;
}

export function createProgress(
  output: Output,
  now: () => number = () => performance.now(),
): Progress {
  return output.isTTY === true && process.env["TERM"] !== "dumb"
    ? createLive(output, now)
    : createPlain(output, now);
}

/** Lines above the live part stay; the live part is drawn anew below them. */
function createLive(output: Output, now: () => number): Progress {
  const state = createProgressState(now());
  const paint = createPaint(hasColours(output));
  let linesDrawn = 0;
  let closed = false;
  const erase = () =>
    linesDrawn === 0 ? "" : `\u001b[${linesDrawn}A\r\u001b[0J`;
  const draw = (above: readonly string[] = []) => {
    const width = (output.columns ?? WIDTH_DEFAULT) - 1;
    const live = closed ? [] : renderLive(state, now(), width, paint);
    const lines = [...above, ...live];
    if (lines.length > 0 || linesDrawn > 0) {
      output.write(
        erase() + lines.map((line) => `${coverSecrets(line)}\n`).join(""),
      );
    }
    linesDrawn = live.length;
  };
  const timer = setInterval(draw, DRAW_INTERVAL_MS);
  timer.unref();
  return {
    observe(event) {
      applyEvent(state, event, now());
      const above = describeEvent(event, state, now(), paint);
      if (above.length > 0) draw(above);
    },
    close() {
      if (closed) return;
      closed = true;
      clearInterval(timer);
      draw();
    },
  };
}

function createPlain(output: Output, now: () => number): Progress {
  const state = createProgressState(now());
  const paint = createPaint(false);
  const write = (lines: readonly string[]) => {
    for (const line of lines) output.write(`${coverSecrets(line)}\n`);
  };
  const timer = setInterval(
    () => write(renderPlain(state, now())),
    LINE_INTERVAL_MS,
  );
  timer.unref();
  return {
    observe(event) {
      applyEvent(state, event, now());
      write(describeEvent(event, state, now(), paint));
    },
    close: () => clearInterval(timer),
  };
}

/** The lines an event leaves behind for good; most leave none. */
function describeEvent(
  event: RunEvent,
  state: ProgressState,
  nowMs: number,
  paint: Paint,
): string[] {
  switch (event.type) {
    case "run.started":
      return describeStart(event, paint);
    case "stream.finished": {
      const started = state.streams.get(event.summary.number)?.startedMs;
      const elapsedMs = nowMs - (started ?? nowMs);
      return [describeFinish(event.summary, elapsedMs, paint)];
    }
    case "warning":
      return [`${paint.yellow("warning")} ${sanitizeLines(event.message)}`];
    case "schema.changed": {
      const { stream, difference } = event;
      return [
        `${paint.yellow("changed")} ${sanitizeLines(`${nameTable(stream)}: ${describeDifference(difference)}`)}`,
      ];
    }
    case "log.event":
      return event.kind === "log.started"
        ? []
        : [`${paint.yellow("log")} ${sanitizeLines(event.message)}`];
    case "stream.planned":
    case "stream.progress":
    case "log.progress":
    case "run.finished":
      return [];
  }
}

function describeStart(
  event: Extract<RunEvent, { type: "run.started" }>,
  paint: Paint,
): string[] {
  const { runId, resumed } = event;
  if (resumed === null) return [`${paint.bold("run")} ${runId}`];
  const snapshot = resumed.snapshotKept
    ? "under the same snapshot"
    : "under a new snapshot";
  return [
    `${paint.bold("run")} ${runId} resumed ${snapshot}: ` +
      `${printQuantity(resumed.rowsKept, "row")} kept, ` +
      `about ${printQuantity(resumed.rowsToReadAgain, "row")} to read again`,
  ];
}

function describeFinish(
  summary: StreamSummary,
  elapsedMs: number,
  paint: Paint,
): string {
  const name = nameStream(summary);
  if (summary.state !== "committed") {
    const reason =
      summary.error === null
        ? "not finished"
        : `${summary.error.code}: ${sanitizeLines(summary.error.message)}`;
    return `${paint.red("✗")} ${name} ${reason}`;
  }
  const facts = [
    printQuantity(summary.rows, "row"),
    printBytes(summary.fileBytes),
    printQuantity(summary.files, "file"),
    printDuration(elapsedMs),
  ];
  return `${paint.green("✓")} ${name} ${facts.join(", ")}`;
}

function nameStream(ref: {
  readonly namespace: string;
  readonly name: string;
}): string {
  return sanitize(nameTable(ref));
}

/** The part that is drawn over: the streams at work, and the total below them. */
function renderLive(
  state: ProgressState,
  nowMs: number,
  width: number,
  paint: Paint,
): string[] {
  const active = [...state.streams.values()]
    .filter(({ finished, bytesRead }) => !finished && bytesRead > 0)
    .sort((a, b) => b.lastMs - a.lastMs)
    .slice(0, ACTIVE_LINES_MAX)
    .sort((a, b) => a.ref.number - b.ref.number);
  const nameWidth = Math.min(
    NAME_WIDTH_MAX,
    Math.max(5, ...active.map(({ ref }) => nameStream(ref).length)),
  );
  if (state.streams.size === 0) return [];
  return [
    ...active.map((stream) =>
      renderStream(stream, nowMs, nameWidth, width, paint),
    ),
    renderTotal(state, nowMs, nameWidth, width, paint),
  ];
}

function renderStream(
  stream: StreamProgress,
  nowMs: number,
  nameWidth: number,
  width: number,
  paint: Paint,
): string {
  const name = padText(cutText(nameStream(stream.ref), nameWidth), nameWidth);
  const elapsedMs = nowMs - stream.startedMs;
  const facts = [
    printQuantity(stream.rowsRead, "row"),
    printByteRate(stream.bytesRead, elapsedMs),
    `${printCount(stream.partitionsDone)}/${printQuantity(stream.partitions, "partition")}`,
  ];
  return fitLine(name, measureShare(stream), facts, width, paint);
}

function renderTotal(
  state: ProgressState,
  nowMs: number,
  nameWidth: number,
  width: number,
  paint: Paint,
): string {
  const totals = sumStreams(state);
  const rate = measureRate(state, nowMs);
  const remainingMs = estimateRemainingMs(state, nowMs);
  const facts = [
    printQuantity(totals.rows, "row"),
    ...(rate === null ? [] : [printByteRate(rate.bytes, 1)]),
    `${printCount(totals.streamsDone)}/${printQuantity(totals.streams, "table")}`,
    printDuration(nowMs - state.startedMs),
    ...describeLag(state),
    ...(remainingMs === null || remainingMs < 1000
      ? []
      : [`about ${printDuration(remainingMs)} left`]),
  ];
  const share = Math.min(
    0.99,
    totals.bytes / Math.max(1, totals.bytesEstimated),
  );
  const done = totals.streamsDone === totals.streams;
  return fitLine(
    padText("total", nameWidth),
    done ? 1 : share,
    facts,
    width,
    paint,
  );
}

function describeLag({ log }: ProgressState): string[] {
  const lag = log && printLag(log, Date.now());
  return lag === null ? [] : [lag];
}

/** A line never wraps, since wrapped lines cannot be drawn over: first the bar goes, then the facts from behind. */
function fitLine(
  name: string,
  share: number,
  facts: readonly string[],
  width: number,
  paint: Paint,
): string {
  const percent = `${Math.floor(share * 100)}%`.padStart(4);
  const withBar = name.length + 1 + BAR_WIDTH + 1 + percent.length;
  const tail = facts.join("  ");
  if (withBar + 2 + tail.length <= width) {
    const full = Math.round(share * BAR_WIDTH);
    const bar =
      paint.cyan("█".repeat(full)) + paint.dim("░".repeat(BAR_WIDTH - full));
    return `${name} ${bar} ${percent}  ${tail}`;
  }
  return cutText(`${name} ${percent}  ${tail}`, Math.max(1, width));
}

/** One line about everything; empty before anything is planned and once all is done. */
function renderPlain(state: ProgressState, nowMs: number): string[] {
  const totals = sumStreams(state);
  if (totals.streams === 0 || totals.streamsDone === totals.streams) return [];
  const rate = measureRate(state, nowMs);
  const remainingMs = estimateRemainingMs(state, nowMs);
  const facts = [
    `${printQuantity(totals.rows, "row")} read`,
    printBytes(totals.bytes),
    ...(rate === null
      ? []
      : [printRowRate(rate.rows, 1), printByteRate(rate.bytes, 1)]),
    `${printCount(totals.partitionsDone)}/${printQuantity(totals.partitions, "partition")}`,
    `${printCount(totals.streamsDone)}/${printQuantity(totals.streams, "table")}`,
    printDuration(nowMs - state.startedMs),
    ...describeLag(state),
    ...(remainingMs === null || remainingMs < 1000
      ? []
      : [`about ${printDuration(remainingMs)} left`]),
  ];
  return [facts.join(", ")];
}
