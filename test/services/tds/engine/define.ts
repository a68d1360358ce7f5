/** Statements that change the catalogue, one by one. */
import type { SQLInputValue } from "node:sqlite";
import type { Statement } from "../sql/ast.ts";
import { physicalColumn, physicalTable } from "./catalogue.ts";
import type { Target } from "./changes.ts";
import type { Variables } from "./compiler.ts";
import {
  addColumns,
  addIndex,
  alterColumn,
  createTable,
  dropColumns,
  dropIndex,
  dropTable,
} from "./definitions.ts";

export type Definition = Extract<
  Statement,
  {
    is:
      | "createTable"
      | "createIndex"
      | "createStatistics"
      | "dropTable"
      | "dropIndex"
      | "addColumns"
      | "alterColumn"
      | "dropColumns";
  }
>;

export function define(
  to: Target,
  statement: Definition,
  variables: Variables,
): void {
  const { db } = to;
  const { catalogue } = to.database;
  switch (statement.is) {
    case "createTable":
      return createTable(db, catalogue, statement);
    case "createIndex":
      return addIndex(
        db,
        catalogue,
        catalogue.get(statement.table),
        statement.index,
      );
    case "createStatistics": {
      const of = catalogue.get(statement.table);
      const id = Math.max(100, ...of.statistics.map((s) => s.id)) + 1;
      const columnIds = statement.columns.map(
        (name) => catalogue.getColumn(of, name).id,
      );
      of.statistics.push({
        id,
        name: statement.name,
        columnIds,
        byUser: true,
      });
      catalogue.version += 1;
      return;
    }
    case "dropTable":
      for (const path of statement.tables)
        dropTable(db, catalogue, path, statement.ifExists);
      return;
    case "dropIndex":
      return dropIndex(
        db,
        catalogue,
        catalogue.get(statement.table),
        statement.name,
      );
    case "addColumns":
      for (const { table: of, column } of addColumns(
        db,
        catalogue,
        statement,
      )) {
        const isVersion = column.type.kind === "rowversion";
        const fill = isVersion
          ? null
          : column.identity !== null
            ? to.database.nextIdentity(of.id)
            : column.defaultTo === null
              ? null
              : to.compiler.evaluate(column.defaultTo, variables, column.type);
        const physical = physicalColumn(column.id);
        if (isVersion)
          db.exec(
            `UPDATE ${physicalTable(of)} SET ${physical} = next_rowversion()`,
          );
        else if (
          fill !== null &&
          (!column.nullable || column.defaultTo !== null)
        )
          db.prepare(`UPDATE ${physicalTable(of)} SET ${physical} = ?`).run(
            fill as SQLInputValue,
          );
      }
      return;
    case "alterColumn":
      return alterColumn(db, catalogue, statement);
    case "dropColumns":
      return dropColumns(catalogue, statement);
  }
}
