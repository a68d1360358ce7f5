/**
 * Reads one partition: a prepared SELECT whose binary rows go from the socket's buffer straight into column buffers,
 * and from there as batches into a sink.
 *
 * Backpressure: when the sink holds all batches that may exist (`SETS_MAX`), the socket is not read.
 */
import { strict as assert } from "node:assert";
import { isUtf8 } from "node:buffer";
import type { Position } from "../../../proto/partition.ts";
import { ExtractError, type ErrorDetails } from "../../../proto/error.ts";
import { BatchSupply } from "../batches/supply.ts";
import type { BatchSet } from "../batches/batch-set.ts";
import type { PartitionRead, ReadResult, ReadSink } from "../source.ts";
import type { MysqlConnection } from "./connection.ts";
import { createDecoder, type DecoderChoice } from "./decode/choose.ts";
import type { RowDecoder } from "./decode/decoder.ts";
import type { DecodePlan } from "./decode/plan.ts";
import { asSchemaChange, fromServerError, toSourceError } from "./errors.ts";
import { createPositionReader } from "./position.ts";
import type { PositionReader } from "../position-reader.ts";
import {
  buildReadQuery,
  selectFields,
  type SelectedField,
} from "./read-query.ts";
import { isExpected } from "./result-check.ts";
import type { MysqlReadTask } from "./stream.ts";
import { endsRows, StatementAnswer } from "./wire/answer.ts";
import { LargeRow } from "./wire/large-row.ts";
import {
  encodeClose,
  encodeExecute,
  encodePrepare,
  HEADER_BYTES,
  markers,
  MESSAGE_BYTES_MAX,
  PAYLOAD_BYTES_MAX,
  readError,
  violation,
} from "./wire/packets.ts";
import type { ReadWindow } from "../wire/window.ts";
import type { WireConsumer } from "../wire/wire.ts";

/** How long a cancelled statement may take to end before its connection is closed, in ms. */
const DRAIN_MS_MAX = 10_000;

export interface ReadOptions {
  /** Which decoder: for tests and measurements. */
  readonly decoder?: DecoderChoice;
  /** How often checkpoints are asked for, in ms: here they are possible behind any row, or not at all. */
  readonly checkpointEveryMs?: number;
}

/**
 * Starts to read a partition. The connection must be idle, inside the transaction whose snapshot is to be read; it is
 * busy until `done` settles. Its transaction goes on whatever the outcome, unless the connection is lost.
 *
 * `stop()` where no checkpoint is allowed rejects `done` with SOURCE_CONNECTION_LOST, so that the partition is read
 * again from its last checkpoint.
 */
export function startRead(
  connection: MysqlConnection,
  task: MysqlReadTask,
  sink: ReadSink,
  options: ReadOptions = {},
): PartitionRead {
  const read = new TableRead(connection, task, sink, options);
  read.start();
  return read;
}

class TableRead implements PartitionRead, WireConsumer {
  readonly done: Promise<ReadResult>;
  readonly #connection: MysqlConnection;
  readonly #task: MysqlReadTask;
  readonly #sink: ReadSink;
  readonly #fields: readonly SelectedField[];
  readonly #decoder: RowDecoder;
  readonly #readPosition: PositionReader | null;
  readonly #resolve: (result: ReadResult) => void;
  readonly #reject: (error: Error) => void;
  readonly #answer: StatementAnswer;
  readonly #supply: BatchSupply;

  /** Number of the next packet. */
  #sequence = 1;
  /** Bytes to come of a packet whose header is taken: of a large row, or thrown away. */
  #packetLeft = 0;
  /** The next packet belongs to the same row. */
  #continues = false;
  #large: LargeRow | null = null;

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
  /** One has arrived there, and may have been kept for the next statement. */
  #wasCancelled = false;
  #failure: Error | null = null;
  /** All rows are read, or the stop is honoured: what is left is the sink's. */
  #outcome: ReadResult["outcome"] | null = null;
  #settled = false;

