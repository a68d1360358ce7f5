/** One connection of a client: pre-login, login, then request after request. */
import type { Duplex } from "node:stream";
import type { Socket } from "node:net";
import type { Certificate } from "../certificates.ts";
import type { EngineSession } from "./engine/engine-session.ts";
import { isolationLevels, type Outcome } from "./outcome.ts";
import { Cancelled, Response, type ResponseContext } from "./response.ts";
import type { Script, Statement } from "./script.ts";
import { formatText } from "./types/text.ts";
import { writeTypeInfo, writeValue } from "./types/columns.ts";
import { SqlError, unpackText, type Storage } from "./types/storage.ts";
import { makeType } from "./types/types.ts";
import { readLogin } from "./wire/login.ts";
import {
  answerLogin,
  FIRST_PACKET_BYTES,
  type LoginSettings,
} from "./login.ts";
import { findProcedure, nameParameters } from "./procedures.ts";
import {
  MessageReader,
  MessageWriter,
  packetTypes,
  type Message,
} from "./wire/packets.ts";
import { buildPreLogin, encryption, readPreLogin } from "./wire/prelogin.ts";
import {
  readBatch,
  readCalls,
  readTransactionRequest,
  type Parameter,
  type Request,
} from "./wire/requests.ts";
import { ByteSink } from "./wire/sink.ts";
import { startTls } from "./wire/tls.ts";
import {
  doneStatus,
  tokens,
  writeByteChange,
  writeDone,
  writeMessage,
  writeReturnStatus,
} from "./wire/tokens.ts";

export interface SessionSettings extends LoginSettings {
  readonly tls: Certificate | null;
  readonly requireTls: boolean;
  readonly unknownLengths: boolean;
  readonly script: Script;
  openEngine(id: number, database: string): EngineSession;
}

/** TDS 7.3 B has NBCROW. */
const NULL_BITMAPS_SINCE = 0x730b0003;
/** Messages of a client that wait; more than a few means that it does not wait for answers. */
const WAITING_MAX = 16;

interface Prepared {
  readonly sql: string;
  /** Names, in the order in which values come without. */
  readonly declaration: string;
}

export class Session {
  readonly id: number;
  readonly #settings: SessionSettings;
  readonly #socket: Socket;
  #stream: Duplex;
  readonly #reader = new MessageReader();
  readonly #waiting: Message[] = [];
  #wake: (() => void) | null = null;
  #closed = false;
  #attention = false;
  #packetBytes = FIRST_PACKET_BYTES;
  #nullBitmaps = true;
  #engine: EngineSession | null = null;
  readonly #prepared = new Map<number, Prepared>();
  #nextHandle = 1;

  constructor(id: number, socket: Socket, settings: SessionSettings) {
    this.id = id;
    this.#socket = socket;
    this.#stream = socket;
    this.#settings = settings;
    socket.setNoDelay(true);
    socket.on("error", () => {}); // a client may leave at any time
    socket.on("close", () => this.#close());
  }

  #close(): void {
    this.#closed = true;
    this.#wake?.();
  }

  /** The client no longer waits for the answer. */
  get isCancelled(): boolean {
    return this.#attention || this.#closed;
  }

  destroy(): void {
    this.#socket.destroy();
  }

  readonly #receive = (piece: Buffer) => {
    try {
      for (const message of this.#reader.read(piece)) {
        if (message.type === packetTypes.attention) this.#attention = true;
        this.#waiting.push(message);
        if (this.#waiting.length > WAITING_MAX)
          throw new Error(`${this.#waiting.length} messages wait`);
      }
    } catch {
      this.destroy();
    }
    this.#wake?.();
  };

