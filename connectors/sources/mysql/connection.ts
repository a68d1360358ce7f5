/**
 * One connection to a MySQL or MariaDB server: login and ordinary queries by `mysql2`, and a wire that a bulk read
 * takes over.
 */
import { strict as assert } from "node:assert";
import { readFile } from "node:fs/promises";
import { isIP, Socket } from "node:net";
import mysql from "mysql2";
import { ExtractError, type ErrorDetails } from "../../../proto/error.ts";
import { asLoginError, toSourceError } from "./errors.ts";
import {
  readVersion,
  sessionStatement,
  type ServerVersion,
} from "./session.ts";
import type { Flavour, Queryable, SqlParameter } from "./sql.ts";
import { describeServer, type MysqlConfig } from "./url.ts";
import type { Capabilities } from "./wire/packets.ts";
import { PlainWire, StreamWire, type Wire } from "../wire/wire.ts";

export type { MysqlConfig } from "./url.ts";

/** First probe of an idle connection, in ms. */
const KEEPALIVE_DELAY_MS = 30_000;
/** How long a polite goodbye or a cancel request may take before the socket is closed, in ms. */
const CLOSE_MS_MAX = 2_000;
const CANCEL_MS_MAX = 5_000;
/** Prepared statements of ordinary queries that `mysql2` keeps: none is run twice. */
const STATEMENTS_KEPT = 1;

/** @see MySQL internals, "Capability Flags" */
const CLIENT_DEPRECATE_EOF = 1 << 24;

/** What of `mysql2`'s connection is used beyond its typings. */
interface ClientInternals {
  readonly stream: Socket;
  readonly serverCapabilityFlags: number;
  readonly config: { readonly clientFlags: number };
  readonly _mariadbExtendedMetadata?: boolean;
}

type Client = mysql.Connection;

interface SessionRow {
  readonly version: string;
  readonly threadId: number | string;
  readonly serverName: string;
}

interface Session {
  readonly version: ServerVersion;
  readonly row: SessionRow;
}

export class MysqlConnection implements Queryable {
  readonly serverVersion: number;
  readonly flavour: Flavour;
  /** The server's number of this connection. */
  readonly threadId: number;
  readonly config: MysqlConfig;
  readonly wire: Wire;
  readonly capabilities: Capabilities;
  readonly #client: Client;
  /** Tells this server from others that the same address may lead to. */
  readonly #serverName: string;
  #isLost: ExtractError | null = null;
  #isReading = false;
  #isClosing = false;

  private constructor(
    config: MysqlConfig,
    client: Client,
    wire: Wire,
    { version, row }: Session,
  ) {
    const internals = client as unknown as ClientInternals;
    this.config = config;
    this.wire = wire;
    this.#client = client;
    this.serverVersion = version.serverVersion;
    this.flavour = version.flavour;
    this.threadId = Number(row.threadId);
    this.#serverName = row.serverName;
    this.capabilities = {
      deprecateEof:
        (internals.config.clientFlags &
          internals.serverCapabilityFlags &
          CLIENT_DEPRECATE_EOF) !==
        0,
      extendedMetadata: internals._mariadbExtendedMetadata === true,
    };
    client.on("error", (error: Error) => {
      this.#isLost ??= this.#toError(error);
    });
  }

