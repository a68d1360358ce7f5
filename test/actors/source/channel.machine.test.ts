import { expect, test } from "vitest";
import type { EventFrom, StateValueFrom } from "xstate";
import {
  sourceChannelMachine,
  type ChannelEvent,
} from "../../../actors/source/channel.machine.ts";
import type { WireError } from "../../../proto/error.ts";
import { runBelow } from "../recorder.ts";
import {
  describeTable,
  listReachable,
  type AnyEvent,
  type StateName,
} from "../table.ts";

type State = StateName<StateValueFrom<typeof sourceChannelMachine>>;
type Event =
  | EventFrom<typeof sourceChannelMachine>["type"]
  | "connectDeadline"
  | "endDeadline";

const error: WireError = {
  code: "CHANNEL_BROKEN",
  message: "reset by peer",
  details: {},
};
const input = { channel: 3, connectDeadlineMs: 15_000 };

const events: Record<Event, AnyEvent> = {
  "channel.listening": { type: "channel.listening", path: "/run/socket_3" },
  "channel.connected": { type: "channel.connected" },
  "channel.paused": { type: "channel.paused" },
  "channel.resumed": { type: "channel.resumed" },
  "channel.broken": { type: "channel.broken", error },
  "channel.ended": { type: "channel.ended" },
  "channel.occupy": { type: "channel.occupy", key: "1/0" },
  "channel.release": { type: "channel.release" },
  "channel.finish": { type: "channel.finish" },
  connectDeadline: {
    type: "xstate.after.connectDeadline.channel.connecting",
  },
  endDeadline: {
    type: "xstate.after.connectDeadline.channel.connectingToEnd",
  },
};

describeTable<
  typeof sourceChannelMachine,
  State,
  Exclude<State, "reading" | "ended" | "broken">,
  Event
>({
  machine: sourceChannelMachine,
  events,
  contextOf: () => ({ ...input, reading: null, error: null }),
  // prettier-ignore
  nextState: {
    connecting: {
      "channel.listening": "connecting", "channel.connected": "idle", "channel.paused": "connecting",
      "channel.resumed": "connecting", "channel.broken": "broken", "channel.ended": "connecting",
      "channel.occupy": "connecting", "channel.release": "connecting", "channel.finish": "connectingToEnd",
      connectDeadline: "broken", endDeadline: "connecting",
    },
    connectingToEnd: {
      "channel.listening": "connectingToEnd", "channel.connected": "ending",
      "channel.paused": "connectingToEnd", "channel.resumed": "connectingToEnd", "channel.broken": "broken",
      "channel.ended": "connectingToEnd", "channel.occupy": "connectingToEnd",
      "channel.release": "connectingToEnd", "channel.finish": "connectingToEnd",
      connectDeadline: "connectingToEnd", endDeadline: "broken",
    },
    idle: {
      "channel.listening": "idle", "channel.connected": "idle", "channel.paused": "idle",
      "channel.resumed": "idle", "channel.broken": "broken", "channel.ended": "idle",
      "channel.occupy": "reading.flowing", "channel.release": "idle", "channel.finish": "ending",
      connectDeadline: "idle", endDeadline: "idle",
    },
    "reading.flowing": {
      "channel.listening": "reading.flowing", "channel.connected": "reading.flowing",
      "channel.paused": "reading.pausedByBackpressure", "channel.resumed": "reading.flowing",
      "channel.broken": "broken", "channel.ended": "reading.flowing", "channel.occupy": "reading.flowing",
      "channel.release": "idle", "channel.finish": "ending", connectDeadline: "reading.flowing",
      endDeadline: "reading.flowing",
    },
    "reading.pausedByBackpressure": {
      "channel.listening": "reading.pausedByBackpressure",
      "channel.connected": "reading.pausedByBackpressure", "channel.paused": "reading.pausedByBackpressure",
      "channel.resumed": "reading.flowing", "channel.broken": "broken",
      "channel.ended": "reading.pausedByBackpressure", "channel.occupy": "reading.pausedByBackpressure",
      "channel.release": "idle", "channel.finish": "ending", connectDeadline: "reading.pausedByBackpressure",
      endDeadline: "reading.pausedByBackpressure",
    },
    ending: {
      "channel.listening": "ending", "channel.connected": "ending", "channel.paused": "ending",
      "channel.resumed": "ending", "channel.broken": "broken", "channel.ended": "ended",
      "channel.occupy": "ending", "channel.release": "ending", "channel.finish": "ending",
      connectDeadline: "ending", endDeadline: "ending",
    },
  },
});

test("every state can be reached", () => {
  expect(
    listReachable(sourceChannelMachine, {
      input,
      events: Object.values(events),
    }),
  ).toEqual([
    "broken",
    "connecting",
    "connectingToEnd",
    "ended",
    "ending",
    "idle",
    "reading.flowing",
    "reading.pausedByBackpressure",
  ] satisfies State[]);
});

function start() {
  const ended: number[] = [];
  const channel = runBelow(
    sourceChannelMachine.provide({
      actions: { orderEnd: (_, params) => ended.push(params.channel) },
    }),
    input,
  );
  const send = (...sent: ChannelEvent[]): void => {
    for (const event of sent) channel.subject.send(event);
  };
  return { ...channel, ended, send };
}

test("a destination that does not connect is named when the deadline is over", () => {
  const channel = start();
  channel.send({ type: "channel.listening", path: "/run/socket_3" });
  channel.clock.increment(14_999);
  expect(channel.state()).toBe("connecting");
  channel.clock.increment(1);
  expect(channel.heard).toEqual([
    { type: "channel.announced", channel: 3, path: "/run/socket_3" },
    {
      type: "channel.failed",
      channel: 3,
      error: expect.objectContaining({ code: "CHANNEL_START_TIMEOUT" }),
    },
  ]);
});

test("one that is to finish before it is connected meets its destination first, which may be on its way", () => {
  const channel = start();
  channel.send({ type: "channel.finish" });
  expect(channel.ended).toEqual([]);
  channel.send(
    { type: "channel.listening", path: "/run/socket_3" },
    { type: "channel.connected" },
  );
  expect(channel.ended).toEqual([3]);
  channel.send({ type: "channel.ended" });
  expect(channel.heard.at(-1)).toEqual({ type: "channel.closed", channel: 3 });
});

test("a socket that breaks behind its End is a failure: not all was acknowledged", () => {
  const channel = start();
  channel.send(
    { type: "channel.connected" },
    { type: "channel.finish" },
    { type: "channel.broken", error },
  );
  expect(channel.heard.at(-1)).toEqual({
    type: "channel.failed",
    channel: 3,
    error,
  });
});

test("it says that it is idle for the first time once, and again after each reader", () => {
  const channel = start();
  channel.send(
    { type: "channel.connected" },
    { type: "channel.occupy", key: "1/0" },
    { type: "channel.paused" },
    { type: "channel.release" },
  );
  expect(channel.heard).toEqual([
    { type: "channel.idle", channel: 3, first: true },
    { type: "channel.idle", channel: 3, first: false },
  ]);
});
