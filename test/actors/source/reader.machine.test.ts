import { expect, test } from "vitest";
import type { ContextFrom, EventFrom, StateValueFrom } from "xstate";
import {
  ATTEMPTS_MAX,
  readerMachine,
  type ReaderEvent,
} from "../../../actors/source/reader.machine.ts";
import type { SourceWorkerOrder } from "../../../actors/source/worker-messages.ts";
import type { WireError } from "../../../proto/error.ts";
import type { Position } from "../../../proto/partition.ts";
import { runBelow } from "../recorder.ts";
import {
  describeTable,
  listReachable,
  type AnyEvent,
  type StateName,
} from "../table.ts";
import { makePartition } from "./partitions.ts";

type State = StateName<StateValueFrom<typeof readerMachine>>;
type Event = EventFrom<typeof readerMachine>["type"] | "backoff";

const lost: WireError = {
  code: "SOURCE_CONNECTION_LOST",
  message: "the server went away",
  details: {},
};
const refused: WireError = {
  code: "SOURCE_QUERY_FAILED",
  message: "division by zero",
  details: {},
};
const position: Position = { kind: "key", after: ["17"] };
const input = {
  range: makePartition(1, 0),
  resumeAfter: null,
  where: null,
  window: null,
};
const context: ContextFrom<typeof readerMachine> = {
  ...input,
  attempt: 1,
  failures: 0,
  channel: 1,
  holdsChannel: true,
  checkpointSequence: 1,
  inFlight: [],
  isLeaving: false,
  isYielding: false,
  error: null,
};

const events: Record<Event, AnyEvent> = {
  "channel.assigned": { type: "channel.assigned", channel: 1 },
  "checkpoint.ready": {
    type: "checkpoint.ready",
    attempt: 1,
    sequence: 4,
    position,
  },
  "checkpoint.acked": { type: "checkpoint.acked", attempt: 1, sequence: 4 },
  "read.done": { type: "read.done" },
  "read.stopped": { type: "read.stopped" },
  "read.failed": { type: "read.failed", error: lost },
  "read.discarded": { type: "read.discarded" },
  "reader.yield": { type: "reader.yield" },
  "reader.resume": { type: "reader.resume", range: input.range },
  "reader.stop": { type: "reader.stop" },
  "reader.cancel": { type: "reader.cancel" },
  backoff: { type: "xstate.after.backoff.reader.backingOff" },
};

describeTable<
  typeof readerMachine,
  State,
  Exclude<State, "done" | "stopped" | "failed">,
  Event
