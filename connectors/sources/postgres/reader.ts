/**
 * Reads one partition: a SELECT of the extended protocol whose rows go from the socket's buffer straight into column
 * buffers, and from there as batches into a sink.
 *
 * Backpressure: when the sink holds all batches that may exist (`SETS_MAX`), the socket is not read.
 */
import { strict as assert } from "node:assert";
import { isUtf8 } from "node:buffer";
import type { Position } from "../../../proto/partition.ts";
import { ExtractError, type ErrorDetails } from "../../../proto/error.ts";
import type { PartitionRead, ReadResult, ReadSink } from "../source.ts";
import type { PostgresReadTask } from "./stream.ts";
import type { PostgresConnection } from "./connection.ts";
import type { BatchSet } from "../batches/batch-set.ts";
import { createDecoder, type DecoderChoice } from "./decode/choose.ts";
import type { RowDecoder } from "./decode/decoder.ts";
import type { DecodePlan } from "./decode/plan.ts";
import { BatchSupply } from "../batches/supply.ts";
import { asSchemaChange, fromServerError, toSourceError } from "./errors.ts";
import { PagePacer } from "./page-pacer.ts";
import { createPositionReader } from "./position.ts";
import type { PositionReader } from "../position-reader.ts";
import {
  buildReadQuery,
  selectFields,
  type PageRange,
  type SelectedField,
} from "./read-query.ts";
import {
  encodeQuery,
  MESSAGE_BYTES_MAX,
  readErrorResponse,
  readRowDescription,
  tags,
  violation,
} from "./wire/messages.ts";
import type { ReadWindow } from "../wire/window.ts";
import type { WireConsumer } from "../wire/wire.ts";

/** The server builds a row in one allocation, which has this limit (MaxAllocSize in its memutils.h). */
const ROW_BYTES_SERVER_MAX = 0x3fff_ffff;
/** How long a cancelled statement may take to end before its connection is closed, in ms. */
const DRAIN_MS_MAX = 10_000;

export interface ReadOptions {
  /** Which decoder: for tests and measurements. */
  readonly decoder?: DecoderChoice;
  /** How often checkpoints are asked for, in ms: ctid queries are kept shorter than this. */
  readonly checkpointEveryMs?: number;
  /** Pages of the first ctid query; later ones adapt to the rate. For tests. */
  readonly firstPages?: number;
}

/**
 * Starts to read a partition. The connection must be idle, inside the transaction whose snapshot is to be read; it is
 * busy until `done` settles. After a rejection, or a stop inside a key range, its transaction is aborted:
 * `beginSnapshot` begins another.
 *
 * `stop()` where no checkpoint is allowed rejects `done` with SOURCE_CONNECTION_LOST, so that the partition is read
 * again from its last checkpoint.
 */
export function startRead(
  connection: PostgresConnection,
  task: PostgresReadTask,
  sink: ReadSink,
  options: ReadOptions = {},
): PartitionRead {
  const read = new TableRead(connection, task, sink, options);
  read.start();
  return read;
}

class TableRead implements PartitionRead, WireConsumer {
  readonly done: Promise<ReadResult>;
  readonly #connection: PostgresConnection;
  readonly #task: PostgresReadTask;
  readonly #sink: ReadSink;
  readonly #fields: readonly SelectedField[];
  readonly #decoder: RowDecoder;
  readonly #readPosition: PositionReader | null;
  readonly #pacer: PagePacer | null;
  readonly #resolve: (result: ReadResult) => void;
  readonly #reject: (error: Error) => void;

  readonly #supply: BatchSupply;
  /** Sink calls that have not settled. */
  #pending = 0;
  #checkpointPending = false;

  #rows = 0;
  #rowsSinceCheckpoint = 0;
  #checkpointRequested = false;
  #stopRequested = false;
  /** The server works on a statement of ours. */
  #active = false;
  /** No row is decoded any more; the statement's end is awaited. */
  #draining = false;
  #drainTimer: NodeJS.Timeout | null = null;
  /** A cancel request is on its way to the server. */
  #cancelling = false;
  #skipBytes = 0;
  #failure: Error | null = null;
  /** All rows are read, or the stop is honoured: what is left is the sink's. */
  #outcome: ReadResult["outcome"] | null = null;
  #settled = false;

