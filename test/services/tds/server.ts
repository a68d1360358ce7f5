/** The server: listens, hands connections to sessions, and offers a test what it needs. */
import { once } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import { createServer, type AddressInfo, type Server } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { SQLInputValue } from "node:sqlite";
import type { Certificate } from "../certificates.ts";
import { physicalColumn, physicalTable } from "./engine/catalogue.ts";
import { Database } from "./engine/database.ts";
import { EngineSession } from "./engine/engine-session.ts";
import type { RowBytes } from "./outcome.ts";
import {
  Script,
  storeGiven,
  type Answer,
  type Fault,
  type Given,
  type GivenColumn,
  type Statement,
} from "./script.ts";
import { Session } from "./session.ts";
import { WordReader } from "./sql/reader.ts";
import { DEFAULT_COLLATION } from "./types/collations.ts";
import { formatText } from "./types/text.ts";
import { HEADER_BYTES, PACKET_BYTES_MAX } from "./wire/packets.ts";
import type { ServerMessage } from "./wire/tokens.ts";

export { encodeRows } from "./script.ts";
export type { Answer, Fault, Given, GivenColumn, Statement } from "./script.ts";
export type { RowBytes } from "./outcome.ts";

export interface TdsServerOptions {
  /** Default `sa`. */
  readonly user?: string;
  readonly password?: string;
  /** Default `millrace`. */
  readonly database?: string;
  /** Collation of the database. Default SQL_Latin1_General_CP1_CI_AS. */
  readonly collation?: string;
  /** Major, minor, build. Default 16.0.4100, which is SQL Server 2022. */
  readonly version?: readonly [number, number, number];
  /** Offers TLS, to those who want it. */
  readonly tls?: Certificate | null;
  /** Refuses to go on without TLS. */
  readonly requireTls?: boolean;
  /** Whether SNAPSHOT isolation is allowed. Default true. */
  readonly snapshot?: boolean;
  /** Views and functions of the catalogue that are absent: `["sys.dm_db_stats_histogram"]`. */
  readonly without?: readonly string[];
  /** Packets are at most so long, from 9 on; at most 32,767 and what the client asks for. */
  readonly packetBytes?: number;
  /** Values of the `max` types travel without their length. */
  readonly unknownLengths?: boolean;
  readonly port?: number;
}

/** Rows that are written before others have their turn. */
const LOAD_ROWS_PER_TURN = 20_000;

export class TdsServer {
  readonly user: string;
  readonly password: string;
  readonly database: string;
  readonly #server: Server;
  readonly #engine: Database;
  readonly #folder: string;
  readonly #script = new Script();
  readonly #sessions = new Set<Session>();
  readonly #own: EngineSession;
  readonly #options: TdsServerOptions;
  #lastId = 0;

