/**
 * The root of the destination process: prepares the destination, joins channels, keeps the coordinator, and takes the
 * steps of each stream's commit in the order the bookkeeper gives them.
 */
import { assign, enqueueActions, fromPromise, setup } from "xstate";
import type {
  DestinationFact,
  DestinationOrder,
  DestinationSettings,
  DestinationStream,
} from "../../proto/control.ts";
import { toWireError, unexplained, type WireError } from "../../proto/error.ts";
import { enqueueNamed, tell } from "../enqueue.ts";
import {
  destinationChannelMachine,
  type DestinationChannelNews,
} from "./channel.machine.ts";
import {
  checkpointCoordinatorMachine,
  type CoordinatorNews,
} from "./checkpoint-coordinator.machine.ts";
import type { DestinationWorkerFact } from "./worker-messages.ts";

type OrderOf<Type extends DestinationOrder["type"]> = Extract<
  DestinationOrder,
  { type: Type }
>;

/** Orders that ask the destination's storage for something and are answered by one fact. */
export type StorageOrder = OrderOf<
  | "destination.recover"
  | "destination.clean"
  | "stream.verify"
  | "stream.publish"
  | "stream.apply"
  | "stream.supersede"
>;

export type DestinationProcessEvent =
  // what is passed on to the storage as it comes decides nothing here
  | Exclude<
      DestinationOrder,
      { type: "ping" | "messages.write" | "stream.exhausted" }
    >
  | {
      readonly type: "worker.fact";
      readonly channel: number;
      readonly fact: DestinationWorkerFact;
    }
  | {
      readonly type: "storage.failed";
      readonly order: StorageOrder;
      readonly error: WireError;
    }
  | DestinationChannelNews
  | CoordinatorNews;

interface DestinationProcessContext {
  readonly settings: DestinationSettings | null;
  readonly channelsOpened: number;
  readonly channelsClosed: number;
  readonly error: WireError | null;
}