  constructor(
    connection: MysqlConnection,
    task: MysqlReadTask,
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
      rowBytesMax: task.rowBytesMax,
      valueNulled: (column, reason) => sink.valueNulled(column, reason),
    };
    this.#decoder = createDecoder(plan, options.decoder);
    this.#readPosition = createPositionReader(task, this.#fields);
    this.#answer = new StatementAnswer(connection.capabilities);
    this.#supply = new BatchSupply(this.#fields, task.partition.estimatedRows);
    const settle = Promise.withResolvers<ReadResult>();
    this.done = settle.promise;
    this.#resolve = settle.resolve;
    this.#reject = settle.reject;
  }

  start(): void {
    const ordered = this.#readPosition !== null;
    const sql = buildReadQuery(this.#task, this.#fields, ordered);
    this.#connection.beginRead();
    this.#connection.wire.take(this);
    this.#active = true;
    this.#sink.statement?.(sql);
    this.#connection.wire.write(encodePrepare(sql));
  }

  requestCheckpoint(): void {
    this.#checkpointRequested = true;
  }

  stop(): void {
    this.#stopRequested = true;
    if (this.#readPosition === null) {
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
        const outcome = this.#consumePackets(window);
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
  #consumePackets(window: ReadWindow): "more" | "stalled" | null {
    while (this.#active) {
      if (this.#packetLeft > 0 && !this.#takePart(window)) return "more";
      if (this.#large !== null && !this.#continues) {
        if (!this.#takeLargeRow(this.#large)) return "stalled";
        continue;
      }
      const { buffer, view, start, end } = window;
      if (end - start < HEADER_BYTES + (this.#continues ? 0 : 1)) return "more";
      const length = view.getInt32(start, true) & PAYLOAD_BYTES_MAX;
      const marker = buffer[start + HEADER_BYTES];
      if (this.#continues) {
        this.#openPacket(window, length);
      } else if (length === 0) {
        throw violation("an empty packet");
      } else if (!this.#answer.isInRows || marker !== markers.ok) {
        if (length > MESSAGE_BYTES_MAX) {
          throw violation(`a packet of ${length} bytes`);
        }
        const next = start + HEADER_BYTES + length;
        if (end < next) return "more";
        this.#takeSequence(buffer, start, 1);
        window.consumed(next);
        this.#takePacket(buffer, start + HEADER_BYTES, next);
      } else if (this.#draining || length === PAYLOAD_BYTES_MAX) {
        this.#openPacket(window, length);
      } else {
        const outcome = this.#takeRows(window, length);
        if (outcome !== null) return outcome;
      }
    }
    return null;
  }

  #takeSequence(buffer: Buffer, start: number, packets: number): void {
    if (!this.#draining && buffer[start + 3] !== this.#sequence) {
      throw violation(
        `packet ${buffer[start + 3]} where ${this.#sequence} is due`,
      );
    }
    this.#sequence = (this.#sequence + packets) & 255;
  }

  /** Takes the header of a packet whose payload is taken piece by piece. */
  #openPacket(window: ReadWindow, length: number): void {
    this.#takeSequence(window.buffer, window.start, 1);
    window.consumed(window.start + HEADER_BYTES);
    this.#packetLeft = length;
    this.#continues = length === PAYLOAD_BYTES_MAX;
    if (this.#draining) return;
    this.#large ??= new LargeRow();
    this.#checkRowBytes(this.#large.length + length);
    this.#large.reserve(length);
  }

  /** Takes what is there of a packet's payload. Returns whether that is all of it. */
  #takePart(window: ReadWindow): boolean {
    const { buffer, start, end } = window;
    const next = Math.min(end, start + this.#packetLeft);
    if (!this.#draining) this.#large?.append(buffer, start, next);
    this.#packetLeft -= next - start;
    window.consumed(next);
    return this.#packetLeft === 0;
  }

  /** Decodes a large row that is complete. Returns whether there was a batch for it. */
  #takeLargeRow(large: LargeRow): boolean {
    if (!this.#draining) {
      const set = this.#supply.open();
      if (set === null) return false;
      const { buffer, view, length } = large;
      const end = HEADER_BYTES + length;
      const before = set.rowCount;
      const offset = this.#decoder.decode(set, buffer, view, 0, end, length);
      this.#countRows(set, before);
      // the batch was full before it
      if (offset === 0) return true;
    }
    this.#large = null;
    return true;
  }

  /** Decodes the rows that are there; `length` is that of the first. */
  #takeRows(window: ReadWindow, length: number): "more" | "stalled" | null {
    const { buffer, view, start, end } = window;
    this.#checkRowBytes(length);
    if (end - start < HEADER_BYTES + length) {
      window.expect(HEADER_BYTES + length);
      return "more";
    }
    const set = this.#supply.open();
    if (set === null) return "stalled";
    const before = set.rowCount;
    const offset = this.#decoder.decode(set, buffer, view, start, end, 0);
    this.#takeSequence(buffer, start, set.rowCount - before);
    window.consumed(offset);
    this.#countRows(set, before);
    return null;
  }

  #countRows(set: BatchSet, before: number): void {
    this.#rows += set.rowCount - before;
    if (set.isFull) this.#emit();
    if (this.#checkpointRequested || this.#stopRequested) this.#sealInside();
  }

  #checkRowBytes(byteCount: number): void {
    if (byteCount <= this.#task.rowBytesMax) return;
    throw new ExtractError(
      "SOURCE_ROW_TOO_LARGE",
      `a row of ${this.#tableName()} has ${byteCount} bytes or more; ${this.#task.rowBytesMax} are allowed`,
      { ...this.#details(), bytes: byteCount },
    );
  }

  /** Takes the payload `buffer[start, end)` of a packet that is no row. */
  #takePacket(buffer: Buffer, start: number, end: number): void {
    const answer = this.#answer;
    if (buffer[start] === markers.error) {
      const error = readError(buffer, start, end);
      // what the server says of a statement that we cancelled is not news
      if (this.#failure === null && this.#outcome === null) {
        this.#failure = asSchemaChange(fromServerError(error, this.#details()));
      }
      this.#takeEnd();
    } else if (answer.isInRows && endsRows(buffer, start)) {
      this.#takeEnd();
    } else {
      const step = answer.take(buffer, start, end);
      if (step === "prepared") this.#execute();
      else if (step === "rows" && !this.#draining) this.#checkResult();
    }
  }

  #execute(): void {
    const { statement, parameters } = this.#answer;
    assert(statement !== null);
    if (parameters > 0) {
      this.#failure ??= new ExtractError(
        "SOURCE_QUERY_FAILED",
        "the condition has a question mark outside quotes, which stands for a parameter",
        this.#details(),
      );
    }
    if (this.#failure !== null || this.#outcome !== null) {
      this.#takeEnd();
      return;
    }
    this.#sequence = 1;
    this.#connection.wire.write(encodeExecute(statement));
  }

  /** The server's columns must be those that the decoder was made for. */
  #checkResult(): void {
    const found = this.#answer.fields;
    for (const [index, field] of this.#fields.entries()) {
      const result = found[index];
      if (
        result !== undefined &&
        found.length === this.#fields.length &&
        isExpected(field, result)
      ) {
        continue;
      }
      const came =
        result === undefined
          ? "not at all"
          : `as type ${result.type} with collation ${result.charset} and ${result.decimals} decimals`;
      throw new ExtractError(
        "SOURCE_SCHEMA_CHANGED",
        `${this.#tableName()}.${field.name} came ${came}, not as it was discovered`,
        { ...this.#details(), column: field.name },
      );
    }
  }

  /** The statement has ended and the connection is idle. */
  #takeEnd(): void {
    this.#active = false;
    const { statement } = this.#answer;
    if (statement !== null) {
      this.#connection.wire.write(encodeClose(statement));
    }
    if (this.#failure === null && this.#outcome === null) {
      this.#finishRows("end");
    } else {
      this.#settle();
    }
  }

  // --- batches and checkpoints ---

  /** Hands the current batch on, if it has rows. */
  #emit(): void {
    const set = this.#supply.take();
    if (set === null) return;
    this.#rowsSinceCheckpoint += set.rowCount;
    const batch = set.toBatch(this.#task.stream.columns.length);
    this.#checkText(set);
    this.#call(this.#sink.batch(batch), () => {
      this.#supply.giveBack(set);
      this.#connection.wire.wake();
    });
  }

  /** The server passes a text on as it is where the column's character set is that of the connection. */
  #checkText(set: BatchSet): void {
    for (const [index, field] of this.#fields.entries()) {
      const store = set.columns[index];
      if (field.kind !== "bytes" || field.logical === "binary" || !store) {
        continue;
      }
      if (!isUtf8(store.values.subarray(0, store.end))) {
        throw new ExtractError(
          "SOURCE_VALUE_UNREPRESENTABLE",
          `${this.#tableName()}.${field.name} holds text that is not UTF-8`,
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

  /** The first failure counts. The statement is cancelled and its rows are thrown away until it ends. */
  #fail(error: Error): void {
    if (this.#settled || this.#failure !== null) return;
    this.#failure = error;
    this.#endStatement();
    this.#settle();
  }

  #endStatement(): void {
    if (!this.#active || this.#draining) return;
    this.#draining = true;
    // bytes that break the protocol cannot be drained
    if (isViolation(this.#failure)) {
      this.#connection.destroy();
      return;
    }
    this.#drainTimer = setTimeout(
      () => this.#connection.destroy(),
      DRAIN_MS_MAX,
    );
    this.#cancelling = true;
    void this.#connection.cancelQuery().then((isOver) => {
      this.#cancelling = false;
      this.#wasCancelled = true;
      // a request that is still under way would end a later statement
      if (!isOver) this.#connection.destroy();
      this.#settle();
    });
    this.#connection.wire.wake();
  }

  /** Settles `done` once the statement has ended and, without a failure, the sink has taken everything. */
  #settle(): void {
    if (this.#settled || this.#active) return;
    const { closed } = this.#connection.wire;
    if (this.#cancelling && !closed) return;
    if (this.#failure === null) {
      if (this.#outcome === null || this.#pending > 0) return;
    }
    this.#settled = true;
    if (this.#drainTimer !== null) clearTimeout(this.#drainTimer);
    this.#connection.endRead();
    if (this.#wasCancelled && !closed) {
      void this.#connection.absorbCancel().then(() => this.#report());
    } else {
      this.#report();
    }
  }

  #report(): void {
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

function isViolation(error: Error | null): boolean {
  return (
    error instanceof ExtractError && error.code === "SOURCE_PROTOCOL_VIOLATION"
  );
}

/** Assertions and other faults of ours stay what they are. */
function asError(error: unknown): Error {
  return error instanceof Error ? error : toSourceError(error);
}
