/** The keys of a table: that which names its rows, and that which ranges can be cut on. Pure. */
import type { UsableKey } from "../source.ts";
import type { IndexRow } from "./indexes.ts";
import type { MysqlColumn } from "./stream.ts";
import { keyType, rangeUse } from "./types.ts";

export interface TableKeys {
  /** Columns of the best unique key without NULLs. */
  readonly named: readonly string[] | null;
  /** The clustered key, where its ranges can be told by comparing with constants. */
  readonly usable: UsableKey | null;
}

const PRIMARY = "PRIMARY";

/** Engines that keep their rows in the order of the primary key, and read under a snapshot. */
const clusteredEngines = new Set(["innodb", "rocksdb"]);

export function groupIndexes(
  rows: readonly IndexRow[],
): ReadonlyMap<string, readonly IndexRow[]> {
  return Map.groupBy(
    [...rows].sort((a, b) => a.place - b.place),
    (row) => row.index,
  );
}

/** Whether an index tells any two rows apart: all of its columns, whole and without NULLs. */
export function isUniqueKey(index: readonly IndexRow[]): boolean {
  return index.every(
    ({ column, nullable, isPrefix }) =>
      column !== null && !nullable && !isPrefix,
  );
}

/**
 * InnoDB keeps rows in the order of the primary key, else of the first unique key without NULLs. Reading by another
 * index would look up each row by itself.
 * @param indexes unique ones, in the server's order where there is no primary key
 * @param columns those that may be read
 * @see MySQL manual, "Clustered and Secondary Indexes"
 */
export function chooseKeys(
  indexes: ReadonlyMap<string, readonly IndexRow[]>,
  columns: readonly MysqlColumn[],
  engine: string | null,
): TableKeys {
  const byName = new Map(columns.map((column) => [column.name, column]));
  const unique = [...indexes].filter(([, index]) => isUniqueKey(index));
  const best =
    unique.find(([name]) => name === PRIMARY) ??
    unique.toSorted((a, b) => a[1].length - b[1].length)[0];
  const named =
    best?.[1].map(({ column }) => column ?? "").filter((c) => c !== "") ?? null;
  const primary = indexes.get(PRIMARY);
  const clustered =
    primary === undefined ? unique[0] : ([PRIMARY, primary] as const);
  if (
    clustered === undefined ||
    !isUniqueKey(clustered[1]) ||
    !clusteredEngines.has((engine ?? "").toLowerCase())
  ) {
    return { named, usable: null };
  }
  return { named, usable: toUsableKey(clustered[0], clustered[1], byName) };
}

function toUsableKey(
  name: string,
  index: readonly IndexRow[],
  columns: ReadonlyMap<string, MysqlColumn>,
): UsableKey | null {
  const [first] = index;
  const isReadable = index.every(
    ({ isBtree, isVisible, isDescending }) =>
      isBtree && isVisible && isDescending === first?.isDescending,
  );
  if (!isReadable) return null;
  const parts: UsableKey["columns"][number][] = [];
  for (const row of index) {
    const column = row.column === null ? undefined : columns.get(row.column);
    const use = column === undefined ? null : rangeUse(column);
    if (column === undefined || use === null) return null;
    parts.push({
      name: column.name,
      type: keyType(column),
      exact: use === "exact",
    });
  }
  return { name, primary: name === PRIMARY, columns: parts };
}
