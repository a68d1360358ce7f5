/** The store's SQL as Postgres reads it. */
import { strict as assert } from "node:assert";
import type { Dialect } from "./database.ts";

export const postgresDialect: Dialect = {
  jsonText: (column, member) => `(${column}::json ->> '${member}')`,
  jsonArray: (column) => `json_agg(${column} ORDER BY ${column})::text`,
};

/**
 * Parameters `?` and `?1` as `$1`; one statement has either. None of the store's statements has a question mark in a
 * text.
 */
export function toPostgresSql(sql: string): string {
  const isNumbered = /\?\d/.test(sql);
  assert(!isNumbered || !/\?(?!\d)/.test(sql), "one kind of parameter");
  let count = 0;
  return isNumbered
    ? sql.replaceAll(/\?(\d+)/g, "$$$1")
    : sql.replaceAll("?", () => `$${++count}`);
}

/** The text of tables: the types that stand for SQLite's, and texts that sort by their bytes, as there. */
export function toPostgresTables(sql: string): string {
  return sql
    .replaceAll(/^ *--.*\n/gm, "")
    .replaceAll(
      "serial INTEGER PRIMARY KEY",
      "serial BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY",
    )
    .replaceAll(
      "number INTEGER PRIMARY KEY",
      "number BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY",
    )
    .replaceAll(/\bINTEGER\b/g, "BIGINT")
    .replaceAll(/\bREAL\b/g, "DOUBLE PRECISION")
    .replaceAll(/\bTEXT\b/g, 'TEXT COLLATE "C"')
    .replaceAll(/\) STRICT(, WITHOUT ROWID)?;/g, ");");
}
