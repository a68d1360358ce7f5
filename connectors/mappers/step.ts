/** What the steps of a mapper have in common: a plan from columns to columns, and the work on one batch. */
import type { ColumnBatch } from "../../proto/columns.ts";
import { nearestNames } from "../../proto/nearest.ts";
import type { ColumnSchema } from "../../proto/schema.ts";

/** What is wrong with a step, and where in the configuration. Never a secret. */
export interface MapperFault {
  /** From the list of steps on, e.g. `[2, "hash", "columns", 0]`. */
  readonly path: readonly (string | number)[];
  readonly reason: string;
}

/** How a column is still the one that was read. */
export interface TrackedColumn {
  readonly column: ColumnSchema;
  /** Its place in the stream's key; null for a column outside, or one that no longer tells its values apart. */
  readonly keyIndex: number | null;
  /** The destination merges rows on it. */
  readonly isMerged: boolean;
  /** The newest of merged rows is found by it. */
  readonly isOrder: boolean;
  /** Its plain values are in positions: it is a key column, or the cursor. */
  readonly isInPositions: boolean;
}

/** What a step does to a batch; null where no row is left. The batch is borrowed; columns that stay are passed on. */
export type ApplyStep = (batch: ColumnBatch) => ColumnBatch | null;

export interface PlannedStep {
  readonly columns: readonly TrackedColumn[];
  readonly apply: ApplyStep;
}

export class StepContext {
  readonly columns: readonly TrackedColumn[];
  readonly #path: readonly (string | number)[];
  readonly #faults: MapperFault[];
  readonly #warnings: string[];

  constructor(
    columns: readonly TrackedColumn[],
    path: readonly (string | number)[],
    faults: MapperFault[],
    warnings: string[],
  ) {
    this.columns = columns;
    this.#path = path;
    this.#faults = faults;
    this.#warnings = warnings;
  }

  fail(path: readonly (string | number)[], reason: string): void {
    this.#faults.push({ path: [...this.#path, ...path], reason });
  }

  warn(message: string): void {
    this.#warnings.push(message);
  }

  /** The column's index; null, and a fault with the nearest names, where there is none. */
  find(name: string, path: readonly (string | number)[]): number | null {
    const index = this.columns.findIndex(({ column }) => column.name === name);
    if (index >= 0) return index;
    this.fail(path, describeMissing(name, this.columns));
    return null;
  }

  /** The indexes of columns that are to be changed: those that there are, each once. */
  findEach(
    names: readonly string[],
    path: readonly (string | number)[],
  ): number[] {
    const found = new Set<number>();
    names.forEach((name, i) => {
      const index = this.find(name, [...path, i]);
      if (index === null) return;
      if (found.has(index)) this.fail([...path, i], `${name} is named twice`);
      found.add(index);
    });
    return [...found];
  }

  /** A fault where a column goes that rows are merged on, or ordered by, and a warning where its values stay in positions. */
  checkGone(
    { column, isMerged, isOrder, isInPositions }: TrackedColumn,
    what: string,
    path: readonly (string | number)[],
  ): void {
    if (isMerged)
      this.fail(
        path,
        `rows are merged on ${column.name}: it cannot be ${what}`,
      );
    else if (isOrder)
      this.fail(
        path,
        `the newest row is found by ${column.name}: it cannot be ${what}`,
      );
    if (isInPositions) this.warnOfPositions(column.name);
  }

  warnOfPositions(name: string): void {
    this.warn(
      `${name} is a key or cursor column: some of its values stay readable in the ledger and in the markers of files, which say where a resume goes on`,
    );
  }
}

export function describeMissing(
  name: string,
  columns: readonly TrackedColumn[],
): string {
  const near = nearestNames(
    name,
    columns.map(({ column }) => column.name),
  );
  return `there is no column ${name}${near.length > 0 ? `; did you mean ${near.join(" or ")}?` : ""}`;
}

/** A step that changes whole columns: `change` gets the vector and its index. */
export function mapColumns(
  indexes: readonly number[],
  change: (
    vector: ColumnBatch["columns"][number],
    rowCount: number,
    index: number,
  ) => ColumnBatch["columns"][number],
): ApplyStep {
  const changed = new Set(indexes);
  return ({ rowCount, columns }) => ({
    rowCount,
    columns: columns.map((vector, i) =>
      changed.has(i) ? change(vector, rowCount, i) : vector,
    ),
  });
}
