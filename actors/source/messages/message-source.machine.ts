/**
 * The root of the source process of a foreign connector: asks it what it has, and has all streams read together over
 * one channel once each of them is ordered to be read or has failed. It speaks with the bookkeeper as every source does.
 */
import { assign, enqueueActions, fromPromise, setup } from "xstate";
import type {
  SourceFact,
  SourceOrder,
  SourceSettings,
} from "../../../proto/control.ts";
import {
  toWireError,
  unexplained,
  type WireError,
} from "../../../proto/error.ts";
import { enqueueNamed } from "../../enqueue.ts";
import { statsEmitterMachine } from "../../stats-emitter.machine.ts";

type OrderOf<Type extends SourceOrder["type"]> = Extract<
  SourceOrder,
  { type: Type }
>;

interface Lane {
  readonly stream: number;
  readonly partition: number;
}

interface MessageSourceContext {
  readonly settings: SourceSettings | null;
  readonly order: OrderOf<"source.messages"> | null;
  /** Streams that are neither ordered to be read nor have failed. */
  readonly missing: readonly number[];
  readonly joined: readonly Lane[];
  /** Partitions of each stream that are not acknowledged yet. */
  readonly remaining: Readonly<Record<number, number>>;
  /** Of each partition whose last checkpoint is on the wire, by `stream/partition`, its sequence. */
  readonly lasts: Readonly<Record<string, number>>;
  readonly isConnected: boolean;
  readonly hasChannel: boolean;
  /** Told to stop: what has been read stays for another attempt. */
  readonly isLeaving: boolean;
  readonly error: WireError | null;
}

export interface CheckpointReady extends Lane {
  readonly attempt: number;
  readonly sequence: number;
  readonly last: boolean;
}

export type MessageSourceEvent =
  | Exclude<SourceOrder, { type: "ping" }>
  | { readonly type: "channel.listening"; readonly path: string }
  | { readonly type: "channel.connected" }
  | { readonly type: "channel.broken"; readonly error: WireError }
  | { readonly type: "channel.closed" }
  | ({ readonly type: "checkpoint.ready" } & CheckpointReady)
  | ({ readonly type: "checkpoint.acked" } & Omit<CheckpointReady, "last">)
  | {
      readonly type: "stream.failed";
      readonly stream: number;
      readonly error: WireError;
    };

const CHANNEL = 1;
const STATS_EVERY_MS = 200;

const keyOf = ({ stream, partition }: Lane): string => `${stream}/${partition}`;

const messageSourceBase = setup({
  types: {
    context: {} as MessageSourceContext,
    events: {} as MessageSourceEvent,
  },
  actors: {
    openSource: fromPromise<void, SourceSettings>(() =>
      Promise.reject(new Error("openSource is not provided")),
    ),
    discover: fromPromise<
      Extract<SourceFact, { type: "source.discovered" }>,
      OrderOf<"source.discover">
    >(() => Promise.reject(new Error("discover is not provided"))),
    /** Until the source has come to its end, or is stopped. */
    readMessages: fromPromise<
      void,
      {
        readonly order: OrderOf<"source.messages">;
        readonly lanes: readonly Lane[];
      }
    >(() => Promise.reject(new Error("readMessages is not provided"))),
    statsEmitter: statsEmitterMachine,
  },
  actions: {
    report: (_, _params: SourceFact) => {
      throw new Error("report is not provided");
    },
    planStream: (_, _params: OrderOf<"source.plan">) => {
      throw new Error("planStream is not provided");
    },
    openChannel: () => {
      throw new Error("openChannel is not provided");
    },
    endChannel: () => {
      throw new Error("endChannel is not provided");
    },
    seedStream: (_, _params: OrderOf<"source.read">) => {
      throw new Error("seedStream is not provided");
    },
    leaveStream: (_, _params: { stream: number }) => {
      throw new Error("leaveStream is not provided");
    },
    stopReading: () => {
      throw new Error("stopReading is not provided");
    },
    countPartition: (_, _params: { stream: number }) => {
      throw new Error("countPartition is not provided");
    },
    reportStreamRead: (_, _params: { stream: number }) => {
      throw new Error("reportStreamRead is not provided");
    },
    emitStats: () => {
      throw new Error("emitStats is not provided");
    },
    keepError: assign({
      error: (_, params: { error: WireError }) => params.error,
    }),
    leave: assign(({ context }, { stream }: { stream: number }) => ({
      missing: context.missing.filter((one) => one !== stream),
      joined: context.joined.filter((one) => one.stream !== stream),
    })),
    noteLast: assign({
      lasts: ({ context }, params: CheckpointReady) =>
        params.last
          ? { ...context.lasts, [keyOf(params)]: params.sequence }
          : context.lasts,
    }),
  },
  guards: {
    isGathered: ({ context }) =>
      context.order !== null && context.missing.length === 0,
    isNothingLeft: ({ context }) =>
      context.order !== null &&
      context.missing.length === 0 &&
      context.joined.length === 0,
    isConnected: ({ context }) => context.isConnected,
    isLeaving: ({ context }) => context.isLeaving,
    hasNoChannel: ({ context }) => !context.hasChannel,
  },
});

