/**
 * Values as people write them, on the command line and in the YAML file alike: durations, sizes, modes, URLs. Both
 * fronts use these functions, so that a value means the same in either.
 */
import { fileURLToPath } from "node:url";
import { resolve } from "node:path";
import type {
  CompressionName,
  FormatName,
} from "../connectors/formats/format.ts";
import {
  FILE_BYTES_MAX_LEAST,
  FILE_BYTES_MAX_MOST,
} from "../connectors/destinations/file/config.ts";
import { parsePathTemplate as checkPathTemplate } from "../connectors/destinations/layout/names.ts";
import {
  findSourceKind,
  readScheme,
  sourceSchemes,
  type SourceKind,
} from "../connectors/sources/url.ts";
import { ExtractError } from "../proto/error.ts";
import type { UnrepresentablePolicy } from "../proto/schema.ts";
import { destinationKindOf } from "./destinations.ts";
import type { SyncMode, SyncRequest } from "./request.ts";

export const FORMATS = [
  "parquet",
  "avro",
  "csv",
  "jsonl",
] as const satisfies readonly FormatName[];
export const COMPRESSIONS = [
  "zstd",
  "snappy",
  "gzip",
  "none",
] as const satisfies readonly CompressionName[];
export const PARTITION_BY = [
  "auto",
  "ctid",
  "key",
] as const satisfies readonly SyncRequest["partitionBy"][];
export const UNREPRESENTABLE = [
  "error",
  "null",
] as const satisfies readonly UnrepresentablePolicy[];

/** Every accepted spelling of a mode. */
export const MODES: Readonly<Record<string, SyncMode | "continuous">> = {
  "full-refresh-overwrite": "full-refresh-overwrite",
  "full-refresh-append": "full-refresh-append",
  "incremental-append": "incremental-append",
  "incremental-append-dedupe": "incremental-append-dedupe",
  overwrite: "full-refresh-overwrite",
  append: "full-refresh-append",
  incremental: "incremental-append",
  dedupe: "incremental-append-dedupe",
  cdc: "cdc",
  continuous: "continuous",
};

export const CHANNELS_MAX = 64;
export const ATTEMPTS_MAX = 100;
export const DURATION_MS_MAX = 7 * 86_400_000;
export const CHECKPOINT_MS_MIN = 50;
export const PROBE_DEADLINE_MS_MIN = 100;
export const PARTITION_BYTES_MIN = 8192;
export const PARTITION_BYTES_MAX = 1024 ** 4;
export const LOG_BUDGET_BYTES_MIN = 1024 ** 2;
export const LOG_BUDGET_BYTES_MAX = 1024 ** 5;
export const ROW_BYTES_MIN = 1024;
/** Column buffers have int32 offsets. */
export const ROW_BYTES_MAX = 1024 ** 3;
const TEXT_LENGTH_MAX = 40;

/** Of `--file-size`; the destination's own bounds. */
export const FILE_BYTES_MIN = FILE_BYTES_MAX_LEAST;
export const FILE_BYTES_MAX = FILE_BYTES_MAX_MOST;

/** A value that cannot be meant; the message is a clause that follows the value's name, and never repeats a secret. */
export class InvalidValue extends Error {
  override readonly name = "InvalidValue";
}

const durationUnitsMs: Readonly<Record<string, number>> = {
  ms: 1,
  s: 1000,
  "": 1000,
  m: 60_000,
  min: 60_000,
  h: 3_600_000,
  d: 86_400_000,
};

const sizeUnitsBytes: Readonly<Record<string, number>> = {
  "": 1,
  b: 1,
  kb: 1e3,
  mb: 1e6,
  gb: 1e9,
  tb: 1e12,
  kib: 1024,
  mib: 1024 ** 2,
  gib: 1024 ** 3,
  tib: 1024 ** 4,
};

/**
 * `250ms`, `30s`, `5m`, `1h30m`; a bare number is seconds. Returns milliseconds.
 * @throws InvalidValue for other text and for what lies outside the bounds (milliseconds)
 */
export function parseDurationMs(
  value: string | number,
  minMs = 0,
  maxMs = DURATION_MS_MAX,
): number {
  const text = String(value).trim().toLowerCase();
  const shape = /^(?:\d+(?:\.\d+)?(?:ms|s|min|m|h|d)\s*)+$|^\d+(?:\.\d+)?$/;
  if (text.length > TEXT_LENGTH_MAX || !shape.test(text)) {
    throw new InvalidValue("is no duration; write it like 30s, 5m or 1h30m");
  }
  let totalMs = 0;
  for (const [, digits, unit] of text.matchAll(
    /(\d+(?:\.\d+)?)(ms|s|min|m|h|d)?/g,
  )) {
    totalMs += Number(digits) * (durationUnitsMs[unit ?? ""] ?? 0);
  }
  if (totalMs < minMs || totalMs > maxMs) {
    throw new InvalidValue(
      `must lie between ${printDuration(minMs)} and ${printDuration(maxMs)}`,
    );
  }
  return Math.round(totalMs);
}

