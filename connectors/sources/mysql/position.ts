/**
 * Positions behind a row of a key range: the exact text of its key, from the columns that were decoded, as `keyLiteral`
 * takes it.
 */
import type { KeyTuple, Position } from "../../../proto/partition.ts";
import type { BatchSet, ColumnStore } from "../batches/batch-set.ts";
import type { FieldPlan } from "./decode/plan.ts";
import type { MysqlReadTask } from "./stream.ts";

/** The position behind row `row` of a batch; null where the row's key could not be kept exactly. */
export type PositionReader = (set: BatchSet, row: number) => Position | null;

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
    case "uuid": {
      const hex = Buffer.from(
        store.fixed.subarray(16 * row, 16 * row + 16),
      ).toString("hex");
      return hex.replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, "$1-$2-$3-$4-$5");
    }
    case "binary":
      return valueBytes(store, row).toString("hex");
    case "text":
    case "json":
    case "decimalText":
      return valueBytes(store, row).toString("utf8");
    case "float32":
    case "float64":
    case "time":
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
