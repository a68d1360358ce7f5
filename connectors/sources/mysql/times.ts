/** Dates and times as the servers print them, counted so that their middle can be taken. Pure. */

/** A date counts as if each month had 28 days: what comes out is a date in every month of every year. */
const DAYS_PER_MONTH = 28n;
const MONTHS_PER_YEAR = 12n;
const US_PER_SECOND = 1_000_000n;
const US_PER_DAY = 86_400n * US_PER_SECOND;

/**
 * A moment about half way between two, both dates, datetimes or times of day. Zeros in a date count as ones.
 * Shape: `2024-02-29`, `2024-02-29 12:00:00.5`, `-838:59:59`.
 * @returns null for texts of another shape
 */
export function betweenTimes(low: string, high: string): string | null {
  const [a, b] = [count(low), count(high)];
  if (a === null || b === null || a.hasDate !== b.hasDate) return null;
  const middle = a.us + (b.us - a.us) / 2n;
  return a.hasDate ? printDate(middle) : printClock(middle);
}

function count(text: string): { us: bigint; hasDate: boolean } | null {
  const match =
    /^(?:(\d{4})-(\d\d)-(\d\d))?(?: ?(-?)(\d{2,3}):(\d\d):(\d\d)(?:\.(\d{1,6}))?)?$/.exec(
      text,
    );
  if (match === null || text === "") return null;
  const [, year, month, day, sign, hours, minutes, seconds, fraction] = match;
  const whole = (part: string | undefined): bigint => BigInt(part ?? "0");
  const clock =
    ((whole(hours) * 60n + whole(minutes)) * 60n + whole(seconds)) *
      US_PER_SECOND +
    BigInt((fraction ?? "").padEnd(6, "0"));
  if (year === undefined) {
    return { us: sign === "-" ? -clock : clock, hasDate: false };
  }
  const ordinal = (part: string | undefined): bigint =>
    whole(part) > 0n ? whole(part) - 1n : 0n;
  const days =
    (whole(year) * MONTHS_PER_YEAR + ordinal(month)) * DAYS_PER_MONTH +
    (ordinal(day) < DAYS_PER_MONTH ? ordinal(day) : DAYS_PER_MONTH - 1n);
  return { us: days * US_PER_DAY + clock, hasDate: true };
}

function printDate(us: bigint): string {
  const days = us / US_PER_DAY;
  const months = days / DAYS_PER_MONTH;
  const pad = (value: bigint, digits: number): string =>
    value.toString().padStart(digits, "0");
  const date = [
    pad(months / MONTHS_PER_YEAR, 4),
    pad((months % MONTHS_PER_YEAR) + 1n, 2),
    pad((days % DAYS_PER_MONTH) + 1n, 2),
  ].join("-");
  return `${date} ${printClock(us % US_PER_DAY)}`;
}

function printClock(us: bigint): string {
  const size = us < 0n ? -us : us;
  const seconds = size / US_PER_SECOND;
  const two = (value: bigint): string => value.toString().padStart(2, "0");
  const fraction = (size % US_PER_SECOND).toString().padStart(6, "0");
  return `${us < 0n ? "-" : ""}${two(seconds / 3600n)}:${two((seconds / 60n) % 60n)}:${two(seconds % 60n)}.${fraction}`;
}
