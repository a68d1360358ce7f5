/**
 * The root of the source process: opens, discovers, has partitioners plan and readers read, shares the channels among
 * the readers, and ends the channels in good order. What touches the world is given by `main.ts`.
 */
import { assign, enqueueActions, fromPromise, raise, setup } from "xstate";
import type {
  SnapshotWire,
  SourceFact,
  SourceSettings,
} from "../../proto/control.ts";
import {
  errorCodes,
  toWireError,
  unexplained,
  type WireError,
} from "../../proto/error.ts";
import { chooseGiver, estimateRowBytes } from "../../partitioning/resplit.ts";
import type { Partition } from "../../proto/partition.ts";
import { sourceChannelMachine } from "./channel.machine.ts";
import { partitionerMachine } from "./partitioner.machine.ts";
import { readerKey, readerMachine } from "./reader.machine.ts";
import {
  resplitterMachine,
  type ResplitterEvent,
  type ResplitterNews,
} from "./resplitter.machine.ts";
import {
  beginRead,
  byPriority,
  streamOfKey,
  without,
  type DiscoverOrder,
  type KnownRead,
  type QueuedRead,
  type ReadStreamOrder,
  type SourceProcessContext,
  type SourceProcessEvent,
} from "./source-process-context.ts";
import { checkNamed, enqueueNamed, tell } from "../enqueue.ts";
import { statsEmitterMachine } from "../stats-emitter.machine.ts";
import type { SourceWorkerFact, SourceWorkerOrder } from "./worker-messages.ts";

const STATS_EVERY_MS = 200;
/** How long what was planned may take to come as an order before readers are thought to be idle. */
const CONSIDER_AFTER_MS = 200;

