/**
 * Rows by the driver's events: what is left where its reader of tokens cannot be replaced. Whatever the driver would
 * round (decimals, fractions of seconds) is asked for as text, so that values are as exact as otherwise, at some ten
 * times the cost.
 */
import {
  growValues,
  type BatchSet,
  type ColumnStore,
} from "../batches/batch-set.ts";
import {
  refuseLength,
  refuseValue,
  type DecodePlan,
  type FieldPlan,
} from "./decode/plan.ts";
import { writeNanoseconds, writeNull } from "./decode/values.ts";
import type { SelectedField } from "./read-query.ts";
import type { SourceColumn } from "./stream.ts";

/** The field as this way of reading asks for it. */
export function toEventField(
  field: SelectedField,
  column: Pick<SourceColumn, "baseType"> | undefined,
): SelectedField {
  return { ...field, expression: toExactText(field, column) };
}

function toExactText(
  { logical, expression }: SelectedField,
  column: Pick<SourceColumn, "baseType"> | undefined,
): string {
  const baseType = column?.baseType ?? "";
  switch (logical) {
    case "decimal64":
    case "decimal128":
      return /money/.test(baseType)
        ? `CONVERT(varchar(60), ${expression}, 2)`
        : `CONVERT(varchar(60), ${expression})`;
    case "date":
      return `CONVERT(varchar(60), ${expression}, 23)`;
    case "time":
    case "timeNs":
    case "timestamp":
    case "timestamptz":
    case "timestampNs":
      return `CONVERT(varchar(60), ${expression}, 121)`;
    case "text":
      return baseType === "sql_variant"
        ? `CONVERT(nvarchar(4000), ${expression})`
        : expression;
    default:
      return expression;
  }
}

/** The fields of a decode plan for values that come decoded: nothing of the wire is known. */
export function toEventPlan(fields: readonly SelectedField[]): FieldPlan[] {
  return fields.map((field) => ({
    ...field,
    framing: "none",
    kind: "variant",
    bytes: 0,
  }));
}

/** At least the bytes that a row's values take in a batch. */
export function boundValueBytes(values: readonly unknown[]): number {
  let bytes = 0;
  for (const value of values) {
    if (typeof value === "string") bytes += 3 * value.length;
    else if (Buffer.isBuffer(value)) bytes += value.length;
  }
  return bytes;
}

/**
 * Adds a row to a batch that has room for it.
 * @throws ExtractError SOURCE_PROTOCOL_VIOLATION for a value of another kind than was asked for
 */
export function writeRow(
  plan: DecodePlan,
  set: BatchSet,
  values: readonly unknown[],
): void {
  const row = set.rowCount;
  for (const [i, field] of plan.fields.entries()) {
    const store = set.columns[i];
    const value = values[i];
    if (store === undefined) continue;
    if (value === null || value === undefined) {
      writeNull(plan, field, store, row);
    } else if (!writeGiven(plan, field, store, row, value)) {
      refuseLength(plan, field, 0);
    }
  }
  set.rowCount = row + 1;
  set.bytesBound += set.rowBytes + boundValueBytes(values);
  set.isFull = set.rowCount === set.capacity;
}

/** @returns false for a value that the field cannot be made of */
function writeGiven(
  plan: DecodePlan,
  field: FieldPlan,
  store: ColumnStore,
  row: number,
  value: unknown,
): boolean {
  const { fixed, halves, words } = store;
  const text = typeof value === "string" ? value.trim() : "";
  switch (field.logical) {
    case "boolean":
      if (typeof value !== "boolean") return false;
      if (value) fixed[row >> 3] = (fixed[row >> 3] ?? 0) | (1 << (row & 7));
      return true;
    case "int16":
      halves[row] = Number(value);
      return typeof value === "number";
    case "int32":
      words[row] = Number(value);
      return typeof value === "number";
    case "int64":
      if (typeof value !== "string" && typeof value !== "number") return false;
      writeInteger(words, row, 2, BigInt(value));
      return true;
    case "float32":
      new DataView(fixed.buffer, fixed.byteOffset).setFloat32(
        4 * row,
        Number(value),
        true,
      );
      return typeof value === "number";
    case "float64":
      new DataView(fixed.buffer, fixed.byteOffset).setFloat64(
        8 * row,
        Number(value),
        true,
      );
      return typeof value === "number";
    case "decimal64":
    case "decimal128": {
      const unscaled = parseDecimal(text, field.scale);
      if (unscaled === null) return false;
      writeInteger(words, row, field.logical === "decimal64" ? 2 : 4, unscaled);
      return true;
    }
    case "date": {
      const days = parseDays(text);
      if (days === null) return false;
      words[row] = days;
      return true;
    }
    case "time":
    case "timeNs": {
      const units = parseClock(text, field.logical === "time" ? 6 : 9);
      if (units === null) return false;
      writeInteger(words, row, 2, units);
      return true;
    }
    case "timestamp":
    case "timestamptz": {
      const moment = parseMoment(text, 6);
      if (moment === null) return false;
      const us = BigInt(moment.days) * 86_400_000_000n + moment.units;
      writeInteger(words, row, 2, us);
      return true;
    }
    case "timestampNs": {
      const moment = parseMoment(text, 9);
      if (moment === null) return false;
      const { days, units } = moment;
      writeNanoseconds(plan, field, store, row, days, Number(units));
      return true;
    }
    case "uuid": {
      const bytes = Buffer.from(text.replaceAll("-", ""), "hex");
      fixed.set(bytes.subarray(0, 16), 16 * row);
      return bytes.length === 16;
    }
    case "text":
    case "json":
      return (
        typeof value === "string" && writeText(plan, field, store, row, value)
      );
    case "binary":
      return Buffer.isBuffer(value) && appendBytes(store, row, value);
    case "uint64":
    case "decimalText":
      return false;
  }
}

