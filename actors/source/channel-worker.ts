/**
 * One channel of the source: its socket, its database connection, and one read at a time. It does as it is told by the
 * main thread and decides nothing.
 */
import type { ReadRows } from "../../connectors/channels/source-rows.ts";
import { loadSource } from "../../connectors/sources/index.ts";
import type {
  DiscoveredStream,
  PartitionRead,
  ReadSink,
  SourceDriver,
  SourceSession,
} from "../../connectors/sources/source.ts";
import type { Mapper } from "../../connectors/mappers/mapper.ts";
import type { SnapshotWire } from "../../proto/control.ts";
import { ExtractError, toWireError } from "../../proto/error.ts";
import type { LogSnapshot } from "../../proto/partition.ts";
import type { Hosted } from "../surroundings.ts";
import { ChannelHost, type SourcePort } from "./channel-host.ts";
import { LogChannelWorker } from "./log-channel-worker.ts";
import { findMapper } from "./mapping.ts";
import { PhaseClock } from "../../connectors/channels/phase-clock.ts";
import type {
  ReadRef,
  SourceWorkerData,
  SourceWorkerOrder,
} from "./worker-messages.ts";

/** A list of repeats may make a statement long; people read its beginning. */
const STATEMENT_CHARS_MAX = 4_000;

type StartOrder = Extract<SourceWorkerOrder, { type: "read.start" }>;

interface ActiveRead {
  readonly ref: ReadRef;
  /** Null until the stream's mapper is there. */
  rows: ReadRows | null;
  read: PartitionRead | null;
  isCancelled: boolean;
  isStopping: boolean;
}

interface KnownStream {
  readonly stream: DiscoveredStream;
  readonly mapper: Mapper | null;
}

/** Follows the orders of the port from now on. */
export function startSourceChannel(
  port: SourcePort,
  data: SourceWorkerData,
): Hosted {
  return data.log === null
    ? new SourceChannelWorker(port, data)
    : new LogChannelWorker(port, data);
}

class SourceChannelWorker extends ChannelHost {
  readonly #streams = new Map<number, Promise<KnownStream>>();
  readonly #phases = new PhaseClock();
  #snapshot: SnapshotWire | null = null;
  #driver: SourceDriver | null = null;
  #session: SourceSession | null = null;
  /** In the snapshot as well, and idle. */
  #spare: SourceSession | null = null;
  #connecting: Promise<SourceSession> | null = null;
  #active: ActiveRead | null = null;

  constructor(port: SourcePort, data: SourceWorkerData) {
    super(port, data);
    this.begin();
  }

  protected release(reason: ExtractError): void {
    this.#active?.read?.cancel(reason);
    if (!this.isDestroyed) return;
    this.#session?.destroy();
    this.#spare?.destroy();
  }

