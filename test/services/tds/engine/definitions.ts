/** CREATE, ALTER and DROP: into the catalogue, and into SQLite. */
import type { DatabaseSync } from "node:sqlite";
import type {
  ColumnDefinition,
  IndexDefinition,
  Statement,
} from "../sql/ast.ts";
import { SqlError } from "../types/storage.ts";
import { isInteger, type SqlType } from "../types/types.ts";
import {
  physicalColumn,
  physicalTable,
  type Catalogue,
  type Table,
  type TableColumn,
} from "./catalogue.ts";
import { keySql, numberType } from "./scope.ts";

/** Integers need SQLite's affinity, since small ones may come as floating numbers; nothing else may be changed. */
const affinity = (type: SqlType) => (isInteger(type) ? " INTEGER" : "");

export function createTable(
  db: DatabaseSync,
  catalogue: Catalogue,
  { table: path, columns, indexes }: Extract<Statement, { is: "createTable" }>,
): void {
  const table = catalogue.createTable(path, null);
  for (const column of columns) addToTable(table, column, catalogue);
  const physical = table.columns.map(
    ({ id, type }) => `${physicalColumn(id)}${affinity(type)}`,
  );
  db.exec(`CREATE TABLE ${physicalTable(table)} (${physical.join(", ")})`);
  for (const index of sortIndexes(indexes))
    addIndex(db, catalogue, table, index);
}

/** The clustered one first, since a primary key is clustered only if no other index is. */
function sortIndexes(indexes: readonly IndexDefinition[]): IndexDefinition[] {
  return indexes.toSorted(
    (a, b) => Number(b.clustered === true) - Number(a.clustered === true),
  );
}

function addToTable(
  table: Table,
  definition: ColumnDefinition,
  catalogue: Catalogue,
): TableColumn {
  const { name, type, identity, defaultTo } = definition;
  const exists = table.columns.some(
    (c) => c.name.toLowerCase() === name.toLowerCase(),
  );
  if (exists)
    throw new SqlError(
      2705,
      `Column names in each table must be unique. Column name '${name}' in table '${table.name}' is specified more than once.`,
    );
  const nullable = definition.nullable ?? type.kind !== "rowversion";
  const column = {
    ...{ id: table.nextColumnId, name, type, nullable },
    ...{ identity, defaultTo },
  };
  table.columns.push(column);
  table.nextColumnId += 1;
  if (identity !== null) table.nextIdentity = identity.seed;
  catalogue.version += 1;
  return column;
}

export function addColumns(
  db: DatabaseSync,
  catalogue: Catalogue,
  { table: path, columns, indexes }: Extract<Statement, { is: "addColumns" }>,
): readonly { readonly table: Table; readonly column: TableColumn }[] {
  const table = catalogue.get(path);
  const added = columns.map((definition) => {
    const column = addToTable(table, definition, catalogue);
    db.exec(
      `ALTER TABLE ${physicalTable(table)} ADD COLUMN ${physicalColumn(column.id)}${affinity(column.type)}`,
    );
    return { table, column };
  });
  for (const index of sortIndexes(indexes))
    addIndex(db, catalogue, table, index);
  return added;
}

export function addIndex(
  db: DatabaseSync,
  catalogue: Catalogue,
  table: Table,
  definition: IndexDefinition,
): void {
  const columns = definition.columns.map(({ name, descending }) => ({
    column: catalogue.getColumn(table, name),
    descending,
  }));
  const hasClustered = table.indexes.some(({ id }) => id === 1);
  const clustered =
    definition.clustered ?? (definition.kind === "primaryKey" && !hasClustered);
  if (clustered && hasClustered)
    throw new SqlError(
      1902,
      `Cannot create more than one clustered index on table '${table.name}'.`,
    );
  if (definition.kind === "primaryKey")
    for (const { column } of columns) column.nullable = false;
  const id = clustered ? 1 : Math.max(1, ...table.indexes.map((i) => i.id)) + 1;
  const prefix = definition.kind === "primaryKey" ? "PK" : "UQ";
  const index = {
    id,
    name: definition.name ?? `${prefix}__${table.name}__${id}`,
    keys: columns.map(({ column, descending }) => ({
      columnId: column.id,
      descending,
    })),
    included: definition.included.map(
      (name) => catalogue.getColumn(table, name).id,
    ),
    unique: definition.unique,
    kind: definition.kind,
  };
  const keys = columns.map(
    ({ column, descending }) =>
      keySql(physicalColumn(column.id), column.type) +
      (descending ? " DESC" : ""),
  );
  translateErrors(table, () =>
    db.exec(
      `CREATE ${index.unique ? "UNIQUE " : ""}INDEX "i${table.id}_${id}" ON ${physicalTable(table)} (${keys.join(", ")})`,
    ),
  );
  table.indexes.push(index);
  table.indexes.sort((a, b) => a.id - b.id);
  const columnIds = columns.map(({ column }) => column.id);
  table.statistics.push({ id, name: index.name, columnIds, byUser: false });
  catalogue.version += 1;
}

