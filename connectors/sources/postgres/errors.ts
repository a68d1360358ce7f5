/**
 * What the server, the network and TLS say when something fails, as errors that machines can act on.
 */
import {
  ExtractError,
  type ErrorCode,
  type ErrorDetails,
} from "../../../proto/error.ts";

/** The fields of an ErrorResponse that are used, by the names that `pg` gives them. */
export interface ServerError {
  /** SQLSTATE, five characters. */
  readonly code: string;
  readonly message: string;
  readonly severity?: string | undefined;
  readonly detail?: string | undefined;
  readonly hint?: string | undefined;
}

/** Longest text of a server that goes into an error, in characters. */
const SERVER_TEXT_CHARS_MAX = 2_000;

/** Exact SQLSTATEs, looked up before their classes. @see Postgres manual, appendix "PostgreSQL Error Codes" */
const codeByState: Readonly<Record<string, ErrorCode>> = {
  "28000": "SOURCE_AUTH_FAILED",
  "28P01": "SOURCE_AUTH_FAILED",
  "3D000": "SOURCE_DATABASE_NOT_FOUND",
  "53300": "SOURCE_UNREACHABLE", // too many connections
  "57P03": "SOURCE_UNREACHABLE", // starting up, shutting down or in recovery
  "42501": "SOURCE_PERMISSION_DENIED",
  "3F000": "SOURCE_TABLE_NOT_FOUND", // the schema does not exist
  "42P01": "SOURCE_TABLE_NOT_FOUND",
  "42703": "SOURCE_COLUMN_NOT_FOUND",
  "25P02": "SOURCE_CONNECTION_LOST", // an earlier statement aborted the transaction: a new connection is due
  "25P03": "SOURCE_CONNECTION_LOST", // ended by idle_in_transaction_session_timeout
  "25P04": "SOURCE_CONNECTION_LOST", // ended by transaction_timeout
  "57P01": "SOURCE_CONNECTION_LOST", // terminated by an administrator
  "57P02": "SOURCE_CONNECTION_LOST", // another backend crashed
  "57P05": "SOURCE_CONNECTION_LOST", // ended by idle_session_timeout
  "08P01": "SOURCE_PROTOCOL_VIOLATION",
  "55P03": "SOURCE_LOCKED", // no lock within lock_timeout
  "0A000": "SOURCE_QUERY_FAILED",
};

const networkCodes = new Set([
  "EACCES",
  "EADDRNOTAVAIL",
  "EAI_AGAIN",
  "ECONNREFUSED",
  "EHOSTDOWN",
  "EHOSTUNREACH",
  "ENETDOWN",
  "ENETUNREACH",
  "ENOENT",
  "ENOTFOUND",
  "ETIMEDOUT",
]);

const lostCodes = new Set([
  "ECONNABORTED",
  "ECONNRESET",
  "EPIPE",
  "ERR_STREAM_DESTROYED",
  "ERR_STREAM_WRITE_AFTER_END",
]);

const tlsCodes = new Set([
  "CERT_HAS_EXPIRED",
  "CERT_NOT_YET_VALID",
  "DEPTH_ZERO_SELF_SIGNED_CERT",
  "EPROTO",
  "ERR_TLS_CERT_ALTNAME_INVALID",
  "SELF_SIGNED_CERT_IN_CHAIN",
  "UNABLE_TO_GET_ISSUER_CERT",
  "UNABLE_TO_GET_ISSUER_CERT_LOCALLY",
  "UNABLE_TO_VERIFY_LEAF_SIGNATURE",
]);

/**
 * Any failure of a connection or query as an ExtractError; one that is so already comes back as it is.
 * `details.server` (`host:port`), where given, is named in messages about the network.
 */
