/**
 * Writes one partition: batches go into staging inside an open transaction, which ends with the checkpoint's row.
 * Runs in a worker thread; all writers of a channel take their connections from one pool.
 */
import assert from "node:assert/strict";

import type { CheckpointStamp, SealedFile } from "../../../proto/checkpoint.ts";
import type { ColumnBatch } from "../../../proto/columns.ts";
import { ExtractError } from "../../../proto/error.ts";
import {
  RowBatcher,
  systemClock,
  type FlushOutcome,
} from "../batching/row-batcher.ts";
import type { DestinationContext, StreamWriter } from "../destination.ts";
import type { PostgresDestinationConfig } from "./config.ts";
import type { DestinationConnection } from "./connection.ts";
import type { ConnectionPool } from "./connection-pool.ts";
import { CopyBuffer } from "./copy-buffer.ts";
import { CopyCollector, type CollectorShare } from "./copy-encoder.ts";
import { nameTable } from "./errors.ts";
import {
  checkpointPath,
  OWN_SCHEMA,
  quoteLiteral,
  quoteTable,
  showTable,
} from "./names.ts";
import { fenced, isFenced, selectEpoch } from "./own-tables.ts";
import type { StreamTables } from "./staging.ts";

/** Rows that one writer of an epoch can number: 2^33; epochs up to 2^20 stay exact in a double. */
const ORDER_ROWS_MAX = 2 ** 33;
/**
 * Small batches that are under way: those that come while a commit waits for the disk go with the next one. As many as
 * a channel lets checkpoints be outstanding.
 */
const FLUSHES_AT_ONCE_MAX = 16;
/** Buffers kept for the next batches: one fills while the others are on their way. */
const BUFFERS_KEPT = FLUSHES_AT_ONCE_MAX + 2;

/** A checkpoint on its way: what the stamp says, and how many rows belong to it. */
interface Mark {
  readonly stamp: CheckpointStamp;
  files: readonly SealedFile[];
}

/** A batch that waits for the command before it, with who waits for its answer. */
interface Item {
  readonly rows: CopyCollector;
  readonly mark: Mark | null;
  readonly answer: PromiseWithResolvers<void>;
}

/** What is sent at once: statements, the data of their COPYs, and the tags that mean success. */
interface Command {
  readonly statements: string[];
  readonly data: Uint8Array[];
  readonly tags: string[];
}

export interface PartitionWriterOptions {
  readonly context: DestinationContext;
  readonly config: PostgresDestinationConfig;
  readonly tables: StreamTables;
  readonly partition: number;
  readonly share: Pick<CollectorShare, "plan" | "encoder">;
  readonly pool: ConnectionPool;
}

export class PartitionWriter implements StreamWriter {
  readonly #options: PartitionWriterOptions;
  readonly #batcher: RowBatcher<CopyCollector, Mark>;
  readonly #buffers: CopyBuffer[] = [];
  readonly #target: string;
  /** Rows taken since the last cut. */
  #rowsTaken = 0;
  /** Ours while a transaction is open or an answer is to come. */
  #connection: DestinationConnection | null = null;
  /** BEGIN was sent, and no COMMIT since: rows wait for their checkpoint. */
  #isOpen = false;
  /** Rows and COPY bytes in the open transaction. */
  #rowsCopied = 0;
  #bytesCopied = 0;
  /** Batches that wait for the command under way. */
  #queue: Item[] = [];
  #isSending = false;
  #isAbandoned = false;

