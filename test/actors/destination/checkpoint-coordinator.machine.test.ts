import { expect, test } from "vitest";
import type { EventFrom, StateValueFrom } from "xstate";
import {
  checkpointCoordinatorMachine,
  type CoordinatorEvent,
} from "../../../actors/destination/checkpoint-coordinator.machine.ts";
import { CheckpointCoordinator } from "../../../checkpoint/coordinator.ts";
import { EMPTY_SEED } from "../../../checkpoint/state.ts";
import type { StreamState } from "../../../proto/checkpoint.ts";
import type { WireError } from "../../../proto/error.ts";
import { makeReport, makeStamp } from "../../checkpoint/stamps.ts";
import { runBelow } from "../recorder.ts";
import { describeTable, type AnyEvent, type StateName } from "../table.ts";

type State = StateName<StateValueFrom<typeof checkpointCoordinatorMachine>>;
type Event = EventFrom<typeof checkpointCoordinatorMachine>["type"];

const error: WireError = {
  code: "CHECKPOINT_MISMATCH",
  message: "told twice and differs",
  details: {},
};

const events: Record<Event, AnyEvent> = {
  "stream.seeded": { type: "stream.seeded", stream: 2, seed: EMPTY_SEED },
  "stream.ended": { type: "stream.ended", stream: 1 },
  "checkpoint.announced": {
    type: "checkpoint.announced",
    stamp: makeStamp({ index: 1 }),
  },
  "checkpoint.durable": {
    type: "checkpoint.durable",
    report: makeReport({ index: 1 }),
  },
  "checkpoint.voided": { type: "checkpoint.voided", stream: 1, index: 1 },
  "checkpoint.overdue": { type: "checkpoint.overdue", stream: 1, index: 1 },
  "coordinator.fault": { type: "coordinator.fault", error },
};

describeTable<
  typeof checkpointCoordinatorMachine,
  State,
  Exclude<State, "deciding" | "failed">,
  Event
>({
  machine: checkpointCoordinatorMachine,
  events,
  contextOf: (state) => {
    const coordinator = new CheckpointCoordinator(1);
    coordinator.begin(1, EMPTY_SEED);
    const isWaiting = state === "waiting";
    if (isWaiting) coordinator.announce(makeStamp({ index: 1 }));
    return {
      epoch: 1,
      checkpointDeadlineMs: 1000,
      coordinator,
      streams: [1],
      heldUp: isWaiting ? { 1: 1 } : {},
      error: null,
    };
  },
  // prettier-ignore
  nextState: {
    even: {
      "stream.seeded": "even", "stream.ended": "even", "checkpoint.announced": "waiting",
      "checkpoint.durable": "even", "checkpoint.voided": "even", "checkpoint.overdue": "even",
      "coordinator.fault": "failed",
    },
    waiting: {
      "stream.seeded": "waiting", "stream.ended": "even", "checkpoint.announced": "waiting",
      "checkpoint.durable": "even", "checkpoint.voided": "even", "checkpoint.overdue": "failed",
      "coordinator.fault": "failed",
    },
  },
});

function start(streams = [1]) {
  const released: StreamState[] = [];
  const coordinator = runBelow(
    checkpointCoordinatorMachine.provide({
      actions: { releaseState: (_, { state }) => released.push(state) },
    }),
    { epoch: 1, checkpointDeadlineMs: 1000 },
  );
  const send = (...sent: CoordinatorEvent[]): void => {
    for (const event of sent)
      if (coordinator.heard.length === 0) coordinator.subject.send(event);
  };
  for (const stream of streams)
    send({ type: "stream.seeded", stream, seed: EMPTY_SEED });
  const announce = (index: number, stream = 1): void =>
    send({
      type: "checkpoint.announced",
      stamp: makeStamp({ index, stream, partition: index }),
    });
  const settle = (index: number, stream = 1): void =>
    send({
      type: "checkpoint.durable",
      report: makeReport({ index, stream, partition: index }),
    });
  return { ...coordinator, released, send, announce, settle };
}

test("states leave in index order, each once, whatever the order in which channels report", () => {
  const coordinator = start();
  for (const index of [1, 2, 3, 4]) coordinator.announce(index);
  for (const index of [3, 1, 4]) coordinator.settle(index);
  expect(coordinator.released.map(({ index }) => index)).toEqual([1]);
  expect(coordinator.state()).toBe("waiting");
  coordinator.settle(2);
  expect(coordinator.released.map(({ index }) => index)).toEqual([1, 2, 3, 4]);
  expect(coordinator.state()).toBe("even");
});

test("a checkpoint that is outstanding for too long fails the run by its name", () => {
  const coordinator = start();
  coordinator.announce(1);
  coordinator.clock.increment(999);
  expect(coordinator.heard).toEqual([]);
  coordinator.clock.increment(1);
  expect(coordinator.heard).toEqual([
    {
      type: "coordinator.failed",
      error: {
        code: "CHECKPOINT_MISSING",
        message: expect.stringContaining("neither durable nor void"),
        details: { stream: 1, index: 1, partition: 1 },
      },
    },
  ]);
});

test("an index that was never heard of is named too", () => {
  const coordinator = start();
  coordinator.settle(2);
  coordinator.clock.increment(1000);
  expect(coordinator.heard).toMatchObject([
    { error: { code: "CHECKPOINT_MISSING", details: { index: 1 } } },
  ]);
});

test("what other partitions and streams get done does not hide the one that is missing", () => {
  const coordinator = start([1, 2]);
  coordinator.announce(1);
  for (let index = 2; index <= 11; index += 1) {
    coordinator.clock.increment(100);
    for (const stream of [1, 2]) {
      coordinator.announce(index - stream + 1, stream);
      coordinator.settle(index - stream + 1, stream);
    }
  }
  expect(coordinator.heard).toMatchObject([
    { error: { code: "CHECKPOINT_MISSING", details: { stream: 1, index: 1 } } },
  ]);
});

test("progress of the stream itself sets its clock anew", () => {
  const coordinator = start();
  for (let index = 1; index <= 5; index += 1) coordinator.announce(index);
  for (let index = 1; index <= 5; index += 1) {
    coordinator.clock.increment(900);
    coordinator.settle(index);
  }
  coordinator.clock.increment(5000);
  expect(coordinator.state()).toBe("even");
});

test("a stream that was abandoned is not waited for", () => {
  const coordinator = start();
  coordinator.announce(1);
  coordinator.send({ type: "stream.ended", stream: 1 });
  coordinator.clock.increment(5000);
  expect(coordinator.state()).toBe("even");
});

test("a void index is passed over", () => {
  const coordinator = start();
  coordinator.announce(1);
  coordinator.settle(2);
  coordinator.send({ type: "checkpoint.voided", stream: 1, index: 1 });
  expect(coordinator.released.map(({ index }) => index)).toEqual([2]);
});

test("a report that contradicts what is known fails at once", () => {
  const coordinator = start();
  coordinator.announce(1);
  coordinator.send({
    type: "checkpoint.durable",
    report: makeReport({ index: 1, partition: 1, rows: 9 }),
  });
  expect(coordinator.heard).toMatchObject([
    { error: { code: "CHECKPOINT_MISMATCH" } },
  ]);
});
