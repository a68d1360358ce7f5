/**
 * Positions behind a row of a key range: the exact server text of its key, from the columns that were decoded.
 */
import type { PostgresReadTask } from "./stream.ts";
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

const US_PER_DAY = 86_400_000_000n;

/**
 * How positions are read for a task, or null where it has none inside: it is no key range, or a type of its key has no
 * exact text (floats).
 */
export function createPositionReader(
  task: Pick<PostgresReadTask, "stream" | "partition">,
  fields: readonly FieldPlan[],
): PositionReader | null {
  return buildPositionReader(task, fields, hasExactText, readText);
}

/** Whether `readText` gives a text that finds the row again. */
function hasExactText(field: FieldPlan): boolean {
  return field.logical !== "float32" && field.logical !== "float64";
}

/** One value as `column::text` prints it under our session settings; null for NULL. */
function readText(
  field: FieldPlan,
  store: ColumnStore,
  row: number,
): string | null {
  const bitmap = store.validity;
  if (bitmap !== null && !isSet(bitmap, row)) return null;
  switch (field.logical) {
    case "boolean":
      return isSet(store.fixed, row) ? "true" : "false";
    case "int16":
      return String(store.halves[row]);
    case "int32":
      return String(store.words[row]);
    case "int64":
    case "uint64":
      return readInteger(store.words, row, 2).toString();
    case "decimal64":
      return formatDecimal(readInteger(store.words, row, 2), field.scale);
    case "decimal128":
      return formatDecimal(readInteger(store.words, row, 4), field.scale);
    case "date":
      return formatDate(store.words[row] ?? 0);
    case "time":
      return formatTime(readInteger(store.words, row, 2));
    case "timestamp":
      return formatTimestamp(readInteger(store.words, row, 2));
    case "timestamptz":
      return `${formatTimestamp(readInteger(store.words, row, 2))}+00`;
    case "uuid":
      return formatUuid(store.fixed.subarray(16 * row, 16 * row + 16));
    case "binary":
      return `\\x${readBytes(store, row).toString("hex")}`;
    case "text":
    case "json":
    case "decimalText":
      return readBytes(store, row).toString("utf8");
    case "float32":
    case "float64":
    case "timeNs":
    case "timestampNs":
      return null;
  }
}

function formatTimestamp(us: bigint): string {
  let days = us / US_PER_DAY;
  let rest = us % US_PER_DAY;
  if (rest < 0n) {
    days -= 1n;
    rest += US_PER_DAY;
  }
  return `${formatDate(Number(days))} ${formatTime(rest)}`;
}

/** `hh:mm:ss` and, where there are any, the digits of the µs without zeros at their end. */
function formatTime(us: bigint): string {
  const seconds = Number(us / 1_000_000n);
  const fraction = Number(us % 1_000_000n);
  const two = (value: number): string => String(value).padStart(2, "0");
  const clock = `${two(Math.floor(seconds / 3600))}:${two(Math.floor(seconds / 60) % 60)}:${two(seconds % 60)}`;
  if (fraction === 0) return clock;
  return `${clock}.${String(fraction).padStart(6, "0").replace(/0+$/, "")}`;
}

/**
 * Days since 1970-01-01 as a date from year 1 on, beyond the range of a JavaScript Date too. Counted in eras of 400
 * years (146,097 days) from 0000-03-01, so that the leap day is the last of its year.
 */
function formatDate(days: number): string {
  const shifted = days + 719_468;
  const era = Math.floor(shifted / 146_097);
  const dayOfEra = shifted - era * 146_097;
  const yearOfEra = Math.floor(
    (dayOfEra -
      Math.floor(dayOfEra / 1_460) +
      Math.floor(dayOfEra / 36_524) -
      Math.floor(dayOfEra / 146_096)) /
      365,
  );
  const dayOfYear =
    dayOfEra -
    (365 * yearOfEra + Math.floor(yearOfEra / 4) - Math.floor(yearOfEra / 100));
  const monthFromMarch = Math.floor((5 * dayOfYear + 2) / 153);
  const day = dayOfYear - Math.floor((153 * monthFromMarch + 2) / 5) + 1;
  const month = monthFromMarch < 10 ? monthFromMarch + 3 : monthFromMarch - 9;
  const year = era * 400 + yearOfEra + (month <= 2 ? 1 : 0);
  return `${String(year).padStart(4, "0")}-${String(month).padStart(2, "0")}-${String(day).padStart(2, "0")}`;
}