>({
  machine: readerMachine,
  events,
  contextOf: (state) => ({
    ...context,
    // with nothing in flight a flushed partition is done, and one that settles goes on
    inFlight: state === "flushed" || state === "settling" ? ["1/4"] : [],
    isYielding: state === "yielding" || state === "settling",
    error: state === "abandoning" ? refused : null,
  }),
  // prettier-ignore
  nextState: {
    queued: {
      "reader.yield": "queued", "reader.resume": "queued",
      "channel.assigned": "reading", "checkpoint.ready": "queued", "checkpoint.acked": "queued",
      "read.done": "queued", "read.stopped": "queued", "read.failed": "queued", "read.discarded": "queued",
      "reader.stop": "stopped", "reader.cancel": "stopped", backoff: "queued",
    },
    reading: {
      "reader.yield": "reading", "reader.resume": "reading",
      "channel.assigned": "reading", "checkpoint.ready": "reading", "checkpoint.acked": "reading",
      "read.done": "done", "read.stopped": "stopped", "read.failed": "discarding",
      "read.discarded": "reading", "reader.stop": "reading", "reader.cancel": "cancelling",
      backoff: "reading",
    },
    flushed: {
      "reader.yield": "flushed", "reader.resume": "flushed",
      "channel.assigned": "flushed", "checkpoint.ready": "flushed", "checkpoint.acked": "done",
      "read.done": "flushed", "read.stopped": "flushed", "read.failed": "flushed",
      "read.discarded": "flushed", "reader.stop": "stopped", "reader.cancel": "stopped", backoff: "flushed",
    },
    cancelling: {
      "reader.yield": "cancelling", "reader.resume": "cancelling",
      "channel.assigned": "cancelling", "checkpoint.ready": "cancelling", "checkpoint.acked": "cancelling",
      "read.done": "abandoning", "read.stopped": "abandoning", "read.failed": "abandoning",
      "read.discarded": "cancelling", "reader.stop": "cancelling", "reader.cancel": "cancelling",
      backoff: "cancelling",
    },
    discarding: {
      "reader.yield": "discarding", "reader.resume": "discarding",
      "channel.assigned": "discarding", "checkpoint.ready": "discarding", "checkpoint.acked": "discarding",
      "read.done": "discarding", "read.stopped": "discarding", "read.failed": "discarding",
      "read.discarded": "backingOff", "reader.stop": "discarding", "reader.cancel": "discarding",
      backoff: "discarding",
    },
    backingOff: {
      "reader.yield": "backingOff", "reader.resume": "backingOff",
      "channel.assigned": "backingOff", "checkpoint.ready": "backingOff", "checkpoint.acked": "backingOff",
      "read.done": "backingOff", "read.stopped": "backingOff", "read.failed": "backingOff",
      "read.discarded": "backingOff", "reader.stop": "stopped", "reader.cancel": "stopped", backoff: "queued",
    },
    yielding: {
      "reader.yield": "yielding", "reader.resume": "yielding",
      "channel.assigned": "yielding", "checkpoint.ready": "yielding", "checkpoint.acked": "yielding",
      "read.done": "yielding", "read.stopped": "yielding", "read.failed": "yielding",
      "read.discarded": "yielded", "reader.stop": "yielding", "reader.cancel": "yielding",
      backoff: "yielding",
    },
    settling: {
      "reader.yield": "settling", "reader.resume": "settling",
      "channel.assigned": "settling", "checkpoint.ready": "settling", "checkpoint.acked": "yielded",
      "read.done": "settling", "read.stopped": "settling", "read.failed": "settling",
      "read.discarded": "settling", "reader.stop": "stopped", "reader.cancel": "stopped", backoff: "settling",
    },
    yielded: {
      "reader.yield": "yielded", "reader.resume": "queued",
      "channel.assigned": "yielded", "checkpoint.ready": "yielded", "checkpoint.acked": "yielded",
      "read.done": "yielded", "read.stopped": "yielded", "read.failed": "yielded",
      "read.discarded": "yielded", "reader.stop": "stopped", "reader.cancel": "stopped", backoff: "yielded",
    },
    abandoning: {
      "reader.yield": "abandoning", "reader.resume": "abandoning",
      "channel.assigned": "abandoning", "checkpoint.ready": "abandoning", "checkpoint.acked": "abandoning",
      "read.done": "abandoning", "read.stopped": "abandoning", "read.failed": "abandoning",
      "read.discarded": "failed", "reader.stop": "abandoning", "reader.cancel": "abandoning",
      backoff: "abandoning",
    },
  },
});

test("every state can be reached", () => {
  const reached = listReachable(readerMachine, {
    input,
    events: [
      ...Object.values(events),
      { type: "read.failed", error: refused } as ReaderEvent,
    ],
    distinguish: ({ inFlight, error, isLeaving, isYielding }) => [
      inFlight.length > 0,
      error?.code,
      isLeaving,
      isYielding,
    ],
  });
  expect(reached).toEqual(Object.keys(readerMachine.states).toSorted());
});

interface Given {
  readonly resumeAfter?: Position | null;
}

