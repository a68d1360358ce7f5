/** What a FROM names: views of the catalogue, tables, and functions that give tables. */
import type { DatabaseSync, SQLInputValue } from "node:sqlite";
import { ScriptedError } from "../script.ts";
import { SqlError } from "../types/storage.ts";
import { isCharacter, makeType } from "../types/types.ts";
import { physicalColumn, physicalTable, type Table } from "./catalogue.ts";
import type { Database } from "./database.ts";
import { coerce, render } from "./emit.ts";
import type { QueryEmitter, Relation } from "./emit-query.ts";
import { histogramColumns, makeHistogram } from "./histogram.ts";
import type { Typed } from "./scope.ts";
import { catalogueViews, type ViewContext } from "./views.ts";

export class Relations {
  readonly #database: Database;
  readonly #db: DatabaseSync;
  /** The database that the connection uses. */
  databaseName: string;
  /** Catalogue version for which a temporary view was filled. */
  readonly #filled = new Map<string, number>();

  constructor(database: Database, db: DatabaseSync, databaseName: string) {
    this.#database = database;
    this.#db = db;
    this.databaseName = databaseName;
    db.function("histogram_of", { varargs: true }, (tableId, statsId) =>
      makeHistogram(db, database.catalogue, Number(tableId), Number(statsId)),
    );
  }

  /** @throws SqlError 208, 911 */
  findTable(parts: readonly string[]): Table {
    const database = parts.at(-3) ?? "";
    if (
      database !== "" &&
      !this.#database.databases.some(
        (n) => n.toLowerCase() === database.toLowerCase(),
      )
    )
      throw new SqlError(208, `Invalid object name '${parts.join(".")}'.`);
    return this.#database.catalogue.get(parts);
  }

  #restrict(name: string, shown: string): void {
    const error = this.#database.restricted.get(name);
    if (error === undefined) return;
    throw error.number === 208 && error.message === ""
      ? new SqlError(208, `Invalid object name '${shown}'.`)
      : new ScriptedError(error);
  }

  /** A view of the catalogue, filled anew when it may have changed. */
  findView(parts: readonly string[]): Relation | null {
    const name = parts.slice(-2).join(".").toLowerCase();
    this.#restrict(name, parts.join("."));
    const view = catalogueViews[name];
    if (view === undefined) return null;
    const { version } = this.#database.catalogue;
    const sqlName = `temp."${name}"`;
    if (view.isVolatile || this.#filled.get(name) !== version) {
      const physical = view.columns.map(
        ({ type }, i) =>
          `${physicalColumn(i + 1)}${isCharacter(type) ? " TEXT COLLATE NOCASE" : ""}`,
      );
      this.#db.exec(
        `DROP TABLE IF EXISTS ${sqlName}; CREATE TEMP TABLE "${name}" (${physical.join(", ")})`,
      );
      const insert = this.#db.prepare(
        `INSERT INTO ${sqlName} VALUES (${physical.map(() => "?").join(", ")})`,
      );
      for (const row of view.rows(this.#viewContext()))
        insert.run(
          ...(row.map((cell) =>
            typeof cell === "boolean" ? BigInt(cell) : cell,
          ) as SQLInputValue[]),
        );
      this.#filled.set(name, version);
    }
    return {
      sqlName,
      columns: view.columns.map(({ name: column, type }, i) => ({
        ...{ name: column, type, nullable: true },
        sql: physicalColumn(i + 1),
      })),
      isTable: false,
    };
  }

  #viewContext(): ViewContext {
    const database = this.#database;
    return {
      catalogue: database.catalogue,
      database: this.databaseName,
      databases: database.databases,
      collation: database.collation,
      snapshotState: database.snapshotAllowed ? 1 : 0,
      readCommittedSnapshot: database.readCommittedSnapshot,
      countRows: (table) => {
        const row = this.#db
          .prepare(`SELECT count(*) AS n FROM ${physicalTable(table)}`)
          .get();
        return Number(row?.["n"] ?? 0);
      },
    };
  }

  /** @see SQL Server docs, "sys.dm_db_stats_histogram", "GENERATE_SERIES" */
  tableFunction(
    e: QueryEmitter,
    parts: readonly string[],
    args: readonly Typed[],
  ): Relation {
    const name = parts.join(".").toLowerCase();
    this.#restrict(name, parts.join("."));
    if (name === "generate_series") {
      const big = args.some((arg) => arg.type.kind === "bigint");
      const type = makeType(big ? "bigint" : "int");
      const [from, to, step = "1"] = args.map((arg) =>
        render(e, coerce(e, arg, type)),
      );
      return {
        sqlName: `(WITH RECURSIVE s(v) AS (SELECT ${from} WHERE ${from} <= ${to} UNION ALL SELECT v + ${step} FROM s WHERE v + ${step} <= ${to}) SELECT v FROM s)`,
        columns: [{ name: "value", type, nullable: false, sql: "v" }],
        isTable: false,
      };
    }
    if (name === "sys.dm_db_stats_histogram")
      return {
        sqlName: `json_each(histogram_of(${args.map((arg) => render(e, arg)).join(", ")}))`,
        columns: histogramColumns,
        isTable: false,
      };
    throw new SqlError(208, `Invalid object name '${parts.join(".")}'.`);
  }
}
