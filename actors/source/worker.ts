/**
 * One channel of the source, in a thread of its own: its socket, its database connection, and one read at a time. It
 * does as it is told by the main thread and decides nothing.
 */
import { parentPort, workerData } from "node:worker_threads";
import { loadSource } from "../../connectors/sources/index.ts";
import type {
  DiscoveredStream,
  PartitionRead,
  ReadSink,
  SourceDriver,
  SourceSession,
} from "../../connectors/sources/source.ts";
import type { Mapper } from "../../connectors/mappers/mapper.ts";
import { batchBytes, type ColumnBatch } from "../../proto/columns.ts";
import type { SnapshotWire } from "../../proto/control.ts";
import { ExtractError, toWireError } from "../../proto/error.ts";
import type { Position } from "../../proto/partition.ts";
import { listenChannel } from "../../transport/channel-listener.ts";
import type { ReplyFrame, SourceChannel } from "../../transport/channel.ts";
import { findMapper } from "./mapping.ts";
import type {
  ReadRef,
  SourceWorkerData,
  SnapshotJoined,
  SourceWorkerFact,
  SourceWorkerOrder,
} from "./worker-messages.ts";

/** How often progress is told, and how long a write may take before the channel counts as paused. */
const BEAT_MS = 200;

type StartOrder = Extract<SourceWorkerOrder, { type: "read.start" }>;

interface ActiveRead {
  readonly ref: ReadRef;
  readonly schemaNumber: number;
  read: PartitionRead | null;
  isCancelled: boolean;
  isStopping: boolean;
  sequence: number;
  rowsSinceCheckpoint: number;
  bytesSinceCheckpoint: number;
  rowsUntold: number;
  bytesUntold: number;
  giveIndex: ((index: number) => void) | null;
  /** Settles when all that was given so far is queued; null when it is. A checkpoint waits for its index meanwhile. */
  ahead: Promise<void> | null;
  /** The partition's last checkpoint is queued: what befalls the connection now is no matter. */
  isWhole: boolean;
}

const data = workerData as SourceWorkerData;
interface KnownStream {
  readonly stream: DiscoveredStream;
  readonly mapper: Mapper | null;
}

const streams = new Map<number, Promise<KnownStream>>();
const announced = new Set<number>();
const totals = { batches: 0, rows: 0, bytes: 0, checkpoints: 0 };
let snapshot: SnapshotWire | null = null;
let driver: SourceDriver | null = null;
let session: SourceSession | null = null;
let connecting: Promise<SourceSession> | null = null;
let channel: SourceChannel | null = null;
let active: ActiveRead | null = null;
let writesSince: number | null = null;
let isPaused = false;
let hasEnded = false;

function tell(fact: SourceWorkerFact | SnapshotJoined): void {
  parentPort?.postMessage(fact);
}

function ready(): SourceChannel {
  if (!channel) throw new Error("a read before the channel is connected");
  return channel;
}

function onFrame(frame: ReplyFrame): void {
  switch (frame.kind) {
    case "ack":
      tell({ type: "checkpoint.acked", ...frame.ack });
      return;
    case "discarded":
      tell({ type: "read.discarded", ...frame.discarded });
      return;
    case "stalled":
    case "probe":
    case "fault":
      // a fault closes the channel, and its error comes with that
      return;
  }
}

function onClosed(error: ExtractError | null): void {
  channel = null;
  if (hasEnded && !error) tell({ type: "channel.ended" });
  else {
    const broken =
      error ??
      new ExtractError(
        "CHANNEL_BROKEN",
        `channel ${data.channel} closed before its end`,
        { channel: data.channel },
      );
    active?.read?.cancel(broken);
    tell({ type: "channel.broken", error: toWireError(broken) });
  }
}

async function open(): Promise<void> {
  const listener = await listenChannel(data.path, {
    run: data.attempt.runId,
    epoch: data.attempt.epoch,
    channel: data.channel,
    streams: () => [],
    handshakeMs: data.times.handshakeMs,
    probeMs: data.times.probeMs,
    probeDeadlineMs: data.times.probeDeadlineMs,
  });
  tell({ type: "channel.listening", path: data.path });
  const accepted = await listener.accepted;
  channel = accepted;
  accepted.start({ onFrame, onClosed });
  tell({ type: "channel.connected" });
}

