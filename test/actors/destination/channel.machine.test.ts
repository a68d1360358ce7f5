import { expect, test } from "vitest";
import type { EventFrom, StateValueFrom } from "xstate";
import { destinationChannelMachine } from "../../../actors/destination/channel.machine.ts";
import type { WireError } from "../../../proto/error.ts";
import { runBelow } from "../recorder.ts";
import {
  describeTable,
  listReachable,
  type AnyEvent,
  type StateName,
} from "../table.ts";

type State = StateName<StateValueFrom<typeof destinationChannelMachine>>;
type Event = EventFrom<typeof destinationChannelMachine>["type"];

const error: WireError = {
  code: "DESTINATION_FULL",
  message: "no space left on device",
  details: {},
};

const events: Record<Event, AnyEvent> = {
  "channel.joined": { type: "channel.joined" },
  "channel.paused": { type: "channel.paused", reason: "files are synced" },
  "channel.resumed": { type: "channel.resumed" },
  "channel.broken": { type: "channel.broken", error },
  "channel.ended": { type: "channel.ended" },
};

describeTable<
  typeof destinationChannelMachine,
  State,
  Exclude<State, "ended" | "broken">,
  Event
>({
  machine: destinationChannelMachine,
  events,
  contextOf: () => ({ channel: 2, reason: null, error: null }),
  // prettier-ignore
  nextState: {
    connecting: {
      "channel.joined": "flowing", "channel.paused": "connecting", "channel.resumed": "connecting",
      "channel.broken": "broken", "channel.ended": "ended",
    },
    flowing: {
      "channel.joined": "flowing", "channel.paused": "pausedByWriter", "channel.resumed": "flowing",
      "channel.broken": "broken", "channel.ended": "ended",
    },
    pausedByWriter: {
      "channel.joined": "pausedByWriter", "channel.paused": "pausedByWriter", "channel.resumed": "flowing",
      "channel.broken": "broken", "channel.ended": "ended",
    },
  },
});

test("every state can be reached", () => {
  expect(
    listReachable(destinationChannelMachine, {
      input: { channel: 2 },
      events: Object.values(events),
    }),
  ).toEqual(Object.keys(destinationChannelMachine.states).toSorted());
});

test.for([
  { name: "while it connects", before: [] },
  { name: "while rows flow", before: [{ type: "channel.joined" as const }] },
  {
    name: "while its writers are behind",
    before: [
      { type: "channel.joined" as const },
      { type: "channel.paused" as const, reason: "files are synced" },
    ],
  },
])("a worker that fails $name is told with its reason", ({ before }) => {
  const channel = runBelow(destinationChannelMachine, { channel: 2 });
  for (const event of before) channel.subject.send(event);
  channel.subject.send({ type: "channel.broken", error });
  expect(channel.heard.at(-1)).toEqual({
    type: "channel.failed",
    channel: 2,
    error,
  });
});
