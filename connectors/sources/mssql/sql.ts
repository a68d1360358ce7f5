/** Words of Transact-SQL that several parts of this source speak. */
import type { RelationRef } from "../../../proto/partition.ts";
import type { RowFilter } from "../source.ts";
import { textToKey } from "./types.ts";

export type SqlParameter = string | number | null;

/** What discovery and planning need of a connection. */
export interface Queryable {
  /** Parameters stand as `@p1`, `@p2` … and travel as nvarchar; values come back as text, numbers and null. */
  query<Row>(sql: string, params?: readonly SqlParameter[]): Promise<Row[]>;
  /** E.g. 160_000 for 16.0. */
  readonly serverVersion: number;
  /** False for servers that speak TDS and are not Microsoft's: their catalogue may differ. */
  readonly isMicrosoft: boolean;
}

/** A name as SQL, quoted whatever it holds. @see SQL Server documentation, QUOTENAME */
export function quoteIdentifier(name: string): string {
  return `[${name.replaceAll("]", "]]")}]`;
}

/** `[schema].[table]`, whatever the names hold. */
export function quoteRelation(
  relation: Pick<RelationRef, "schema" | "name">,
): string {
  return `${quoteIdentifier(relation.schema)}.${quoteIdentifier(relation.name)}`;
}

/** Adds a parameter and returns its name. */
export function bindParameter(
  params: SqlParameter[],
  value: SqlParameter,
): string {
  params.push(value);
  return `@p${params.length}`;
}

/** A sync's filter as conditions, to be joined by AND; the parameters are added to `params`. */
export function filterConditions(
  filter: RowFilter,
  params: SqlParameter[],
): string[] {
  const sql: string[] = [];
  // the user's words may end in a comment
  if (filter.where !== null) sql.push(`(${filter.where}\n)`);
  const { cursor } = filter;
  if (cursor !== null && cursor.to === null) sql.push("1 = 0");
  else if (cursor !== null) {
    const column = quoteIdentifier(cursor.column);
    const bounds = [
      ["<=", cursor.to],
      [">", cursor.from],
    ] as const;
    for (const [operator, bound] of bounds) {
      if (bound === null) continue;
      const value = textToKey(bindParameter(params, bound), cursor.type);
      sql.push(`${column} ${operator} ${value}`);
    }
    if (cursor.dropRepeats) {
      const { upTo, names, known } = cursor.dropRepeats;
      const end = textToKey(bindParameter(params, upTo), cursor.type);
      const list = bindParameter(params, known);
      const [name] = names;
      // an equality, so that the list is looked up and not gone through; NULL, which nothing equals, behind the zone
      sql.push(
        `NOT EXISTS (SELECT 1 FROM OPENJSON(${list}) AS moved WHERE moved.[key] = CASE WHEN ${column} <= ${end} THEN ${name} END)`,
      );
    }
  }
  return sql;
}
