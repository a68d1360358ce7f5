/**
 * The errors of the outside world: one table that is also the manual. Machines act on the disposition, the command
 * line on the exit code, people on the help. Our own faults are assertions and have no code here.
 */

/**
 * - `retryPartition`: the partition is read again from its last checkpoint, with back-off.
 * - `failStream`: this stream ends here, the others go on, the run ends as partly failed.
 * - `retryAttempt`: what is in the way of this stream passes, but not while our snapshot is held: the next attempt takes
 *   a new one. As `failStream`, but where a log is followed, which is not to go on for ever without the stream, this
 *   attempt ends.
 * - `failRun`: the run stops; what is committed stays and `resume` goes on from it.
 */
export type Disposition =
  | "retryPartition"
  | "failStream"
  | "retryAttempt"
  | "failRun";

/** 1 failed, 2 wrong use or configuration, 3 worth retrying, 4 partly failed. */
export type FailureExitCode = 1 | 2 | 3 | 4;

interface ErrorRow {
  readonly disposition: Disposition;
  readonly exitCode: FailureExitCode;
  readonly help: string;
}

export const errorCodes = {
  // prettier-ignore
  USAGE: { disposition: "failRun", exitCode: 2, help: "See `millrace --help`." },
  // prettier-ignore
  CONFIG_INVALID: { disposition: "failRun", exitCode: 2, help: "Every fault is listed with its path; mend them and run again." },
  SOURCE_UNREACHABLE: {
    disposition: "failRun",
    exitCode: 3,
    help: "Check host, port and that the server is up and lets this machine in (pg_hba.conf, firewall).",
  },
  SOURCE_DATABASE_NOT_FOUND: {
    disposition: "failRun",
    exitCode: 2,
    help: "Name a database that the server has, at the end of the URL: postgres://user@host/database.",
  },
  SOURCE_AUTH_FAILED: {
    disposition: "failRun",
    exitCode: 2,
    help: "Check user and password (PGPASSWORD, MYSQL_PWD or MSSQL_PASSWORD is read when the URL has none).",
  },
  SOURCE_TLS_FAILED: {
    disposition: "failRun",
    exitCode: 2,
    help: "Check the URL's TLS parameters (sslmode and sslrootcert; MySQL: ssl-mode and ssl-ca; SQL Server: encrypt and ca) against what the server offers.",
  },
  SOURCE_CONNECTION_LOST: {
    disposition: "retryPartition",
    exitCode: 3,
    help: "The partition is read again from its last checkpoint; `millrace resume` goes on when the server is back.",
  },
  SOURCE_PERMISSION_DENIED: {
    disposition: "failStream",
    exitCode: 4,
    help: "GRANT SELECT on the table to the user of the URL, or leave it out with --exclude.",
  },
  SOURCE_LOCKED: {
    disposition: "retryAttempt",
    exitCode: 3,
    help: "Another session holds the table exclusively or waits to (TRUNCATE, ALTER, VACUUM FULL): pg_stat_activity shows it. Run again when it is done.",
  },
  SOURCE_TABLE_NOT_FOUND: {
    disposition: "failRun",
    exitCode: 2,
    help: "`millrace discover <source-url>` lists the tables that can be read.",
  },
  SOURCE_COLUMN_NOT_FOUND: {
    disposition: "failRun",
    exitCode: 2,
    help: "`millrace discover <source-url>` lists the columns of each table.",
  },
  SOURCE_SCHEMA_CHANGED: {
    disposition: "failStream",
    exitCode: 4,
    help: "The table changed after it was discovered; run the sync again.",
  },
  SCHEMA_CHANGE_REFUSED: {
    disposition: "failStream",
    exitCode: 4,
    help: "Agree to the change with --accept-schema-changes, or let `schemaChanges` of the sync say what may change.",
  },
  STREAM_CANCELLED: {
    disposition: "failStream",
    exitCode: 4,
    help: "An operator has ended this stream of the run; the next run of the sync copies it.",
  },
  SOURCE_QUERY_FAILED: {
    disposition: "failStream",
    exitCode: 4,
    help: "The server refused the query; its own words are in the message.",
  },
  SOURCE_VALUE_UNREPRESENTABLE: {
    disposition: "failStream",
    exitCode: 4,
    help: "Choose --unrepresentable null to store NULL and record the change, or leave the column out.",
  },
  SOURCE_ROW_TOO_LARGE: {
    disposition: "failStream",
    exitCode: 4,
    help: "Raise rowBytesMax or leave the large column out with --columns.",
  },
  SOURCE_EVENT_INVALID: {
    disposition: "failStream",
    exitCode: 4,
    help: "An event of the log could not be read; its place and the reason are in the details. Let it go into the quarantine, or copy the table anew.",
  },
  SOURCE_TYPE_NOT_IN_LOG: {
    disposition: "failRun",
    exitCode: 2,
    help: "Leave these columns out with --columns, or copy the table without its log: a change of theirs would give another value than the table holds.",
  },
  SOURCE_LOG_UNUSABLE: {
    disposition: "failRun",
    exitCode: 2,
    help: "Changes can be followed where the table has a key that its log names: see REPLICA IDENTITY (Postgres) or binlog_row_image (MySQL).",
  },
  SOURCE_SNAPSHOT_LOST: {
    disposition: "failRun",
    exitCode: 3,
    help: "`millrace resume` goes on under a new snapshot; key ranges that are done stay done.",
  },
  SOURCE_POSITION_EXPIRED: {
    disposition: "failRun",
    exitCode: 1,
    help: "The source's log no longer reaches from where this sync stands to now; nothing was passed over. `--resync` begins a new log and copies every table again.",
  },
  QUARANTINE_UNWRITABLE: {
    disposition: "failRun",
    exitCode: 1,
    help: "Events that cannot be decoded are set aside in a file beside the ledger; look at its disk and its rights.",
  },
  LOG_TURNED: {
    disposition: "failRun",
    exitCode: 3,
    help: "A table was changed while its log was followed; this run ends before that, and the next one goes on with the table as it is.",
  },
  RUN_OUTDATED: {
    disposition: "failRun",
    exitCode: 3,
    help: "A table was changed while nobody was copying it: this run is not gone on with, and the next one copies the table as it is now.",
  },
  LOG_GIVEN_UP: {
    disposition: "failRun",
    exitCode: 3,
    help: "The source would have kept more of its log than the budget allows, so it was told to forget it: the next run begins a new log and copies every table again. A larger --log-budget gives a slow copy more time.",
  },
  SOURCE_LOG_UNSUITABLE: {
    disposition: "failRun",
    exitCode: 2,
    help: "The source cannot give its log as it is set up; the message says what to change, and `millrace doctor <source-url>` looks at all of it.",
  },
  SOURCE_LOG_BUSY: {
    disposition: "failRun",
    exitCode: 3,
    help: "Somebody else reads with the same slot or server id: an earlier attempt that has not ended yet, or another program.",
  },
  ENGINE_UNAVAILABLE: {
    disposition: "failRun",
    exitCode: 2,
    help: "Change data capture runs Debezium on Java 17 or later and is built by Maven once; `millrace doctor` says what is missing and how to get it.",
  },
  ENGINE_FAILED: {
    disposition: "failRun",
    exitCode: 3,
    help: "The change data engine ended; its own words are in the message. `millrace resume` goes on from the last checkpoint.",
  },
  SOURCE_PROTOCOL_VIOLATION: {
    disposition: "retryPartition",
    exitCode: 1,
    help: "The server sent bytes that its protocol does not allow; check what stands between it and Millrace.",
  },
  CURSOR_UNUSABLE: {
    disposition: "failRun",
    exitCode: 2,
    help: "A cursor column has a total order: integer, numeric, date, timestamp or text; the message says what stands against this one.",
  },
  CONNECTOR_NOT_STARTED: {
    disposition: "failRun",
    exitCode: 2,
    help: "The command, or docker or podman, could not be run: check that it is there and may be run by this user.",
  },
  CONNECTOR_START_TIMEOUT: {
    disposition: "failRun",
    exitCode: 3,
    help: "The connector ran and said nothing, or did not open its sockets, in time; its own log is in ours. `startDeadline` allows it longer.",
  },
  CONNECTOR_SILENT: {
    disposition: "failRun",
    exitCode: 3,
    help: "The connector has sent nothing for too long; `silenceDeadline` allows it longer. `millrace resume` goes on from its last state.",
  },
  CONNECTOR_MESSAGE_INVALID: {
    disposition: "failRun",
    exitCode: 1,
    help: "The connector does not keep to the Airbyte protocol; the message says where. Nothing behind its last state was kept.",
  },
  CONNECTOR_CONFIG_ERROR: {
    disposition: "failRun",
    exitCode: 2,
    help: "The connector says that its configuration is wrong; its own words are in the message.",
  },
  CONNECTOR_TRANSIENT_ERROR: {
    disposition: "failRun",
    exitCode: 3,
    help: "The connector says that trying again may help; `millrace resume` goes on from its last state.",
  },
  CONNECTOR_FAILED: {
    disposition: "failRun",
    exitCode: 1,
    help: "The connector has failed; its own words are in the message, and its log is in ours. `millrace resume` goes on from its last state.",
  },
  CONNECTOR_STREAM_INCOMPLETE: {
    disposition: "failStream",
    exitCode: 4,
    help: "The connector has given this stream up; its own words are in the message. The other streams are not touched by it.",
  },
  CONNECTOR_COUNT_MISMATCH: {
    disposition: "failRun",
    exitCode: 1,
    help: "A state counts other records than have arrived: some were lost or doubled on the way. Nothing behind the state before it was kept.",
  },
  CONNECTOR_STATE_MISSING: {
    disposition: "failRun",
    exitCode: 3,
    help: "A state was sent and did not come back in time, so that what it covers is not known to be durable; `millrace resume` goes on from the last one that did.",
  },
  CHANNEL_BROKEN: {
    disposition: "retryPartition",
    exitCode: 3,
    help: "The socket between source and destination broke; `millrace resume` goes on from the last checkpoint.",
  },
  CHANNEL_CORRUPT: {
    disposition: "retryPartition",
    exitCode: 1,
    help: "A count or checksum differed; the partition is read again, three times at most.",
  },
  CHANNEL_START_TIMEOUT: {
    disposition: "failRun",
    exitCode: 3,
    help: "Not all sockets connected in time; look at the log of the process that is named.",
  },
  PEER_STALLED: {
    disposition: "failRun",
    exitCode: 3,
    help: "The named process gave no sign of life within the probe deadline; `millrace resume` goes on.",
  },
  PROCESS_DIED: {
    disposition: "failRun",
    exitCode: 3,
    help: "The named process ended early; `millrace resume` goes on from the last checkpoint.",
  },
  CHECKPOINT_MISSING: {
    disposition: "failRun",
    exitCode: 1,
    help: "A checkpoint was announced and neither became durable nor void in time; `millrace resume` goes on.",
  },
  CHECKPOINT_MISMATCH: {
    disposition: "failRun",
    exitCode: 1,
    help: "Source and destination disagree on what was moved; nothing of it was committed.",
  },
  DESTINATION_UNWRITABLE: {
    disposition: "failRun",
    exitCode: 2,
    help: "Check that the place exists or can be made, and that this user may write there.",
  },
  DESTINATION_VALUE_REFUSED: {
    disposition: "failRun",
    exitCode: 1,
    help: "A value does not fit its column, which the message names: mend it in the source, widen the column, or leave it out with --columns or a mapper. Nothing of its checkpoint was written.",
  },
  DESTINATION_FULL: {
    disposition: "failRun",
    exitCode: 3,
    help: "Free space on the destination, then `millrace resume` goes on from the last checkpoint.",
  },
  DESTINATION_FAILED: {
    disposition: "failRun",
    exitCode: 3,
    help: "The destination's own words are in the message; `millrace resume` goes on.",
  },
  DESTINATION_FOREIGN: {
    disposition: "failRun",
    exitCode: 2,
    help: "Choose another folder, or name the ledger that wrote this one with --ledger. A source under a new address is another source, unless its sync has a name in millrace.yaml.",
  },
  LEDGER_CORRUPT: {
    disposition: "failRun",
    exitCode: 1,
    help: "Restore the ledger from a backup, or choose an empty destination.",
  },
  LEDGER_FENCED: {
    disposition: "failRun",
    exitCode: 1,
    help: "A newer attempt of this run has taken over; this one has stopped without harm.",
  },
  IDEMPOTENCY_CONFLICT: {
    disposition: "failRun",
    exitCode: 2,
    help: "An Idempotency-Key belongs to one request; draw another for this one.",
  },
  LEDGER_FULL: {
    disposition: "failRun",
    exitCode: 3,
    help: "So many runs wait already that no more are taken; see `millrace runs --daemon` and cancel what is not needed.",
  },
  LEDGER_DISK_FULL: {
    disposition: "failRun",
    exitCode: 3,
    help: "Free space where the ledger lies (its folder is in the message), not at the destination. Nothing that was recorded is lost: a daemon goes on by itself, and after a command `millrace resume` does.",
  },
  LEDGER_UNWRITABLE: {
    disposition: "failRun",
    exitCode: 1,
    help: "The ledger's file system refuses what is written to it: check that it is mounted for writing, that this user may write there, and what the system's log says of the disk; then start again.",
  },
  LEDGER_UNREACHABLE: {
    disposition: "failRun",
    exitCode: 3,
    help: "The ledger's server did not answer; what was durable stays, and `millrace resume` goes on when it is back.",
  },
  RUN_MEMORY_EXCEEDED: {
    disposition: "failRun",
    exitCode: 1,
    help: "Raise `limits.memory` of the sync, or let less be under way at once: fewer `channels`, `readers: 1`, or leave large columns out. `millrace resume` goes on from the last checkpoint.",
  },
  RUN_LOCKED: {
    disposition: "failRun",
    exitCode: 1,
    help: "Another run of this ledger is alive; wait for it or stop it. A daemon that has the ledger runs what `millrace trigger` asks for.",
  },
  RUN_NOT_FOUND: {
    disposition: "failRun",
    exitCode: 2,
    help: "`millrace runs <destination>` lists the runs it knows.",
  },
  RUN_STATE: {
    disposition: "failRun",
    exitCode: 2,
    help: "The order makes no sense in the state that the message names.",
  },
  TRIGGER_INVALID: {
    disposition: "failRun",
    exitCode: 2,
    help: "The message says what is wrong with the order; mend it and send it again.",
  },
  SYNC_NOT_FOUND: {
    disposition: "failRun",
    exitCode: 2,
    help: "`GET /api/v1/syncs` lists the syncs of the daemon's configuration; names are exact.",
  },
  API_UNAVAILABLE: {
    disposition: "failRun",
    exitCode: 2,
    help: "Set `daemon.listen` to a free address; beyond loopback `daemon.tokens` has to name who may speak to it.",
  },
  DAEMON_UNREACHABLE: {
    disposition: "failRun",
    exitCode: 3,
    help: "Start one with `millrace daemon -f millrace.yaml`, or name another with --daemon or MILLRACE_DAEMON.",
  },
  DAEMON_REFUSED: {
    disposition: "failRun",
    exitCode: 2,
    help: "The daemon's own words are in the message; --token or MILLRACE_TOKEN gives another token.",
  },
  KAFKA_UNREACHABLE: {
    disposition: "failRun",
    exitCode: 3,
    help: "Check the brokers' addresses, TLS and that they are up; a daemon goes on without its trigger and tries again by itself.",
  },
  KAFKA_REFUSED: {
    disposition: "failRun",
    exitCode: 2,
    help: "Check `sasl` and `ssl`, and that the user may read the topics; for a trigger also the group, and write the result and dead-letter topics.",
  },
  KAFKA_TOPIC_NOT_FOUND: {
    disposition: "failRun",
    exitCode: 2,
    help: "Make the topic; Millrace makes none, so that a misspelt one does not stay unseen.",
  },
  KAFKA_GROUP_FOREIGN: {
    disposition: "failRun",
    exitCode: 2,
    help: "Daemons of one group have to share a ledger (`ledger: postgres://…`), else a message could be run twice; give this one a `group` of its own. A member that has died is forgotten after 30 s.",
  },
  STATE_INCOMPATIBLE: {
    disposition: "failRun",
    exitCode: 2,
    help: "The table's shape differs from the unfinished run's; begin anew with --restart.",
  },
  CONTROL_MALFORMED: {
    disposition: "failRun",
    exitCode: 1,
    help: "A control message could not be read; all processes must be of one version.",
  },
  INTERNAL: {
    disposition: "failRun",
    exitCode: 1,
    help: "This is a fault of Millrace; please report it with the log.",
  },
} as const satisfies Record<string, ErrorRow>;

