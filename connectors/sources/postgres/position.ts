/**
 * Positions behind a row of a key range: the exact server text of its key, from the columns that were decoded.
 */
import type { PostgresReadTask } from "./stream.ts";
import { formatValue } from "../batches/read-value.ts";
import {
  buildPositionReader,
  type PositionReader,
} from "../position-reader.ts";
import type { FieldPlan } from "./decode/plan.ts";

/**
 * How positions are read for a task, or null where it has none inside: it is no key range, or a type of its key has no
 * exact text (floats).
 */
export function createPositionReader(
  task: Pick<PostgresReadTask, "stream" | "partition">,
  fields: readonly FieldPlan[],
): PositionReader | null {
  return buildPositionReader(task, fields, hasExactText, (field, store, row) =>
    formatValue(field.logical, field.scale, store, row),
  );
}

/** Whether a value's text, which is that of `column::text` under our session settings, finds the row again. */
function hasExactText(field: FieldPlan): boolean {
  return field.logical !== "float32" && field.logical !== "float64";
}
