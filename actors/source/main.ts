/** The source process: gives the machines of this folder their effects. Rows never come here; they stay in the workers. */
import { join } from "node:path";
import { Worker } from "node:worker_threads";
import { createActor, fromPromise } from "xstate";
import { stateJson } from "../../checkpoint/state.ts";
import { checkCondition } from "../../connectors/sources/postgres/condition.ts";
import { PostgresConnection } from "../../connectors/sources/postgres/connection.ts";
import { discover } from "../../connectors/sources/postgres/discover.ts";
import { asSchemaChange } from "../../connectors/sources/postgres/errors.ts";
import {
  canSplit,
  findSplit,
} from "../../connectors/sources/postgres/middle.ts";
import { planPartitions } from "../../connectors/sources/postgres/plan.ts";
import { parseSourceUrl } from "../../connectors/sources/postgres/url.ts";
import type { DiscoveredStream } from "../../connectors/sources/source.ts";
import type {
  CursorOrder,
  CursorWindow,
  SourceFact,
  SourceOrder,
  SourceSettings,
} from "../../proto/control.ts";
import { ExtractError, toWireError } from "../../proto/error.ts";
import type { LogicalKind } from "../../proto/schema.ts";
import {
  failOnUncaught,
  openControlPipe,
  writeProtocolMessage,
  writeTraceError,
  given,
} from "../child.ts";
import { createInspector } from "../inspect.ts";
import { createLog } from "../log.ts";
import { createStateMessages } from "../state-message.ts";
import { statsEmitterMachine } from "../stats-emitter.machine.ts";
import { sourceChannelMachine } from "./channel.machine.ts";
import { SourceCheckpoints } from "./checkpoints.ts";
import { ReaderGovernor } from "./governing.ts";
import { partitionerMachine } from "./partitioner.machine.ts";
import { readerMachine } from "./reader.machine.ts";
import { resplitterMachine } from "./resplitter.machine.ts";
import { sourceProcessMachine } from "./source-process.machine.ts";
import { SourceStats } from "./stats.ts";
import type {
  SourceWorkerData,
  SourceWorkerFact,
  SourceWorkerOrder,
} from "./worker-messages.ts";

const log = createLog("source");
const describeState = createStateMessages("source");
const streams = new Map<number, DiscoveredStream>();
const workers = new Map<number, Worker>();
const stats = new SourceStats();
let settings: SourceSettings | null = null;
let connection: PostgresConnection | null = null;
let snapshot: Extract<SourceWorkerOrder, { type: "snapshot.use" }> | null =
  null;
let checkpoints: SourceCheckpoints | null = null;
let governor: ReaderGovernor | null = null;

const pipe = openControlPipe<SourceOrder, SourceFact>((order) => {
  if (order.type === "source.open") begin(order.settings);
  root.send(order as Parameters<typeof root.send>[0]);
});
failOnUncaught(pipe);

let inspect: ReturnType<typeof createInspector> | null = null;
function begin(wanted: SourceSettings): void {
  settings = wanted;
  log.bind({ run: wanted.attempt.runId, epoch: wanted.attempt.epoch });
  checkpoints = new SourceCheckpoints(wanted.attempt.epoch);
  if (wanted.readers === null)
    governor = new ReaderGovernor(wanted.channelsMax);
  if (wanted.inspect)
    inspect = createInspector("source", 0, (event) =>
      pipe.send({ type: "inspected", event }),
    );
}

function streamOf(number: number): DiscoveredStream {
  return given(streams.get(number) ?? null, `stream ${number}`);
}

function describe(stream: number): { namespace: string; name: string } {
  return streamOf(stream).schema;
}

function report(fact: SourceFact): void {
  if (fact.type === "process.failed") writeTraceError(fact.error);
  logFact(fact);
  pipe.send(fact);
}

