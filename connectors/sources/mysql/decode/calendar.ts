/** Days of the proleptic Gregorian calendar from the parts of a date, as MySQL sends them. */

const YEAR_MAX = 9_999;
/** Entries for years below 2^14, 16 to a year. */
const ENTRIES = 16_384 * 16;
const LENGTH_BITS = 5;

/**
 * By `year << 4 | month`: 32 × (days from 1970-01-01 to the last day before the month) + the month's days. 0 for what
 * is no month of the years 1 to 9999, so that it has no day.
 */
export const months = makeMonths();

function makeMonths(): Int32Array {
  const table = new Int32Array(ENTRIES);
  // 0001-01-01 is 719,162 days before 1970-01-01
  let before = -719_163;
  for (let year = 1; year <= YEAR_MAX; year++) {
    const isLeap = year % 4 === 0 && (year % 100 !== 0 || year % 400 === 0);
    for (let month = 1; month <= 12; month++) {
      const days =
        month === 2
          ? isLeap
            ? 29
            : 28
          : month === 4 || month === 6 || month === 9 || month === 11
            ? 30
            : 31;
      table[(year << 4) | month] = (before << LENGTH_BITS) | days;
      before += days;
    }
  }
  return table;
}

/**
 * The bits of a date's four bytes (int16 year, month, day; little-endian) that are set only where the table above has
 * no entry: years from 2^14 and months from 16.
 */
export const BEYOND_TABLE = 0x00f0_c000;

/** Days since 1970-01-01 of a date's four bytes; NaN for a date that there is not. */
export function countDays(date: number): number {
  if ((date & BEYOND_TABLE) !== 0) return NaN;
  const entry = months[((date & 0xffff) << 4) | ((date >> 16) & 15)] ?? 0;
  const day = date >>> 24;
  return day > 0 && day <= (entry & 31) ? (entry >> LENGTH_BITS) + day : NaN;
}

/** A date's four bytes as MySQL prints them, e.g. `2024-02-00`. */
export function formatDateBytes(date: number): string {
  const pad = (value: number, digits: number): string =>
    String(value).padStart(digits, "0");
  return `${pad(date & 0xffff, 4)}-${pad((date >> 16) & 255, 2)}-${pad(date >>> 24, 2)}`;
}
