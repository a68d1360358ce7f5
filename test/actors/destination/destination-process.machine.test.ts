import { describe, expect, test } from "vitest";
import {
  createActor,
  fromPromise,
  SimulatedClock,
  type EventFrom,
  type StateValueFrom,
} from "xstate";
import { checkpointCoordinatorMachine } from "../../../actors/destination/checkpoint-coordinator.machine.ts";
import {
  destinationProcessMachine,
  type DestinationProcessEvent,
} from "../../../actors/destination/destination-process.machine.ts";
import { EMPTY_SEED } from "../../../checkpoint/state.ts";
import type {
  CommitStep,
  DestinationFact,
  DestinationSettings,
  DestinationStream,
} from "../../../proto/control.ts";
import { ExtractError, type WireError } from "../../../proto/error.ts";
import { makeReport, makeStamp } from "../../checkpoint/stamps.ts";
import { buildSchema } from "../../fixtures/batches.ts";
import { settle } from "../recorder.ts";
import {
  describeTable,
  doneBy,
  failedBy,
  listReachable,
  type AnyEvent,
  type StateName,
} from "../table.ts";

type State = StateName<StateValueFrom<typeof destinationProcessMachine>>;
type Event =
  | EventFrom<typeof destinationProcessMachine>["type"]
  | "opened"
  | "openFailed";

const settings: DestinationSettings = {
  attempt: { runId: "run1", epoch: 1 },
  syncId: "sync1",
  config: { kind: "file" },
  frameBytesMax: 1,
  times: {
    handshakeMs: 1,
    probeMs: 1,
    probeDeadlineMs: 1,
    connectDeadlineMs: 1,
  },
  checkpointDeadlineMs: 1000,
  inspect: false,
};
const stream: DestinationStream = {
  schema: buildSchema({ id: "int64" }),
  generation: 1,
  planVersion: 1,
};
const error: WireError = {
  code: "DESTINATION_FULL",
  message: "no space left on device",
  details: {},
};
const step: CommitStep = {
  stream,
  mode: "overwrite",
  files: [],
  committedAt: "2026-01-01T00:00:00Z",
};
const clean = {
  type: "destination.clean" as const,
  intents: [],
  keep: [],
};

const events: Record<Event, AnyEvent> = {
  "destination.open": { type: "destination.open", settings },
  "destination.recover": { type: "destination.recover", streams: [] },
  "destination.clean": clean,
  "stream.begin": { type: "stream.begin", stream, seed: EMPTY_SEED },
  "stream.abandon": { type: "stream.abandon", stream: 1 },
  "channel.connect": { type: "channel.connect", channel: 1, path: "/run/s1" },
  "checkpoint.void": { type: "checkpoint.void", stream: 1, index: 1 },
  "stream.verify": { type: "stream.verify", ...step },
  "stream.publish": { type: "stream.publish", ...step },
  "stream.apply": {
    type: "stream.apply",
    ...step,
    log: { partitions: [1], upTo: "p", consistentFrom: null },
  },
  "stream.supersede": { type: "stream.supersede", stream, intents: [] },
  "destination.finish": { type: "destination.finish" },
  "worker.fact": {
    type: "worker.fact",
    channel: 1,
    fact: { type: "channel.joined" },
  },
  "storage.failed": { type: "storage.failed", order: clean, error },
  "channel.up": { type: "channel.up", channel: 1 },
  "channel.failed": { type: "channel.failed", channel: 1, error },
  "channel.closed": { type: "channel.closed", channel: 1 },
  "coordinator.failed": { type: "coordinator.failed", error },
  opened: doneBy("openDestination"),
  openFailed: failedBy(
    "openDestination",
    new ExtractError("DESTINATION_UNWRITABLE", "read-only file system"),
  ),
};

describeTable<
  typeof destinationProcessMachine,
  State,
  Exclude<State, "finished" | "failed">,
  Event
