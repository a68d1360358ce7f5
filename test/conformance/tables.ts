/** Makes the neutral tables in a source, by plain SQL that all of them take. */
import type { OpenSource, SourceDriver } from "./drivers.ts";
import type { NeutralColumn, Row, Table } from "./model.ts";

/** SQL Server takes at most 1,000 rows in one VALUES. */
const ROWS_PER_INSERT = 500;
/** A statement stays below what servers take by default. Characters. */
const INSERT_CHARS_MAX = 500_000;

/** A source being filled. */
export interface Workplace {
  readonly driver: SourceDriver;
  readonly source: OpenSource;
}

export async function createTable(
  { driver, source }: Workplace,
  table: Table,
): Promise<void> {
  const { quoteName, addNullableKey } = driver;
  const columns = table.columns.map((column) => declare(driver, column));
  const key = table.primaryKey
    ? [`PRIMARY KEY (${table.primaryKey.map(quoteName).join(", ")})`]
    : [];
  await source.exec(
    `CREATE TABLE ${quoteName(table.name)} (${[...columns, ...key].join(", ")})`,
  );
  if (table.nullableKey) await source.exec(addNullableKey(table));
}

export async function addColumn(
  { driver, source }: Workplace,
  table: Table,
  column: NeutralColumn,
): Promise<Table> {
  await source.exec(
    // SQL Server knows no COLUMN here, and the others do without
    `ALTER TABLE ${driver.quoteName(table.name)} ADD ${declare(driver, column)}`,
  );
  return { ...table, columns: [...table.columns, column] };
}

function declare(
  { quoteName, typeName }: SourceDriver,
  column: NeutralColumn,
): string {
  const rule = column.required ? "NOT NULL" : "NULL";
  return `${quoteName(column.name)} ${typeName(column)} ${rule}`;
}

export async function insertRows(
  { driver, source }: Workplace,
  table: Table,
  rows: readonly Row[],
): Promise<void> {
  const insert = `INSERT INTO ${driver.quoteName(table.name)} VALUES `;
  let tuples: string[] = [];
  let chars = 0;
  const flush = async (): Promise<void> => {
    if (tuples.length > 0) await source.exec(insert + tuples.join(", "));
    tuples = [];
    chars = 0;
  };
  for (const row of rows) {
    const values = table.columns.map((column, i) => {
      const cell = row[i] ?? null;
      return cell === null ? "NULL" : driver.literal(column, cell);
    });
    const tuple = `(${values.join(", ")})`;
    if (
      tuples.length >= ROWS_PER_INSERT ||
      chars + tuple.length > INSERT_CHARS_MAX
    )
      await flush();
    tuples.push(tuple);
    chars += tuple.length;
  }
  await flush();
}

/**
 * Copies the rows that are there, numbered from 1 in `id`, until there are `count`. What is in `growing` grows with the
 * number, the rest repeats.
 */
export async function multiplyRows(
  { driver, source }: Workplace,
  table: Table,
  rowsThere: number,
  count: number,
  growing: Readonly<Record<string, number>> = {},
): Promise<void> {
  const { quoteName } = driver;
  const name = quoteName(table.name);
  const id = quoteName("id");
  for (let rows = rowsThere; rows < count; rows *= 2) {
    const columns = table.columns.map((column) => {
      const step = column.name === "id" ? 1 : growing[column.name];
      const quoted = quoteName(column.name);
      return step === undefined ? quoted : `${quoted} + ${step * rows}`;
    });
    await source.exec(
      `INSERT INTO ${name} SELECT ${columns.join(", ")} FROM ${name} WHERE ${id} <= ${count - rows}`,
    );
  }
}
