/**
 * Compares a column's values with one literal, down the buffer. Each function fills `out`, by row: 0 below the literal,
 * 1 equal, 2 above, 3 neither (NaN). Slots of nulls are compared, too; what comes of them is not looked at.
 */
import type { ColumnVector } from "../../../proto/columns.ts";
import type { LogicalType } from "../../../proto/schema.ts";
import { compareDigits, readDigits } from "./digits.ts";
import {
  parseDate,
  parseHex,
  parseNumber,
  parseTime,
  parseTimestamp,
  parseUuid,
  wantText,
  type Bound,
} from "./literals.ts";
import type { Literal } from "./parse.ts";
import { FilterFault } from "./tokens.ts";

export const BELOW = 0;
export const EQUAL = 1;
export const ABOVE = 2;
export const NEITHER = 3;

export type FillOrder = (
  vector: ColumnVector,
  rowCount: number,
  out: Uint8Array,
) => void;

/** @throws FilterFault where the type cannot be compared with the literal; behind the column's name */
export function createOrder(type: LogicalType, literal: Literal): FillOrder {
  switch (type.kind) {
    case "boolean": {
      if (literal.kind !== "boolean")
        throw new FilterFault("is compared with TRUE or FALSE");
      return orderBits(literal.text === "true" ? 1 : 0);
    }
    case "int16":
    case "int32":
    case "float32":
    case "float64":
      return orderNumbers(type.kind, readNumber(type.kind, literal));
    case "date":
      return orderNumbers("int32", Number(parseDate(literal)));
    case "int64":
      return orderWords(parseNumber(literal, 0), 2, true);
    case "uint64":
      return orderWords(parseNumber(literal, 0), 2, false);
    case "decimal64":
      return orderWords(parseNumber(literal, type.scale!), 2, true);
    case "decimal128":
      return orderWords(parseNumber(literal, type.scale!), 4, true);
    case "decimalText": {
      parseNumber(literal, 0);
      return orderDigits(literal.text);
    }
    case "time":
      return orderWords(parseTime(literal, 6), 2, true);
    case "timeNs":
      return orderWords(parseTime(literal, 9), 2, true);
    case "timestamp":
      return orderWords(parseTimestamp(literal, 6, false), 2, true);
    case "timestamptz":
      return orderWords(parseTimestamp(literal, 6, true), 2, true);
    case "timestampNs":
      return orderWords(parseTimestamp(literal, 9, false), 2, true);
    case "uuid":
      return orderUuids(parseUuid(literal));
    case "text":
      return orderBytes(Buffer.from(wantText(literal, "text"), "utf8"));
    case "binary":
      return orderBytes(parseHex(literal));
    case "json":
      throw new FilterFault("is JSON, of which only IS NULL can be asked");
  }
}

/** A real is compared with the real nearest to the literal, as a server does that is given one. */
function readNumber(kind: string, literal: Literal): number {
  parseNumber(literal, 0);
  const value = Number(literal.text);
  return kind === "float32" ? Math.fround(value) : value;
}

function orderBits(bound: number): FillOrder {
  return ({ data }, rowCount, out) => {
    for (let row = 0; row < rowCount; row++)
      out[row] = ((data[row >>> 3]! >>> (row & 7)) & 1) - bound + EQUAL;
  };
}

const numberArrays = {
  int16: Int16Array,
  int32: Int32Array,
  float32: Float32Array,
  float64: Float64Array,
} as const;

function orderNumbers(
  kind: keyof typeof numberArrays,
  bound: number,
): FillOrder {
  const NumberArray = numberArrays[kind];
  return ({ data }, rowCount, out) => {
    const values = new NumberArray(
      data.buffer as ArrayBuffer,
      data.byteOffset,
      rowCount,
    );
    for (let row = 0; row < rowCount; row++) {
      const value = values[row]!;
      out[row] =
        value < bound
          ? BELOW
          : value > bound
            ? ABOVE
            : value === bound
              ? EQUAL
              : NEITHER;
    }
  };
}

