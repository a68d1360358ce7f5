/**
 * The SELECT of a partition: its columns in the forms that the decoder takes, its range, and the sync's predicate.
 */
import { strict as assert } from "node:assert";
import type { KeyTuple, Position, Split } from "../../../proto/partition.ts";
import type { PostgresReadTask } from "./stream.ts";
import type { FieldPlan } from "./decode/plan.ts";
import { filterConditions, fromRelation } from "./sql.ts";
import { oids, quoteIdentifier, resolveColumn } from "./types.ts";
import type { BoundQuery } from "./wire/messages.ts";

/** A field of the SELECT: how it is decoded, asked for and recognised. */
export interface SelectedField extends FieldPlan {
  readonly expression: string;
  readonly format: 0 | 1;
  readonly resultOid: number;
}

/**
 * The fields of a partition's SELECT: those of the stream, then the columns of a key range that the stream leaves out,
 * as text, since positions are made of them.
 */
export function selectFields(
  task: Pick<PostgresReadTask, "stream" | "partition">,
): SelectedField[] {
  const { columns, schema } = task.stream;
  const fields = columns.map((column, index): SelectedField => {
    const { type, wire, selectExpression } = resolveColumn(column);
    const stated = schema.columns[index];
    assert(
      stated?.name === column.name && stated.type.kind === type.kind,
      `the schema of ${column.name} is not what its type resolves to`,
    );
    return {
      name: column.name,
      kind: wire.kind,
      logical: type.kind,
      nullable: stated.nullable,
      precision: type.precision ?? 0,
      scale: type.scale ?? 0,
      expression: selectExpression(quoteIdentifier(column.name)),
      format: wire.format,
      resultOid: wire.resultOid,
    };
  });
  const split = task.partition.split;
  if (split.kind !== "key") return fields;
  for (const name of split.columns) {
    if (columns.some((column) => column.name === name)) continue;
    fields.push({
      name,
      kind: "bytes",
      logical: "text",
      nullable: false,
      precision: 0,
      scale: 0,
      expression: `${quoteIdentifier(name)}::text`,
      format: 0,
      resultOid: oids.text,
    });
  }
  return fields;
}

/** Heap pages `[start, end)`; a null end is open. */
export interface PageRange {
  readonly start: number;
  readonly end: number | null;
}

/**
 * The statement for a partition, behind `resumeAfter` where that is given. `pages` is the piece of a `pages` split to
 * read; ctid ranges are never ordered, since that would sort.
 */
export function buildReadQuery(
  task: PostgresReadTask,
  fields: readonly SelectedField[],
  pages: PageRange | null,
): BoundQuery {
  const { relation, only, split } = task.partition;
  const params: string[] = [];
  const predicates: string[] = [];
  if (split.kind === "pages") {
    assert(pages !== null);
    predicates.push(...pagePredicates(pages));
  } else if (split.kind === "key") {
    predicates.push(...keyPredicates(split, task.resumeAfter, params));
  }
  const filter = filterConditions(task.filter, params.length + 1);
  predicates.push(...filter.sql);
  params.push(...filter.params.map(String));
  const list = fields.map((field) => field.expression).join(", ");
  let sql = `SELECT ${list} FROM ${fromRelation(relation, only)}`;
  if (predicates.length > 0) sql += ` WHERE ${predicates.join(" AND ")}`;
  if (split.kind === "key") {
    // a bare name would mean the column of the result, which may be a text
    const name = quoteIdentifier(relation.name);
    const keys = split.columns.map((key) => `${name}.${quoteIdentifier(key)}`);
    sql += ` ORDER BY ${keys.join(", ")}`;
  }
  return { sql, params, resultFormats: fields.map((field) => field.format) };
}

function pagePredicates(pages: PageRange): string[] {
  const predicates: string[] = [];
  if (pages.start > 0) predicates.push(`ctid >= '(${pages.start},0)'::tid`);
  if (pages.end !== null) predicates.push(`ctid < '(${pages.end},0)'::tid`);
  return predicates;
}

/** What is left of a key range behind `resumeAfter`; the bounds are added to `params`. */
export function keyPredicates(
  split: Extract<Split, { kind: "key" }>,
  resumeAfter: Position | null,
  params: string[],
): string[] {
  const after = resumeAfter?.kind === "key" ? resumeAfter.after : null;
  assert((after === null) === (resumeAfter === null), "a page in a key range");
  const compare = (operator: string, bound: KeyTuple): string => {
    assert.equal(bound.length, split.columns.length);
    const values = bound.map((text, index) => {
      params.push(text);
      return `$${params.length}::${split.types[index]}`;
    });
    const columns = split.columns.map(quoteIdentifier);
    return values.length === 1
      ? `${columns[0]} ${operator} ${values[0]}`
      : `(${columns.join(", ")}) ${operator} (${values.join(", ")})`;
  };
  const predicates: string[] = [];
  if (after !== null) predicates.push(compare(">", after));
  else if (split.start !== null) predicates.push(compare(">=", split.start));
  if (split.end !== null) predicates.push(compare("<", split.end));
  return predicates;
}
