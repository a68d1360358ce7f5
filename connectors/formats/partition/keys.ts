/** What rows are partitioned by: how a column's values hash, compare and read as a folder's name. */
import { strict as assert } from "node:assert";
import type { ColumnVector } from "../../../proto/columns.ts";
import type { LogicalKind } from "../../../proto/schema.ts";
import { writeDate } from "../text/calendar.ts";
import { TWO_POW_32 } from "../text/digits.ts";
import { createScalarWriter } from "../text/scalar-writers.ts";
import type { ValueWriter } from "../text/value-writer.ts";

export type PartitionUnit = "year" | "month" | "day" | "hour";
export const partitionUnits: readonly PartitionUnit[] = [
  "year",
  "month",
  "day",
  "hour",
];

/** What Hive writes for NULL. */
const NULL_FOLDER = "__HIVE_DEFAULT_PARTITION__";
const NULL_HASH = 0x7ed558cc;
const DAY_HOURS = 24;

/** Characters of `YYYY-MM-DD` that are left away. */
const charsCut = { year: 6, month: 3, day: 0 } as const;

/** Kinds whose values are names without being cut. */
export function isPartitionKind(kind: LogicalKind): boolean {
  return (
    kind === "boolean" ||
    kind === "int16" ||
    kind === "int32" ||
    kind === "int64" ||
    kind === "uint64" ||
    kind === "date" ||
    kind === "uuid" ||
    kind === "text"
  );
}

export function unitsOfKind(kind: LogicalKind): readonly PartitionUnit[] {
  switch (kind) {
    case "date":
      return ["year", "month", "day"];
    case "timestamp":
    case "timestamptz":
    case "timestampNs":
      return partitionUnits;
    default:
      return [];
  }
}

