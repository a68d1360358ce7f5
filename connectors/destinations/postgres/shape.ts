/** Whether a table takes a stream's rows, and how it has to be altered where it does not yet. Pure. */
import { quoteIdentifier } from "./names.ts";
import type { TargetColumn } from "./types.ts";

/** A column that is there. */
export interface FoundColumn {
  readonly name: string;
  /** As `format_type` prints it. */
  readonly type: string;
  readonly notNull: boolean;
  /** It gets a value of its own where a row has none: default, identity, generated. */
  readonly filled: boolean;
  readonly generated: boolean;
  /** Views, rules, policies, triggers, other columns, partitions or parents depend on its type. */
  readonly pinned: boolean;
}

export interface ShapeComparison {
  /** What ALTER TABLE has to do before the rows fit. */
  readonly alterations: readonly string[];
  /** What stands against the rows whatever is altered, a clause each. */
  readonly faults: readonly string[];
}

/**
 * Compares the stream's columns with those that are there. A column that the stream no longer has stays, and gets NULL
 * or its default.
 * @param mayAlter a column that appears is added, nullable since older rows have no value; one that became wider is
 * altered. Else both are faults.
 */
export function compareShape(
  columns: readonly TargetColumn[],
  found: readonly FoundColumn[],
  mayAlter: boolean,
): ShapeComparison {
  const byName = new Map(found.map((column) => [column.name, column]));
  const faults: string[] = [];
  const alterations: string[] = [];
  for (const { name, type, nullable } of columns) {
    const there = byName.get(name);
    byName.delete(name);
    const quoted = quoteIdentifier(name);
    if (!there) {
      if (mayAlter) alterations.push(`ADD COLUMN ${quoted} ${type}`);
      else faults.push(`no column ${name}`);
      continue;
    }
    const fits = fitsType(type, there.type);
    const isWider = !fits && mayAlter && holdsType(type, there.type);
    if (there.generated) faults.push(`${name} is generated`);
    else if (!fits && !(isWider && !there.pinned))
      faults.push(
        `${name} is ${there.type} instead of ${type}${isWider ? ", and cannot be altered, since other things depend on it" : ""}`,
      );
    else if (there.notNull && nullable) faults.push(`${name} takes no NULL`);
    else if (!fits) alterations.push(`ALTER COLUMN ${quoted} TYPE ${type}`);
  }
  for (const { name, notNull, filled } of byName.values())
    if (notNull && !filled)
      faults.push(`${name} wants a value, which the source has none for`);
  return { alterations, faults };
}

/** Decimal digits of the largest value. */
const integerDigits: Readonly<Record<string, number>> = {
  smallint: 5,
  integer: 10,
  bigint: 19,
};
/** Bytes. */
const integerWidths: Readonly<Record<string, number>> = {
  smallint: 2,
  integer: 4,
  bigint: 8,
};
/** Integers that a float holds exactly, in bytes: of 24 and 53 bits. */
const floatIntegerWidths: Readonly<Record<string, number>> = {
  real: 2,
  "double precision": 4,
};

/** A staged value is stored in a column of that type unchanged. */
function fitsType(ours: string, theirs: string): boolean {
  const isJson = /^jsonb?$/.test(ours) && /^jsonb?$/.test(theirs);
  return isJson || holdsType(theirs, ours);
}

/** Whether every value of `from` has its place in `to`, and is the same there. */
export function holdsType(to: string, from: string): boolean {
  if (to === from) return true;
  const digits = integerDigits[from];
  const width = integerWidths[from];
  if (digits !== undefined && width !== undefined) {
    const numeric = readNumeric(to);
    if (numeric) return numeric.whole >= digits && numeric.scale >= 0;
    return width <= (integerWidths[to] ?? floatIntegerWidths[to] ?? 0);
  }
  if (from === "real") return to === "double precision";
  const before = readNumeric(from);
  const after = readNumeric(to);
  if (before && after)
    return after.whole >= before.whole && after.scale >= before.scale;
  const charsBefore = readTextLength(from);
  const charsAfter = readTextLength(to);
  return (
    charsBefore !== null && charsAfter !== null && charsAfter >= charsBefore
  );
}

/** Digits before and behind the point; null for other types. */
function readNumeric(type: string): { whole: number; scale: number } | null {
  if (type === "numeric") return { whole: Infinity, scale: Infinity };
  const match = /^numeric\((\d+),(-?\d+)\)$/.exec(type);
  if (!match) return null;
  const scale = Number(match[2]);
  return { whole: Number(match[1]) - scale, scale };
}

/** Characters at most; null for other types. `character(n)` is none of them: its blanks are padding. */
function readTextLength(type: string): number | null {
  if (type === "text" || type === "character varying") return Infinity;
  const match = /^character varying\((\d+)\)$/.exec(type);
  return match ? Number(match[1]) : null;
}