  async #next(): Promise<Message | null> {
    for (;;) {
      const message = this.#waiting.shift();
      if (message !== undefined) return message;
      if (this.#closed) return null;
      await new Promise<void>((resolve) => (this.#wake = resolve));
      this.#wake = null;
    }
  }

  /** Serves the client until it leaves. */
  async run(): Promise<void> {
    try {
      this.#stream.on("data", this.#receive);
      if (await this.#logIn())
        for (;;) {
          const message = await this.#next();
          if (message === null) break;
          await this.#serve(message);
        }
    } catch {
      // bytes that are no TDS, or a handshake that failed: nobody is there to be told
    } finally {
      this.#engine?.close();
      this.#socket.destroySoon();
    }
  }

  #writer(): MessageWriter {
    const limit = Math.min(this.#packetBytes, this.#settings.packetBytes);
    return new MessageWriter(this.#stream, limit);
  }

  async #send(sink: ByteSink): Promise<void> {
    const writer = this.#writer();
    writer.write(sink.bytes, 0, sink.length);
    await writer.end();
  }

  async #logIn(): Promise<boolean> {
    const { tls, requireTls, version } = this.#settings;
    let message = await this.#next();
    if (message === null) return false;
    if (message.type === packetTypes.preLogin) {
      const wish = readPreLogin(message.body);
      const wanted = wish === encryption.on || wish === encryption.required;
      const on = tls !== null && (wanted || requireTls);
      const answer = !on
        ? encryption.notSupported
        : wanted
          ? encryption.on
          : encryption.required;
      // taken off before the answer: what comes next is the handshake
      if (on) this.#stream.off("data", this.#receive);
      await this.#send(new ByteSink().raw(buildPreLogin(version, answer)));
      if (on) {
        this.#stream = await startTls(this.#socket, tls);
        this.#stream.on("error", () => this.destroy());
        this.#stream.on("data", this.#receive);
      }
      message = await this.#next();
    }
    if (message?.type !== packetTypes.login7) return false;
    return this.#checkLogin(message);
  }

  async #checkLogin({ body }: Message): Promise<boolean> {
    const login = readLogin(body);
    const sink = new ByteSink();
    const accepted = answerLogin(sink, login, this.#settings);
    await this.#send(sink);
    if (accepted === null) return false;
    this.#nullBitmaps = login.tdsVersion >= NULL_BITMAPS_SINCE;
    this.#packetBytes = accepted.packetBytes;
    this.#engine = this.#settings.openEngine(this.id, accepted.database);
    return true;
  }

  async #serve(message: Message): Promise<void> {
    const engine = this.#engine!;
    const sink = new ByteSink();
    if (message.reset) {
      engine.reset();
      this.#prepared.clear();
      writeByteChange(sink, "reset", Buffer.alloc(0), Buffer.alloc(0));
    }
    switch (message.type) {
      case packetTypes.attention:
        this.#attention = false;
        writeDone(sink, "done", doneStatus.attention);
        return this.#send(sink);
      case packetTypes.sqlBatch:
        return this.#serveRequests([readBatch(message.body)], sink);
      case packetTypes.rpc:
        return this.#serveRequests(readCalls(message.body), sink);
      case packetTypes.transactionManager:
        return this.#serveTransaction(
          readTransactionRequest(message.body),
          sink,
        );
      default:
        throw new Error(`a message of type ${message.type}`);
    }
  }

  #context(writer: MessageWriter): ResponseContext {
    return {
      writer,
      rows: {
        nullBitmaps: this.#nullBitmaps,
        unknownLengths: this.#settings.unknownLengths,
      },
      isCancelled: () => this.isCancelled,
      untilCancelled: async () => {
        while (!this.isCancelled)
          await new Promise<void>((resolve) => (this.#wake = resolve));
      },
      isInTransaction: () => this.#engine!.transactionCount > 0,
      drop: (how) => {
        if (how === "reset") this.#socket.resetAndDestroy();
        else this.#socket.end();
        this.#close();
      },
    };
  }

  async #serveRequests(
    requests: readonly Request[],
    head: ByteSink,
  ): Promise<void> {
    const writer = this.#writer();
    const context = this.#context(writer);
    writer.write(head.bytes, 0, head.length);
    const isBatch = requests[0]?.kind === "batch";
    const response = new Response(context, isBatch ? "done" : "doneInProc");
    try {
      for (const [i, request] of requests.entries()) {
        const more = i < requests.length - 1;
        if (request.kind === "batch")
          await this.#run(response, "batch", request.sql, []);
        else if (request.kind === "rpc")
          await this.#call(response, request, more);
      }
      if (isBatch) response.finish();
    } catch (error) {
      if (!(error instanceof Cancelled)) throw error;
      if (this.#closed) return;
      // the answer to the attention itself is a message of its own
      response.sink.clear();
      writeDone(response.sink, "done", doneStatus.error);
    }
    await response.end();
  }

  #record(
    kind: Statement["kind"],
    sql: string,
    parameters: readonly Parameter[],
  ): Statement {
    const engine = this.#engine!;
    const statement: Statement = {
      connection: this.id,
      kind,
      sql,
      params: Object.fromEntries(
        parameters.map(({ name, value, type }) => [
          name,
          value === null ? null : formatText(value, type),
        ]),
      ),
      isolation: engine.isolation,
      inTransaction: engine.transactionCount > 0,
      hints: [],
    };
    this.#settings.script.statements.push(statement);
    return statement;
  }

