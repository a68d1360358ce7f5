/**
 * Reads one partition: a SELECT whose row tokens go from the driver's packets straight into column buffers, and from
 * there as batches into a sink.
 *
 * Backpressure: when the sink holds all batches that may exist, the answer is not read, so the socket fills up and the
 * server waits.
 */
import { strict as assert } from "node:assert";
import { isUtf8 } from "node:buffer";
import { BATCH_BYTES_MAX } from "../../../proto/columns.ts";
import type { KeyTuple, Position } from "../../../proto/partition.ts";
import { ExtractError, type ErrorDetails } from "../../../proto/error.ts";
import type { PartitionRead, ReadResult, ReadSink } from "../source.ts";
import type { BatchSet } from "../batches/batch-set.ts";
import { BatchSupply } from "../batches/supply.ts";
import type { MssqlConnection, RowRequest } from "./connection.ts";
import { createDecoder, type DecoderChoice } from "./decode/choose.ts";
import type { RowDecoder } from "./decode/decoder.ts";
import {
  refuseRowBytes,
  type DecodePlan,
  type FieldPlan,
} from "./decode/plan.ts";
import { matchColumns } from "./decode/wire-columns.ts";
import { asSchemaChange, toSourceError } from "./errors.ts";
import { createPositions, type Positions } from "./position.ts";
import {
  boundValueBytes,
  toEventField,
  toEventPlan,
  writeRow,
} from "./row-events.ts";
import { markRow, takeBack, type RowMark } from "./row-mark.ts";
import {
  buildReadQuery,
  selectFields,
  type SelectedField,
} from "./read-query.ts";
import type { MssqlReadTask } from "./stream.ts";
import type { DriverColumn } from "./tokens/driver-parts.ts";
import type { RowConsumer } from "./tokens/row-stream.ts";
import type { TokenWindow } from "./tokens/window.ts";

/** How long a cancelled statement may take to end before its connection is closed, in ms. */
const DRAIN_MS_MAX = 15_000;

export interface ReadOptions {
  /** Which decoder: for tests and measurements. */
  readonly decoder?: DecoderChoice;
  readonly checkpointEveryMs?: number;
}

/**
 * Starts to read a partition. The connection must be idle, inside the transaction that is to be read in; it is busy
 * until `done` settles, and stays in its transaction.
 *
 * `stop()` where no checkpoint is allowed rejects `done` with SOURCE_CONNECTION_LOST, so that the partition is read
 * again from its last checkpoint.
 */
export function startRead(
  connection: MssqlConnection,
  task: MssqlReadTask,
  sink: ReadSink,
  options: ReadOptions = {},
): PartitionRead {
  const read = new TableRead(connection, task, sink, options);
  read.start();
  return read;
}

class TableRead implements PartitionRead, RowConsumer {
  readonly done: Promise<ReadResult>;
  readonly #connection: MssqlConnection;
  readonly #task: MssqlReadTask;
  readonly #sink: ReadSink;
  readonly #options: ReadOptions;
  readonly #fields: readonly SelectedField[];
  readonly #positions: Positions | null;
  readonly #supply: BatchSupply;
  readonly #resolve: (result: ReadResult) => void;
  readonly #reject: (error: Error) => void;

  #request: RowRequest | null = null;
  /** Made when the server has described its columns. */
  #decoder: RowDecoder | null = null;
  #plan: DecodePlan | null = null;
  /** A row by the driver's events that came while all batches were taken. */
  #heldValues: readonly unknown[] | null = null;
  #utf8Columns: readonly FieldPlan[] = [];
  /** Sink calls that have not settled. */
  #pending = 0;
  #checkpointPending = false;

  #rows = 0;
  #rowsSinceCheckpoint = 0;
  #checkpointRequested = false;
  #stopRequested = false;
  /** Of the last row that was given to the sink, where a change of key is waited for; null where it held NULL. */
  #lastKey: KeyTuple | null = null;
  /** The server works on our statement. */
  #active = false;
  #drainTimer: NodeJS.Timeout | null = null;
  #failure: Error | null = null;
  /** All rows are read, or the stop is honoured: what is left is the sink's. */
  #outcome: ReadResult["outcome"] | null = null;
  #settled = false;

