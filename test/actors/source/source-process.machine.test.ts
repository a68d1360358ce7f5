import { describe, expect, test } from "vitest";
import type { EventFrom, StateValueFrom } from "xstate";
import type { OrderedActor } from "../../../actors/source/order-subject.ts";
import { sourceProcessMachine } from "../../../actors/source/source-process.machine.ts";
import { EMPTY_SEED } from "../../../checkpoint/state.ts";
import { ExtractError, type WireError } from "../../../proto/error.ts";
import type { LogStep } from "../../../proto/log-budget.ts";
import { settle } from "../recorder.ts";
import {
  describeTable,
  doneBy,
  failedBy,
  listReachable,
  type AnyEvent,
  type StateName,
} from "../table.ts";
import { settings, startSource } from "./harness.ts";
import { makePartition, makePlan } from "./partitions.ts";

type State = StateName<StateValueFrom<typeof sourceProcessMachine>>;
type Event =
  | EventFrom<typeof sourceProcessMachine>["type"]
  | "opened"
  | "openFailed"
  | "discovered"
  | "discoverFailed";

const lost: WireError = {
  code: "SOURCE_CONNECTION_LOST",
  message: "the server went away",
  details: {},
};
const changed: WireError = {
  code: "SOURCE_SCHEMA_CHANGED",
  message: "a column is gone",
  details: {},
};
const broken: WireError = {
  code: "CHANNEL_BROKEN",
  message: "reset by peer",
  details: {},
};
const plan = makePlan(1, 2);
const measure = { retainedBytes: 900, lagBytes: 10, limitBytes: null };

const events: Record<Event, AnyEvent> = {
  "source.log": {
    type: "source.log",
    streams: [1],
    identity: "server",
    from: { position: "p", offset: null, history: [] },
    until: null,
    discoveredAt: "p",
    connector: "postgresql",
    entry: null,
    end: null,
  },
  "log.leave": { type: "log.leave", stream: 1 },
  "log.stop": { type: "log.stop" },
  "log.end": { type: "log.end", position: "p" },
  "log.committed": { type: "log.committed", group: 1 },
  "logReader.gathered": { type: "logReader.gathered" },
  "logReader.streamRead": { type: "logReader.streamRead", stream: 1 },
  "logReader.done": { type: "logReader.done" },
  "logReader.failed": { type: "logReader.failed", error: broken },
  "log.giveUp": { type: "log.giveUp", reason: "too much" },
  "logGuard.measured": { type: "logGuard.measured", measure, step: "calm" },
  "logGuard.stepped": { type: "logGuard.stepped", measure, step: "warn" },
  "logGuard.blind": { type: "logGuard.blind", error: lost },
  "logGuard.failed": { type: "logGuard.failed", error: lost },
  "logGuard.dropped": { type: "logGuard.dropped", error: null },
  "source.open": { type: "source.open", settings },
  "source.discover": {
    type: "source.discover",
    snapshot: null,
    include: [],
    exclude: [],
    columns: null,
    numbers: null,
  },
  "source.plan": {
    type: "source.plan",
    stream: 1,
    where: null,
    cursor: null,
  },
  "source.read": {
    type: "source.read",
    stream: 1,
    partitions: plan.partitions,
    orders: [{ stream: 1, partition: 0, resumeAfter: null }],
    seed: EMPTY_SEED,
    where: null,
    window: null,
  },
  "source.resplit": {
    type: "source.resplit",
    giver: makePartition(1, 0),
    taker: makePartition(1, 2),
  },
  "resplit.consider": { type: "resplit.consider" },
  "source.drain": { type: "source.drain" },
  "source.finish": { type: "source.finish" },
  "worker.fact": {
    type: "worker.fact",
    channel: 1,
    fact: { type: "channel.connected" },
  },
  "governor.target": { type: "governor.target", readers: 2 },
  "reader.queued": { type: "reader.queued", key: "1/0" },
  "reader.paused": { type: "reader.paused", key: "1/0" },
  "actor.order": {
    type: "actor.order",
    id: 1,
    subject: { kind: "reader", key: "1/0" },
    order: "pause",
  },
  "reader.released": { type: "reader.released", key: "1/0", channel: 1 },
  "reader.retried": {
    type: "reader.retried",
    key: "1/0",
    attempt: 1,
    error: lost,
  },
  "reader.yielded": { type: "reader.yielded", key: "1/0", resumeAfter: null },
  "resplitter.found": {
    type: "resplitter.found",
    giver: makePartition(1, 0),
    taker: makePartition(1, 2),
  },
  "resplitter.ended": {
    type: "resplitter.ended",
    key: "1/0",
    outcome: "refused",
    giver: makePartition(1, 0),
    taker: null,
    error: null,
  },
  "reader.finished": {
    type: "reader.finished",
    key: "1/0",
    outcome: "done",
    channel: null,
  },
  "reader.failed": {
    type: "reader.failed",
    key: "1/0",
    error: lost,
    channel: 1,
  },
  "channel.announced": { type: "channel.announced", channel: 1, path: "/s1" },
  "channel.idle": { type: "channel.idle", channel: 1, first: true },
  "channel.failed": { type: "channel.failed", channel: 1, error: broken },
  "channel.closed": { type: "channel.closed", channel: 1 },
  "partitioner.planned": {
    type: "partitioner.planned",
    stream: 1,
    plan,
    window: null,
  },
  "partitioner.failed": {
    type: "partitioner.failed",
    stream: 1,
    error: lost,
  },
  opened: doneBy("openSource", { serverVersion: 150_000 }),
  openFailed: failedBy("openSource", new ExtractError("USAGE", "no")),
  discovered: doneBy("discover", {
    fact: {
      type: "source.discovered",
      streams: [],
      warnings: [],
      problems: [],
    },
    channelsMax: 4,
  }),
  discoverFailed: failedBy("discover", new ExtractError("USAGE", "no")),
};

describeTable<
  typeof sourceProcessMachine,
  State,
  Exclude<State, "finished" | "failed">,
  Event