  constructor(
    connection: PostgresConnection,
    task: PostgresReadTask,
    sink: ReadSink,
    options: ReadOptions,
  ) {
    this.#connection = connection;
    this.#task = task;
    this.#sink = sink;
    this.#fields = selectFields(task);
    const plan: DecodePlan = {
      fields: this.#fields,
      table: `${task.partition.relation.schema}.${task.partition.relation.name}`,
      policy: task.policy,
      valueNulled: (column, reason) => sink.valueNulled(column, reason),
    };
    this.#decoder = createDecoder(plan, options.decoder);
    this.#readPosition = createPositionReader(task, this.#fields);
    this.#pacer = createPacer(task, options);
    this.#supply = new BatchSupply(this.#fields, task.partition.estimatedRows);
    const settle = Promise.withResolvers<ReadResult>();
    this.done = settle.promise;
    this.#resolve = settle.resolve;
    this.#reject = settle.reject;
  }

  start(): void {
    this.#connection.beginRead();
    this.#connection.wire.take(this);
    this.#sendQuery();
  }

  requestCheckpoint(): void {
    this.#checkpointRequested = true;
  }

  stop(): void {
    this.#stopRequested = true;
    if (this.#pacer === null && this.#readPosition === null) {
      this.cancel(
        new ExtractError(
          "SOURCE_CONNECTION_LOST",
          "the read was stopped where no checkpoint is allowed",
          this.#details(),
        ),
      );
      return;
    }
    try {
      this.#sealInside();
      this.#stopWhereSealed();
    } catch (error) {
      this.#fail(asError(error));
    }
  }

  cancel(reason: Error): void {
    this.#fail(reason);
  }

  // --- the wire ---

