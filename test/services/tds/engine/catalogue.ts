/** Schemas, tables, columns and indexes as they were declared. Not part of any transaction. */
import type { Expr, Query } from "../sql/ast.ts";
import { SqlError } from "../types/storage.ts";
import type { SqlType } from "../types/types.ts";

export interface TableColumn {
  readonly id: number;
  name: string;
  type: SqlType;
  nullable: boolean;
  readonly identity: { readonly seed: bigint; readonly step: bigint } | null;
  readonly defaultTo: Expr | null;
}

export interface TableIndex {
  /** 0 is the heap, 1 the clustered index. */
  readonly id: number;
  readonly name: string;
  readonly keys: readonly {
    readonly columnId: number;
    readonly descending: boolean;
  }[];
  readonly included: readonly number[];
  readonly unique: boolean;
  readonly kind: "index" | "primaryKey" | "uniqueConstraint";
}

export interface Statistics {
  readonly id: number;
  readonly name: string;
  readonly columnIds: readonly number[];
  /** Made by CREATE STATISTICS; the others belong to an index. */
  readonly byUser: boolean;
}

export interface Table {
  readonly id: number;
  readonly schema: string;
  readonly name: string;
  /** Of a view: what it stands for. */
  readonly query: Query | null;
  columns: TableColumn[];
  indexes: TableIndex[];
  statistics: Statistics[];
  nextColumnId: number;
  nextIdentity: bigint;
  readonly created: Date;
}

export interface Schema {
  readonly id: number;
  readonly name: string;
}

const FIRST_OBJECT_ID = 245_575_913;
/** Object ids of SQL Server are not neighbours either. */
const OBJECT_ID_STEP = 16_000_057;
const OBJECT_ID_MAX = 2 ** 31 - 1;

const fold = (name: string) => name.toLowerCase();

/** The SQLite name of a table. */
export const physicalTable = (table: Table) => `"t${table.id}"`;
/** The SQLite name of a column. */
export const physicalColumn = (columnId: number) => `"c${columnId}"`;

export class Catalogue {
  readonly schemas: Schema[] = [
    { id: 1, name: "dbo" },
    { id: 3, name: "INFORMATION_SCHEMA" },
    { id: 4, name: "sys" },
  ];
  readonly #tables = new Map<string, Table>();
  readonly #byId = new Map<number, Table>();
  #nextId = FIRST_OBJECT_ID;
  #nextSchemaId = 5;
  /** Grows with every change. */
  version = 0;

  get tables(): Iterable<Table> {
    return this.#tables.values();
  }

  findById(id: number): Table | null {
    return this.#byId.get(id) ?? null;
  }

  findSchema(name: string): Schema | null {
    return this.schemas.find((s) => fold(s.name) === fold(name)) ?? null;
  }

  /** `dbo` is the schema of a name without one. */
  splitPath(path: readonly string[]): { schema: string; name: string } {
    const schema = path.at(-2) ?? "";
    return { schema: schema === "" ? "dbo" : schema, name: path.at(-1)! };
  }

  find(path: readonly string[]): Table | null {
    const { schema, name } = this.splitPath(path);
    return this.#tables.get(`${fold(schema)}.${fold(name)}`) ?? null;
  }

  /** @throws SqlError 208 */
  get(path: readonly string[]): Table {
    const table = this.find(path);
    if (table === null)
      throw new SqlError(
        208,
        `Invalid object name '${path.join(".")}'.`,
        16,
        1,
      );
    return table;
  }

  createSchema(name: string): void {
    if (this.findSchema(name) !== null)
      throw new SqlError(
        2714,
        `There is already an object named '${name}' in the database.`,
      );
    this.schemas.push({ id: this.#nextSchemaId, name });
    this.#nextSchemaId += 1;
    this.version += 1;
  }

  /** @throws SqlError 2714, 2760 */
  createTable(path: readonly string[], query: Query | null): Table {
    const { schema, name } = this.splitPath(path);
    const found = this.findSchema(schema);
    if (found === null)
      throw new SqlError(
        2760,
        `The specified schema name "${schema}" either does not exist or you do not have permission to use it.`,
      );
    if (this.find(path) !== null)
      throw new SqlError(
        2714,
        `There is already an object named '${name}' in the database.`,
        16,
        6,
      );
    const table: Table = {
      ...{ id: this.#nextId, schema: found.name, name, query },
      ...{ columns: [], indexes: [], statistics: [] },
      ...{ nextColumnId: 1, nextIdentity: 1n, created: new Date() },
    };
    this.#nextId = (this.#nextId + OBJECT_ID_STEP) % OBJECT_ID_MAX;
    this.#tables.set(`${fold(schema)}.${fold(name)}`, table);
    this.#byId.set(table.id, table);
    this.version += 1;
    return table;
  }

  dropTable(table: Table): void {
    this.#tables.delete(`${fold(table.schema)}.${fold(table.name)}`);
    this.#byId.delete(table.id);
    this.version += 1;
  }

  /** @throws SqlError 207 */
  getColumn(table: Table, name: string): TableColumn {
    const column = table.columns.find((c) => fold(c.name) === fold(name));
    if (column === undefined)
      throw new SqlError(207, `Invalid column name '${name}'.`);
    return column;
  }
}
