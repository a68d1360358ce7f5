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
  isHalting: false,
  isPaused: false,
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
  "reader.pause": { type: "reader.pause" },
  "reader.unpause": { type: "reader.unpause" },
  "reader.retry": { type: "reader.retry" },
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
      "reader.pause": "paused", "reader.unpause": "queued", "reader.retry": "queued",
    },
    reading: {
      "reader.yield": "reading", "reader.resume": "reading",
      "channel.assigned": "reading", "checkpoint.ready": "reading", "checkpoint.acked": "reading",
      "read.done": "done", "read.stopped": "stopped", "read.failed": "discarding",
      "read.discarded": "reading", "reader.stop": "reading", "reader.cancel": "cancelling",
      backoff: "reading",
      "reader.pause": "reading", "reader.unpause": "reading", "reader.retry": "restarting",
    },
    paused: {
      "reader.yield": "paused", "reader.resume": "paused",
      "channel.assigned": "paused", "checkpoint.ready": "paused", "checkpoint.acked": "paused",
      "read.done": "paused", "read.stopped": "paused", "read.failed": "paused", "read.discarded": "paused",
      "reader.stop": "stopped", "reader.cancel": "stopped", backoff: "paused",
      "reader.pause": "paused", "reader.unpause": "queued", "reader.retry": "paused",
    },
    restarting: {
      "reader.yield": "restarting", "reader.resume": "restarting",
      "channel.assigned": "restarting", "checkpoint.ready": "restarting", "checkpoint.acked": "restarting",
      "read.done": "done", "read.stopped": "yielding", "read.failed": "yielding",
      "read.discarded": "restarting", "reader.stop": "restarting", "reader.cancel": "restarting",
      backoff: "restarting",
      "reader.pause": "restarting", "reader.unpause": "restarting", "reader.retry": "restarting",
    },
    flushed: {
      "reader.yield": "flushed", "reader.resume": "flushed",
      "channel.assigned": "flushed", "checkpoint.ready": "flushed", "checkpoint.acked": "done",
      "read.done": "flushed", "read.stopped": "flushed", "read.failed": "flushed",
      "read.discarded": "flushed", "reader.stop": "stopped", "reader.cancel": "stopped", backoff: "flushed",
      "reader.pause": "flushed", "reader.unpause": "flushed", "reader.retry": "flushed",
    },
    cancelling: {
      "reader.yield": "cancelling", "reader.resume": "cancelling",
      "channel.assigned": "cancelling", "checkpoint.ready": "cancelling", "checkpoint.acked": "cancelling",
      "read.done": "abandoning", "read.stopped": "abandoning", "read.failed": "abandoning",
      "read.discarded": "cancelling", "reader.stop": "cancelling", "reader.cancel": "cancelling",
      backoff: "cancelling",
      "reader.pause": "cancelling", "reader.unpause": "cancelling", "reader.retry": "cancelling",
    },
    discarding: {
      "reader.yield": "discarding", "reader.resume": "discarding",
      "channel.assigned": "discarding", "checkpoint.ready": "discarding", "checkpoint.acked": "discarding",
      "read.done": "discarding", "read.stopped": "discarding", "read.failed": "discarding",
      "read.discarded": "backingOff", "reader.stop": "discarding", "reader.cancel": "discarding",
      backoff: "discarding",
      "reader.pause": "discarding", "reader.unpause": "discarding", "reader.retry": "discarding",
    },
    backingOff: {
      "reader.yield": "backingOff", "reader.resume": "backingOff",
      "channel.assigned": "backingOff", "checkpoint.ready": "backingOff", "checkpoint.acked": "backingOff",
      "read.done": "backingOff", "read.stopped": "backingOff", "read.failed": "backingOff",
      "read.discarded": "backingOff", "reader.stop": "stopped", "reader.cancel": "stopped", backoff: "queued",
      "reader.pause": "paused", "reader.unpause": "backingOff", "reader.retry": "queued",
    },
    yielding: {
      "reader.yield": "yielding", "reader.resume": "yielding",
      "channel.assigned": "yielding", "checkpoint.ready": "yielding", "checkpoint.acked": "yielding",
      "read.done": "yielding", "read.stopped": "yielding", "read.failed": "yielding",
      "read.discarded": "yielded", "reader.stop": "yielding", "reader.cancel": "yielding",
      backoff: "yielding",
      "reader.pause": "yielding", "reader.unpause": "yielding", "reader.retry": "yielding",
    },
    settling: {
      "reader.yield": "settling", "reader.resume": "settling",
      "channel.assigned": "settling", "checkpoint.ready": "settling", "checkpoint.acked": "yielded",
      "read.done": "settling", "read.stopped": "settling", "read.failed": "settling",
      "read.discarded": "settling", "reader.stop": "stopped", "reader.cancel": "stopped", backoff: "settling",
      "reader.pause": "settling", "reader.unpause": "settling", "reader.retry": "settling",
    },
    yielded: {
      "reader.yield": "yielded", "reader.resume": "queued",
      "channel.assigned": "yielded", "checkpoint.ready": "yielded", "checkpoint.acked": "yielded",
      "read.done": "yielded", "read.stopped": "yielded", "read.failed": "yielded",
      "read.discarded": "yielded", "reader.stop": "stopped", "reader.cancel": "stopped", backoff: "yielded",
      "reader.pause": "yielded", "reader.unpause": "yielded", "reader.retry": "yielded",
    },
    abandoning: {
      "reader.yield": "abandoning", "reader.resume": "abandoning",
      "channel.assigned": "abandoning", "checkpoint.ready": "abandoning", "checkpoint.acked": "abandoning",
      "read.done": "abandoning", "read.stopped": "abandoning", "read.failed": "abandoning",
      "read.discarded": "failed", "reader.stop": "abandoning", "reader.cancel": "abandoning",
      backoff: "abandoning",
      "reader.pause": "abandoning", "reader.unpause": "abandoning", "reader.retry": "abandoning",
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
    distinguish: ({
      inFlight,
      error,
      isLeaving,
      isYielding,
      isHalting,
      isPaused,
    }) => [
      inFlight.length > 0,
      error?.code,
      isLeaving,
      isYielding,
      isHalting,
      isPaused,
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

test("a reader that is paused stops behind a checkpoint, waits for its acknowledgement, and goes on from there when it is resumed", () => {
  const reader = start();
  reader.send(
    { type: "channel.assigned", channel: 1 },
    { type: "reader.pause" },
  );
  expect(reader.orders.at(-1)).toMatchObject({ type: "read.stop" });
  reader.ready(1, 4, position);
  reader.send({ type: "read.stopped" });
  expect(reader.orders.at(-1)).toMatchObject({
    type: "read.discard",
    fromSequence: 5,
  });
  reader.send({ type: "read.discarded" });
  expect(reader.names().at(-1)).toBe("reader.released");
  expect(reader.state()).toBe("settling");
  reader.send({ type: "checkpoint.acked", attempt: 1, sequence: 4 });
  expect(reader.names().at(-1)).toBe("reader.paused");
  reader.send({ type: "reader.unpause" });
  expect(reader.names().at(-1)).toBe("reader.queued");
  reader.send({ type: "channel.assigned", channel: 2 });
  expect(reader.orders.at(-1)).toMatchObject({
    type: "read.start",
    attempt: 2,
    resumeAfter: position,
  });
});

test("a pause that is taken back before the reader has stopped lets it go on from its checkpoint", () => {
  const reader = start();
  reader.send(
    { type: "channel.assigned", channel: 1 },
    { type: "reader.pause" },
    { type: "reader.unpause" },
    { type: "read.stopped" },
    { type: "read.discarded" },
  );
  expect(reader.state()).toBe("queued");
});

test("a partition that cannot be resumed inside is paused at its beginning, and no try is used up", () => {
  const reader = start();
  for (let turn = 0; turn <= ATTEMPTS_MAX; turn += 1) {
    reader.send(
      { type: "channel.assigned", channel: 1 },
      { type: "reader.pause" },
      { type: "read.failed", error: lost },
      { type: "read.discarded" },
    );
    expect(reader.state()).toBe("paused");
    reader.send({ type: "reader.unpause" });
  }
  expect(reader.state()).toBe("queued");
  expect(reader.names()).not.toContain("reader.retried");
});

test("a pause while its range is being split holds the reader once it knows what it keeps", () => {
  const reader = start();
  reader.send(
    { type: "channel.assigned", channel: 1 },
    { type: "reader.yield" },
    { type: "reader.pause" },
    { type: "read.stopped" },
    { type: "read.discarded" },
  );
  expect(reader.state()).toBe("yielded");
  const range = { ...input.range, estimatedRows: 50 };
  reader.send({ type: "reader.resume", range });
  expect(reader.state()).toBe("paused");
});

test("a channel that was given to a reader on its way to be paused goes to others", () => {
  const reader = start();
  reader.send(
    { type: "reader.pause" },
    { type: "channel.assigned", channel: 3 },
  );
  expect(reader.heard.at(-1)).toEqual({
    type: "reader.released",
    key: "1/0",
    channel: 3,
  });
  expect(reader.orders).toEqual([]);
});

test("a retry that is asked for discards what is behind the last checkpoint, reads again from there, and uses up no try", () => {
  const reader = start();
  for (let turn = 1; turn <= ATTEMPTS_MAX + 1; turn += 1) {
    reader.send(
      { type: "channel.assigned", channel: 1 },
      { type: "reader.retry" },
    );
    expect(reader.orders.at(-1)).toMatchObject({ type: "read.cancel" });
    reader.ready(turn, 7, position);
    reader.send({ type: "read.failed", error: lost });
    expect(reader.orders.at(-1)).toMatchObject({
      type: "read.discard",
      attempt: turn,
      fromSequence: 8,
    });
    reader.send({ type: "read.discarded" });
    expect(reader.state()).toBe("settling");
    reader.send({ type: "checkpoint.acked", attempt: turn, sequence: 7 });
    expect(reader.state()).toBe("queued");
  }
  reader.send({ type: "channel.assigned", channel: 2 });
  expect(reader.orders.at(-1)).toMatchObject({
    type: "read.start",
    attempt: ATTEMPTS_MAX + 2,
    resumeAfter: position,
  });
});

test("a retry that comes when all has left changes nothing", () => {
  const reader = start();
  reader.send(
    { type: "channel.assigned", channel: 1 },
    { type: "reader.retry" },
    { type: "read.done" },
  );
  expect(reader.state()).toBe("done");
});
