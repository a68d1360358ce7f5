import { expect, test } from "vitest";
import {
  createActor,
  fromPromise,
  type EventFrom,
  type StateValueFrom,
} from "xstate";
import {
  inputFlowMachine,
  SEALS_AT_ONCE_MAX,
  type FrameOutcome,
} from "../../../actors/destination/input-flow.machine.ts";
import { writerMachine } from "../../../actors/destination/writer.machine.ts";
import type { SealedFile } from "../../../proto/checkpoint.ts";
import { ExtractError, type WireError } from "../../../proto/error.ts";
import { makeStamp } from "../../checkpoint/stamps.ts";
import { settle } from "../recorder.ts";
import {
  describeTable,
  doneBy,
  failedBy,
  listReachable,
  type AnyEvent,
  type StateName,
} from "../table.ts";

type State = StateName<StateValueFrom<typeof inputFlowMachine>>;
type Event =
  | EventFrom<typeof inputFlowMachine>["type"]
  | `took ${FrameOutcome["kind"]}`
  | "takeFailed";

const stamp = makeStamp({ index: 1 });
const full = new ExtractError("DESTINATION_FULL", "no space left on device");
const error: WireError = {
  code: "DESTINATION_FULL",
  message: full.message,
  details: {},
};
const writer = "writer:1/0#1";
const written: FrameOutcome = {
  kind: "written",
  writer,
  stream: 1,
  partition: 0,
};
const took = (outcome: FrameOutcome): AnyEvent => doneBy("takeFrames", outcome);

const events: Record<Event, AnyEvent> = {
  "writer.sealed": { type: "writer.sealed", key: writer, stamp, files: [] },
  "writer.discarded": { type: "writer.discarded", key: writer },
  "writer.failed": { type: "writer.failed", key: writer, stamp, error },
  "took written": took(written),
  "took checkpoint": took({ kind: "checkpoint", writer, stamp }),
  "took discard": took({ kind: "discard", writer, wasOpen: true }),
  "took nothing": took({ kind: "nothing" }),
  "took end": took({ kind: "end" }),
  takeFailed: failedBy("takeFrames", full),
};

describeTable<
  typeof inputFlowMachine,
  State,
  Exclude<State, "deciding" | "ended" | "broken">,
  Event
>({
  machine: inputFlowMachine,
  events,
  contextOf: (state) => ({
    open: [writer],
    // before it is paused, one more seal is one too many; behind End, this is the last
    seals: {
      taking: SEALS_AT_ONCE_MAX - 1,
      pausedByWriter: SEALS_AT_ONCE_MAX,
      sealingTheRest: 1,
    }[state],
    error: null,
  }),
  // prettier-ignore
  nextState: {
    taking: {
      "writer.sealed": "taking", "writer.discarded": "taking", "writer.failed": "broken",
      "took written": "taking", "took checkpoint": "pausedByWriter", "took discard": "taking",
      "took nothing": "taking", "took end": "sealingTheRest", takeFailed: "broken",
    },
    pausedByWriter: {
      "writer.sealed": "taking", "writer.discarded": "pausedByWriter", "writer.failed": "broken",
      "took written": "pausedByWriter", "took checkpoint": "pausedByWriter", "took discard": "pausedByWriter",
      "took nothing": "pausedByWriter", "took end": "pausedByWriter", takeFailed: "pausedByWriter",
    },
    sealingTheRest: {
      "writer.sealed": "ended", "writer.discarded": "sealingTheRest", "writer.failed": "broken",
      "took written": "sealingTheRest", "took checkpoint": "sealingTheRest", "took discard": "sealingTheRest",
      "took nothing": "sealingTheRest", "took end": "sealingTheRest", takeFailed: "sealingTheRest",
    },
  },
});

test("every state in which it rests can be reached", () => {
  const reached = listReachable(inputFlowMachine, {
    events: Object.values(events),
    distinguish: ({ open, seals }) => [
      open.length,
      Math.max(-1, Math.min(seals, SEALS_AT_ONCE_MAX)),
    ],
  });
  expect(reached).toEqual(
    Object.keys(inputFlowMachine.states)
      .filter((state) => state !== "deciding")
      .toSorted(),
  );
});