  constructor(options: TdsServerOptions) {
    this.#options = options;
    this.user = options.user ?? "sa";
    this.password = options.password ?? "Test-Pass-1";
    this.database = options.database ?? "millrace";
    this.#folder = mkdtempSync(join(tmpdir(), "millrace-tds-"));
    this.#engine = new Database({
      file: join(this.#folder, "rows.db"),
      name: this.database,
      collation: options.collation ?? DEFAULT_COLLATION,
      snapshotAllowed: options.snapshot ?? true,
      version: options.version ?? [16, 0, 4100],
    });
    for (const name of options.without ?? []) this.restrict(name, 208);
    this.#own = new EngineSession(this.#engine, 0, this.database);
    this.#server = createServer((socket) => {
      this.#lastId += 1;
      const session: Session = new Session(this.#lastId, socket, {
        user: this.user,
        password: this.password,
        databases: () => this.#engine.databases,
        defaultDatabase: this.database,
        collation: this.#engine.collation,
        tls: options.tls ?? null,
        requireTls: options.requireTls ?? false,
        version: options.version ?? [16, 0, 4100],
        packetBytes: Math.max(
          HEADER_BYTES + 1,
          options.packetBytes ?? PACKET_BYTES_MAX,
        ),
        unknownLengths: options.unknownLengths ?? false,
        script: this.#script,
        openEngine: (id, name) =>
          new EngineSession(this.#engine, id, name, () => session.isCancelled),
      });
      this.#sessions.add(session);
      void session.run().finally(() => this.#sessions.delete(session));
    });
  }

  async listen(): Promise<this> {
    this.#server.listen(this.#options.port ?? 0, "127.0.0.1");
    await once(this.#server, "listening");
    return this;
  }

  get port(): number {
    return (this.#server.address() as AddressInfo).port;
  }

  get url(): string {
    return this.urlOf(this.database);
  }

  urlOf(database: string): string {
    const password = encodeURIComponent(this.password);
    return `sqlserver://${this.user}:${password}@127.0.0.1:${this.port}/${database}?encrypt=${this.#options.requireTls === true}`;
  }

  /** All statements received, in their order; `length = 0` forgets them. */
  get statements(): Statement[] {
    return this.#script.statements;
  }

  /** Connections that are open. */
  get connectionCount(): number {
    return this.#sessions.size;
  }

  /** Runs a batch of T-SQL, as one transaction unless it says otherwise. @throws SqlError */
  async run(sql: string): Promise<void> {
    await this.query(sql);
  }

  /** Runs a batch and gives the rows of its last result set, every value as text. @throws SqlError */
  async query(sql: string): Promise<Record<string, string | null>[]> {
    let result: Record<string, string | null>[] = [];
    for await (const outcome of this.#own.execute(sql, [], [])) {
      if (outcome.kind !== "rows") continue;
      result = [];
      for await (const row of outcome.rows)
        result.push(
          Object.fromEntries(
            outcome.columns.map(({ name, type }, i) => {
              const value = row[i] ?? null;
              return [name, value === null ? null : formatText(value, type)];
            }),
          ),
        );
    }
    return result;
  }

  /** Fills a table much faster than INSERT does; columns in their order, without rowversion. */
  async load(table: string, rows: Iterable<readonly Given[]>): Promise<void> {
    const { catalogue } = this.#engine;
    const target = catalogue.get(new WordReader(table).path());
    const columns = target.columns.filter(
      ({ type }) => type.kind !== "rowversion",
    );
    const versions = target.columns.filter((c) => !columns.includes(c));
    const names = [...columns, ...versions].map(({ id }) => physicalColumn(id));
    const marks = [
      ...columns.map(() => "?"),
      ...versions.map(() => "next_rowversion()"),
    ];
    this.#own.begin();
    try {
      await this.#own.beginWrite(target);
      const insert = this.#own.sqlite.prepare(
        `INSERT INTO ${physicalTable(target)} (${names.join(", ")}) VALUES (${marks.join(", ")})`,
      );
      let count = 0;
      for (const row of rows) {
        insert.run(
          ...(columns.map(({ type }, i) =>
            storeGiven(row[i] ?? null, type),
          ) as SQLInputValue[]),
        );
        count += 1;
        if (count % LOAD_ROWS_PER_TURN === 0)
          await new Promise((resolve) => setImmediate(resolve));
      }
      this.#own.commit();
    } catch (error) {
      this.#own.rollback();
      throw error;
    }
  }

  /** Answers this text, or texts of this pattern, instead of the engine; what was laid down last wins. */
  answer(on: string | RegExp, answer: Answer): void {
    this.#script.answer(on, answer);
  }

  /** As `answer`, for many rows: `source` is walked through once for each request, and may be ready bytes. */
  serveRows(
    on: string | RegExp,
    columns: readonly GivenColumn[],
    source: Iterable<readonly Given[] | RowBytes>,
  ): void {
    this.#script.serveRows(on, columns, source);
  }

  /** Takes an answer back, by what it was laid down for. */
  forget(on: string | RegExp): void {
    this.#script.forget(on);
  }

  fault(fault: Fault): void {
    this.#script.fault(fault);
  }

  /** The statements that match, once there are `count` of them. @throws Error after `waitMs` */
  waitFor(
    on: string | RegExp,
    count = 1,
    waitMs = 10_000,
  ): Promise<Statement[]> {
    return this.#script.waitFor(on, count, waitMs);
  }

  /** A view or function of the catalogue is absent (208) or forbidden (229) from now on; 0 offers it again. */
  restrict(name: string, number: 208 | 229 | 0): void {
    const key = name.toLowerCase();
    if (number === 0) this.#engine.restricted.delete(key);
    else
      this.#engine.restricted.set(key, {
        number,
        message:
          number === 208
            ? `Invalid object name '${name}'.`
            : `The SELECT permission was denied on the object '${name.split(".").at(-1)}', database '${this.database}', schema '${name.split(".")[0]}'.`,
        class: number === 229 ? 14 : 16,
      });
  }

  /** ALTER DATABASE answers this from now on; null lets it pass. */
  refuseAlterDatabase(error: ServerMessage | null): void {
    this.#engine.alterError = error;
  }

  /** Breaks all connections. */
  dropConnections(): void {
    for (const session of this.#sessions) session.destroy();
  }

  async stop(): Promise<void> {
    this.dropConnections();
    const closed = once(this.#server, "close");
    this.#server.close();
    await closed;
    while (this.#sessions.size > 0)
      await new Promise((resolve) => setImmediate(resolve));
    this.#own.close();
    rmSync(this.#folder, { recursive: true, force: true });
  }
}

export async function startTdsServer(
  options: TdsServerOptions = {},
): Promise<TdsServer> {
  return new TdsServer(options).listen();
}
