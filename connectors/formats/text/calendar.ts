/** Dates and times as ISO 8601, from day and second counts. */
import { TWO_POW_32, writePadded, writeUnsigned } from "./digits.ts";

const DASH = 45;
const COLON = 58;
const POINT = 46;
const LETTER_T = 84;

const DAY_SECONDS = 86_400;
/** Sign, six digits of the year, month and day: int32 days reach the year 5,881,580. */
export const DATE_CHARS_MAX = 14;
/** Date, `T`, hours to nanoseconds, `Z`. */
export const TIMESTAMP_CHARS_MAX = DATE_CHARS_MAX + 21;

/**
 * Writes `YYYY-MM-DD` of the proleptic Gregorian calendar; years above 9999 take more digits, and years before 1 are
 * astronomical (`0000` is 1 BC, `-0043` is 44 BC).
 * @param days since 1970-01-01
 */
export function writeDate(
  out: Uint8Array,
  start: number,
  days: number,
): number {
  // days since 0000-03-01: years that begin in March have their leap day last
  const shifted = days + 719_468;
  const era = Math.floor(shifted / 146_097);
  const dayOfEra = shifted - era * 146_097;
  const yearOfEra =
    ((dayOfEra -
      ((dayOfEra / 1460) | 0) +
      ((dayOfEra / 36_524) | 0) -
      ((dayOfEra / 146_096) | 0)) /
      365) |
    0;
  const dayOfYear =
    dayOfEra -
    (365 * yearOfEra + ((yearOfEra / 4) | 0) - ((yearOfEra / 100) | 0));
  const monthFromMarch = ((5 * dayOfYear + 2) / 153) | 0;
  const day = dayOfYear - (((153 * monthFromMarch + 2) / 5) | 0) + 1;
  const month = monthFromMarch < 10 ? monthFromMarch + 3 : monthFromMarch - 9;
  let year = yearOfEra + era * 400 + (month <= 2 ? 1 : 0);
  let at = start;
  if (year < 0) {
    out[at++] = DASH;
    year = -year;
  }
  at =
    year <= 9999 ? writePadded(out, at, year, 4) : writeUnsigned(out, at, year);
  out[at] = DASH;
  at = writePadded(out, at + 1, month, 2);
  out[at] = DASH;
  return writePadded(out, at + 1, day, 2);
}

/**
 * Writes a point in time given as two halves of an int64.
 * @param unitsPerSecond 10^6 or 10^9
 */
export function writeTimestamp(
  out: Uint8Array,
  at: number,
  low: number,
  high: number,
  unitsPerSecond: number,
): number {
  // schoolbook division by 10^6, exact over the whole range of an int64
  const highQuotient = Math.floor(high / 1e6);
  const rest = (high - highQuotient * 1e6) * TWO_POW_32 + (low >>> 0);
  const restQuotient = Math.floor(rest / 1e6);
  const quotient = highQuotient * TWO_POW_32 + restQuotient;
  const remainder = rest - restQuotient * 1e6;
  let seconds = quotient;
  let fraction = remainder;
  if (unitsPerSecond === 1e9) {
    // 10^6 nanoseconds are a millisecond
    seconds = Math.floor(quotient / 1000);
    fraction = (quotient - seconds * 1000) * 1e6 + remainder;
  }
  const days = Math.floor(seconds / DAY_SECONDS);
  const end = writeDate(out, at, days);
  out[end] = LETTER_T;
  return writeSeconds(
    out,
    end + 1,
    seconds - days * DAY_SECONDS,
    fraction,
    unitsPerSecond,
  );
}

/**
 * Writes a time of day, `hh:mm:ss` and six or nine digits; the end of a day is `24:00:00.000000`.
 * @param value units since midnight, at most 8.64 × 10^13
 */
export function writeTime(
  out: Uint8Array,
  at: number,
  value: number,
  unitsPerSecond: number,
): number {
  const seconds = Math.floor(value / unitsPerSecond);
  return writeSeconds(
    out,
    at,
    seconds,
    value - seconds * unitsPerSecond,
    unitsPerSecond,
  );
}

function writeSeconds(
  out: Uint8Array,
  at: number,
  seconds: number,
  fraction: number,
  unitsPerSecond: number,
): number {
  const minutes = (seconds / 60) | 0;
  const hours = (minutes / 60) | 0;
  let end = writePadded(out, at, hours, 2);
  out[end] = COLON;
  end = writePadded(out, end + 1, minutes - hours * 60, 2);
  out[end] = COLON;
  end = writePadded(out, end + 1, seconds - minutes * 60, 2);
  out[end] = POINT;
  return writePadded(out, end + 1, fraction, unitsPerSecond === 1e9 ? 9 : 6);
}
