import type {
  DiscoveredStream,
  Discovery,
} from "../../../connectors/sources/source.ts";
import type { ColumnSchema } from "../../../proto/schema.ts";
import type { OutputOptions } from "../options.ts";
import { printJson, printNote, printOut } from "../print.ts";
import { reportProblems } from "../problems.ts";
import { readSourceUrl } from "../request.ts";
import { renderTable } from "../table.ts";
import { createPaint, hasColours, sanitize, type Paint } from "../terminal.ts";
import { printCount, printQuantity } from "../values.ts";
import { nameTable } from "../../../proto/table-name.ts";

interface DiscoverOptions extends OutputOptions {
  readonly table?: readonly string[];
  readonly exclude?: readonly string[];
  readonly columns?: boolean;
}

/** `millrace discover`. Gives the exit code: 4 when some table cannot be read. */
export async function runDiscover(
  source: string,
  options: DiscoverOptions,
): Promise<number> {
  const url = readSourceUrl(source);
  const { discoverSource } = await import("../../inspect-source.ts");
  const discovery = await discoverSource(url, {
    include: options.table ?? [],
    exclude: options.exclude ?? [],
    columns: null,
  });
  if (options.json === true) {
    printJson(toJson(discovery));
  } else {
    const paint = createPaint(hasColours(process.stdout));
    const width = process.stdout.isTTY ? process.stdout.columns : null;
    const withColumns = options.columns === true;
    printOut(renderDiscovery(discovery, withColumns, paint, width).join("\n"));
    if (!withColumns && discovery.streams.length > 0) {
      printNote("--columns lists each table's columns");
    }
  }
  return reportProblems(discovery);
}

function toJson({ serverVersion, streams, problems }: Discovery): object {
  return {
    serverVersion,
    tables: streams.map((stream) => ({
      namespace: stream.schema.namespace,
      name: stream.schema.name,
      kind: stream.relationKind,
      estimatedRows: estimateRows(stream),
      key: stream.key?.columns.map(({ name }) => name) ?? null,
      fingerprint: stream.schema.fingerprint,
      columns: stream.schema.columns,
    })),
    problems,
  };
}

/** Null where a leaf was never analysed, or there is none to ask. */
function estimateRows({ leaves }: DiscoveredStream): number | null {
  if (leaves.length === 0) return null;
  return leaves.reduce<number | null>(
    (sum, { rowEstimate }) =>
      sum === null || rowEstimate < 0 ? null : sum + rowEstimate,
    0,
  );
}

/** The lines for people. */
function renderDiscovery(
  { streams }: Discovery,
  withColumns: boolean,
  paint: Paint,
  widthMax: number | null,
): string[] {
  if (streams.length === 0) return ["no tables that can be read"];
  const lines = renderTable(
    [
      { title: "table", shrinks: true },
      { title: "kind" },
      { title: "rows", align: "right" },
      { title: "columns", align: "right" },
      { title: "key", shrinks: true },
    ],
    streams.map((stream) => {
      const rows = estimateRows(stream);
      return [
        nameTable(stream.schema),
        kindNames[stream.relationKind],
        rows === null ? "–" : `~${printCount(rows)}`,
        printCount(stream.schema.columns.length),
        stream.key?.columns.map(({ name }) => name).join(", ") ?? "–",
      ];
    }),
    paint,
    widthMax,
  );
  for (const { schema } of withColumns ? streams : []) {
    lines.push(
      "",
      paint.bold(sanitize(nameTable(schema))),
      ...renderTable(
        [
          { title: "column", shrinks: true },
          { title: "type", shrinks: true },
          { title: "written as" },
          { title: "null" },
        ],
        schema.columns.map((column) => [
          column.name,
          column.sourceType,
          describeType(column),
          column.nullable ? "yes" : "no",
        ]),
        paint,
        widthMax,
      ),
    );
  }
  lines.push("", printQuantity(streams.length, "table"));
  return lines;
}

const kindNames: Readonly<Record<DiscoveredStream["relationKind"], string>> = {
  table: "table",
  partitioned: "partitioned",
  view: "view",
  materializedView: "materialised view",
  foreign: "foreign",
};

/** `decimal(18,4)`, `int64`, `text`. */
function describeType({ type }: ColumnSchema): string {
  if (type.kind === "decimalText") return "decimal as text";
  return type.precision === undefined
    ? type.kind
    : `decimal(${type.precision},${type.scale ?? 0})`;
}
