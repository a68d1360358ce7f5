/** Sends the outcomes of one request as tokens, lazily: rows are made as long as the socket takes them. */
import { setImmediate as breathe } from "node:timers/promises";
import type { Outcome } from "./outcome.ts";
import { ScriptedError, type Fault } from "./script.ts";
import { SqlError } from "./types/storage.ts";
import { writeColumns, writeRow, type RowOptions } from "./types/columns.ts";
import type { MessageWriter } from "./wire/packets.ts";
import { ByteSink } from "./wire/sink.ts";
import {
  doneStatus,
  writeDone,
  writeMessage,
  writeTextChange,
  type DoneKind,
  type ServerMessage,
} from "./wire/tokens.ts";

/** Tokens are moved into packets in pieces of about this size. */
const PIECE_BYTES = 16 * 1024;
/** So many bytes may be made before other connections have their turn. */
const TURN_BYTES = 256 * 1024;

export interface ResponseContext {
  readonly writer: MessageWriter;
  readonly rows: RowOptions;
  /** True when the client sent an attention, or is gone. */
  isCancelled(): boolean;
  /** Resolves when that becomes true. */
  untilCancelled(): Promise<void>;
  isInTransaction(): boolean;
  /** Ends the connection. */
  drop(how: "drop" | "reset"): void;
}

/** The client cancelled, or the connection was dropped: nothing more is sent of this request. */
export class Cancelled extends Error {}

export class Response {
  readonly sink = new ByteSink();
  readonly #context: ResponseContext;
  readonly #kind: DoneKind;
  /** A DONE is written when it is known whether more follows. */
  #pending: { status: number; count: number } | null = null;
  #turnBytes = 0;

  /** @param kind of the DONE behind each statement */
  constructor(context: ResponseContext, kind: "done" | "doneInProc") {
    this.#context = context;
    this.#kind = kind;
  }

  #flushDone(more: boolean): void {
    if (this.#pending === null) return;
    const { status, count } = this.#pending;
    this.#pending = null;
    const transaction = this.#context.isInTransaction()
      ? doneStatus.inTransaction
      : 0;
    const isMore = more || this.#kind === "doneInProc" ? doneStatus.more : 0;
    writeDone(this.sink, this.#kind, status | transaction | isMore, count);
  }

  async #send(): Promise<void> {
    const { writer } = this.#context;
    writer.write(this.sink.bytes, 0, this.sink.length);
    this.#turnBytes += this.sink.length;
    this.sink.clear();
    if (writer.isFull) await writer.flush();
    if (this.#turnBytes > TURN_BYTES) {
      this.#turnBytes = 0;
      await breathe();
    }
    if (this.#context.isCancelled()) throw new Cancelled();
  }

  /** @throws Cancelled */
  async send(
    outcomes: AsyncIterable<Outcome>,
    fault: Fault | null,
  ): Promise<void> {
    for await (const outcome of outcomes) {
      this.#flushDone(true);
      switch (outcome.kind) {
        case "rows":
        case "bytes": {
          writeColumns(this.sink, outcome.columns);
          const count = await (outcome.kind === "rows"
            ? this.#sendRows(outcome, fault)
            : this.#sendBytes(outcome, fault));
          this.#pending = { status: doneStatus.count, count };
          break;
        }
        case "count":
          if (fault !== null) await this.#strike(fault);
          this.#pending = { status: doneStatus.count, count: outcome.count };
          break;
        case "info":
          writeMessage(this.sink, "info", outcome.message);
          break;
        case "database":
          writeTextChange(this.sink, "database", outcome.name, outcome.name);
          break;
        case "done":
          if (fault !== null) await this.#strike(fault);
          this.#pending = { status: doneStatus.final, count: 0 };
      }
      if (this.sink.length > PIECE_BYTES) await this.#send();
    }
  }

  async #sendRows(
    { columns, rows }: Extract<Outcome, { kind: "rows" }>,
    fault: Fault | null,
  ): Promise<number> {
    const strikesAt = fault === null ? -1 : (fault.afterRows ?? 0);
    let count = 0;
    if (strikesAt === 0) await this.#strike(fault!);
    // a loop of its own for rows that are at hand: awaiting each would cost more than to make it
    if (Symbol.iterator in rows) {
      for (const row of rows) {
        writeRow(this.sink, columns, row, this.#context.rows);
        count += 1;
        if (this.sink.length > PIECE_BYTES) await this.#send();
        if (count === strikesAt) await this.#strike(fault!);
      }
      return count;
    }
    for await (const row of rows) {
      writeRow(this.sink, columns, row, this.#context.rows);
      count += 1;
      if (this.sink.length > PIECE_BYTES) await this.#send();
      if (count === strikesAt) await this.#strike(fault!);
    }
    return count;
  }

  async #sendBytes(
    { pieces }: Extract<Outcome, { kind: "bytes" }>,
    fault: Fault | null,
  ): Promise<number> {
    let count = 0;
    if (fault !== null && (fault.afterRows ?? 0) === 0)
      await this.#strike(fault);
    for (const { bytes, rowCount } of pieces) {
      if (this.sink.length > 0) await this.#send();
      for (let at = 0; at < bytes.length; at += TURN_BYTES) {
        const end = Math.min(bytes.length, at + TURN_BYTES);
        this.#context.writer.write(bytes, at, end);
        this.#turnBytes += end - at;
        await this.#send();
      }
      count += rowCount;
      if (fault !== null && count >= (fault.afterRows ?? 0))
        await this.#strike(fault);
    }
    return count;
  }

  async #strike(fault: Fault): Promise<void> {
    if (fault.kind === "error")
      throw new ScriptedError(
        fault.error ?? { number: 50_000, message: "a fault laid down" },
      );
    await this.#send();
    await this.#context.writer.flush({ unfinished: true });
    if (fault.kind === "stall") await this.#context.untilCancelled();
    else this.#context.drop(fault.kind);
    throw new Cancelled();
  }

  /** Ends the response of a batch. */
  finish(): void {
    this.#pending ??= { status: doneStatus.final, count: 0 };
    this.#flushDone(false);
  }

  /** Ends the statements of a call; its status and its results come next. */
  finishStatements(): void {
    this.#flushDone(true);
  }

  /** Ends the response of a call. */
  finishCall(failed: boolean, more: boolean): void {
    const transaction = this.#context.isInTransaction()
      ? doneStatus.inTransaction
      : 0;
    writeDone(
      this.sink,
      "doneProc",
      transaction |
        (failed ? doneStatus.error : 0) |
        (more ? doneStatus.more : 0),
    );
  }

  fail(error: unknown): void {
    this.#flushDone(true);
    writeMessage(this.sink, "error", describeError(error));
    this.#pending = { status: doneStatus.error, count: 0 };
  }

  /** Sends what is written and marks the end of the message. */
  async end(): Promise<void> {
    const { writer } = this.#context;
    writer.write(this.sink.bytes, 0, this.sink.length);
    this.sink.clear();
    await writer.end();
  }
}

function describeError(error: unknown): ServerMessage {
  if (error instanceof ScriptedError) return error.error;
  if (error instanceof SqlError)
    return {
      number: error.number,
      message: error.message,
      class: error.severity,
      state: error.state,
    };
  // a fault of this server: said in full, so that a test that meets it can be understood
  const text =
    error instanceof Error ? (error.stack ?? error.message) : String(error);
  return {
    number: 50_001,
    message: `the test server failed: ${text}`.slice(0, 4000),
  };
}
