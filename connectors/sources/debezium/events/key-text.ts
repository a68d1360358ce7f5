/** The values of a key as text that the source's own type reads back, in a JSON array: what `_old_key` holds. */
import type { ColumnStore } from "../../batches/batch-set.ts";
import {
  formatDecimal,
  formatUuid,
  isSet,
  readBytes,
  readInteger,
} from "../../batches/read-value.ts";
import type { ChangeColumn } from "./columns.ts";

const US_PER_DAY = 86_400_000_000n;

/** `columns` in key order, with their stores; row `row` of each. */
export function formatKey(
  columns: readonly ChangeColumn[],
  stores: readonly ColumnStore[],
  row: number,
): string {
  return JSON.stringify(
    columns.map((column, i) => {
      const store = stores[i];
      return store === undefined ? null : readValue(column, store, row);
    }),
  );
}

function readValue(
  column: ChangeColumn,
  store: ColumnStore,
  row: number,
): string | null {
  if (store.validity !== null && !isSet(store.validity, row)) return null;
  switch (column.logical) {
    case "boolean":
      return isSet(store.fixed, row) ? "true" : "false";
    case "int16":
      return String(store.halves[row]);
    case "int32":
      return String(store.words[row]);
    case "int64":
      return readInteger(store.words, row, 2).toString();
    case "uint64":
      return BigInt.asUintN(64, readInteger(store.words, row, 2)).toString();
    case "float32":
      return String(
        new Float32Array(Int32Array.of(store.words[row] ?? 0).buffer)[0],
      );
    case "float64": {
      const words = Int32Array.of(
        store.words[2 * row] ?? 0,
        store.words[2 * row + 1] ?? 0,
      );
      return String(new Float64Array(words.buffer)[0]);
    }
    case "decimal64":
      return formatDecimal(readInteger(store.words, row, 2), column.digits);
    case "decimal128":
      return formatDecimal(readInteger(store.words, row, 4), column.digits);
    case "date":
      return formatDate(store.words[row] ?? 0);
    case "time":
      return formatClock(readInteger(store.words, row, 2), 6);
    case "timeNs":
      return formatClock(readInteger(store.words, row, 2), 9);
    case "timestamp":
      return formatMoment(readInteger(store.words, row, 2), 6);
    case "timestamptz":
      return `${formatMoment(readInteger(store.words, row, 2), 6)}+00`;
    case "timestampNs":
      return formatMoment(readInteger(store.words, row, 2), 9);
    case "uuid":
      return formatUuid(store.fixed.subarray(16 * row, 16 * row + 16));
    case "binary":
      return `\\x${readBytes(store, row).toString("hex")}`;
    case "text":
    case "json":
    case "decimalText":
      return readBytes(store, row).toString("utf8");
  }
}

function formatMoment(value: bigint, digits: 6 | 9): string {
  const perDay = digits === 6 ? US_PER_DAY : US_PER_DAY * 1_000n;
  let days = value / perDay;
  let rest = value % perDay;
  if (rest < 0n) {
    days -= 1n;
    rest += perDay;
  }
  return `${formatDate(Number(days))} ${formatClock(rest, digits)}`;
}

/** `hh:mm:ss` and, where there are any, the digits behind the second without zeros at their end. */
function formatClock(value: bigint, digits: 6 | 9): string {
  const perSecond = 10n ** BigInt(digits);
  const seconds = Number(value / perSecond);
  const fraction = value % perSecond;
  const two = (part: number): string => String(part).padStart(2, "0");
  const clock = `${two(Math.floor(seconds / 3_600))}:${two(Math.floor(seconds / 60) % 60)}:${two(seconds % 60)}`;
  if (fraction === 0n) return clock;
  return `${clock}.${String(fraction).padStart(digits, "0").replace(/0+$/, "")}`;
}

/** From year 1 on, beyond the range of a JavaScript Date too. Counted in eras of 400 years that begin with March. */
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
  const fromMarch = Math.floor((5 * dayOfYear + 2) / 153);
  const day = dayOfYear - Math.floor((153 * fromMarch + 2) / 5) + 1;
  const month = fromMarch < 10 ? fromMarch + 3 : fromMarch - 9;
  const year = era * 400 + yearOfEra + (month <= 2 ? 1 : 0);
  return `${String(year).padStart(4, "0")}-${String(month).padStart(2, "0")}-${String(day).padStart(2, "0")}`;
}