  /**
   * Logs in and sets the session up, in two round trips behind the login.
   * `preferred` means TLS where the server offers it, but not on this machine (loopback, Unix socket): those bytes
   * pass no network.
   * @throws ExtractError SOURCE_UNREACHABLE, SOURCE_AUTH_FAILED, SOURCE_TLS_FAILED, USAGE for a version too old
   */
  static async connect(config: MysqlConfig): Promise<MysqlConnection> {
    if (config.sslMode === "disabled" || config.socket !== null) {
      return MysqlConnection.#open(config, false);
    }
    if (config.sslMode !== "preferred") {
      return MysqlConnection.#open(config, true);
    }
    const tlsFirst = !isLoopback(config.host);
    try {
      return await MysqlConnection.#open(config, tlsFirst);
    } catch (error) {
      if (
        !(error instanceof ExtractError) ||
        error.code !== "SOURCE_TLS_FAILED"
      )
        throw error;
      // the first error is the one to tell: it came from the way that was preferred
      return await MysqlConnection.#open(config, !tlsFirst).catch(() => {
        throw error;
      });
    }
  }

  static async #open(
    config: MysqlConfig,
    tls: boolean,
  ): Promise<MysqlConnection> {
    const details = { server: describeServer(config) };
    const plain = tls ? null : new PlainWire();
    const socket = plain?.socket ?? new Socket();
    let client: Client | null = null;
    try {
      const ssl = tls ? await readTlsOptions(config) : null;
      client = createClient(config, socket, ssl);
      await waitForLogin(client);
      const session = await setUpSession(client, details);
      const { stream } = client as unknown as ClientInternals;
      const wire = plain ?? new StreamWire(stream);
      return new MysqlConnection(config, client, wire, session);
    } catch (error) {
      // what may still come of it is nobody's any more
      client?.on("error", () => {});
      client?.destroy();
      socket.destroy();
      throw asLoginError(toSourceError(error, details));
    }
  }

  /** Whether queries and reads can go on; false from the moment that the connection was lost or closed. */
  get usable(): boolean {
    return this.#isLost === null && !this.#isClosing && !this.wire.closed;
  }

  /**
   * Runs one statement. Parameters (`?`) are bound by the server, as text; the number of a LIMIT cannot be one.
   * @throws ExtractError by the server's error number (`errors.ts`), SOURCE_CONNECTION_LOST
   */
  async query<Row>(
    sql: string,
    params: readonly SqlParameter[] = [],
  ): Promise<Row[]> {
    assert(!this.#isReading, "a query while the connection is being read");
    if (this.#isLost !== null) throw this.#isLost;
    try {
      return await runStatement<Row>(this.#client, sql, params);
    } catch (error) {
      throw this.#toError(error);
    }
  }

  /**
   * Asks the server, on a connection of its own, to end the statement that runs here. Returns whether the request is
   * over: the server has acted on it. While it is not, it may still hit a later statement. Whether a statement was
   * ended only its own answer tells. Never rejects.
   * @see MySQL manual, "KILL Statement": the transaction, and so its snapshot, stays
   */
  async cancelQuery(): Promise<boolean> {
    const deadline = Promise.withResolvers<false>();
    const timer = setTimeout(() => deadline.resolve(false), CANCEL_MS_MAX);
    const killed = this.#kill();
    try {
      return await Promise.race([killed, deadline.promise]);
    } finally {
      clearTimeout(timer);
    }
  }

  async #kill(): Promise<boolean> {
    let killer: MysqlConnection | null = null;
    try {
      killer = await MysqlConnection.connect(this.config);
      // behind a balancer the number may be another's
      if (killer.#serverName !== this.#serverName) return false;
      await killer.query(`KILL QUERY ${this.threadId}`);
      return true;
    } catch {
      return false;
    } finally {
      void killer?.close();
    }
  }

  /**
   * Takes up a kill that came when its statement was over and which the server has kept for the next one. To be called
   * once `cancelQuery` is over and the connection is idle.
   */
  async absorbCancel(): Promise<void> {
    try {
      await this.query("DO 0");
    } catch (error) {
      const wasKilled =
        error instanceof ExtractError && error.details["errno"] === 1317;
      if (!wasKilled) this.destroy();
    }
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
    const closed = Promise.withResolvers<void>();
    const deadline = setTimeout(() => {
      this.wire.destroy();
      closed.resolve();
    }, CLOSE_MS_MAX);
    this.#client.end(() => closed.resolve());
    await closed.promise;
    clearTimeout(deadline);
    this.wire.destroy();
  }

  /** Closes the socket at once; queries and reads under way reject. */
  destroy(): void {
    this.#isClosing = true;
    this.wire.destroy();
  }

  /** Where this connection leads, for errors. */
  get details(): { readonly server: string; readonly threadId: number } {
    return { server: describeServer(this.config), threadId: this.threadId };
  }

  #toError(error: unknown): ExtractError {
    return toSourceError(error, this.details);
  }
}

function createClient(
  config: MysqlConfig,
  socket: Socket,
  ssl: mysql.SslOptions | null,
): Client {
  socket.setNoDelay(true);
  socket.setKeepAlive(true, KEEPALIVE_DELAY_MS);
  return mysql.createConnection({
    host: config.host,
    port: config.port,
    // tells the driver that passwords may pass as they are
    ...(config.socket === null ? {} : { socketPath: config.socket }),
    stream: () =>
      config.socket === null
        ? socket.connect(config.port, config.host)
        : socket.connect(config.socket),
    user: config.user,
    ...(config.password === null ? {} : { password: config.password }),
    ...(config.database === "" ? {} : { database: config.database }),
    ...(ssl === null ? {} : { ssl }),
    connectTimeout: config.connectTimeoutMs,
    connectAttributes: { program_name: "millrace" },
    charset: "utf8mb4",
    // no server is to ask for a file of this machine
    flags: ["-LOCAL_FILES", "-CLIENT_QUERY_ATTRIBUTES"],
    supportBigNumbers: true,
    dateStrings: true,
    jsonStrings: true,
    maxPreparedStatements: STATEMENTS_KEPT,
  } as mysql.ConnectionOptions);
}

function waitForLogin(client: Client): Promise<void> {
  return new Promise((resolve, reject) => {
    client.once("connect", () => {
      client.off("error", reject);
      resolve();
    });
    client.once("error", reject);
  });
}

function runStatement<Row>(
  client: Client,
  sql: string,
  params: readonly SqlParameter[],
): Promise<Row[]> {
  return new Promise((resolve, reject) => {
    const settle = (error: Error | null, rows: unknown): void => {
      if (params.length > 0) client.unprepare(sql);
      if (error === null) resolve((Array.isArray(rows) ? rows : []) as Row[]);
      else reject(error);
    };
    if (params.length === 0) {
      client.query(sql, settle);
      return;
    }
    // as a number it would travel as a double
    const texts = params.map((param) =>
      typeof param === "number" ? String(param) : param,
    );
    client.execute(sql, texts, settle);
  });
}

async function setUpSession(
  client: Client,
  details: ErrorDetails,
): Promise<Session> {
  const [row] = await runStatement<SessionRow>(
    client,
    `SELECT version() AS version, connection_id() AS threadId,
      concat_ws(' ', @@hostname, @@port, @@server_id, @@datadir) AS serverName`,
    [],
  );
  assert(row !== undefined, "a SELECT without a table has one row");
  const version = readVersion(row.version, details);
  await runStatement(client, sessionStatement(version.flavour), []);
  return { version, row };
}

/** @throws ExtractError SOURCE_TLS_FAILED for a certificate file that cannot be read, USAGE */
async function readTlsOptions(config: MysqlConfig): Promise<mysql.SslOptions> {
  const { sslMode, sslCa, sslCert, sslKey, host } = config;
  if (sslMode === "verify-identity" && isIP(host) !== 0) {
    // the driver would look for another name in the certificate
    throw new ExtractError(
      "USAGE",
      `ssl-mode VERIFY_IDENTITY needs the server's name in the URL, not its address ${host}`,
    );
  }
  const verifies = sslMode === "verify-ca" || sslMode === "verify-identity";
  return {
    rejectUnauthorized: verifies,
    verifyIdentity: sslMode === "verify-identity",
    ...(sslCa === null ? {} : { ca: await readPem(sslCa) }),
    ...(sslCert === null ? {} : { cert: await readPem(sslCert) }),
    ...(sslKey === null ? {} : { key: await readPem(sslKey) }),
  };
}

async function readPem(path: string): Promise<string> {
  try {
    return await readFile(path, "utf8");
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
