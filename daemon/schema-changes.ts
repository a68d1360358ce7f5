/** What has become of a stream's columns since the run before, and what a sync's policy makes of it. Pure. */
import type { ColumnSchema, StreamSchema } from "../proto/schema.ts";

export const SCHEMA_POLICIES = [
  "propagate",
  "new-columns-only",
  "ignore",
  "pause",
] as const;

/**
 * `propagate`: the copy follows the table. `new-columns-only`: columns may come; a stream that loses one or changes
 * its type fails. `ignore`: the copy keeps the columns that it has. `pause`: a stream that has changed is not read
 * until somebody has agreed to it.
 */
export type SchemaPolicy = (typeof SCHEMA_POLICIES)[number];

export interface SchemaDifference {
  readonly added: readonly string[];
  readonly removed: readonly string[];
  readonly changed: readonly {
    readonly column: string;
    readonly from: string;
    readonly to: string;
  }[];
}

type Columns = Pick<StreamSchema, "columns">;

/** Null where nothing has changed; another order of columns, or NOT NULL that came or went, is no change to a reader. */
export function compareColumns(
  before: Columns,
  after: Columns,
): SchemaDifference | null {
  const old = new Map(before.columns.map((column) => [column.name, column]));
  const now = new Map(after.columns.map((column) => [column.name, column]));
  const added = [...now.keys()].filter((name) => !old.has(name));
  const removed = [...old.keys()].filter((name) => !now.has(name));
  const changed = [...now.values()].flatMap((column) => {
    const known = old.get(column.name);
    if (known === undefined || isSameType(known, column)) return [];
    return [
      {
        column: column.name,
        from: known.sourceType,
        to: column.sourceType,
      },
    ];
  });
  return added.length + removed.length + changed.length === 0
    ? null
    : { added, removed, changed };
}

function isSameType(a: ColumnSchema, b: ColumnSchema): boolean {
  return (
    a.sourceType === b.sourceType &&
    a.type.kind === b.type.kind &&
    a.type.precision === b.type.precision &&
    a.type.scale === b.type.scale
  );
}

/**
 * Columns in which rows that were copied before may have another value now, of which no log tells: those that came with
 * values, those that may have had another name, and those whose values were made into another type.
 */
export function findUntold(
  { added, removed, changed }: SchemaDifference,
  filled: readonly string[],
): string[] {
  return [
    ...added.filter((name) => removed.length > 0 || filled.includes(name)),
    ...changed.filter((one) => !keepsValues(one)).map(({ column }) => column),
  ];
}

const integers = ["tinyint", "smallint", "mediumint", "int", "bigint"];

/** Whether every value of the one type is the same in the other. */
function keepsValues({
  from,
  to,
}: {
  readonly from: string;
  readonly to: string;
}): boolean {
  const rank = (type: string) =>
    integers.indexOf(type.replace("integer", "int").replace(/\(\d+\)/, ""));
  if (rank(from) >= 0) return rank(to) > rank(from);
  const short = /^(?:character varying|varchar)\((\d+)\)$/.exec(from);
  if (short) {
    const long = /^(?:character varying|varchar)\((\d+)\)$/.exec(to);
    return long
      ? Number(long[1]) >= Number(short[1])
      : to === "text" || to === "character varying";
  }
  const numeric = /^(?:numeric|decimal)\((\d+),(\d+)\)$/;
  const [narrow, wide] = [numeric.exec(from), numeric.exec(to)];
  return (
    narrow !== null &&
    wide !== null &&
    narrow[2] === wide[2] &&
    Number(wide[1]) >= Number(narrow[1])
  );
}

/** Why a stream may not be read under its policy; null where it may. */
export function refuseDifference(
  policy: SchemaPolicy,
  difference: SchemaDifference,
): string | null {
  switch (policy) {
    case "propagate":
    case "ignore":
      return null;
    case "pause":
      return "its sync waits for somebody to agree to the change";
    case "new-columns-only":
      return difference.removed.length + difference.changed.length > 0
        ? "its sync takes new columns and no other change"
        : null;
  }
}

/** `new columns a, b; gone: c; d: integer became bigint` */
export function describeDifference({
  added,
  removed,
  changed,
}: SchemaDifference): string {
  const parts = [
    ...(added.length > 0 ? [`new: ${added.join(", ")}`] : []),
    ...(removed.length > 0 ? [`gone: ${removed.join(", ")}`] : []),
    ...changed.map(({ column, from, to }) => `${column}: ${from} became ${to}`),
  ];
  return parts.join("; ");
}
