/** One socket at the source's side, with the worker that serves it: connecting, idle, reading, paused, broken. */
import { assign, sendParent, setup } from "xstate";
import type { WireError } from "../../proto/error.ts";

export interface ChannelInput {
  readonly channel: number;
  readonly connectDeadlineMs: number;
}

export type ChannelEvent =
  | { readonly type: "channel.listening"; readonly path: string }
  | { readonly type: "channel.connected" }
  | { readonly type: "channel.paused" }
  | { readonly type: "channel.resumed" }
  | { readonly type: "channel.broken"; readonly error: WireError }
  | { readonly type: "channel.ended" }
  | { readonly type: "channel.occupy"; readonly key: string }
  | { readonly type: "channel.release" }
  | { readonly type: "channel.finish" };

export type ChannelNews =
  | {
      readonly type: "channel.announced";
      readonly channel: number;
      readonly path: string;
    }
  | {
      readonly type: "channel.idle";
      readonly channel: number;
      readonly first: boolean;
    }
  | {
      readonly type: "channel.failed";
      readonly channel: number;
      readonly error: WireError;
    }
  | { readonly type: "channel.closed"; readonly channel: number };

interface ChannelContext extends ChannelInput {
  readonly reading: string | null;
  readonly error: WireError | null;
}

export const sourceChannelMachine = setup({
  types: {
    input: {} as ChannelInput,
    context: {} as ChannelContext,
    events: {} as ChannelEvent,
  },
  actions: {
    orderEnd: (_, _params: { channel: number }) => {
      throw new Error("orderEnd is not provided");
    },
    keepError: assign({
      error: (_, params: { error: WireError }) => params.error,
    }),
    keepTimeout: assign({
      error: ({ context }): WireError => ({
        code: "CHANNEL_START_TIMEOUT",
        message: `socket ${context.channel}: the destination did not connect within ${context.connectDeadlineMs} ms`,
        details: { channel: context.channel },
      }),
    }),
    announcePath: sendParent(({ context }, params: { path: string }) => ({
      type: "channel.announced" as const,
      channel: context.channel,
      path: params.path,
    })),
    announceIdle: sendParent(({ context }, params: { first: boolean }) => ({
      type: "channel.idle" as const,
      channel: context.channel,
      first: params.first,
    })),
  },
  delays: { connectDeadline: ({ context }) => context.connectDeadlineMs },
}).createMachine({
  id: "channel",
  initial: "connecting",
  context: ({ input }) => ({ ...input, reading: null, error: null }),
  on: {
    "channel.broken": {
      target: ".broken",
      actions: { type: "keepError", params: ({ event }) => event },
    },
  },
  states: {
    connecting: {
      after: { connectDeadline: { target: "broken", actions: "keepTimeout" } },
      on: {
        "channel.listening": {
          actions: { type: "announcePath", params: ({ event }) => event },
        },
        "channel.connected": {
          target: "idle",
          actions: { type: "announceIdle", params: { first: true } },
        },
        "channel.finish": "connectingToEnd",
      },
    },
    // the destination may be on its way to this socket already: it is met, and told that this is all
    connectingToEnd: {
      after: { connectDeadline: { target: "broken", actions: "keepTimeout" } },
      on: {
        "channel.listening": {
          actions: { type: "announcePath", params: ({ event }) => event },
        },
        "channel.connected": "ending",
      },
    },
    idle: {
      on: {
        "channel.occupy": {
          target: "reading",
          actions: assign({ reading: ({ event }) => event.key }),
        },
        "channel.finish": "ending",
      },
    },
    reading: {
      initial: "flowing",
      states: {
        flowing: { on: { "channel.paused": "pausedByBackpressure" } },
        pausedByBackpressure: { on: { "channel.resumed": "flowing" } },
      },
      on: {
        "channel.release": {
          target: "idle",
          actions: [
            assign({ reading: null }),
            { type: "announceIdle", params: { first: false } },
          ],
        },
        "channel.finish": "ending",
      },
    },
    ending: {
      entry: {
        type: "orderEnd",
        params: ({ context }) => ({ channel: context.channel }),
      },
      on: { "channel.ended": "ended" },
    },
    ended: {
      type: "final",
      entry: sendParent(({ context }) => ({
        type: "channel.closed" as const,
        channel: context.channel,
      })),
    },
    broken: {
      type: "final",
      entry: sendParent(({ context }) => ({
        type: "channel.failed" as const,
        channel: context.channel,
        error: context.error,
      })),
    },
  },
});
