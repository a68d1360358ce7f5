import type { Ledger } from "../../../checkpoint/store/ledger.ts";
import type {
  RunRecord,
  StreamRecord,
} from "../../../checkpoint/store/records.ts";
import type { DurableReport } from "../../../proto/checkpoint.ts";
import type { Partition, Position } from "../../../proto/partition.ts";
import { chooseRun, openLedger } from "../ledger-access.ts";
import type { OutputOptions } from "../options.ts";
import { describeError, printJson, printOut } from "../print.ts";
import { describeRange } from "../ranges.ts";
import { describeState } from "../run-state.ts";
import { renderTable } from "../table.ts";
import { createPaint, hasColours, sanitize, type Paint } from "../terminal.ts";
import {
  printBytes,
  printCount,
  printDuration,
  printQuantity,
  printTime,
} from "../values.ts";
import { nameTable } from "../../../proto/table-name.ts";

interface StateOptions extends OutputOptions {
  readonly ledger?: string;
  readonly partitions?: boolean;
  readonly timeline?: boolean;
}

/** A partition with what is durable of it. */
interface PartitionState {
  readonly partition: Partition;
  readonly done: boolean;
  readonly rows: number;
  readonly bytes: number;
  readonly files: number;
  /** Where reading would go on; null before the first checkpoint and where only the end counts. */
  readonly position: Position | null;
}

interface StreamView {
  readonly stream: StreamRecord;
  readonly partitions: readonly PartitionState[];
  readonly rows: number;
  readonly fileBytes: number;
  readonly files: number;
}

/** `millrace state`. Gives the exit code. */
export async function runState(
  destination: string | undefined,
  runId: string | undefined,
  options: StateOptions,
): Promise<number> {
  const opened = openLedger({ target: destination, path: options.ledger });
  const { ledger } = opened;
  try {
    const run = chooseRun(ledger, runId ?? opened.runId);
    const views = ledger
      .streamsOf(run.runId)
      .map((stream) => viewStream(ledger, run, stream));
    if (options.json === true) printJson(toJson(ledger, run, views));
    else printState(ledger, run, views, options);
    return 0;
  } finally {
    ledger.close();
  }
}

function viewStream(
  ledger: Ledger,
  run: RunRecord,
  stream: StreamRecord,
): StreamView {
  const reports = ledger.durableOf(run.runId, stream.number);
  const byPartition = Map.groupBy(reports, ({ partition }) => partition);
  const partitions = ledger
    .partitionsOf(run.runId, stream.number)
    .map((partition) =>
      viewPartition(partition, byPartition.get(partition.ordinal) ?? []),
    );
  const files = reports.flatMap((report) => report.files);
  return {
    stream,
    partitions,
    rows: reports.reduce((sum, { rows }) => sum + rows, 0),
    fileBytes: files.reduce((sum, { bytes }) => sum + bytes, 0),
    files: files.length,
  };
}

function viewPartition(
  partition: Partition,
  reports: readonly DurableReport[],
): PartitionState {
  const newest = reports.reduce<DurableReport | null>(
    (best, report) =>
      best === null ||
      report.epoch > best.epoch ||
      (report.epoch === best.epoch && report.index > best.index)
        ? report
        : best,
    null,
  );
  return {
    partition,
    done: reports.some(({ last }) => last),
    rows: reports.reduce((sum, { rows }) => sum + rows, 0),
    bytes: reports.reduce((sum, { bytes }) => sum + bytes, 0),
    files: reports.reduce((sum, { files }) => sum + files.length, 0),
    position: newest?.position ?? null,
  };
}