>({
  machine: sourceProcessMachine,
  events,
  contextOf: () => ({
    settings,
    queue: [],
    weights: { "1/0": { key: "1/0", streamBytes: 1000, edge: true } },
    reads: {},
    filters: {},
    resplitting: null,
    resplits: 0,
    channels: { 1: "1/0" },
    channelsOpened: 1,
    channelsLost: [],
    pausedChannels: [],
    pausedStreams: [],
    readersTarget: 1,
    remaining: { 1: 1 },
    plansWaiting: [],
    planning: false,
    failedStreams: [],
    readersAlive: 1,
    log: null,
    channelsClosed: 0,
    error: null,
  }),
  // prettier-ignore
  nextState: {
    waiting: {
      "source.open": "opening", "source.discover": "waiting", "source.plan": "waiting",
      "source.read": "waiting", "source.resplit": "waiting", "resplit.consider": "waiting",
      "source.drain": "waiting", "source.finish": "finishing", "worker.fact": "waiting",
      "governor.target": "waiting", "reader.queued": "waiting", "reader.released": "waiting",
      "reader.retried": "waiting", "reader.yielded": "waiting", "resplitter.found": "waiting",
      "resplitter.ended": "waiting", "reader.finished": "waiting", "reader.failed": "waiting",
      "channel.announced": "waiting", "channel.idle": "waiting", "channel.failed": "failed",
      "channel.closed": "waiting", "partitioner.planned": "waiting", "partitioner.failed": "waiting",
      opened: "waiting", openFailed: "waiting", discovered: "waiting", discoverFailed: "waiting",
      "reader.paused": "waiting", "actor.order": "waiting",
      "source.log": "waiting", "log.leave": "waiting", "log.stop": "waiting", "log.end": "waiting",
      "log.committed": "waiting", "logReader.gathered": "waiting", "logReader.streamRead": "waiting", "logReader.done": "waiting",
      "logReader.failed": "failed", "log.giveUp": "givingUp", "logGuard.measured": "waiting", "logGuard.stepped": "waiting",
      "logGuard.blind": "waiting", "logGuard.failed": "failed", "logGuard.dropped": "waiting",
    },
    opening: {
      "source.open": "opening", "source.discover": "opening", "source.plan": "opening",
      "source.read": "opening", "source.resplit": "opening", "resplit.consider": "opening",
      "source.drain": "opening", "source.finish": "finishing", "worker.fact": "opening",
      "governor.target": "opening", "reader.queued": "opening", "reader.released": "opening",
      "reader.retried": "opening", "reader.yielded": "opening", "resplitter.found": "opening",
      "resplitter.ended": "opening", "reader.finished": "opening", "reader.failed": "opening",
      "channel.announced": "opening", "channel.idle": "opening", "channel.failed": "failed",
      "channel.closed": "opening", "partitioner.planned": "opening", "partitioner.failed": "opening",
      opened: "opened", openFailed: "failed", discovered: "opening", discoverFailed: "opening",
      "reader.paused": "opening", "actor.order": "opening",
      "source.log": "opening", "log.leave": "opening", "log.stop": "opening", "log.end": "opening",
      "log.committed": "opening", "logReader.gathered": "opening", "logReader.streamRead": "opening", "logReader.done": "opening",
      "logReader.failed": "failed", "log.giveUp": "givingUp", "logGuard.measured": "opening", "logGuard.stepped": "opening",
      "logGuard.blind": "opening", "logGuard.failed": "failed", "logGuard.dropped": "opening",
    },
    opened: {
      "source.open": "opened", "source.discover": "discovering", "source.plan": "opened",
      "source.read": "opened", "source.resplit": "opened", "resplit.consider": "opened",
      "source.drain": "opened", "source.finish": "finishing", "worker.fact": "opened",
      "governor.target": "opened", "reader.queued": "opened", "reader.released": "opened",
      "reader.retried": "opened", "reader.yielded": "opened", "resplitter.found": "opened",
      "resplitter.ended": "opened", "reader.finished": "opened", "reader.failed": "opened",
      "channel.announced": "opened", "channel.idle": "opened", "channel.failed": "failed",
      "channel.closed": "opened", "partitioner.planned": "opened", "partitioner.failed": "opened",
      opened: "opened", openFailed: "opened", discovered: "opened", discoverFailed: "opened",
      "reader.paused": "opened", "actor.order": "opened",
      "source.log": "opened", "log.leave": "opened", "log.stop": "opened", "log.end": "opened",
      "log.committed": "opened", "logReader.gathered": "opened", "logReader.streamRead": "opened", "logReader.done": "opened",
      "logReader.failed": "failed", "log.giveUp": "givingUp", "logGuard.measured": "opened", "logGuard.stepped": "opened",
      "logGuard.blind": "opened", "logGuard.failed": "failed", "logGuard.dropped": "opened",
    },
    discovering: {
      "source.open": "discovering", "source.discover": "discovering", "source.plan": "discovering",
      "source.read": "discovering", "source.resplit": "discovering", "resplit.consider": "discovering",
      "source.drain": "discovering", "source.finish": "finishing", "worker.fact": "discovering",
      "governor.target": "discovering", "reader.queued": "discovering", "reader.released": "discovering",
      "reader.retried": "discovering", "reader.yielded": "discovering", "resplitter.found": "discovering",
      "resplitter.ended": "discovering", "reader.finished": "discovering", "reader.failed": "discovering",
      "channel.announced": "discovering", "channel.idle": "discovering", "channel.failed": "failed",
      "channel.closed": "discovering", "partitioner.planned": "discovering",
      "partitioner.failed": "discovering", opened: "discovering", openFailed: "discovering",
      discovered: "serving", discoverFailed: "failed",
      "reader.paused": "discovering", "actor.order": "discovering",
      "source.log": "discovering", "log.leave": "discovering", "log.stop": "discovering", "log.end": "discovering",
      "log.committed": "discovering", "logReader.gathered": "discovering", "logReader.streamRead": "discovering", "logReader.done": "discovering",
      "logReader.failed": "failed", "log.giveUp": "givingUp", "logGuard.measured": "discovering", "logGuard.stepped": "discovering",
      "logGuard.blind": "discovering", "logGuard.failed": "failed", "logGuard.dropped": "discovering",
    },
    serving: {
      "source.open": "serving", "source.discover": "serving", "source.plan": "serving",
      "source.read": "serving", "source.resplit": "serving", "resplit.consider": "serving",
      "source.drain": "draining", "source.finish": "clearing", "worker.fact": "serving",
      "governor.target": "serving", "reader.queued": "serving", "reader.released": "serving",
      "reader.retried": "serving", "reader.yielded": "serving", "resplitter.found": "serving",
      "resplitter.ended": "serving", "reader.finished": "serving", "reader.failed": "failed",
      "channel.announced": "serving", "channel.idle": "serving", "channel.failed": "failed",
      "channel.closed": "serving", "partitioner.planned": "serving", "partitioner.failed": "failed",
      opened: "serving", openFailed: "serving", discovered: "serving", discoverFailed: "serving",
      "reader.paused": "serving", "actor.order": "serving",
      "source.log": "serving", "log.leave": "serving", "log.stop": "serving", "log.end": "serving",
      "log.committed": "serving", "logReader.gathered": "serving", "logReader.streamRead": "serving", "logReader.done": "serving",
      "logReader.failed": "failed", "log.giveUp": "givingUp", "logGuard.measured": "serving", "logGuard.stepped": "serving",
      "logGuard.blind": "serving", "logGuard.failed": "failed", "logGuard.dropped": "serving",
    },
    draining: {
      "source.open": "draining", "source.discover": "draining", "source.plan": "draining",
      "source.read": "draining", "source.resplit": "draining", "resplit.consider": "draining",
      "source.drain": "draining", "source.finish": "clearing", "worker.fact": "draining",
      "governor.target": "draining", "reader.queued": "draining", "reader.released": "draining",
      "reader.retried": "draining", "reader.yielded": "draining", "resplitter.found": "draining",
      "resplitter.ended": "draining", "reader.finished": "drained", "reader.failed": "drained",
      "channel.announced": "draining", "channel.idle": "draining", "channel.failed": "failed",
      "channel.closed": "draining", "partitioner.planned": "draining", "partitioner.failed": "draining",
      opened: "draining", openFailed: "draining", discovered: "draining", discoverFailed: "draining",
      "reader.paused": "draining", "actor.order": "draining",
      "source.log": "draining", "log.leave": "draining", "log.stop": "draining", "log.end": "draining",
      "log.committed": "draining", "logReader.gathered": "draining", "logReader.streamRead": "draining", "logReader.done": "draining",
      "logReader.failed": "failed", "log.giveUp": "givingUp", "logGuard.measured": "draining", "logGuard.stepped": "draining",
      "logGuard.blind": "draining", "logGuard.failed": "failed", "logGuard.dropped": "draining",
    },
    drained: {
      "source.open": "drained", "source.discover": "drained", "source.plan": "drained",
      "source.read": "drained", "source.resplit": "drained", "resplit.consider": "drained",
      "source.drain": "drained", "source.finish": "finishing", "worker.fact": "drained",
      "governor.target": "drained", "reader.queued": "drained", "reader.released": "drained",
      "reader.retried": "drained", "reader.yielded": "drained", "resplitter.found": "drained",
      "resplitter.ended": "drained", "reader.finished": "drained", "reader.failed": "drained",
      "channel.announced": "drained", "channel.idle": "drained", "channel.failed": "failed",
      "channel.closed": "drained", "partitioner.planned": "drained", "partitioner.failed": "drained",
      opened: "drained", openFailed: "drained", discovered: "drained", discoverFailed: "drained",
      "reader.paused": "drained", "actor.order": "drained",
      "source.log": "drained", "log.leave": "drained", "log.stop": "drained", "log.end": "drained",
      "log.committed": "drained", "logReader.gathered": "drained", "logReader.streamRead": "drained", "logReader.done": "drained",
      "logReader.failed": "failed", "log.giveUp": "givingUp", "logGuard.measured": "drained", "logGuard.stepped": "drained",
      "logGuard.blind": "drained", "logGuard.failed": "failed", "logGuard.dropped": "drained",
    },
    clearing: {
      "source.open": "clearing", "source.discover": "clearing", "source.plan": "clearing",
      "source.read": "clearing", "source.resplit": "clearing", "resplit.consider": "clearing",
      "source.drain": "clearing", "source.finish": "clearing", "worker.fact": "clearing",
      "governor.target": "clearing", "reader.queued": "clearing", "reader.released": "clearing",
      "reader.retried": "clearing", "reader.yielded": "clearing", "resplitter.found": "clearing",
      "resplitter.ended": "clearing", "reader.finished": "finishing", "reader.failed": "finishing",
      "channel.announced": "clearing", "channel.idle": "clearing", "channel.failed": "failed",
      "channel.closed": "clearing", "partitioner.planned": "clearing", "partitioner.failed": "clearing",
      opened: "clearing", openFailed: "clearing", discovered: "clearing", discoverFailed: "clearing",
      "reader.paused": "clearing", "actor.order": "clearing",
      "source.log": "clearing", "log.leave": "clearing", "log.stop": "clearing", "log.end": "clearing",
      "log.committed": "clearing", "logReader.gathered": "clearing", "logReader.streamRead": "clearing", "logReader.done": "clearing",
      "logReader.failed": "failed", "log.giveUp": "givingUp", "logGuard.measured": "clearing", "logGuard.stepped": "clearing",
      "logGuard.blind": "clearing", "logGuard.failed": "failed", "logGuard.dropped": "clearing",
    },
    givingUp: {
      "source.open": "givingUp", "source.discover": "givingUp", "source.plan": "givingUp", "source.read": "givingUp",
      "source.resplit": "givingUp", "resplit.consider": "givingUp", "source.drain": "givingUp",
      "source.finish": "givingUp", "worker.fact": "givingUp", "governor.target": "givingUp",
      "reader.queued": "givingUp", "reader.released": "givingUp", "reader.retried": "givingUp",
      "reader.yielded": "givingUp", "resplitter.found": "givingUp", "resplitter.ended": "givingUp",
      "reader.finished": "givingUp", "reader.failed": "givingUp", "channel.announced": "givingUp",
      "channel.idle": "givingUp", "channel.failed": "givingUp", "channel.closed": "givingUp",
      "partitioner.planned": "givingUp", "partitioner.failed": "givingUp", opened: "givingUp", openFailed: "givingUp",
      discovered: "givingUp", discoverFailed: "givingUp", "reader.paused": "givingUp", "actor.order": "givingUp",
      "source.log": "givingUp", "log.leave": "givingUp", "log.stop": "givingUp", "log.end": "givingUp",
      "log.committed": "givingUp", "logReader.gathered": "givingUp", "logReader.streamRead": "givingUp",
      "logReader.done": "givingUp", "logReader.failed": "givingUp", "log.giveUp": "givingUp",
      "logGuard.measured": "givingUp", "logGuard.stepped": "givingUp", "logGuard.blind": "givingUp",
      "logGuard.failed": "givingUp", "logGuard.dropped": "failed",
    },
    finishing: {
      "source.open": "finishing", "source.discover": "finishing", "source.plan": "finishing",
      "source.read": "finishing", "source.resplit": "finishing", "resplit.consider": "finishing",
      "source.drain": "finishing", "source.finish": "finishing", "worker.fact": "finishing",
      "governor.target": "finishing", "reader.queued": "finishing", "reader.released": "finishing",
      "reader.retried": "finishing", "reader.yielded": "finishing", "resplitter.found": "finishing",
      "resplitter.ended": "finishing", "reader.finished": "finishing", "reader.failed": "finishing",
      "channel.announced": "finishing", "channel.idle": "finishing", "channel.failed": "failed",
      "channel.closed": "finished", "partitioner.planned": "finishing", "partitioner.failed": "finishing",
      opened: "finishing", openFailed: "finishing", discovered: "finishing", discoverFailed: "finishing",
      "reader.paused": "finishing", "actor.order": "finishing",
      "source.log": "finishing", "log.leave": "finishing", "log.stop": "finishing", "log.end": "finishing",
      "log.committed": "finishing", "logReader.gathered": "finishing", "logReader.streamRead": "finishing", "logReader.done": "finishing",
      "logReader.failed": "failed", "log.giveUp": "givingUp", "logGuard.measured": "finishing", "logGuard.stepped": "finishing",
      "logGuard.blind": "finishing", "logGuard.failed": "failed", "logGuard.dropped": "finishing",
    },
  },
});

