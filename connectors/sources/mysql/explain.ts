/** What the servers' optimisers say of a query: each in its own way. */
import type { Queryable } from "./sql.ts";

interface ExplainRow {
  readonly rows: number | string | null;
  /** Per cent of the rows that pass the conditions, as estimated. */
  readonly filtered: number | string | null;
}

/**
 * Rows that a SELECT looks at: of an index range, those that an index dive found between its ends.
 * @see MySQL manual, "EXPLAIN Output Format"; MariaDB documentation, "EXPLAIN"
 */
export async function estimateRows(
  connection: Queryable,
  select: string,
): Promise<number> {
  return largest(await explain(connection, select), ({ rows }) => Number(rows));
}

/** Rows of a SELECT behind its conditions. */
export async function estimateFiltered(
  connection: Queryable,
  select: string,
): Promise<number> {
  return largest(
    await explain(connection, select),
    ({ rows, filtered }) => Number(rows) * (Number(filtered ?? 100) / 100),
  );
}

function explain(connection: Queryable, select: string): Promise<ExplainRow[]> {
  // MySQL's form depends on a variable since 8.0.32; MariaDB knows the word EXTENDED alone, and tells no share without
  const words =
    connection.flavour === "mysql"
      ? "EXPLAIN FORMAT=TRADITIONAL"
      : "EXPLAIN EXTENDED";
  return connection.query<ExplainRow>(`${words} ${select}`);
}

/** A view has a row for each of its tables; what is known to be empty has none. */
function largest(
  rows: readonly ExplainRow[],
  measure: (row: ExplainRow) => number,
): number {
  return rows
    .map(measure)
    .filter((value) => Number.isFinite(value) && value > 0)
    .reduce((most, value) => Math.max(most, value), 0);
}
