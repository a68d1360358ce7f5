/** What the physical values of a Parquet column mean, as text or number that loses nothing. */
import type { SchemaElement } from "hyparquet";
import { writeDate, writeTime, writeTimestamp } from "../text/calendar.ts";
import { formatDecimal } from "../text/digits.ts";

type Format = (value: unknown) => unknown;

const scratch = new Uint8Array(64);

/** Gives the function for a column without children; it is never given null. */
export function createValueFormatter(element: SchemaElement): Format {
  const { type, logical_type: logical, converted_type: converted } = element;
  switch (type) {
    case "BYTE_ARRAY":
    case "FIXED_LEN_BYTE_ARRAY":
      return createBytesFormatter(element);
    case "INT32":
      if (converted === "DECIMAL")
        return (value) =>
          formatDecimal(BigInt(value as number), element.scale ?? 0);
      if (converted === "DATE" || logical?.type === "DATE")
        return (value) =>
          writeText((out) => writeDate(out, 0, value as number));
      if (converted === "TIME_MILLIS" || logical?.type === "TIME")
        return (value) =>
          writeText((out) => writeTime(out, 0, (value as number) * 1000, 1e6));
      if (converted?.startsWith("UINT_"))
        return (value) => (value as number) >>> 0;
      return (value) => value;
    case "INT64":
      return createInt64Formatter(element);
    default:
      return (value) => value;
  }
}

function createBytesFormatter(element: SchemaElement): Format {
  const { logical_type: logical, converted_type: converted } = element;
  if (converted === "DECIMAL" || logical?.type === "DECIMAL")
    return (value) =>
      formatDecimal(readBigEndian(value as Uint8Array), element.scale ?? 0);
  if (logical?.type === "UUID")
    return (value) => {
      const hex = Buffer.from(value as Uint8Array).toString("hex");
      return hex.replace(/^(.{8})(.{4})(.{4})(.{4})/, "$1-$2-$3-$4-");
    };
  if (
    converted === "UTF8" ||
    converted === "JSON" ||
    converted === "ENUM" ||
    logical?.type === "STRING" ||
    logical?.type === "JSON" ||
    logical?.type === "ENUM"
  )
    return (value) => Buffer.from(value as Uint8Array).toString("utf8");
  return (value) => `\\x${Buffer.from(value as Uint8Array).toString("hex")}`;
}

function createInt64Formatter(element: SchemaElement): Format {
  const { logical_type: logical, converted_type: converted } = element;
  if (converted === "DECIMAL")
    return (value) => formatDecimal(value as bigint, element.scale ?? 0);
  if (converted === "UINT_64")
    return (value) => BigInt.asUintN(64, value as bigint);
  if (logical?.type === "TIMESTAMP" || converted?.startsWith("TIMESTAMP_")) {
    const isUtc = logical?.type !== "TIMESTAMP" || logical.isAdjustedToUTC;
    const unit = readUnit(element);
    return (value) => formatTimestamp(value as bigint, unit, isUtc);
  }
  if (logical?.type === "TIME" || converted === "TIME_MICROS") {
    const unitsPerSecond = readUnit(element) === "NANOS" ? 1e9 : 1e6;
    return (value) =>
      writeText((out) => writeTime(out, 0, Number(value), unitsPerSecond));
  }
  return (value) => value;
}

function readUnit({
  logical_type: logical,
  converted_type,
}: SchemaElement): string {
  if (logical?.type === "TIMESTAMP" || logical?.type === "TIME")
    return logical.unit;
  return converted_type === "TIMESTAMP_MILLIS" ? "MILLIS" : "MICROS";
}

function formatTimestamp(value: bigint, unit: string, isUtc: boolean): string {
  const scaled = unit === "MILLIS" ? value * 1000n : value;
  const low = Number(BigInt.asIntN(32, scaled));
  const high = Number(scaled >> 32n);
  const unitsPerSecond = unit === "NANOS" ? 1e9 : 1e6;
  const text = writeText((out) =>
    writeTimestamp(out, 0, low, high, unitsPerSecond),
  );
  return isUtc ? `${text}Z` : text;
}

function writeText(write: (out: Uint8Array) => number): string {
  return Buffer.from(scratch.buffer, 0, write(scratch)).toString("latin1");
}

/** Two's complement of any length. */
function readBigEndian(bytes: Uint8Array): bigint {
  if (bytes.length === 0) return 0n;
  const hex = Buffer.from(bytes).toString("hex");
  return BigInt.asIntN(bytes.length * 8, BigInt(`0x${hex}`));
}