export function dropIndex(
  db: DatabaseSync,
  catalogue: Catalogue,
  table: Table,
  name: string,
): void {
  const index = table.indexes.find(
    (i) => i.name.toLowerCase() === name.toLowerCase(),
  );
  if (index === undefined)
    throw new SqlError(
      3701,
      `Cannot drop the index '${table.name}.${name}', because it does not exist.`,
    );
  db.exec(`DROP INDEX "i${table.id}_${index.id}"`);
  table.indexes = table.indexes.filter((i) => i !== index);
  table.statistics = table.statistics.filter((s) => s.id !== index.id);
  catalogue.version += 1;
}

export function alterColumn(
  db: DatabaseSync,
  catalogue: Catalogue,
  { table: path, column: changed }: Extract<Statement, { is: "alterColumn" }>,
): void {
  const table = catalogue.get(path);
  const column = catalogue.getColumn(table, changed.name);
  const physical = physicalColumn(column.id);
  db.exec(
    `UPDATE ${physicalTable(table)} SET ${physical} = store_value(${physical}, ${numberType(column.type)}, ${numberType(changed.type)})`,
  );
  column.type = changed.type;
  column.nullable = changed.nullable ?? true;
  catalogue.version += 1;
}

export function dropColumns(
  catalogue: Catalogue,
  { table: path, names }: Extract<Statement, { is: "dropColumns" }>,
): void {
  const table = catalogue.get(path);
  for (const name of names) {
    const column = catalogue.getColumn(table, name);
    const index = table.indexes.find(({ keys }) =>
      keys.some(({ columnId }) => columnId === column.id),
    );
    if (index !== undefined)
      throw new SqlError(
        5074,
        `The index '${index.name}' is dependent on column '${name}'.`,
      );
    // the physical column stays: nobody asks for it
    table.columns = table.columns.filter((c) => c !== column);
  }
  catalogue.version += 1;
}

export function dropTable(
  db: DatabaseSync,
  catalogue: Catalogue,
  path: readonly string[],
  ifExists: boolean,
): void {
  const table = catalogue.find(path);
  if (table === null) {
    if (ifExists) return;
    throw new SqlError(
      3701,
      `Cannot drop the table '${path.join(".")}', because it does not exist or you do not have permission.`,
      11,
      5,
    );
  }
  if (table.query === null) db.exec(`DROP TABLE ${physicalTable(table)}`);
  catalogue.dropTable(table);
}

/** What SQLite says of a violated key, in the server's words. */
export function translateErrors<T>(table: Table, run: () => T): T {
  try {
    return run();
  } catch (error) {
    const message = error instanceof Error ? error.message : "";
    const m = /UNIQUE constraint failed/.exec(message);
    if (m === null) throw error;
    const id = Number(/"?i\d+_(\d+)"?/.exec(message)?.[1] ?? -1);
    const index =
      table.indexes.find((i) => i.id === id) ??
      table.indexes.find((i) => i.unique);
    const name = index?.name ?? "";
    const full = `${table.schema}.${table.name}`;
    throw index?.kind === "index" || index === undefined
      ? new SqlError(
          2601,
          `Cannot insert duplicate key row in object '${full}' with unique index '${name}'.`,
          14,
        )
      : new SqlError(
          2627,
          `Violation of ${index.kind === "primaryKey" ? "PRIMARY" : "UNIQUE"} KEY constraint '${name}'. Cannot insert duplicate key in object '${full}'.`,
          14,
        );
  }
}