  protected tellProgress(): void {
    if (this.#active) this.#tellRead(this.#active);
  }

  /** The worker's session, inside the run's snapshot; kept for all its reads. */
  async #connect(): Promise<SourceSession> {
    if (this.#session) return this.#session;
    this.#connecting ??= (async () => {
      this.#session = await this.#openSession();
      return this.#session;
    })();
    try {
      return await this.#connecting;
    } finally {
      this.#connecting = null;
    }
  }

  async #openSession(): Promise<SourceSession> {
    this.#driver ??= await loadSource(this.data.url);
    const fresh = await this.#driver.connect(this.data.url);
    try {
      if (this.isDestroyed) throw this.describeEnd();
      await fresh.beginSnapshot(this.#snapshot);
      if (this.isDestroyed) throw this.describeEnd();
      return fresh;
    } catch (error) {
      fresh.destroy();
      throw error;
    }
  }

  async #openSpare(): Promise<void> {
    this.#driver ??= await loadSource(this.data.url);
    if (
      this.#driver.joins === "any-time" ||
      this.#snapshot === null ||
      this.#spare
    )
      return;
    this.#spare = await this.#openSession().catch(() => null); // one can do without
  }

  #dropConnection(): void {
    this.#session?.destroy();
    this.#session = null;
  }

  /** After a read that did not come to its end: whatever state the session is in, the next read needs the snapshot. */
  async #restoreSession(): Promise<void> {
    if (!this.#session) return;
    // what can join only once keeps its transaction as long as it can
    const mustKeep =
      this.#driver?.joins === "at-the-start" && this.#snapshot !== null;
    if (mustKeep && this.#session.usable) return;
    this.#dropConnection();
    if (!mustKeep) return;
    this.#session = this.#spare?.usable ? this.#spare : null;
    this.#spare = null;
    if (this.#session) return;
    try {
      await this.#connect();
    } catch (error) {
      // any other error is the next read's, which tries again
      if (toWireError(error).code === "SOURCE_SNAPSHOT_LOST")
        this.tell({ type: "session.lost" });
    }
  }

  #tellRead({ ref, rows }: ActiveRead): void {
    const progress = rows?.takeProgress();
    if (progress) this.tell({ type: "read.progress", ...ref, ...progress });
    this.tell({
      type: "read.measured",
      stream: ref.stream,
      phases: this.#phases.take(),
    });
  }

  #rememberStream(
    stream: DiscoveredStream,
    snapshot: LogSnapshot | null = null,
  ): void {
    const { mappers, transactionId } = this.data;
    const knowing = findMapper(
      ...([stream.schema, mappers, snapshot, transactionId] as const),
    ).then((mapper) => ({ stream, mapper }));
    knowing.catch(() => {
      // told by the read that needs it
    });
    this.#streams.set(stream.schema.number, knowing);
  }

  /** The sink, with each statement told to who looks on. */
  #tellStatements({ stream, partition }: ReadRef, sink: ReadSink): ReadSink {
    if (!this.data.inspect) return sink;
    return {
      ...sink,
      statement: (sql) => {
        const text = sql.slice(0, STATEMENT_CHARS_MAX);
        this.tell({ type: "read.statement", stream, partition, sql: text });
      },
    };
  }

  async #startReading(order: StartOrder): Promise<void> {
    const { stream, partition, attempt } = order;
    const ref: ReadRef = { stream, partition, attempt };
    const knowing = this.#streams.get(stream);
    if (!knowing) throw new Error(`stream ${stream} is not known here`);
    const read: ActiveRead = {
      ref,
      rows: null,
      read: null,
      isCancelled: false,
      isStopping: false,
    };
    this.#active = read;
    let timer: NodeJS.Timeout | null = null;
    try {
      const known = await knowing;
      const reading = await this.#connect();
      if (read.isCancelled)
        throw new ExtractError(
          "SOURCE_CONNECTION_LOST",
          "the read was cancelled",
          { ...ref },
        );
      read.rows = this.rows.begin({
        ...ref,
        schema: known.stream.schema,
        mapper: known.mapper,
        onCheckpoint: (place) =>
          this.tell({ type: "checkpoint.ready", ...place }),
        onNulled: (column, reason) =>
          this.tell({ type: "value.nulled", ...ref, column, reason }),
      });
      this.#phases.begin();
      const running = reading.startRead(
        {
          stream: known.stream,
          partition: order.range,
          resumeAfter: order.resumeAfter,
          filter: { where: order.where, cursor: order.window },
          policy: this.data.policy,
          rowBytesMax: this.data.rowBytesMax,
        },
        this.#tellStatements(ref, this.#phases.watch(read.rows)),
        { checkpointEveryMs: this.data.checkpointEveryMs },
      );
      read.read = running;
      if (read.isStopping) running.stop();
      timer = setInterval(
        () => running.requestCheckpoint(),
        this.data.checkpointEveryMs,
      );
      const result = await running.done;
      // a statement that was ended before its end may have ended the transaction too
      if (result.outcome === "stopped" && this.#driver?.joins === "any-time")
        await reading
          .beginSnapshot(this.#snapshot)
          .catch(() => this.#dropConnection());
      this.#tellRead(read);
      this.#active = null;
      this.tell({
        type: result.outcome === "end" ? "read.done" : "read.stopped",
        ...ref,
      });
    } catch (error) {
      if (this.isDestroyed) return;
      // an index that was asked for is used: its rows are on the wire, and the next try begins behind them
      await read.rows?.settle();
      this.#tellRead(read);
      this.#active = null;
      await this.#restoreSession();
      if (read.rows?.isWhole) this.tell({ type: "read.done", ...ref });
      else
        this.tell({ type: "read.failed", ...ref, error: toWireError(error) });
    } finally {
      if (timer) clearInterval(timer);
    }
  }

  #isActive(ref: ReadRef): boolean {
    return (
      this.#active !== null &&
      this.#active.ref.stream === ref.stream &&
      this.#active.ref.partition === ref.partition &&
      this.#active.ref.attempt === ref.attempt
    );
  }

  protected override async end(): Promise<void> {
    const closing = Promise.all([this.#session?.close(), this.#spare?.close()]);
    this.#session = null;
    this.#spare = null;
    await super.end();
    await closing;
  }

  protected async follow(order: SourceWorkerOrder): Promise<void> {
    switch (order.type) {
      case "channel.open":
        await this.open();
        return;
      case "snapshot.use":
        this.#snapshot = order.snapshot;
        // the first read should not wait for a login; where the session can join later, its own connect() tells what went wrong
        await Promise.all([
          this.#connect(),
          this.data.keepsSpare && this.#openSpare(),
        ]).then(
          () => this.tell({ type: "snapshot.joined", error: null }),
          (error: unknown) =>
            this.tell({ type: "snapshot.joined", error: toWireError(error) }),
        );
        return;
      case "snapshot.leave":
        this.#dropConnection();
        this.#spare?.destroy();
        this.#spare = null;
        return;
      case "stream.known":
        this.#rememberStream(order.stream);
        return;
      case "stream.logged": {
        const known = await this.#streams.get(order.stream);
        if (known) this.#rememberStream(known.stream, order.snapshot);
        return;
      }
      case "log.start":
      case "log.leave":
      case "log.stop":
      case "log.end":
      case "log.release":
      case "log.pace":
      case "log.committed":
      case "log.cancel":
        throw new Error(`${order.type} for a channel of partitions`);
      case "read.start":
        await this.#startReading(order);
        return;
      case "checkpoint.index":
        if (this.#isActive(order)) this.#active?.rows?.giveIndex(order.index);
        return;
      case "read.stop":
        if (!this.#active || !this.#isActive(order)) return;
        this.#active.isStopping = true;
        this.#active.read?.stop();
        return;
      case "read.cancel":
        if (!this.#active || !this.#isActive(order)) return;
        this.#active.isCancelled = true;
        this.#active.read?.cancel(
          new ExtractError("SOURCE_CONNECTION_LOST", "the read was cancelled", {
            stream: order.stream,
          }),
        );
        return;
      case "read.discard": {
        const { stream, partition, attempt, fromSequence } = order;
        await this.ready().writeDiscard({
          stream,
          partition,
          attempt,
          fromSequence,
        });
        return;
      }
      case "channel.end":
        await this.end();
        return;
    }
  }
}
