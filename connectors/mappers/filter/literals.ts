/** Literals as numbers in a column's unit, exact: what lies between two units is told. */
import { FilterFault } from "./tokens.ts";
import type { Literal } from "./parse.ts";

const DAY_MS = 86_400_000;
/** Digits behind the point that anybody writes; 10^n is made of them. */
const EXPONENT_MAX = 400;

/** A whole number of units, or what lies between it and the next. */
export interface Bound {
  readonly floor: bigint;
  readonly isBetween: boolean;
}

/** @param scale a unit is 10^-scale. @throws FilterFault where the literal is no number */
export function parseNumber({ kind, text }: Literal, scale: number): Bound {
  if (kind !== "number") throw new FilterFault("is compared with a number");
  const [, sign = "", whole = "", fraction = "", exponentText = "0"] =
    /^([+-]?)(\d*)\.?(\d*)(?:e([+-]?\d+))?$/i.exec(text) ?? [];
  const exponent = Number(exponentText) - fraction.length + scale;
  if (Math.abs(exponent) > EXPONENT_MAX)
    throw new FilterFault(`is compared with ${text}, which is out of reach`);
  const digits = BigInt(`${sign === "-" ? "-" : ""}${whole}${fraction}`);
  if (exponent >= 0)
    return { floor: digits * 10n ** BigInt(exponent), isBetween: false };
  const unit = 10n ** BigInt(-exponent);
  return divideDown(digits, unit);
}

/** `2026-01-31` as days since 1970. */
export function parseDate(literal: Literal): bigint {
  const text = wantText(literal, "a date such as '2026-01-31'");
  const [, date] = /^(\d{4,6}-\d\d-\d\d)$/.exec(text) ?? [];
  const days = date === undefined ? null : countDays(date);
  if (days === null)
    throw new FilterFault(
      `is compared with ${quote(text)}, which is no date such as '2026-01-31'`,
    );
  return BigInt(days);
}

/** `10:30`, `10:30:00.5` as units since midnight. @param unitDigits 6 or 9 */
export function parseTime(literal: Literal, unitDigits: number): Bound {
  const text = wantText(literal, "a time such as '10:30:00'");
  const [, clock] = /^(\d\d:\d\d(?::\d\d(?:\.\d+)?)?)$/.exec(text) ?? [];
  const bound = clock === undefined ? null : countClock(clock, unitDigits);
  if (bound === null)
    throw new FilterFault(
      `is compared with ${quote(text)}, which is no time such as '10:30:00'`,
    );
  return bound;
}

/** @param hasZone whether the column's values are points in time, so that a literal must say its zone */
export function parseTimestamp(
  literal: Literal,
  unitDigits: number,
  hasZone: boolean,
): Bound {
  const example = hasZone ? "'2026-01-31T10:00:00Z'" : "'2026-01-31T10:00:00'";
  const text = wantText(literal, `a time such as ${example}`);
  const [, date, clock = "00:00", zone] =
    /^(\d{4,6}-\d\d-\d\d)(?:[ T](\d\d:\d\d(?::\d\d(?:\.\d+)?)?))?(Z|[+-]\d\d:?\d\d)?$/.exec(
      text,
    ) ?? [];
  const days = date === undefined ? null : countDays(date);
  const time = countClock(clock, unitDigits);
  if (days === null || time === null)
    throw new FilterFault(
      `is compared with ${quote(text)}, which is no time such as ${example}`,
    );
  if (hasZone && zone === undefined)
    throw new FilterFault(
      `is a point in time: ${quote(text)} has to say its zone, as ${example} does`,
    );
  if (!hasZone && zone !== undefined)
    throw new FilterFault(`has no time zone, and ${quote(text)} has one`);
  const minutes = BigInt(days) * 1440n - BigInt(countZone(zone ?? "Z"));
  return {
    floor: minutes * 60n * 10n ** BigInt(unitDigits) + time.floor,
    isBetween: time.isBetween,
  };
}

/** 16 bytes. */
export function parseUuid(literal: Literal): Uint8Array {
  const text = wantText(literal, "a UUID");
  if (!/^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i.test(text))
    throw new FilterFault(`is compared with ${quote(text)}, which is no UUID`);
  return Buffer.from(text.replaceAll("-", ""), "hex");
}

/** `\xc0ffee`. */
export function parseHex(literal: Literal): Uint8Array {
  const text = wantText(literal, "bytes such as '\\xc0ffee'");
  if (!/^\\x([0-9a-f]{2})*$/i.test(text))
    throw new FilterFault(
      `is compared with ${quote(text)}, which is not like '\\xc0ffee'`,
    );
  return Buffer.from(text.slice(2), "hex");
}

export function wantText({ kind, text }: Literal, what: string): string {
  if (kind !== "text")
    throw new FilterFault(`is compared with ${what}, in single quotes`);
  return text;
}

function quote(text: string): string {
  return `'${text.length > 40 ? `${text.slice(0, 40)}…` : text}'`;
}

function divideDown(value: bigint, unit: bigint): Bound {
  const quotient = value / unit;
  const rest = value - quotient * unit;
  return {
    floor: rest < 0n ? quotient - 1n : quotient,
    isBetween: rest !== 0n,
  };
}

/** Null where the calendar has no such day. */
function countDays(text: string): number | null {
  const [year = 0, month = 0, day = 0] = text.split("-").map(Number);
  const date = new Date(0);
  date.setUTCFullYear(year, month - 1, day);
  const isThere = date.getUTCMonth() === month - 1 && date.getUTCDate() === day;
  return isThere ? date.getTime() / DAY_MS : null;
}

function countClock(text: string, unitDigits: number): Bound | null {
  const [hours = 0, minutes = 0] = text.split(":").map(Number);
  const [seconds = "0", fraction = ""] = (text.split(":")[2] ?? "0").split(".");
  if (hours > 24 || minutes > 59 || Number(seconds) > 59) return null;
  const whole = BigInt((hours * 60 + minutes) * 60 + Number(seconds));
  const unit = 10n ** BigInt(Math.max(0, fraction.length - unitDigits));
  const units = divideDown(BigInt(fraction.padEnd(unitDigits, "0") || 0), unit);
  return {
    floor: whole * 10n ** BigInt(unitDigits) + units.floor,
    isBetween: units.isBetween,
  };
}

/** Minutes east of Greenwich. */
function countZone(zone: string): number {
  if (zone === "Z") return 0;
  const minutes = Number(zone.slice(1, 3)) * 60 + Number(zone.slice(-2));
  return zone.startsWith("-") ? -minutes : minutes;
}