export type ErrorCode = keyof typeof errorCodes;

/** Whether the other streams of the attempt go on without the one that has met it. */
export function endsStreamOnly(code: ErrorCode, isLogged: boolean): boolean {
  const { disposition } = errorCodes[code];
  return (
    disposition === "failStream" ||
    (disposition === "retryAttempt" && !isLogged)
  );
}

/** Where it happened: stream, partition, column, path, position, host … Values are short; never a secret. */
export type ErrorDetails = Readonly<
  Record<string, string | number | boolean | null>
>;

export class ExtractError extends Error {
  override readonly name = "ExtractError";
  readonly code: ErrorCode;
  readonly details: ErrorDetails;

  constructor(
    code: ErrorCode,
    message: string,
    details: ErrorDetails = {},
    options?: ErrorOptions,
  ) {
    super(message, options);
    this.code = code;
    this.details = details;
  }
}

/** An error as it crosses a socket or a pipe. */
export interface WireError {
  readonly code: ErrorCode;
  readonly message: string;
  readonly details: ErrorDetails;
}

/** For a failure that came without its error: a fault of ours, and said so rather than passed over. */
export const unexplained: WireError = {
  code: "INTERNAL",
  message: "a failure without a reason",
  details: {},
};

/** An ExtractError keeps its code; anything else is INTERNAL, with its stack in the details. */
export function toWireError(error: unknown): WireError {
  if (error instanceof ExtractError) {
    return { code: error.code, message: error.message, details: error.details };
  }
  const text = error instanceof Error ? error.message : String(error);
  const stack = error instanceof Error ? (error.stack ?? "") : "";
  return { code: "INTERNAL", message: text, details: { stack } };
}

export function fromWireError(wire: WireError): ExtractError {
  const code = Object.hasOwn(errorCodes, wire.code) ? wire.code : "INTERNAL";
  return new ExtractError(code, wire.message, wire.details);
}
