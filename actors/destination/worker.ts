/**
 * One channel of the destination, in a thread of its own: its socket, the encoders and the files of the partitions that
 * come over it. The machines `inputFlow` and `writer` say what happens next; here it is done.
 */
import { parentPort, workerData } from "node:worker_threads";
import { createActor, fromPromise } from "xstate";
import type {
  StreamWriter,
  WriterFactory,
} from "../../connectors/destinations/destination.ts";
import { loadDestination } from "../../connectors/destinations/index.ts";
import type { CheckpointStamp, SealedFile } from "../../proto/checkpoint.ts";
import type { DestinationStream } from "../../proto/control.ts";
import { toWireError } from "../../proto/error.ts";
import type { DestinationChannel } from "../../transport/channel.ts";
import { connectChannel } from "../../transport/destination-channel.ts";
import { given } from "../child.ts";
import { createInspector } from "../inspect.ts";
import { inputFlowMachine, type FrameOutcome } from "./input-flow.machine.ts";
import type {
  DestinationWorkerData,
  DestinationWorkerFact,
  DestinationWorkerOrder,
} from "./worker-messages.ts";
import { writerMachine } from "./writer.machine.ts";

/** The source is told that we stall when nothing was taken for this long. */
const STALLED_AFTER_MS = 2_000;
/** How long rows wait for the order that makes their stream known: with thousands of streams it may be far behind. */
const STREAM_KNOWN_MS_MAX = 120_000;

interface OpenWriter {
  readonly key: string;
  readonly stream: number;
  readonly partition: number;
  attempt: number;
  readonly rows: StreamWriter;
  /** Names the writer actor of the rows since the last checkpoint; null when there are none. */
  segment: string | null;
  segments: number;
}

const { settings, channel: channelNumber } =
  workerData as DestinationWorkerData;
const { attempt, times } = settings;
const streams = new Map<number, DestinationStream>();
const waitingForStream = new Map<number, () => void>();
const writers = new Map<string, OpenWriter>();
const bySegment = new Map<string, OpenWriter>();
let channel: DestinationChannel | null = null;
let factory: WriterFactory | null = null;

function tell(fact: DestinationWorkerFact): void {
  parentPort?.postMessage(fact);
}

function joined(): DestinationChannel {
  if (!channel) throw new Error("the channel is not joined yet");
  return channel;
}

/** Rows may be here before the order that names their stream: it takes another way. */
async function describeStream(number: number): Promise<DestinationStream> {
  if (!streams.has(number)) {
    const { promise, resolve } = Promise.withResolvers<void>();
    const timer = setTimeout(resolve, STREAM_KNOWN_MS_MAX);
    waitingForStream.set(number, resolve);
    await promise;
    waitingForStream.delete(number);
    clearTimeout(timer);
  }
  const stream = streams.get(number);
  if (!stream) throw new Error(`stream ${number} is not known here`);
  return stream;
}

async function writerOf(ids: {
  stream: number;
  partition: number;
  attempt: number;
}): Promise<OpenWriter> {
  const key = `${ids.stream}/${ids.partition}`;
  const known = writers.get(key);
  if (known) {
    known.attempt = ids.attempt;
    return known;
  }
  const stream = await describeStream(ids.stream);
  const writer: OpenWriter = {
    key,
    stream: ids.stream,
    partition: ids.partition,
    attempt: ids.attempt,
    rows: given(factory, "the writers").createWriter({
      stream,
      partition: ids.partition,
    }),
    segment: null,
    segments: 0,
  };
  writers.set(key, writer);
  return writer;
}

/** Takes the next frame off the socket and does what has to be done at once; what takes time is the machines'. */
async function takeFrame(): Promise<FrameOutcome> {
  const frame = await joined().next();
  if (frame === null) return { kind: "end" };
  switch (frame.kind) {
    case "batch": {
      const writer = await writerOf(frame);
      if (writer.segment === null) {
        writer.segments += 1;
        writer.segment = `writer:${writer.key}#${writer.segments}`;
        bySegment.set(writer.segment, writer);
      }
      try {
        const written = writer.rows.write(frame.batch);
        if (written) await written;
      } finally {
        frame.release();
      }
      return {
        kind: "written",
        writer: writer.segment,
        stream: frame.stream,
        partition: frame.partition,
      };
    }
    case "checkpoint": {
      const stamp = frame.checkpoint;
      const writer = await writerOf(stamp);
      tell({ type: "checkpoint.announced", stamp });
      const segment = writer.segment ?? `writer:${writer.key}#none`;
      writer.segment = null;
      return { kind: "checkpoint", writer: segment, stamp };
    }
    case "discard": {
      const writer = await writerOf(frame.discard);
      const segment = writer.segment ?? `writer:${writer.key}#none`;
      const wasOpen = writer.segment !== null;
      writer.segment = null;
      bySegment.set(segment, writer);
      return { kind: "discard", writer: segment, wasOpen };
    }
    case "schema":
    case "stalled":
      return { kind: "nothing" };
  }
}

