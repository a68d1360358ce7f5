/** Single values read back out of column buffers: for positions and other texts, not for every value of a table. */
import type { LogicalKind } from "../../../proto/schema.ts";
import type { ColumnStore } from "./batch-set.ts";

const SECONDS_PER_DAY = 86_400n;

/** Bit `row` of a bitmap, LSB first. */
export function isSet(bitmap: Uint8Array, row: number): boolean {
  return ((bitmap[row >> 3] ?? 0) & (1 << (row & 7))) !== 0;
}

/** A copy of one variable-width value. */
export function readBytes(store: ColumnStore, row: number): Buffer {
  const { values, offsets } = store;
  return Buffer.from(
    values.subarray(offsets?.[row] ?? 0, offsets?.[row + 1] ?? 0),
  );
}

/** The signed little-endian integer of `wordCount` words of 32 bits. */
export function readInteger(
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

/** Units of `10 ** -scale` as digits with a point: `formatDecimal(-5n, 2)` is `-0.05`. */
export function formatDecimal(unscaled: bigint, scale: number): string {
  const sign = unscaled < 0n ? "-" : "";
  const digits = (unscaled < 0n ? -unscaled : unscaled)
    .toString()
    .padStart(scale + 1, "0");
  if (scale === 0) return sign + digits;
  return `${sign}${digits.slice(0, -scale)}.${digits.slice(-scale)}`;
}

/** 16 bytes in the order they are printed, in lower case. */
export function formatUuid(bytes: Uint8Array): string {
  const hex = Buffer.from(bytes).toString("hex");
  return hex.replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, "$1-$2-$3-$4-$5");
}

/**
 * One value as text that Postgres prints and takes, and the other sources mostly, too; null for NULL. `scale` counts
 * only for decimals. What a source prints in another way is its own matter.
 */
export function formatValue(
  logical: LogicalKind,
  scale: number,
  store: ColumnStore,
  row: number,
): string | null {
  const { fixed, words, validity } = store;
  if (validity !== null && !isSet(validity, row)) return null;
  switch (logical) {
    case "boolean":
      return isSet(fixed, row) ? "true" : "false";
    case "int16":
      return String(store.halves[row]);
    case "int32":
      return String(words[row]);
    case "int64":
      return readInteger(words, row, 2).toString();
    case "uint64":
      return BigInt.asUintN(64, readInteger(words, row, 2)).toString();
    case "float32":
      return String(new Float32Array(Int32Array.of(words[row] ?? 0).buffer)[0]);
    case "float64": {
      const pair = Int32Array.of(words[2 * row] ?? 0, words[2 * row + 1] ?? 0);
      return String(new Float64Array(pair.buffer)[0]);
    }
    case "decimal64":
      return formatDecimal(readInteger(words, row, 2), scale);
    case "decimal128":
      return formatDecimal(readInteger(words, row, 4), scale);
    case "date":
      return formatDate(words[row] ?? 0);
    case "time":
      return trimFraction(formatClock(readInteger(words, row, 2), 6));
    case "timeNs":
      return trimFraction(formatClock(readInteger(words, row, 2), 9));
    case "timestamp":
      return trimFraction(formatMoment(readInteger(words, row, 2), 6));
    case "timestamptz":
      return `${trimFraction(formatMoment(readInteger(words, row, 2), 6))}+00`;
    case "timestampNs":
      return trimFraction(formatMoment(readInteger(words, row, 2), 9));
    case "uuid":
      return formatUuid(fixed.subarray(16 * row, 16 * row + 16));
    case "binary":
      return `\\x${readBytes(store, row).toString("hex")}`;
    case "text":
    case "json":
    case "decimalText":
      return readBytes(store, row).toString("utf8");
  }
}

/** Units of `10 ** -digits` s since 1970-01-01 00:00 as `yyyy-mm-dd hh:mm:ss`, with as many digits behind the second. */
export function formatMoment(units: bigint, digits: number): string {
  const perDay = SECONDS_PER_DAY * 10n ** BigInt(digits);
  let days = units / perDay;
  let rest = units % perDay;
  if (rest < 0n) {
    days -= 1n;
    rest += perDay;
  }
  return `${formatDate(Number(days))} ${formatClock(rest, digits)}`;
}

/** Units of `10 ** -digits` s since midnight as `hh:mm:ss`, with as many digits behind the second. */
export function formatClock(units: bigint, digits: number): string {
  const perSecond = 10n ** BigInt(digits);
  const seconds = Number(units / perSecond);
  const two = (value: number): string => String(value).padStart(2, "0");
  const clock = `${two(Math.floor(seconds / 3_600))}:${two(Math.floor(seconds / 60) % 60)}:${two(seconds % 60)}`;
  if (digits === 0) return clock;
  return `${clock}.${String(units % perSecond).padStart(digits, "0")}`;
}

/** Without the zeros at the end of a second's fraction, which is there, and without a point that nothing is behind. */
function trimFraction(clock: string): string {
  return clock.replace(/0+$/, "").replace(/\.$/, "");
}

/**
 * Days since 1970-01-01 as a date from year 1 on, beyond the range of a JavaScript Date too. Counted in eras of 400
 * years (146,097 days) from 0000-03-01, so that the leap day is the last of its year.
 */
export function formatDate(days: number): string {
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