/** The worker's session, inside the run's snapshot; kept for all its reads. */
async function connect(): Promise<SourceSession> {
  if (session) return session;
  connecting ??= (async () => {
    driver ??= await loadSource(data.url);
    const fresh = await driver.connect(data.url);
    try {
      await fresh.beginSnapshot(snapshot);
    } catch (error) {
      fresh.destroy();
      throw error;
    }
    session = fresh;
    return fresh;
  })();
  try {
    return await connecting;
  } finally {
    connecting = null;
  }
}

function dropConnection(): void {
  session?.destroy();
  session = null;
}

/** After a read that did not come to its end: whatever state the session is in, the next read needs the snapshot. */
function restoreSession(): void {
  if (!session) return;
  // what can join only once keeps its transaction as long as it can
  if (driver?.joins === "at-the-start" && session.usable) return;
  dropConnection();
}

function tellProgress(read: ActiveRead): void {
  if (read.rowsUntold === 0) return;
  tell({
    type: "read.progress",
    ...read.ref,
    rows: read.rowsUntold,
    bytes: read.bytesUntold,
  });
  read.rowsUntold = 0;
  read.bytesUntold = 0;
}

/** Queues one more thing behind all that was given before it. */
function queueBehind<Result>(
  read: ActiveRead,
  queue: () => Promise<Result>,
): Promise<Result> {
  const queued = (read.ahead ?? Promise.resolve()).then(queue);
  const ahead = queued
    .then(
      () => {},
      () => {},
    )
    .then(() => {
      if (read.ahead === ahead) read.ahead = null;
    });
  read.ahead = ahead;
  return queued;
}

function createSink(
  read: ActiveRead,
  { stream, mapper }: KnownStream,
): ReadSink {
  const { ref } = read;
  const schema = mapper?.schema ?? stream.schema;
  // all of a batch is queued before this returns, so that a checkpoint may follow while it is on its way
  const queueBatch = (batch: ColumnBatch): Promise<unknown> => {
    const bytes = batchBytes(batch);
    const socket = ready();
    const isNew = !announced.has(ref.stream);
    announced.add(ref.stream);
    const schemaWritten = isNew ? socket.writeSchema(schema) : null;
    const sequence = read.sequence++;
    read.rowsSinceCheckpoint += batch.rowCount;
    read.bytesSinceCheckpoint += bytes;
    read.rowsUntold += batch.rowCount;
    read.bytesUntold += bytes;
    totals.batches += 1;
    totals.rows += batch.rowCount;
    totals.bytes += bytes;
    writesSince ??= Date.now();
    return Promise.all([
      schemaWritten,
      socket.writeBatch({ ...ref, sequence }, batch),
    ]);
  };
  const queueMapped =
    mapper === null
      ? queueBatch
      : (batch: ColumnBatch) =>
          Promise.all(mapper.apply(batch).map(queueBatch));
  const queueCheckpoint = async (
    position: Position | null,
    last: boolean,
  ): Promise<void> => {
    const sequence = read.sequence++;
    const rows = read.rowsSinceCheckpoint;
    const bytes = read.bytesSinceCheckpoint;
    read.rowsSinceCheckpoint = 0;
    read.bytesSinceCheckpoint = 0;
    const place = { ...ref, sequence, position, rows, bytes, last };
    const index = await new Promise<number>((resolve) => {
      read.giveIndex = resolve;
      tell({ type: "checkpoint.ready", ...place });
    });
    totals.checkpoints += 1;
    await ready().writeCheckpoint({ ...place, index });
    read.isWhole = last;
  };
  return {
    async batch(batch) {
      if (read.ahead === null) await queueMapped(batch);
      else {
        // wrapped, so that what comes behind waits for the queueing and not for the write
        const { written } = await queueBehind(read, async () => ({
          written: queueMapped(batch),
        }));
        await written;
      }
      writesSince = null;
    },
    checkpoint: (position, last) =>
      queueBehind(read, () => queueCheckpoint(position, last)),
    valueNulled(column, reason) {
      tell({ type: "value.nulled", ...ref, column, reason });
    },
  };
}

function rememberStream(stream: DiscoveredStream): void {
  const knowing = findMapper(stream.schema, data.mappers).then((mapper) => ({
    stream,
    mapper,
  }));
  knowing.catch(() => {
    // told by the read that needs it
  });
  streams.set(stream.schema.number, knowing);
}

