/**
 * What the server, the network and TLS say when something fails, as errors that machines can act on.
 */
import {
  ExtractError,
  type ErrorCode,
  type ErrorDetails,
} from "../../../proto/error.ts";

/** The fields of an ERR packet. */
export interface ServerError {
  /** The server's number, e.g. 1146. */
  readonly errno: number;
  /** SQLSTATE, five characters. */
  readonly sqlState: string;
  readonly message: string;
}

/** Longest text of a server that goes into an error, in characters. */
const SERVER_TEXT_CHARS_MAX = 2_000;

/** @see MySQL manual, "Server Error Message Reference"; MariaDB manual, "MariaDB Error Codes" (from 1900 on they differ) */
const codeByNumber: Readonly<Record<number, ErrorCode>> = {
  1040: "SOURCE_UNREACHABLE", // too many connections
  1043: "SOURCE_PROTOCOL_VIOLATION", // bad handshake
  1044: "SOURCE_PERMISSION_DENIED", // of a database
  1045: "SOURCE_AUTH_FAILED",
  1049: "SOURCE_DATABASE_NOT_FOUND",
  1053: "SOURCE_CONNECTION_LOST", // shutting down
  1054: "SOURCE_COLUMN_NOT_FOUND",
  1129: "SOURCE_UNREACHABLE", // this host is blocked
  1130: "SOURCE_AUTH_FAILED", // this host is not let in
  1142: "SOURCE_PERMISSION_DENIED",
  1143: "SOURCE_PERMISSION_DENIED",
  1146: "SOURCE_TABLE_NOT_FOUND",
  1156: "SOURCE_PROTOCOL_VIOLATION", // packets out of order
  1158: "SOURCE_CONNECTION_LOST", // four errors of reading and writing packets
  1159: "SOURCE_CONNECTION_LOST",
  1160: "SOURCE_CONNECTION_LOST",
  1161: "SOURCE_CONNECTION_LOST",
  1203: "SOURCE_UNREACHABLE", // too many connections of this user
  1226: "SOURCE_UNREACHABLE", // a limit of this user is used up
  1227: "SOURCE_PERMISSION_DENIED",
  1251: "SOURCE_AUTH_FAILED", // the client cannot do what the account asks for
  1345: "SOURCE_PERMISSION_DENIED", // a view that may not be explained
  1412: "SOURCE_SCHEMA_CHANGED", // the table was changed behind the snapshot
  1615: "SOURCE_SCHEMA_CHANGED", // the statement would have to be prepared again
  1698: "SOURCE_AUTH_FAILED",
  1820: "SOURCE_AUTH_FAILED", // the password has expired
  1862: "SOURCE_AUTH_FAILED",
  1927: "SOURCE_CONNECTION_LOST", // MariaDB: killed
  3118: "SOURCE_AUTH_FAILED", // the account is locked
  3159: "SOURCE_TLS_FAILED", // only TLS is let in
  4031: "SOURCE_CONNECTION_LOST", // was idle for too long
  4151: "SOURCE_AUTH_FAILED", // MariaDB: the account is locked
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
  "PROTOCOL_CONNECTION_LOST",
]);

const tlsCodes = new Set(["HANDSHAKE_NO_SSL_SUPPORT", "HANDSHAKE_SSL_ERROR"]);

/**
 * Any failure of a connection or query as an ExtractError; one that is so already comes back as it is.
 * `details.server` (`host:port`), where given, is named in messages about the network.
 */
export function toSourceError(
  error: unknown,
  details: ErrorDetails = {},
): ExtractError {
  if (error instanceof ExtractError) return error;
  if (isServerError(error)) {
    const { errno, sqlState, sqlMessage } = error;
    return fromServerError({ errno, sqlState, message: sqlMessage }, details);
  }
  const text = error instanceof Error ? error.message : String(error);
  const code = readCode(error);
  const server = details["server"] ?? "the server";
  const options = { cause: error };
  if (code !== null && tlsCodes.has(code)) {
    const message =
      code === "HANDSHAKE_NO_SSL_SUPPORT"
        ? `${server} offers no TLS, which ssl-mode asks for`
        : `TLS with ${server} failed: ${text}`;
    return new ExtractError("SOURCE_TLS_FAILED", message, details, options);
  }
  if (code !== null && networkCodes.has(code)) {
    const why =
      text === "connect ETIMEDOUT"
        ? "no answer within the connection timeout"
        : describeNetworkError(error, text);
    return new ExtractError(
      "SOURCE_UNREACHABLE",
      `cannot reach ${server}: ${why}`,
      details,
      options,
    );
  }
  if (
    (code !== null && lostCodes.has(code)) ||
    /closed state|Connection lost/i.test(text)
  ) {
    return new ExtractError(
      "SOURCE_CONNECTION_LOST",
      `the connection to ${server} was lost: ${text}`,
      details,
      options,
    );
  }
  if (
    code?.startsWith("AUTH_SWITCH") ||
    /authentication|auth plugin/i.test(text)
  ) {
    return new ExtractError(
      "SOURCE_AUTH_FAILED",
      `${server} asks for a way to log in that is not known here: ${text}`,
      details,
      options,
    );
  }
  if (code?.startsWith("HANDSHAKE") || code?.startsWith("PROTOCOL")) {
    return new ExtractError(
      "SOURCE_PROTOCOL_VIOLATION",
      `${server} does not speak MySQL's protocol: ${text}`,
      details,
      options,
    );
  }
  return new ExtractError("SOURCE_QUERY_FAILED", text, details, options);
}

/** An ERR packet as an ExtractError, in the server's own words; `details.errno` keeps its number. */
export function fromServerError(
  error: ServerError,
  details: ErrorDetails = {},
): ExtractError {
  let { message } = error;
  if (message.length > SERVER_TEXT_CHARS_MAX) {
    message = `${message.slice(0, SERVER_TEXT_CHARS_MAX)} …`;
  }
  return new ExtractError(
    codeByNumber[error.errno] ?? "SOURCE_QUERY_FAILED",
    message,
    { ...details, errno: error.errno, sqlState: error.sqlState },
    { cause: error },
  );
}

/** While logging in: a database that is denied is a matter of the account, not of one table. */
export function asLoginError(error: ExtractError): ExtractError {
  if (error.code !== "SOURCE_PERMISSION_DENIED") return error;
  return new ExtractError("SOURCE_AUTH_FAILED", error.message, error.details, {
    cause: error,
  });
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

interface DriverError {
  readonly errno: number;
  readonly sqlState: string;
  readonly sqlMessage: string;
}

function isServerError(error: unknown): error is DriverError {
  return (
    typeof error === "object" &&
    error !== null &&
    typeof (error as Partial<DriverError>).sqlMessage === "string" &&
    typeof (error as Partial<DriverError>).errno === "number"
  );
}

function readCode(error: unknown): string | null {
  if (typeof error !== "object" || error === null) return null;
  const code = (error as { code?: unknown }).code;
  return typeof code === "string" ? code : null;
}

/** Node.js wraps the failures of several addresses of one name into one AggregateError. */
function describeNetworkError(error: unknown, text: string): string {
  if (error instanceof AggregateError && error.errors.length > 0) {
    return error.errors
      .map((inner) => (inner instanceof Error ? inner.message : String(inner)))
      .join("; ");
  }
  return text;
}