function printDuration(ms: number): string {
  if (ms >= 86_400_000) return `${ms / 86_400_000}d`;
  return ms < 1000 ? `${ms}ms` : `${ms / 1000}s`;
}

/**
 * `512MiB` (1024-based), `512MB` (1000-based), or bare bytes. Returns bytes.
 * @throws InvalidValue for other text and for what lies outside the bounds (bytes)
 */
export function parseSizeBytes(
  value: string | number,
  minBytes: number,
  maxBytes: number,
): number {
  const text = String(value).trim().toLowerCase();
  const match = /^(\d+(?:\.\d+)?)\s*([kmgt]i?b|b)?$/.exec(text);
  if (text.length > TEXT_LENGTH_MAX || match === null) {
    throw new InvalidValue("is no size; write it like 512MB, 512MiB or 2GiB");
  }
  const bytes = Math.round(
    Number(match[1]) * (sizeUnitsBytes[match[2] ?? ""] ?? 0),
  );
  if (bytes < minBytes || bytes > maxBytes) {
    throw new InvalidValue(
      `must lie between ${minBytes} bytes and ${maxBytes / 1024 ** 3}GiB`,
    );
  }
  return bytes;
}

/** @throws InvalidValue for anything but a whole number within the bounds */
export function parseWhole(
  value: string | number,
  min: number,
  max: number,
): number {
  const text = String(value).trim();
  const number = Number(text);
  if (!/^\d{1,15}$/.test(text) || number < min || number > max) {
    throw new InvalidValue(`must be a whole number between ${min} and ${max}`);
  }
  return number;
}

/** @throws InvalidValue listing the choices */
export function parseChoice<T extends string>(
  value: string,
  choices: readonly T[],
): T {
  const found = choices.find((choice) => choice === value.toLowerCase());
  if (found === undefined) {
    throw new InvalidValue(`must be one of ${choices.join(", ")}`);
  }
  return found;
}

/** @throws InvalidValue listing the modes */
export function parseMode(value: string): SyncMode | "continuous" {
  const key = value.toLowerCase();
  const mode = Object.hasOwn(MODES, key) ? MODES[key] : undefined;
  if (mode === undefined) {
    throw new InvalidValue(
      "must be one of full-refresh-overwrite (overwrite), full-refresh-append (append), incremental-append (incremental), incremental-append-dedupe (dedupe), cdc, continuous",
    );
  }
  return mode;
}

/**
 * Which kind of source a URL names. The rest of the URL is the connector's to judge.
 * @throws InvalidValue naming what is supported
 */
export function parseSourceKind(url: string): SourceKind {
  const kind = findSourceKind(url);
  if (kind !== null) return kind;
  const scheme = readScheme(url);
  throw new InvalidValue(
    scheme === null
      ? "is no URL; sources are named like postgres://user@host:5432/database"
      : `has the scheme ${scheme}://, which is no source; supported are ${sourceSchemes.join(", ")}`,
  );
}

/**
 * A destination: an absolute folder, or the URL of a bucket or a database. The rest of a URL is the connector's to judge.
 * @throws InvalidValue naming what is supported
 */
export function parseDestination(text: string, base: string): string {
  switch (destinationKindOf(text)) {
    case "file":
      return parseDestinationRoot(text, base);
    case "s3":
    case "postgres":
    case "airbyte":
      return text;
    case null:
      throw new InvalidValue(
        `has the scheme ${readScheme(text)}://, which is no destination; supported are folders, file://, s3:// and postgres:// URLs`,
      );
  }
}

/**
 * A folder: a path, relative ones below `base`, or a file:// URL.
 * @throws InvalidValue for other schemes
 */
export function parseDestinationRoot(text: string, base: string): string {
  if (text.trim() === "") throw new InvalidValue("is empty; name a folder");
  const scheme = /^([a-z][a-z0-9+.-]+):\/\//i.exec(text)?.[1]?.toLowerCase();
  if (scheme === "file") {
    try {
      return fileURLToPath(text);
    } catch {
      throw new InvalidValue("is no file URL; write it like file:///data/out");
    }
  }
  if (scheme !== undefined) {
    throw new InvalidValue(
      `has the scheme ${scheme}://, which is no folder; name a path or a file:// URL`,
    );
  }
  return resolve(base, text);
}

/**
 * The folder of one stream below the destination: relative, inside it, and different for each stream.
 * @throws InvalidValue
 */
export function parsePathTemplate(text: string): string {
  try {
    checkPathTemplate(text);
  } catch (error) {
    if (!(error instanceof ExtractError)) throw error;
    throw new InvalidValue(String(error.details["reason"]));
  }
  return text;
}
