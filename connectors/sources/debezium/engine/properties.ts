/**
 * The connectors' properties. Every default of Debezium that could lose, change or invent something is set, whatever it
 * is today: the manual's defaults have changed between versions.
 */
import { createPrivateKey } from "node:crypto";
import { readFileSync } from "node:fs";
import { resolve } from "node:path";
import { ExtractError } from "../../../../proto/error.ts";

/** A Postgres source's address; what the source's own `PostgresConfig` has is enough. */
export interface PostgresAddress {
  readonly host: string;
  readonly port: number;
  readonly user: string;
  readonly password: string | null;
  readonly database: string;
  readonly sslmode: string;
  readonly sslrootcert: string | null;
  readonly sslcert: string | null;
  readonly sslkey: string | null;
  readonly connectTimeoutMs: number;
}

/** A MySQL or MariaDB source's address; what the source's own `MysqlConfig` has is enough. */
export interface BinlogAddress {
  readonly host: string;
  readonly port: number;
  readonly socket: string | null;
  readonly user: string;
  readonly password: string | null;
  readonly sslMode:
    | "disabled"
    | "preferred"
    | "required"
    | "verify-ca"
    | "verify-identity";
  /** Paths of PEM files. */
  readonly sslCa: string | null;
  readonly sslCert: string | null;
  readonly sslKey: string | null;
  readonly connectTimeoutMs: number;
}

export interface TableName {
  /** A schema of Postgres, a database of MySQL and MariaDB. */
  readonly namespace: string;
  readonly name: string;
}

interface Common {
  readonly tables: readonly TableName[];
  /** Stands for a value that the source has not sent; longer than a guess, so that no row has it by accident. */
  readonly unavailableValue: string;
}

export interface PostgresLog extends Common {
  readonly kind: "postgres";
  readonly address: PostgresAddress;
  /** Both are made before. */
  readonly slot: string;
  readonly publication: string;
  /** A statement that writes a little into the log, so that the slot of a quiet database moves; null: none. */
  readonly heartbeatQuery: string | null;
}

export interface BinlogLog extends Common {
  readonly kind: "mysql" | "mariadb";
  readonly address: BinlogAddress;
  /** Of no other replica of the server. */
  readonly serverId: number;
  /**
   * `recovery`: the tables' definitions are read as they are now and taken for those at the offset, which whoever asks
   * for it has made sure of. `history`: they come from the history that is given.
   */
  readonly definitions: "recovery" | "history";
}

export type LogSettings = PostgresLog | BinlogLog;

/** The first part of each topic, and the name under which a history was written: never changed. */
const TOPIC_PREFIX = "m";

const HEARTBEAT_MS = 500;
/** Where each of them writes into the log. */
const HEARTBEAT_QUERY_MS = 2_000;
/** A pause where the log has nothing; it is the delay of the first change after it. */
const POLL_MS = 20;
/** What the connector has read and we have not yet taken: rows and bytes. */
const QUEUE_ROWS_MAX = 16_384;
const BATCH_ROWS_MAX = 4_096;
const QUEUE_BYTES_MAX = 32 * 1024 * 1024;
/** MySQL and MariaDB tell that they are alive when they have nothing else to tell, 0.8 of this long after. */
const SERVER_HEARTBEAT_MS = 1_000;

/**
 * Everything that a connector is told. It holds the password: it goes over stdin, and into no log.
 * @throws ExtractError USAGE for an address that Java cannot reach
 */
export function debeziumProperties(
  log: LogSettings,
): Readonly<Record<string, string>> {
  return {
    ...commonProperties(log),
    ...(log.kind === "postgres"
      ? postgresProperties(log)
      : binlogProperties(log)),
  };
}