function writeText(
  plan: DecodePlan,
  field: FieldPlan,
  store: ColumnStore,
  row: number,
  value: string,
): boolean {
  if (value.isWellFormed()) return appendBytes(store, row, Buffer.from(value));
  refuseValue(plan, field, value, "half of a surrogate pair in UTF-16 text");
  writeNull(plan, field, store, row);
  return true;
}

function appendBytes(
  store: ColumnStore,
  row: number,
  bytes: Uint8Array,
): boolean {
  if (store.offsets === null) return false;
  growValues(store, bytes.length).set(bytes, store.end);
  store.end += bytes.length;
  store.offsets[row + 1] = store.end;
  return true;
}

function writeInteger(
  words: Int32Array,
  row: number,
  wordCount: number,
  value: bigint,
): void {
  for (let i = 0; i < wordCount; i++) {
    words[row * wordCount + i] = Number(
      BigInt.asIntN(32, value >> BigInt(32 * i)),
    );
  }
}

function parseDecimal(text: string, scale: number): bigint | null {
  const match = /^(-?)(\d*)(?:\.(\d*))?$/.exec(text);
  if (match === null) return null;
  const [, sign = "", whole = "", fraction = ""] = match;
  if (fraction.length > scale) return null;
  const unscaled = BigInt(`${whole}${fraction.padEnd(scale, "0")}` || "0");
  return sign === "-" ? -unscaled : unscaled;
}

/** `yyyy-mm-dd` as days since 1970-01-01. */
function parseDays(text: string): number | null {
  if (!/^\d{4}-\d\d-\d\d$/.test(text)) return null;
  const ms = Date.parse(`${text}T00:00:00Z`);
  return Number.isNaN(ms) ? null : ms / 86_400_000;
}

/** `hh:mm:ss.fffffff` in units of `10 ** -digits` s. */
function parseClock(text: string, digits: number): bigint | null {
  const match = /^(\d\d):(\d\d):(\d\d)(?:\.(\d{1,7}))?$/.exec(text.trim());
  if (match === null) return null;
  const [, hours = "", minutes = "", seconds = "", fraction = ""] = match;
  const whole =
    BigInt(hours) * 3_600n + BigInt(minutes) * 60n + BigInt(seconds);
  const rest = fraction.padEnd(digits, "0");
  if (/[^0]/.test(rest.slice(digits))) return null;
  return whole * 10n ** BigInt(digits) + BigInt(rest.slice(0, digits));
}

/** `yyyy-mm-dd hh:mm:ss.fffffff`, with ` ±hh:mm` behind it where it has an offset, in UTC. */
function parseMoment(
  text: string,
  digits: number,
): { readonly days: number; readonly units: bigint } | null {
  const match = /^(\S+) (\S+)(?: ([+-])(\d\d):(\d\d))?$/.exec(text);
  if (match === null) return null;
  const [, date = "", clock = "", sign = "+", hours = "0", minutes = "0"] =
    match;
  const days = parseDays(date);
  const units = parseClock(clock, digits);
  if (days === null || units === null) return null;
  const perMinute = 60n * 10n ** BigInt(digits);
  const offset = BigInt(hours) * 60n + BigInt(minutes);
  const utc = units - perMinute * (sign === "-" ? -offset : offset);
  const perDay = 1_440n * perMinute;
  const carry = utc < 0n ? -1 : utc >= perDay ? 1 : 0;
  return { days: days + carry, units: utc - perDay * BigInt(carry) };
}
