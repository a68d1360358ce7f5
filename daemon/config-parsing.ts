/** Schemas of single values: each runs one of the parsers that the command line uses. */
import { z } from "zod";
import { ExtractError } from "../proto/error.ts";
import {
  DURATION_MS_MAX,
  InvalidValue,
  parseDurationMs,
  parseSizeBytes,
  parseWhole,
} from "./config-values.ts";

export const TEXT_LENGTH_MAX = 65_536;

export const text = z.string().min(1).max(TEXT_LENGTH_MAX);

/** Turns a parser's refusal into an issue. */
export function parsed<I extends z.ZodType, T>(
  input: I,
  parse: (value: z.output<I>) => T,
) {
  return input.transform((value, context): T => {
    try {
      return parse(value);
    } catch (error) {
      if (!(error instanceof InvalidValue)) throw error;
      context.addIssue({ code: "custom", message: error.message });
      return z.NEVER;
    }
  });
}

export const textOrNumber = z.union([text, z.number()]);

export const durationMs = (minMs: number, maxMs = DURATION_MS_MAX) =>
  parsed(textOrNumber, (value) => parseDurationMs(value, minMs, maxMs));

export const seconds = (minMs: number) =>
  parsed(textOrNumber, (value) => parseDurationMs(value, minMs) / 1000);

export const sizeBytes = (minBytes: number, maxBytes: number) =>
  parsed(textOrNumber, (value) => parseSizeBytes(value, minBytes, maxBytes));

export const whole = (max: number) =>
  parsed(textOrNumber, (value) => parseWhole(value, 1, max));

/** A text that its connector takes. */
export function checkText(value: string, check: () => unknown): string {
  try {
    check();
    return value;
  } catch (error) {
    if (!(error instanceof ExtractError)) throw error;
    throw new InvalidValue(error.message);
  }
}
