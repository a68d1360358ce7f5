/** One socket at the destination's side, as its main thread sees it: connecting, flowing, paused, ended, broken. */
import { assign, sendParent, setup } from "xstate";
import type { WireError } from "../../proto/error.ts";

export type DestinationChannelEvent =
  | { readonly type: "channel.joined" }
  | { readonly type: "channel.paused"; readonly reason: string }
  | { readonly type: "channel.resumed" }
  | { readonly type: "channel.broken"; readonly error: WireError }
  | { readonly type: "channel.ended" };

export type DestinationChannelNews =
  | { readonly type: "channel.up"; readonly channel: number }
  | {
      readonly type: "channel.failed";
      readonly channel: number;
      readonly error: WireError | null;
    }
  | { readonly type: "channel.closed"; readonly channel: number };

export const destinationChannelMachine = setup({
  types: {
    input: {} as { readonly channel: number },
    context: {} as {
      readonly channel: number;
      readonly reason: string | null;
      readonly error: WireError | null;
    },
    events: {} as DestinationChannelEvent,
  },
}).createMachine({
  id: "channel",
  initial: "connecting",
  context: ({ input }) => ({
    channel: input.channel,
    reason: null,
    error: null,
  }),
  on: {
    "channel.broken": {
      target: ".broken",
      actions: assign({ error: ({ event }) => event.error }),
    },
    "channel.ended": ".ended",
  },
  states: {
    connecting: {
      on: {
        "channel.joined": {
          target: "flowing",
          actions: sendParent(({ context }) => ({
            type: "channel.up" as const,
            channel: context.channel,
          })),
        },
      },
    },
    flowing: {
      on: {
        "channel.paused": {
          target: "pausedByWriter",
          actions: assign({ reason: ({ event }) => event.reason }),
        },
      },
    },
    pausedByWriter: {
      on: { "channel.resumed": "flowing" },
      exit: assign({ reason: null }),
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
