/** The source process: gives the machines of this folder their effects. Rows never come here; they stay in the workers. */
import { join } from "node:path";
import { Worker } from "node:worker_threads";
import { createActor, fromPromise } from "xstate";
import { stateJson } from "../../checkpoint/state.ts";
import { loadSource } from "../../connectors/sources/index.ts";
import type {
  DiscoveredStream,
  SourceDriver,
  SourceSession,
} from "../../connectors/sources/source.ts";
import type {
  SourceFact,
  SourceOrder,
  SourceSettings,
} from "../../proto/control.ts";
import {
  ExtractError,
  fromWireError,
  toWireError,
  type WireError,
} from "../../proto/error.ts";
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
import { findMapper } from "./mapping.ts";
import { partitionerMachine } from "./partitioner.machine.ts";
import { readerMachine } from "./reader.machine.ts";
import { resplitterMachine } from "./resplitter.machine.ts";
import { sourceProcessMachine } from "./source-process.machine.ts";
import { SourceStats } from "./stats.ts";
import type {
  SourceWorkerData,
  SnapshotJoined,
  SourceWorkerFact,
  SourceWorkerOrder,
} from "./worker-messages.ts";

const log = createLog("source");
const describeState = createStateMessages("source");
const streams = new Map<number, DiscoveredStream>();
const workers = new Map<number, Worker>();
const stats = new SourceStats();
let settings: SourceSettings | null = null;
let driver: SourceDriver | null = null;
/** Discovers and plans; the workers have their own. */
let session: SourceSession | null = null;
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

/** Opens the channel's socket, in a worker of its own. */
function startWorker(channel: number): void {
  if (workers.has(channel)) orderWorker(channel, { type: "channel.open" });
  else createWorker(channel, true);
}

/** Settles when the channel's session is inside of the snapshot. */
const joins = new Map<number, PromiseWithResolvers<void>>();

/** Connects all channels while the keeper still holds the server: later there is no way into the same snapshot. */
async function joinAll(channels: number): Promise<void> {
  for (let channel = 1; channel <= channels; channel++)
    if (!workers.has(channel)) createWorker(channel, false);
  await Promise.all([...joins.values()].map(({ promise }) => promise));
}

function settleJoin(channel: number, error: WireError | null): void {
  if (error) joins.get(channel)?.reject(fromWireError(error));
  else joins.get(channel)?.resolve();
}

function createWorker(channel: number, listens: boolean): void {
  const {
    attempt,
    url,
    socketDir,
    times,
    rowBytesMax,
    policy,
    checkpointEveryMs,
    mappers,
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
    mappers,
    listens,
  };
  const worker = new Worker(
    new URL(`./worker${import.meta.url.slice(-3)}`, import.meta.url),
    {
      workerData,
      name: `source-${channel}`,
    },
  );
  workers.set(channel, worker);
  const joined = Promise.withResolvers<void>();
  // most sources join whenever they like, and nobody waits
  joined.promise.catch(() => {});
  joins.set(channel, joined);
  worker.on("message", (fact: SourceWorkerFact | SnapshotJoined) => {
    if (fact.type === "channel.paused" || fact.type === "channel.resumed") {
      stats.notePaused(channel, fact.type === "channel.paused");
    }
    if (fact.type === "snapshot.joined") {
      settleJoin(channel, fact.error);
      return;
    }
    root.send({ type: "worker.fact", channel, fact });
    if (fact.type === "channel.ended") void worker.terminate();
  });
  worker.on("error", (error) => {
    settleJoin(channel, toWireError(error));
    fail(error, channel);
  });
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

/** The stream as it travels; here and in the workers it is known as it is read. */
async function mapStream(
  stream: DiscoveredStream,
  warnings: string[],
): Promise<DiscoveredStream> {
  const mapper = await findMapper(stream.schema, settings?.mappers ?? null);
  if (mapper === null) return stream;
  const { namespace, name } = stream.schema;
  for (const warning of mapper.warnings)
    warnings.push(`${namespace}.${name}: ${warning}`);
  return { ...stream, schema: mapper.schema };
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
      driver = await loadSource(input.url);
      session = await driver.connect(input.url);
      return { serverVersion: session.serverVersion };
    }),
    discover: fromPromise(async ({ input }) => {
      const planner = given(session, "the session");
      await planner.beginSnapshot(input.snapshot);
      if (driver?.joins === "at-the-start" && input.snapshot !== null)
        await joinAll(given(settings, "settings").channelsMax);
      const { include, exclude, columns } = input;
      const found = await planner.discover(
        { include, exclude, columns },
        given(settings, "settings").policy,
      );
      const chosen = input.numbers
        ? renumber(found.streams, input.numbers)
        : found.streams;
      for (const stream of chosen) {
        streams.set(stream.schema.number, stream);
        for (const worker of workers.values())
          worker.postMessage({ type: "stream.known", stream });
      }
      const warnings = [...found.warnings];
      return {
        type: "source.discovered" as const,
        streams: await Promise.all(
          [...streams.values()].map((stream) => mapStream(stream, warnings)),
        ),
        warnings,
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
      actors: {
        planStream: fromPromise(({ input: { stream, where, cursor } }) => {
          const {
            channelsMax,
            readers,
            checkpointEveryMs,
            partitionBy,
            partitionBytesMin,
          } = given(settings, "settings");
          return given(session, "the session").planStream(
            streamOf(stream),
            { where, cursor },
            {
              channels: readers ?? channelsMax,
              checkpointTargetSeconds: checkpointEveryMs / 1000,
              partitionBy,
              partitionBytesMin,
            },
          );
        }),
      },
    }),
    resplitter: resplitterMachine.provide({
      actors: {
        findSplit: fromPromise(({ input }) =>
          given(session, "the session").findSplit(
            streamOf(input.range.stream),
            input,
          ),
        ),
      },
    }),
    statsEmitter: statsEmitterMachine.provide({ actions: { emitStats } }),
  },
  guards: {
    canSplit: (_, { range }) =>
      given(driver, "the driver").canSplit(streamOf(range.stream), range),
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
      session?.close(),
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
