/** Decimals that the straight-line decoders do not take: more than 15 characters, or not in the usual form. */
import type { ColumnStore } from "../../batches/batch-set.ts";
import { refuseValue, type DecodePlan, type FieldPlan } from "./plan.ts";

/** Limbs of the number that is being read, 32 bits each, the lowest first. */
const limbs = new Float64Array(4);
/** Digits that are taken at once: a limb times 10^6 stays below 2^53. */
const GROUP_DIGITS = 6;
const powers = [1, 10, 100, 1_000, 10_000, 100_000, 1_000_000] as const;

/**
 * A decimal of any length, written as the unscaled integer: 64 bits for decimal64, 128 for decimal128. Returns whether
 * it could be; where not, it is refused, which throws under the policy `error`, and the caller writes NULL.
 * Shape: `-`? digits (`.` digits)?. Digits behind the scale must be zeros.
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
      : "not a number";
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

/** Digits that an int32 always holds, and those that a double holds exactly. */
export const INT_DIGITS_MAX = 9;
export const DOUBLE_DIGITS_MAX = 15;

/** The unscaled number where it has exactly `scale` digits behind the point and at most 15 in all; else NaN. */
export function parseDecimal(
  source: Uint8Array,
  start: number,
  end: number,
  scale: number,
): number {
  let at = start;
  const isNegative = source[at] === 45;
  if (isNegative) at++;
  const point = scale === 0 ? end : end - scale - 1;
  if (
    end - at > DOUBLE_DIGITS_MAX + (scale === 0 ? 0 : 1) ||
    point <= at ||
    (scale > 0 && source[point] !== 46)
  ) {
    return NaN;
  }
  let sum = 0;
  for (; at < point; at++) sum = sum * 10 + (source[at] ?? 0) - 48;
  for (at++; at < end; at++) sum = sum * 10 + (source[at] ?? 0) - 48;
  return isNegative ? -sum : sum;
}
