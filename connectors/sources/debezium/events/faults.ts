/** What can be wrong with an event, in the words that end a stream, a record of the quarantine, or a change of schema. */
import { ExtractError, type ErrorDetails } from "../../../../proto/error.ts";

/** Longest value that an error message shows, in characters. */
const SHOWN_CHARS_MAX = 80;

/** A value that its column cannot hold: the table has changed since it was discovered. */
export class TypeMisfit extends Error {
  readonly column: string;
  readonly detail: string;
  constructor(column: string, detail: string) {
    super(`${column}: ${detail}`);
    this.column = column;
    this.detail = detail;
  }
}

export function invalidEvent(
  reason: string,
  details: ErrorDetails = {},
  cause?: unknown,
): ExtractError {
  return new ExtractError(
    "SOURCE_EVENT_INVALID",
    `an event of the log cannot be read: ${reason}`,
    { ...details, reason },
    cause === undefined ? undefined : { cause },
  );
}

/** The part of a value that a message shows. */
export function showText(text: string): string {
  return text.length > SHOWN_CHARS_MAX
    ? `${text.slice(0, SHOWN_CHARS_MAX)}…`
    : text;
}
