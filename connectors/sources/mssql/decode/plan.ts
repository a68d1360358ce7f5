/**
 * What a decoder is made from: one typed entry per column of a row token, and what is done with values that do not fit.
 */
import { ExtractError } from "../../../../proto/error.ts";
import type {
  LogicalKind,
  UnrepresentablePolicy,
} from "../../../../proto/schema.ts";

/**
 * How a value's bytes become a value of the column buffer:
 * - `int8`: one unsigned byte, tinyint; `int16`, `bits32` (int, real), `bits64` (bigint, float): little-endian
 * - `money32`, `money64`: ten-thousandths; `decimal`: sign and magnitude
 * - `date`, `time`, `datetime2` (datetimeoffset too), `datetime`, `smalldatetime`
 * - `guid`: mixed byte order; `utf16`, `codePage`, `bytes`: variable width; `variant`: a type of its own in each value
 */
export type ValueKind =
  | "bool"
  | "int8"
  | "int16"
  | "bits32"
  | "bits64"
  | "money32"
  | "money64"
  | "decimal"
  | "date"
  | "time"
  | "datetime2"
  | "datetime"
  | "smalldatetime"
  | "guid"
  | "utf16"
  | "codePage"
  | "bytes"
  | "variant";

/**
 * What stands before a value's bytes: nothing; a byte of length, 0 for NULL; two bytes of length, 0xffff for NULL; a
 * length and chunks (PLP); a text pointer, a timestamp and four bytes of length; four bytes of length, 0 for NULL.
 * @see MS-TDS 2.2.5.2, "Data Stream Types", and 2.2.5.4, "Data Type Definitions"
 */
export type Framing = "none" | "byte" | "short" | "plp" | "pointer" | "long";

/** A column as COLMETADATA describes it. */
export interface WireColumn {
  readonly framing: Framing;
  readonly kind: ValueKind;
  /** Bytes of a value that is there, where all have the same number; else the most that are allowed, 0 for no limit. */
  readonly bytes: number;
  /** Of time, datetime2, datetimeoffset and decimal. */
  readonly scale: number;
}

/** A column of the row, in wire order. */
export interface FieldPlan extends WireColumn {
  readonly name: string;
  readonly logical: LogicalKind;
  readonly nullable: boolean;
  /** Decimal digits in all; 0 for kinds other than decimal64 and decimal128. */
  readonly precision: number;
  /** Of `codePage`; else 0. */
  readonly codePage: number;
}

export interface DecodePlan {
  readonly fields: readonly FieldPlan[];
  /** Names the table in errors, e.g. `dbo.Orders`. */
  readonly table: string;
  readonly policy: UnrepresentablePolicy;
  /** Bytes of a row above which SOURCE_ROW_TOO_LARGE is thrown. */
  readonly rowBytesMax: number;
  /** A value was replaced by NULL under the policy `null`. */
  readonly valueNulled: (column: string, reason: string) => void;
}

/** Longest value that an error message shows, in characters. */
const SHOWN_CHARS_MAX = 80;

/** Throws under the policy `error`; returns under `null`, and the caller writes NULL. */
export function refuseValue(
  plan: DecodePlan,
  field: FieldPlan,
  value: string,
  reason: string,
): void {
  if (plan.policy === "null" && field.nullable) {
    plan.valueNulled(field.name, reason);
    return;
  }
  const shown =
    value.length > SHOWN_CHARS_MAX
      ? `${value.slice(0, SHOWN_CHARS_MAX)}…`
      : value;
  throw new ExtractError(
    "SOURCE_VALUE_UNREPRESENTABLE",
    `${plan.table}.${field.name} holds ${shown}: ${reason}`,
    { table: plan.table, column: field.name, value: shown },
  );
}

/** @throws ExtractError SOURCE_PROTOCOL_VIOLATION, always */
export function refuseLength(
  plan: DecodePlan,
  field: FieldPlan,
  length: number,
): never {
  throw new ExtractError(
    "SOURCE_PROTOCOL_VIOLATION",
    `${plan.table}.${field.name}: a value of ${length} bytes, which ${field.kind} cannot have here`,
    { table: plan.table, column: field.name },
  );
}

/** @throws ExtractError SOURCE_SCHEMA_CHANGED, always */
export function refuseNull(plan: DecodePlan, field: FieldPlan): never {
  throw new ExtractError(
    "SOURCE_SCHEMA_CHANGED",
    `${plan.table}.${field.name} was NOT NULL when it was discovered, and now holds NULL`,
    { table: plan.table, column: field.name },
  );
}

/** @throws ExtractError SOURCE_ROW_TOO_LARGE, always */
export function refuseRowBytes(plan: DecodePlan, bytes: number): never {
  throw new ExtractError(
    "SOURCE_ROW_TOO_LARGE",
    `a row of ${plan.table} has ${bytes} bytes or more; ${plan.rowBytesMax} are allowed`,
    { table: plan.table, bytes },
  );
}

/** @throws ExtractError SOURCE_PROTOCOL_VIOLATION, always: the row's own lengths contradict each other */
export function refuseRow(plan: DecodePlan, what: string): never {
  throw new ExtractError(
    "SOURCE_PROTOCOL_VIOLATION",
    `a row of ${plan.table} has ${what}`,
    { table: plan.table },
  );
}