test("every state can be reached", () => {
  const reached = listReachable(sourceProcessMachine, {
    events: Object.values(events),
    distinguish: ({ readersAlive, channelsOpened, channelsClosed }) => [
      Math.max(-1, Math.min(1, readersAlive)),
      Math.min(1, channelsOpened),
      Math.min(1, channelsClosed),
    ],
  });
  expect(reached).toEqual(Object.keys(sourceProcessMachine.states).toSorted());
});

test("one channel serves the largest table first, and of each table its open ends first", async () => {
  const source = await startSource({ readers: 1 });
  source.read(makePlan(1, 3, 10));
  source.read(makePlan(2, 4, 1000));
  // the first one was given away when there was nothing else yet
  for (let reads = 0; reads < 7; reads += 1) source.finish(1);
  expect(
    source.starts().map(({ stream, partition }) => `${stream}/${partition}`),
  ).toEqual(["1/0", "2/0", "2/3", "2/1", "2/2", "1/2", "1/1"]);
  expect(source.workers).toEqual([1]);
  expect(source.facts.filter(({ type }) => type === "stream.read")).toEqual([
    { type: "stream.read", stream: 2, index: 4, valuesNulled: {} },
    { type: "stream.read", stream: 1, index: 3, valuesNulled: {} },
  ]);
});

