/**
 * Positions behind a row of a key range: the exact text of its key, from the columns that were decoded, as `keyLiteral`
 * takes it.
 */
import type { ColumnStore } from "../batches/batch-set.ts";
import {
  formatDecimal,
  formatUuid,
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

const US_PER_DAY = 86_400_000_000n;

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
  field: TextField,
  store: ColumnStore,
  row: number,
): string | null {
  const bitmap = store.validity;
  if (bitmap !== null && !isSet(bitmap, row)) return null;
  switch (field.logical) {
    case "boolean":
      return isSet(store.fixed, row) ? "1" : "0";
    case "int16":
      return String(store.halves[row]);
    case "int32":
      return String(store.words[row]);
    case "int64":
      return readInteger(store.words, row, 2).toString();
    case "uint64":
      return BigInt.asUintN(64, readInteger(store.words, row, 2)).toString();
    case "decimal64":
      return formatDecimal(readInteger(store.words, row, 2), field.scale);
    case "decimal128":
      return formatDecimal(readInteger(store.words, row, 4), field.scale);
    case "date":
      return formatDate(store.words[row] ?? 0);
    case "timestamp":
    case "timestamptz":
      return formatTimestamp(
        readInteger(store.words, row, 2),
        field.secondDigits,
      );
    case "uuid":
      return formatUuid(store.fixed.subarray(16 * row, 16 * row + 16));
    case "binary":
      return readBytes(store, row).toString("hex");
    case "text":
    case "json":
    case "decimalText":
      return readBytes(store, row).toString("utf8");
    case "float32":
    case "float64":
    case "time":
    case "timeNs":
    case "timestampNs":
      return null;
  }
}

function formatTimestamp(us: bigint, secondDigits: number): string {
  let days = us / US_PER_DAY;
  let rest = us % US_PER_DAY;
  if (rest < 0n) {
    days -= 1n;
    rest += US_PER_DAY;
  }
  const seconds = Number(rest / 1_000_000n);
  const two = (value: number): string => String(value).padStart(2, "0");
  const clock = `${two(Math.floor(seconds / 3600))}:${two(Math.floor(seconds / 60) % 60)}:${two(seconds % 60)}`;
  const fraction = String(rest % 1_000_000n).padStart(6, "0");
  const text = `${formatDate(Number(days))} ${clock}`;
  return secondDigits === 0
    ? text
    : `${text}.${fraction.slice(0, secondDigits)}`;
}

/** Days since 1970-01-01 as a date of the years 1 to 9999, all of which a JavaScript Date has. */
function formatDate(days: number): string {
  const date = new Date(days * 86_400_000);
  const pad = (value: number, digits: number): string =>
    String(value).padStart(digits, "0");
  return `${pad(date.getUTCFullYear(), 4)}-${pad(date.getUTCMonth() + 1, 2)}-${pad(date.getUTCDate(), 2)}`;
}
