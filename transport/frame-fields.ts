/**
 * The fields of foreign frames, checked one by one. Each function throws ExtractError CHANNEL_CORRUPT for a value that
 * no source or destination of ours sends.
 */
import { ExtractError, fromWireError, toWireError } from "../proto/error.ts";
import type { ErrorCode, ErrorDetails, WireError } from "../proto/error.ts";
import type { Position } from "../proto/partition.ts";
import { fixedWidthBytes } from "../proto/schema.ts";
import type { LogicalKind, LogicalType } from "../proto/schema.ts";
import type { FrameIds } from "./frames.ts";

/** Decimal digits that the fixed-width decimals hold. */
const precisionMax: Partial<Record<LogicalKind, number>> = {
  decimal64: 18,
  decimal128: 38,
};

export function readType(
  kind: string,
  precision: number,
  scale: number,
): LogicalType {
  if (!isLogicalKind(kind)) throw corrupt(`a column of kind ${quote(kind)}`);
  const digits = precisionMax[kind];
  if (digits === undefined) return { kind };
  if (precision < 1 || precision > digits || scale > precision) {
    throw corrupt(`a ${kind} of precision ${precision} and scale ${scale}`);
  }
  return { kind, precision, scale };
}

function isLogicalKind(kind: string): kind is LogicalKind {
  return Object.hasOwn(fixedWidthBytes, kind);
}

export function readPosition(json: string): Position | null {
  if (json === "") return null;
  const value = parseJson(json, "checkpoint.position_json");
  if (typeof value === "object" && value !== null && "kind" in value) {
    if (
      value.kind === "key" &&
      "after" in value &&
      Array.isArray(value.after) &&
      value.after.every((part) => typeof part === "string")
    ) {
      return { kind: "key", after: value.after };
    }
    if (
      value.kind === "log" &&
      "after" in value &&
      typeof value.after === "string"
    ) {
      return { kind: "log", after: value.after };
    }
    if (value.kind === "pages" && "nextPage" in value) {
      const { nextPage } = value;
      if (typeof nextPage === "number" && isCount(nextPage)) {
        return { kind: "pages", nextPage };
      }
    }
  }
  throw corrupt(`the position ${quote(json)}`);
}

/** An error as its sender knows it; a code that this build does not have is INTERNAL. */
export function readFault(
  code: string,
  message: string,
  detailsJson: string,
): WireError {
  const details = parseJson(detailsJson || "{}", "fault.details_json");
  if (!isDetails(details)) throw corrupt("a fault whose details are no record");
  return toWireError(
    fromWireError({ code: code as ErrorCode, message, details }),
  );
}

function isDetails(value: unknown): value is ErrorDetails {
  return (
    typeof value === "object" &&
    value !== null &&
    !Array.isArray(value) &&
    Object.values(value).every(
      (part) =>
        part === null || ["string", "number", "boolean"].includes(typeof part),
    )
  );
}

function parseJson(text: string, field: string): unknown {
  try {
    return JSON.parse(text);
  } catch (cause) {
    throw new ExtractError(
      "CHANNEL_CORRUPT",
      `${field} is not JSON`,
      {},
      { cause },
    );
  }
}

type Loose<T> = { readonly [K in keyof T]?: T[K] | null };

export function readIds(ids: Loose<FrameIds>, kind: string): FrameIds {
  return {
    ...readAttempt(ids, kind),
    sequence: readOrdinal(ids.sequence, `${kind}.sequence`),
  };
}

export function readAttempt(
  ids: Loose<FrameIds>,
  kind: string,
): { stream: number; partition: number; attempt: number } {
  return {
    stream: readOrdinal(ids.stream, `${kind}.stream`),
    partition: ids.partition ?? 0,
    attempt: readOrdinal(ids.attempt, `${kind}.attempt`),
  };
}

/** A number that counts from 1. */
export function readOrdinal(
  value: number | null | undefined,
  field: string,
): number {
  if (!value) throw corrupt(`${field} is missing`);
  return value;
}

/** A uint64 that a JavaScript number holds exactly. */
export function readCount(
  value: number | null | undefined,
  field: string,
): number {
  const count = value ?? 0;
  if (!isCount(count)) throw corrupt(`${field} is ${count}`);
  return count;
}

function isCount(value: number): boolean {
  return Number.isSafeInteger(value) && value >= 0;
}

/** At most 80 characters of a foreign text. */
function quote(text: string): string {
  return JSON.stringify(text.length > 80 ? `${text.slice(0, 80)}…` : text);
}

export function corrupt(message: string): ExtractError {
  return new ExtractError("CHANNEL_CORRUPT", message);
}