function logFact(fact: SourceFact): void {
  switch (fact.type) {
    case "channel.connected":
      log.write("debug", "channel opened", { channel: fact.channel });
      return;
    case "partition.retried": {
      const { stream, partition, attempt, error } = fact;
      const fields = { stream, partition, attempt, code: error.code };
      log.write("info", `read again: ${error.message}`, fields);
      return;
    }
    case "stream.failed": {
      const { stream, error } = fact;
      log.write("info", error.message, { stream, code: error.code });
      return;
    }
    case "process.failed":
      log.write("info", fact.error.message, { code: fact.error.code });
      return;
    default:
      return;
  }
}

function orderWorker(channel: number, order: SourceWorkerOrder): void {
  given(workers.get(channel) ?? null, `worker ${channel}`).postMessage(order);
}

function fail(error: unknown, channel: number): void {
  root.send({
    type: "worker.fact",
    channel,
    fact: { type: "channel.broken", error: toWireError(error) },
  });
}

function startWorker(channel: number): void {
  const {
    attempt,
    url,
    socketDir,
    times,
    rowBytesMax,
    policy,
    checkpointEveryMs,
  } = given(settings, "settings");
  const workerData: SourceWorkerData = {
    attempt,
    channel,
    path: join(socketDir, `socket_${channel}.sock`),
    url,
    times,
    rowBytesMax,
    policy,
    checkpointEveryMs,
  };
  const worker = new Worker(
    new URL(`./worker${import.meta.url.slice(-3)}`, import.meta.url),
    {
      workerData,
      name: `source-${channel}`,
    },
  );
  workers.set(channel, worker);
  worker.on("message", (fact: SourceWorkerFact) => {
    if (fact.type === "channel.paused" || fact.type === "channel.resumed") {
      stats.notePaused(channel, fact.type === "channel.paused");
    }
    root.send({ type: "worker.fact", channel, fact });
    if (fact.type === "channel.ended") void worker.terminate();
  });
  worker.on("error", (error) => fail(error, channel));
  worker.on("exit", () => {
    if (workers.delete(channel)) {
      fail(
        new ExtractError(
          "CHANNEL_BROKEN",
          `the worker of channel ${channel} ended`,
          { channel },
        ),
        channel,
      );
    }
  });
  if (snapshot) worker.postMessage(snapshot);
  for (const stream of streams.values())
    worker.postMessage({ type: "stream.known", stream });
}

/** A resumed run's streams keep their numbers, and what came to the database since is not of this run. */
function renumber(
  found: readonly DiscoveredStream[],
  numbers: readonly { namespace: string; name: string; number: number }[],
): DiscoveredStream[] {
  const known = new Map(
    numbers.map((one) => [
      JSON.stringify([one.namespace, one.name]),
      one.number,
    ]),
  );
  return found.flatMap((stream) => {
    const number = known.get(
      JSON.stringify([stream.schema.namespace, stream.schema.name]),
    );
    return number === undefined
      ? []
      : [{ ...stream, schema: { ...stream.schema, number } }];
  });
}

const kindsWithPolicy: ReadonlySet<LogicalKind> = new Set([
  "date",
  "timestamp",
  "timestamptz",
  "decimal64",
  "decimal128",
]);

/** Where what cannot be represented becomes NULL, the columns that may hold such values have to say so. */
function allowNulls(stream: DiscoveredStream): DiscoveredStream {
  if (settings?.policy !== "null") return stream;
  const columns = stream.schema.columns.map((column) =>
    kindsWithPolicy.has(column.type.kind)
      ? { ...column, nullable: true }
      : column,
  );
  return { ...stream, schema: { ...stream.schema, columns } };
}

async function planStream(input: {
  stream: number;
  where: string | null;
  cursor: CursorOrder | null;
}): Promise<{
  plan: Awaited<ReturnType<typeof planPartitions>>;
  window: CursorWindow | null;
}> {
  const session = given(connection, "the connection");
  const stream = streamOf(input.stream);
  try {
    return await takeTurn(() =>
      keepTransaction(session, () => planInside(session, stream, input)),
    );
  } catch (error) {
    throw nameTable(error, stream, input);
  }
}