  constructor(
    connection: MssqlConnection,
    task: MssqlReadTask,
    sink: ReadSink,
    options: ReadOptions,
  ) {
    this.#connection = connection;
    this.#task = task;
    this.#sink = sink;
    this.#options = options;
    const fields = selectFields(task);
    this.#fields = connection.isHooked
      ? fields
      : fields.map((field, i) => toEventField(field, task.stream.columns[i]));
    const positions = createPositions(task, fields);
    // by events a row cannot be given back: a key that is not unique has no places inside
    this.#positions =
      connection.isHooked || positions?.unique === true ? positions : null;
    this.#supply = new BatchSupply(this.#fields, task.partition.estimatedRows);
    const settle = Promise.withResolvers<ReadResult>();
    this.done = settle.promise;
    this.#resolve = settle.resolve;
    this.#reject = settle.reject;
  }

  start(): void {
    const { sql, params } = buildReadQuery(this.#task, this.#fields);
    this.#active = true;
    this.#sink.statement?.(sql);
    this.#request = this.#connection.startRows(sql, params, this);
    this.#request.done.then(
      (rowCount) => this.#takeEnd(rowCount),
      (error: unknown) => this.#takeError(error),
    );
  }

  requestCheckpoint(): void {
    this.#checkpointRequested = true;
  }

