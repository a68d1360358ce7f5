/** The keys of a table: what its rows are ordered by on disk, and what tells them apart. Pure. */
import type { UsableKey } from "../source.ts";
import type { IndexRow } from "./catalog.ts";
import type { RangeKey, SourceColumn } from "./stream.ts";
import { classifyKeyType, keyType } from "./types.ts";

const CLUSTERED = 1;
const ROWSTORE: ReadonlySet<number> = new Set([1, 2]);

export interface TableKeys {
  /** What ranges are cut on; null: the table is read as a whole. */
  readonly range: RangeKey | null;
  /** A unique key without NULLs: the primary one, else that with the fewest columns. */
  readonly unique: UsableKey | null;
}

/**
 * @param columns all of the table, by name
 * @param readable names that may be read: a key with others cannot be asked for
 * @param trustsIndexes false for servers that tell no clustered index apart: there the primary key orders the rows
 */
export function chooseKeys(
  indexes: readonly IndexRow[],
  columns: ReadonlyMap<string, SourceColumn>,
  readable: ReadonlySet<string>,
  trustsIndexes: boolean,
): TableKeys {
  const rowstore = indexes.filter(
    (index) =>
      ROWSTORE.has(index.type) &&
      index.columns.every(({ name }) => readable.has(name)),
  );
  const unique = chooseUnique(rowstore, columns);
  const clustered = rowstore.find((index) => index.type === CLUSTERED);
  const ordering =
    clustered ??
    (trustsIndexes ? undefined : rowstore.find((index) => index.isPrimary));
  return {
    range: ordering === undefined ? null : toRangeKey(ordering, columns),
    unique,
  };
}

function chooseUnique(
  indexes: readonly IndexRow[],
  columns: ReadonlyMap<string, SourceColumn>,
): UsableKey | null {
  const [best] = indexes
    .filter(
      (index) =>
        index.isUnique &&
        index.columns.length > 0 &&
        index.columns.every(
          ({ name }) => columns.get(name)?.nullable === false,
        ),
    )
    .sort(
      (a, b) =>
        Number(b.isPrimary) - Number(a.isPrimary) ||
        a.columns.length - b.columns.length ||
        (a.name < b.name ? -1 : 1),
    );
  if (best === undefined) return null;
  return {
    name: best.name,
    primary: best.isPrimary,
    columns: best.columns.flatMap(({ name }) => {
      const column = columns.get(name);
      return column === undefined ? [] : [toKeyColumn(column)];
    }),
  };
}

/**
 * What of an index ranges can be cut on: its leading columns that are NOT NULL, of a type that has an order and a text,
 * and all of one direction, since rows are read in ascending order and a mixture would be sorted. Where already the
 * first may hold NULL, it alone.
 */
function toRangeKey(
  index: IndexRow,
  columns: ReadonlyMap<string, SourceColumn>,
): RangeKey | null {
  const [first] = index.columns;
  const prefix: SourceColumn[] = [];
  for (const { name, isDescending } of index.columns) {
    const column = columns.get(name);
    if (column === undefined || classifyKeyType(column) === "unusable") break;
    if (isDescending !== first?.isDescending) break;
    if (column.nullable && prefix.length > 0) break;
    prefix.push(column);
    if (column.nullable) break;
  }
  const [leading] = prefix;
  if (leading === undefined) return null;
  return {
    name: index.name,
    columns: prefix.map(toKeyColumn),
    unique:
      index.isUnique &&
      prefix.length === index.columns.length &&
      // a unique index holds one row with NULL, which no position can name
      !leading.nullable,
    nullable: leading.nullable,
    indexId: index.indexId > 0 ? index.indexId : null,
  };
}

function toKeyColumn(column: SourceColumn): RangeKey["columns"][number] {
  return {
    name: column.name,
    type: keyType(column),
    exact: classifyKeyType(column) === "exact",
  };
}