test("a channel is opened when the governor asks for one more reader and there is something to read", async () => {
  const source = await startSource();
  source.read(makePlan(1, 3));
  expect(source.workers).toEqual([1]);
  source.send({ type: "governor.target", readers: 2 });
  expect(source.workers).toEqual([1, 2]);
  // one that is being opened is not asked for twice
  source.send({ type: "governor.target", readers: 2 });
  expect(source.workers).toEqual([1, 2]);
  source.connect(2);
  expect(source.starts().map(({ channel }) => channel)).toEqual([1, 2]);
  source.finish(1);
  source.send({ type: "governor.target", readers: 3 });
  expect(source.workers).toEqual([1, 2]);
});

test("with fewer readers wanted, a channel that is free stays free", async () => {
  const source = await startSource();
  source.send({ type: "governor.target", readers: 2 });
  source.read(makePlan(1, 4));
  source.connect(2);
  expect(source.starts()).toHaveLength(2);
  source.send({ type: "governor.target", readers: 1 });
  source.finish(1);
  expect(source.starts()).toHaveLength(2);
  source.finish(2);
  expect(source.starts()).toHaveLength(3);
});

test("never more channels than allowed", async () => {
  const source = await startSource({ channelsMax: 2, readers: 5 });
  source.read(makePlan(1, 6));
  source.connect(2);
  expect(source.workers).toEqual([1, 2]);
  expect(source.starts()).toHaveLength(2);
});

test("never more channels than have joined the snapshot", async () => {
  const joined = 2;
  const source = await startSource(
    { channelsMax: 4, readers: 4 },
    {},
    undefined,
    joined,
  );
  source.read(makePlan(1, 6));
  source.connect(2);
  expect(source.workers).toEqual([1, 2]);
  expect(source.starts()).toHaveLength(2);
});

/** The connection under a read is lost, and with it the snapshot. */
function loseSession(
  source: Awaited<ReturnType<typeof startSource>>,
  channel: number,
): void {
  const ref = source.readOn(channel);
  source.tell(channel, { type: "session.lost" });
  source.tell(channel, { type: "read.failed", ...ref, error: lost });
  source.tell(channel, { type: "read.discarded", ...ref });
}

test("what a channel without its snapshot was reading is read by the others", async () => {
  const source = await startSource({ channelsMax: 3, readers: 3 });
  source.read(makePlan(1, 5));
  source.connect(2);
  source.connect(3);
  const { partition } = source.readOn(2);
  loseSession(source, 2);
  expect(source.context().channels).toEqual({ 1: "1/0", 3: "1/1" });
  source.clock.increment(250);
  for (const channel of [1, 3, 1, 3]) source.finish(channel);
  expect(source.starts().filter(({ channel }) => channel === 2)).toHaveLength(
    1,
  );
  expect(source.starts()).toContainEqual(
    expect.objectContaining({ partition, attempt: 2 }),
  );
  source.finish(1);
  expect(source.facts.at(-1)).toMatchObject({ type: "stream.read", index: 5 });
});

