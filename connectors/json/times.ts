/** Dates and times of day from texts. Pure. */

/** Days from 1970-01-01 of a date of the proleptic Gregorian calendar; NaN for one that there is not. */
export function countDays(year: number, month: number, day: number): number {
  if (month < 1 || month > 12 || day < 1 || day > monthDays(year, month))
    return NaN;
  // years that begin with March, so that the leap day is the last
  const shifted = month <= 2 ? year - 1 : year;
  const era = Math.floor(shifted / 400);
  const yearOfEra = shifted - era * 400;
  const dayOfYear =
    Math.floor((153 * (month + (month > 2 ? -3 : 9)) + 2) / 5) + day - 1;
  const dayOfEra =
    yearOfEra * 365 +
    Math.floor(yearOfEra / 4) -
    Math.floor(yearOfEra / 100) +
    dayOfYear;
  return era * 146_097 + dayOfEra - 719_468;
}

function monthDays(year: number, month: number): number {
  if (month !== 2)
    return month === 4 || month === 6 || month === 9 || month === 11 ? 30 : 31;
  return year % 4 === 0 && (year % 100 !== 0 || year % 400 === 0) ? 29 : 28;
}

/** A moment or a time of day, as it is read; each reading overwrites it. */
export class ClockReading {
  /** From 1970-01-01 UTC, or from midnight. */
  seconds = 0;
  /** Behind the second. */
  nanoseconds = 0;

  /** `2024-03-31T00:30:00.5Z`, with years beyond 9999 after a plus and offsets other than Z. Returns whether it is one. */
  readInstant(bytes: Uint8Array, start: number, end: number): boolean {
    let p = start;
    const sign = bytes[p] === 45 ? -1 : 1;
    if (bytes[p] === 45 || bytes[p] === 43) p++;
    let year = 0;
    const yearStart = p;
    for (; p < end && isDigit(bytes[p] ?? 0); p++)
      year = year * 10 + (bytes[p] ?? 0) - 48;
    if (p - yearStart < 4 || p - yearStart > 9 || end - p < 7) return false;
    const month = readTwo(bytes, p + 1);
    const day = readTwo(bytes, p + 4);
    if (bytes[p] !== 45 || bytes[p + 3] !== 45 || (bytes[p + 6] ?? 0) !== 84)
      return false;
    const days = countDays(sign * year, month, day);
    p = this.readClock(bytes, p + 7, end);
    if (p < 0 || days !== days) return false;
    let offset = 0;
    if (bytes[p] === 90) p++;
    else if (
      end - p === 6 &&
      (bytes[p] === 43 || bytes[p] === 45) &&
      bytes[p + 3] === 58
    ) {
      offset = readTwo(bytes, p + 1) * 3_600 + readTwo(bytes, p + 4) * 60;
      if (bytes[p] === 45) offset = -offset;
      p += 6;
    } else return false;
    this.seconds += days * 86_400 - offset;
    return p === end && offset === offset;
  }

  /** `hh:mm`, perhaps with seconds and a fraction of up to nine digits: the place behind it, -1 where it is none. */
  readClock(bytes: Uint8Array, start: number, end: number): number {
    if (end - start < 5 || bytes[start + 2] !== 58) return -1;
    const hour = readTwo(bytes, start);
    const minute = readTwo(bytes, start + 3);
    let second = 0;
    let nanoseconds = 0;
    let p = start + 5;
    if (p < end && bytes[p] === 58) {
      if (end - p < 3) return -1;
      second = readTwo(bytes, p + 1);
      p += 3;
      if (p < end && bytes[p] === 46) {
        const first = ++p;
        for (; p < end && isDigit(bytes[p] ?? 0); p++)
          nanoseconds = nanoseconds * 10 + (bytes[p] ?? 0) - 48;
        if (p === first || p - first > 9) return -1;
        for (let digits = p - first; digits < 9; digits++) nanoseconds *= 10;
      }
    }
    // also what readTwo could not read, which is NaN
    if (!(hour <= 24 && minute <= 59 && second <= 59)) return -1;
    this.seconds = hour * 3_600 + minute * 60 + second;
    this.nanoseconds = nanoseconds;
    return this.seconds > 86_400 || (this.seconds === 86_400 && nanoseconds > 0)
      ? -1
      : p;
  }
}

function isDigit(byte: number): boolean {
  return byte >= 48 && byte <= 57;
}

function readTwo(bytes: Uint8Array, at: number): number {
  const tens = bytes[at] ?? 0;
  const ones = bytes[at + 1] ?? 0;
  return isDigit(tens) && isDigit(ones) ? tens * 10 + ones - 528 : NaN;
}

/**
 * An interval with all its parts (`P1Y2M-3DT4H5M6.789S`) as Postgres prints it under the style iso_8601: without those
 * that are zero. Null for what is none.
 * @see Postgres source, EncodeInterval in src/backend/utils/adt/datetime.c
 */
export function formatInterval(text: string): string | null {
  const match =
    /^P(?:(-?\d+)Y)?(?:(-?\d+)M)?(?:(-?\d+)D)?(?:T(?:(-?\d+)H)?(?:(-?\d+)M)?(?:(-?\d+(?:\.\d+)?)S)?)?$/.exec(
      text,
    );
  if (match === null) return null;
  const part = (index: number, letter: string): string => {
    const digits = match[index] ?? "0";
    if (/^-?[0.]+$/.test(digits)) return "";
    return (
      (digits.includes(".") ? digits.replace(/\.?0+$/, "") : digits) + letter
    );
  };
  const date = part(1, "Y") + part(2, "M") + part(3, "D");
  const time = part(4, "H") + part(5, "M") + part(6, "S");
  if (date === "" && time === "") return "PT0S";
  return `P${date}${time === "" ? "" : `T${time}`}`;
}
