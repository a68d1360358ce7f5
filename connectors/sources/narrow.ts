/**
 * Rows of a narrowed run as SQL. The bounds come from messages of strangers: a column has to be one of the table, and a
 * value becomes a literal of the column's own type, quoted by the source that reads it. Pure.
 */
import type { RangeFilter } from "../../proto/control.ts";
import { ExtractError } from "../../proto/error.ts";
import { nearestNames } from "../../proto/nearest.ts";
import { meansRelation } from "../../proto/pattern.ts";
import type { DiscoveredStream } from "./source.ts";

/** How one source writes names and values. */
export interface LiteralWriter {
  quoteIdentifier(name: string): string;
  /**
   * A value to compare the column with, as SQL.
   * @throws ExtractError TRIGGER_INVALID for a text that is no value of its type, or a type that is not compared
   */
  writeLiteral(
    column: { readonly name: string; readonly stream: DiscoveredStream },
    text: string,
  ): string;
}

/** Null: every row is meant. @throws ExtractError SOURCE_COLUMN_NOT_FOUND, TRIGGER_INVALID */
export function writeRanges(
  stream: DiscoveredStream,
  ranges: readonly RangeFilter[],
  writer: LiteralWriter,
): string | null {
  const { namespace: schema, name } = stream.schema;
  const meant = ranges.filter((range) =>
    meansRelation(range.stream, { schema, name }),
  );
  if (meant.length === 0) return null;
  const written = meant.map((range) => writeRange(stream, range, writer));
  return written.map((sql) => `(${sql})`).join(" OR ");
}

function writeRange(
  stream: DiscoveredStream,
  { column: name, from, to, bounds }: RangeFilter,
  writer: LiteralWriter,
): string {
  checkColumn(stream, name);
  const column = writer.quoteIdentifier(name);
  const isKeyRange = bounds === "[)";
  const sql = [
    [isKeyRange ? ">=" : ">", from] as const,
    [isKeyRange ? "<" : "<=", to] as const,
  ].flatMap(([operator, text]) =>
    text === null
      ? []
      : [
          `${column} ${operator} ${writer.writeLiteral({ name, stream }, text)}`,
        ],
  );
  // an open range still leaves NULL out, as any bound does
  return sql.length === 0 ? `${column} IS NOT NULL` : sql.join(" AND ");
}

function checkColumn(stream: DiscoveredStream, name: string): void {
  if (stream.allColumnNames.includes(name)) return;
  const table = `${stream.schema.namespace}.${stream.schema.name}`;
  const nearest = nearestNames(name, [...stream.allColumnNames])[0];
  throw new ExtractError(
    "SOURCE_COLUMN_NOT_FOUND",
    `${table} has no column ${name}${nearest === undefined ? "" : `; did you mean ${nearest}?`}`,
    { table, column: name },
  );
}

/** The user's own predicate and that of the run, each by itself: the user's words may end in a comment. */
export function joinPredicates(
  where: string | null,
  narrowed: string | null,
): string | null {
  if (where === null || narrowed === null) return where ?? narrowed;
  return `(${where}\n) AND (${narrowed})`;
}

/** Spellings of values that mean the same in every server, by the column's logical type. */
const spellings: Readonly<Record<string, RegExp>> = {
  number: /^-?\d{1,40}(?:\.\d{1,40})?$/,
  date: /^\d{4}-\d{2}-\d{2}$/,
  timestamp: /^\d{4}-\d{2}-\d{2}(?:[ T]\d{2}:\d{2}(?::\d{2}(?:\.\d{1,7})?)?)?$/,
};

/**
 * For servers that do not give a bare literal the column's type by themselves: the text if it is a value of one that
 * has an exact spelling, and which kind that is.
 * @throws ExtractError TRIGGER_INVALID
 */
export function readBound(
  {
    name,
    stream,
  }: { readonly name: string; readonly stream: DiscoveredStream },
  text: string,
): {
  readonly kind: "number" | "date" | "timestamp" | "text";
  readonly text: string;
} {
  const type = stream.schema.columns.find((one) => one.name === name)?.type;
  const kind = kindOf(type?.kind ?? null);
  const spelling = kind === null ? undefined : spellings[kind];
  if (kind === null || (spelling !== undefined && !spelling.test(text)))
    throw new ExtractError(
      "TRIGGER_INVALID",
      kind === null
        ? `${name} cannot be narrowed by: it is no number, date, timestamp or text that is read`
        : `a bound of ${name} is no ${kind}`,
      { column: name },
    );
  return { kind, text };
}

function kindOf(
  logical: string | null,
): "number" | "date" | "timestamp" | "text" | null {
  switch (logical) {
    case "int16":
    case "int32":
    case "int64":
    case "uint64":
    case "decimal64":
    case "decimal128":
    case "decimalText":
      return "number";
    case "date":
    case "text":
      return logical;
    case "timestamp":
    case "timestamptz":
      return "timestamp";
    default:
      return null;
  }
}