test("a channel that has joined and was not opened yet takes the place of one that is lost", async () => {
  const source = await startSource({ channelsMax: 2, readers: 1 });
  source.read(makePlan(1, 1));
  expect(source.workers).toEqual([1]);
  loseSession(source, 1);
  source.clock.increment(250);
  source.connect(2);
  expect(source.readOn(2)).toMatchObject({ partition: 0, attempt: 2 });
});

test("the last channel is asked again, so that its error ends the run by name", async () => {
  const source = await startSource({ channelsMax: 1 });
  source.read(makePlan(1, 1));
  loseSession(source, 1);
  source.clock.increment(250);
  const again = source.readOn(1);
  expect(again.attempt).toBe(2);
  const error: WireError = { ...lost, code: "SOURCE_SNAPSHOT_LOST" };
  source.tell(1, { type: "read.failed", ...again, error });
  source.tell(1, { type: "read.discarded", ...again });
  expect(source.facts.at(-1)).toEqual({ type: "process.failed", error });
});

test("a channel has one reader at a time, whatever comes between its release and its rest", async () => {
  const source = await startSource({ channelsMax: 2, readers: 2 });
  source.read(makePlan(1, 5));
  source.connect(2);
  for (let reads = 0; reads < 5; reads += 1) {
    const busy = Object.values(source.context().channels).filter(
      (key) => key !== null,
    );
    expect(new Set(busy).size).toBe(busy.length);
    const channel = source.context().channels[1] === null ? 2 : 1;
    source.send({ type: "governor.target", readers: 2 });
    source.finish(channel);
  }
  expect(source.starts()).toHaveLength(5);
  expect(source.facts.at(-1)).toMatchObject({ type: "stream.read", index: 5 });
});

test("a stream that fails lets go of its channels, and the others go on", async () => {
  const source = await startSource({ readers: 2 });
  source.read(makePlan(1, 4, 1000));
  source.read(makePlan(2, 1, 10));
  source.connect(2);
  const [first, second] = [source.readOn(1), source.readOn(2)];
  expect([first.stream, second.stream]).toEqual([1, 1]);
  source.tell(1, { type: "read.failed", ...first, error: changed });
  source.tell(1, { type: "read.discarded", ...first });
  expect(source.facts.at(-1)).toEqual({
    type: "stream.failed",
    stream: 1,
    error: changed,
  });
  expect(source.orders.at(-1)).toMatchObject({ type: "read.start", stream: 2 });
  expect(source.orders).toContainEqual({
    type: "read.cancel",
    channel: 2,
    ...second,
  });
  source.tell(2, { type: "read.failed", ...second, error: lost });
  source.tell(2, { type: "read.discarded", ...second });
  source.finish(1);
  expect(source.facts.at(-1)).toMatchObject({ type: "stream.read", stream: 2 });
  expect(source.facts.filter(({ type }) => type === "stream.failed")).toEqual([
    { type: "stream.failed", stream: 1, error: changed },
  ]);
  expect(source.context().readersAlive).toBe(0);
});

test("a retry is told, and takes any channel that is free by then", async () => {
  const source = await startSource({ readers: 1 });
  source.read(makePlan(1, 1));
  const first = source.readOn(1);
  source.tell(1, { type: "read.failed", ...first, error: lost });
  source.tell(1, { type: "read.discarded", ...first });
  expect(source.facts.at(-1)).toEqual({
    type: "partition.retried",
    stream: 1,
    partition: 0,
    attempt: 1,
    error: lost,
  });
  source.clock.increment(250);
  expect(source.readOn(1).attempt).toBe(2);
});

test("a drain ends when every reader has stopped at a checkpoint or been discarded", async () => {
  const source = await startSource({ readers: 2 });
  source.read(makePlan(1, 4));
  source.connect(2);
  const [first, second] = [source.readOn(1), source.readOn(2)];
  source.send({ type: "source.drain" });
  expect(source.orders.slice(-2)).toMatchObject([
    { type: "read.stop", channel: 1 },
    { type: "read.stop", channel: 2 },
  ]);
  source.tell(1, { type: "read.stopped", ...first });
  // a partition that is resumable at its end only fails when it is stopped: it must not be queued again
  source.tell(2, { type: "read.failed", ...second, error: lost });
  source.tell(2, { type: "read.discarded", ...second });
  expect(source.facts.at(-1)).toEqual({ type: "source.drained" });
  source.clock.increment(60_000);
  expect(source.starts()).toHaveLength(2);
});

test("a drain that finds a reader between two tries does not wait for the next", async () => {
  const source = await startSource({ readers: 2 });
  source.read(makePlan(1, 2));
  source.connect(2);
  const [first, second] = [source.readOn(1), source.readOn(2)];
  source.tell(1, { type: "read.failed", ...first, error: lost });
  source.tell(1, { type: "read.discarded", ...first });
  source.tell(2, { type: "read.failed", ...second, error: lost });
  source.send({ type: "source.drain" });
  expect(source.state()).toBe("draining");
  source.tell(2, { type: "read.discarded", ...second });
  expect(source.state()).toBe("drained");
});

test("nothing follows a channel's End: readers of a failed stream let go of it first", async () => {
  const source = await startSource({ readers: 2 });
  source.read(makePlan(1, 2));
  source.connect(2);
  const [first, second] = [source.readOn(1), source.readOn(2)];
  source.tell(1, { type: "read.failed", ...first, error: changed });
  source.tell(1, { type: "read.discarded", ...first });
  source.send({ type: "source.finish" });
  const ends = () => source.orders.filter(({ type }) => type === "channel.end");
  expect(ends()).toEqual([]);
  source.tell(2, { type: "read.failed", ...second, error: lost });
  expect(ends()).toEqual([]);
  source.tell(2, { type: "read.discarded", ...second });
  expect(ends().map(({ channel }) => channel)).toEqual([1, 2]);
  source.tell(1, { type: "channel.ended" });
  expect(source.state()).toBe("finishing");
  source.tell(2, { type: "channel.ended" });
  expect(source.facts.at(-1)).toEqual({ type: "source.finished" });
});

