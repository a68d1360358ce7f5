import { expect, test } from "vitest";
import { fromPromise, type EventFrom, type StateValueFrom } from "xstate";
import { writerMachine } from "../../../actors/destination/writer.machine.ts";
import type { SealedFile } from "../../../proto/checkpoint.ts";
import { ExtractError } from "../../../proto/error.ts";
import { makeStamp } from "../../checkpoint/stamps.ts";
import { runBelow, settle } from "../recorder.ts";
import {
  describeTable,
  doneBy,
  failedBy,
  listReachable,
  type AnyEvent,
  type StateName,
} from "../table.ts";

type State = StateName<StateValueFrom<typeof writerMachine>>;
type Event =
  | EventFrom<typeof writerMachine>["type"]
  | "sealed"
  | "sealFailed"
  | "discarded"
  | "discardFailed";

const input = { key: "writer:1/0#1", stream: 1, partition: 0 };
const stamp = makeStamp({ index: 1, last: true });
const files: SealedFile[] = [{ path: "a.parquet", rows: 10, bytes: 400 }];
const full = new ExtractError("DESTINATION_FULL", "no space left on device");

const events: Record<Event, AnyEvent> = {
  "checkpoint.met": { type: "checkpoint.met", stamp },
  "writer.discard": { type: "writer.discard" },
  sealed: doneBy("seal", files),
  sealFailed: failedBy("seal", full),
  discarded: doneBy("discard"),
  discardFailed: failedBy("discard", full),
};

describeTable<
  typeof writerMachine,
  State,
  Exclude<State, "sealed" | "discarded" | "failed">,
  Event
>({
  machine: writerMachine,
  events,
  contextOf: () => ({ ...input, stamp, files: [], error: null }),
  // prettier-ignore
  nextState: {
    writing: {
      "checkpoint.met": "sealing", "writer.discard": "discarding", sealed: "writing", sealFailed: "writing",
      discarded: "writing", discardFailed: "writing",
    },
    sealing: {
      "checkpoint.met": "sealing", "writer.discard": "sealing", sealed: "sealed", sealFailed: "failed",
      discarded: "sealing", discardFailed: "sealing",
    },
    discarding: {
      "checkpoint.met": "discarding", "writer.discard": "discarding", sealed: "discarding",
      sealFailed: "discarding", discarded: "discarded", discardFailed: "failed",
    },
  },
});

test("every state can be reached", () => {
  expect(
    listReachable(writerMachine, { input, events: Object.values(events) }),
  ).toEqual(Object.keys(writerMachine.states).toSorted());
});

function start(work: () => Promise<readonly SealedFile[]>) {
  return runBelow(
    writerMachine.provide({
      actors: {
        seal: fromPromise(work),
        discard: fromPromise(async () => {
          await work();
        }),
      },
    }),
    input,
  );
}

test("nothing is told to be sealed before its files are durable", async () => {
  const durable = Promise.withResolvers<SealedFile[]>();
  const writer = start(() => durable.promise);
  writer.subject.send({ type: "checkpoint.met", stamp });
  await settle();
  expect(writer.heard).toEqual([]);
  durable.resolve(files);
  await settle();
  expect(writer.heard).toEqual([
    { type: "writer.sealed", key: input.key, stamp, files },
  ]);
});

test.for([
  { type: "checkpoint.met" as const, stamp },
  { type: "writer.discard" as const },
])("a disk that fails at $type is told with its reason", async (event) => {
  const writer = start(() => Promise.reject(full));
  writer.subject.send(event);
  await settle();
  expect(writer.heard).toMatchObject([
    { type: "writer.failed", error: { code: "DESTINATION_FULL" } },
  ]);
});
