/**
 * What a decoder is made from: one typed entry per column of the result, and what is done with values that do not fit.
 */
import { ExtractError } from "../../../../proto/error.ts";
import type {
  LogicalKind,
  UnrepresentablePolicy,
} from "../../../../proto/schema.ts";
import type { WireKind } from "../types.ts";

/** A column of the result, in its order. */
export interface FieldPlan {
  readonly name: string;
  readonly kind: WireKind;
  readonly logical: LogicalKind;
  readonly nullable: boolean;
  /** Decimal digits in all and behind the point; of `time`, those of a second; else 0. */
  readonly precision: number;
  readonly scale: number;
}

export interface DecodePlan {
  readonly fields: readonly FieldPlan[];
  /** Names the table in errors, e.g. `shop.orders`. */
  readonly table: string;
  readonly policy: UnrepresentablePolicy;
  /** A row with a longer payload is not decoded. */
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

/** @throws ExtractError SOURCE_SCHEMA_CHANGED, always: NULL in a column that had none */
export function refuseNull(plan: DecodePlan, field: FieldPlan): never {
  throw new ExtractError(
    "SOURCE_SCHEMA_CHANGED",
    `${plan.table}.${field.name} was NOT NULL when it was discovered, and now holds NULL`,
    { table: plan.table, column: field.name },
  );
}

/** @throws ExtractError SOURCE_PROTOCOL_VIOLATION, always: a length that the field's kind does not have */
export function refuseLength(
  plan: DecodePlan,
  field: FieldPlan,
  length: number,
): never {
  throw new ExtractError(
    "SOURCE_PROTOCOL_VIOLATION",
    `${plan.table}.${field.name}: a value of ${length} bytes, which ${field.kind} cannot have`,
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
