/**
 * Dates, times of day and moments as connectors write them: ISO 8601, with a blank for the T, seconds left out, and
 * offsets in any of its forms. Pure.
 */
import { countDays } from "../../json/times.ts";

const DAY_NANOS = 86_400e9;
/** Hours and minutes of an offset from UTC: ±18:00. */
const OFFSET_SECONDS_MAX = 18 * 3_600;

/** What was read last. There is one for all values of a decoder, and each reading overwrites it. */
export class MomentReading {
  /** From 1970-01-01. */
  days = 0;
  /** From midnight, below 86,400 × 10^9. */
  nanos = 0;
  /** East of UTC; null: the text has none. */
  offsetSeconds: number | null = null;

  /** `2026-01-31`, years of four digits or signed ones of up to six. Returns whether it is one. */
  readDate(bytes: Uint8Array, start: number, end: number): boolean {
    this.nanos = 0;
    this.offsetSeconds = null;
    return this.#readDays(bytes, start, end) === end;
  }

  /** `10:30`, `10:30:00.123456789`, perhaps with an offset. */
  readTime(bytes: Uint8Array, start: number, end: number): boolean {
    this.days = 0;
    const behind = this.#readClock(bytes, start, end);
    return behind > 0 && this.#readOffset(bytes, behind, end);
  }

  /** A date, or a date with a time behind `T` or a blank. A date alone is its midnight. */
  readMoment(bytes: Uint8Array, start: number, end: number): boolean {
    const behind = this.#readDays(bytes, start, end);
    if (behind < 0) return false;
    this.nanos = 0;
    this.offsetSeconds = null;
    if (behind === end) return true;
    const letter = bytes[behind] ?? 0;
    if (letter !== 84 && letter !== 116 && letter !== 32) return false;
    const rest = this.#readClock(bytes, behind + 1, end);
    return rest > 0 && this.#readOffset(bytes, rest, end);
  }

  /** The place behind it; -1 where there is none. */
  #readDays(bytes: Uint8Array, start: number, end: number): number {
    let p = start;
    const isNegative = bytes[p] === 45;
    if (isNegative || bytes[p] === 43) p++;
    const first = p;
    let year = 0;
    for (; p < end && isDigit(bytes[p]); p++)
      year = year * 10 + (bytes[p] ?? 0) - 48;
    if (p - first < 4 || p - first > 6 || end - p < 6) return -1;
    if (bytes[p] !== 45 || bytes[p + 3] !== 45) return -1;
    this.days = countDays(
      isNegative ? -year : year,
      readTwo(bytes, p + 1),
      readTwo(bytes, p + 4),
    );
    return this.days === this.days ? p + 6 : -1;
  }

  #readClock(bytes: Uint8Array, start: number, end: number): number {
    if (end - start < 5 || bytes[start + 2] !== 58) return -1;
    const hour = readTwo(bytes, start);
    const minute = readTwo(bytes, start + 3);
    let second = 0;
    let fraction = 0;
    let p = start + 5;
    if (p < end && bytes[p] === 58) {
      if (end - p < 3) return -1;
      second = readTwo(bytes, p + 1);
      p += 3;
      if (p < end && (bytes[p] === 46 || bytes[p] === 44)) {
        const first = ++p;
        for (; p < end && isDigit(bytes[p]); p++) {
          // a tenth digit is below what any type holds: only zeros may follow
          if (p - first < 9) fraction = fraction * 10 + (bytes[p] ?? 0) - 48;
          else if (bytes[p] !== 48) return -1;
        }
        if (p === first) return -1;
        for (let digits = p - first; digits < 9; digits++) fraction *= 10;
      }
    }
    // what readTwo could not read is NaN
    if (!(hour <= 23 && minute <= 59 && second <= 59)) return -1;
    this.nanos = (hour * 3_600 + minute * 60 + second) * 1e9 + fraction;
    return p;
  }

  /** Nothing, `Z`, `+02`, `+0200`, `+02:00`, `+02:00:00`, perhaps behind a blank; and nothing behind it. */
  #readOffset(bytes: Uint8Array, start: number, end: number): boolean {
    this.offsetSeconds = null;
    let p = start;
    if (p === end) return true;
    if (bytes[p] === 32) p++;
    const sign = bytes[p];
    if (sign === 90 || sign === 122) {
      this.offsetSeconds = 0;
      return p + 1 === end;
    }
    if (sign !== 43 && sign !== 45) return false;
    p++;
    let seconds = 0;
    for (const unit of [3_600, 60, 1]) {
      if (p === end && unit < 3_600) break;
      if (unit < 3_600 && bytes[p] === 58) p++;
      const two = end - p >= 2 ? readTwo(bytes, p) : NaN;
      if (!(two <= 59)) return false;
      seconds += two * unit;
      p += 2;
    }
    if (p !== end || seconds > OFFSET_SECONDS_MAX) return false;
    this.offsetSeconds = sign === 45 ? -seconds : seconds;
    return true;
  }

  /** The moment in UTC, where the offset is zero if the text has none. */
  toUtc(): void {
    const nanos = this.nanos - (this.offsetSeconds ?? 0) * 1e9;
    this.offsetSeconds = 0;
    const days = Math.floor(nanos / DAY_NANOS);
    this.days += days;
    this.nanos = nanos - days * DAY_NANOS;
  }
}

function isDigit(byte: number | undefined): boolean {
  return byte !== undefined && byte >= 48 && byte <= 57;
}

function readTwo(bytes: Uint8Array, at: number): number {
  return isDigit(bytes[at]) && isDigit(bytes[at + 1])
    ? (bytes[at] ?? 0) * 10 + (bytes[at + 1] ?? 0) - 528
    : NaN;
}
