/**
 * The values that the straight-line decoders do not take: long decimals, and those at or behind the edges of their
 * logical type. Each function writes the value and returns true, or refuses it (which throws under the policy
 * `error`) and returns false, and the caller writes NULL.
 */
import type { ColumnStore } from "../../batches/batch-set.ts";
import { refuseValue, type DecodePlan, type FieldPlan } from "./plan.ts";

/** Days from 1970-01-01 to 2000-01-01, from which Postgres counts. */
export const EPOCH_DAYS = 10_957;
/** 0001-01-01 and 5874897-12-31, the last date, in days since 2000-01-01. */
export const DATE_MIN = -730_119;
export const DATE_MAX = 2_145_031_948;

/** The same epoch in µs, as the two halves of an int64. */
const EPOCH_US = 946_684_800_000_000n;
export const EPOCH_US_HIGH = Number(EPOCH_US >> 32n);
export const EPOCH_US_LOW = Number(BigInt.asIntN(32, EPOCH_US));
/** 0001-01-01 00:00, and the last µs that int64 holds when counted from 1970, in µs since 2000-01-01. */
const TIMESTAMP_MIN = -62_135_596_800_000_000n - EPOCH_US;
const TIMESTAMP_MAX = 2n ** 63n - 1n - EPOCH_US;
/** High halves between which every timestamp can be represented; outside, `decodeTimestampSlowly` looks closer. */
export const TIMESTAMP_HIGH_MIN = Number(TIMESTAMP_MIN >> 32n) + 1;
export const TIMESTAMP_HIGH_MAX = Number(TIMESTAMP_MAX >> 32n) - 1;

/**
 * A date outside `[DATE_MIN, DATE_MAX]`.
 * @see Postgres source, DATEVAL_NOBEGIN in src/include/utils/date.h
 */
export function refuseDate(
  plan: DecodePlan,
  field: FieldPlan,
  days: number,
): void {
  if (days === 0x7fffffff) refuseValue(plan, field, "infinity", "infinity");
  else if (days === -0x80000000) {
    refuseValue(plan, field, "-infinity", "-infinity");
  } else {
    refuseValue(plan, field, `day ${days} from 2000-01-01`, "before year 1");
  }
}

/** A timestamp whose high half is outside `(TIMESTAMP_HIGH_MIN, TIMESTAMP_HIGH_MAX)`: the two halves as received. */
export function decodeTimestampSlowly(
  plan: DecodePlan,
  field: FieldPlan,
  store: ColumnStore,
  row: number,
  high: number,
  low: number,
): boolean {
  const value = (BigInt(high) << 32n) | BigInt(low >>> 0);
  if (value === 2n ** 63n - 1n) {
    refuseValue(plan, field, "infinity", "infinity");
    return false;
  }
  if (value === -(2n ** 63n)) {
    refuseValue(plan, field, "-infinity", "-infinity");
    return false;
  }
  if (value < TIMESTAMP_MIN || value > TIMESTAMP_MAX) {
    const reason =
      value < 0n ? "before year 1" : "after the last µs of an int64";
    refuseValue(plan, field, `${value} µs from 2000-01-01`, reason);
    return false;
  }
  const unix = value + EPOCH_US;
  store.words[2 * row] = Number(BigInt.asIntN(32, unix));
  store.words[2 * row + 1] = Number(unix >> 32n);
  return true;
}

/** Limbs of the number that is being read, 32 bits each, the lowest first. */
const limbs = new Float64Array(4);
/** Digits that are taken at once: a limb times 10^6 stays below 2^53. */
const GROUP_DIGITS = 6;
const powers = [1, 10, 100, 1_000, 10_000, 100_000, 1_000_000] as const;

/**
 * A decimal of any length, written as the unscaled integer: 64 bits for decimal64, 128 for decimal128.
 * Shape: `-`? digits (`.` digits)?, or a word (`NaN`, `Infinity`). Digits behind the scale must be zeros.
 */
export function decodeDecimalSlowly(
  plan: DecodePlan,
  field: FieldPlan,
  store: ColumnStore,
  row: number,
  source: Uint8Array,
  start: number,
  length: number,
): boolean {
  const end = start + length;
  let at = start;
  const isNegative = source[at] === 45;
  if (isNegative) at++;
  limbs.fill(0);
  let digits = 0;
  let fraction = -1;
  let group = 0;
  let groupDigits = 0;
  let isNumber = at < end;
  let isTooLong = false;
  for (; at < end && isNumber; at++) {
    const byte = source[at] ?? 0;
    if (byte === 46 && fraction < 0) {
      fraction = 0;
      continue;
    }
    const digit = byte - 48;
    if (digit < 0 || digit > 9) {
      isNumber = false;
    } else if (fraction >= field.scale) {
      if (digit !== 0) isTooLong = true;
    } else {
      if (fraction >= 0) fraction++;
      if (digits > 0 || digit > 0) digits++;
      if (digits > field.precision) {
        isTooLong = true;
        break;
      }
      group = group * 10 + digit;
      if (++groupDigits === GROUP_DIGITS) {
        appendDigits(group, GROUP_DIGITS);
        group = 0;
        groupDigits = 0;
      }
    }
  }
  if (isNumber && !isTooLong) {
    appendDigits(group, groupDigits);
    let missing = field.scale - Math.max(fraction, 0);
    isTooLong = digits + (digits > 0 ? missing : 0) > field.precision;
    for (; missing > 0 && !isTooLong; missing -= GROUP_DIGITS) {
      appendDigits(0, Math.min(missing, GROUP_DIGITS));
    }
  }
  if (!isNumber || isTooLong) {
    const text = new TextDecoder().decode(
      source.subarray(start, Math.min(end, start + 100)),
    );
    const reason = isNumber
      ? `more than ${field.precision} digits, or more than ${field.scale} of them behind the point`
      : "not a finite number";
    refuseValue(plan, field, text, reason);
    return false;
  }
  writeLimbs(store.words, row, field.kind === "decimal64" ? 2 : 4, isNegative);
  return true;
}

function appendDigits(value: number, digitCount: number): void {
  const factor = powers[digitCount] ?? 1;
  let carry = value;
  for (let index = 0; index < 4; index++) {
    const sum = (limbs[index] ?? 0) * factor + carry;
    carry = Math.floor(sum / 4_294_967_296);
    limbs[index] = sum - carry * 4_294_967_296;
  }
}

function writeLimbs(
  words: Int32Array,
  row: number,
  wordCount: number,
  isNegative: boolean,
): void {
  let carry = 1;
  for (let index = 0; index < wordCount; index++) {
    let word = limbs[index] ?? 0;
    if (isNegative) {
      word = 4_294_967_295 - word + carry;
      carry = word > 4_294_967_295 ? 1 : 0;
    }
    words[row * wordCount + index] = word | 0;
  }
}
