/**
 * One connection to a Postgres server: login and ordinary queries by `pg`, and a wire that a bulk read takes over.
 */
import { strict as assert } from "node:assert";
import { readFile } from "node:fs/promises";
import { connect as connectSocket, type Socket } from "node:net";
import type { ConnectionOptions } from "node:tls";
import pg from "pg";
import { ExtractError } from "../../../proto/error.ts";
import type { SnapshotRef } from "../source.ts";
import { toSourceError } from "./errors.ts";
import { quoteLiteral } from "./types.ts";
import { describeServer, type PostgresConfig } from "./url.ts";
import { PlainWire, StreamWire, type Wire } from "../wire/wire.ts";

export type { PostgresConfig } from "./url.ts";

/** First probe of an idle connection, in ms. */
const KEEPALIVE_DELAY_MS = 30_000;
/** How long a polite goodbye or a cancel request may take before the socket is closed, in ms. */
const CLOSE_MS_MAX = 2_000;
const CANCEL_MS_MAX = 5_000;

/** What of `pg`'s client is used beyond its typings. */
interface ClientInternals {
  readonly connection: NodeJS.EventEmitter & { readonly stream: Socket };
  readonly processID: number | null;
  readonly secretKey: number | null;
}

/** Dates and times as the text that the server sends: a JavaScript Date would lose microseconds. */
const textOids = new Set([
  1082, 1083, 1114, 1115, 1182, 1183, 1184, 1185, 1186, 1187, 1266, 1270,
]);

const types: pg.CustomTypesConfig = {
  getTypeParser: (oid: number, format?: string) =>
    textOids.has(oid)
      ? (value: string) => value
      : pg.types.getTypeParser(oid, format as "text"),
};

/**
 * For a lock, in milliseconds. Without an end, a TRUNCATE or ALTER that waits for the keeper's lock and the readers that
 * queue behind it would wait for each other for ever, and no server sees that as a deadlock. The next attempt has another
 * keeper, so that whoever waited had a turn.
 */
const LOCK_MS_MAX = 15_000;

/**
 * The session that every reader relies on: values print in one exact form, nothing but a lock times out while it waits,
 * scans start at the first page, and one backend does the work (rows come in order and splits are the parallelism).
 */
const sessionSettings: readonly string[] = [
  "SET client_encoding = 'UTF8'",
  "SET DateStyle = 'ISO, YMD'",
  "SET IntervalStyle = 'iso_8601'",
  "SET TimeZone = 'UTC'",
  "SET bytea_output = 'hex'",
  "SET extra_float_digits = 3",
  "SET statement_timeout = 0",
  `SET lock_timeout = ${LOCK_MS_MAX}`,
  "SET idle_in_transaction_session_timeout = 0",
  "SET max_parallel_workers_per_gather = 0",
  "SET synchronize_seqscans = off",
  "SET jit = off",
];

const settingsSince: readonly (readonly [version: number, sql: string])[] = [
  [140_000, "SET idle_session_timeout = 0"],
  [170_000, "SET transaction_timeout = 0"],
];

/** jit came with this version. */
const JIT_SINCE = 110_000;

interface SessionRow {
  readonly version: string;
  readonly pid: number;
  readonly encoding: string;
}

export class PostgresConnection {
  /** server_version_num, e.g. 150018. */
  readonly serverVersion: number;
  readonly backendPid: number;
  /** Whether text may hold bytes that are not UTF-8: a SQL_ASCII database converts nothing. */
  readonly textIsUnchecked: boolean;
  readonly config: PostgresConfig;
  readonly wire: Wire;
  readonly #client: pg.Client;
  #isLost: ExtractError | null = null;
  #isReading = false;
  #isClosing = false;
  #inTransaction = false;

  private constructor(
    config: PostgresConfig,
    client: pg.Client,
    wire: Wire,
    session: SessionRow,
  ) {
    this.config = config;
    this.wire = wire;
    this.#client = client;
    this.serverVersion = Number(session.version);
    this.backendPid = session.pid;
    this.textIsUnchecked = session.encoding === "SQL_ASCII";
    client.on("end", () => {
      this.#isLost ??= this.#toError(new Error("Connection terminated"));
    });
  }

