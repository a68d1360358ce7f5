/** Rows of a file as lines for people. */
import { toExactJson } from "./exact-json.ts";
import { renderTable } from "./table.ts";
import { cutText, padText, sanitize, type Paint } from "./terminal.ts";

export type Row = Readonly<Record<string, unknown>>;

/** A column narrower than this says nothing; a table that would need narrower ones is written down the page. */
const COLUMN_WIDTH_MIN = 8;

/** The lines; `widthMax` null cuts nothing. */
export function renderRows(
  rows: readonly Row[],
  paint: Paint,
  widthMax: number | null,
): string[] {
  const first = rows[0];
  if (first === undefined) return [];
  const names = [...new Set(rows.flatMap((row) => Object.keys(row)))];
  const widthLeast = names.reduce(
    (sum, name) => sum + Math.min(name.length, COLUMN_WIDTH_MIN) + 2,
    -2,
  );
  if (widthMax !== null && widthLeast > widthMax) {
    return rows.flatMap((row, i) => renderRecord(row, i, paint, widthMax));
  }
  const columns = names.map(
    (name) =>
      ({
        title: sanitize(name),
        align: rows.every((row) => isNumber(row[name])) ? "right" : "left",
        shrinks: true,
      }) as const,
  );
  const cells = rows.map((row) => names.map((name) => printValue(row[name])));
  return renderTable(columns, cells, paint, widthMax);
}

/** One line per column. */
function renderRecord(
  row: Row,
  index: number,
  paint: Paint,
  widthMax: number,
): string[] {
  const names = Object.keys(row).map(sanitize);
  const nameWidth = Math.min(
    Math.floor(widthMax / 3),
    Math.max(...names.map(({ length }) => length)),
  );
  return [
    paint.dim(`row ${index + 1}`),
    ...Object.values(row).map((value, i) => {
      const name = padText(cutText(names[i] ?? "", nameWidth), nameWidth);
      const text = sanitize(printValue(value));
      return `${name}  ${cutText(text, widthMax - nameWidth - 2)}`;
    }),
  ];
}

function isNumber(value: unknown): boolean {
  return (
    value === null || typeof value === "number" || typeof value === "bigint"
  );
}

function printValue(value: unknown): string {
  if (value === null || value === undefined) return "NULL";
  if (typeof value === "string") return value;
  if (typeof value === "object") return toExactJson(value);
  return String(value as number | bigint | boolean);
}
