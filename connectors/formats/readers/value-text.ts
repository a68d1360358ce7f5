/** Text that loses nothing, for the values of binary formats. */
import { writeDate, writeTime, writeTimestamp } from "../text/calendar.ts";

export type TimeUnit = "MILLIS" | "MICROS" | "NANOS";

const scratch = new Uint8Array(64);

/** @param days since 1970-01-01 */
export function formatDate(days: number): string {
  return writeText((out) => writeDate(out, 0, days));
}

/** @param value units since midnight */
export function formatTime(value: number, unitsPerSecond: number): string {
  return writeText((out) => writeTime(out, 0, value, unitsPerSecond));
}

/** @param value units since 1970 */
export function formatTimestamp(
  value: bigint,
  unit: TimeUnit,
  isUtc: boolean,
): string {
  const scaled = unit === "MILLIS" ? value * 1000n : value;
  const low = Number(BigInt.asIntN(32, scaled));
  const high = Number(scaled >> 32n);
  const unitsPerSecond = unit === "NANOS" ? 1e9 : 1e6;
  const text = writeText((out) =>
    writeTimestamp(out, 0, low, high, unitsPerSecond),
  );
  return isUtc ? `${text}Z` : text;
}

/** @param bytes 16 */
export function formatUuid(bytes: Uint8Array): string {
  const hex = Buffer.from(bytes).toString("hex");
  return hex.replace(/^(.{8})(.{4})(.{4})(.{4})/, "$1-$2-$3-$4-");
}

export function formatHex(bytes: Uint8Array): string {
  return `\\x${Buffer.from(bytes).toString("hex")}`;
}

/** Two's complement of any length. */
export function readBigEndian(bytes: Uint8Array): bigint {
  if (bytes.length === 0) return 0n;
  const hex = Buffer.from(bytes).toString("hex");
  return BigInt.asIntN(bytes.length * 8, BigInt(`0x${hex}`));
}

function writeText(write: (out: Uint8Array) => number): string {
  return Buffer.from(scratch.buffer, 0, write(scratch)).toString("latin1");
}