const messageSource = messageSourceBase.extend({
  actions: {
    join: enqueueActions(
      ({ context, enqueue }, params: OrderOf<"source.read">) => {
        const { stream, orders } = params;
        enqueue.assign({
          missing: context.missing.filter((one) => one !== stream),
          joined: [
            ...context.joined,
            ...orders.map(({ partition }) => ({ stream, partition })),
          ],
          remaining: { ...context.remaining, [stream]: orders.length },
        });
        if (orders.length === 0)
          enqueueNamed(enqueue, {
            type: "reportStreamRead",
            params: { stream },
          });
      },
    ),
    countAcked: enqueueActions(
      ({ context, enqueue }, params: Omit<CheckpointReady, "last">) => {
        if (context.lasts[keyOf(params)] !== params.sequence) return;
        const { stream } = params;
        const left = (context.remaining[stream] ?? 0) - 1;
        enqueue.assign({ remaining: { ...context.remaining, [stream]: left } });
        enqueueNamed(enqueue, { type: "countPartition", params: { stream } });
        if (left === 0)
          enqueueNamed(enqueue, {
            type: "reportStreamRead",
            params: { stream },
          });
      },
    ),
    refuseOrder: enqueueActions(
      ({ enqueue }, { id }: OrderOf<"source.order">) => {
        enqueueNamed(enqueue, {
          type: "report",
          params: {
            type: "source.ordered",
            id,
            subject: "the connector",
            refusal:
              "a foreign connector takes no orders: its streams come in its own order; cancel or stop the run",
          },
        });
      },
    ),
  },
});

export const messageSourceMachine = messageSource.createMachine({
  id: "messageSource",
  initial: "waiting",
  context: {
    settings: null,
    order: null,
    missing: [],
    joined: [],
    remaining: {},
    lasts: {},
    isConnected: false,
    hasChannel: false,
    isLeaving: false,
    error: null,
  },
  on: {
    "source.order": {
      actions: { type: "refuseOrder", params: ({ event }) => event },
    },
    "channel.listening": {
      actions: {
        type: "report",
        params: ({ event }) => ({ ...event, channel: CHANNEL }),
      },
    },
    "channel.connected": {
      actions: [
        assign({ isConnected: true }),
        {
          type: "report",
          params: { type: "channel.connected", channel: CHANNEL },
        },
      ],
    },
    "channel.broken": {
      target: ".failed",
      actions: { type: "keepError", params: ({ event }) => event },
    },
    "checkpoint.ready": {
      actions: { type: "noteLast", params: ({ event }) => event },
    },
    "checkpoint.acked": {
      actions: { type: "countAcked", params: ({ event }) => event },
    },
    "stream.failed": {
      actions: { type: "report", params: ({ event }) => event },
    },
    "log.leave": {
      actions: [
        { type: "leave", params: ({ event }) => event },
        { type: "leaveStream", params: ({ event }) => event },
      ],
    },
  },
  states: {
    waiting: {
      on: {
        "source.open": {
          target: "opening",
          actions: assign({ settings: ({ event }) => event.settings }),
        },
        "source.finish": "finished",
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
            params: { type: "source.connected", serverVersion: 0 },
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
      on: { "source.finish": "finished" },
    },
    opened: {
      on: { "source.discover": "discovering", "source.finish": "finished" },
    },
    discovering: {
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
      on: { "source.finish": "finished" },
    },
    serving: {
      initial: "gathering",
      on: {
        "source.plan": {
          actions: { type: "planStream", params: ({ event }) => event },
        },
        "source.read": {
          actions: [
            { type: "seedStream", params: ({ event }) => event },
            { type: "join", params: ({ event }) => event },
          ],
        },
        "source.drain": "drained",
        "source.finish": "finishing",
      },
      states: {
        gathering: {
          always: [
            {
              // earlier attempts have read all of it
              guard: "isNothingLeft",
              target: "ended",
            },
            { guard: "isGathered", target: "connecting" },
          ],
          on: {
            "source.messages": {
              actions: assign({
                order: ({ event }) => event,
                missing: ({ context, event }) =>
                  event.streams
                    .map(({ stream }) => stream)
                    .filter(
                      (stream) => context.remaining[stream] === undefined,
                    ),
              }),
            },
          },
        },
        connecting: {
          entry: [assign({ hasChannel: true }), "openChannel"],
          always: { guard: "isConnected", target: "reading" },
        },
        reading: {
          entry: {
            type: "report",
            params: { type: "snapshot.read" },
          },
          invoke: [
            {
              id: "readMessages",
              src: "readMessages",
              input: ({ context: { order, joined } }) => {
                if (!order) throw new Error("reading without an order");
                return { order, lanes: joined };
              },
              onDone: [
                {
                  guard: "isLeaving",
                  target: "#drained",
                },
                { target: "ended" },
              ],
              onError: {
                target: "#messageSource.failed",
                actions: {
                  type: "keepError",
                  params: ({ event }) => ({ error: toWireError(event.error) }),
                },
              },
            },
            {
              id: "statsEmitter",
              src: "statsEmitter",
              input: { everyMs: STATS_EVERY_MS },
            },
          ],
          on: {
            // behind the next state, or without one when it does not come soon
            "source.drain": {
              actions: [assign({ isLeaving: true }), "stopReading"],
            },
          },
        },
        ended: { entry: "emitStats" },
      },
    },
    drained: {
      id: "drained",
      entry: { type: "report", params: { type: "source.drained" } },
      on: { "source.finish": "finishing" },
    },
    finishing: {
      entry: "endChannel",
      always: { guard: "hasNoChannel", target: "finished" },
      on: { "channel.closed": "finished" },
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