/** Hive's and Spark's list: control characters, and what means something in paths, patterns and variables. */
const mustEscape = /[\u0000-\u001f"#%'*/:=?\\\u007f{[\]^]/g;

/** A name or value as Hive puts it into a path (org.apache.hadoop.hive.common.FileUtils, `escapePathName`). */
export function escapeHive(text: string): string {
  return text.replace(
    mustEscape,
    (character) =>
      `%${character.charCodeAt(0).toString(16).toUpperCase().padStart(2, "0")}`,
  );
}

/** Laid over one batch's column at a time, which is borrowed until `unbind`. */
export abstract class PartitionKey {
  #validity: Uint8Array | null = null;

  bind(vector: ColumnVector, rowCount: number): void {
    this.#validity = vector.nullCount > 0 ? vector.validity : null;
    this.bindData(vector, rowCount);
  }

  unbind(): void {
    this.#validity = null;
    this.releaseData();
  }

  hash(row: number): number {
    return this.#isNull(row) ? NULL_HASH : this.hashValue(row);
  }

  equals(a: number, b: number): boolean {
    if (this.#validity !== null) {
      const isNull = this.#isNull(a);
      if (isNull !== this.#isNull(b)) return false;
      if (isNull) return true;
    }
    return this.equalValues(a, b);
  }

  /** What stands behind the equals sign. */
  describe(row: number): string {
    return this.#isNull(row) ? NULL_FOLDER : this.describeValue(row);
  }

  #isNull(row: number): boolean {
    const validity = this.#validity;
    return validity !== null && (validity[row >>> 3]! & (1 << (row & 7))) === 0;
  }

  protected abstract bindData(vector: ColumnVector, rowCount: number): void;
  protected abstract releaseData(): void;
  protected abstract hashValue(row: number): number;
  protected abstract equalValues(a: number, b: number): boolean;
  protected abstract describeValue(row: number): string;
}

/** @param unit one that the kind has; null for a kind that `isPartitionKind` */
export function createPartitionKey(
  kind: LogicalKind,
  unit: PartitionUnit | null,
): PartitionKey {
  if (unit !== null) {
    assert(unitsOfKind(kind).includes(unit), `${kind} by ${unit}`);
    return new UnitKey(kind, unit);
  }
  assert(isPartitionKind(kind), kind);
  return kind === "text" ? new TextKey() : new ScalarKey(kind);
}

const scratch = Buffer.alloc(64);
const NO_BYTES = new Uint8Array(0);

/** Fixed-width values, compared as the bytes they are. */
class ScalarKey extends PartitionKey {
  readonly #writer: ValueWriter;
  readonly #bytesEach: number;
  #data: Uint8Array = NO_BYTES;

  constructor(kind: LogicalKind) {
    super();
    this.#writer = createScalarWriter({ kind }, null)!;
    this.#bytesEach = bytesOfKey[kind] ?? 0;
  }

  protected bindData(vector: ColumnVector, rowCount: number): void {
    this.#writer.bind(vector, rowCount);
    this.#data = vector.data;
  }

  protected releaseData(): void {
    this.#writer.unbind();
    this.#data = NO_BYTES;
  }

  protected hashValue(row: number): number {
    const data = this.#data;
    const bytes = this.#bytesEach;
    if (bytes === 0) return (data[row >>> 3]! >>> (row & 7)) & 1;
    let hash = 0;
    for (let at = row * bytes; at < (row + 1) * bytes; at++)
      hash = Math.imul(hash ^ data[at]!, 0x01000193);
    return hash;
  }

  protected equalValues(a: number, b: number): boolean {
    const data = this.#data;
    const bytes = this.#bytesEach;
    if (bytes === 0)
      return (
        ((data[a >>> 3]! >>> (a & 7)) & 1) ===
        ((data[b >>> 3]! >>> (b & 7)) & 1)
      );
    for (let i = 0; i < bytes; i++)
      if (data[a * bytes + i] !== data[b * bytes + i]) return false;
    return true;
  }

  protected describeValue(row: number): string {
    return scratch.toString("latin1", 0, this.#writer.write(row, scratch, 0));
  }
}

const bytesOfKey: Readonly<Partial<Record<LogicalKind, number>>> = {
  int16: 2,
  int32: 4,
  date: 4,
  int64: 8,
  uint64: 8,
  uuid: 16,
};

class TextKey extends PartitionKey {
  #data: Uint8Array = NO_BYTES;
  #offsets: Int32Array = new Int32Array(1);

  protected bindData({ data, offsets }: ColumnVector): void {
    this.#data = data;
    this.#offsets = offsets!;
  }

  protected releaseData(): void {
    this.#data = NO_BYTES;
  }

  protected hashValue(row: number): number {
    const data = this.#data;
    let hash = 0;
    for (let at = this.#offsets[row]!; at < this.#offsets[row + 1]!; at++)
      hash = Math.imul(hash ^ data[at]!, 0x01000193);
    return hash;
  }

  protected equalValues(a: number, b: number): boolean {
    const data = this.#data;
    const from = this.#offsets[a]!;
    const other = this.#offsets[b]!;
    const bytes = this.#offsets[a + 1]! - from;
    if (this.#offsets[b + 1]! - other !== bytes) return false;
    for (let i = 0; i < bytes; i++)
      if (data[from + i] !== data[other + i]) return false;
    return true;
  }

  protected describeValue(row: number): string {
    const from = this.#offsets[row]!;
    const bytes = this.#data.subarray(from, this.#offsets[row + 1]);
    const text = escapeHive(Buffer.from(bytes).toString("utf8"));
    // a text that reads like NULL's folder is told from it
    return text === NULL_FOLDER ? `%5F${text.slice(1)}` : text;
  }
}

/** Dates and times cut to a unit. */
class UnitKey extends PartitionKey {
  readonly #kind: LogicalKind;
  readonly #unit: PartitionUnit;
  /** Hours since 1970, or the first day of the unit, since 1970. */
  #units = new Float64Array(0);

  constructor(kind: LogicalKind, unit: PartitionUnit) {
    super();
    this.#kind = kind;
    this.#unit = unit;
  }

  protected bindData({ data }: ColumnVector, rowCount: number): void {
    const words = new Int32Array(
      data.buffer,
      data.byteOffset,
      data.byteLength >>> 2,
    );
    const unit = this.#unit;
    const hourUnits =
      this.#kind === "timestampNs" ? 3_600_000_000_000 : 3_600_000_000;
    if (this.#units.length < rowCount) this.#units = new Float64Array(rowCount);
    const units = this.#units;
    for (let row = 0; row < rowCount; row++) {
      const hours =
        this.#kind === "date"
          ? words[row]! * DAY_HOURS
          : floorDivide(words[row * 2]!, words[row * 2 + 1]!, hourUnits);
      const days = Math.floor(hours / DAY_HOURS);
      units[row] =
        unit === "hour" ? hours : unit === "day" ? days : cutDays(days, unit);
    }
  }

  protected releaseData(): void {
    // nothing is borrowed
  }

  protected hashValue(row: number): number {
    return Math.imul(this.#units[row]! | 0, 0x85ebca6b);
  }

  protected equalValues(a: number, b: number): boolean {
    return this.#units[a] === this.#units[b];
  }

  protected describeValue(row: number): string {
    const unit = this.#unit;
    const value = this.#units[row]!;
    if (unit === "hour") {
      const days = Math.floor(value / DAY_HOURS);
      const hour = String(value - days * DAY_HOURS).padStart(2, "0");
      return `${describeDate(days)}-${hour}`;
    }
    const date = describeDate(value);
    return date.slice(0, date.length - charsCut[unit]);
  }
}

/** The integer of two halves, divided and rounded down. Exact: the divisor is a multiple of 10^6, in two steps. */
function floorDivide(low: number, high: number, divisor: number): number {
  const highQuotient = Math.floor(high / 1e6);
  const rest = (high - highQuotient * 1e6) * TWO_POW_32 + (low >>> 0);
  const millions = highQuotient * TWO_POW_32 + Math.floor(rest / 1e6);
  return Math.floor(millions / (divisor / 1e6));
}

let lastDays = NaN;
let lastYear = 0;
let lastMonth = 0;

/** The first day of the year or month that a day lies in. */
function cutDays(days: number, unit: "year" | "month"): number {
  if (days !== lastDays) {
    // the calendar repeats every 400 years of 146,097 days, which Date then need not reach beyond
    const era = Math.floor(days / 146_097);
    const date = new Date((days - era * 146_097) * 86_400_000);
    const year = date.getUTCFullYear();
    const eraDays = era * 146_097;
    lastYear = eraDays + Date.UTC(year, 0, 1) / 86_400_000;
    lastMonth = eraDays + Date.UTC(year, date.getUTCMonth(), 1) / 86_400_000;
    lastDays = days;
  }
  return unit === "year" ? lastYear : lastMonth;
}

function describeDate(days: number): string {
  return scratch.toString("latin1", 0, writeDate(scratch, 0, days));
}