export function toSourceError(
  error: unknown,
  details: ErrorDetails = {},
): ExtractError {
  if (error instanceof ExtractError) return error;
  const text = error instanceof Error ? error.message : String(error);
  const code = readCode(error);
  if (isServerError(error)) return fromServerError(error, details);
  const server = details["server"] ?? "the server";
  const options = { cause: error };
  const inner = innerNetworkError(error);
  if (code !== null && (tlsCodes.has(code) || code.startsWith("ERR_SSL_"))) {
    return new ExtractError(
      "SOURCE_TLS_FAILED",
      `TLS with ${server} failed: ${text}`,
      details,
      options,
    );
  }
  if (/does not support SSL connections|establishing an SSL/.test(text)) {
    return new ExtractError(
      "SOURCE_TLS_FAILED",
      `${server} offers no TLS, which sslmode asks for`,
      details,
      options,
    );
  }
  if (inner !== null || text === "timeout expired") {
    const why = inner ?? "no answer within the connection timeout";
    return new ExtractError(
      "SOURCE_UNREACHABLE",
      `cannot reach ${server}: ${why}`,
      details,
      options,
    );
  }
  if (
    (code !== null && lostCodes.has(code)) ||
    /Connection terminated|not queryable|Connection ended/i.test(text)
  ) {
    return new ExtractError(
      "SOURCE_CONNECTION_LOST",
      `the connection to ${server} was lost: ${text}`,
      details,
      options,
    );
  }
  if (/password must be a string|SASL|SCRAM/.test(text)) {
    return new ExtractError(
      "SOURCE_AUTH_FAILED",
      `${server} asks for a password that was not given or not accepted: ${text}`,
      details,
      options,
    );
  }
  return new ExtractError("SOURCE_QUERY_FAILED", text, details, options);
}

/** An ErrorResponse as an ExtractError: message, detail and hint in the server's own words. */
export function fromServerError(
  error: ServerError,
  details: ErrorDetails = {},
): ExtractError {
  let message = error.message;
  if (error.detail) message += ` (${error.detail})`;
  if (error.hint) message += ` Hint: ${error.hint}`;
  if (message.length > SERVER_TEXT_CHARS_MAX) {
    message = `${message.slice(0, SERVER_TEXT_CHARS_MAX)} …`;
  }
  return new ExtractError(
    classifyState(error),
    message,
    { ...details, sqlState: error.code },
    { cause: error },
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
    `${error.message} any more`,
    error.details,
    { cause: error },
  );
}

function classifyState(error: ServerError): ErrorCode {
  if (isSnapshotLoss(error)) return "SOURCE_SNAPSHOT_LOST";
  const exact = codeByState[error.code];
  if (exact !== undefined) return exact;
  if (error.code.startsWith("08")) return "SOURCE_CONNECTION_LOST";
  if (error.code.startsWith("28")) return "SOURCE_AUTH_FAILED";
  if (error.severity === "FATAL" || error.severity === "PANIC") {
    return "SOURCE_CONNECTION_LOST";
  }
  return "SOURCE_QUERY_FAILED";
}

/**
 * Whether the shared snapshot is gone: it was not found at import (22023 up to version 15 for a malformed name and
 * 42704 for one without a file since 16), the server removed rows that it sees (72000), or a standby had to end the
 * query so that recovery could go on (40001, and 40P01 with the same detail).
 * @see Postgres source, ImportSnapshot in src/backend/utils/time/snapmgr.c; errdetail_recovery_conflict in postgres.c
 */
function isSnapshotLoss(error: ServerError): boolean {
  if (error.code === "72000") return true;
  if (error.code === "22023" || error.code === "42704") {
    return /snapshot/i.test(error.message);
  }
  if (error.code === "55000" || error.code === "0A000") {
    return /could not import the requested snapshot/.test(error.message);
  }
  return error.code === "40001" || error.code === "40P01";
}

function isServerError(error: unknown): error is ServerError {
  return (
    typeof error === "object" &&
    error !== null &&
    "severity" in error &&
    typeof readCode(error) === "string" &&
    /^[0-9A-Z]{5}$/.test(readCode(error) ?? "")
  );
}

function readCode(error: unknown): string | null {
  if (typeof error !== "object" || error === null) return null;
  const code = (error as { code?: unknown }).code;
  return typeof code === "string" ? code : null;
}

/** The words of a failure to connect; Node.js wraps those of several addresses of one name into one AggregateError. */
function innerNetworkError(error: unknown): string | null {
  const code = readCode(error);
  if (code === null || !networkCodes.has(code)) return null;
  if (error instanceof AggregateError && error.errors.length > 0) {
    return error.errors
      .map((inner) => (inner instanceof Error ? inner.message : String(inner)))
      .join("; ");
  }
  return error instanceof Error ? error.message : code;
}
