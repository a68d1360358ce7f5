/** What the physical values of a Parquet column mean, as text or number that loses nothing. */
import type { SchemaElement } from "hyparquet";
import { formatDecimal } from "../text/digits.ts";
import {
  formatDate,
  formatHex,
  formatTime,
  formatTimestamp,
  formatUuid,
  readBigEndian,
  type TimeUnit,
} from "./value-text.ts";

type Format = (value: unknown) => unknown;

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
        return (value) => formatDate(value as number);
      if (converted === "TIME_MILLIS" || logical?.type === "TIME")
        return (value) => formatTime((value as number) * 1000, 1e6);
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
    return (value) => formatUuid(value as Uint8Array);
  if (
    converted === "UTF8" ||
    converted === "JSON" ||
    converted === "ENUM" ||
    logical?.type === "STRING" ||
    logical?.type === "JSON" ||
    logical?.type === "ENUM"
  )
    return (value) => Buffer.from(value as Uint8Array).toString("utf8");
  return (value) => formatHex(value as Uint8Array);
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
    return (value) => formatTime(Number(value), unitsPerSecond);
  }
  return (value) => value;
}

function readUnit({
  logical_type: logical,
  converted_type,
}: SchemaElement): TimeUnit {
  if (logical?.type === "TIMESTAMP" || logical?.type === "TIME")
    return logical.unit;
  return converted_type === "TIMESTAMP_MILLIS" ? "MILLIS" : "MICROS";
}
