import { describe, expect, test } from "vitest";
import {
  createActor,
  fromPromise,
  SimulatedClock,
  type StateValueFrom,
} from "xstate";
import {
  queueTriggerMachine,
  type QueueTriggerEvent,
} from "../../../actors/daemon/queue-trigger.machine.ts";
import { ExtractError, type WireError } from "../../../proto/error.ts";
import { settle } from "../recorder.ts";
import {
  describeTable,
  doneBy,
  failedBy,
  listReachable,
  type AnyEvent,
  type StateName,
} from "../table.ts";

type State = StateName<StateValueFrom<typeof queueTriggerMachine>>;
type Event =
  | QueueTriggerEvent["type"]
  | "connected"
  | "connectFailed"
  | "refusedByGroup"
  | "disconnected"
  | "disconnectFailed"
  | "connectBackoff"
  | "recordBackoff"
  | "stable";

const error: WireError = {
  code: "KAFKA_UNREACHABLE",
  message: "connection refused",
  details: {},
};
const away = new ExtractError("KAFKA_UNREACHABLE", "connection refused");
const foreign = new ExtractError("KAFKA_GROUP_FOREIGN", "another ledger");

const events: Record<Event, AnyEvent> = {
  "message.recorded": { type: "message.recorded" },
  "record.refused": { type: "record.refused", error },
  "connection.lost": { type: "connection.lost", error },
  "group.foreign": { type: "group.foreign", error },
  "trigger.stop": { type: "trigger.stop" },
  connected: doneBy("connect"),
  connectFailed: failedBy("connect", away),
  refusedByGroup: failedBy("connect", foreign),
  disconnected: doneBy("disconnect"),
  disconnectFailed: failedBy("disconnect", away),
  connectBackoff: {
    type: "xstate.after.connectBackoff.queueTrigger.backingOff",
  },
  recordBackoff: { type: "xstate.after.recordBackoff.queueTrigger.paused" },
  stable: { type: "xstate.after.stable.queueTrigger.consuming" },
};

/** What follows where nothing but the stop and the losses are heard. */
const stays = <Name extends State>(name: Name) => ({
  "message.recorded": name,
  "record.refused": name,
  connected: name,
  connectFailed: name,
  refusedByGroup: name,
  disconnected: name,
  disconnectFailed: name,
  connectBackoff: name,
  recordBackoff: name,
  stable: name,
});

describeTable<
  typeof queueTriggerMachine,
  State,
  Exclude<State, "stopped">,
  Event
>({
  machine: queueTriggerMachine,
  events,
  contextOf: () => ({ failures: 1, refusals: 1, error: null }),
  // prettier-ignore
  nextState: {
    connecting: {
      ...stays("connecting"),
      connected: "consuming", connectFailed: "backingOff", refusedByGroup: "refused",
      "connection.lost": "backingOff", "group.foreign": "refused", "trigger.stop": "draining",
    },
    consuming: {
      ...stays("consuming"),
      "record.refused": "paused",
      "connection.lost": "backingOff", "group.foreign": "refused", "trigger.stop": "draining",
    },
    paused: {
      ...stays("paused"),
      recordBackoff: "consuming",
      "connection.lost": "backingOff", "group.foreign": "refused", "trigger.stop": "draining",
    },
    backingOff: {
      ...stays("backingOff"),
      connectBackoff: "connecting",
      "connection.lost": "backingOff", "group.foreign": "refused", "trigger.stop": "draining",
    },
    refused: {
      ...stays("refused"),
      "connection.lost": "refused", "group.foreign": "refused", "trigger.stop": "draining",
    },
    draining: {
      ...stays("draining"),
      disconnected: "stopped", disconnectFailed: "stopped",
      "connection.lost": "draining", "group.foreign": "draining", "trigger.stop": "draining",
    },
  },
});

test("every state can be reached", () => {
  expect(
    listReachable(queueTriggerMachine, {
      events: Object.values(events),
      distinguish: () => null,
    }),
  ).toEqual(Object.keys(queueTriggerMachine.states).toSorted());
});

function start(connect: () => Promise<void>) {
  const clock = new SimulatedClock();
  const did: string[] = [];
  const actor = createActor(
    queueTriggerMachine.provide({
      actors: {
        connect: fromPromise<void>(() => {
          did.push("connect");
          return connect();
        }),
        disconnect: fromPromise<void>(async () => void did.push("disconnect")),
      },
      actions: {
        resumeFetching: () => did.push("resume"),
        leaveGroup: () => did.push("leave"),
      },
    }),
    { clock },
  ).start();
  return {
    clock,
    did,
    send: (event: QueueTriggerEvent) => actor.send(event),
    snapshot: () => actor.getSnapshot(),
    attempts: () => did.filter((one) => one === "connect").length,
  };
}

describe("brokers that are away", () => {
  test("are asked again, later each time, up to half a minute", async () => {
    const trigger = start(() => Promise.reject(away));
    await settle();
    const waits: number[] = [];
    for (let i = 0; i < 9; i += 1) {
      const before = trigger.attempts();
      let waited = 0;
      while (trigger.attempts() === before) {
        trigger.clock.increment(500);
        waited += 500;
      }
      waits.push(waited);
      await settle();
    }
    expect(waits).toEqual([500, 1_000, 2_000, 4_000, 8_000, 16_000, 30_000, 30_000, 30_000]); // prettier-ignore
    expect(trigger.snapshot().context.error).toMatchObject(error);
  });

  test("that come and go are asked ever later, until one connection has held", async () => {
    const trigger = start(() => Promise.resolve());
    for (const waitMs of [500, 1_000, 2_000]) {
      await settle();
      expect(trigger.snapshot().value).toBe("consuming");
      trigger.send({ type: "connection.lost", error });
      trigger.clock.increment(waitMs - 1);
      expect(trigger.snapshot().value).toBe("backingOff");
      trigger.clock.increment(1);
    }
    await settle();
    trigger.clock.increment(60_000);
    trigger.send({ type: "connection.lost", error });
    trigger.clock.increment(500);
    expect(trigger.snapshot().value).toBe("connecting");
  });
});

describe("a ledger that takes nothing", () => {
  test("is tried again, later each time; the first record forgets that", async () => {
    const trigger = start(() => Promise.resolve());
    await settle();
    for (const waitMs of [250, 500, 1_000]) {
      trigger.send({ type: "record.refused", error });
      expect(trigger.snapshot().value).toBe("paused");
      trigger.clock.increment(waitMs - 1);
      expect(trigger.snapshot().value).toBe("paused");
      trigger.clock.increment(1);
      expect(trigger.snapshot().value).toBe("consuming");
      expect(trigger.did.at(-1)).toBe("resume");
    }
    trigger.send({ type: "message.recorded" });
    expect(trigger.snapshot().context).toMatchObject({
      refusals: 0,
      error: null,
    });
  });
});

test("a group with another ledger is left, and not joined again", async () => {
  const trigger = start(() => Promise.reject(foreign));
  await settle();
  expect(trigger.snapshot().value).toBe("refused");
  trigger.clock.increment(3_600_000);
  await settle();
  expect(trigger.did).toEqual(["connect", "leave"]);
});