export const destinationProcessMachine = setup({
  types: {
    context: {} as DestinationProcessContext,
    events: {} as DestinationProcessEvent,
    children: {} as Record<
      string,
      "channel" | "checkpointCoordinator" | "openDestination"
    >,
  },
  actors: {
    openDestination: fromPromise<void, DestinationSettings>(() =>
      Promise.reject(new Error("openDestination is not provided")),
    ),
    channel: destinationChannelMachine,
    checkpointCoordinator: checkpointCoordinatorMachine,
  },
  actions: {
    report: (_, _params: DestinationFact) => {
      throw new Error("report is not provided");
    },
    startWorker: (_, _params: { channel: number; path: string }) => {
      throw new Error("startWorker is not provided");
    },
    joinChannel: enqueueActions(
      ({ context, enqueue }, params: { channel: number; path: string }) => {
        const { channel, path } = params;
        enqueue.assign({ channelsOpened: context.channelsOpened + 1 });
        enqueue.spawnChild("channel", {
          id: `channel:${channel}`,
          systemId: `channel:${channel}`,
          input: { channel },
        });
        enqueueNamed(enqueue, {
          type: "startWorker",
          params: { channel, path },
        });
      },
    ),
    makeStreamKnown: (_, _params: { stream: DestinationStream }) => {
      throw new Error("makeStreamKnown is not provided");
    },
    // answered by its own fact, or by storage.failed
    askStorage: (_, _params: StorageOrder) => {
      throw new Error("askStorage is not provided");
    },
    keepError: assign({
      error: (_, params: { error: WireError | null }) =>
        params.error ?? unexplained,
    }),
    route: enqueueActions(
      (
        { enqueue, system },
        params: { channel: number; fact: DestinationWorkerFact },
      ) => {
        const { channel, fact } = params;
        switch (fact.type) {
          case "channel.joined":
          case "channel.paused":
          case "channel.resumed":
          case "channel.broken":
          case "channel.ended":
            tell(enqueue, system.get(`channel:${channel}`), fact);
            return;
          case "checkpoint.durable":
            enqueueNamed(enqueue, { type: "report", params: fact });
            tell(enqueue, system.get("checkpointCoordinator"), fact);
            return;
          case "checkpoint.announced":
          case "checkpoint.voided":
            tell(enqueue, system.get("checkpointCoordinator"), fact);
            return;
          case "warning":
            enqueueNamed(enqueue, { type: "report", params: fact });
            return;
        }
      },
    ),
    tellCoordinator: enqueueActions(
      ({ enqueue, system }, params: { type: string }) => {
        tell(enqueue, system.get("checkpointCoordinator"), params);
      },
    ),
  },
  guards: {
    allChannelsClosed: ({ context }) =>
      context.channelsClosed >= context.channelsOpened,
  },
}).createMachine({
  id: "destinationProcess",
  initial: "waiting",
  context: {
    settings: null,
    channelsOpened: 0,
    channelsClosed: 0,
    error: null,
  },
  on: {
    "worker.fact": { actions: { type: "route", params: ({ event }) => event } },
    "channel.up": {
      actions: {
        type: "report",
        params: ({ event }) => ({
          type: "channel.joined",
          channel: event.channel,
        }),
      },
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
    "coordinator.failed": {
      target: ".failed",
      actions: { type: "keepError", params: ({ event }) => event },
    },
  },
  states: {
    waiting: {
      on: {
        "destination.open": {
          target: "opening",
          actions: assign({ settings: ({ event }) => event.settings }),
        },
      },
    },
    opening: {
      invoke: {
        id: "openDestination",
        src: "openDestination",
        input: ({ context }) => {
          if (!context.settings) throw new Error("opening without settings");
          return context.settings;
        },
        onDone: {
          target: "serving",
          actions: [
            enqueueActions(({ context, enqueue }) => {
              if (!context.settings) return;
              enqueue.spawnChild("checkpointCoordinator", {
                id: "checkpointCoordinator",
                systemId: "checkpointCoordinator",
                input: {
                  epoch: context.settings.attempt.epoch,
                  checkpointDeadlineMs: context.settings.checkpointDeadlineMs,
                },
              });
            }),
            { type: "report", params: { type: "destination.opened" } },
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
      on: {
        // the source opens its first socket while the root is looked at, and waits for us there
        "channel.connect": {
          actions: { type: "joinChannel", params: ({ event }) => event },
        },
      },
    },
    serving: {
      on: {
        "destination.recover": {
          actions: { type: "askStorage", params: ({ event }) => event },
        },
        "destination.clean": {
          actions: { type: "askStorage", params: ({ event }) => event },
        },
        "stream.verify": {
          actions: { type: "askStorage", params: ({ event }) => event },
        },
        "stream.publish": {
          actions: { type: "askStorage", params: ({ event }) => event },
        },
        "stream.apply": {
          actions: { type: "askStorage", params: ({ event }) => event },
        },
        "stream.supersede": {
          actions: { type: "askStorage", params: ({ event }) => event },
        },
        "storage.failed": {
          target: "failed",
          actions: { type: "keepError", params: ({ event }) => event },
        },
        "stream.begin": {
          actions: [
            { type: "makeStreamKnown", params: ({ event }) => event },
            {
              type: "tellCoordinator",
              params: ({ event }) => ({
                type: "stream.seeded",
                stream: event.stream.schema.number,
                seed: event.seed,
              }),
            },
          ],
        },
        "stream.abandon": {
          actions: {
            type: "tellCoordinator",
            params: ({ event }) => ({
              type: "stream.ended",
              stream: event.stream,
            }),
          },
        },
        "checkpoint.void": {
          actions: {
            type: "tellCoordinator",
            params: ({ event }) => ({
              type: "checkpoint.voided",
              stream: event.stream,
              index: event.index,
            }),
          },
        },
        "channel.connect": {
          actions: { type: "joinChannel", params: ({ event }) => event },
        },
        "destination.finish": "finishing",
      },
    },
    // every channel has to end by its End frame: what closes without it has already failed
    finishing: { always: { guard: "allChannelsClosed", target: "finished" } },
    finished: {
      type: "final",
      entry: { type: "report", params: { type: "destination.finished" } },
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