>({
  machine: destinationProcessMachine,
  events,
  contextOf: () => ({
    settings,
    channelsOpened: 1,
    channelsClosed: 0,
    error: null,
  }),
  // prettier-ignore
  nextState: {
    waiting: {
      "destination.open": "opening", "destination.recover": "waiting", "destination.clean": "waiting",
      "stream.begin": "waiting", "stream.abandon": "waiting", "channel.connect": "waiting",
      "checkpoint.void": "waiting", "stream.verify": "waiting", "stream.publish": "waiting",
      "stream.apply": "waiting", "stream.supersede": "waiting", "destination.finish": "waiting", "worker.fact": "waiting",
      "storage.failed": "waiting", "channel.up": "waiting", "channel.failed": "failed",
      "channel.closed": "waiting", "coordinator.failed": "failed", opened: "waiting", openFailed: "waiting",
    },
    opening: {
      "destination.open": "opening", "destination.recover": "opening", "destination.clean": "opening",
      "stream.begin": "opening", "stream.abandon": "opening", "channel.connect": "opening",
      "checkpoint.void": "opening", "stream.verify": "opening", "stream.publish": "opening",
      "stream.apply": "opening", "stream.supersede": "opening", "destination.finish": "opening", "worker.fact": "opening",
      "storage.failed": "opening", "channel.up": "opening", "channel.failed": "failed",
      "channel.closed": "opening", "coordinator.failed": "failed", opened: "serving", openFailed: "failed",
    },
    serving: {
      "destination.open": "serving", "destination.recover": "serving", "destination.clean": "serving",
      "stream.begin": "serving", "stream.abandon": "serving", "channel.connect": "serving",
      "checkpoint.void": "serving", "stream.verify": "serving", "stream.publish": "serving",
      "stream.apply": "serving", "stream.supersede": "serving", "destination.finish": "finishing", "worker.fact": "serving",
      "storage.failed": "failed", "channel.up": "serving", "channel.failed": "failed",
      "channel.closed": "serving", "coordinator.failed": "failed", opened: "serving", openFailed: "serving",
    },
    finishing: {
      "destination.open": "finishing", "destination.recover": "finishing", "destination.clean": "finishing",
      "stream.begin": "finishing", "stream.abandon": "finishing", "channel.connect": "finishing",
      "checkpoint.void": "finishing", "stream.verify": "finishing", "stream.publish": "finishing",
      "stream.apply": "finishing", "stream.supersede": "finishing", "destination.finish": "finishing", "worker.fact": "finishing",
      "storage.failed": "finishing", "channel.up": "finishing", "channel.failed": "failed",
      "channel.closed": "finished", "coordinator.failed": "failed", opened: "finishing",
      openFailed: "finishing",
    },
  },
});

test("every state can be reached", () => {
  expect(
    listReachable(destinationProcessMachine, {
      events: Object.values(events),
      distinguish: ({ channelsOpened, channelsClosed }) => [
        Math.min(2, channelsOpened),
        Math.min(2, channelsClosed),
      ],
    }),
  ).toEqual(Object.keys(destinationProcessMachine.states).toSorted());
});

function start(opening: Promise<void> = Promise.resolve()) {
  const facts: DestinationFact[] = [];
  const did: string[] = [];
  const released: number[] = [];
  const clock = new SimulatedClock();
  const root = createActor(
    destinationProcessMachine.provide({
      actors: {
        openDestination: fromPromise(() => opening),
        checkpointCoordinator: checkpointCoordinatorMachine.provide({
          actions: {
            releaseState: (_, { state }) => released.push(state.index),
          },
        }),
      },
      actions: {
        report: (_, fact) => facts.push(fact),
        startWorker: (_, { channel }) => did.push(`worker ${channel}`),
        makeStreamKnown: (_, known) =>
          did.push(`stream ${known.stream.schema.number}`),
        askStorage: (_, order) => did.push(order.type),
      },
    }),
    { clock },
  ).start();
  const send = (...sent: readonly AnyEvent[]): void => {
    for (const event of sent)
      root.send(event as never as DestinationProcessEvent);
  };
  send(events["destination.open"]);
  return {
    facts,
    did,
    released,
    clock,
    send,
    state: () => root.getSnapshot().value,
  };
}

