/**
 * Histograms of statistics, made anew from the rows.
 * @see SQL Server docs, "sys.dm_db_stats_histogram (Transact-SQL)"
 */
import type { DatabaseSync } from "node:sqlite";
import type { Storage } from "../types/storage.ts";
import { makeType } from "../types/types.ts";
import { packVariant } from "../types/variant.ts";
import { keyOf } from "../types/convert.ts";
import { physicalColumn, physicalTable, type Catalogue } from "./catalogue.ts";
import { keySql, type ScopeColumn } from "./scope.ts";

/** The server makes 200 steps at most. */
const STEPS_MAX = 200;

const int = makeType("int");
const real = makeType("real");

const field = (name: string, type: typeof int, sql: string): ScopeColumn => ({
  ...{ name, type, nullable: true, sql },
});

/** `{}` stands for the row of the function that gives the steps. */
export const histogramColumns: readonly ScopeColumn[] = [
  field("object_id", int, "({}.value ->> '$[0]')"),
  field("stats_id", int, "({}.value ->> '$[1]')"),
  field("step_number", int, "({}.value ->> '$[2]')"),
  field(
    "range_high_key",
    makeType("sql_variant"),
    "unhex({}.value ->> '$[3]')",
  ),
  field("range_rows", real, "({}.value ->> '$[4]')"),
  field("equal_rows", real, "({}.value ->> '$[5]')"),
  field("distinct_range_rows", makeType("bigint"), "({}.value ->> '$[6]')"),
  field("average_range_rows", real, "({}.value ->> '$[7]')"),
];

interface Step {
  high: Storage;
  key: string;
  rangeRows: number;
  equalRows: number;
  distinct: number;
}

const keyText = (key: Storage) =>
  key instanceof Uint8Array ? Buffer.from(key).toString("hex") : String(key);

/** The steps as JSON, over the first column of the statistics. Empty for a type that sql_variant does not take. */
export function makeHistogram(
  db: DatabaseSync,
  catalogue: Catalogue,
  tableId: number,
  statsId: number,
): string {
  const table = catalogue.findById(tableId);
  const stats = table?.statistics.find(({ id }) => id === statsId);
  const column = table?.columns.find(({ id }) => id === stats?.columnIds[0]);
  if (table === null || column === undefined) return "[]";
  if (
    column.type.length === -1 ||
    ["xml", "text", "ntext", "image", "udt", "rowversion"].includes(
      column.type.kind,
    )
  )
    return "[]";
  const name = physicalColumn(column.id);
  const count = Number(
    db.prepare(`SELECT count(*) AS n FROM ${physicalTable(table)}`).get()?.[
      "n"
    ] ?? 0,
  );
  const statement = db.prepare(
    `SELECT ${name} FROM ${physicalTable(table)} ORDER BY ${keySql(name, column.type)}`,
  );
  statement.setReadBigInts(true);
  statement.setReturnArrays(true);
  const steps: Step[] = [];
  const rowsPerStep = Math.ceil(count / (STEPS_MAX - 1));
  for (const row of statement.iterate() as unknown as Iterable<Storage[]>) {
    const high = row[0]!;
    const key = keyText(keyOf(high, column.type));
    const last = steps.at(-1);
    if (last?.key === key) {
      last.equalRows += 1;
      continue;
    }
    // the first step is the smallest value alone
    const begins =
      last === undefined ||
      steps.length === 1 ||
      last.rangeRows + last.equalRows >= rowsPerStep;
    if (begins)
      steps.push({ high, key, rangeRows: 0, equalRows: 1, distinct: 0 });
    else
      steps[steps.length - 1] = {
        ...{ high, key, equalRows: 1, distinct: last.distinct + 1 },
        rangeRows: last.rangeRows + last.equalRows,
      };
  }
  return JSON.stringify(
    steps.map((step, i) => [
      ...[tableId, statsId, i + 1],
      step.high === null
        ? null
        : packVariant(step.high, column.type).toString("hex"),
      ...[step.rangeRows, step.equalRows, step.distinct],
      step.distinct === 0 ? 1 : step.rangeRows / step.distinct,
    ]),
  );
}
