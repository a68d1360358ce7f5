/** Shows how tables would be cut: for `plan`, and for `sync --dry-run`. */
import type { Plan, Partition } from "../../../proto/partition.ts";
import type {
  DiscoveredStream,
  Discovery,
} from "../../../connectors/sources/source.ts";
import { describeHop, listArchitectures } from "../../architectures.ts";
import { buildRequest } from "../../config-request.ts";
import { nameDestination } from "../../destinations.ts";
import type { SyncRequest } from "../../request.ts";
import { readSettings, type SyncOptions } from "../options.ts";
import { printJson, printOut } from "../print.ts";
import { quotePath } from "../paths.ts";
import { describeRange } from "../ranges.ts";
import { reportProblems } from "../problems.ts";
import { readSourceUrl } from "../request.ts";
import { renderTable } from "../table.ts";
import { createPaint, hasColours, sanitize, type Paint } from "../terminal.ts";
import {
  printBytes,
  printCount,
  printDuration,
  printQuantity,
} from "../values.ts";
import { nameTable } from "../../../proto/table-name.ts";

/** For the estimate of time only: what two cores reached on wide rows over a local connection. */
const BYTES_PER_MS_ASSUMED = 100_000;

/** Partitions listed per table; `--json` gives all. */
const PARTITIONS_LISTED_MAX = 12;

/** `millrace plan`. Gives the exit code: 4 when some table cannot be read. */
export function runPlan(source: string, options: SyncOptions): Promise<number> {
  const url = readSourceUrl(source);
  const settings = readSettings(options, process.cwd());
  return showPlan(
    buildRequest({ ...settings, url, destination: "/" }),
    options,
    null,
  );
}

/** Prints the plan of a request; `destination` is named for a dry run. */
export async function showPlan(
  request: SyncRequest,
  options: SyncOptions,
  destination: string | null = nameDestination(request.destination),
): Promise<number> {
  const { planSource } = await import("../../inspect-source.ts");
  const selection = {
    include: request.tables,
    exclude: request.exclude,
    columns: request.columns,
  };
  const { discovery, plans } = await planSource(
    request.source.url,
    selection,
    request,
  );
  const architecture = listArchitectures({
    source: request.source,
    destination: destination === null ? null : request.destination,
  });
  if (options.json === true) {
    printJson({
      plans: plans.map((plan) => toJson(plan, discovery)),
      architecture,
    });
  } else {
    const paint = createPaint(hasColours(process.stdout));
    const width = process.stdout.isTTY ? process.stdout.columns : null;
    printOut(renderPlans(plans, discovery, paint, width).join("\n"));
    for (const hop of architecture) printOut(sanitize(describeHop(hop)));
    if (destination !== null) {
      printOut(
        `nothing was moved; this sync would write ${request.format.format} files (${request.mode}) into ${quotePath(destination)}`,
      );
    }
  }
  return reportProblems(discovery);
}

function findStream(discovery: Discovery, number: number): DiscoveredStream {
  const found = discovery.streams.find(
    ({ schema }) => schema.number === number,
  );
  if (found === undefined)
    throw new Error(`stream ${number} was not discovered`);
  return found;
}

function toJson(plan: Plan, discovery: Discovery): object {
  const { schema } = findStream(discovery, plan.stream);
  return {
    namespace: schema.namespace,
    name: schema.name,
    rung: plan.rung,
    reason: plan.reason,
    estimatedRows: plan.estimatedRows,
    estimatedBytes: plan.estimatedBytes,
    estimatedMs: estimateMs(plan.estimatedBytes),
    partitions: plan.partitions,
  };
}

function estimateMs(bytes: number): number {
  return Math.round(bytes / BYTES_PER_MS_ASSUMED);
}

/** The lines for people: a table of all plans, then each plan's reason and partitions. */
function renderPlans(
  plans: readonly Plan[],
  discovery: Discovery,
  paint: Paint,
  widthMax: number | null,
): string[] {
  if (plans.length === 0) return ["no tables"];
  const name = (plan: Plan) => {
    const { schema } = findStream(discovery, plan.stream);
    return nameTable(schema);
  };
  const bytes = plans.reduce((sum, plan) => sum + plan.estimatedBytes, 0);
  const rows = plans.reduce((sum, plan) => sum + plan.estimatedRows, 0);
  return [
    ...renderTable(
      [
        { title: "table", shrinks: true },
        { title: "cut by" },
        { title: "partitions", align: "right" },
        { title: "rows", align: "right" },
        { title: "bytes", align: "right" },
        { title: "time", align: "right" },
      ],
      plans.map((plan) => [
        name(plan),
        rungNames[plan.rung],
        printCount(plan.partitions.length),
        `~${printCount(plan.estimatedRows)}`,
        `~${printBytes(plan.estimatedBytes)}`,
        `~${printDuration(estimateMs(plan.estimatedBytes))}`,
      ]),
      paint,
      widthMax,
    ),
    ...plans.flatMap((plan) => [
      "",
      `${paint.bold(sanitize(name(plan)))}: ${sanitize(plan.reason)}`,
      ...renderPartitions(plan.partitions, paint, widthMax),
    ]),
    "",
    `all in all about ${printQuantity(rows, "row")}, ${printBytes(bytes)}, ${printDuration(estimateMs(bytes))} at ${printBytes(BYTES_PER_MS_ASSUMED * 1000)}/s`,
  ];
}

const rungNames: Readonly<Record<Plan["rung"], string>> = {
  pages: "pages (ctid)",
  keyRanges: "key ranges",
  whole: "not cut",
  log: "changes only",
};

function renderPartitions(
  partitions: readonly Partition[],
  paint: Paint,
  widthMax: number | null,
): string[] {
  if (partitions.length < 2) return [];
  const shown = partitions.slice(0, PARTITIONS_LISTED_MAX);
  const lines = renderTable(
    [
      { title: "partition", align: "right" },
      { title: "range", shrinks: true },
      { title: "rows", align: "right" },
      { title: "bytes", align: "right" },
    ],
    shown.map((partition) => [
      String(partition.ordinal),
      describeRange(partition),
      `~${printCount(partition.estimatedRows)}`,
      `~${printBytes(partition.estimatedBytes)}`,
    ]),
    paint,
    widthMax,
  );
  const left = partitions.length - shown.length;
  if (left > 0) {
    lines.push(
      paint.dim(
        `and ${printQuantity(left, "more partition")}; --json lists all`,
      ),
    );
  }
  return lines;
}