/** Whole numbers of `count` 32-bit words, compared from the highest word down. */
function orderWords(
  { floor, isBetween }: Bound,
  count: number,
  isSigned: boolean,
): FillOrder {
  const bits = BigInt(count * 32);
  const min = isSigned ? -(1n << (bits - 1n)) : 0n;
  const max = (1n << (isSigned ? bits - 1n : bits)) - 1n;
  if (floor < min || floor > max) {
    const order = floor < min ? ABOVE : BELOW;
    return (_vector, rowCount, out) => out.fill(order, 0, rowCount);
  }
  // flipping the highest bit turns the unsigned order into the signed one
  const flips = Int32Array.from({ length: count }, (_, i) =>
    isSigned && i === count - 1 ? 0 : 0x80000000,
  );
  const bound = Int32Array.from(
    { length: count },
    (_, i) => Number(BigInt.asIntN(32, floor >> BigInt(32 * i))) ^ flips[i]!,
  );
  // what equals the number below the literal lies below it
  const whenEqual = isBetween ? BELOW : EQUAL;
  return ({ data }, rowCount, out) => {
    const words = new Int32Array(
      data.buffer,
      data.byteOffset,
      rowCount * count,
    );
    for (let row = 0; row < rowCount; row++) {
      let order = whenEqual;
      for (let i = count - 1; i >= 0; i--) {
        const word = words[row * count + i]! ^ flips[i]!;
        if (word === bound[i]!) continue;
        order = word < bound[i]! ? BELOW : ABOVE;
        break;
      }
      out[row] = order;
    }
  };
}

function orderUuids(bound: Uint8Array): FillOrder {
  return ({ data }, rowCount, out) => {
    for (let row = 0; row < rowCount; row++)
      out[row] = compareBytes(data, row * 16, row * 16 + 16, bound);
  };
}

/** Byte by byte, which for UTF-8 is the order of code points and no server's collation. */
function orderBytes(bound: Uint8Array): FillOrder {
  return ({ data, offsets }, rowCount, out) => {
    for (let row = 0; row < rowCount; row++)
      out[row] = compareBytes(data, offsets![row]!, offsets![row + 1]!, bound);
  };
}

function compareBytes(
  data: Uint8Array,
  start: number,
  end: number,
  bound: Uint8Array,
): number {
  const shared = Math.min(end - start, bound.length);
  for (let i = 0; i < shared; i++) {
    const byte = data[start + i]!;
    if (byte !== bound[i]!) return byte < bound[i]! ? BELOW : ABOVE;
  }
  const more = end - start - bound.length;
  return more < 0 ? BELOW : more > 0 ? ABOVE : EQUAL;
}

function orderDigits(literal: string): FillOrder {
  const bytes = Buffer.from(expandExponent(literal), "latin1");
  const bound = readDigits(bytes, 0, bytes.length)!;
  const copy = { ...bound };
  return ({ data, offsets }, rowCount, out) => {
    for (let row = 0; row < rowCount; row++) {
      const value = readDigits(data, offsets![row]!, offsets![row + 1]!);
      out[row] = value === null ? NEITHER : compareDigits(value, copy);
    }
  };
}

/** `1.5e3` as `1500`, exactly. */
function expandExponent(text: string): string {
  const [, sign = "", whole = "", fraction = "", exponent = "0"] =
    /^([+-]?)(\d*)\.?(\d*)(?:e([+-]?\d+))?$/i.exec(text) ?? [];
  const point = whole.length + Number(exponent);
  const digits = `${whole}${fraction}`;
  const padded =
    point <= 0
      ? `${"0".repeat(1 - point)}${digits}`
      : digits.padEnd(point, "0");
  const cut = Math.max(point, 1);
  return `${sign === "-" ? "-" : ""}${padded.slice(0, cut)}.${padded.slice(cut)}`;
}