test("it can finish in the middle of a drain", async () => {
  const source = await startSource({ readers: 1 });
  source.read(makePlan(1, 1));
  const first = source.readOn(1);
  source.send({ type: "source.drain" }, { type: "source.finish" });
  source.tell(1, { type: "read.failed", ...first, error: lost });
  source.tell(1, { type: "read.discarded", ...first });
  source.tell(1, { type: "channel.ended" });
  expect(source.facts.at(-1)).toEqual({ type: "source.finished" });
});

test("a channel that is still connecting at the end is met and ended, too", async () => {
  const source = await startSource({ readers: 2 });
  source.read(makePlan(1, 2));
  source.finish(1);
  source.finish(1);
  expect(source.workers).toEqual([1, 2]);
  source.send({ type: "source.finish" });
  source.tell(1, { type: "channel.ended" });
  expect(source.state()).toBe("finishing");
  source.connect(2);
  expect(source.facts).toContainEqual({
    type: "channel.listening",
    channel: 2,
    path: "/run/s2",
  });
  expect(source.orders.at(-1)).toEqual({ type: "channel.end", channel: 2 });
  source.tell(2, { type: "channel.ended" });
  expect(source.facts.at(-1)).toEqual({ type: "source.finished" });
});

test.for(["serving", "draining", "clearing", "finishing"] as const)(
  "a worker that is lost while %s ends the process with its reason",
  async (state) => {
    const source = await startSource({ readers: 1 });
    source.read(makePlan(1, 1));
    if (state === "finishing") source.finish(1);
    if (state === "draining") source.send({ type: "source.drain" });
    if (state === "clearing" || state === "finishing")
      source.send({ type: "source.finish" });
    expect(source.state()).toBe(state);
    source.tell(1, { type: "channel.broken", error: broken });
    expect(source.facts.at(-1)).toEqual({
      type: "process.failed",
      error: broken,
    });
  },
);

test("streams are planned one after the other, and one that cannot be planned fails alone", async () => {
  const source = await startSource(
    {},
    {
      1: new ExtractError("SOURCE_SCHEMA_CHANGED", "the table is gone"),
      2: makePlan(2, 1),
    },
  );
  for (const stream of [1, 2])
    source.send({ type: "source.plan", stream, where: null, cursor: null });
  await settle();
  await settle();
  expect(source.facts.slice(-2)).toMatchObject([
    { type: "stream.failed", stream: 1 },
    { type: "stream.planned", stream: 2 },
  ]);
  expect(source.state()).toBe("serving");
});

test("a stream of no orders is read at once", async () => {
  const source = await startSource();
  source.read({ ...makePlan(1, 0) });
  expect(source.facts.at(-1)).toEqual({
    type: "stream.read",
    stream: 1,
    index: 0,
    valuesNulled: {},
  });
});

test("a process that is only asked about its source opens no channel, and may finish at any time", async () => {
  const source = await startSource({ channelsMax: 0 });
  source.send({ type: "source.finish" });
  expect(source.workers).toEqual([]);
  expect(source.facts.at(-1)).toEqual({ type: "source.finished" });
});

/** One table of one partition that two readers may read, and a parent that splits it. */
async function startSplitting(
  findSplit: NonNullable<Parameters<typeof startSource>[2]>,
) {
  const source = await startSource(
    { readers: 2, partitionBytesMin: 400 },
    {},
    findSplit,
  );
  source.read(makePlan(1, 1));
  source.clock.increment(200);
  source.connect(2);
  const first = source.readOn(1);
  const stop = (): void => {
    source.tell(1, { type: "read.stopped", ...first });
    source.tell(1, { type: "read.discarded", ...first });
  };
  return { ...source, first, stop };
}

const halves = {
  giver: { ...makePartition(1, 0), estimatedBytes: 500 },
  taker: { ...makePartition(1, 0), estimatedBytes: 500 },
};
const taker = { ...halves.taker, ordinal: 1 };

test("a channel that is idle asks for a tail, and nobody reads either part before the ledger has both", async () => {
  const source = await startSplitting(async () => halves);
  expect(source.orders.at(-1)).toMatchObject({ type: "read.stop", channel: 1 });
  source.stop();
  await settle();
  expect(source.facts.at(-1)).toEqual({ type: "partition.split", ...halves });
  expect(source.starts()).toHaveLength(1);
  source.send({ type: "source.resplit", giver: halves.giver, taker });
  const parts = source.starts().slice(1);
  expect(parts.map(({ range }) => range)).toEqual(
    expect.arrayContaining([halves.giver, taker]),
  );
  expect(parts).toHaveLength(2);
  source.finish(1);
  expect(source.facts.at(-1)?.type).not.toBe("stream.read");
  source.finish(2);
  expect(source.facts.at(-1)).toMatchObject({ type: "stream.read", index: 2 });
});

test("a reader that has nothing worth giving goes on with all of its range, and is not asked again", async () => {
  const source = await startSplitting(async () => null);
  source.stop();
  await settle();
  expect(source.starts().at(-1)).toMatchObject({
    attempt: 2,
    range: makePartition(1, 0),
  });
  source.send({ type: "resplit.consider" });
  const stops = source.orders.filter(({ type }) => type === "read.stop");
  expect(stops).toHaveLength(1);
  expect(source.facts.some(({ type }) => type === "warning")).toBe(false);
});

test("a split that the server does not answer for is told, and the reader goes on", async () => {
  const source = await startSplitting(async () => {
    throw new ExtractError(
      "SOURCE_CONNECTION_LOST",
      "the server went away",
      {},
    );
  });
  source.stop();
  await settle();
  expect(source.facts.at(-1)).toMatchObject({ type: "warning" });
  expect(source.starts()).toHaveLength(2);
});

