/**
 * One connection to a SQL Server: login, TLS and queries by `tedious`, and bulk reads whose rows pass it by as bytes.
 */
import { strict as assert } from "node:assert";
import { readFile } from "node:fs/promises";
import {
  Connection,
  Request,
  TYPES,
  type ConnectionConfiguration,
} from "tedious";
import { ExtractError } from "../../../proto/error.ts";
import { parseSnapshot } from "./snapshot-mode.ts";
import type { SnapshotRef } from "../source.ts";
import { toConnectError, toSourceError, type ServerError } from "./errors.ts";
import type { Queryable, SqlParameter } from "./sql.ts";
import {
  isHookable,
  loadDriverParts,
  type DriverParts,
} from "./tokens/driver-parts.ts";
import { RowStream, type RowConsumer } from "./tokens/row-stream.ts";
import { describeServer, type MssqlConfig } from "./url.ts";

export type { MssqlConfig } from "./url.ts";

/** The largest packets that the protocol has, and that the server allows under TLS. @see MS-TDS 2.2.3.1.3 */
const PACKET_BYTES = 32_767;
const PACKET_BYTES_TLS = 16_383;
/** How long the server may take to acknowledge an attention before its connection is closed, in ms. */
const CANCEL_MS_MAX = 10_000;

const parts = loadDriverParts();

/**
 * The session that every reader relies on: nothing times out while it waits, and where two are at odds the reader
 * gives way. Quoting and NULLs by the standard are the driver's defaults.
 */
const sessionSettings = [
  "SET LOCK_TIMEOUT -1",
  "SET DEADLOCK_PRIORITY LOW",
  "SET ROWCOUNT 0",
  // rows are counted by both sides
  "SET NOCOUNT OFF",
].join("; ");

/** A bulk read's answer under way. */
export interface RowRequest {
  /** Settles when the connection is idle again or lost, with the rows that the server counted. Rejects as the statement did. */
  readonly done: Promise<number | null>;
  /** The consumer can take more. */
  wake(): void;
  /** Ends the statement by an attention; its rows are thrown away. */
  cancel(): void;
}

/** Takes rows whose values the driver has decoded. */
export interface ValueConsumer {
  /** @returns false where no more may come until `wake` */
  takeValues(values: readonly unknown[]): boolean;
}

interface ActiveRows {
  readonly request: Request;
  readonly consumer: RowConsumer;
  stream: RowStream | null;
  isCancelled: boolean;
}

interface SessionRow {
  readonly version: string | null;
  readonly banner: string | null;
  readonly spid: number;
}

export class MssqlConnection implements Queryable {
  readonly config: MssqlConfig;
  readonly serverVersion: number;
  readonly isMicrosoft: boolean;
  readonly sessionId: number;
  /** The driver's reader of tokens can be replaced: rows come as bytes. */
  readonly isHooked: boolean;
  readonly #driver: Connection;
  readonly #said: { last: ServerError | null };
  #isLost: ExtractError | null = null;
  #isClosing = false;
  #isBusy = false;
  #rows: ActiveRows | null = null;
  #snapshot: string | null = null;
  #isInSnapshot = false;

  private constructor(
    config: MssqlConfig,
    driver: Connection,
    said: { last: ServerError | null },
    session: SessionRow,
    hook: DriverParts | null,
  ) {
    this.config = config;
    this.#driver = driver;
    this.#said = said;
    this.serverVersion = readVersion(session.version);
    this.isMicrosoft = (session.banner ?? "").startsWith("Microsoft SQL");
    this.sessionId = session.spid;
    this.isHooked = hook !== null && this.#hook(hook);
    driver.on("end", () => {
      this.#isLost ??= this.#lostError(new Error("the connection has ended"));
    });
  }

  /** @throws ExtractError SOURCE_UNREACHABLE, SOURCE_AUTH_FAILED, SOURCE_TLS_FAILED */
  static async connect(
    config: MssqlConfig,
    options: { readonly hook?: boolean } = {},
  ): Promise<MssqlConnection> {
    const details = { server: describeServer(config) };
    const said: { last: ServerError | null } = { last: null };
    const driver = new Connection(await driverOptions(config));
    // Without a listener, the driver's error event would end the process; requests report by themselves.
    driver.on("error", () => {});
    driver.on("errorMessage", (token) => {
      said.last = token as unknown as ServerError;
    });
    try {
      await new Promise<void>((resolve, reject) => {
        driver.connect((error) => (error ? reject(error) : resolve()));
      });
      said.last = null;
      await runBatch(driver, sessionSettings);
      const [session] = await runQuery<SessionRow>(
        driver,
        `SELECT CAST(SERVERPROPERTY('ProductVersion') AS nvarchar(128)) AS version, @@VERSION AS banner, @@SPID AS spid`,
        [],
      );
      assert(session !== undefined, "a query without a table has one row");
      const hook = options.hook === false ? null : parts;
      return new MssqlConnection(config, driver, said, session, hook);
    } catch (error) {
      driver.close();
      throw toConnectError(error, details, said.last);
    }
  }