  /** Runs SQL; an error of the SQL stands in the response afterwards. @returns whether there was none */
  async #run(
    response: Response,
    kind: Statement["kind"],
    sql: string,
    parameters: readonly Parameter[],
  ): Promise<boolean> {
    const statement = this.#record(kind, sql, parameters);
    const { script } = this.#settings;
    const engine = this.#engine!;
    const before = engine.transactionCount;
    try {
      const fault = script.takeFault(sql);
      const laidDown = script.find(sql);
      const outcomes =
        laidDown === null
          ? engine.execute(sql, parameters, statement.hints)
          : iterate(laidDown);
      await response.send(outcomes, fault);
    } catch (error) {
      if (error instanceof Cancelled) throw error;
      response.fail(error);
      return false;
    } finally {
      this.#tellTransaction(response.sink, before);
    }
    return true;
  }

  /** Clients follow BEGIN TRAN in a batch by the descriptor. */
  #tellTransaction(sink: ByteSink, before: number): void {
    const engine = this.#engine!;
    const now = engine.transactionCount;
    if (before === 0 && now > 0)
      writeByteChange(sink, "begin", engine.descriptor, Buffer.alloc(0));
    if (before > 0 && now === 0)
      writeByteChange(
        sink,
        engine.wasRolledBack ? "rollback" : "commit",
        Buffer.alloc(0),
        engine.descriptor,
      );
  }

  async #call(
    response: Response,
    request: Extract<Request, { kind: "rpc" }>,
    more: boolean,
  ): Promise<void> {
    const { parameters } = request;
    const name = findProcedure(request.procedure);
    const text = (i: number) => {
      const value = parameters[i]?.value ?? "";
      return typeof value === "string" ? unpackText(value) : "";
    };
    let ok = true;
    const results: (readonly [Parameter, Storage])[] = [];
    const execute = async (handle: number, values: readonly Parameter[]) => {
      const prepared = this.#prepared.get(handle);
      if (prepared !== undefined)
        return this.#run(
          response,
          "execute",
          prepared.sql,
          nameParameters(prepared.declaration, values),
        );
      response.fail(
        new SqlError(
          8179,
          `Could not find prepared statement with handle ${handle}.`,
        ),
      );
      return false;
    };
    if (name === "sp_executesql")
      ok = await this.#run(
        response,
        "executesql",
        text(0),
        nameParameters(text(1), parameters.slice(2)),
      );
    else if (name === "sp_prepare" || name === "sp_prepexec") {
      const handle = this.#nextHandle;
      this.#nextHandle += 1;
      const sql = text(2);
      this.#record("prepare", sql, []);
      this.#prepared.set(handle, { sql, declaration: text(1) });
      results.push([parameters[0]!, BigInt(handle)]);
      if (name === "sp_prepexec")
        ok = await execute(handle, parameters.slice(3));
    } else if (name === "sp_execute")
      ok = await execute(Number(parameters[0]?.value), parameters.slice(1));
    else if (name === "sp_unprepare") {
      const handle = Number(parameters[0]?.value);
      this.#record("unprepare", this.#prepared.get(handle)?.sql ?? "", []);
      this.#prepared.delete(handle);
    } else {
      const values = parameters.map(({ name: of }) => of).join(", ");
      ok = await this.#run(
        response,
        "batch",
        `EXEC ${name} ${values}`.trim(),
        parameters,
      );
    }
    const { sink } = response;
    response.finishStatements();
    writeReturnStatus(sink, ok ? 0 : 1);
    const handleType = makeType("int");
    results.forEach(([parameter, value], i) => {
      sink.u8(tokens.returnValue).u16(i).shortText(parameter.name).u8(1);
      sink.u32(0).u16(1);
      writeTypeInfo(sink, handleType, true);
      writeValue(sink, value, handleType, true);
    });
    response.finishCall(!ok, more);
  }

  async #serveTransaction(request: Request, sink: ByteSink): Promise<void> {
    const engine = this.#engine!;
    const none = Buffer.alloc(0);
    try {
      if (request.kind === "begin") {
        const level =
          request.isolation === 0
            ? engine.isolation
            : (isolationLevels[request.isolation] ?? engine.isolation);
        this.#record("transaction", `BEGIN TRANSACTION ${level}`, []);
        engine.isolation = level;
        engine.begin();
        writeByteChange(sink, "begin", engine.descriptor, none);
      } else if (request.kind === "commit" || request.kind === "rollback") {
        const word = request.kind.toUpperCase();
        this.#record("transaction", `${word} TRANSACTION`, []);
        if (request.kind === "commit") engine.commit();
        else engine.rollback();
        writeByteChange(sink, request.kind, none, engine.descriptor);
        if (request.beginsAgain !== null) {
          engine.begin();
          writeByteChange(sink, "begin", engine.descriptor, none);
        }
      } else if (request.kind !== "save")
        throw new SqlError(
          8000,
          "This transaction manager request is not offered.",
        );
      writeDone(sink, "done", doneStatus.final);
    } catch (error) {
      if (!(error instanceof SqlError)) throw error;
      writeMessage(sink, "error", {
        number: error.number,
        message: error.message,
        class: error.severity,
      });
      writeDone(sink, "done", doneStatus.error);
    }
    return this.#send(sink);
  }
}

async function* iterate(outcomes: readonly Outcome[]): AsyncGenerator<Outcome> {
  yield* outcomes;
}