/** A name that only a condition or a cursor may hold was never there; any other was, when it was discovered. */
function nameTable(
  error: unknown,
  { schema: { namespace, name } }: DiscoveredStream,
  { where, cursor }: { where: string | null; cursor: CursorOrder | null },
): unknown {
  if (!(error instanceof ExtractError)) return error;
  const named = new ExtractError(
    error.code,
    error.message,
    { table: `${namespace}.${name}`, ...error.details },
    { cause: error },
  );
  return where === null && cursor === null ? asSchemaChange(named) : named;
}

let lastTurn: Promise<unknown> = Promise.resolve();

/** The planning connection serves one at a time: a step back to a savepoint is everybody's. */
function takeTurn<T>(work: () => Promise<T>): Promise<T> {
  const turn = lastTurn.then(work);
  lastTurn = turn.catch(() => {});
  return turn;
}

/** What fails leaves the snapshot's transaction as it was: the next stream is planned in it. */
async function keepTransaction<T>(
  session: PostgresConnection,
  work: () => Promise<T>,
): Promise<T> {
  await session.query("SAVEPOINT planning");
  try {
    return await work();
  } catch (error) {
    if (session.usable) await session.query("ROLLBACK TO SAVEPOINT planning");
    throw error;
  }
}

async function planInside(
  session: PostgresConnection,
  stream: DiscoveredStream,
  input: { where: string | null; cursor: CursorOrder | null },
): Promise<{
  plan: Awaited<ReturnType<typeof planPartitions>>;
  window: CursorWindow | null;
}> {
  const {
    channelsMax,
    readers,
    checkpointEveryMs,
    partitionBy,
    partitionBytesMin,
  } = given(settings, "settings");
  if (input.where !== null) await checkCondition(session, stream, input.where);
  let window: CursorWindow | null = null;
  if (input.cursor) {
    const { readCursorWindow } = await import("./cursor-window.ts");
    window = await readCursorWindow(session, stream, input.cursor, input.where);
  }
  const plan = await planPartitions(session, stream, {
    channels: readers ?? channelsMax,
    checkpointTargetSeconds: checkpointEveryMs / 1000,
    partitionBy,
    partitionBytesMin,
    filter: {
      where: input.where,
      // for estimates: repeats are few, and their list is long
      cursor: window && { ...window, dropRepeats: null },
    },
    bytesPerSecond: null,
  });
  return { plan, window };
}

function emitStats(): void {
  const progress = stats.takeProgress();
  if (progress) report(progress);
  const busy = Object.values(root.getSnapshot().context.channels).filter(
    (key) => key !== null,
  ).length;
  const target = governor?.sample({
    bytesTotal: stats.bytesTotal,
    active: busy,
    paused: stats.channelsPaused,
    serverStrain: false,
  });
  if (target !== null && target !== undefined)
    root.send({ type: "governor.target", readers: target });
}

