/** What the server, the network and TLS say when something fails, as errors that machines can act on. */
import {
  ExtractError,
  type ErrorCode,
  type ErrorDetails,
} from "../../../proto/error.ts";

/** The fields of an ERROR token that are used. @see MS-TDS 2.2.7.10 */
export interface ServerError {
  readonly number: number;
  /** Severity: from 20 on the server ends the connection. */
  readonly class: number;
  readonly message: string;
}

/** Longest text of a server that goes into an error, in characters. */
const SERVER_TEXT_CHARS_MAX = 2_000;
/** @see SQL Server documentation, "Database Engine error severities" */
const FATAL_CLASS = 20;

/** @see SQL Server documentation, "Database Engine events and errors" (sys.messages) */
const codeByNumber: ReadonlyMap<number, ErrorCode> = new Map([
  ...entries(
    "SOURCE_AUTH_FAILED",
    [18_401, 18_451, 18_452, 18_456, 18_461, 18_470, 18_486, 18_487, 18_488],
  ),
  ...entries("SOURCE_DATABASE_NOT_FOUND", [911]),
  // the database is not open to this login or to nobody now, or too many connections
  ...entries("SOURCE_UNREACHABLE", [4_060, 10_928, 10_929, 17_809, 40_613]),
  ...entries(
    "SOURCE_PERMISSION_DENIED",
    [229, 230, 262, 297, 300, 371, 378, 916],
  ),
  ...entries("SOURCE_TABLE_NOT_FOUND", [208]),
  ...entries("SOURCE_COLUMN_NOT_FOUND", [207]),
  // DDL on a table that a snapshot transaction reads
  ...entries("SOURCE_SCHEMA_CHANGED", [3_961]),
  // snapshot isolation is off, or the versions that the snapshot needs are gone
  ...entries(
    "SOURCE_SNAPSHOT_LOST",
    [3_952, 3_953, 3_955, 3_956, 3_957, 3_958, 3_959, 3_966, 3_967],
  ),
  // a deadlock's victim, killed, shut down, moved: another connection may do
  ...entries(
    "SOURCE_CONNECTION_LOST",
    [
      596, 1_205, 3_906, 6_005, 10_053, 10_054, 10_060, 40_197, 40_501, 42_108,
      42_109,
    ],
  ),
]);

function entries(
  code: ErrorCode,
  numbers: readonly number[],
): (readonly [number, ErrorCode])[] {
  return numbers.map((number) => [number, code]);
}

/** An ERROR token as an ExtractError, in the server's own words. */
function fromServerError(
  error: ServerError,
  details: ErrorDetails = {},
  cause: unknown = error,
): ExtractError {
  let { message } = error;
  if (message.length > SERVER_TEXT_CHARS_MAX) {
    message = `${message.slice(0, SERVER_TEXT_CHARS_MAX)} …`;
  }
  const code =
    codeByNumber.get(error.number) ??
    (error.class >= FATAL_CLASS
      ? "SOURCE_CONNECTION_LOST"
      : "SOURCE_QUERY_FAILED");
  return new ExtractError(
    code,
    message,
    { ...details, sqlError: error.number },
    { cause },
  );
}

/** Any failure of a request as an ExtractError; one that is so already comes back as it is. */
export function toSourceError(
  error: unknown,
  details: ErrorDetails = {},
): ExtractError {
  if (error instanceof ExtractError) return error;
  const first = firstServerError(error);
  if (first !== null) return fromServerError(first, details, error);
  const text = error instanceof Error ? error.message : String(error);
  const server = details["server"] ?? "the server";
  const code = readCode(error);
  if (code === "ESOCKET" || code === "ECLOSE" || code === "EINVALIDSTATE") {
    return lost(server, text, details, error);
  }
  if (code !== null && /^E(CONN|PIPE|TIMEDOUT|TIMEOUT)/.test(code)) {
    return lost(server, text, details, error);
  }
  return new ExtractError("SOURCE_QUERY_FAILED", text, details, {
    cause: error,
  });
}

function lost(
  server: unknown,
  text: string,
  details: ErrorDetails,
  cause: unknown,
): ExtractError {
  return new ExtractError(
    "SOURCE_CONNECTION_LOST",
    `the connection to ${String(server)} was lost: ${text}`,
    details,
    { cause },
  );
}

/**
 * A failure to connect.
 * @param said the last ERROR token of the login, whose number the driver's error does not carry
 */
export function toConnectError(
  error: unknown,
  details: ErrorDetails,
  said: ServerError | null,
): ExtractError {
  if (error instanceof ExtractError) return error;
  if (said !== null) {
    const known = fromServerError(said, details, error);
    return known.code === "SOURCE_QUERY_FAILED"
      ? new ExtractError("SOURCE_AUTH_FAILED", known.message, known.details, {
          cause: error,
        })
      : known;
  }
  const text = error instanceof Error ? error.message : String(error);
  const server = details["server"] ?? "the server";
  const options = { cause: error };
  if (isTlsFailure(error)) {
    return new ExtractError(
      "SOURCE_TLS_FAILED",
      `TLS with ${String(server)} failed: ${text}`,
      details,
      options,
    );
  }
  if (readCode(error) === "ELOGIN") {
    return new ExtractError("SOURCE_AUTH_FAILED", text, details, options);
  }
  return new ExtractError(
    "SOURCE_UNREACHABLE",
    `cannot reach ${String(server)}: ${text}`,
    details,
    options,
  );
}

/** Of a query whose names discovery has found: what the server does not find any more has changed since. */
export function asSchemaChange(error: ExtractError): ExtractError {
  if (
    error.code !== "SOURCE_COLUMN_NOT_FOUND" &&
    error.code !== "SOURCE_TABLE_NOT_FOUND"
  ) {
    return error;
  }
  return new ExtractError(
    "SOURCE_SCHEMA_CHANGED",
    `${error.message} It was there when it was discovered.`,
    error.details,
    { cause: error },
  );
}

/** Node.js names failures of certificates and of the handshake; the driver those of its own negotiation. */
function isTlsFailure(error: unknown): boolean {
  for (let at: unknown = error; at instanceof Error; at = at.cause) {
    const code = readCode(at) ?? "";
    if (
      code === "EENCRYPT" ||
      code === "EPROTO" ||
      code.startsWith("ERR_SSL_") ||
      code.startsWith("ERR_TLS_") ||
      code.startsWith("CERT_") ||
      /SELF_SIGNED|UNABLE_TO_(GET|VERIFY)/.test(code)
    ) {
      return true;
    }
    if (/certificate|encryption|TLS/i.test(at.message)) return true;
  }
  return false;
}

function firstServerError(error: unknown): ServerError | null {
  if (error instanceof AggregateError) {
    for (const inner of error.errors) {
      const found = firstServerError(inner);
      if (found !== null) return found;
    }
    return null;
  }
  if (!(error instanceof Error)) return null;
  const { number, class: severity } = error as Partial<ServerError>;
  return typeof number === "number" && typeof severity === "number"
    ? { number, class: severity, message: error.message }
    : null;
}

function readCode(error: unknown): string | null {
  if (typeof error !== "object" || error === null) return null;
  const code = (error as { code?: unknown }).code;
  return typeof code === "string" ? code : null;
}