test("a reader that is through before it has stopped ends the re-split", async () => {
  const source = await startSplitting(async () => halves);
  source.finish(1);
  expect(source.context().resplitting).toBeNull();
  expect(source.facts.at(-1)).toMatchObject({ type: "stream.read", index: 1 });
});

test("what the ledger has split when a drain begins is left to the next run", async () => {
  const source = await startSplitting(async () => halves);
  source.stop();
  await settle();
  source.send({ type: "source.drain" });
  expect(source.state()).toBe("drained");
  source.send({ type: "source.resplit", giver: halves.giver, taker });
  expect(source.starts()).toHaveLength(1);
});

test("no tail is asked for while another table is being planned", async () => {
  const source = await startSource(
    { readers: 2, partitionBytesMin: 400 },
    { 2: makePlan(2, 1) },
  );
  source.read(makePlan(1, 1));
  source.send({ type: "source.plan", stream: 2, where: null, cursor: null });
  source.send({ type: "resplit.consider" });
  expect(source.workers).toEqual([1]);
});

describe("a log that its source keeps too much of", () => {
  const log = {
    ...{ slot: "s", publication: "s", sourceEpoch: 1, checkpointEveryMs: 5000 },
    budget: {
      bytes: 100,
      shareOf: { warn: 0.5, hurry: 0.7, pause: 0.85, giveUp: 1 },
      patienceMs: 1,
    },
  };

  /** A source that reads two streams of two partitions each over two channels, and a log over a third. */
  async function startLogged() {
    const source = await startSource({ readers: 2, channelsMax: 2, log });
    source.send({
      type: "source.log",
      streams: [1, 2, 3],
      identity: "server",
      from: { position: "p", offset: null, history: [] },
      until: null,
      discoveredAt: "p",
      connector: "postgresql",
      entry: null,
      end: null,
    });
    source.connect(2);
    source.read(makePlan(1, 2, 2000));
    source.read(makePlan(2, 2, 1000));
    source.connect(3);
    const step = (what: LogStep): void =>
      source.send({ type: "logGuard.stepped", measure, step: what });
    const stopOn = (channel: number): void => {
      const ref = source.readOn(channel);
      source.tell(channel, { type: "read.stopped", ...ref });
      source.tell(channel, { type: "read.discarded", ...ref });
    };
    return { ...source, step, stopOn };
  }
  const reading = (source: Awaited<ReturnType<typeof startLogged>>) =>
    Object.values(source.context().channels);

  test("has one reader beside it when it is in a hurry, and as many as before when it is not", async () => {
    const source = await startLogged();
    expect(reading(source)).toEqual(["1/0", "1/1"]);
    source.step("hurry");
    source.finish(1);
    expect(reading(source)).toEqual([null, "1/1"]);
    source.step("warn");
    expect(reading(source)).toEqual(["2/0", "1/1"]);
  });

  test("has none beside it while the snapshot is paused, whatever an operator says, and all is read afterwards", async () => {
    const source = await startLogged();
    source.step("pause");
    source.stopOn(1);
    source.stopOn(3);
    expect(reading(source)).toEqual([null, null]);
    source.read(makePlan(3, 1, 3000));
    expect(reading(source)).toEqual([null, null]);
    const subject = { kind: "reader" as const, key: "1/0" };
    source.send({ type: "actor.order", id: 1, subject, order: "resume" });
    expect(source.facts.at(-1)).toMatchObject({
      type: "source.ordered",
      refusal: "the snapshot waits until the log is shorter",
    });
    source.step("hurry");
    expect(reading(source).filter((key) => key !== null)).toHaveLength(1);
    source.step("calm");
    expect(reading(source).filter((key) => key !== null)).toHaveLength(2);
    const told = source.facts.filter(({ type }) => type === "log.stepped");
    expect(told).toMatchObject([
      { step: "pause" },
      { step: "hurry" },
      { step: "calm" },
    ]);
  });

  test.for([
    { isLogged: true, state: "failed", fact: "process.failed" },
    { isLogged: false, state: "serving", fact: "stream.failed" },
  ])(
    "is not followed without a table that somebody holds for now: logged $isLogged",
    async ({ isLogged, state, fact }) => {
      const source = isLogged
        ? await startLogged()
        : await startSource({ readers: 1, channelsMax: 1 });
      if (!isLogged) source.read(makePlan(1, 2));
      const ref = source.readOn(1);
      const error = { code: "SOURCE_LOCKED", message: "held", details: {} };
      source.tell(1, { type: "read.failed", ...ref, error } as never);
      source.tell(1, { type: "read.discarded", ...ref });
      expect(source.state()).toBe(state);
      expect(source.facts.at(-1)).toMatchObject({ type: fact, error });
    },
  );

  test("is forgotten by the source before the attempt ends by name, whatever breaks meanwhile", async () => {
    const source = await startLogged();
    source.send({ type: "log.giveUp", reason: "too much of it" });
    source.send({ type: "logReader.failed", error: lost });
    expect(source.state()).toBe("givingUp");
    await settle();
    expect(source.facts.at(-1)).toMatchObject({
      type: "process.failed",
      error: { code: "LOG_GIVEN_UP", message: "too much of it" },
    });
  });
});