function commonProperties({
  tables,
  unavailableValue,
}: Common): Record<string, string> {
  return {
    name: TOPIC_PREFIX,
    "topic.prefix": TOPIC_PREFIX,
    "tasks.max": "1",
    "table.include.list": tables.map(toTablePattern).join(","),
    // commit boundaries are known by these
    "provide.transaction.metadata": "true",
    "poll.interval.ms": String(POLL_MS),
    "max.batch.size": String(BATCH_ROWS_MAX),
    "max.queue.size": String(QUEUE_ROWS_MAX),
    "max.queue.size.in.bytes": String(QUEUE_BYTES_MAX),
    // whoever started the engine decides what is tried again, and when
    "errors.max.retries": "0",
    "retriable.restart.connector.wait.ms": "1",
    "event.processing.failure.handling.mode": "fail",
    "event.converting.failure.handling.mode": "fail",
    // exact texts and integers, never a float or a guess
    "decimal.handling.mode": "string",
    "time.precision.mode": "microseconds",
    // as base64 text, an unchanged bytea would come as null
    "binary.handling.mode": "bytes",
    "unavailable.value.placeholder": unavailableValue,
    // TRUNCATE comes, too; a delete says all that a tombstone would
    "skipped.operations": "none",
    "tombstones.on.delete": "false",
    "extended.headers.enabled": "false",
    "include.schema.changes": "true",
    "field.name.adjustment.mode": "none",
    "schema.name.adjustment.mode": "none",
  };
}

function postgresProperties(log: PostgresLog): Record<string, string> {
  const { address } = log;
  if (address.host.startsWith("/")) {
    throw new ExtractError(
      "USAGE",
      "change data capture reaches a Postgres server over TCP, not over a Unix socket; name a host in the source URL",
      { socket: address.host },
    );
  }
  return {
    "connector.class": "io.debezium.connector.postgresql.PostgresConnector",
    "database.hostname": address.host,
    "database.port": String(address.port),
    "database.user": address.user,
    "database.password": address.password ?? "",
    "database.dbname": address.database,
    "database.sslmode": address.sslmode,
    "database.tcpKeepAlive": "true",
    ...postgresCertificates(address),
    "driver.connectTimeout": toSeconds(address.connectTimeoutMs),
    "driver.loginTimeout": toSeconds(address.connectTimeoutMs),
    "driver.ApplicationName": "millrace",
    "plugin.name": "pgoutput",
    "slot.name": log.slot,
    "slot.drop.on.stop": "false",
    "slot.max.retries": "0",
    "publication.name": log.publication,
    "publication.autocreate.mode": "disabled",
    "snapshot.mode": "no_data",
    // the slot moves by acknowledgements alone; that it is not ahead is checked before the connector starts
    "lsn.flush.mode": "connector",
    "offset.mismatch.strategy": "no_validation",
    "transaction.metadata.factory": "millrace.CommitLsnTask$Factory",
    "interval.handling.mode": "string",
    "hstore.handling.mode": "json",
    "include.unknown.datatypes": "true",
    // the server's own text where the connector's conversions lose something
    converters: "rawText",
    "rawText.type": "millrace.RawText",
    "rawText.unchanged": log.unavailableValue,
    ...(log.heartbeatQuery === null
      ? { "heartbeat.interval.ms": String(HEARTBEAT_MS) }
      : {
          "heartbeat.interval.ms": String(HEARTBEAT_QUERY_MS),
          "heartbeat.action.query": log.heartbeatQuery,
        }),
  };
}

function postgresCertificates({
  sslrootcert,
  sslcert,
  sslkey,
}: PostgresAddress): Record<string, string> {
  return {
    ...(sslrootcert === "system"
      ? { "database.sslfactory": "org.postgresql.ssl.DefaultJavaSSLFactory" }
      : sslrootcert === null
        ? {}
        : { "database.sslrootcert": sslrootcert }),
    ...(sslcert === null ? {} : { "database.sslcert": sslcert }),
    ...(sslkey === null ? {} : { "database.sslkey": sslkey }),
  };
}

