/** One connection: login and ordinary statements by `pg`, and commands with COPY whose bytes are ours. */
import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import type { Socket } from "node:net";
import type { ConnectionOptions } from "node:tls";
import pg from "pg";

import { ExtractError } from "../../../proto/error.ts";
import { SERVER_VERSION_LEAST } from "./config.ts";
import { toDestinationError } from "./errors.ts";
import {
  clientOptions,
  describeTarget,
  parseDestinationUrl,
  readParameter,
  type PostgresTarget,
} from "./url.ts";

const CONNECT_MS_MAX = 15_000;
/** First probe of an idle connection, in ms. */
const KEEPALIVE_DELAY_MS = 30_000;
/** How long a polite goodbye may take before the socket is closed, in ms. */
const CLOSE_MS_MAX = 2_000;
/** Commands up to this many bytes go out in one piece. */
const JOINED_BYTES_MAX = 16 * 1024;

/** What is durable has to be durable: a role may have switched waiting for the log off. */
const sessionSettings = [
  "SET client_encoding = 'UTF8'",
  "SET standard_conforming_strings = on",
  "SET search_path = pg_catalog",
  "SET statement_timeout = 0",
  "SET lock_timeout = 0",
  "SET idle_in_transaction_session_timeout = 0",
  "SET DateStyle = 'ISO, YMD'",
  "SELECT set_config('synchronous_commit', 'on', false) WHERE current_setting('synchronous_commit') = 'off'",
  "SELECT set_config(name, '0', false) FROM pg_settings WHERE name IN ('transaction_timeout', 'idle_session_timeout')",
  "SELECT current_setting('server_version_num')::int AS version, pg_is_in_recovery() AS standby, pg_backend_pid() AS pid",
];

interface ClientInternals {
  readonly connection: { readonly stream: Socket };
}

const endOfText = Buffer.alloc(1);

/**
 * One simple query whose statements may hold a COPY, sent at once with the COPY's data: one way there and one back.
 * @see Postgres manual, "Message Flow", COPY Operations: after an error the server passes over what was still to come
 */
class CopyCommand {
  readonly done = Promise.withResolvers<readonly string[]>();
  readonly #sql: string;
  readonly #data: readonly Uint8Array[];
  readonly #tags: string[] = [];

  constructor(sql: string, data: readonly Uint8Array[]) {
    this.#sql = sql;
    this.#data = data;
  }

