/** What a run has moved, as a table for people. */
import type { RunSummary, StreamSummary } from "../request.ts";
import { renderTable, type TableColumn } from "./table.ts";
import { sanitizeLines, type Paint } from "./terminal.ts";
import {
  printByteRate,
  printBytes,
  printCount,
  printDuration,
  printQuantity,
  printRowRate,
} from "./values.ts";
import { nameTable } from "../../proto/table-name.ts";

/** Tables above this many are counted, not listed; failed ones are always listed. */
export const STREAMS_LISTED_MAX = 40;

const columns: readonly TableColumn[] = [
  { title: "table", shrinks: true },
  { title: "rows", align: "right" },
  { title: "read", align: "right" },
  { title: "files", align: "right" },
  { title: "size", align: "right" },
  { title: "partitions", align: "right" },
  { title: "state" },
  { title: "folder", shrinks: true },
];

/** The lines of the summary. `describeFolder` shortens a folder's path for the reader. */
export function renderSummary(
  summary: RunSummary,
  paint: Paint,
  widthMax: number | null,
  describeFolder: (path: string) => string = (path) => path,
): string[] {
  const listed = chooseListed(summary.streams);
  const left = summary.streams.length - listed.length;
  const lines: string[] = [];
  if (listed.length > 0) {
    const rows = listed.map((stream) => describeStream(stream, describeFolder));
    lines.push("", ...renderTable(columns, rows, paint, widthMax));
  }
  if (left > 0) {
    lines.push(
      paint.dim(`and ${printQuantity(left, "more table")}, committed`),
    );
  }
  lines.push("", describeTotal(summary, paint), ...describeRemarks(summary));
  return lines;
}

function chooseListed(streams: readonly StreamSummary[]): StreamSummary[] {
  if (streams.length <= STREAMS_LISTED_MAX) return [...streams];
  let free = STREAMS_LISTED_MAX;
  return [...streams]
    .sort((a, b) => b.rows - a.rows)
    .filter(({ state }) => state !== "committed" || free-- > 0);
}

function describeStream(
  stream: StreamSummary,
  describeFolder: (path: string) => string,
): string[] {
  return [
    nameTable(stream),
    printCount(stream.rows),
    printBytes(stream.bytesRead),
    printCount(stream.files),
    printBytes(stream.fileBytes),
    printCount(stream.partitions),
    stream.error === null
      ? stream.state
      : `${stream.state} (${stream.error.code})`,
    describeFolder(stream.folder),
  ];
}

function describeTotal(summary: RunSummary, paint: Paint): string {
  const sum = (pick: (stream: StreamSummary) => number) =>
    summary.streams.reduce((total, stream) => total + pick(stream), 0);
  const rows = sum(({ rows }) => rows);
  const kept = sum(({ rowsKept }) => rowsKept);
  const bytes = sum(({ bytesRead }) => bytesRead);
  const committed = summary.streams.filter(
    ({ state }) => state === "committed",
  ).length;
  const state = {
    succeeded: paint.green("done"),
    partlyFailed: paint.yellow("partly failed"),
    failed: paint.red("failed"),
    interrupted: paint.yellow("interrupted"),
  }[summary.state];
  if (summary.streams.length === 0) {
    return `${state}: no tables, ${printDuration(summary.elapsedMs)}`;
  }
  const facts = [
    committed === summary.streams.length
      ? `${printQuantity(rows, "row")} in ${printQuantity(committed, "table")}`
      : `${printQuantity(rows, "row")}, ${printCount(committed)} of ${printQuantity(summary.streams.length, "table")} committed`,
    `${printBytes(sum(({ fileBytes }) => fileBytes))} in ${printQuantity(
      sum(({ files }) => files),
      "file",
    )}`,
    printDuration(summary.elapsedMs),
    printRowRate(rows - kept, summary.elapsedMs),
    printByteRate(bytes, summary.elapsedMs),
  ];
  return `${state}: ${facts.join(", ")}`;
}

/** What a person should know beyond the figures. */
function describeRemarks(summary: RunSummary): string[] {
  const lines: string[] = [];
  const kept = summary.streams.reduce((sum, { rowsKept }) => sum + rowsKept, 0);
  const rows = summary.streams.reduce((sum, stream) => sum + stream.rows, 0);
  if (kept > 0 || (summary.epoch > 1 && summary.streams.length > 0)) {
    lines.push(
      `resumed: ${printQuantity(kept, "row")} kept, ${printQuantity(rows - kept, "row")} read in this attempt`,
    );
  }
  if (summary.snapshots > 1) {
    lines.push(
      `note: ${printCount(summary.snapshots)} snapshots were used; tables read under different ones may differ in time`,
    );
  }
  if (summary.quarantined) {
    const { events, path } = summary.quarantined;
    lines.push(
      `note: ${printQuantity(events, "event")} of the log could not be decoded, and what they have changed is not in the copy: ${path}`,
    );
  }
  for (const stream of summary.streams) {
    const name = nameTable(stream);
    for (const [column, count] of Object.entries(stream.valuesNulled)) {
      lines.push(
        `note: ${name}.${column}: ${printQuantity(count, "value")} could not be represented and became NULL`,
      );
    }
    if (stream.rowsWithoutCursor > 0) {
      lines.push(
        `note: ${name}: ${printQuantity(stream.rowsWithoutCursor, "row")} without a cursor left out`,
      );
    }
  }
  return lines.map(sanitizeLines);
}