async function startReading(order: StartOrder): Promise<void> {
  const { stream, partition, attempt } = order;
  const ref: ReadRef = { stream, partition, attempt };
  const knowing = streams.get(stream);
  if (!knowing) throw new Error(`stream ${stream} is not known here`);
  const read: ActiveRead = {
    ref,
    schemaNumber: stream,
    read: null,
    isCancelled: false,
    isStopping: false,
    sequence: 1,
    rowsSinceCheckpoint: 0,
    bytesSinceCheckpoint: 0,
    rowsUntold: 0,
    bytesUntold: 0,
    giveIndex: null,
    ahead: null,
    isWhole: false,
  };
  active = read;
  let timer: NodeJS.Timeout | null = null;
  try {
    const known = await knowing;
    const reading = await connect();
    if (read.isCancelled)
      throw new ExtractError(
        "SOURCE_CONNECTION_LOST",
        "the read was cancelled",
        { ...ref },
      );
    const running = reading.startRead(
      {
        stream: known.stream,
        partition: order.range,
        resumeAfter: order.resumeAfter,
        filter: { where: order.where, cursor: order.window },
        policy: data.policy,
        rowBytesMax: data.rowBytesMax,
      },
      createSink(read, known),
      { checkpointEveryMs: data.checkpointEveryMs },
    );
    read.read = running;
    if (read.isStopping) running.stop();
    timer = setInterval(
      () => running.requestCheckpoint(),
      data.checkpointEveryMs,
    );
    const result = await running.done;
    // a statement that was ended before its end may have ended the transaction too
    if (result.outcome === "stopped" && driver?.joins === "any-time")
      await reading.beginSnapshot(snapshot).catch(dropConnection);
    tellProgress(read);
    active = null;
    tell({
      type: result.outcome === "end" ? "read.done" : "read.stopped",
      ...ref,
    });
  } catch (error) {
    // an index that was asked for is used: its rows are on the wire, and the next try begins behind them
    while (read.ahead !== null) await read.ahead;
    tellProgress(read);
    active = null;
    restoreSession();
    if (read.isWhole) tell({ type: "read.done", ...ref });
    else tell({ type: "read.failed", ...ref, error: toWireError(error) });
  } finally {
    if (timer) clearInterval(timer);
  }
}

function isActive(ref: ReadRef): boolean {
  return (
    active !== null &&
    active.ref.stream === ref.stream &&
    active.ref.partition === ref.partition &&
    active.ref.attempt === ref.attempt
  );
}

async function end(): Promise<void> {
  hasEnded = true;
  const closing = session?.close();
  session = null;
  await ready().writeEnd(totals);
  await closing;
}

async function follow(order: SourceWorkerOrder): Promise<void> {
  switch (order.type) {
    case "channel.open":
      await open();
      return;
    case "snapshot.use":
      snapshot = order.snapshot;
      // the first read should not wait for a login; where the session can join later, its own connect() tells what went wrong
      await connect().then(
        () => tell({ type: "snapshot.joined", error: null }),
        (error: unknown) =>
          tell({ type: "snapshot.joined", error: toWireError(error) }),
      );
      return;
    case "stream.known":
      rememberStream(order.stream);
      return;
    case "read.start":
      await startReading(order);
      return;
    case "checkpoint.index":
      if (isActive(order)) active?.giveIndex?.(order.index);
      return;
    case "read.stop":
      if (!active || !isActive(order)) return;
      active.isStopping = true;
      active.read?.stop();
      return;
    case "read.cancel":
      if (!active || !isActive(order)) return;
      active.isCancelled = true;
      active.read?.cancel(
        new ExtractError("SOURCE_CONNECTION_LOST", "the read was cancelled", {
          stream: order.stream,
        }),
      );
      return;
    case "read.discard": {
      const { stream, partition, attempt, fromSequence } = order;
      await ready().writeDiscard({ stream, partition, attempt, fromSequence });
      return;
    }
    case "channel.end":
      await end();
      return;
  }
}

function breakChannel(error: unknown): void {
  tell({ type: "channel.broken", error: toWireError(error) });
}

setInterval(() => {
  if (active) tellProgress(active);
  const paused = writesSince !== null && Date.now() - writesSince > BEAT_MS;
  if (paused === isPaused) return;
  isPaused = paused;
  tell({ type: paused ? "channel.paused" : "channel.resumed" });
}, BEAT_MS).unref();

parentPort?.on("message", (order: SourceWorkerOrder) => {
  follow(order).catch(breakChannel);
});
if (data.listens) open().catch(breakChannel);