  constructor(options: PartitionWriterOptions) {
    const { config, context, share, tables } = options;
    this.#options = options;
    this.#target = `${tables.name.namespace}.${tables.name.name}`;
    const collected: CollectorShare = {
      ...share,
      nulBytes: config.nulBytes,
      sequence: context.attempt.epoch * ORDER_ROWS_MAX,
      checked: null,
    };
    this.#batcher = new RowBatcher<CopyCollector, Mark>({
      limits: config,
      clock: systemClock,
      flushesAtOnceMax: FLUSHES_AT_ONCE_MAX,
      createCollector: () =>
        new CopyCollector(collected, this.#buffers.pop() ?? new CopyBuffer()),
      flush: (rows, mark) => this.#flush(rows, mark),
    });
  }

  write(batch: ColumnBatch): void | Promise<void> {
    assert(!this.#isAbandoned, "the writer is abandoned");
    this.#rowsTaken += batch.rowCount;
    return this.#batcher.write(batch);
  }

  async seal(stamp: CheckpointStamp): Promise<readonly SealedFile[]> {
    assert(!this.#isAbandoned, "the writer is abandoned");
    assert.equal(stamp.partition, this.#options.partition);
    const rows = this.#rowsTaken;
    this.#rowsTaken = 0;
    if (rows !== stamp.rows) {
      const error = this.#describeMismatch(stamp, rows);
      this.#batcher.abandon(error);
      throw error;
    }
    const mark: Mark = { stamp, files: [] };
    await this.#batcher.cut(mark);
    return mark.files;
  }

  async discard(): Promise<void> {
    await this.#batcher.drop(this.#describeEnd("discarded"));
    this.#rowsTaken = 0;
    await this.#rollBack();
    this.#letGo();
  }

  abandon(): void {
    this.#isAbandoned = true;
    this.#batcher.abandon(this.#describeEnd("abandoned"));
    // the server rolls back what is open
    this.#connection?.destroy();
    this.#connection = null;
  }

  /** Never rejects for a failure of the server: how far it came is told. */
  async #flush(rows: CopyCollector, mark: Mark | null): Promise<FlushOutcome> {
    const answer = Promise.withResolvers<void>();
    this.#queue.push({ rows, mark, answer });
    if (!this.#isSending) void this.#sendAll();
    try {
      await answer.promise;
      return { rowsWritten: rows.rows, error: null };
    } catch (error) {
      return { rowsWritten: 0, error: error as Error };
    } finally {
      this.#giveBack(rows.buffer);
    }
  }

  /** One command after the other until nothing waits. Never rejects: each item has its answer. */
  async #sendAll(): Promise<void> {
    this.#isSending = true;
    for (;;) {
      const items = this.#takeItems();
      if (items.length === 0) break;
      try {
        await this.#send(items);
        for (const { answer } of items) answer.resolve();
      } catch (error) {
        await this.#rollBack();
        const cause = (await this.#isFenced(error))
          ? fenced(this.#options.context)
          : error;
        for (const { answer } of [...items, ...this.#queue.splice(0)])
          answer.reject(cause);
      }
    }
    this.#isSending = false;
    if (!this.#isOpen) this.#letGo();
  }

  /**
   * The next batches that may go in one command: whole checkpoints, which are one transaction then, or a single batch
   * where one is open or is to be opened.
   */
  #takeItems(): Item[] {
    const others = this.#queue.findIndex(({ mark }) => mark === null);
    const whole = others < 0 ? this.#queue.length : others;
    return this.#queue.splice(0, this.#isOpen ? 1 : Math.max(1, whole));
  }

  async #send(items: readonly Item[]): Promise<void> {
    const command: Command = { statements: [], data: [], tags: [] };
    for (const item of items) this.#addItem(command, item);
    if (command.statements.length === 0) return;
    const { pool, tables, context } = this.#options;
    const connection = (this.#connection ??= await pool.take(tables));
    if (this.#isAbandoned) {
      connection.destroy();
      throw this.#describeEnd("abandoned");
    }
    const table = showTable(tables.target);
    const tags = await connection
      .run(
        `write rows of ${table}`,
        command.statements.join("; "),
        command.data,
      )
      .catch((error: unknown) => {
        throw nameTable(error, table);
      });
    if (tags.includes("SELECT 0")) throw fenced(context);
    if (tags.join() === command.tags.join()) return;
    throw new ExtractError(
      "DESTINATION_FAILED",
      `the server answered ${tags.join(", ")} instead of ${command.tags.join(", ")} to rows of ${this.#target}`,
      { stream: this.#target, partition: this.#options.partition },
    );
  }

  /** The epoch is locked and compared first in every transaction, by its own statement or by the checkpoint's. */
  #addItem(command: Command, { rows, mark }: Item): void {
    const { tables, context } = this.#options;
    const count = rows.rows;
    const add = (statement: string, tag: string): void => {
      command.statements.push(statement);
      command.tags.push(tag);
    };
    if (count === 0 && !this.#isOpen) return;
    const data = count > 0 ? rows.buffer.finish() : null;
    this.#rowsCopied += count;
    this.#bytesCopied += data?.length ?? 0;
    const addCopy = (): void => {
      if (!data) return;
      add(
        `COPY ${quoteTable(tables.staging)} FROM STDIN (FORMAT binary)`,
        `COPY ${count}`,
      );
      command.data.push(data);
    };
    if (!mark) {
      if (!this.#isOpen) {
        add("BEGIN", "BEGIN");
        add(selectEpoch(context), "SELECT 1");
      }
      addCopy();
      this.#isOpen = true;
      return;
    }
    assert.equal(this.#rowsCopied, mark.stamp.rows);
    mark.files = [this.#fileOf(mark.stamp, this.#bytesCopied)];
    const checkpoint = this.#insertCheckpoint(mark.stamp, this.#bytesCopied);
    if (this.#isOpen) {
      addCopy();
      add(checkpoint, "INSERT 0 1");
      add("COMMIT", "COMMIT");
    } else {
      add(checkpoint, "INSERT 0 1");
      addCopy();
    }
    this.#isOpen = false;
    this.#rowsCopied = 0;
    this.#bytesCopied = 0;
  }

  /** Its `held` is null, and so refused, where another attempt has taken over */
  #insertCheckpoint(stamp: CheckpointStamp, bytes: number): string {
    const { context, tables } = this.#options;
    const { name, generation } = tables;
    const file = this.#fileOf(stamp, bytes);
    const values = [
      quoteLiteral(context.syncId),
      quoteLiteral(name.namespace),
      quoteLiteral(name.name),
      generation,
      context.attempt.epoch,
      stamp.index,
      quoteLiteral(file.path),
      file.rows,
      file.bytes,
      quoteLiteral(JSON.stringify(stamp)),
      `(${selectEpoch(context)})`,
    ];
    return `INSERT INTO ${OWN_SCHEMA}.checkpoints
      (sync_id, namespace, name, generation, epoch, index, path, rows, bytes, stamp, held) VALUES (${values.join(", ")})`;
  }

  #fileOf(stamp: CheckpointStamp, bytes: number): SealedFile {
    const { context, tables, partition } = this.#options;
    const { epoch } = context.attempt;
    const { generation, target } = tables;
    const place = { generation, partition, epoch, index: stamp.index };
    return { path: checkpointPath(target, place), rows: stamp.rows, bytes };
  }

  async #rollBack(): Promise<void> {
    const connection = this.#connection;
    this.#isOpen = false;
    this.#rowsCopied = 0;
    this.#bytesCopied = 0;
    // where nothing is open any more this is only a warning, and a lost connection has rolled back by itself
    await connection
      ?.run(`roll back ${this.#target}`, "ROLLBACK")
      .catch(() => connection.destroy());
  }

  /** Behind a takeover staging may be gone as well, and the server names that: the epoch is asked for, not guessed. */
  async #isFenced(error: unknown): Promise<boolean> {
    if (isFenced(error)) return true;
    if (!this.#connection?.usable) return false;
    const rows = await this.#connection
      .query("look at the epoch", selectEpoch(this.#options.context))
      .catch(() => null);
    return rows?.length === 0;
  }

  #letGo(): void {
    const connection = this.#connection;
    this.#connection = null;
    if (connection) this.#options.pool.giveBack(connection);
  }

  #giveBack(buffer: CopyBuffer): void {
    buffer.shrink(this.#options.config.batchBytesMax);
    buffer.reset();
    if (this.#buffers.length < BUFFERS_KEPT) this.#buffers.push(buffer);
  }

  #describeMismatch(stamp: CheckpointStamp, rows: number): ExtractError {
    const { partition } = this.#options;
    return new ExtractError(
      "CHANNEL_CORRUPT",
      `${this.#target}/${partition}: the source stamped ${stamp.rows} rows, ${rows} arrived`,
      {
        stream: this.#target,
        partition,
        index: stamp.index,
        rowsStamped: stamp.rows,
        rowsWritten: rows,
      },
    );
  }

  #describeEnd(how: string): ExtractError {
    return new ExtractError(
      "DESTINATION_FAILED",
      `${this.#target}/${this.#options.partition} was ${how} before its rows were durable`,
      { stream: this.#target, partition: this.#options.partition },
    );
  }
}
