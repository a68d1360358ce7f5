/**
 * The binary form of `numeric`: int16 count of digits in base 10,000, int16 weight of the first, uint16 sign, uint16
 * decimal digits behind the point, then the digits. The server strips zeros at both ends by itself.
 * @see Postgres source, `numeric_recv` in src/backend/utils/adt/numeric.c
 */
import { ExtractError } from "../../../proto/error.ts";

const TWO_POW_32 = 4294967296;
const BASE = 10_000;
const NEGATIVE = 0x4000;
const NAN = 0xc000;
const POSITIVE_INFINITY = 0xd000;
const NEGATIVE_INFINITY = 0xf000;

const MINUS = 45;
const POINT = 46;
const ZERO = 48;

/** Length word, header, and the digits of a decimal128: 38 digits with three zeros behind take at most 11 groups. */
export const NUMERIC_BYTES_MAX = 4 + 8 + 2 * 12;
/**
 * Digits before and behind the point that the server takes: with more before it the weight would not fit its 16 bits, and
 * be read as another number. @see Postgres manual, "Numeric Types"
 */
const WHOLE_DIGITS_MAX = 131_072;
const TEXT_CHARS_MAX = WHOLE_DIGITS_MAX + 16_383 + 2;

/** Digits of the value at hand, the lowest first. */
const groups = new Int32Array(24);
/** Halves of a value's 32-bit words, the highest first, with room for three more decimal digits. */
const halves = new Int32Array(10);

/** Decimal digits that fill up the last group of a scale: `numeric(10,2)` has two. */
function fillOf(scale: number): number {
  return (4 - (scale & 3)) & 3;
}

const powers = [1, 10, 100, 1000] as const;

/**
 * Writes length word and value at `at`, and returns the place behind.
 * @param high signed, unless `unsigned`
 */
export function writeNumeric64(
  view: DataView,
  at: number,
  low: number,
  high: number,
  scale: number,
  unsigned: boolean,
): number {
  const factor = powers[fillOf(scale)] ?? 1;
  // |value| × 1000 below 2^53
  if (high >= -2048 && high < 2048) {
    let value = (high * TWO_POW_32 + (low >>> 0)) * factor;
    const sign = value < 0 ? NEGATIVE : 0;
    if (value < 0) value = -value;
    let count = 0;
    while (value > 0) {
      // exact below 2^53: the quotient's error is smaller than its distance from the next integer
      const rest = Math.floor(value / BASE);
      groups[count++] = value - rest * BASE;
      value = rest;
    }
    return writeGroups(view, at, count, sign, scale);
  }
  const isNegative = !unsigned && high < 0;
  return writeWide(view, at, [low, high], isNegative, factor, scale);
}

/** The same for 16 bytes, whose words are given from the lowest. */
export function writeNumeric128(
  view: DataView,
  at: number,
  words: Int32Array,
  place: number,
  scale: number,
): number {
  const low = words[place] ?? 0;
  const high = words[place + 1] ?? 0;
  const sign = high >> 31;
  if (words[place + 2] === sign && words[place + 3] === sign)
    return writeNumeric64(view, at, low, high, scale, false);
  const factor = powers[fillOf(scale)] ?? 1;
  const top = words[place + 3] ?? 0;
  const all = [low, high, words[place + 2] ?? 0, top];
  return writeWide(view, at, all, top < 0, factor, scale);
}

/** Division by hand, 16 bits at a time: nothing here is larger than 2^31. For values beyond 42 bits. */
function writeWide(
  view: DataView,
  at: number,
  words: readonly number[],
  isNegative: boolean,
  factor: number,
  scale: number,
): number {
  halves.fill(0);
  let carry = isNegative ? 1 : 0;
  for (let i = 0; i < 2 * words.length; i++) {
    const word = words[i >> 1] ?? 0;
    let half = (i & 1) === 0 ? word & 0xffff : word >>> 16;
    if (isNegative) {
      half = (~half & 0xffff) + carry;
      carry = half >> 16;
      half &= 0xffff;
    }
    halves[halves.length - 1 - i] = half;
  }
  carry = 0;
  for (let i = halves.length - 1; i >= 0; i--) {
    const product = (halves[i] ?? 0) * factor + carry;
    halves[i] = product & 0xffff;
    carry = product >>> 16;
  }
  let first = 0;
  let count = 0;
  for (;;) {
    while (first < halves.length && halves[first] === 0) first++;
    if (first === halves.length) break;
    let rest = 0;
    for (let i = first; i < halves.length; i++) {
      const dividend = rest * 65_536 + (halves[i] ?? 0);
      const quotient = (dividend / BASE) | 0;
      halves[i] = quotient;
      rest = dividend - quotient * BASE;
    }
    groups[count++] = rest;
  }
  return writeGroups(view, at, count, isNegative ? NEGATIVE : 0, scale);
}

