/** Failures as the Airbyte protocol tells them: TRACE messages of type ERROR, and errors of ours. */
import {
  ExtractError,
  errorCodes,
  type ErrorCode,
  type WireError,
} from "../../proto/error.ts";
import { showStream } from "./catalog.ts";
import type { AirbyteTrace } from "./messages.ts";

type TraceError = NonNullable<AirbyteTrace["error"]>;
type FailureType = NonNullable<TraceError["failure_type"]>;

/** Characters of a peer's words that are kept. */
const MESSAGE_CHARS_MAX = 4_000;

const codeOfFailure: Readonly<Record<FailureType, ErrorCode>> = {
  config_error: "CONNECTOR_CONFIG_ERROR",
  transient_error: "CONNECTOR_TRANSIENT_ERROR",
  system_error: "CONNECTOR_FAILED",
};

const failureOfExit: Readonly<Record<number, FailureType>> = {
  1: "system_error",
  2: "config_error",
  3: "transient_error",
  4: "system_error",
};

/** Another attempt with the same state would end the same way: somebody has to clear it. */
const ofState: ReadonlySet<ErrorCode> = new Set(["SOURCE_POSITION_EXPIRED"]);

/** What a platform that runs us is to do about an error of ours. */
function failureTypeOf(code: ErrorCode): FailureType {
  if (ofState.has(code)) return "config_error";
  return failureOfExit[errorCodes[code].exitCode] ?? "system_error";
}

/** The TRACE of an error of ours. Its message holds no secret: no error's does. */
export function toTraceError(
  { code, message, details }: WireError,
  emittedAtMs: number,
): object {
  const stack = details["stack"];
  return {
    type: "TRACE",
    trace: {
      type: "ERROR",
      emitted_at: emittedAtMs,
      error: {
        message: `${code}: ${message}`,
        internal_message: `${code}: ${message}`,
        ...(typeof stack === "string" ? { stack_trace: stack } : {}),
        failure_type: failureTypeOf(code),
      },
    },
  };
}

/**
 * What a peer's TRACE means for us: its failure type decides whether another attempt is worth while.
 * @param role whom it is of, for people
 */
export function fromTraceError(
  error: TraceError,
  role: "source" | "destination",
): ExtractError {
  const failureType = error.failure_type ?? "system_error";
  const stream = error.stream_descriptor
    ? showStream(error.stream_descriptor)
    : null;
  return new ExtractError(
    codeOfFailure[failureType],
    `the ${role}${stream === null ? "" : `, in ${stream},`} says: ${cut(error.message)}`,
    {
      failureType,
      role,
      ...(stream === null ? {} : { stream }),
      ...(error.internal_message && error.internal_message !== error.message
        ? { internalMessage: cut(error.internal_message) }
        : {}),
    },
  );
}

function cut(text: string): string {
  return text.length > MESSAGE_CHARS_MAX
    ? `${text.slice(0, MESSAGE_CHARS_MAX)}…`
    : text;
}