  stop(): void {
    this.#stopRequested = true;
    if (this.#positions === null) {
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
      if (this.#positions.unique) this.#sealBehindRow();
      this.#stopWhereSealed();
    } catch (error) {
      this.#fail(asError(error));
    }
  }

  cancel(reason: Error): void {
    this.#fail(reason);
  }

  // --- the answer ---

  get rowBytesWanted(): number {
    return this.#decoder?.rowBytesWanted ?? 1;
  }

  describe(columns: readonly DriverColumn[]): void {
    if (this.#decoder !== null) {
      throw new ExtractError(
        "SOURCE_PROTOCOL_VIOLATION",
        `two results for one SELECT from ${this.#tableName()}`,
        this.#details(),
      );
    }
    const described = columns.map(({ type, ...column }) => ({
      typeId: type.id,
      dataLength: column.dataLength,
      precision: column.precision,
      scale: column.scale,
    }));
    const fields = matchColumns(this.#tableName(), this.#fields, described);
    this.#utf8Columns = fields.filter(
      (field) => field.codePage === UTF8_CODE_PAGE,
    );
    this.#plan = this.#makePlan(fields);
    this.#decoder = createDecoder(this.#plan, this.#options.decoder);
  }

  takeRows(window: TokenWindow): "more" | "token" | "stalled" {
    const decoder = this.#decoder;
    if (decoder === null) {
      throw new ExtractError(
        "SOURCE_PROTOCOL_VIOLATION",
        "the server sent a row before its columns",
        this.#details(),
      );
    }
    for (;;) {
      if (!this.#active || this.#outcome !== null || this.#failure !== null) {
        return "token";
      }
      const set = this.#supply.open();
      if (set === null) return "stalled";
      const before = set.rowCount;
      if (this.#isWaitingForKey()) {
        if (!this.#takeRowByRow(decoder, set, window)) break;
      } else {
        this.#decode(decoder, set, window, Infinity);
        if (set.rowCount === before && !set.isFull) break;
        if (this.#wantsSeal() && this.#positions?.unique === true) {
          this.#sealBehindRow();
          this.#stopWhereSealed();
        }
      }
      if (set.isFull) this.#emit();
    }
    const token = window.buffer[window.start];
    return window.start < window.end && token !== 0xd1 && token !== 0xd2
      ? "token"
      : "more";
  }

  failed(error: unknown): void {
    this.#fail(asError(error));
  }

  takeValues(values: readonly unknown[]): boolean {
    if (this.#outcome !== null || this.#failure !== null) return true;
    try {
      const bytes = boundValueBytes(values);
      const filled = this.#supply.filled;
      if (
        filled !== null &&
        filled.measure() + filled.rowBytes + bytes > BATCH_BYTES_MAX
      ) {
        this.#emit();
      }
      if (bytes > this.#task.rowBytesMax)
        refuseRowBytes(this.#eventPlan, bytes);
      const set = this.#supply.open();
      if (set === null) {
        this.#heldValues = values;
        return false;
      }
      writeRow(this.#eventPlan, set, values);
      this.#rows += 1;
      if (this.#wantsSeal() && this.#positions !== null) {
        this.#sealBehindRow();
        this.#stopWhereSealed();
      }
      if (set.isFull) this.#emit();
    } catch (error) {
      this.#fail(asError(error));
      return true;
    }
    return this.#supply.open() !== null;
  }

  /** A batch has come back: the row that waited for it first, then those behind it. */
  #resumeRows(): void {
    const held = this.#heldValues;
    this.#heldValues = null;
    if (held === null || this.takeValues(held)) this.#request?.wake();
  }

  get #eventPlan(): DecodePlan {
    this.#plan ??= this.#makePlan(toEventPlan(this.#fields));
    return this.#plan;
  }

  #makePlan(fields: readonly FieldPlan[]): DecodePlan {
    return {
      fields,
      table: this.#tableName(),
      policy: this.#task.policy,
      rowBytesMax: this.#task.rowBytesMax,
      valueNulled: (column, reason) => this.#sink.valueNulled(column, reason),
    };
  }

  #decode(
    decoder: RowDecoder,
    set: BatchSet,
    window: TokenWindow,
    rowsMax: number,
  ): void {
    const { buffer, view, start, end } = window;
    const before = set.rowCount;
    const offset = decoder.decode(set, buffer, view, start, end, rowsMax);
    this.#rows += set.rowCount - before;
    window.consumed(offset);
  }

  /** The statement has ended and the connection is idle. */
  #takeEnd(rowCount: number | null): void {
    this.#endStatement();
    if (this.#failure !== null || this.#outcome !== null) {
      this.#settle();
      return;
    }
    if (this.#decoder === null && this.#connection.isHooked) {
      this.#fail(
        new ExtractError(
          "SOURCE_PROTOCOL_VIOLATION",
          `no columns for a SELECT from ${this.#tableName()}`,
          this.#details(),
        ),
      );
    } else if (rowCount !== null && rowCount !== this.#rows) {
      this.#fail(
        new ExtractError(
          "SOURCE_PROTOCOL_VIOLATION",
          `the server counted ${rowCount} rows of ${this.#tableName()} and ${this.#rows} came`,
          this.#details(),
        ),
      );
    } else {
      this.#finishRows("end");
    }
  }

  #takeError(error: unknown): void {
    this.#endStatement();
    // what the server says of a statement that we cancelled is not news
    if (this.#failure === null && this.#outcome === null) {
      const known = asSchemaChange(toSourceError(error, this.#details()));
      this.#failure = new ExtractError(
        known.code,
        known.message,
        { ...this.#details(), ...known.details },
        { cause: error },
      );
    }
    this.#settle();
  }

  #endStatement(): void {
    this.#active = false;
    if (this.#drainTimer !== null) clearTimeout(this.#drainTimer);
  }

  // --- batches and checkpoints ---

  #wantsSeal(): boolean {
    return (
      this.#stopRequested ||
      (this.#checkpointRequested && !this.#checkpointPending)
    );
  }

  /** A checkpoint is due on a key that is not unique: the next change of key is its place. */
  #isWaitingForKey(): boolean {
    return (
      this.#positions !== null && !this.#positions.unique && this.#wantsSeal()
    );
  }

  /**
   * Decodes rows one by one until the key changes, and seals in front of the first row of the next key.
   * @returns false where no whole row is left
   */
  #takeRowByRow(
    decoder: RowDecoder,
    set: BatchSet,
    window: TokenWindow,
  ): boolean {
    const positions = this.#positions;
    assert(positions !== null);
    const { readKey } = positions;
    let key = set.rowCount > 0 ? readKey(set, set.rowCount - 1) : this.#lastKey;
    for (;;) {
      const mark: RowMark = markRow(set);
      const { buffer, view, start, end } = window;
      const offset = decoder.decode(set, buffer, view, start, end, 1);
      if (set.rowCount === mark.rowCount) {
        window.consumed(offset);
        return set.isFull;
      }
      const next = readKey(set, mark.rowCount);
      const isPlace = key !== null && !isSameKey(key, next);
      if (isPlace && this.#rowsSinceCheckpoint + mark.rowCount > 0) {
        // the row is decoded again, into the next batch
        takeBack(set, mark, this.#fields);
        assert(key !== null);
        this.#seal({ kind: "key", after: key });
        this.#stopWhereSealed();
        return true;
      }
      this.#rows += 1;
      window.consumed(offset);
      key = next;
      if (set.isFull) return true;
    }
  }

  /** Hands the current batch on, if it has rows. */
  #emit(): void {
    const set = this.#supply.take();
    if (set === null) return;
    this.#rowsSinceCheckpoint += set.rowCount;
    if (this.#positions !== null && !this.#positions.unique) {
      this.#lastKey = this.#positions.readKey(set, set.rowCount - 1);
    }
    this.#checkText(set);
    const batch = set.toBatch(this.#task.stream.columns.length);
    this.#call(this.#sink.batch(batch), () => {
      this.#supply.giveBack(set);
      this.#resumeRows();
    });
  }

  /** A UTF-8 collation stores the bytes it was given; a value cut off in the middle of a character is not UTF-8. */
  #checkText(set: BatchSet): void {
    for (const field of this.#utf8Columns) {
      const index = this.#fields.findIndex(({ name }) => name === field.name);
      const store = set.columns[index];
      if (store && !isUtf8(store.values.subarray(0, store.end))) {
        throw new ExtractError(
          "SOURCE_VALUE_UNREPRESENTABLE",
          `${this.#tableName()}.${field.name} holds text that is not UTF-8, as its collation says it is`,
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
      this.#request?.wake();
    });
  }

  #seal(position: Position): void {
    this.#emit();
    this.#checkpoint(position, false);
  }

  /** Seals behind the last row of the current batch, where the key is unique. */
  #sealBehindRow(): void {
    const set = this.#supply.filled;
    if (set === null || this.#outcome !== null || this.#failure !== null)
      return;
    if (this.#checkpointPending && !this.#stopRequested) return;
    const key = this.#positions?.readKey(set, set.rowCount - 1) ?? null;
    if (key !== null) this.#seal({ kind: "key", after: key });
  }

  /** Ends a key range that was asked to stop, if nothing is read beyond its last checkpoint. */
  #stopWhereSealed(): void {
    if (
      !this.#stopRequested ||
      this.#rowsSinceCheckpoint > 0 ||
      this.#supply.filled !== null ||
      this.#outcome !== null ||
      this.#failure !== null
    ) {
      return;
    }
    this.#finishRows("stopped");
    this.#cancelStatement();
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

  /** The first failure counts. The statement is cancelled and its rows are thrown away until the server is done. */
  #fail(error: Error): void {
    if (this.#settled || this.#failure !== null) return;
    this.#failure = error;
    this.#cancelStatement();
    this.#settle();
  }

  #cancelStatement(): void {
    if (!this.#active || this.#drainTimer !== null) return;
    this.#drainTimer = setTimeout(
      () => this.#connection.destroy(),
      DRAIN_MS_MAX,
    );
    this.#request?.cancel();
  }

  /** Settles `done` once the statement has ended and, without a failure, the sink has taken everything. */
  #settle(): void {
    if (this.#settled || this.#active) return;
    if (this.#failure === null) {
      if (this.#outcome === null || this.#pending > 0) return;
    }
    this.#settled = true;
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

const UTF8_CODE_PAGE = 65_001;

function isSameKey(a: KeyTuple, b: KeyTuple | null): boolean {
  return b !== null && a.every((text, i) => text === b[i]);
}

/** Assertions and other faults of ours stay what they are. */
function asError(error: unknown): Error {
  return error instanceof Error ? error : toSourceError(error);
}
