/**
 * The root of the source process: opens, discovers, has partitioners plan and readers read, shares the channels among
 * the readers, and ends the channels in good order. What touches the world is given by `main.ts`.
 */
import { assign, enqueueActions, raise } from "xstate";
import { toWireError, unexplained } from "../../proto/error.ts";
import { readerKey } from "./reader.machine.ts";
import { byPriority, streamOfKey } from "./source-process-context.ts";
import { withGuard } from "./source-process-guard.ts";

const STATS_EVERY_MS = 200;
/** How long what was planned may take to come as an order before readers are thought to be idle. */
const CONSIDER_AFTER_MS = 200;

/** A reader that was told to stop or to cancel leaves. */
const leaving = withGuard.createStateConfig({
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
});

export const sourceProcessMachine = withGuard.createMachine({
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
    channelsLost: [],
    pausedChannels: [],
    pausedStreams: [],
    readersTarget: 1,
    remaining: {},
    plansWaiting: [],
    planning: false,
    failedStreams: [],
    readersAlive: 0,
    log: null,
    channelsClosed: 0,
    error: null,
  },
  on: {
    "worker.fact": { actions: { type: "route", params: ({ event }) => event } },
    "log.leave": { actions: { type: "tellLog", params: ({ event }) => event } },
    "log.stop": { actions: { type: "tellLog", params: ({ event }) => event } },
    "log.end": { actions: { type: "tellLog", params: ({ event }) => event } },
    "log.committed": {
      actions: { type: "tellLog", params: ({ event }) => event },
    },
    "logReader.done": { actions: "noteLogDone" },
    "logReader.failed": {
      target: ".failed",
      actions: { type: "keepError", params: ({ event }) => event },
    },
    "logGuard.measured": {
      actions: {
        type: "report",
        params: ({ event: { measure, step } }) => ({
          ...{ type: "log.measured" as const, measure, step },
        }),
      },
    },
    "logGuard.blind": {
      actions: {
        type: "report",
        params: ({ event: { error } }) => ({
          type: "warning",
          message: `what the source keeps of its log cannot be found out: ${error.message}`,
        }),
      },
    },
    "logGuard.failed": {
      target: ".failed",
      actions: { type: "keepError", params: ({ event }) => event },
    },
    // whatever is under way: the source's disk does not wait
    "log.giveUp": ".givingUp",
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
        { type: "giveLogChannel", params: ({ event }) => event },
        "dispatch",
      ],
    },
    "channel.failed": {
      target: ".failed",
      actions: { type: "keepError", params: ({ event }) => event },
    },
    "actor.order": {
      actions: {
        type: "answerOrder",
        params: ({ event: { id, subject } }) => ({
          ...{ id, subject },
          refusal: "the source is not reading: the run begins or ends",
        }),
      },
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
          actions: [
            {
              type: "limitChannels",
              params: ({ event }) => event.output,
            },
            { type: "report", params: ({ event }) => event.output.fact },
          ],
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
            { type: "giveLogChannel", params: ({ event }) => event },
            "dispatch",
            "askForTail",
          ],
        },
        "source.log": {
          actions: [
            { type: "beginLog", params: ({ event }) => event },
            "beginGuard",
          ],
        },
        "logReader.gathered": {
          actions: ["noteGathered", "paceAgain", "tellSnapshotRead"],
        },
        "logGuard.stepped": {
          actions: [
            { type: "takeStep", params: ({ event }) => event },
            "dispatch",
          ],
        },
        "logReader.streamRead": {
          actions: {
            type: "countStreamPart",
            params: ({ event }) => event,
          },
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
                  log: event.log ?? null,
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
            guard: ({ context, event }) =>
              context.failedStreams.includes(event.stream),
            actions: [assign({ planning: false }), "planNext"],
          },
          {
            guard: { type: "endsStreamOnly", params: ({ event }) => event },
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
            { type: "joinLog", params: ({ event }) => event },
            raise(
              { type: "resplit.consider" },
              { id: "consider", delay: CONSIDER_AFTER_MS },
            ),
          ],
        },
        "resplit.consider": { actions: "askForTail" },
        "actor.order": {
          actions: { type: "followOrder", params: ({ event }) => event },
        },
        "reader.paused": {
          actions: [
            { type: "dequeue", params: ({ event }) => event },
            "dispatch",
            "askForTail",
          ],
        },
        "reader.queued": [
          {
            guard: { type: "isHeld", params: ({ event }) => event },
            actions: { type: "holdReader", params: ({ event }) => event },
          },
          {
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
        ],
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
            enqueueActions(({ event, enqueue }) => {
              if (event.outcome !== "done") return;
              const stream = streamOfKey(event.key);
              enqueue({ type: "countStreamPart", params: { stream } });
            }),
            "tellSnapshotRead",
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
              "tellSnapshotRead",
            ],
          },
          {
            guard: { type: "endsStreamOnly", params: ({ event }) => event },
            actions: [
              { type: "keepWhole", params: ({ event }) => event },
              { type: "forgetReader", params: ({ event }) => event },
              { type: "freeChannel", params: ({ event }) => event },
              {
                type: "cancelStream",
                params: ({ event }) => ({ stream: streamOfKey(event.key) }),
              },
              "tellSnapshotRead",
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
      entry: [
        { type: "tellReaders", params: { type: "reader.stop" } },
        { type: "tellLog", params: { type: "log.cancel" } },
      ],
      always: { guard: "allReadersGone", target: "drained" },
      on: {
        ...leaving.on,
        "source.finish": "clearing",
      },
    },
    drained: {
      entry: { type: "report", params: { type: "source.drained" } },
      on: { "source.finish": "finishing" },
    },
    // readers of failed streams may still be letting go of their channels: nothing may follow a channel's End
    clearing: {
      entry: [
        { type: "tellReaders", params: { type: "reader.cancel" } },
        { type: "tellLog", params: { type: "log.cancel" } },
      ],
      always: { guard: "allReadersGone", target: "finishing" },
      on: leaving.on,
    },
    // the engine may end when its session is ended under it
    givingUp: {
      entry: {
        type: "dropLog",
        params: ({ event }) => ({
          reason: event.type === "log.giveUp" ? event.reason : "",
        }),
      },
      on: {
        "log.giveUp": {},
        "logReader.failed": {},
        "logGuard.failed": {},
        "channel.failed": {},
        "logGuard.dropped": {
          target: "failed",
          actions: { type: "noteDropped", params: ({ event }) => event },
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