describe("an operator's orders", () => {
  type Subject = OrderedActor["subject"];
  const reader = (key: string): Subject => ({ kind: "reader", key });
  const stream = (number: number): Subject => ({
    kind: "stream",
    stream: number,
  });
  const socket = (channel: number): Subject => ({ kind: "channel", channel });

  /** A source that reads two streams of two partitions each, over two channels. */
  async function startOrdered() {
    const source = await startSource({ readers: 2, channelsMax: 2 });
    source.read(makePlan(1, 2, 2000));
    source.read(makePlan(2, 2, 1000));
    source.connect(2);
    let id = 0;
    const order = (subject: Subject, what: OrderedActor["order"]) => {
      id += 1;
      source.send({ type: "actor.order", id, subject, order: what });
      const answer = source.facts.findLast(
        (fact) => fact.type === "source.ordered",
      );
      expect(answer?.id).toBe(id);
      return answer?.refusal;
    };
    const stopOn = (channel: number): void => {
      const ref = source.readOn(channel);
      source.tell(channel, { type: "read.stopped", ...ref });
      source.tell(channel, { type: "read.discarded", ...ref });
    };
    const failures = () =>
      source.facts.filter(({ type }) => type === "stream.failed");
    return { ...source, order, stopOn, failures };
  }
  const reading = (source: Awaited<ReturnType<typeof startOrdered>>) =>
    Object.values(source.context().channels);

  test("a reader that is paused leaves its channel to others and is not dispatched before it is resumed", async () => {
    const source = await startOrdered();
    expect(reading(source)).toEqual(["1/0", "1/1"]);
    expect(source.order(reader("1/0"), "pause")).toBeNull();
    source.stopOn(1);
    expect(reading(source)).toEqual(["2/0", "1/1"]);
    source.finish(1);
    source.finish(2);
    source.finish(1);
    expect(reading(source)).toEqual([null, null]);
    expect(source.state()).toBe("serving");
    expect(
      source.facts.filter(({ type }) => type === "stream.read"),
    ).toMatchObject([{ stream: 2 }]);
    expect(source.order(reader("1/0"), "resume")).toBeNull();
    expect(source.readOn(1)).toMatchObject({ partition: 0, attempt: 2 });
    source.finish(1);
    expect(source.facts).toContainEqual(
      expect.objectContaining({ type: "stream.read", stream: 1 }),
    );
  });

  test("a partition that waits for its turn can be paused as well", async () => {
    const source = await startOrdered();
    expect(source.order(reader("2/0"), "pause")).toBeNull();
    source.finish(1);
    source.finish(2);
    expect(reading(source)).toEqual(["2/1", null]);
  });

  test("a retry begins behind the Discard, and takes its channel again", async () => {
    const source = await startOrdered();
    const ref = source.readOn(1);
    expect(source.order(reader("1/0"), "retry")).toBeNull();
    expect(source.orders.at(-1)).toMatchObject({ type: "read.cancel", ...ref });
    source.tell(1, { type: "read.failed", ...ref, error: lost });
    source.tell(1, { type: "read.discarded", ...ref });
    expect(source.readOn(1)).toMatchObject({ partition: 0, attempt: 2 });
    expect(source.facts).not.toContainEqual(
      expect.objectContaining({ type: "partition.retried" }),
    );
  });

  test.for([reader("1/1"), stream(1)])(
    "a cancelled %o fails its stream by name, and the others go on",
    async (subject) => {
      const source = await startOrdered();
      expect(source.order(subject, "cancel")).toBeNull();
      expect(source.failures()).toMatchObject([
        {
          stream: 1,
          error: { code: "STREAM_CANCELLED", message: "cancelled by operator" },
        },
      ]);
      for (const channel of [1, 2]) {
        const ref = source.readOn(channel);
        source.tell(channel, { type: "read.failed", ...ref, error: lost });
        source.tell(channel, { type: "read.discarded", ...ref });
      }
      expect(reading(source)).toEqual(["2/0", "2/1"]);
      expect(source.order(subject, "cancel")).toBe("it has failed already");
    },
  );

  test("a paused stream is read no further until it is resumed, and one that is paused before it is planned is not begun", async () => {
    const source = await startOrdered();
    expect(source.order(stream(1), "pause")).toBeNull();
    source.stopOn(1);
    source.stopOn(2);
    expect(reading(source)).toEqual(["2/0", "2/1"]);
    expect(source.order(reader("1/0"), "resume")).toMatch(/stream is paused/);
    expect(source.order(stream(3), "pause")).toBeNull();
    source.read(makePlan(3, 2, 3000));
    source.finish(1);
    source.finish(2);
    expect(reading(source)).toEqual([null, null]);
    expect(source.order(stream(1), "resume")).toBeNull();
    expect(new Set(reading(source))).toEqual(new Set(["1/0", "1/1"]));
  });

  test("a paused socket is given nothing new", async () => {
    const source = await startOrdered();
    expect(source.order(socket(1), "pause")).toBeNull();
    source.finish(1);
    expect(reading(source)).toEqual([null, "1/1"]);
    expect(source.order(socket(1), "resume")).toBeNull();
    expect(reading(source)).toEqual(["2/0", "1/1"]);
  });

  test("a stop ends a source at once whose readers are all paused", async () => {
    const source = await startOrdered();
    for (const number of [1, 2]) source.order(stream(number), "pause");
    source.stopOn(1);
    source.stopOn(2);
    source.send({ type: "source.drain" });
    expect(source.state()).toBe("drained");
    expect(source.order(stream(1), "resume")).toMatch(/begins or ends/);
  });

  test("a stream that is being planned can be cancelled, and what its plan comes to is of no matter", async () => {
    const source = await startSource({}, { 2: makePlan(2, 1) });
    for (const number of [1, 2, 3])
      source.send({
        type: "source.plan",
        stream: number,
        where: null,
        cursor: null,
      });
    for (const number of [1, 3])
      source.send({
        type: "actor.order",
        id: number,
        subject: stream(number),
        order: "cancel",
      });
    await settle();
    await settle();
    expect(source.state()).toBe("serving");
    expect(source.facts).toContainEqual(
      expect.objectContaining({ type: "stream.planned", stream: 2 }),
    );
    expect(
      source.facts.filter(({ type }) => type === "stream.failed"),
    ).toMatchObject([{ stream: 1 }, { stream: 3 }]);
  });

  test.for<[Subject, OrderedActor["order"], RegExp]>([
    [reader("1/0"), "resume", /it is reading/],
    [reader("1/7"), "pause", /it is done/],
    [stream(1), "resume", /not paused/],
    [stream(1), "retry", /trigger a new run/],
    [socket(1), "resume", /not paused/],
    [socket(1), "retry", /ends the attempt/],
    [socket(1), "cancel", /cancel a stream or the run/],
    [{ kind: "other", machine: "resplitter" }, "pause", /takes no orders/],
    [{ kind: "none", actor: "x:9" }, "cancel", /not there any more/],
  ])("%o cannot be told to %s", async ([subject, what, reason]) => {
    const source = await startOrdered();
    expect(source.order(subject, what)).toMatch(reason);
    expect(reading(source)).toEqual(["1/0", "1/1"]);
  });
});