const machine = sourceProcessMachine.provide({
  actors: {
    openSource: fromPromise(async ({ input }) => {
      connection = await PostgresConnection.connect(parseSourceUrl(input.url));
      return { serverVersion: connection.serverVersion };
    }),
    discover: fromPromise(async ({ input }) => {
      const session = given(connection, "the connection");
      await session.beginSnapshot(input.snapshot);
      const found = await discover(session, {
        include: input.include,
        exclude: input.exclude,
        columns: input.columns,
      });
      const chosen = input.numbers
        ? renumber(found.streams, input.numbers)
        : found.streams;
      for (const stream of chosen.map(allowNulls)) {
        streams.set(stream.schema.number, stream);
        for (const worker of workers.values())
          worker.postMessage({ type: "stream.known", stream });
      }
      return {
        type: "source.discovered" as const,
        streams: [...streams.values()],
        warnings: found.warnings,
        problems: found.problems.map(
          ({ namespace, name, relationKind, code, message }) => ({
            namespace,
            name,
            relationKind,
            error: {
              code,
              message,
              details: { table: `${namespace}.${name}` },
            },
          }),
        ),
      };
    }),
    reader: readerMachine.provide({
      actions: {
        orderWorker: (_, { channel, order }) => orderWorker(channel, order),
      },
    }),
    channel: sourceChannelMachine.provide({
      actions: {
        orderEnd: (_, { channel }) =>
          orderWorker(channel, { type: "channel.end" }),
      },
    }),
    partitioner: partitionerMachine.provide({
      actors: { planStream: fromPromise(({ input }) => planStream(input)) },
    }),
    resplitter: resplitterMachine.provide({
      actors: {
        findSplit: fromPromise(({ input }) => {
          const session = given(connection, "the connection");
          const stream = streamOf(input.range.stream);
          return takeTurn(() =>
            keepTransaction(session, () => findSplit(session, stream, input)),
          );
        }),
      },
    }),
    statsEmitter: statsEmitterMachine.provide({ actions: { emitStats } }),
  },
  guards: {
    canSplit: (_, { range }) => canSplit(streamOf(range.stream), range),
  },
  actions: {
    report: (_, fact) => report(fact),
    startWorker: (_, { channel }) => startWorker(channel),
    useSnapshot: (_, params) => {
      snapshot = { type: "snapshot.use", snapshot: params.snapshot };
      for (const worker of workers.values()) worker.postMessage(snapshot);
    },
    seedStream: (_, { stream, seed, orders }) => {
      log.write("debug", "stream begun", { stream, partitions: orders.length });
      given(checkpoints, "the checkpoints").begin(stream, seed);
    },
    allotIndex: (_, { channel, fact }) => {
      const {
        stream,
        partition,
        attempt,
        sequence,
        position,
        rows,
        bytes,
        last,
      } = fact;
      const checkpoint = {
        stream,
        partition,
        attempt,
        sequence,
        position,
        rows,
        bytes,
        last,
      };
      const index = given(checkpoints, "the checkpoints").allot(checkpoint);
      orderWorker(channel, {
        type: "checkpoint.index",
        stream,
        partition,
        attempt,
        sequence,
        index,
      });
    },
    settleCheckpoint: (_, ack) => {
      for (const state of given(checkpoints, "the checkpoints").acknowledge(
        ack,
      )) {
        writeProtocolMessage(
          describeState(describe(state.stream), JSON.parse(stateJson(state))),
        );
      }
    },
    countRead: (_, fact) => {
      if (fact.type === "read.progress")
        stats.countRead(fact.stream, fact.rows, fact.bytes);
      else stats.countNulled(fact.stream, fact.column);
    },
    countPartition: (_, { stream }) => stats.countPartition(stream),
    reportStreamRead: (_, { stream }) => {
      const progress = stats.takeProgress();
      if (progress) report(progress);
      report({
        type: "stream.read",
        stream,
        index: given(checkpoints, "the checkpoints").lastIndex(stream),
        valuesNulled: stats.valuesNulled(stream),
      });
    },
    orderWorker: (_, { channel, order }) => orderWorker(channel, order),
  },
});

const root = createActor(machine, { inspect: (event) => inspect?.(event) });
root.subscribe({
  next: (state) => {
    if (state.status !== "done") return;
    const ended = [...workers.values()];
    workers.clear();
    void Promise.all([
      pipe.flush(),
      connection?.close(),
      ...ended.map((worker) => worker.terminate()),
    ]).finally(() => process.exit(state.matches("finished") ? 0 : 1));
  },
  // an action threw: a fault of ours or of the destination's counts, in either case the end of this attempt
  error: (error) => {
    report({ type: "process.failed", error: toWireError(error) });
    void pipe.flush().finally(() => process.exit(1));
  },
});
root.start();