function start({ resumeAfter = null }: Given = {}) {
  const orders: SourceWorkerOrder[] = [];
  const reader = runBelow(
    readerMachine.provide({
      actions: { orderWorker: (_, { order }) => orders.push(order) },
    }),
    { ...input, resumeAfter },
  );
  const send = (...sent: ReaderEvent[]): void => {
    for (const event of sent) reader.subject.send(event);
  };
  const ready = (attempt: number, sequence: number, at: Position | null) =>
    send({ type: "checkpoint.ready", attempt, sequence, position: at });
  const names = (): string[] => reader.heard.map(({ type }) => type);
  return { ...reader, orders, send, ready, names };
}

test("rows that have left are not done before their last checkpoint is acknowledged", () => {
  const reader = start();
  reader.send({ type: "channel.assigned", channel: 2 });
  reader.ready(1, 3, null);
  reader.send({ type: "read.done" });
  expect(reader.state()).toBe("flushed");
  expect(reader.names()).toEqual(["reader.queued", "reader.released"]);
  reader.send({ type: "checkpoint.acked", attempt: 1, sequence: 3 });
  expect(reader.heard.at(-1)).toEqual({
    type: "reader.finished",
    key: "1/0",
    outcome: "done",
    channel: null,
  });
});

test("a retry goes on behind the last checkpoint, and only once the Discard is answered", () => {
  const reader = start({ resumeAfter: { kind: "key", after: ["1"] } });
  reader.send({ type: "channel.assigned", channel: 1 });
  reader.ready(1, 4, position);
  reader.send({ type: "read.failed", error: lost });
  expect(reader.orders.at(-1)).toEqual({
    type: "read.discard",
    stream: 1,
    partition: 0,
    attempt: 1,
    fromSequence: 5,
  });
  reader.clock.increment(3_600_000);
  expect(reader.names()).toEqual(["reader.queued"]);
  reader.send({ type: "read.discarded" });
  expect(reader.names().slice(1)).toEqual([
    "reader.retried",
    "reader.released",
  ]);
  reader.clock.increment(249);
  expect(reader.state()).toBe("backingOff");
  reader.clock.increment(1);
  reader.send({ type: "checkpoint.acked", attempt: 1, sequence: 4 });
  expect(reader.names().at(-1)).toBe("reader.queued");
  reader.send({ type: "channel.assigned", channel: 3 });
  expect(reader.orders.at(-1)).toMatchObject({
    type: "read.start",
    attempt: 2,
    resumeAfter: position,
  });
});

test("a retry begins only once all that the try before it had put on the wire is durable", () => {
  const reader = start();
  reader.send({ type: "channel.assigned", channel: 1 });
  reader.ready(1, 4, position);
  reader.send({ type: "read.failed", error: lost }, { type: "read.discarded" });
  reader.clock.increment(250);
  expect(reader.state()).toBe("settling");
  reader.send({ type: "checkpoint.acked", attempt: 1, sequence: 4 });
  expect(reader.state()).toBe("queued");
});

test("a reader that is asked for its tail stops, is durable, and goes on behind with the range that it is left", () => {
  const reader = start();
  reader.send({ type: "channel.assigned", channel: 1 });
  reader.send({ type: "reader.yield" });
  expect(reader.orders.at(-1)).toMatchObject({ type: "read.stop" });
  reader.ready(1, 4, position);
  reader.send({ type: "read.stopped" });
  expect(reader.orders.at(-1)).toMatchObject({
    type: "read.discard",
    fromSequence: 5,
  });
  reader.send({ type: "read.discarded" });
  expect(reader.names().at(-1)).toBe("reader.released");
  reader.send({ type: "checkpoint.acked", attempt: 1, sequence: 4 });
  expect(reader.heard.at(-1)).toEqual({
    type: "reader.yielded",
    key: "1/0",
    resumeAfter: position,
  });
  const range = { ...input.range, estimatedRows: 50 };
  reader.send({ type: "reader.resume", range });
  expect(reader.names().at(-1)).toBe("reader.queued");
  reader.send({ type: "channel.assigned", channel: 2 });
  expect(reader.orders.at(-1)).toMatchObject({
    type: "read.start",
    attempt: 2,
    resumeAfter: position,
    range,
  });
});