function toJson(
  ledger: Ledger,
  run: RunRecord,
  views: readonly StreamView[],
): object {
  const { requestJson, ...rest } = run;
  return {
    ...rest,
    state: describeState(run),
    request: JSON.parse(requestJson) as unknown,
    snapshots: ledger.snapshotsOf(run.runId).length,
    streams: views.map(({ stream, partitions, rows, fileBytes, files }) => ({
      number: stream.number,
      namespace: stream.namespace,
      name: stream.name,
      mode: stream.mode,
      state: stream.state,
      generation: stream.generation,
      error: stream.error,
      rows,
      fileBytes,
      files,
      partitions: partitions.map(({ partition, ...state }) => ({
        ordinal: partition.ordinal,
        split: partition.split,
        ...state,
      })),
    })),
    timeline: ledger.eventsOf(run.runId).map(({ at, kind, detailsJson }) => ({
      at,
      kind,
      details: JSON.parse(detailsJson) as unknown,
    })),
  };
}

function printState(
  ledger: Ledger,
  run: RunRecord,
  views: readonly StreamView[],
  options: StateOptions,
): void {
  const paint = createPaint(hasColours(process.stdout));
  const width = process.stdout.isTTY ? process.stdout.columns : null;
  const lines = [
    `run ${paint.bold(run.runId)}: ${describeState(run)}, ${run.mode}`,
    `started ${printTime(run.startedAt)}, ` +
      (run.finishedAt === null
        ? ""
        : `ended ${printTime(run.finishedAt)} after ${printDuration(run.finishedAt - run.startedAt)}, `) +
      printQuantity(run.epoch, "attempt"),
    "",
    ...renderStreams(views, paint, width),
  ];
  if (options.partitions === true) {
    for (const view of views)
      lines.push(...renderPartitions(view, paint, width));
  }
  if (options.timeline === true) {
    lines.push("", ...renderTimeline(ledger, run, paint, width));
  }
  const errors = [run.error, ...views.map(({ stream }) => stream.error)];
  for (const error of errors) {
    if (error !== null) lines.push("", describeError(error, paint));
  }
  printOut(lines.join("\n"));
}

function renderStreams(
  views: readonly StreamView[],
  paint: Paint,
  width: number | null,
): string[] {
  if (views.length === 0) return ["no table has been planned"];
  return renderTable(
    [
      { title: "table", shrinks: true },
      { title: "state" },
      { title: "partitions", align: "right" },
      { title: "rows", align: "right" },
      { title: "files", align: "right" },
      { title: "size", align: "right" },
      { title: "generation", align: "right" },
    ],
    views.map(({ stream, partitions, rows, files, fileBytes }) => [
      nameTable(stream),
      stream.state,
      `${printCount(partitions.filter(({ done }) => done).length)}/${printCount(partitions.length)}`,
      printCount(rows),
      printCount(files),
      printBytes(fileBytes),
      String(stream.generation),
    ]),
    paint,
    width,
  );
}

function renderPartitions(
  { stream, partitions }: StreamView,
  paint: Paint,
  width: number | null,
): string[] {
  return [
    "",
    paint.bold(sanitize(nameTable(stream))),
    ...renderTable(
      [
        { title: "partition", align: "right" },
        { title: "range", shrinks: true },
        { title: "rows", align: "right" },
        { title: "files", align: "right" },
        { title: "durable", shrinks: true },
      ],
      partitions.map((state) => [
        String(state.partition.ordinal),
        describeRange(state.partition),
        printCount(state.rows),
        printCount(state.files),
        describeDurable(state),
      ]),
      paint,
      width,
    ),
  ];
}

function describeDurable({ done, rows, position }: PartitionState): string {
  if (done) return "all";
  if (position === null) return rows === 0 ? "nothing" : "in part";
  switch (position.kind) {
    case "pages":
      return `to before page ${position.nextPage}`;
    case "key":
      return `to ${position.after.join(", ")}`;
    case "log":
      return `to ${position.after}`;
  }
}

function renderTimeline(
  ledger: Ledger,
  run: RunRecord,
  paint: Paint,
  width: number | null,
): string[] {
  return renderTable(
    [
      { title: "time" },
      { title: "event" },
      { title: "details", shrinks: true },
    ],
    ledger
      .eventsOf(run.runId)
      .map(({ at, kind, detailsJson }) => [printTime(at), kind, detailsJson]),
    paint,
    width,
  );
}