const fact = (told: AnyEvent, channel = 1): AnyEvent => ({
  type: "worker.fact",
  channel,
  fact: told,
});

test("a socket that is announced while the destination is still opened is joined", async () => {
  const opening = Promise.withResolvers<void>();
  const destination = start(opening.promise);
  destination.send(events["channel.connect"]);
  expect(destination.did).toEqual(["worker 1"]);
  destination.send(fact({ type: "channel.joined" }));
  opening.resolve();
  await settle();
  expect(destination.facts).toEqual([
    { type: "channel.joined", channel: 1 },
    { type: "destination.opened" },
  ]);
});

test("it finishes when every channel has met its End", async () => {
  const destination = start();
  await settle();
  destination.send(
    events["channel.connect"],
    { ...events["channel.connect"], channel: 2 },
    events["destination.finish"],
    fact({ type: "channel.ended" }, 2),
  );
  expect(destination.state()).toBe("finishing");
  destination.send(fact({ type: "channel.ended" }, 1));
  expect(destination.facts.at(-1)).toEqual({ type: "destination.finished" });
});

test("states leave the coordinator in index order, and each durable checkpoint is told at once", async () => {
  const destination = start();
  await settle();
  destination.send(
    events["stream.begin"],
    events["channel.connect"],
    fact({ type: "checkpoint.announced", stamp: makeStamp({ index: 1 }) }),
    fact({
      type: "checkpoint.durable",
      report: makeReport({ index: 2, partition: 1 }),
    }),
  );
  expect(destination.facts.at(-1)).toMatchObject({
    type: "checkpoint.durable",
    report: { index: 2 },
  });
  expect(destination.released).toEqual([]);
  destination.send(
    fact({ type: "checkpoint.durable", report: makeReport({ index: 1 }) }),
  );
  expect(destination.released).toEqual([1, 2]);
});

test("a missing checkpoint ends the process with its name", async () => {
  const destination = start();
  await settle();
  destination.send(
    events["stream.begin"],
    fact({ type: "checkpoint.announced", stamp: makeStamp({ index: 1 }) }),
  );
  destination.clock.increment(1000);
  expect(destination.facts.at(-1)).toMatchObject({
    type: "process.failed",
    error: { code: "CHECKPOINT_MISSING", details: { stream: 1, index: 1 } },
  });
});

test("what is still outstanding of an abandoned stream is not waited for", async () => {
  const destination = start();
  await settle();
  destination.send(
    events["stream.begin"],
    fact({ type: "checkpoint.announced", stamp: makeStamp({ index: 1 }) }),
    events["stream.abandon"],
  );
  destination.clock.increment(10_000);
  expect(destination.state()).toBe("serving");
});

describe("a failure is the process's last word, with its reason", () => {
  test.for([
    {
      name: "a worker",
      failure: fact({ type: "channel.broken", error }),
    },
    { name: "the storage", failure: events["storage.failed"] },
  ])("of $name", async ({ failure }) => {
    const destination = start();
    await settle();
    destination.send(events["channel.connect"], failure);
    expect(destination.facts.at(-1)).toEqual({ type: "process.failed", error });
    expect(destination.state()).toBe("failed");
  });

  test("of a worker behind the order to finish", async () => {
    const destination = start();
    await settle();
    destination.send(
      events["channel.connect"],
      events["destination.finish"],
      fact({ type: "channel.broken", error }),
    );
    expect(destination.facts.at(-1)).toEqual({ type: "process.failed", error });
  });

  test("of a root that cannot be written", async () => {
    const destination = start(
      Promise.reject(
        new ExtractError("DESTINATION_UNWRITABLE", "read-only file system"),
      ),
    );
    await settle();
    expect(destination.facts).toMatchObject([
      { type: "process.failed", error: { code: "DESTINATION_UNWRITABLE" } },
    ]);
  });
});
