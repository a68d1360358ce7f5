/**
 * Positions behind a row of a key range: the exact text of its key, from the columns that were decoded, as `keyLiteral`
 * takes it.
 */
import type { ColumnStore } from "../batches/batch-set.ts";
import {
  formatMoment,
  formatValue,
  isSet,
  readBytes,
  readInteger,
} from "../batches/read-value.ts";
import {
  buildPositionReader,
  type PositionReader,
} from "../position-reader.ts";
import type { FieldPlan } from "./decode/plan.ts";
import type { MysqlReadTask } from "./stream.ts";

/** What is needed of a field to print its values. */
export type TextField = Pick<FieldPlan, "name" | "logical" | "scale"> & {
  /** Digits of a second that a datetime prints. */
  readonly secondDigits: number;
};

/**
 * How positions are read for a task, or null where it has none inside: it is no key range, or a type of its key has no
 * exact text (floats, some character sets).
 */
export function createPositionReader(
  task: Pick<MysqlReadTask, "stream" | "partition">,
  fields: readonly TextField[],
): PositionReader | null {
  return buildPositionReader(task, fields, hasExactText, readText);
}

/** Whether `readText` gives a text that finds the row again. */
function hasExactText(field: TextField): boolean {
  return field.logical !== "float32" && field.logical !== "float64";
}

/** One value as the server prints it, binary strings in hexadecimal; null for NULL. */
function readText(
  { logical, scale, secondDigits }: TextField,
  store: ColumnStore,
  row: number,
): string | null {
  const bitmap = store.validity;
  if (bitmap !== null && !isSet(bitmap, row)) return null;
  switch (logical) {
    case "boolean":
      return isSet(store.fixed, row) ? "1" : "0";
    case "timestamp":
    case "timestamptz":
      return formatTimestamp(readInteger(store.words, row, 2), secondDigits);
    case "binary":
      return readBytes(store, row).toString("hex");
    default:
      return formatValue(logical, scale, store, row);
  }
}

function formatTimestamp(us: bigint, secondDigits: number): string {
  const text = formatMoment(us, 6);
  // without its point, too
  return text.slice(
    0,
    text.length - (secondDigits === 0 ? 7 : 6 - secondDigits),
  );
}