  consume(window: ReadWindow): "more" | "stalled" | "finished" {
    for (;;) {
      try {
        const outcome = this.#consumeMessages(window);
        if (outcome !== null) return outcome;
      } catch (error) {
        this.#fail(asError(error));
        if (isViolation(this.#failure)) window.consumed(window.end);
      }
      if (this.#settled || !this.#active) return "finished";
    }
  }

  lost(error: Error | null): void {
    this.#active = false;
    this.#failure ??= new ExtractError(
      "SOURCE_CONNECTION_LOST",
      `the connection was lost while ${this.#tableName()} was read${error === null ? "" : `: ${error.message}`}`,
      this.#details(),
      { cause: error },
    );
    this.#settle();
  }

  /** Null: nothing is left to consume because the statement ended. */
  #consumeMessages(window: ReadWindow): "more" | "stalled" | null {
    while (this.#active) {
      if (this.#skipBytes > 0) {
        const byteCount = Math.min(this.#skipBytes, window.end - window.start);
        this.#skipBytes -= byteCount;
        window.consumed(window.start + byteCount);
        if (this.#skipBytes > 0) return "more";
      }
      const { buffer, view, start, end } = window;
      if (end - start < 5) return "more";
      const length = view.getInt32(start + 1);
      const tag = buffer[start];
      if (length < 4) throw violation(`a message of ${length} bytes`);
      if (tag !== tags.dataRow) {
        if (length > MESSAGE_BYTES_MAX) {
          throw violation(`a message of ${length} bytes`);
        }
        if (end - start < length + 1) {
          window.expect(length + 1);
          return "more";
        }
        this.#takeMessage(tag ?? 0, buffer, start + 5, start + 1 + length);
        window.consumed(start + 1 + length);
      } else if (this.#draining) {
        this.#skipBytes = length + 1;
      } else {
        const outcome = this.#takeRows(window, length);
        if (outcome !== null) return outcome;
      }
    }
    return null;
  }

  /** Decodes the rows that are there; `length` is that of the first. */
  #takeRows(window: ReadWindow, length: number): "more" | "stalled" | null {
    const { buffer, view, start, end } = window;
    if (length > ROW_BYTES_SERVER_MAX) {
      throw violation(`a row of ${length} bytes`);
    }
    if (length > this.#task.rowBytesMax) {
      throw new ExtractError(
        "SOURCE_ROW_TOO_LARGE",
        `a row of ${this.#tableName()} has ${length} bytes; ${this.#task.rowBytesMax} are allowed`,
        { ...this.#details(), bytes: length },
      );
    }
    if (end - start < length + 1) {
      window.expect(length + 1);
      return "more";
    }
    const set = this.#supply.open();
    if (set === null) return "stalled";
    const before = set.rowCount;
    const offset = this.#decoder.decode(set, buffer, view, start, end);
    this.#rows += set.rowCount - before;
    window.consumed(offset);
    if (set.isFull) this.#emit();
    if (this.#checkpointRequested || this.#stopRequested) this.#sealInside();
    return null;
  }

  #takeMessage(tag: number, buffer: Buffer, start: number, end: number): void {
    switch (tag) {
      case tags.rowDescription:
        if (!this.#draining) this.#checkDescription(buffer, start, end);
        return;
      case tags.errorResponse: {
        const error = readErrorResponse(buffer, start, end);
        this.#draining = true;
        // what the server says of a statement that we cancelled is not news
        if (this.#failure === null && this.#outcome === null) {
          this.#failure = asSchemaChange(
            fromServerError(error, this.#details()),
          );
        }
        return;
      }
      case tags.readyForQuery:
        this.#takeReady();
        return;
      case tags.parseComplete:
      case tags.bindComplete:
      case tags.noData:
      case tags.commandComplete:
      case tags.emptyQuery:
      case tags.noticeResponse:
      case tags.notification:
      case tags.parameterStatus:
        return;
      default:
        throw violation(`a message of type ${tag} in the answer to a query`);
    }
  }

  /** The server's columns must be those that the decoder was made for. */
  #checkDescription(buffer: Buffer, start: number, end: number): void {
    const described = readRowDescription(buffer, start, end);
    for (const [index, field] of this.#fields.entries()) {
      const found = described[index];
      if (
        found?.typeOid === field.resultOid &&
        found.format === field.format &&
        described.length === this.#fields.length
      ) {
        continue;
      }
      throw new ExtractError(
        "SOURCE_SCHEMA_CHANGED",
        `${this.#tableName()}.${field.name} came as type ${found?.typeOid ?? "none"}, not ${field.resultOid} as discovered`,
        { ...this.#details(), column: field.name },
      );
    }
  }

  // --- statements ---

  #sendQuery(): void {
    const range: PageRange | null = this.#pacer?.next() ?? null;
    const query = buildReadQuery(this.#task, this.#fields, range);
    this.#active = true;
    this.#sink.statement?.(query.sql);
    this.#connection.wire.write(encodeQuery(query));
  }

  /** A statement has ended and the connection is idle. */
  #takeReady(): void {
    this.#active = false;
    if (this.#drainTimer !== null) clearTimeout(this.#drainTimer);
    if (this.#failure !== null || this.#outcome !== null) {
      this.#settle();
      return;
    }
    const border = this.#pacer?.finishRange() ?? null;
    if (border === null) {
      this.#finishRows("end");
    } else {
      this.#passBorder(border);
    }
  }

  /** Between two ctid queries: everything before the page `nextPage` is read. */
  #passBorder(nextPage: number): void {
    if (this.#checkpointRequested || this.#stopRequested) {
      this.#emit();
      this.#checkpoint({ kind: "pages", nextPage }, false);
      if (this.#stopRequested) {
        this.#finishRows("stopped");
        return;
      }
    }
    this.#sendQuery();
  }

  // --- batches and checkpoints ---

  /** Hands the current batch on, if it has rows. */
  #emit(): void {
    const set = this.#supply.take();
    if (set === null) return;
    this.#rowsSinceCheckpoint += set.rowCount;
    const batch = set.toBatch(this.#task.stream.columns.length);
    if (this.#connection.textIsUnchecked) this.#checkText(set);
    this.#call(this.#sink.batch(batch), () => {
      this.#supply.giveBack(set);
      this.#connection.wire.wake();
    });
  }

  /** A SQL_ASCII database holds any bytes; our text is UTF-8. */
  #checkText(set: BatchSet): void {
    for (const [index, field] of this.#fields.entries()) {
      const store = set.columns[index];
      if (field.kind !== "bytes" || field.logical === "binary" || !store) {
        continue;
      }
      if (!isUtf8(store.values.subarray(0, store.end))) {
        throw new ExtractError(
          "SOURCE_VALUE_UNREPRESENTABLE",
          `${this.#tableName()}.${field.name} holds text that is not UTF-8, and the database (SQL_ASCII) cannot say what it is`,
          { ...this.#details(), column: field.name },
        );
      }
    }
  }

  #checkpoint(position: Position | null, last: boolean): void {
    this.#checkpointRequested = false;
    this.#checkpointPending = true;
    this.#rowsSinceCheckpoint = 0;
    this.#call(this.#sink.checkpoint(position, last), () => {
      this.#checkpointPending = false;
    });
  }

  /** Seals behind the last row of the current batch, where the partition allows it, and honours a stop there. */
  #sealInside(): void {
    const set = this.#supply.filled;
    if (this.#readPosition === null || set === null) return;
    if (this.#outcome !== null || this.#failure !== null) return;
    if (this.#checkpointPending && !this.#stopRequested) return;
    const position = this.#readPosition(set, set.rowCount - 1);
    if (position === null) return;
    this.#emit();
    this.#checkpoint(position, false);
    this.#stopWhereSealed();
  }

  /** Ends a key range that was asked to stop, if nothing is read beyond its last checkpoint. */
  #stopWhereSealed(): void {
    if (
      !this.#stopRequested ||
      this.#readPosition === null ||
      this.#rowsSinceCheckpoint > 0 ||
      this.#outcome !== null ||
      this.#failure !== null
    ) {
      return;
    }
    this.#finishRows("stopped");
    this.#endStatement();
  }

  /** No row comes any more. */
  #finishRows(outcome: ReadResult["outcome"]): void {
    this.#outcome = outcome;
    try {
      if (outcome === "end") {
        this.#emit();
        this.#checkpoint(null, true);
      }
      this.#settle();
    } catch (error) {
      this.#fail(asError(error));
    }
  }

  #call(call: Promise<void>, then: () => void): void {
    this.#pending++;
    call.then(
      () => {
        this.#pending--;
        if (this.#failure === null) then();
        this.#settle();
      },
      (error: unknown) => {
        this.#pending--;
        this.#fail(asError(error));
      },
    );
  }

  // --- the end ---

  /** The first failure counts. The statement is cancelled and its rows are thrown away until the server is ready. */
  #fail(error: Error): void {
    if (this.#settled || this.#failure !== null) return;
    this.#failure = error;
    this.#endStatement();
    this.#settle();
  }

  #endStatement(): void {
    if (!this.#active || this.#draining) return;
    this.#draining = true;
    this.#drainTimer = setTimeout(
      () => this.#connection.destroy(),
      DRAIN_MS_MAX,
    );
    // bytes that break the protocol cannot be drained
    if (isViolation(this.#failure)) {
      this.#connection.destroy();
      return;
    }
    this.#cancelling = true;
    void this.#connection.cancelQuery().then((isOver) => {
      this.#cancelling = false;
      // a request that is still under way would end a later statement
      if (!isOver) this.#connection.destroy();
      this.#settle();
    });
    this.#connection.wire.wake();
  }

  /** Settles `done` once the statement has ended and, without a failure, the sink has taken everything. */
  #settle(): void {
    if (this.#settled || this.#active) return;
    if (this.#cancelling && !this.#connection.wire.closed) return;
    if (this.#failure === null) {
      if (this.#outcome === null || this.#pending > 0) return;
    }
    this.#settled = true;
    if (this.#drainTimer !== null) clearTimeout(this.#drainTimer);
    this.#connection.endRead();
    if (this.#failure !== null) {
      this.#reject(this.#failure);
    } else {
      assert(this.#outcome !== null);
      this.#resolve({ outcome: this.#outcome, rows: this.#rows });
    }
  }

  #tableName(): string {
    const { schema, name } = this.#task.partition.relation;
    return `${schema}.${name}`;
  }

  #details(): ErrorDetails {
    return {
      ...this.#connection.details,
      table: this.#tableName(),
      stream: this.#task.partition.stream,
      partition: this.#task.partition.ordinal,
    };
  }
}

function createPacer(
  task: PostgresReadTask,
  options: ReadOptions,
): PagePacer | null {
  const { split, relation } = task.partition;
  if (split.kind !== "pages") return null;
  const resumeAt =
    task.resumeAfter?.kind === "pages" ? task.resumeAfter.nextPage : null;
  assert((resumeAt === null) === (task.resumeAfter === null), "a key in pages");
  const leaf = task.stream.leaves.find(({ oid }) => oid === relation.oid);
  return new PagePacer(
    resumeAt ?? split.startPage,
    split.endPage,
    leaf?.pages ?? 0,
    options.checkpointEveryMs,
    options.firstPages,
  );
}

function isViolation(error: Error | null): boolean {
  return (
    error instanceof ExtractError && error.code === "SOURCE_PROTOCOL_VIOLATION"
  );
}

/** Assertions and other faults of ours stay what they are. */
function asError(error: unknown): Error {
  return error instanceof Error ? error : toSourceError(error);
}