function binlogProperties(log: BinlogLog): Record<string, string> {
  const { address } = log;
  if (address.socket !== null) {
    throw new ExtractError(
      "USAGE",
      "change data capture reaches a MySQL or MariaDB server over TCP, not over a Unix socket; name a host in the source URL",
      { socket: address.socket },
    );
  }
  const isMysql = log.kind === "mysql";
  const databases = [...new Set(log.tables.map(({ namespace }) => namespace))];
  return {
    "connector.class": isMysql
      ? "io.debezium.connector.mysql.MySqlConnector"
      : "io.debezium.connector.mariadb.MariaDbConnector",
    "database.hostname": address.host,
    "database.port": String(address.port),
    "database.user": address.user,
    "database.password": address.password ?? "",
    "database.ssl.mode": isMysql
      ? address.sslMode.replace("-", "_")
      : mariadbSslMode(address),
    ...certificates(address),
    "connect.timeout.ms": String(address.connectTimeoutMs),
    // a connection that comes back by itself could be one to another server
    "connect.keep.alive": "false",
    "heartbeat.interval.ms": String(HEARTBEAT_MS),
    "connect.keep.alive.interval.ms": String(SERVER_HEARTBEAT_MS),
    "database.server.id": String(log.serverId),
    "database.include.list": databases.map(toPattern).join(","),
    "snapshot.mode": log.definitions === "recovery" ? "recovery" : "no_data",
    "snapshot.locking.mode": "none",
    "schema.history.internal": "millrace.MemoryHistory",
    "schema.history.internal.store.only.captured.tables.ddl": "true",
    "schema.history.internal.store.only.captured.databases.ddl": "true",
    "schema.history.internal.skip.unparseable.ddl": "false",
    ...foreignDdl(log.tables),
    "inconsistent.schema.handling.mode": "fail",
    "bigint.unsigned.handling.mode": "precise",
    "enable.time.adjuster": "false",
    "include.query": "false",
  };
}

/** The engine makes key stores of them: the key goes over stdin and its memory, never as it is into a file. */
function certificates({
  sslMode,
  sslCa,
  sslCert,
  sslKey,
}: BinlogAddress): Record<string, string> {
  const verifies = sslMode === "verify-ca" || sslMode === "verify-identity";
  return {
    ...(verifies && sslCa !== null
      ? { "millrace.tls.ca": resolve(sslCa) }
      : {}),
    ...(sslMode !== "disabled" && sslCert !== null && sslKey !== null
      ? {
          "millrace.tls.cert": resolve(sslCert),
          "millrace.tls.key": readKey(sslKey),
        }
      : {}),
  };
}

/** Of any kind that Node.js reads, as PKCS #8 in base64. @throws ExtractError SOURCE_TLS_FAILED */
function readKey(path: string): string {
  try {
    const key = createPrivateKey(readFileSync(path));
    return key.export({ type: "pkcs8", format: "der" }).toString("base64");
  } catch (cause) {
    throw new ExtractError(
      "SOURCE_TLS_FAILED",
      `${path} holds no private key that can be read: ${String(cause)}`,
      { path },
      { cause },
    );
  }
}

/**
 * Definitions of tables that are not followed need not be understood, and what the connector's parser does not know of
 * them (MariaDB's `inet6`) is no reason to end. A statement on a table that is followed has its name.
 */
function foreignDdl(tables: readonly TableName[]): Record<string, string> {
  // inside of a statement these are written in more than one way
  if (tables.some(({ name }) => /[`"\\]/.test(name))) return {};
  const part = "[\\w$\\x{80}-\\x{ffff}]";
  const names = [...new Set(tables.map(({ name }) => toPattern(name)))];
  const followed = `(?<!${part})(?:${names.join("|")})(?!${part})`;
  const words = "(?:OR\\s+REPLACE|TEMPORARY|ONLINE|OFFLINE|IGNORE)\\s+";
  const statement = `\\s*(?:SET\\s+STATEMENT\\b.*?\\bFOR\\s+)?(?:CREATE|ALTER)\\s+(?:${words})*TABLE\\b.*`;
  return { "millrace.ddl.foreign": `(?u)(?!.*${followed})${statement}` };
}

/** The MariaDB connector has no mode that tries both; on this machine the bytes pass no network. */
function mariadbSslMode({ sslMode, host }: BinlogAddress): string {
  switch (sslMode) {
    case "disabled":
      return "disable";
    case "preferred":
      return isLoopback(host) ? "disable" : "trust";
    case "required":
      return "trust";
    case "verify-ca":
      return "verify-ca";
    case "verify-identity":
      return "verify-full";
  }
}

function isLoopback(host: string): boolean {
  return host === "localhost" || host === "::1" || host.startsWith("127.");
}

function toSeconds(ms: number): string {
  return String(Math.max(1, Math.ceil(ms / 1000)));
}

function toTablePattern({ namespace, name }: TableName): string {
  return `${toPattern(namespace)}\\.${toPattern(name)}`;
}

/** A Java pattern that matches this name alone, without a comma, which would end it. */
function toPattern(name: string): string {
  return name.replace(
    /[^A-Za-z0-9_]/gu,
    (character) => `\\x{${character.codePointAt(0)?.toString(16)}}`,
  );
}
