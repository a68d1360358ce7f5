/** What connectors and servers say when something fails, as errors that machines can act on. */
import { ExtractError, type ErrorCode } from "../../../../proto/error.ts";
import type { EngineCause } from "./protocol.ts";

/** Longest text of a server that goes into an error, in characters. */
const TEXT_CHARS_MAX = 2_000;

interface Rule {
  readonly code: ErrorCode;
  /** Of the engine's own check, or an SQLSTATE; its class where it has two characters. */
  readonly states?: readonly string[];
  /** MySQL's and MariaDB's numbers. */
  readonly vendorCodes?: readonly number[];
  readonly text?: RegExp;
}

/** The first that fits one of the causes decides. Texts are those of Debezium 3.5, Postgres 13–18, MySQL 8, MariaDB. */
const rules: readonly Rule[] = [
  {
    code: "SOURCE_LOG_BUSY",
    states: ["55006"],
    text: /replication slot .* is active|same server_uuid\/server_id|slave with the same|replica with the same/i,
  },
  {
    code: "SOURCE_POSITION_EXPIRED",
    states: ["slot_gone", "slot_lost", "slot_ahead"],
    text: /no longer\s+available on the server|has already been removed|has been removed from the database write-ahead log|can no longer (?:get changes|access replication slot)|could not find first log file|purged (?:required )?binary logs|replication slot "[^"]*" does not exist|is not in the binlog|not in the master's binlog/i,
  },
  {
    code: "SOURCE_LOG_UNSUITABLE",
    states: ["slot_foreign", "log_unread"],
    vendorCodes: [1227, 1381],
    text: /publication .* does not exist|publication autocreation is disabled|wal_level|must be superuser or replication role|permission denied to (?:start WAL sender|use replication slots)|row binlog_format|binlog_row_image|binlog_format|binlog is (?:not )?(?:enabled|disabled)|binary logging not enabled|not configured to use a/i,
  },
  {
    code: "SOURCE_AUTH_FAILED",
    states: ["28000", "28P01"],
    vendorCodes: [1045, 1044, 1698],
    text: /Access denied for user|password authentication failed/,
  },
  {
    code: "SOURCE_TLS_FAILED",
    text: /javax\.net\.ssl|PKIX path|Self signed certificate|server does not support SSL|SSL error/i,
  },
  { code: "SOURCE_CONNECTION_LOST", states: ["57P01", "57P02", "25P03"] },
  {
    code: "SOURCE_UNREACHABLE",
    states: ["53", "57P03", "3D000", "08"],
    vendorCodes: [1040, 1049],
    text: /java\.net\.(?:ConnectException|UnknownHostException|NoRouteToHostException|SocketTimeoutException)|Communications link failure|Connection refused|Socket fail to connect/,
  },
  {
    code: "SOURCE_CONNECTION_LOST",
    text: /java\.net\.SocketException|java\.io\.EOFException|Database connection failed when reading from copy|Failed to read next byte from position|An I\/O error occurred/,
  },
  { code: "SOURCE_ROW_TOO_LARGE", text: /LineTooLongException/ },
  { code: "SOURCE_PERMISSION_DENIED", states: ["42501"] },
];

function fits(rule: Rule, { class: name, message, ...cause }: EngineCause) {
  const state = cause.sqlState;
  return (
    (state !== undefined &&
      rule.states?.some(
        (one) => one === state || (one.length === 2 && state.startsWith(one)),
      )) ||
    (cause.vendorCode !== undefined &&
      rule.vendorCodes?.includes(cause.vendorCode)) ||
    rule.text?.test(`${name}: ${message}`) === true
  );
}

/**
 * A failure of the engine as an ExtractError. What nothing is known of is ENGINE_FAILED, with the engine's own words.
 * @param wasStreaming a server that was there and is not any more has been lost, not missed
 */
export function toEngineError(
  causes: readonly EngineCause[],
  wasStreaming: boolean,
): ExtractError {
  const rule = rules.find((one) => causes.some((cause) => fits(one, cause)));
  const code =
    rule === undefined
      ? "ENGINE_FAILED"
      : rule.code === "SOURCE_UNREACHABLE" && wasStreaming
        ? "SOURCE_CONNECTION_LOST"
        : rule.code;
  // the innermost says most; the outer ones are the connector's frame around it
  const cause =
    causes.find((one) => rule !== undefined && fits(rule, one)) ??
    causes.at(-1);
  const state = causes.find((one) => one.sqlState !== undefined)?.sqlState;
  return new ExtractError(
    code,
    (cause?.message ?? "the change data engine failed without a word").slice(
      0,
      TEXT_CHARS_MAX,
    ),
    {
      ...(state === undefined ? {} : { sqlState: state }),
      causes: causes
        .map((one) => `${one.class}: ${one.message}`)
        .join(" < ")
        .slice(0, TEXT_CHARS_MAX),
    },
  );
}