  submit({ stream }: ClientInternals["connection"]): void {
    const text = Buffer.from(this.#sql);
    const head = Buffer.alloc(5);
    head[0] = 0x51; // 'Q'
    head.writeInt32BE(text.length + 5, 1);
    const pieces = [head, text, endOfText, ...this.#data];
    const bytes = pieces.reduce((sum, { length }) => sum + length, 0);
    if (bytes <= JOINED_BYTES_MAX) {
      stream.write(Buffer.concat(pieces, bytes));
      return;
    }
    stream.cork();
    for (const piece of pieces) stream.write(piece);
    stream.uncork();
  }

  handleCommandComplete({ text }: { readonly text: string }): void {
    this.#tags.push(text);
  }

  handleError(error: Error): void {
    this.done.reject(error);
  }

  handleReadyForQuery(): void {
    this.done.resolve(this.#tags);
  }

  handleCopyInResponse(): void {}
  handleRowDescription(): void {}
  handleDataRow(): void {}
  handleEmptyQuery(): void {}
}

export class DestinationConnection {
  readonly serverVersion: number;
  readonly backendPid: number;
  readonly #server: string;
  readonly #client: pg.Client;
  #isLost = false;

  private constructor(
    client: pg.Client,
    server: string,
    session: { readonly version: number; readonly pid: number },
  ) {
    this.#client = client;
    this.#server = server;
    this.serverVersion = session.version;
    this.backendPid = session.pid;
    client.on("end", () => {
      this.#isLost = true;
    });
  }

  /**
   * Logs in and sets the session up. `prefer` tries TLS first, but on this machine plain first.
   * @throws ExtractError USAGE, DESTINATION_UNWRITABLE, DESTINATION_FAILED
   */
  static async open(url: string, name: string): Promise<DestinationConnection> {
    const target = parseDestinationUrl(url);
    const isLocal =
      target.host.startsWith("/") || /^(localhost|127\.|::1)/.test(target.host);
    const open = (tls: boolean): Promise<DestinationConnection> =>
      DestinationConnection.#open(url, target, name, tls);
    if (target.host.startsWith("/")) return open(false);
    if (target.sslmode !== "prefer") return open(target.sslmode !== "disable");
    try {
      return await open(!isLocal);
    } catch (error) {
      const mayDiffer =
        error instanceof ExtractError && /TLS|pg_hba\.conf/.test(error.message);
      if (!mayDiffer) throw error;
      return await open(isLocal).catch(() => {
        throw error;
      });
    }
  }

  static async #open(
    url: string,
    target: PostgresTarget,
    name: string,
    tls: boolean,
  ): Promise<DestinationConnection> {
    const server = describeTarget(target);
    const client = new pg.Client({
      ...clientOptions(url),
      application_name: name,
      connectionTimeoutMillis: CONNECT_MS_MAX,
      keepAlive: true,
      keepAliveInitialDelayMillis: KEEPALIVE_DELAY_MS,
      ssl: tls ? await tlsOptions(url, target) : false,
    });
    // without a listener the driver's error event would end the process; statements report by themselves
    client.on("error", () => {});
    try {
      await client.connect();
      const results = (await client.query(
        sessionSettings.join("; "),
      )) as unknown as pg.QueryResult<{
        version: number;
        standby: boolean;
        pid: number;
      }>[];
      const session = results.at(-1)?.rows[0];
      assert(session, "the session query has one row");
      checkServer(session, server);
      return new DestinationConnection(client, server, session);
    } catch (error) {
      socketOf(client).destroy();
      throw toDestinationError(error, { server }, "connect");
    }
  }

  get usable(): boolean {
    return !this.#isLost;
  }

  /**
   * Runs one statement, or without parameters several, whose last rows are returned.
   * @param doing as in "could not <doing>"
   * @throws ExtractError of the destination
   */
  async query<Row>(
    doing: string,
    sql: string,
    params: readonly unknown[] = [],
  ): Promise<Row[]> {
    try {
      const result: pg.QueryResult | pg.QueryResult[] = await (params.length ===
      0
        ? this.#client.query(sql)
        : this.#client.query(sql, [...params]));
      const last = Array.isArray(result) ? result.at(-1) : result;
      return (last?.rows ?? []) as Row[];
    } catch (error) {
      throw this.#toError(error, doing);
    }
  }

  /**
   * Runs statements, some of them `COPY … FROM STDIN (FORMAT binary)`, with the data of each in turn: CopyData and
   * CopyDone messages. Statements without BEGIN are one transaction.
   * @returns the command tags, e.g. `INSERT 0 1`, `COPY 1000`
   * @throws ExtractError of the destination
   */
  async run(
    doing: string,
    sql: string,
    data: readonly Uint8Array[] = [],
  ): Promise<readonly string[]> {
    const command = new CopyCommand(sql, data);
    this.#client.query(command as unknown as pg.Submittable);
    try {
      return await command.done.promise;
    } catch (error) {
      throw this.#toError(error, doing);
    }
  }

  /**
   * Runs `work` in a transaction: committed when it resolves, rolled back when it throws.
   * @throws ExtractError of the destination, or what `work` throws
   */
  async transaction<Result>(
    doing: string,
    work: () => Promise<Result>,
  ): Promise<Result> {
    await this.query(doing, "BEGIN");
    let result: Result;
    try {
      result = await work();
    } catch (error) {
      if (this.usable) await this.query(doing, "ROLLBACK").catch(() => {});
      throw error;
    }
    await this.query(doing, "COMMIT");
    return result;
  }

  /** Says goodbye; after `CLOSE_MS_MAX` without an answer the socket is closed all the same. */
  async close(): Promise<void> {
    if (this.#isLost) return;
    const deadline = setTimeout(() => this.destroy(), CLOSE_MS_MAX);
    try {
      await this.#client.end();
    } catch {
      // the other end was quicker
    } finally {
      clearTimeout(deadline);
    }
  }

  /** Closes the socket at once; statements under way reject, and the server rolls back what is open. */
  destroy(): void {
    this.#isLost = true;
    socketOf(this.#client).destroy();
  }

  #toError(error: unknown, doing: string): unknown {
    return toDestinationError(error, { server: this.#server }, doing);
  }
}

function socketOf(client: pg.Client): Socket {
  return (client as unknown as ClientInternals).connection.stream;
}

function checkServer(
  session: { readonly version: number; readonly standby: boolean },
  server: string,
): void {
  if (session.version < SERVER_VERSION_LEAST) {
    throw new ExtractError(
      "DESTINATION_UNWRITABLE",
      `${server} is Postgres ${Math.trunc(session.version / 10_000)}; ${SERVER_VERSION_LEAST / 10_000} is the oldest that can be written to`,
      { server, serverVersion: session.version },
    );
  }
  if (session.standby) {
    throw new ExtractError(
      "DESTINATION_UNWRITABLE",
      `${server} is a standby, which takes no rows`,
      { server },
    );
  }
}

/** As libpq reads sslmode: `require` verifies too once a root certificate is given. */
async function tlsOptions(
  url: string,
  { sslmode }: PostgresTarget,
): Promise<ConnectionOptions> {
  const read = async (name: string, env: string): Promise<Buffer | null> => {
    const path = readParameter(url, name) ?? process.env[env] ?? "";
    if (path === "" || path === "system") return null;
    return readFile(path).catch((cause: unknown) => {
      throw new ExtractError(
        "DESTINATION_UNWRITABLE",
        `cannot read ${name} ${path}: ${String(cause)}`,
        { path },
        { cause },
      );
    });
  };
  const ca = await read("sslrootcert", "PGSSLROOTCERT");
  const cert = await read("sslcert", "PGSSLCERT");
  const key = await read("sslkey", "PGSSLKEY");
  const verifies =
    sslmode.startsWith("verify-") || (sslmode === "require" && ca !== null);
  return {
    rejectUnauthorized: verifies,
    ...(ca ? { ca } : {}),
    ...(cert && key ? { cert, key } : {}),
    ...(sslmode === "verify-full"
      ? {}
      : { checkServerIdentity: () => undefined }),
  };
}
