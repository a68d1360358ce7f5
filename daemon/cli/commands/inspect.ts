/** `millrace inspect`: a run's actors in the terminal, from a daemon or from a trace. */
import { createReadStream } from "node:fs";
import { basename } from "node:path";
import { createInterface } from "node:readline";
import { RecordOrder } from "../../inspector/record-order.ts";
import type { ListedRun } from "../../inspector/model/listed-run.ts";
import { readRecord } from "../../inspector/model/records.ts";
import {
  RunModel,
  type ModelSnapshot,
} from "../../inspector/model/run-model.ts";
import { ExtractError } from "../../../proto/error.ts";
import {
  findDaemon,
  type DaemonOptions,
  type DaemonPlace,
} from "../daemon-client.ts";
import { InspectClient } from "../inspect-client.ts";
import { renderRun } from "../inspect-tree.ts";
import type { OutputOptions } from "../options.ts";
import { printJson, printOut } from "../print.ts";
import { createPaint, hasColours } from "../terminal.ts";

const REDRAW_MS = 250;
/** Records of a trace that are put in order at a time. */
const ORDERED_RECORDS = 10_000;

export interface InspectOptions extends OutputOptions, DaemonOptions {
  readonly trace?: string;
  readonly once?: boolean;
  readonly url?: boolean;
  readonly all?: boolean;
}

/** Gives the exit code. */
export async function runInspect(
  wanted: string | undefined,
  options: InspectOptions,
): Promise<number> {
  if (options.trace !== undefined) {
    const model = await readTrace(options.trace);
    show(basename(options.trace), model, options, model.lastAt ?? 0);
    return 0;
  }
  const place: DaemonPlace = findDaemon(options);
  if (options.url === true) {
    printOut(nameInspectorPage(place));
    return 0;
  }
  const client = new InspectClient(place);
  const run = chooseRun(await client.runs(), wanted);
  const { base, first, lines } = await client.window(run.runId);
  const model = RunModel.from(base);
  for (const line of lines) takeIn(model, JSON.parse(line));
  const isDrawn =
    process.stdout.isTTY && options.json !== true && options.once !== true;
  if (!run.isLive || !isDrawn) {
    show(
      run.runId,
      model,
      options,
      run.isLive ? Date.now() : (model.lastAt ?? 0),
    );
    return 0;
  }
  await follow(client, run.runId, model, first + lines.length, options);
  return 0;
}

/** Behind the `#` a token stays in the browser: it is in no request line and no log. */
function nameInspectorPage({ url, token }: DaemonPlace): string {
  const page = new URL("/inspector/", url).href;
  return token === null ? page : `${page}#token=${encodeURIComponent(token)}`;
}

function chooseRun(
  runs: readonly ListedRun[],
  wanted: string | undefined,
): ListedRun {
  const found =
    wanted === undefined
      ? (runs.find(({ isLive }) => isLive) ?? runs[0])
      : runs.find(({ runId }) => runId.startsWith(wanted));
  if (found) return found;
  throw new ExtractError(
    "RUN_NOT_FOUND",
    wanted === undefined
      ? "the daemon has no run to look at yet"
      : `nothing is recorded of a run ${wanted}`,
    wanted === undefined ? {} : { runId: wanted },
  );
}

function takeIn(model: RunModel, value: unknown): void {
  const record = readRecord(value);
  if (record) model.apply(record);
}

/** Chunks of several processes are in it as they came: they are put in order over a stretch that is longer than that. */
async function readTrace(path: string): Promise<RunModel> {
  const model = new RunModel();
  const order = new RecordOrder();
  const input = createReadStream(path, { encoding: "utf8" });
  let count = 0;
  try {
    for await (const line of createInterface({ input })) {
      order.add(line, count++);
      if (order.size < 2 * ORDERED_RECORDS) continue;
      for (const { record } of order.take(count - ORDERED_RECORDS))
        model.apply(record);
    }
  } catch (cause) {
    throw new ExtractError(
      "USAGE",
      `${path} cannot be read`,
      { path },
      { cause },
    );
  }
  for (const { record } of order.take(count)) model.apply(record);
  if (model.sequence === 0)
    throw new ExtractError("USAGE", `${path} holds no inspection record`, {
      path,
    });
  return model;
}

function show(
  runId: string,
  model: RunModel,
  options: InspectOptions,
  now: number,
): void {
  if (options.json === true) {
    const snapshot: ModelSnapshot = model.snapshot();
    printJson({ runId, ...snapshot });
  } else printOut(render(runId, model, options, now).join("\n"));
}

function render(
  runId: string,
  model: RunModel,
  options: InspectOptions,
  now: number,
): string[] {
  const { stdout } = process;
  return renderRun(model, {
    runId,
    now,
    width: stdout.isTTY ? stdout.columns : null,
    // of a run that is over all are: only those would be shown
    showsOver: options.all === true || options.trace !== undefined,
    paint: createPaint(hasColours(stdout)),
  });
}

/** Draws in place until the run is over; the last picture stays. */
async function follow(
  client: InspectClient,
  runId: string,
  model: RunModel,
  after: number,
  options: InspectOptions,
): Promise<void> {
  let drawn = 0;
  const draw = (isLast: boolean): void => {
    const rows = process.stdout.rows || 24;
    const all = render(runId, model, options, Date.now());
    const lines = isLast ? all : all.slice(0, rows - 1);
    const back = drawn > 0 ? `\u001b[${drawn}A` : "";
    const text = lines.map((line) => `${line}\u001b[K\n`).join("");
    process.stdout.write(`${back}\r${text}\u001b[J`);
    drawn = lines.length;
  };
  const timer = setInterval(() => draw(false), REDRAW_MS);
  draw(false);
  try {
    for await (const record of client.follow(runId, after))
      takeIn(model, record);
  } finally {
    clearInterval(timer);
  }
  draw(true);
}
