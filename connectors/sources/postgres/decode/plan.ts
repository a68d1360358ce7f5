/**
 * What a decoder is made from: one typed entry per field of a DataRow, and what is done with values that do not fit.
 */
import { ExtractError } from "../../../../proto/error.ts";
import type {
  LogicalKind,
  UnrepresentablePolicy,
} from "../../../../proto/schema.ts";
import type { WireKind } from "../types.ts";

/** A field of the row, in wire order. */
export interface FieldPlan {
  readonly name: string;
  readonly kind: WireKind;
  readonly logical: LogicalKind;
  readonly nullable: boolean;
  /** Decimal digits in all and behind the point; 0 for kinds other than decimal64 and decimal128. */
  readonly precision: number;
  readonly scale: number;
}

export interface DecodePlan {
  readonly fields: readonly FieldPlan[];
  /** Names the table in errors, e.g. `public.orders`. */
  readonly table: string;
  readonly policy: UnrepresentablePolicy;
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
  if (plan.policy === "null") {
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

/**
 * A length word that is neither -1 nor possible for the field.
 * @throws ExtractError always: SOURCE_SCHEMA_CHANGED for NULL in a NOT NULL column, else SOURCE_PROTOCOL_VIOLATION
 */
export function refuseLength(
  plan: DecodePlan,
  field: FieldPlan,
  length: number,
): never {
  if (length === -1) {
    throw new ExtractError(
      "SOURCE_SCHEMA_CHANGED",
      `${plan.table}.${field.name} was NOT NULL when it was discovered, and now holds NULL`,
      { table: plan.table, column: field.name },
    );
  }
  throw new ExtractError(
    "SOURCE_PROTOCOL_VIOLATION",
    `${plan.table}.${field.name}: a value of ${length} bytes, which ${field.kind} cannot have here`,
    { table: plan.table, column: field.name },
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
