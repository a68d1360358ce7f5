/** Words of SQL that several parts of this source speak. */
import { strict as assert } from "node:assert";
import type { KeyTuple, RelationRef } from "../../../proto/partition.ts";
import type { RowFilter } from "../source.ts";

export type SqlParameter = string | number | null;

/** Two servers of one protocol, which differ in their system views, snapshots and positions. */
export type Flavour = "mysql" | "mariadb";

/** What discovery and planning need of a connection. */
export interface Queryable {
  /**
   * Runs one statement. Parameters (`?`) are bound by the server as text, so that a question mark in quotes stays what
   * it is; the number of a LIMIT cannot be one. Values of rows: numbers up to 2^53, larger ones, decimals, dates and
   * texts as strings, binary strings as Buffer.
   */
  query<Row>(sql: string, params?: readonly SqlParameter[]): Promise<Row[]>;
  /** As a number that grows, e.g. 80015 for 8.0.15 and 101119 for MariaDB 10.11.19. */
  readonly serverVersion: number;
  readonly flavour: Flavour;
}

/** A name as SQL, quoted whatever it holds. */
export function quoteIdentifier(name: string): string {
  return `\`${name.replaceAll("`", "``")}\``;
}

/** A text as an SQL literal, under our sessions' sql_mode, in which a backslash escapes. */
export function quoteLiteral(text: string): string {
  const quoted = text
    .replaceAll("\\", "\\\\")
    .replaceAll("'", "''")
    .replaceAll("\0", "\\0");
  return `'${quoted}'`;
}

/** `` `schema`.`table` ``, whatever the names hold. */
export function quoteRelation(
  relation: Pick<RelationRef, "schema" | "name">,
): string {
  return `${quoteIdentifier(relation.schema)}.${quoteIdentifier(relation.name)}`;
}

const numberTypes =
  /^(?:(?:tiny|small|medium|big)?int(?:eger)?|decimal|bit|year|float|double)\b/i;
const binaryTypes = /^(?:(?:var)?binary|(?:tiny|medium|long)?blob)\b/i;

/**
 * The exact text of a column of a key or a cursor, in the form that `keyLiteral` takes back. `type` is the declared
 * one, as `keyType` gives it.
 */
export function keyText(column: string, type: string): string {
  if (binaryTypes.test(type)) return `HEX(${column})`;
  // a bit is a number in arithmetic, and bytes elsewhere
  if (/^bit\b/i.test(type)) return `CAST(${column} + 0 AS CHAR)`;
  return `CAST(${column} AS CHAR)`;
}

/**
 * A value of a key or a cursor as a constant that the server compares as it compares the column: numbers bare, binary
 * strings in hexadecimal, all else as text, which takes the column's type and collation. Everywhere in this source a
 * key's text is the number's digits, the hexadecimal bytes or the value as the server prints it.
 */
export function keyLiteral(type: string, text: string): string {
  if (numberTypes.test(type)) {
    assert.match(text, /^-?\d+(?:\.\d+)?(?:[eE][-+]?\d+)?$/, "a number");
    return text;
  }
  if (binaryTypes.test(type)) {
    assert.match(text, /^(?:[0-9a-fA-F]{2})*$/, "bytes");
    return `X'${text}'`;
  }
  return quoteLiteral(text);
}

/** What places are compared by: the key's columns, as SQL, and their types. */
export interface KeyColumns {
  readonly columns: readonly string[];
  readonly types: readonly string[];
}

/**
 * `key operator bound`, in the order of the key. A row value is written out: the servers take ranges of an index from
 * comparisons of single columns only. The comparison of the first column is said once more for that.
 * @see MySQL manual, "Range Optimization of Row Constructor Expressions"
 */
export function compareKey(
  key: KeyColumns,
  operator: ">" | ">=" | "<",
  bound: KeyTuple,
): string {
  const { columns, types } = key;
  assert.equal(bound.length, columns.length);
  const strict = operator === "<" ? "<" : ">";
  const literals = bound.map((text, i) => keyLiteral(types[i] ?? "", text));
  const last = columns.length - 1;
  let sql = `${columns[last]} ${operator} ${literals[last]}`;
  for (let index = last - 1; index >= 0; index--) {
    const [column, literal] = [columns[index], literals[index]];
    sql = `(${column} ${strict} ${literal} OR (${column} = ${literal} AND ${sql}))`;
  }
  if (last === 0) return sql;
  return `${columns[0]} ${strict}= ${literals[0]} AND ${sql}`;
}

/** A sync's filter as conditions, to be joined by AND; each stands by itself. */
export function filterConditions(filter: RowFilter): string[] {
  const sql: string[] = [];
  // the user's words may end in a comment
  if (filter.where !== null) sql.push(`(${filter.where}\n)`);
  const { cursor } = filter;
  if (cursor === null) return sql;
  if (cursor.to === null) return [...sql, "FALSE"];
  const column = quoteIdentifier(cursor.column);
  sql.push(`${column} <= ${keyLiteral(cursor.type, cursor.to)}`);
  if (cursor.from !== null) {
    sql.push(`${column} > ${keyLiteral(cursor.type, cursor.from)}`);
  }
  if (cursor.dropRepeats) {
    const { upTo, names, known } = cursor.dropRepeats;
    const list = Object.keys(JSON.parse(known) as Record<string, unknown>);
    if (list.length > 0) {
      const literals = list.map(quoteLiteral).join(", ");
      const isKnown = names.map((name) => `${name} IN (${literals})`);
      // CASE, since AND may be evaluated in any order: only rows that may be repeats are to be named. A list of
      // constants is sorted once and searched by bisection
      sql.push(
        `CASE WHEN ${column} <= ${keyLiteral(cursor.type, upTo)} THEN NOT (${isKnown.join(" OR ")}) ELSE TRUE END`,
      );
    }
  }
  return sql;
}