  /**
   * Logs in and sets the session up, in one round trip behind the login.
   * `prefer` tries TLS first, but on this machine (loopback, Unix socket) plain first: those bytes pass no network.
   * @throws ExtractError SOURCE_UNREACHABLE, SOURCE_AUTH_FAILED, SOURCE_TLS_FAILED
   */
  static async connect(config: PostgresConfig): Promise<PostgresConnection> {
    if (config.host.startsWith("/"))
      return PostgresConnection.#open(config, false);
    switch (config.sslmode) {
      case "disable":
        return PostgresConnection.#open(config, false);
      case "prefer": {
        const tlsFirst = !isLoopback(config.host);
        try {
          return await PostgresConnection.#open(config, tlsFirst);
        } catch (error) {
          if (!mayDifferByTls(error)) throw error;
          // The first error is the one to tell: it came from the way that was preferred.
          return await PostgresConnection.#open(config, !tlsFirst).catch(() => {
            throw error;
          });
        }
      }
      default:
        return PostgresConnection.#open(config, true);
    }
  }

  static async #open(
    config: PostgresConfig,
    tls: boolean,
  ): Promise<PostgresConnection> {
    const details = { server: describeServer(config) };
    const plain = tls ? null : new PlainWire();
    let client: pg.Client | null = null;
    let serverVersionText = "";
    try {
      client = new pg.Client({
        host: config.host,
        port: config.port,
        user: config.user,
        ...(config.password === null ? {} : { password: config.password }),
        database: config.database,
        application_name: config.applicationName,
        connectionTimeoutMillis: config.connectTimeoutMs,
        keepAlive: true,
        keepAliveInitialDelayMillis: KEEPALIVE_DELAY_MS,
        ssl: tls ? await tlsOptions(config) : false,
        types,
        ...(config.replication ? { replication: "database" } : {}),
        ...(plain === null ? {} : { stream: () => plain.socket }),
      });
      // Without a listener, the driver's error event would end the process; queries and reads report by themselves.
      client.on("error", () => {});
      const internals = client as unknown as ClientInternals;
      internals.connection.on(
        "parameterStatus",
        (status: { parameterName: string; parameterValue: string }) => {
          if (status.parameterName === "server_version") {
            serverVersionText = status.parameterValue;
          }
        },
      );
      await client.connect();
      const session = await setUpSession(client, serverVersionText);
      const wire = plain ?? new StreamWire(internals.connection.stream);
      return new PostgresConnection(config, client, wire, session);
    } catch (error) {
      (
        client as unknown as ClientInternals | null
      )?.connection.stream.destroy();
      plain?.destroy();
      throw toSourceError(error, details);
    }
  }

  /** Whether queries and reads can go on; false from the moment that the connection was lost or closed. */
  get usable(): boolean {
    return this.#isLost === null && !this.#isClosing && !this.wire.closed;
  }

  /**
   * Runs one statement, or with no parameters several, whose last rows are returned. Parameters travel as text.
   * @throws ExtractError by the server's SQLSTATE (`errors.ts`), SOURCE_CONNECTION_LOST
   */
  async query<Row>(
    sql: string,
    params: readonly (string | number | boolean | null)[] = [],
  ): Promise<Row[]> {
    assert(!this.#isReading, "a query while the connection is reading");
    if (this.#isLost !== null) throw this.#isLost;
    try {
      const result: pg.QueryResult | pg.QueryResult[] = await (params.length ===
      0
        ? this.#client.query(sql)
        : this.#client.query(sql, [...params]));
      const last = Array.isArray(result) ? result.at(-1) : result;
      return (last?.rows ?? []) as Row[];
    } catch (error) {
      throw this.#toError(error);
    }
  }

  /**
   * Begins a read-only transaction in which every query sees one snapshot: the given one, or its own. A transaction
   * that is still open is rolled back first.
   * @throws ExtractError SOURCE_SNAPSHOT_LOST where the server does not have the snapshot any more, or has another
   */
  async beginSnapshot(snapshot: SnapshotRef | null): Promise<void> {
    const begin = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY";
    const statements = this.#inTransaction ? ["ROLLBACK", begin] : [begin];
    this.#inTransaction = true;
    if (snapshot === null) {
      await this.query(statements.join("; "));
      return;
    }
    const visible =
      this.serverVersion >= 130_000
        ? "pg_current_snapshot()"
        : "txid_current_snapshot()";
    statements.push(
      `SET TRANSACTION SNAPSHOT ${quoteLiteral(snapshot.id)}`,
      `SELECT ${visible}::text AS visible`,
    );
    const rows = await this.query<{ visible: string }>(statements.join("; "));
    const seen = rows[0]?.visible ?? "";
    if (seen !== snapshot.visible) {
      throw new ExtractError(
        "SOURCE_SNAPSHOT_LOST",
        `snapshot ${snapshot.id} sees ${seen}, not ${snapshot.visible}: the server has given its name to another`,
        this.details,
      );
    }
  }

  /** As `beginSnapshot`, in a snapshot of which only the name is known yet. */
  async importSnapshot(id: string): Promise<void> {
    assert(!this.#inTransaction, "a snapshot inside of another");
    this.#inTransaction = true;
    await this.query(
      `BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY; SET TRANSACTION SNAPSHOT ${quoteLiteral(id)}`,
    );
  }

  /** Ends the transaction of `beginSnapshot`, if one is open. */
  async endSnapshot(): Promise<void> {
    if (!this.#inTransaction) return;
    this.#inTransaction = false;
    await this.query("ROLLBACK");
  }

  /**
   * Asks the server, on a connection of its own, to end the statement that runs. Returns whether the request is over:
   * the server has acted on it, or never got it; while it is not, it may still hit a later statement. Whether a
   * statement was ended only its own answer tells. Never rejects.
   * @see Postgres manual, "Canceling Requests in Progress"; servers take it without TLS
   */
  async cancelQuery(): Promise<boolean> {
    const { processID, secretKey } = this.#client as unknown as ClientInternals;
    if (processID === null || secretKey === null) return true;
    const request = Buffer.alloc(16);
    request.writeInt32BE(16, 0);
    request.writeInt32BE(80_877_102, 4);
    request.writeInt32BE(processID, 8);
    request.writeInt32BE(secretKey, 12);
    const { host, port } = this.config;
    return new Promise((resolve) => {
      let isOver = true;
      const socket = host.startsWith("/")
        ? connectSocket(`${host}/.s.PGSQL.${port}`)
        : connectSocket(port, host);
      const deadline = setTimeout(() => {
        isOver = socket.connecting;
        socket.destroy();
      }, CANCEL_MS_MAX);
      socket.on("error", () => {});
      socket.on("close", () => {
        // the server closes once it has signalled the backend
        clearTimeout(deadline);
        resolve(isOver);
      });
      socket.on("connect", () => socket.end(request));
      socket.resume();
    });
  }

  /** Marks the connection as busy with a bulk read, during which `query` is a fault. */
  beginRead(): void {
    assert(!this.#isReading, "two reads on one connection");
    if (this.#isLost !== null) throw this.#isLost;
    this.#isReading = true;
  }

  endRead(): void {
    assert(this.#isReading);
    this.#isReading = false;
  }

  /** Says goodbye to the server; after `CLOSE_MS_MAX` without an answer the socket is closed all the same. */
  async close(): Promise<void> {
    if (this.#isClosing) return;
    this.#isClosing = true;
    if (this.#isLost !== null || this.#isReading) {
      this.destroy();
      return;
    }
    const deadline = setTimeout(() => this.wire.destroy(), CLOSE_MS_MAX);
    try {
      await this.#client.end();
    } catch {
      // the other end was quicker
    } finally {
      clearTimeout(deadline);
    }
  }

  /** Closes the socket at once; queries and reads under way reject. */
  destroy(): void {
    this.#isClosing = true;
    this.wire.destroy();
  }

  /** Where this connection leads, for errors. */
  get details(): { readonly server: string; readonly backendPid: number } {
    return {
      server: describeServer(this.config),
      backendPid: this.backendPid,
    };
  }

  #toError(error: unknown): ExtractError {
    return toSourceError(error, this.details);
  }
}

/** `versionText` is the server's own, e.g. `15.18 (Debian 15.18-0+deb12u1)`, `9.6.24` or `18beta1`. */
async function setUpSession(
  client: pg.Client,
  versionText: string,
): Promise<SessionRow> {
  const major = Number.parseInt(versionText, 10);
  const version = Number.isNaN(major) ? 0 : major * 10_000;
  const statements = sessionSettings.filter(
    (sql) => version >= JIT_SINCE || !sql.startsWith("SET jit"),
  );
  for (const [since, sql] of settingsSince) {
    if (version >= since) statements.push(sql);
  }
  statements.push(
    `SELECT current_setting('server_version_num') AS version, pg_backend_pid() AS pid,
            current_setting('server_encoding') AS encoding`,
  );
  const results = (await client.query(
    statements.join("; "),
  )) as unknown as pg.QueryResult<SessionRow>[];
  const row = results.at(-1)?.rows[0];
  assert(row !== undefined, "the session query has one row");
  return row;
}

/** @throws ExtractError SOURCE_TLS_FAILED for a certificate file that cannot be read */
async function tlsOptions(config: PostgresConfig): Promise<ConnectionOptions> {
  const options: ConnectionOptions = {};
  const rootGiven =
    config.sslrootcert !== null && config.sslrootcert !== "system";
  // libpq: `require` verifies too once a root certificate is given
  const verify =
    config.sslmode === "verify-ca" ||
    config.sslmode === "verify-full" ||
    (config.sslmode === "require" && config.sslrootcert !== null);
  options.rejectUnauthorized = verify;
  if (verify && rootGiven) options.ca = await readPem(config.sslrootcert);
  if (config.sslmode !== "verify-full") {
    options.checkServerIdentity = () => undefined;
  }
  if (config.sslcert !== null && config.sslkey !== null) {
    options.cert = await readPem(config.sslcert);
    options.key = await readPem(config.sslkey);
  }
  return options;
}

async function readPem(path: string): Promise<Buffer> {
  try {
    return await readFile(path);
  } catch (cause) {
    throw new ExtractError(
      "SOURCE_TLS_FAILED",
      `cannot read ${path}: ${cause instanceof Error ? cause.message : String(cause)}`,
      { path },
      { cause },
    );
  }
}

function isLoopback(host: string): boolean {
  return host === "localhost" || host === "::1" || host.startsWith("127.");
}

/** Whether the other way, with or without TLS, may succeed: no TLS is offered, or pg_hba.conf admits only one way. */
function mayDifferByTls(error: unknown): boolean {
  if (!(error instanceof ExtractError)) return false;
  if (error.code === "SOURCE_TLS_FAILED") return true;
  return (
    error.code === "SOURCE_AUTH_FAILED" && /pg_hba\.conf/.test(error.message)
  );
}
