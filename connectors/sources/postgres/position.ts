/**
 * Positions behind a row of a key range: the exact server text of its key, from the columns that were decoded.
 */
import type { KeyTuple, Position } from "../../../proto/partition.ts";
import type { PostgresReadTask } from "./stream.ts";
import type { BatchSet, ColumnStore } from "../batches/batch-set.ts";
import type { FieldPlan } from "./decode/plan.ts";

/** The position behind row `row` of a batch; null where the row's key could not be kept exactly. */
export type PositionReader = (set: BatchSet, row: number) => Position | null;

const US_PER_DAY = 86_400_000_000n;

/**
 * How positions are read for a task, or null where it has none inside: it is no key range, or a type of its key has no
 * exact text (floats).
 */
export function createPositionReader(
  task: Pick<PostgresReadTask, "stream" | "partition">,
  fields: readonly FieldPlan[],
): PositionReader | null {
  const { split } = task.partition;
  if (split.kind !== "key") return null;
  const keyColumns = task.stream.key?.columns ?? [];
  const indexes: number[] = [];
  for (const name of split.columns) {
    const index = fields.findIndex((field) => field.name === name);
    const field = fields[index];
    const exact = keyColumns.find((column) => column.name === name)?.exact;
    if (field === undefined || exact !== true || !hasExactText(field)) {
      return null;
    }
    indexes.push(index);
  }
  return (set, row) => {
    const after: string[] = [];
    for (const index of indexes) {
      const field = fields[index];
      const store = set.columns[index];
      if (field === undefined || store === undefined) return null;
      const text = readText(field, store, row);
      if (text === null) return null;
      after.push(text);
    }
    return { kind: "key", after: after satisfies KeyTuple };
  };
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
    case "uuid": {
      const hex = Buffer.from(
        store.fixed.subarray(16 * row, 16 * row + 16),
      ).toString("hex");
      return hex.replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, "$1-$2-$3-$4-$5");
    }
    case "binary":
      return `\\x${valueBytes(store, row).toString("hex")}`;
    case "text":
    case "json":
    case "decimalText":
      return valueBytes(store, row).toString("utf8");
    case "float32":
    case "float64":
    case "timeNs":
    case "timestampNs":
      return null;
  }
}

function isSet(bitmap: Uint8Array, row: number): boolean {
  return ((bitmap[row >> 3] ?? 0) & (1 << (row & 7))) !== 0;
}

function valueBytes(store: ColumnStore, row: number): Buffer {
  const { values, offsets } = store;
  return Buffer.from(
    values.subarray(offsets?.[row] ?? 0, offsets?.[row + 1] ?? 0),
  );
}

function readInteger(
  words: Int32Array,
  row: number,
  wordCount: number,
): bigint {
  let value = 0n;
  for (let index = wordCount - 1; index >= 0; index--) {
    const word = words[row * wordCount + index] ?? 0;
    value = (value << 32n) | BigInt(word >>> 0);
  }
  return BigInt.asIntN(32 * wordCount, value);
}

function formatDecimal(unscaled: bigint, scale: number): string {
  const sign = unscaled < 0n ? "-" : "";
  const digits = (unscaled < 0n ? -unscaled : unscaled)
    .toString()
    .padStart(scale + 1, "0");
  if (scale === 0) return sign + digits;
  return `${sign}${digits.slice(0, -scale)}.${digits.slice(-scale)}`;
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