async function seal(
  segment: string,
  stamp: CheckpointStamp,
): Promise<readonly SealedFile[]> {
  const writer = bySegment.get(segment);
  if (!writer) throw new Error(`${segment} is not open`);
  const files = await writer.rows.seal(stamp);
  bySegment.delete(segment);
  return files;
}

async function discard(segment: string): Promise<void> {
  await bySegment.get(segment)?.rows.discard();
}

function acknowledge(
  stamp: CheckpointStamp,
  files: readonly SealedFile[],
): void {
  const rows = files.reduce((sum, file) => sum + file.rows, 0);
  tell({
    type: "checkpoint.durable",
    report: { ...stamp, rows, epoch: attempt.epoch, files },
  });
  const { stream, partition, attempt: readAttempt, sequence, bytes } = stamp;
  joined().write({
    kind: "ack",
    ack: { stream, partition, attempt: readAttempt, sequence, rows, bytes },
  });
  if (stamp.last) writers.delete(`${stream}/${partition}`);
}

function answerDiscard(segment: string): void {
  const writer = bySegment.get(segment);
  if (!writer) throw new Error(`${segment} is not open`);
  bySegment.delete(segment);
  const { stream, partition, attempt: readAttempt } = writer;
  joined().write({
    kind: "discarded",
    discarded: { stream, partition, attempt: readAttempt },
  });
}

function abandonAll(): void {
  for (const writer of writers.values()) writer.rows.abandon();
  writers.clear();
}

const machine = inputFlowMachine.provide({
  actors: {
    takeFrame: fromPromise(takeFrame),
    writer: writerMachine.provide({
      actors: {
        seal: fromPromise(({ input }) => seal(input.key, input.stamp)),
        discard: fromPromise(({ input }) => discard(input.key)),
      },
    }),
  },
  actions: {
    acknowledge: (_, { stamp, files }) => acknowledge(stamp, files),
    answerDiscard: (_, { key }) => answerDiscard(key),
    reportPaused: () =>
      tell({
        type: "channel.paused",
        reason: "rows are being made durable",
      }),
    reportResumed: () => tell({ type: "channel.resumed" }),
    reportEnded: () => {
      void Promise.all([joined().close(), factory?.close()]).then(() =>
        tell({ type: "channel.ended" }),
      );
    },
    reportBroken: (_, { error }) => {
      abandonAll();
      tell({ type: "channel.broken", error });
    },
  },
});

/** Under way before the source has a socket: there is time for it until then. */
const loading = loadDestination(settings.config);
loading.catch(() => {
  // told by `start`
});

async function start(path: string): Promise<void> {
  const opening = loading.then((driver) =>
    driver.openWriters(settings, channelNumber),
  );
  const connecting = connectChannel(path, {
    run: attempt.runId,
    epoch: attempt.epoch,
    channel: channelNumber,
    connectDeadlineMs: times.connectDeadlineMs,
    handshakeMs: times.handshakeMs,
    probeMs: times.probeMs,
    probeDeadlineMs: times.probeDeadlineMs,
    stalledAfterMs: STALLED_AFTER_MS,
    frameBytesMax: settings.frameBytesMax,
    describeStall: () => "the rows of this channel are being written",
  });
  [factory, channel] = await Promise.all([opening, connecting]);
  tell({ type: "channel.joined" });
  const flow = createActor(machine, {
    ...(settings.inspect
      ? {
          inspect: createInspector("destination", channelNumber, (event) =>
            tell({ type: "inspected", event }),
          ),
        }
      : {}),
  });
  flow.subscribe({
    error: (error) => {
      abandonAll();
      const wire = toWireError(error);
      joined().fail(error instanceof Error ? error : new Error(wire.message));
      tell({ type: "channel.broken", error: wire });
    },
  });
  flow.start();
}

parentPort?.on("message", (order: DestinationWorkerOrder) => {
  switch (order.type) {
    case "channel.connect":
      start(order.path).catch((error: unknown) =>
        tell({ type: "channel.broken", error: toWireError(error) }),
      );
      return;
    case "stream.known": {
      const { number } = order.stream.schema;
      streams.set(number, order.stream);
      waitingForStream.get(number)?.();
      return;
    }
    case "worker.abandon":
      abandonAll();
      return;
  }
});
