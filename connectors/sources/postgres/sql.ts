/** Words of SQL that several parts of this source speak. */
import type { RelationRef } from "../../../proto/partition.ts";
import type { RowFilter } from "../source.ts";
import { quoteIdentifier } from "./types.ts";

export type SqlParameter = string | number | boolean | null;

/** What discovery and planning need of a connection. */
export interface Queryable {
  query<Row>(sql: string, params?: readonly SqlParameter[]): Promise<Row[]>;
  /** server_version_num, e.g. 150018. */
  readonly serverVersion: number;
}

/** `"schema"."table"`, whatever the names hold. */
export function quoteRelation(
  relation: Pick<RelationRef, "schema" | "name">,
): string {
  return `${quoteIdentifier(relation.schema)}.${quoteIdentifier(relation.name)}`;
}

/** What stands behind FROM: without its children where `only` is asked for. */
export function fromRelation(
  relation: Pick<RelationRef, "schema" | "name">,
  only: boolean,
): string {
  return `${only ? "ONLY " : ""}${quoteRelation(relation)}`;
}

/**
 * Common table expression `domain_base(domain, type, modifier)`: each domain with the type at its bottom and that
 * type's modifier, which only the lowest domain can have.
 */
export const domainBaseCte = `
  domain_base AS (
    SELECT oid AS domain, typbasetype AS type, typtypmod AS modifier
    FROM pg_type WHERE typtype = 'd'
    UNION ALL
    SELECT b.domain, t.typbasetype, t.typtypmod
    FROM domain_base b JOIN pg_type t ON t.oid = b.type WHERE t.typtype = 'd'
  ),
  domains AS (
    SELECT b.* FROM domain_base b JOIN pg_type t ON t.oid = b.type
    WHERE t.typtype <> 'd'
  )`;

/**
 * Whether no row can hold NULL in the attribute `alias`. Since version 18 a NOT NULL may be declared without having
 * been checked on the rows that were there (`NOT VALID`).
 */
export function provenNotNull(alias: string): string {
  return `(${alias}.attnotnull AND NOT EXISTS (
    SELECT FROM pg_constraint nn WHERE nn.conrelid = ${alias}.attrelid AND nn.contype = 'n'
      AND nn.conkey[1] = ${alias}.attnum AND NOT nn.convalidated))`;
}

/** Oids as the text of an `oid[]` parameter. */
export function oidArray(oids: readonly number[]): string {
  return `{${oids.join(",")}}`;
}

export interface Conditions {
  /** To be joined by AND; each stands by itself. */
  readonly sql: readonly string[];
  readonly params: readonly SqlParameter[];
}

/** A sync's filter as conditions, whose parameters are numbered from `firstParam`. */
export function filterConditions(
  filter: RowFilter,
  firstParam: number,
): Conditions {
  const sql: string[] = [];
  const params: SqlParameter[] = [];
  // the user's words may end in a comment
  if (filter.where !== null) sql.push(`(${filter.where}\n)`);
  const { cursor } = filter;
  if (cursor !== null && cursor.to === null) sql.push("false");
  else if (cursor !== null) {
    const column = quoteIdentifier(cursor.column);
    const bounds = [
      ["<=", cursor.to],
      [">", cursor.from],
    ] as const;
    for (const [operator, bound] of bounds) {
      if (bound === null) continue;
      const place = firstParam + params.length;
      sql.push(`${column} ${operator} $${place}::${cursor.type}`);
      params.push(bound);
    }
    if (cursor.dropRepeats) {
      const { upTo, names, known } = cursor.dropRepeats;
      const place = firstParam + params.length;
      // CASE, since AND may be evaluated in any order: only rows that may be repeats are to be named. A member of an
      // object is found by bisection in every version; NOT IN and anti-joins are slow or lose the order in some
      sql.push(
        `CASE WHEN ${column} <= $${place}::${cursor.type}
        THEN NOT ($${place + 1}::jsonb ?| ARRAY[${names.join(", ")}]) ELSE true END`,
      );
      params.push(upTo, known);
    }
  }
  return { sql, params };
}