export const sourceProcessMachine = setup({
  types: {
    context: {} as SourceProcessContext,
    events: {} as SourceProcessEvent,
  },
  actors: {
    openSource: fromPromise<{ serverVersion: number }, SourceSettings>(() =>
      Promise.reject(new Error("openSource is not provided")),
    ),
    discover: fromPromise<
      Extract<SourceFact, { type: "source.discovered" }>,
      DiscoverOrder
    >(() => Promise.reject(new Error("discover is not provided"))),
    reader: readerMachine,
    channel: sourceChannelMachine,
    partitioner: partitionerMachine,
    resplitter: resplitterMachine,
    statsEmitter: statsEmitterMachine,
  },
  actions: {
    report: (_, _params: SourceFact) => {
      throw new Error("report is not provided");
    },
    startWorker: (_, _params: { channel: number }) => {
      throw new Error("startWorker is not provided");
    },
    useSnapshot: (_, _params: { snapshot: SnapshotWire | null }) => {
      throw new Error("useSnapshot is not provided");
    },
    seedStream: (_, _params: ReadStreamOrder) => {
      throw new Error("seedStream is not provided");
    },
    // allots the index in the one place there is for it, and passes it to the worker that waits for it
    allotIndex: (
      _,
      _params: {
        channel: number;
        fact: Extract<SourceWorkerFact, { type: "checkpoint.ready" }>;
      },
    ) => {
      throw new Error("allotIndex is not provided");
    },
    settleCheckpoint: (
      _,
      _params: Extract<SourceWorkerFact, { type: "checkpoint.acked" }>,
    ) => {
      throw new Error("settleCheckpoint is not provided");
    },
    countRead: (
      _,
      _params: Extract<
        SourceWorkerFact,
        { type: "read.progress" | "value.nulled" }
      >,
    ) => {
      throw new Error("countRead is not provided");
    },
    countPartition: (_, _params: { stream: number }) => {
      throw new Error("countPartition is not provided");
    },
    reportStreamRead: (_, _params: { stream: number }) => {
      throw new Error("reportStreamRead is not provided");
    },
    orderWorker: (
      _,
      _params: { channel: number; order: SourceWorkerOrder },
    ) => {
      throw new Error("orderWorker is not provided");
    },
    openChannel: enqueueActions(({ context, enqueue }) => {
      const settings = context.settings;
      // a process that is only asked about its source has no channel
      if (!settings || settings.channelsMax === 0) return;
      const channel = context.channelsOpened + 1;
      enqueue.assign({ channelsOpened: channel });
      enqueue.spawnChild("channel", {
        id: `channel:${channel}`,
        systemId: `channel:${channel}`,
        input: { channel, connectDeadlineMs: settings.times.handshakeMs },
      });
      enqueueNamed(enqueue, { type: "startWorker", params: { channel } });
    }),
    keepError: assign({
      error: (_, params: { error: WireError }) => params.error,
    }),
    // gives waiting readers to idle channels, up to the governor's target; opens one more channel when all are busy
    dispatch: enqueueActions(({ context, enqueue, system }) => {
      const settings = context.settings;
      if (!settings || context.queue.length === 0) return;
      const target = Math.min(context.readersTarget, settings.channelsMax);
      let queue = context.queue;
      const channels = { ...context.channels };
      let active = Object.values(channels).filter((key) => key !== null).length;
      for (const channel of Object.keys(channels).map(Number)) {
        const next = queue[0];
        if (!next || active >= target) break;
        if (channels[channel] !== null) continue;
        channels[channel] = next.key;
        queue = queue.slice(1);
        active += 1;
        tell(enqueue, system.get(`channel:${channel}`), {
          type: "channel.occupy",
          key: next.key,
        });
        tell(enqueue, system.get(`reader:${next.key}`), {
          type: "channel.assigned",
          channel,
        });
      }
      enqueue.assign({ queue, channels });
      const wanted = Math.min(target, active + queue.length);
      if (wanted > context.channelsOpened)
        enqueueNamed(enqueue, { type: "openChannel" });
    }),
    noteIdle: assign({
      channels: ({ context }, params: { channel: number }) => ({
        ...context.channels,
        [params.channel]: null,
      }),
    }),
    tellConnected: enqueueActions(
      ({ enqueue }, params: { channel: number; first: boolean }) => {
        if (!params.first) return;
        enqueueNamed(enqueue, {
          type: "report",
          params: { type: "channel.connected", channel: params.channel },
        });
      },
    ),
    // more could work than there are partitions waiting: the reader with the most left is asked for the tail of its range
    askForTail: enqueueActions(({ context, enqueue, system, check }) => {
      const { settings, channels, channelsOpened } = context;
      const isBusy =
        context.resplitting !== null ||
        context.queue.length > 0 ||
        context.planning ||
        context.plansWaiting.length > 0;
      if (!settings || isBusy) return;
      const target = Math.min(context.readersTarget, settings.channelsMax);
      const reading = Object.values(channels).filter((key) => key !== null);
      if (reading.length >= target) return;
      const giver = chooseGiver(
        reading
          .map((key) => context.reads[key])
          .filter((read) => read !== undefined)
          .filter(
            ({ key, range, hasRefused }) =>
              !hasRefused &&
              !context.failedStreams.includes(streamOfKey(key)) &&
              checkNamed(check, { type: "canSplit", params: { range } }),
          ),
        settings.partitionBytesMin,
      );
      if (!giver) return;
      if (reading.length === Object.keys(channels).length) {
        // one that is being opened says channel.idle when it is there
        if (reading.length === channelsOpened)
          enqueueNamed(enqueue, { type: "openChannel" });
        return;
      }
      const actor = `resplitter:${context.resplits + 1}`;
      enqueue.assign({
        resplits: context.resplits + 1,
        resplitting: { key: giver.key, actor },
      });
      enqueue.spawnChild("resplitter", {
        id: actor,
        systemId: actor,
        input: {
          key: giver.key,
          range: giver.range,
          rowBytes: estimateRowBytes(giver),
          bytesMin: settings.partitionBytesMin,
        },
      });
      tell(enqueue, system.get(`reader:${giver.key}`), {
        type: "reader.yield",
      });
    }),
    tellResplitter: enqueueActions(
      (
        { context, enqueue, system },
        { key, event }: { key: string; event: ResplitterEvent },
      ) => {
        if (context.resplitting?.key !== key) return;
        tell(enqueue, system.get(context.resplitting.actor), event);
      },
    ),
    keepWhole: enqueueActions(({ enqueue }, { key }: { key: string }) => {
      enqueueNamed(enqueue, {
        type: "tellResplitter",
        params: { key, event: { type: "reader.kept" } },
      });
    }),
    endResplit: enqueueActions(
      (
        { context, enqueue, system },
        {
          key,
          outcome,
          giver,
          taker,
        }: Extract<ResplitterNews, { type: "resplitter.ended" }>,
      ) => {
        enqueue.assign({ resplitting: null });
        const read = context.reads[key];
        if (!read || outcome === "kept") return;
        const reads = {
          ...context.reads,
          [key]: { ...read, range: giver, hasRefused: outcome === "refused" },
        };
        enqueue.assign({ reads });
        if (taker) {
          const added = readerKey({
            stream: taker.stream,
            partition: taker.ordinal,
          });
          const { streamBytes = 0 } = context.weights[key] ?? {};
          enqueue.assign({
            reads: { ...reads, [added]: beginRead(added, taker) },
            weights: {
              ...context.weights,
              [added]: { key: added, streamBytes, edge: false },
            },
            remaining: {
              ...context.remaining,
              [taker.stream]: (context.remaining[taker.stream] ?? 0) + 1,
            },
            readersAlive: context.readersAlive + 1,
          });
          enqueue.spawnChild("reader", {
            id: `reader:${added}`,
            systemId: `reader:${added}`,
            input: {
              range: taker,
              resumeAfter: null,
              where: null,
              window: null,
              ...context.filters[taker.stream],
            },
          });
        }
        tell(enqueue, system.get(`reader:${key}`), {
          type: "reader.resume",
          range: giver,
        });
      },
    ),
    // the reader goes on as it was
    warnOfRefusal: enqueueActions(
      (
        { enqueue },
        { key, error }: { key: string; error: WireError | null },
      ) => {
        if (!error) return;
        const message = `partition ${key} could not be split between two readers: ${error.message}`;
        enqueueNamed(enqueue, {
          type: "report",
          params: { type: "warning", message },
        });
      },
    ),
    countBytes: assign(
      (
        { context },
        fact: Extract<SourceWorkerFact, { type: "read.progress" }>,
      ) => {
        const read = context.reads[readerKey(fact)];
        if (!read) return {};
        const counted = {
          ...read,
          rows: read.rows + fact.rows,
          bytes: read.bytes + fact.bytes,
        };
        return { reads: { ...context.reads, [read.key]: counted } };
      },
    ),
    route: enqueueActions(
      (
        { enqueue, system },
        params: { channel: number; fact: SourceWorkerFact },
      ) => {
        const { channel, fact } = params;
        switch (fact.type) {
          case "channel.listening":
          case "channel.connected":
          case "channel.broken":
          case "channel.paused":
          case "channel.resumed":
          case "channel.ended": {
            const target = system.get(`channel:${channel}`);
            tell(enqueue, target, fact);
            return;
          }
          case "checkpoint.ready":
            enqueueNamed(enqueue, {
              type: "allotIndex",
              params: { channel, fact },
            });
            break;
          case "checkpoint.acked":
            enqueueNamed(enqueue, { type: "settleCheckpoint", params: fact });
            break;
          case "read.progress":
            enqueueNamed(enqueue, { type: "countRead", params: fact });
            enqueueNamed(enqueue, { type: "countBytes", params: fact });
            return;
          case "value.nulled":
            enqueueNamed(enqueue, { type: "countRead", params: fact });
            return;
          case "inspected":
            enqueueNamed(enqueue, { type: "report", params: fact });
            return;
          default:
            break;
        }
        const reader = system.get(`reader:${readerKey(fact)}`);
        tell(enqueue, reader, fact);
      },
    ),
    freeChannel: enqueueActions(
      (
        { context, enqueue, system },
        params: { channel: number | null | undefined },
      ) => {
        const channel = params.channel;
        if (
          channel === null ||
          channel === undefined ||
          context.channels[channel] === undefined
        )
          return;
        // free for others only by its channel.idle: marked here, it could be given away twice
        tell(enqueue, system.get(`channel:${channel}`), {
          type: "channel.release",
        });
      },
    ),
    cancelStream: enqueueActions(
      ({ context, enqueue, system }, params: { stream: number }) => {
        for (const key of Object.keys(context.weights)) {
          if (streamOfKey(key) !== params.stream) continue;
          const reader = system.get(`reader:${key}`);
          tell(enqueue, reader, { type: "reader.cancel" });
        }
        enqueue.assign({
          queue: context.queue.filter(
            (one) => streamOfKey(one.key) !== params.stream,
          ),
          failedStreams: [...context.failedStreams, params.stream],
        });
      },
    ),
    tellReaders: enqueueActions(
      (
        { context, enqueue, system },
        params: { type: "reader.stop" | "reader.cancel" },
      ) => {
        for (const key of Object.keys(context.weights))
          tell(enqueue, system.get(`reader:${key}`), params);
        enqueue.assign({ queue: [] });
      },
    ),
    forgetReader: assign(({ context }, params: { key: string }) => ({
      readersAlive: context.readersAlive - 1,
      weights: without(context.weights, params.key),
      reads: without(context.reads, params.key),
    })),
    spawnReaders: enqueueActions(
      ({ context, enqueue }, params: ReadStreamOrder) => {
        const byOrdinal = new Map(
          params.partitions.map((one) => [one.ordinal, one]),
        );
        const streamBytes = params.partitions.reduce(
          (sum, one) => sum + one.estimatedBytes,
          0,
        );
        const lastOrdinal = Math.max(...byOrdinal.keys());
        const weights: Record<string, QueuedRead> = { ...context.weights };
        const reads: Record<string, KnownRead> = { ...context.reads };
        for (const order of params.orders) {
          const range = byOrdinal.get(order.partition);
          if (!range)
            throw new Error(
              `partition ${order.stream}/${order.partition} is not in the plan`,
            );
          const key = readerKey(order);
          weights[key] = {
            key,
            streamBytes,
            edge: order.partition === 0 || order.partition === lastOrdinal,
          };
          reads[key] = beginRead(key, range);
          enqueue.spawnChild("reader", {
            id: `reader:${key}`,
            systemId: `reader:${key}`,
            input: {
              range,
              resumeAfter: order.resumeAfter,
              where: params.where,
              window: params.window,
            },
          });
        }
        enqueue.assign({
          weights,
          reads,
          filters: {
            ...context.filters,
            [params.stream]: { where: params.where, window: params.window },
          },
          remaining: {
            ...context.remaining,
            [params.stream]: params.orders.length,
          },
          readersAlive: context.readersAlive + params.orders.length,
        });
        if (params.orders.length === 0)
          enqueueNamed(enqueue, {
            type: "reportStreamRead",
            params: { stream: params.stream },
          });
      },
    ),
    planNext: enqueueActions(({ context, enqueue }) => {
      const [next, ...rest] = context.plansWaiting;
      if (!next || context.planning) return;
      enqueue.assign({ plansWaiting: rest, planning: true });
      enqueue.spawnChild("partitioner", {
        id: `partitioner:${next.stream}`,
        input: next,
      });
    }),
    finishChannels: enqueueActions(({ context, enqueue, system }) => {
      for (let channel = 1; channel <= context.channelsOpened; channel += 1) {
        const actor = system.get(`channel:${channel}`);
        tell(enqueue, actor, { type: "channel.finish" });
      }
    }),
  },
  guards: {
    canSplit: (_, _params: { range: Partition }): boolean => {
      throw new Error("canSplit is not provided");
    },
    isFailStream: (_, params: { error: WireError }) =>
      errorCodes[params.error.code].disposition === "failStream",
    streamAlreadyFailed: ({ context }, params: { key: string }) =>
      context.failedStreams.includes(streamOfKey(params.key)),
    allReadersGone: ({ context }) => context.readersAlive === 0,
    allChannelsClosed: ({ context }) =>
      context.channelsClosed >= context.channelsOpened,
  },
}).createMachine({
  id: "sourceProcess",
  initial: "waiting",
  context: {
    settings: null,
    queue: [],
    weights: {},
    reads: {},
    filters: {},
    resplitting: null,
    resplits: 0,
    channels: {},
    channelsOpened: 0,
    readersTarget: 1,
    remaining: {},
    plansWaiting: [],
    planning: false,
    failedStreams: [],
    readersAlive: 0,
    channelsClosed: 0,
    error: null,
  },
  on: {
    "worker.fact": { actions: { type: "route", params: ({ event }) => event } },
    "channel.announced": {
      actions: {
        type: "report",
        params: ({ event }) => ({
          type: "channel.listening",
          channel: event.channel,
          path: event.path,
        }),
      },
    },
    "channel.idle": {
      actions: [
        { type: "noteIdle", params: ({ event }) => event },
        { type: "tellConnected", params: ({ event }) => event },
        "dispatch",
      ],
    },
    "channel.failed": {
      target: ".failed",
      actions: { type: "keepError", params: ({ event }) => event },
    },
    "channel.closed": {
      actions: assign({
        channelsClosed: ({ context }) => context.channelsClosed + 1,
      }),
    },
  },
  states: {
    waiting: {
      on: {
        "source.open": {
          target: "opening",
          actions: [
            assign({
              settings: ({ event }) => event.settings,
              readersTarget: ({ event }) => event.settings.readers ?? 1,
            }),
            // the first socket opens while the catalogue is read: most runs need no other
            "openChannel",
          ],
        },
        "source.finish": "finishing",
      },
    },
    opening: {
      invoke: {
        id: "openSource",
        src: "openSource",
        input: ({ context }) => {
          if (!context.settings) throw new Error("opening without settings");
          return context.settings;
        },
        onDone: {
          target: "opened",
          actions: {
            type: "report",
            params: ({ event }) => ({
              type: "source.connected",
              serverVersion: event.output.serverVersion,
            }),
          },
        },
        onError: {
          target: "failed",
          actions: {
            type: "keepError",
            params: ({ event }) => ({ error: toWireError(event.error) }),
          },
        },
      },
      on: { "source.finish": "finishing" },
    },
    opened: {
      on: {
        "source.discover": "discovering",
        "source.finish": "finishing",
      },
    },
    discovering: {
      entry: {
        type: "useSnapshot",
        params: ({ event }) => ({
          snapshot: event.type === "source.discover" ? event.snapshot : null,
        }),
      },
      invoke: {
        id: "discover",
        src: "discover",
        input: ({ event }) => {
          if (event.type !== "source.discover")
            throw new Error(`discovering after ${event.type}`);
          return event;
        },
        onDone: {
          target: "serving",
          actions: { type: "report", params: ({ event }) => event.output },
        },
        onError: {
          target: "failed",
          actions: {
            type: "keepError",
            params: ({ event }) => ({ error: toWireError(event.error) }),
          },
        },
      },
      on: { "source.finish": "finishing" },
    },
    serving: {
      invoke: {
        id: "statsEmitter",
        src: "statsEmitter",
        input: { everyMs: STATS_EVERY_MS },
      },
      on: {
        "channel.idle": {
          actions: [
            { type: "noteIdle", params: ({ event }) => event },
            { type: "tellConnected", params: ({ event }) => event },
            "dispatch",
            "askForTail",
          ],
        },
        "reader.yielded": {
          actions: {
            type: "tellResplitter",
            params: ({ event }) => ({ key: event.key, event }),
          },
        },
        "resplitter.found": {
          actions: {
            type: "report",
            params: ({ event: { giver, taker } }) => ({
              type: "partition.split",
              giver,
              taker,
            }),
          },
        },
        "source.resplit": {
          actions: {
            type: "tellResplitter",
            params: ({ event }) => ({
              key: readerKey({
                stream: event.giver.stream,
                partition: event.giver.ordinal,
              }),
              event,
            }),
          },
        },
        "resplitter.ended": [
          {
            guard: ({ event }) => event.error?.code === "INTERNAL",
            target: "failed",
            actions: {
              type: "keepError",
              params: ({ event }) => ({ error: event.error ?? unexplained }),
            },
          },
          {
            actions: [
              { type: "endResplit", params: ({ event }) => event },
              { type: "warnOfRefusal", params: ({ event }) => event },
              "askForTail",
            ],
          },
        ],
        "source.plan": {
          actions: [
            assign({
              plansWaiting: ({ context, event }) => [
                ...context.plansWaiting,
                {
                  stream: event.stream,
                  where: event.where,
                  cursor: event.cursor,
                },
              ],
            }),
            "planNext",
          ],
        },
        "partitioner.planned": {
          actions: [
            assign({ planning: false }),
            {
              type: "report",
              params: ({ event }) => ({
                type: "stream.planned",
                stream: event.stream,
                plan: event.plan,
                window: event.window,
              }),
            },
            "planNext",
          ],
        },
        "partitioner.failed": [
          {
            guard: { type: "isFailStream", params: ({ event }) => event },
            actions: [
              assign({ planning: false }),
              {
                type: "report",
                params: ({ event }) => ({
                  type: "stream.failed",
                  stream: event.stream,
                  error: event.error,
                }),
              },
              "planNext",
            ],
          },
          {
            target: "failed",
            actions: { type: "keepError", params: ({ event }) => event },
          },
        ],
        "source.read": {
          actions: [
            { type: "seedStream", params: ({ event }) => event },
            { type: "spawnReaders", params: ({ event }) => event },
            raise(
              { type: "resplit.consider" },
              { id: "consider", delay: CONSIDER_AFTER_MS },
            ),
          ],
        },
        "resplit.consider": { actions: "askForTail" },
        "reader.queued": {
          actions: [
            assign({
              queue: ({ context, event }) => {
                const weight = context.weights[event.key];
                if (
                  !weight ||
                  context.failedStreams.includes(streamOfKey(event.key))
                )
                  return context.queue;
                const at = context.queue.findIndex(
                  (one) => byPriority(weight, one) < 0,
                );
                return at < 0
                  ? [...context.queue, weight]
                  : context.queue.toSpliced(at, 0, weight);
              },
            }),
            "dispatch",
          ],
        },
        "reader.released": {
          actions: { type: "freeChannel", params: ({ event }) => event },
        },
        "reader.retried": {
          actions: [
            { type: "keepWhole", params: ({ event }) => event },
            {
              type: "report",
              params: ({ event }) => ({
                type: "partition.retried",
                stream: streamOfKey(event.key),
                partition: Number(event.key.slice(event.key.indexOf("/") + 1)),
                attempt: event.attempt,
                error: event.error ?? unexplained,
              }),
            },
          ],
        },
        "reader.finished": {
          actions: [
            { type: "keepWhole", params: ({ event }) => event },
            { type: "forgetReader", params: ({ event }) => event },
            { type: "freeChannel", params: ({ event }) => event },
            enqueueActions(({ context, event, enqueue }) => {
              if (event.outcome !== "done") return;
              const stream = streamOfKey(event.key);
              const left = (context.remaining[stream] ?? 0) - 1;
              enqueue.assign({
                remaining: { ...context.remaining, [stream]: left },
              });
              enqueue({ type: "countPartition", params: { stream } });
              if (left === 0)
                enqueue({ type: "reportStreamRead", params: { stream } });
            }),
          ],
        },
        "reader.failed": [
          {
            guard: {
              type: "streamAlreadyFailed",
              params: ({ event }) => event,
            },
            actions: [
              { type: "keepWhole", params: ({ event }) => event },
              { type: "forgetReader", params: ({ event }) => event },
              { type: "freeChannel", params: ({ event }) => event },
            ],
          },
          {
            guard: ({ event }) =>
              event.error !== null &&
              errorCodes[event.error.code].disposition === "failStream",
            actions: [
              { type: "keepWhole", params: ({ event }) => event },
              { type: "forgetReader", params: ({ event }) => event },
              { type: "freeChannel", params: ({ event }) => event },
              {
                type: "cancelStream",
                params: ({ event }) => ({ stream: streamOfKey(event.key) }),
              },
              {
                type: "report",
                params: ({ event }) => ({
                  type: "stream.failed",
                  stream: streamOfKey(event.key),
                  error: event.error ?? unexplained,
                }),
              },
            ],
          },
          {
            target: "failed",
            actions: {
              type: "keepError",
              params: ({ event }) => ({
                error: event.error ?? unexplained,
              }),
            },
          },
        ],
        "governor.target": {
          actions: [
            assign({ readersTarget: ({ event }) => event.readers }),
            "dispatch",
            "askForTail",
          ],
        },
        "source.drain": "draining",
        "source.finish": "clearing",
      },
    },
    draining: {
      entry: { type: "tellReaders", params: { type: "reader.stop" } },
      always: { guard: "allReadersGone", target: "drained" },
      on: {
        "reader.released": {
          actions: { type: "freeChannel", params: ({ event }) => event },
        },
        "reader.finished": {
          actions: [
            { type: "forgetReader", params: ({ event }) => event },
            { type: "freeChannel", params: ({ event }) => event },
          ],
        },
        "reader.failed": {
          actions: [
            { type: "forgetReader", params: ({ event }) => event },
            { type: "freeChannel", params: ({ event }) => event },
          ],
        },
        "source.finish": "clearing",
      },
    },
    drained: {
      entry: { type: "report", params: { type: "source.drained" } },
      on: { "source.finish": "finishing" },
    },
    // readers of failed streams may still be letting go of their channels: nothing may follow a channel's End
    clearing: {
      entry: { type: "tellReaders", params: { type: "reader.cancel" } },
      always: { guard: "allReadersGone", target: "finishing" },
      on: {
        "reader.released": {
          actions: { type: "freeChannel", params: ({ event }) => event },
        },
        "reader.finished": {
          actions: [
            { type: "forgetReader", params: ({ event }) => event },
            { type: "freeChannel", params: ({ event }) => event },
          ],
        },
        "reader.failed": {
          actions: [
            { type: "forgetReader", params: ({ event }) => event },
            { type: "freeChannel", params: ({ event }) => event },
          ],
        },
      },
    },
    finishing: {
      entry: "finishChannels",
      always: { guard: "allChannelsClosed", target: "finished" },
    },
    finished: {
      type: "final",
      entry: { type: "report", params: { type: "source.finished" } },
    },
    failed: {
      type: "final",
      entry: {
        type: "report",
        params: ({ context }) => ({
          type: "process.failed",
          error: context.error ?? unexplained,
        }),
      },
    },
  },
});