/** A worker whose frames and seals the test gives one by one. */
function start() {
  const did: string[] = [];
  const frames: PromiseWithResolvers<FrameOutcome>[] = [];
  const seals = new Map<string, PromiseWithResolvers<readonly SealedFile[]>>();
  const flow = createActor(
    inputFlowMachine.provide({
      actors: {
        takeFrames: fromPromise(() => {
          const frame = Promise.withResolvers<FrameOutcome>();
          frames.push(frame);
          return frame.promise;
        }),
        writer: writerMachine.provide({
          actors: {
            seal: fromPromise(({ input }) => {
              const seal = Promise.withResolvers<readonly SealedFile[]>();
              seals.set(input.key, seal);
              return seal.promise;
            }),
            discard: fromPromise(async () => {}),
          },
        }),
      },
      actions: {
        acknowledge: (_, params) => did.push(`ack ${params.stamp.index}`),
        answerDiscard: (_, { key }) => did.push(`discarded ${key}`),
        reportPaused: () => did.push("paused"),
        reportResumed: () => did.push("resumed"),
        reportEnded: () => did.push("ended"),
        reportBroken: (_, params) => did.push(`broken ${params.error.code}`),
      },
    }),
  ).start();
  return {
    did,
    state: () => flow.getSnapshot().value,
    countTaken: () => frames.length,
    async take(...outcomes: FrameOutcome[]) {
      for (const outcome of outcomes) {
        frames.at(-1)?.resolve(outcome);
        await settle();
      }
    },
    async failTake() {
      frames.at(-1)?.reject(full);
      await settle();
    },
    async seal(key: string) {
      seals.get(key)?.resolve([]);
      await settle();
    },
    async failSeal(key: string) {
      seals.get(key)?.reject(full);
      await settle();
    },
  };
}

function segment(number: number): FrameOutcome[] {
  const key = `writer:1/${number}#1`;
  return [
    { kind: "written", writer: key, stream: 1, partition: number },
    {
      kind: "checkpoint",
      writer: key,
      stamp: makeStamp({ index: number, partition: number }),
    },
  ];
}

test("frames are taken while files are sealed, and each seal is acknowledged when it is durable", async () => {
  const flow = start();
  await flow.take(...segment(1), ...segment(2));
  expect(flow.state()).toBe("taking");
  expect(flow.did).toEqual([]);
  await flow.seal("writer:1/2#1");
  await flow.seal("writer:1/1#1");
  expect(flow.did).toEqual(["ack 2", "ack 1"]);
});

test("no frame is taken while too many seals are under way", async () => {
  const flow = start();
  for (let number = 1; number <= SEALS_AT_ONCE_MAX; number += 1)
    await flow.take(...segment(number));
  expect(flow.did).toEqual(["paused"]);
  const taken = flow.countTaken();
  await flow.seal("writer:1/3#1");
  expect(flow.did).toEqual(["paused", "ack 3", "resumed"]);
  expect(flow.countTaken()).toBe(taken + 1);
});

test("End waits for the seals that are under way", async () => {
  const flow = start();
  await flow.take(...segment(1), { kind: "end" });
  expect(flow.did).toEqual([]);
  await flow.seal("writer:1/1#1");
  expect(flow.did).toEqual(["ack 1", "ended"]);
});

test("a checkpoint over no rows is acknowledged at once", async () => {
  const flow = start();
  await flow.take({ kind: "checkpoint", writer: "writer:1/0#none", stamp });
  expect(flow.did).toEqual(["ack 1"]);
});

test("a Discard is answered once what was open is gone, and at once where nothing was", async () => {
  const flow = start();
  await flow.take(written, { kind: "discard", writer, wasOpen: true });
  await flow.take({
    kind: "discard",
    writer: "writer:1/5#none",
    wasOpen: false,
  });
  expect(flow.did).toEqual([
    `discarded ${writer}`,
    "discarded writer:1/5#none",
  ]);
});

test("a seal that fails breaks the channel, also behind End", async () => {
  const flow = start();
  await flow.take(...segment(1), { kind: "end" });
  await flow.failSeal("writer:1/1#1");
  expect(flow.did).toEqual(["broken DESTINATION_FULL"]);
});

test("a socket that closes without End breaks the channel: nothing unsealed is taken for whole", async () => {
  const flow = start();
  await flow.take(written);
  await flow.failTake();
  expect(flow.did).toEqual(["broken DESTINATION_FULL"]);
});
