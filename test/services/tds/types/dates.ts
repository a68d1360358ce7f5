/** Days and ticks of 100 ns, counted from 0001-01-01 in the Gregorian calendar. */
export const TICKS_PER_SECOND = 10_000_000n;
export const TICKS_PER_MINUTE = 60n * TICKS_PER_SECOND;
export const TICKS_PER_DAY = 86_400n * TICKS_PER_SECOND;
/** 1900-01-01, day zero of datetime and smalldatetime. */
export const DAYS_TO_1900 = 693_595;
/** 9999-12-31. */
export const DAYS_MAX = 3_652_058;
const DAYS_TO_1970 = 719_162;
const MS_PER_DAY = 86_400_000;

/** @returns null for a day that is not in the calendar */
export function countDays(
  year: number,
  month: number,
  day: number,
): number | null {
  if (year < 1 || year > 9999) return null;
  const date = new Date(0);
  date.setUTCFullYear(year, month - 1, day);
  if (date.getUTCMonth() !== month - 1 || date.getUTCDate() !== day)
    return null;
  return date.getTime() / MS_PER_DAY + DAYS_TO_1970;
}

export function formatDays(days: number): string {
  const date = new Date((days - DAYS_TO_1970) * MS_PER_DAY);
  const pad = (value: number, width = 2) => String(value).padStart(width, "0");
  return `${pad(date.getUTCFullYear(), 4)}-${pad(date.getUTCMonth() + 1)}-${pad(date.getUTCDate())}`;
}

/** @param ticks of one day. @param digits of the fraction, 0 to 7 */
export function formatTime(ticks: bigint, digits: number): string {
  const seconds = Number(ticks / TICKS_PER_SECOND);
  const pad = (value: number) => String(value).padStart(2, "0");
  const clock = `${pad(Math.trunc(seconds / 3600))}:${pad(Math.trunc(seconds / 60) % 60)}:${pad(seconds % 60)}`;
  if (digits === 0) return clock;
  const fraction = String(ticks % TICKS_PER_SECOND).padStart(7, "0");
  return `${clock}.${fraction.slice(0, digits)}`;
}

export function formatOffset(minutes: number): string {
  const size = Math.abs(minutes);
  const pad = (value: number) => String(value).padStart(2, "0");
  return `${minutes < 0 ? "-" : "+"}${pad(Math.trunc(size / 60))}:${pad(size % 60)}`;
}

/** Ticks rounded to `digits` of the fraction, half up, as the server rounds. */
export function roundTicks(ticks: bigint, digits: number): bigint {
  const unit = 10n ** BigInt(7 - digits);
  return ((ticks + unit / 2n) / unit) * unit;
}

export interface Moment {
  /** Null when the text has only a time. */
  readonly days: number | null;
  readonly ticks: bigint;
  /** Null when the text has no offset. */
  readonly offset: number | null;
}

const momentPattern =
  /^\s*(?:(\d{4})-(\d{1,2})-(\d{1,2})|(\d{4})(\d{2})(\d{2}))?(?:(?:T|\s+|^)(\d{1,2}):(\d{2})(?::(\d{2})(?:[.:](\d{1,9}))?)?\s*(AM|PM)?)?\s*(Z|[+-]\d{2}:\d{2})?\s*$/i;

/** Reads ISO 8601 and its relatives. @returns null for other texts */
export function parseMoment(text: string): Moment | null {
  const m = momentPattern.exec(text);
  if (m === null || text.trim() === "") return null;
  const year = m[1] ?? m[4];
  let days: number | null = null;
  if (year !== undefined) {
    days = countDays(Number(year), Number(m[2] ?? m[5]), Number(m[3] ?? m[6]));
    if (days === null) return null;
  }
  let hour = Number(m[7] ?? 0);
  const half = m[11]?.toUpperCase();
  if (half === "PM" && hour < 12) hour += 12;
  if (half === "AM" && hour === 12) hour = 0;
  const minute = Number(m[8] ?? 0);
  const second = Number(m[9] ?? 0);
  if (hour > 23 || minute > 59 || second > 59) return null;
  // nine digits are read so that the seventh is rounded right
  const fraction = Number((m[10] ?? "").padEnd(9, "0"));
  const ticks =
    BigInt(hour * 3600 + minute * 60 + second) * TICKS_PER_SECOND +
    BigInt(Math.round(fraction / 100));
  let offset: number | null = null;
  if (m[12] !== undefined) {
    const [hours = 0, minutes = 0] =
      m[12].toUpperCase() === "Z" ? [] : m[12].slice(1).split(":").map(Number);
    offset = (hours * 60 + minutes) * (m[12].startsWith("-") ? -1 : 1);
    if (hours > 14 || minutes > 59) return null;
  }
  return { days, ticks, offset };
}
