/** What the server, the network and TLS say when something fails, in our words. */
import {
  ExtractError,
  type ErrorCode,
  type ErrorDetails,
} from "../../../proto/error.ts";

/** The fields of an ErrorResponse that are used, by the names that `pg` gives them. */
interface ServerError {
  /** SQLSTATE. */
  readonly code: string;
  readonly message: string;
  readonly detail?: string;
  readonly hint?: string;
  readonly where?: string;
  readonly schema?: string;
  readonly table?: string;
  readonly column?: string;
}

/** Longest text of a server that goes into an error, in characters. */
const SERVER_TEXT_CHARS_MAX = 2_000;

/**
 * Exact SQLSTATEs, looked up before their classes: what somebody has to set right is UNWRITABLE, what may be over the
 * next time is FAILED. @see Postgres manual, appendix "PostgreSQL Error Codes"
 */
const codeByState: Readonly<Record<string, ErrorCode>> = {
  "28000": "DESTINATION_UNWRITABLE",
  "28P01": "DESTINATION_UNWRITABLE",
  "3D000": "DESTINATION_UNWRITABLE", // the database does not exist
  "42501": "DESTINATION_UNWRITABLE",
  "25006": "DESTINATION_UNWRITABLE", // a standby, or a read-only database
  "53100": "DESTINATION_FULL",
  "53400": "DESTINATION_FULL", // temporary files beyond their limit
  "22023": "DESTINATION_UNWRITABLE", // a parameter, not a value of a row
  "23502": "DESTINATION_VALUE_REFUSED", // NULL
  "23514": "DESTINATION_VALUE_REFUSED", // a check constraint
};

/** "Data Exception": a value that has no place in its column. */
const VALUE_CLASS = "22";

/** Statements that can never work: another attempt would end the same way. */
const lastingClasses = new Set(["23", "42", "0A", "54"]);

const tlsCodes =
  /^(ERR_SSL_|ERR_TLS_|EPROTO|CERT_|SELF_SIGNED|DEPTH_ZERO|UNABLE_TO_)/;

/** Any failure as an ExtractError; one that is so already, and our own faults, come back as they are. */
export function toDestinationError(
  error: unknown,
  details: ErrorDetails & { readonly server: string },
  doing: string,
): unknown {
  if (error instanceof ExtractError) return error;
  if (isServerError(error)) return fromServer(error, details, doing);
  if (!(error instanceof Error)) return error;
  const code = readCode(error);
  const { server } = details;
  const options = { cause: error };
  if (tlsCodes.test(code) || /SSL/.test(error.message)) {
    return new ExtractError(
      "DESTINATION_UNWRITABLE",
      `TLS with ${server} failed: ${error.message}`,
      details,
      options,
    );
  }
  if (code === "ERR_ASSERTION" || error instanceof TypeError) return error;
  return new ExtractError(
    "DESTINATION_FAILED",
    `could not ${doing} (${server}): ${describe(error)}`,
    details,
    options,
  );
}

/** Whether the server said this very SQLSTATE. */
export function hasState(error: unknown, state: string): boolean {
  const cause = error instanceof ExtractError ? error.cause : error;
  return isServerError(cause) && cause.code === state;
}

/** The error with the table that the rows were for, where a value was refused: the server names staging. */
export function nameTable(error: unknown, table: string): unknown {
  if (!(error instanceof ExtractError)) return error;
  const { code, message, details, cause } = error;
  if (code !== "DESTINATION_VALUE_REFUSED") return error;
  return new ExtractError(code, message, { ...details, table }, { cause });
}

/** The column that the server names, for errors that are looked at again. */
export function namedColumn(error: unknown): string | null {
  const cause = error instanceof ExtractError ? error.cause : error;
  if (!isServerError(cause)) return null;
  // CONTEXT: COPY orders, line 3, column price
  const fromContext = /, line \d+, column (.+?)(?::|$)/.exec(cause.where ?? "");
  return cause.column ?? fromContext?.[1] ?? null;
}

/** `schema.table` of a constraint that was violated. */
export function namedTable(error: unknown): string | null {
  const cause = error instanceof ExtractError ? error.cause : error;
  return isServerError(cause) ? `${cause.schema}.${cause.table}` : null;
}

function isServerError(error: unknown): error is Error & ServerError {
  return (
    error instanceof Error &&
    "code" in error &&
    typeof error.code === "string" &&
    /^[0-9A-Z]{5}$/.test(error.code) &&
    "severity" in error
  );
}

function fromServer(
  error: Error & ServerError,
  details: ErrorDetails,
  doing: string,
): ExtractError {
  const { code: state } = error;
  const code = codeByState[state] ?? codeOfClass(state.slice(0, 2));
  const column = namedColumn(error);
  const words = [error.message, error.detail, error.hint]
    .filter((text) => text !== undefined)
    .join("; ");
  return new ExtractError(
    code,
    `could not ${doing}${column === null ? "" : `, column ${column}`}: ${words.slice(0, SERVER_TEXT_CHARS_MAX)}`,
    { ...details, sqlstate: state, ...(column === null ? {} : { column }) },
    { cause: error },
  );
}

function codeOfClass(stateClass: string): ErrorCode {
  if (stateClass === VALUE_CLASS) return "DESTINATION_VALUE_REFUSED";
  return lastingClasses.has(stateClass)
    ? "DESTINATION_UNWRITABLE"
    : "DESTINATION_FAILED";
}

function readCode(error: Error): string {
  return "code" in error && typeof error.code === "string" ? error.code : "";
}

/** Several addresses that were tried are one error without words. */
function describe(error: Error): string {
  if (error instanceof AggregateError)
    return error.errors
      .map((one) => (one instanceof Error ? one.message : String(one)))
      .join(", ");
  return error.message;
}
