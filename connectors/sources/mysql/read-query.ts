/**
 * The SELECT of a partition: its columns, its range, and the sync's predicate; and what its result must look like.
 */
import { strict as assert } from "node:assert";
import type { Position, Split } from "../../../proto/partition.ts";
import type { FieldPlan } from "./decode/plan.ts";
import type { TextField } from "./position.ts";
import {
  compareKey,
  filterConditions,
  keyText,
  quoteIdentifier,
  quoteRelation,
} from "./sql.ts";
import type { MysqlColumn, MysqlReadTask } from "./stream.ts";
import { resolveColumn } from "./types.ts";

/** A column of the SELECT: how it is decoded, asked for and recognised. */
export interface SelectedField extends FieldPlan, TextField {
  readonly expression: string;
  /** Null for the text of a key's column that the stream leaves out. */
  readonly column: MysqlColumn | null;
}

/**
 * The columns of a partition's SELECT: those of the stream, then the columns of a key range that the stream leaves out,
 * as text, since positions are made of them.
 */
export function selectFields(
  task: Pick<MysqlReadTask, "stream" | "partition">,
): SelectedField[] {
  const { columns, schema } = task.stream;
  const fields = columns.map((column, index): SelectedField => {
    const { type, kind } = resolveColumn(column);
    const stated = schema.columns[index];
    assert(
      stated?.name === column.name && stated.type.kind === type.kind,
      `the schema of ${column.name} is not what its type resolves to`,
    );
    const secondDigits = column.datetimePrecision ?? 0;
    return {
      name: column.name,
      kind,
      logical: type.kind,
      nullable: stated.nullable,
      precision: type.precision ?? 0,
      scale: kind === "time" ? secondDigits : (type.scale ?? 0),
      secondDigits,
      expression: quoteIdentifier(column.name),
      column,
    };
  });
  const { split } = task.partition;
  if (split.kind !== "key") return fields;
  for (const [index, name] of split.columns.entries()) {
    if (columns.some((column) => column.name === name)) continue;
    fields.push({
      name,
      kind: "bytes",
      logical: "text",
      nullable: false,
      precision: 0,
      scale: 0,
      secondDigits: 0,
      expression: keyText(quoteIdentifier(name), split.types[index] ?? ""),
      column: null,
    });
  }
  return fields;
}

/**
 * The statement for a partition, behind `resumeAfter` where that is given. `ordered`: rows come in the order of the
 * key, so that there can be checkpoints inside.
 */
export function buildReadQuery(
  task: MysqlReadTask,
  fields: readonly SelectedField[],
  ordered: boolean,
): string {
  const { relation, split } = task.partition;
  assert(split.kind !== "pages", "this source has no pages");
  const list = fields.map((field) => field.expression).join(", ");
  let sql = `SELECT ${list} FROM ${quoteRelation(relation)}`;
  // without statistics, or with misleading ones, the server would sort, or look at every row once per range
  const index = task.stream.key?.name;
  if (split.kind === "key" && index !== undefined) {
    sql += ` FORCE INDEX (${quoteIdentifier(index)})`;
  }
  const predicates =
    split.kind === "key" ? keyPredicates(split, task.resumeAfter) : [];
  assert(split.kind === "key" || task.resumeAfter === null, "a place in whole");
  predicates.push(...filterConditions(task.filter));
  if (predicates.length > 0) sql += ` WHERE ${predicates.join(" AND ")}`;
  if (split.kind === "key" && ordered) {
    // a bare name would mean the column of the result, which may be a text
    const name = quoteIdentifier(relation.name);
    const keys = split.columns.map((key) => `${name}.${quoteIdentifier(key)}`);
    sql += ` ORDER BY ${keys.join(", ")}`;
  }
  return sql;
}

/** What is left of a key range behind `resumeAfter`. */
export function keyPredicates(
  split: Extract<Split, { kind: "key" }>,
  resumeAfter: Position | null,
): string[] {
  const after = resumeAfter?.kind === "key" ? resumeAfter.after : null;
  assert((after === null) === (resumeAfter === null), "a page in a key range");
  const key = {
    columns: split.columns.map(quoteIdentifier),
    types: split.types,
  };
  const predicates: string[] = [];
  if (after !== null) predicates.push(compareKey(key, ">", after));
  else if (split.start !== null) {
    predicates.push(compareKey(key, ">=", split.start));
  }
  if (split.end !== null) predicates.push(compareKey(key, "<", split.end));
  return predicates;
}
