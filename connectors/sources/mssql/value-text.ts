/** Values as the text that the server prints and takes back: CONVERT's styles 23 and 121. Not for every value of a table. */
import { formatUuid } from "../batches/read-value.ts";

/** Units of `10 ** -scale` s since midnight as `hh:mm:ss`, with `scale` digits behind the point. */
export function formatTime(units: bigint, scale: number): string {
  const perSecond = 10n ** BigInt(scale);
  const seconds = Number(units / perSecond);
  const two = (value: number): string => String(value).padStart(2, "0");
  const clock = `${two(Math.floor(seconds / 3600))}:${two(Math.floor(seconds / 60) % 60)}:${two(seconds % 60)}`;
  if (scale === 0) return clock;
  return `${clock}.${String(units % perSecond).padStart(scale, "0")}`;
}

/** Days since 1970-01-01 as `yyyy-mm-dd`, from year 1 to 9999: a range that JavaScript's dates hold. */
export function formatDate(days: number): string {
  const date = new Date(days * 86_400_000);
  const year = String(date.getUTCFullYear()).padStart(4, "0");
  return `${year}-${date.toISOString().slice(-19, -14)}`;
}

/** Units of `10 ** -scale` s since 1970-01-01. */
export function formatTimestamp(units: bigint, scale: number): string {
  const perDay = 86_400n * 10n ** BigInt(scale);
  let days = units / perDay;
  let rest = units % perDay;
  if (rest < 0n) {
    days -= 1n;
    rest += perDay;
  }
  return `${formatDate(Number(days))} ${formatTime(rest, scale)}`;
}

/** 16 bytes in the order they are printed. */
export function formatGuid(bytes: Uint8Array): string {
  return formatUuid(bytes).toUpperCase();
}
