/** Numbers as people read them. Sizes are 1000-based: 75.1 MB. */
import type { LogLag } from "../../proto/figures.ts";

/** `1,234,567`. */
export function printCount(count: number): string {
  return Math.round(count)
    .toString()
    .replace(/\B(?=(\d{3})+$)/g, ",");
}

/** `1,234,567 rows`, `1 row`. */
export function printQuantity(
  count: number,
  one: string,
  many = `${one}s`,
): string {
  return `${printCount(count)} ${Math.round(count) === 1 ? one : many}`;
}

/** `75.1 MB`; three digits, and whole bytes below 1 kB. */
export function printBytes(bytes: number): string {
  const units = ["B", "kB", "MB", "GB", "TB", "PB"];
  let value = bytes;
  let unit = 0;
  while (value >= 999.5 && unit < units.length - 1) {
    value /= 1000;
    unit++;
  }
  const digits = unit === 0 || value >= 100 ? 0 : 1;
  return `${value.toFixed(digits)} ${units[unit] ?? "B"}`;
}

/** `850 ms`, `2.6 s`, `1m 05s`, `3h 07m`, `2d 03h`. */
export function printDuration(ms: number): string {
  if (!Number.isFinite(ms)) return "–";
  if (ms < 1000) return `${Math.round(ms)} ms`;
  if (ms < 59_950) return `${(ms / 1000).toFixed(1)} s`;
  const seconds = Math.round(ms / 1000);
  const minutes = Math.floor(seconds / 60);
  const hours = Math.floor(minutes / 60);
  if (minutes < 60) return `${minutes}m ${pad(seconds % 60)}s`;
  if (hours < 24) return `${hours}h ${pad(minutes % 60)}m`;
  return `${Math.floor(hours / 24)}d ${pad(hours % 24)}h`;
}

function pad(value: number): string {
  return String(value).padStart(2, "0");
}

/** `1.2 M rows/s`; nothing is divided by a time too short to measure. */
export function printRowRate(rows: number, ms: number): string {
  if (ms < 1) return "–";
  const rate = (rows / ms) * 1000;
  if (rate >= 1e6) return `${(rate / 1e6).toFixed(1)} M rows/s`;
  return `${printCount(rate >= 1 ? rate : Math.ceil(rate))} rows/s`;
}

/** `166 MB/s`. */
export function printByteRate(bytes: number, ms: number): string {
  return ms < 1 ? "–" : `${printBytes((bytes / ms) * 1000)}/s`;
}

/** How far a log is behind its end at that moment: `3.2 s and 1.2 MB behind the log`; null: that is not known. */
export function printLag(
  { asOfMs, lagBytes }: LogLag,
  nowMs: number,
): string | null {
  const parts = [
    ...(asOfMs === 0 ? [] : [printDuration(Math.max(0, nowMs - asOfMs))]),
    ...(lagBytes === null ? [] : [printBytes(lagBytes)]),
  ];
  return parts.length === 0 ? null : `${parts.join(" and ")} behind the log`;
}

/** `2026-03-01 14:05:09`, in the local time zone; `–` for null. */
export function printTime(epochMs: number | null): string {
  if (epochMs === null || !Number.isFinite(epochMs)) return "–";
  const at = new Date(epochMs);
  const date = [at.getFullYear(), at.getMonth() + 1, at.getDate()];
  const time = [at.getHours(), at.getMinutes(), at.getSeconds()];
  return `${date.map(pad).join("-")} ${time.map(pad).join(":")}`;
}
