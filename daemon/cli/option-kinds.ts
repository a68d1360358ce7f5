/** Kinds of options: how the text behind an option becomes a value. A refusal is a usage error that names the option. */
import { Option } from "commander";
import { ExtractError } from "../../proto/error.ts";
import {
  DURATION_MS_MAX,
  InvalidValue,
  parseChoice,
  parseDurationMs,
  parseSizeBytes,
  parseWhole,
} from "../config-values.ts";
import { coverArguments } from "./terminal.ts";

const LIST_LENGTH_MAX = 10_000;

/** An option whose value is read by `parse`; a refusal is a usage error that names the option. */
export function valued<T>(
  flags: string,
  description: string,
  parse: (text: string, previous: T | undefined) => T,
): Option {
  const option = new Option(flags, description);
  return option.argParser((text: string, previous: T | undefined) => {
    try {
      return parse(text, previous);
    } catch (error) {
      if (!(error instanceof InvalidValue)) throw error;
      throw new ExtractError(
        "USAGE",
        `${option.long ?? flags} '${coverArguments(text)}' ${error.message}`,
      );
    }
  });
}

export function text(flags: string, description: string): Option {
  return valued<string>(flags, description, (value) => {
    if (value === "") throw new InvalidValue("is empty");
    return value;
  });
}

/** Repeatable, and each occurrence may be a list parted by commas. */
export function list(flags: string, description: string): Option {
  return valued<readonly string[]>(flags, description, (value, previous) => {
    const items = value.split(",").map((item) => item.trim());
    if (items.includes("")) throw new InvalidValue("has an empty entry");
    const all = [...(previous ?? []), ...items];
    if (all.length > LIST_LENGTH_MAX) {
      throw new InvalidValue(`is one of more than ${LIST_LENGTH_MAX}`);
    }
    return all;
  });
}

export function choice<T extends string>(
  flags: string,
  description: string,
  choices: readonly T[],
): Option {
  return valued<T>(`${flags} <${choices.join("|")}>`, description, (value) =>
    parseChoice(value, choices),
  );
}

export const durationMs = (
  flags: string,
  description: string,
  minMs = 0,
  maxMs = DURATION_MS_MAX,
) =>
  valued<number>(flags, description, (value) =>
    parseDurationMs(value, minMs, maxMs),
  );

export const sizeBytes = (
  flags: string,
  description: string,
  min: number,
  max: number,
) =>
  valued<number>(flags, description, (value) =>
    parseSizeBytes(value, min, max),
  );

export const whole = (
  flags: string,
  description: string,
  min: number,
  max: number,
) => valued<number>(flags, description, (value) => parseWhole(value, min, max));

export function flag(flags: string, description: string): Option {
  return new Option(flags, description);
}