function writeGroups(
  view: DataView,
  at: number,
  count: number,
  sign: number,
  scale: number,
): number {
  view.setInt32(at, 8 + 2 * count);
  view.setInt16(at + 4, count);
  view.setInt16(at + 6, count - 1 - ((scale + 3) >> 2));
  view.setInt16(at + 8, sign);
  view.setInt16(at + 10, scale);
  let place = at + 12;
  for (let i = count - 1; i >= 0; i--) {
    view.setInt16(place, groups[i] ?? 0);
    place += 2;
  }
  return place;
}

/**
 * The same from digits as text: `-12.340`, `NaN`, `Infinity`.
 * @returns the place behind, or -1 for what is no such number
 */
export function writeNumericText(
  view: DataView,
  at: number,
  source: Uint8Array,
  from: number,
  to: number,
): number {
  let start = from;
  const isNegative = source[start] === MINUS;
  if (isNegative) start++;
  if (to <= start || to - start > TEXT_CHARS_MAX) return -1;
  let point = to;
  for (let i = start; i < to; i++) {
    const character = source[i] ?? 0;
    if (character === POINT && point === to) point = i;
    else if (character < ZERO || character > ZERO + 9)
      return writeSpecial(view, at, source, from, to);
  }
  const scale = point === to ? 0 : to - point - 1;
  const whole = point - start;
  if (whole + scale === 0 || whole > WHOLE_DIGITS_MAX) return -1;
  const wholeGroups = (whole + 3) >> 2;
  const count = wholeGroups + ((scale + 3) >> 2);
  view.setInt32(at, 8 + 2 * count);
  view.setInt16(at + 4, count);
  view.setInt16(at + 6, wholeGroups - 1);
  view.setInt16(at + 8, isNegative ? NEGATIVE : 0);
  view.setInt16(at + 10, scale);
  let place = at + 12;
  let group = 0;
  // the first group has what is left over, the last one zeros behind
  let left = whole & 3 || 4;
  for (let i = start; i < to; i++) {
    if (i === point) {
      left = 4;
      continue;
    }
    group = group * 10 + (source[i] ?? 0) - ZERO;
    if (--left > 0) continue;
    view.setInt16(place, group);
    place += 2;
    group = 0;
    left = 4;
  }
  if ((scale & 3) !== 0) {
    view.setInt16(place, group * (powers[left] ?? 1));
    place += 2;
  }
  return place;
}

const specials: Readonly<Record<string, number>> = {
  NaN: NAN,
  Infinity: POSITIVE_INFINITY,
  "-Infinity": NEGATIVE_INFINITY,
};

function writeSpecial(
  view: DataView,
  at: number,
  source: Uint8Array,
  from: number,
  to: number,
): number {
  const text = Buffer.from(source.subarray(from, Math.min(to, from + 16)));
  const sign = specials[text.toString("latin1")];
  if (sign === undefined) return -1;
  view.setInt32(at, 8);
  view.setInt32(at + 4, 0);
  view.setInt16(at + 8, sign);
  view.setInt16(at + 10, 0);
  return at + 12;
}

/** @throws ExtractError DESTINATION_VALUE_REFUSED, always */
export function refuseNumeric(
  table: string,
  column: string,
  source: Uint8Array,
  from: number,
  to: number,
): never {
  const shown = Buffer.from(
    source.subarray(from, Math.min(to, from + 40)),
  ).toString();
  throw new ExtractError(
    "DESTINATION_VALUE_REFUSED",
    `${table}.${column} cannot hold ${shown}: it is no number that Postgres takes`,
    { table, column, value: shown },
  );
}
