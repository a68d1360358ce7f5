/** SQL of one connection: made ready for SQLite, with its variables. */
import type { DatabaseSync, SQLInputValue, StatementSync } from "node:sqlite";
import type { Expr, Query } from "../sql/ast.ts";
import type { Storage } from "../types/storage.ts";
import type { SqlType } from "../types/types.ts";
import { physicalColumn, physicalTable, type Table } from "./catalogue.ts";
import type { Database } from "./database.ts";
import { coerce, emitExpr } from "./emit.ts";
import {
  emitQuery,
  type EmittedQuery,
  type QueryEmitter,
} from "./emit-query.ts";
import { emitCall } from "./functions.ts";
import { evaluateGlobal, evaluateSession } from "./globals.ts";
import type { Relations } from "./relations.ts";
import { emptyScope } from "./scope.ts";

/** By name, in small letters. */
export type Variables = Map<string, { type: SqlType; value: Storage }>;

/** A table that a query reads. */
export interface TableRead {
  readonly table: Table;
  /** In capitals. */
  readonly hints: readonly string[];
}

export interface SessionState {
  readonly id: number;
  readonly transactionCount: number;
  readonly rowCount: number;
}

export class Compiler {
  readonly #database: Database;
  readonly #db: DatabaseSync;
  readonly #session: SessionState;
  readonly relations: Relations;

  constructor(
    database: Database,
    db: DatabaseSync,
    session: SessionState,
    relations: Relations,
  ) {
    this.#database = database;
    this.#db = db;
    this.#session = session;
    this.relations = relations;
  }

  emitter(
    variables: Variables,
    bindings: Storage[],
    hints: string[],
    read: TableRead[] = [],
  ): QueryEmitter {
    let aliases = 0;
    const emitter: QueryEmitter = {
      variables,
      bind: (value) => `?${bindings.push(value)}`,
      nextAlias: () => {
        aliases += 1;
        return `a${aliases}`;
      },
      global: (name) => evaluateGlobal(name, this.#session, this.#database),
      session: (name, args) =>
        evaluateSession(
          name,
          args,
          this.#database,
          this.relations.databaseName,
        ),
      call: (call, scope) => emitCall(emitter, call, scope),
      query: (query, scope) => emitQuery(emitter, query, scope),
      relation: (parts, tableHints) => {
        hints.push(...tableHints);
        const view = this.relations.findView(parts);
        if (view !== null) return view;
        const table = this.relations.findTable(parts);
        if (table.query !== null) {
          const { sql, columns } = emitQuery(
            emitter,
            table.query,
            emptyScope(),
          );
          return {
            sqlName: `(${sql})`,
            columns: columns.map((c, i) => ({ ...c, sql: `o${i + 1}` })),
            isTable: false,
          };
        }
        read.push({ table, hints: tableHints });
        return {
          sqlName: physicalTable(table),
          columns: table.columns.map((c) => ({
            ...{ name: c.name, type: c.type, nullable: c.nullable },
            sql: physicalColumn(c.id),
            table: [table.schema, table.name],
            identity: c.identity !== null,
          })),
          isTable: true,
        };
      },
      tableFunction: (parts, args) =>
        this.relations.tableFunction(emitter, parts, args),
    };
    return emitter;
  }

  compile(
    query: Query,
    variables: Variables,
    hints: string[],
  ): EmittedQuery & { bindings: Storage[]; read: TableRead[] } {
    const bindings: Storage[] = [];
    const read: TableRead[] = [];
    const emitter = this.emitter(variables, bindings, hints, read);
    return { ...emitQuery(emitter, query, emptyScope()), bindings, read };
  }

  /** @param type null keeps whatever type it has */
  evaluate(expr: Expr, variables: Variables, type: SqlType | null): Storage {
    const bindings: Storage[] = [];
    const emitter = this.emitter(variables, bindings, []);
    const typed = emitExpr(emitter, expr, emptyScope());
    const wanted = type === null ? typed : coerce(emitter, typed, type);
    if (wanted.sql === null) return wanted.value;
    const statement = this.prepare(`SELECT ${wanted.sql}`);
    const [row] = statement.all(
      ...(bindings as SQLInputValue[]),
    ) as unknown as Storage[][];
    return row?.[0] ?? null;
  }

  /** Rows come as arrays, integers as bigint. */
  prepare(sql: string): StatementSync {
    const statement = this.#db.prepare(sql);
    statement.setReturnArrays(true);
    statement.setReadBigInts(true);
    return statement;
  }
}