  /** Whether queries and reads can go on; false from the moment that the connection was lost or closed. */
  get usable(): boolean {
    return this.#isLost === null && !this.#isClosing;
  }

  /** @throws ExtractError by the server's error number (`errors.ts`), SOURCE_CONNECTION_LOST */
  query<Row>(
    sql: string,
    params: readonly SqlParameter[] = [],
  ): Promise<Row[]> {
    return this.#exclusively(() => runQuery<Row>(this.#driver, sql, params));
  }

  /** Statements whose effect outlives them: settings and transactions. */
  async run(sql: string): Promise<void> {
    await this.#exclusively(() => runBatch(this.#driver, sql));
  }

  /**
   * Begins the transaction that all that follows is read in. Under a shared snapshot it is the connection's first
   * look at data that fixes what it sees, so that is done here.
   * @throws ExtractError SOURCE_SNAPSHOT_LOST where the database allows no snapshot any more
   */
  async beginSnapshot(snapshot: SnapshotRef | null): Promise<void> {
    const mode = parseSnapshot(snapshot);
    const key =
      snapshot === null ? "none" : `${snapshot.id} ${snapshot.visible}`;
    // what was fixed at the start stays: another transaction would see other rows
    if (this.#snapshot === key && mode.kind === "snapshot") return;
    if (this.#snapshot !== null) await this.run("IF @@TRANCOUNT > 0 ROLLBACK");
    this.#snapshot = key;
    this.#isInSnapshot = mode.kind === "snapshot";
    if (mode.kind === "snapshot") {
      await this.run(
        "SET TRANSACTION ISOLATION LEVEL SNAPSHOT; BEGIN TRANSACTION",
      );
      if (mode.touch !== null) {
        await this.query(`SELECT TOP (1) 1 AS touched FROM ${mode.touch}`);
      }
      return;
    }
    await this.run("SET TRANSACTION ISOLATION LEVEL READ COMMITTED");
  }

  /**
   * Sends a statement whose rows go to `consumer`: as bytes, or by `takeValues` where the driver cannot be hooked. The
   * connection is busy until `done` settles.
   */
  startRows(
    sql: string,
    params: readonly SqlParameter[],
    consumer: RowConsumer & ValueConsumer,
  ): RowRequest {
    assert(!this.#isBusy, "two requests on one connection");
    if (this.#isLost !== null) throw this.#isLost;
    this.#proveTransaction();
    this.#isBusy = true;
    this.#said.last = null;
    const { promise, resolve, reject } = Promise.withResolvers<number | null>();
    let counted: number | null = null;
    const request = new Request(sql, (error) => {
      this.#isBusy = false;
      this.#rows = null;
      if (error) reject(this.#toError(error));
      else resolve(counted);
    });
    request.on("doneInProc", (rowCount) => {
      if (rowCount !== undefined) counted = (counted ?? 0) + rowCount;
    });
    addParameters(request, params);
    const active: ActiveRows = {
      request,
      consumer,
      stream: null,
      isCancelled: false,
    };
    this.#rows = active;
    if (!this.isHooked) {
      request.on("row", (columns: readonly DriverValue[]) => {
        const takesMore = consumer.takeValues(columns.map((one) => one.value));
        if (!takesMore) request.pause();
      });
    }
    this.#driver.execSql(request);
    return {
      done: promise,
      wake: () => {
        if (this.isHooked) active.stream?.wake();
        else if (this.#rows === active) request.resume();
      },
      cancel: () => {
        if (active.isCancelled) return;
        active.isCancelled = true;
        active.stream?.drain();
        if (this.#rows === active) request.cancel();
      },
    };
  }

  /** Ends the session; the server rolls back what is open. */
  async close(): Promise<void> {
    if (this.#isClosing) return;
    this.#isClosing = true;
    if (this.#isLost !== null) return;
    const ended = new Promise<void>((resolve) => {
      this.#driver.once("end", () => resolve());
    });
    this.#driver.close();
    await ended;
  }

  /** Closes the socket at once; queries and reads under way reject. */
  destroy(): void {
    this.#isClosing = true;
    this.#driver.close();
  }

  /** Where this connection leads, for errors. */
  get details(): { readonly server: string; readonly sessionId: number } {
    return { server: describeServer(this.config), sessionId: this.sessionId };
  }

  /**
   * An error may have ended the transaction that the snapshot is: what is read next would be of another time.
   * @throws ExtractError SOURCE_CONNECTION_LOST; the connection is given up
   */
  #proveTransaction(): void {
    if (!this.#isInSnapshot) return;
    const { inTransaction } = this.#driver as unknown as {
      readonly inTransaction: boolean;
    };
    if (inTransaction) return;
    this.destroy();
    throw new ExtractError(
      "SOURCE_CONNECTION_LOST",
      "the server has ended the transaction whose snapshot was read",
      this.details,
    );
  }

  async #exclusively<T>(work: () => Promise<T>): Promise<T> {
    assert(!this.#isBusy, "two requests on one connection");
    if (this.#isLost !== null) throw this.#isLost;
    this.#isBusy = true;
    this.#said.last = null;
    try {
      return await work();
    } catch (error) {
      throw this.#toError(error);
    } finally {
      this.#isBusy = false;
    }
  }

  /** Answers to bulk reads are read by `RowStream`, all others by the driver. */
  #hook(hook: DriverParts): boolean {
    const driver: object = this.#driver;
    if (!isHookable(driver)) return false;
    const original = driver.createTokenStreamParser.bind(driver);
    const { config } = driver as unknown as {
      readonly config: { readonly options: object };
    };
    driver.createTokenStreamParser = (message, handler) => {
      const active = this.#rows;
      // the answer to an attention comes as a message of its own, with another handler
      if (
        active === null ||
        active.stream !== null ||
        handler.request !== active.request
      ) {
        return original(message, handler);
      }
      active.stream = new RowStream(
        hook,
        config.options,
        message,
        handler,
        active.consumer,
      );
      if (active.isCancelled) active.stream.drain();
      return active.stream;
    };
    return true;
  }

  #toError(error: unknown): ExtractError {
    const known = toSourceError(error, this.details);
    if (known.code === "SOURCE_CONNECTION_LOST" && !this.usable) {
      this.#isLost ??= known;
    }
    return known;
  }

  #lostError(error: Error): ExtractError {
    const said = this.#said.last;
    return new ExtractError(
      "SOURCE_CONNECTION_LOST",
      `the connection to ${describeServer(this.config)} was lost: ${said?.message ?? error.message}`,
      this.details,
      { cause: error },
    );
  }
}

/** `16.0.1000.6` is 160_000; 0 where the server does not say. */
function readVersion(text: string | null): number {
  const [major = 0, minor = 0] = (text ?? "").split(".").map(Number);
  return Number.isFinite(major + minor) ? major * 10_000 + minor * 100 : 0;
}

function addParameters(
  request: Request,
  params: readonly SqlParameter[],
): void {
  for (const [i, value] of params.entries()) {
    const text = value === null ? null : String(value);
    request.addParameter(`p${i + 1}`, TYPES.NVarChar, text);
  }
}

function runBatch(driver: Connection, sql: string): Promise<void> {
  return new Promise((resolve, reject) => {
    const request = new Request(sql, (error) =>
      error ? reject(error) : resolve(),
    );
    driver.execSqlBatch(request);
  });
}

interface DriverValue {
  readonly value: unknown;
  readonly metadata: { readonly colName: string };
}

function runQuery<Row>(
  driver: Connection,
  sql: string,
  params: readonly SqlParameter[],
): Promise<Row[]> {
  return new Promise((resolve, reject) => {
    const rows: Row[] = [];
    const request = new Request(sql, (error) =>
      error ? reject(error) : resolve(rows),
    );
    addParameters(request, params);
    request.on("row", (columns: readonly DriverValue[]) => {
      const row: Record<string, unknown> = {};
      for (const { value, metadata } of columns) row[metadata.colName] = value;
      rows.push(row as Row);
    });
    driver.execSql(request);
  });
}

async function driverOptions(
  config: MssqlConfig,
): Promise<ConnectionConfiguration> {
  const ca = config.ca === null ? null : await readPem(config.ca);
  return {
    server: config.host,
    authentication: {
      type: "default",
      options: {
        userName: config.user,
        ...(config.password === null ? {} : { password: config.password }),
      },
    },
    options: {
      ...(config.instance === null
        ? { port: config.port }
        : { instanceName: config.instance }),
      database: config.database,
      appName: config.applicationName,
      encrypt:
        config.encrypt === "strict" ? "strict" : config.encrypt === "true",
      trustServerCertificate: config.trustServerCertificate,
      ...(ca === null ? {} : { cryptoCredentialsDetails: { ca } }),
      readOnlyIntent: config.readOnlyIntent,
      packetSize: config.encrypt === "false" ? PACKET_BYTES : PACKET_BYTES_TLS,
      connectTimeout: config.connectTimeoutMs,
      maxRetriesOnTransientErrors: 0,
      requestTimeout: 0,
      cancelTimeout: CANCEL_MS_MAX,
      dateFormat: "ymd",
      useUTC: true,
    },
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
