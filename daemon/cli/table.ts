import {
  cutText,
  measureWidth,
  padText,
  sanitize,
  type Paint,
} from "./terminal.ts";

export interface TableColumn {
  readonly title: string;
  readonly align?: "left" | "right";
  /** May be cut when the table is wider than the terminal. */
  readonly shrinks?: boolean;
}

const CELL_WIDTH_MIN = 8;
const GAP = "  ";

/**
 * Lines of a table: titles, then rows, columns parted by two blanks. A table wider than `widthMax` gives up width in
 * its shrinking columns, the widest first; null does not cut.
 */
export function renderTable(
  columns: readonly TableColumn[],
  rows: readonly (readonly string[])[],
  paint: Paint,
  widthMax: number | null,
): string[] {
  const cells = rows.map((row) => row.map(sanitize));
  const widths = columns.map(({ title }, i) =>
    cells.reduce(
      (width, row) => Math.max(width, measureWidth(row[i] ?? "")),
      measureWidth(title),
    ),
  );
  if (widthMax !== null) shrinkWidths(columns, widths, widthMax);
  const line = (row: readonly string[]) =>
    columns
      .map(({ align }, i) => {
        const width = widths[i] ?? 0;
        return padText(cutText(row[i] ?? "", width), width, align);
      })
      .join(GAP)
      .trimEnd();
  return [
    paint.dim(line(columns.map(({ title }) => title))),
    ...cells.map(line),
  ];
}

function shrinkWidths(
  columns: readonly TableColumn[],
  widths: number[],
  widthMax: number,
): void {
  const total = () =>
    widths.reduce((sum, width) => sum + width, 0) +
    GAP.length * (widths.length - 1);
  while (total() > widthMax) {
    const widest = columns.reduce((best, column, i) => {
      if (column.shrinks !== true) return best;
      return best < 0 || (widths[i] ?? 0) > (widths[best] ?? 0) ? i : best;
    }, -1);
    if (widest < 0 || (widths[widest] ?? 0) <= CELL_WIDTH_MIN) return;
    widths[widest] = Math.max(
      CELL_WIDTH_MIN,
      (widths[widest] ?? 0) - Math.max(1, total() - widthMax),
      // never below the second widest, so that the loss is shared
      ...columns
        .map(({ shrinks }, i) =>
          shrinks && i !== widest ? (widths[i] ?? 0) : 0,
        )
        .map((width) => Math.min(width, (widths[widest] ?? 0) - 1)),
    );
  }
}
