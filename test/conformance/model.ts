/**
 * What scenarios, sources and destinations have in common: tables in neutral words, and one notation for values, in
 * which what went in is compared with what another reader finds.
 */
import type { LogicalType } from "../../proto/schema.ts";
import { parseExactly } from "../fixtures/read-back.ts";

/**
 * A value as text: integers and decimals with all their digits, floats as JavaScript prints them, `true`, `2024-02-29`,
 * `12:34:56.000001`, `2024-02-29T12:34:56.000001` (`Z` behind a timestamptz; nine digits for nanoseconds), bytes as
 * lower-case hex, JSON without its spaces and with the digits of its numbers.
 */
export type Cell = string | null;
export type Row = readonly Cell[];

export interface Column extends LogicalType {
  readonly name: string;
  readonly required?: true;
}

/** The kinds that every source has a type for. */
export type NeutralKind =
  | "int32"
  | "int64"
  | "text"
  | "decimal64"
  | "timestamp"
  | "boolean"
  | "binary";

export interface NeutralColumn extends Column {
  readonly kind: NeutralKind;
}

export interface Table {
  readonly name: string;
  readonly columns: readonly NeutralColumn[];
  readonly primaryKey?: readonly string[];
  /** A key of the server's whose columns may be NULL, and are. */
  readonly nullableKey?: readonly string[];
}

/** A column of the table of all types. */
export interface TypeCase extends LogicalType {
  /** As CREATE TABLE has it. */
  readonly sql: string;
  /** How SQL writes a value, and what is to arrive. */
  readonly values: readonly (readonly [sql: string, expected: string])[];
}

/** Makes the notation of `Cell` of what some reader printed. */
export function normalise(
  { kind }: Pick<LogicalType, "kind">,
  text: string,
): string {
  switch (kind) {
    case "boolean":
      return ["t", "true", "1"].includes(text) ? "true" : "false";
    case "float32":
      return printNumber(Math.fround(readNumber(text)));
    case "float64":
      return printNumber(readNumber(text));
    case "time":
    case "timestamp":
    case "timestamptz":
      return padTime(text, 6);
    case "timeNs":
    case "timestampNs":
      return padTime(text, 9);
    case "json":
      return noteJson(parseExactly(text));
    case "binary":
      return text.replace(/^\\x/, "").toLowerCase();
    case "uuid":
      return text.toLowerCase();
    default:
      return text;
  }
}

/** Of what `parseExactly` gave. */
export function noteJson(value: unknown): string {
  return JSON.stringify(value);
}

function readNumber(text: string): number {
  if (/^[-+]?inf(inity)?$/i.test(text))
    return text.startsWith("-") ? -Infinity : Infinity;
  return /^nan$/i.test(text) ? Number.NaN : Number(text);
}

function printNumber(value: number): string {
  return Object.is(value, -0) ? "-0" : String(value);
}

/** `2024-02-29 12:34:56.1+00` is `2024-02-29T12:34:56.100000Z`. */
function padTime(text: string, digits: number): string {
  const found = /^(.*\d\d:\d\d:\d\d)(?:\.(\d+))?(Z|[+]00(?::?00)?)?$/.exec(
    text,
  );
  if (!found) return text;
  const [, seconds = "", fraction = "", zone] = found;
  const utc = zone === undefined ? "" : "Z";
  return `${seconds.replace(" ", "T")}.${fraction.padEnd(digits, "0")}${utc}`;
}
