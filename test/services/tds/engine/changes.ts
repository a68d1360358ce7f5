/** INSERT, UPDATE, DELETE and TRUNCATE TABLE. */
import type { DatabaseSync, SQLInputValue } from "node:sqlite";
import type { Expr, Statement } from "../sql/ast.ts";
import { convertValue, sharesStorage } from "../types/convert.ts";
import { SqlError, type Storage } from "../types/storage.ts";
import { physicalColumn, physicalTable, type Table } from "./catalogue.ts";
import type { Compiler, Variables } from "./compiler.ts";
import type { Database } from "./database.ts";
import { coerce, emitExpr, render } from "./emit.ts";
import { emitQuery } from "./emit-query.ts";
import { emptyScope, numberType, type Scope } from "./scope.ts";

/** Where a change is made: the connection writes already. */
export interface Target {
  readonly database: Database;
  readonly db: DatabaseSync;
  readonly compiler: Compiler;
}

export type Change = Extract<
  Statement,
  { is: "insert" | "update" | "delete" | "truncate" }
>;

/** @returns how many rows were changed */
export function changeRows(
  to: Target,
  table: Table,
  statement: Change,
  variables: Variables,
): number {
  const name = physicalTable(table);
  const bindings: Storage[] = [];
  const scope: Scope = {
    ...emptyScope(),
    sources: [
      {
        name: table.name,
        columns: table.columns.map(({ id, name: of, type, nullable }) => ({
          ...{ name: of, type, nullable },
          sql: physicalColumn(id),
        })),
      },
    ],
  };
  const e = to.compiler.emitter(variables, bindings, []);
  const where = (of: Expr | null) =>
    of === null ? "" : ` WHERE ${render(e, emitExpr(e, of, scope))}`;
  const execute = (sql: string) =>
    Number(to.db.prepare(sql).run(...(bindings as SQLInputValue[])).changes);
  switch (statement.is) {
    case "insert":
      return insertRows(to, table, statement, variables);
    case "truncate":
      return execute(`DELETE FROM ${name}`);
    case "delete":
      return execute(`DELETE FROM ${name}${where(statement.where)}`);
    case "update": {
      const sets = statement.sets.map(([of, value]) => {
        const column = to.database.catalogue.getColumn(table, of);
        const typed = coerce(e, emitExpr(e, value, scope), column.type);
        return `${physicalColumn(column.id)} = ${render(e, typed)}`;
      });
      for (const column of table.columns)
        if (column.type.kind === "rowversion")
          sets.push(`${physicalColumn(column.id)} = next_rowversion()`);
      return execute(
        `UPDATE ${name} SET ${sets.join(", ")}${where(statement.where)}`,
      );
    }
  }
}

function insertRows(
  to: Target,
  table: Table,
  statement: Extract<Statement, { is: "insert" }>,
  variables: Variables,
): number {
  const { catalogue } = to.database;
  const named = statement.columns.map((name) =>
    catalogue.getColumn(table, name),
  );
  const isGiven = statement.columns.length > 0;
  const targets = isGiven
    ? named
    : table.columns.filter(
        (c) => c.identity === null && c.type.kind !== "rowversion",
      );
  const others = table.columns.filter((c) => !targets.includes(c));
  const bindings: Storage[] = [];
  const e = to.compiler.emitter(variables, bindings, []);
  const fill = others.map((c) => {
    if (c.identity !== null) return `next_identity(${table.id})`;
    if (c.type.kind === "rowversion") return "next_rowversion()";
    if (c.defaultTo === null) return "NULL";
    return render(e, coerce(e, emitExpr(e, c.defaultTo, emptyScope()), c.type));
  });
  const into = `INSERT INTO ${physicalTable(table)} (${[...targets, ...others].map((c) => physicalColumn(c.id)).join(", ")})`;
  const checkNull = (value: Storage, i: number) => {
    const column = targets[i]!;
    if (value === null && !column.nullable) failNull(table, column.name);
  };
  for (const column of others)
    if (
      !column.nullable &&
      column.defaultTo === null &&
      column.identity === null &&
      column.type.kind !== "rowversion"
    )
      failNull(table, column.name);
  if ("selects" in statement.source) {
    const { sql, columns } = emitQuery(e, statement.source, emptyScope());
    if (columns.length !== targets.length)
      throw new SqlError(
        121,
        "The select list and the columns of the INSERT statement differ in number.",
        15,
      );
    const values = columns.map((c, i) => {
      const to = targets[i]!.type;
      const typed = { ...c, sql: `o${i + 1}` };
      return sharesStorage(c.type, to)
        ? render(e, coerce(e, typed, to))
        : `store_value(o${i + 1}, ${numberType(c.type)}, ${numberType(to)})`;
    });
    return Number(
      to.db
        .prepare(
          `${into} SELECT ${[...values, ...fill].join(", ")} FROM (${sql}) WHERE true`,
        )
        .run(...(bindings as SQLInputValue[])).changes,
    );
  }
  const fixed = bindings.length;
  const marks = targets.map((_, i) => `?${fixed + i + 1}`);
  const insert = to.db.prepare(
    `${into} VALUES (${[...marks, ...fill].join(", ")})`,
  );
  for (const row of statement.source) {
    if (row.length > 0 && row.length !== targets.length)
      throw new SqlError(
        213,
        "Column name or number of supplied values does not match table definition.",
      );
    const values = targets.map((column, i) => {
      const expr = row[i] ?? column.defaultTo;
      if (expr === null || expr === undefined) return null;
      const typed = emitExpr(
        to.compiler.emitter(variables, [], []),
        expr,
        emptyScope(),
      );
      return typed.sql === null
        ? convertValue(typed.value, typed.type, column.type, 0, true)
        : to.compiler.evaluate(expr, variables, column.type);
    });
    values.forEach(checkNull);
    insert.run(...([...bindings, ...values] as SQLInputValue[]));
  }
  return statement.source.length;
}

function failNull(table: Table, column: string): never {
  throw new SqlError(
    515,
    `Cannot insert the value NULL into column '${column}', table '${table.schema}.${table.name}'; column does not allow nulls. INSERT fails.`,
    16,
    2,
  );
}