test("a reader that is through before it stops gives nothing away", () => {
  const reader = start();
  reader.send({ type: "channel.assigned", channel: 1 });
  reader.send({ type: "reader.yield" }, { type: "read.done" });
  expect(reader.names()).not.toContain("reader.yielded");
  expect(reader.state()).toBe("done");
});

test("giving ranges away uses up none of the tries", () => {
  const reader = start();
  for (let turn = 0; turn <= ATTEMPTS_MAX; turn += 1) {
    reader.send(
      { type: "channel.assigned", channel: 1 },
      { type: "reader.yield" },
      { type: "read.stopped" },
      { type: "read.discarded" },
      { type: "reader.resume", range: input.range },
    );
  }
  reader.send(
    { type: "channel.assigned", channel: 1 },
    { type: "read.failed", error: lost },
  );
  expect(reader.state()).toBe("discarding");
});

test("back-off doubles, is bounded, and ends after the last attempt with the error", () => {
  const reader = start();
  const waits: number[] = [];
  for (let attempt = 1; attempt < ATTEMPTS_MAX; attempt += 1) {
    reader.send(
      { type: "channel.assigned", channel: 1 },
      { type: "read.failed", error: lost },
      { type: "read.discarded" },
    );
    let waited = 0;
    for (; reader.state() === "backingOff"; waited += 10)
      reader.clock.increment(10);
    waits.push(waited);
  }
  expect(waits).toEqual([250, 500, 1000, 2000, 4000, 8000, 10_000]);
  reader.send(
    { type: "channel.assigned", channel: 1 },
    { type: "read.failed", error: lost },
  );
  expect(reader.state()).toBe("abandoning");
  reader.send({ type: "read.discarded" });
  expect(reader.heard.at(-1)).toMatchObject({
    type: "reader.failed",
    error: lost,
    channel: 1,
  });
});

test("what is not worth retrying fails once the destination has dropped its rows", () => {
  const reader = start();
  reader.send(
    { type: "channel.assigned", channel: 1 },
    { type: "read.failed", error: refused },
  );
  expect(reader.names()).not.toContain("reader.failed");
  reader.send({ type: "read.discarded" });
  expect(reader.heard.at(-1)).toMatchObject({
    type: "reader.failed",
    error: refused,
  });
});

test("a partition that fails because it was stopped is not queued again", () => {
  const reader = start();
  reader.send(
    { type: "channel.assigned", channel: 1 },
    { type: "reader.stop" },
  );
  expect(reader.orders.at(-1)).toMatchObject({ type: "read.stop" });
  reader.send({ type: "read.failed", error: lost }, { type: "read.discarded" });
  expect(reader.heard.at(-1)).toEqual({
    type: "reader.finished",
    key: "1/0",
    outcome: "stopped",
    channel: 1,
  });
});

test.for(["reader.stop", "reader.cancel"] as const)(
  "%s while a Discard is on its way ends with its answer, without another Discard",
  (type) => {
    const reader = start();
    reader.send(
      { type: "channel.assigned", channel: 1 },
      { type: "read.failed", error: lost },
      { type },
    );
    expect(reader.state()).toBe("discarding");
    reader.send({ type: "read.discarded" });
    expect(reader.state()).toBe("stopped");
    expect(reader.orders.map((order) => order.type)).toEqual([
      "read.start",
      "read.discard",
    ]);
  },
);

test("a cancelled read discards from behind the checkpoint that overtook the order", () => {
  const reader = start();
  reader.send(
    { type: "channel.assigned", channel: 1 },
    { type: "reader.cancel" },
  );
  reader.ready(1, 7, position);
  reader.send({ type: "read.failed", error: lost });
  expect(reader.orders.at(-1)).toMatchObject({
    type: "read.discard",
    fromSequence: 8,
  });
  reader.send({ type: "read.discarded" });
  expect(reader.state()).toBe("stopped");
});
