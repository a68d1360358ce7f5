/**
 * The SELECT of a partition: its columns in the forms that the decoder takes, its range, and the sync's predicate.
 * A range is `WHERE k >= @p1 AND k < @p2 ORDER BY k` on what the clustered index leads with: one seek, and no sort.
 */
import { strict as assert } from "node:assert";
import type { KeyTuple, Position, Split } from "../../../proto/partition.ts";
import type { WantedField } from "./decode/wire-columns.ts";
import {
  bindParameter,
  filterConditions,
  quoteIdentifier,
  quoteRelation,
  type SqlParameter,
} from "./sql.ts";
import type { MssqlReadTask, MssqlStream } from "./stream.ts";
import { keyToText, resolveColumn, textToKey } from "./types.ts";

/** A field of the SELECT: how it is asked for and what it becomes. */
export interface SelectedField extends WantedField {
  readonly expression: string;
}

/**
 * The fields of a partition's SELECT: those of the stream, then the columns of a key range that the stream leaves out,
 * as text, since positions are made of them.
 */
export function selectFields(
  task: Pick<MssqlReadTask, "stream" | "partition">,
): SelectedField[] {
  const { columns, schema } = task.stream;
  const fields = columns.map((column, index): SelectedField => {
    const { type, selectExpression, codePage } = resolveColumn(column);
    const stated = schema.columns[index];
    assert(
      stated?.name === column.name && stated.type.kind === type.kind,
      `the schema of ${column.name} is not what its type resolves to`,
    );
    return {
      name: column.name,
      logical: type.kind,
      nullable: stated.nullable,
      precision: type.precision ?? 0,
      scale: type.scale ?? 0,
      codePage,
      expression: selectExpression(`t.${quoteIdentifier(column.name)}`),
    };
  });
  const { split } = task.partition;
  if (split.kind !== "key") return fields;
  for (const [i, name] of split.columns.entries()) {
    if (columns.some((column) => column.name === name)) continue;
    const type = split.types[i] ?? "";
    fields.push({
      name,
      logical: "text",
      nullable: true,
      precision: 0,
      scale: 0,
      codePage: 0,
      expression: keyToText(`t.${quoteIdentifier(name)}`, type),
    });
  }
  return fields;
}

export interface BoundQuery {
  readonly sql: string;
  /** `@p1`, `@p2` … as nvarchar. */
  readonly params: readonly SqlParameter[];
}

/** The statement for a partition, behind `resumeAfter` where that is given. */
export function buildReadQuery(
  task: MssqlReadTask,
  fields: readonly SelectedField[],
): BoundQuery {
  const { relation, split } = task.partition;
  const params: SqlParameter[] = [];
  const predicates =
    split.kind === "key"
      ? keyPredicates(task.stream, split, task.resumeAfter, params)
      : [];
  predicates.push(...filterConditions(task.filter, params));
  const list = fields.map((field) => field.expression).join(", ");
  let sql = `SELECT ${list} FROM ${quoteRelation(relation)} AS t`;
  if (predicates.length > 0) sql += ` WHERE ${predicates.join(" AND ")}`;
  if (split.kind === "key") {
    sql += ` ORDER BY ${split.columns.map((key) => `t.${quoteIdentifier(key)}`).join(", ")}`;
  }
  // bounds are planned for as the values they are; one worker keeps the index's order without a merge
  sql += " OPTION (MAXDOP 1, RECOMPILE)";
  return { sql, params };
}

type KeySplit = Extract<Split, { kind: "key" }>;

/** What is left of a key range behind `resumeAfter`; the bounds are added to `params`. */
export function keyPredicates(
  stream: Pick<MssqlStream, "rangeKey">,
  split: KeySplit,
  resumeAfter: Position | null,
  params: SqlParameter[],
): string[] {
  const after = resumeAfter?.kind === "key" ? resumeAfter.after : null;
  assert((after === null) === (resumeAfter === null), "a page in a key range");
  const predicates: string[] = [];
  const start = after ?? split.start;
  if (start !== null) {
    predicates.push(
      compareTuple(split, after === null ? ">=" : ">", start, params),
    );
  }
  if (split.end !== null) {
    const below = compareTuple(split, "<", split.end, params);
    const [first = ""] = split.columns;
    // NULL sorts lowest: such rows are those of the range that is open below
    predicates.push(
      start === null && stream.rangeKey?.nullable === true
        ? `(${below} OR t.${quoteIdentifier(first)} IS NULL)`
        : below,
    );
  }
  return predicates;
}

/**
 * A comparison of row values, which Transact-SQL has not: the first column's bound stands by itself, so that an index
 * can be sought by it, and the rest is spelt out.
 */
function compareTuple(
  split: Pick<KeySplit, "columns" | "types">,
  operator: ">" | ">=" | "<",
  bound: KeyTuple,
  params: SqlParameter[],
): string {
  assert.equal(bound.length, split.columns.length);
  const columns = split.columns.map((name) => `t.${quoteIdentifier(name)}`);
  const values = bound.map((text, i) =>
    textToKey(bindParameter(params, text), split.types[i] ?? ""),
  );
  if (columns.length === 1) return `${columns[0]} ${operator} ${values[0]}`;
  const strict = operator === "<" ? "<" : ">";
  const last = columns.length - 1;
  let sql = `${columns[last]} ${operator} ${values[last]}`;
  for (let i = last - 1; i >= 0; i--) {
    sql = `(${columns[i]} ${strict} ${values[i]} OR (${columns[i]} = ${values[i]} AND ${sql}))`;
  }
  return `(${columns[0]} ${strict}= ${values[0]} AND ${sql})`;
}
