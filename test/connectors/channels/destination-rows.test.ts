import { expect, test } from "vitest";
import {
  DestinationRows,
  KnownStreams,
} from "../../../connectors/channels/destination-rows.ts";
import type { StreamWriter } from "../../../connectors/destinations/destination.ts";
import type { CheckpointStamp } from "../../../proto/checkpoint.ts";
import type {
  DestinationChannel,
  ReceivedFrame,
  ReplyFrame,
} from "../../../transport/channel.ts";
import { buildBatch, buildSchema } from "../../fixtures/batches.ts";

const schema = buildSchema({ id: "int64" }, ["id"]);
const batch = buildBatch(schema, [[1n], [2n]]);
const ids = { stream: 1, partition: 0, attempt: 1 };
const stamp: CheckpointStamp = {
  ...ids,
  sequence: 4,
  index: 1,
  position: null,
  rows: 6,
  bytes: 48,
  last: true,
};

function open(frames: (ReceivedFrame | null)[]) {
  const told: string[] = [];
  const replies: ReplyFrame[] = [];
  const channel: DestinationChannel = {
    channel: 1,
    streams: new Map(),
    next: async () => {
      const frame = frames.shift();
      if (frame === undefined) throw new Error("nothing more was expected");
      return frame;
    },
    closed: Promise.resolve(null),
    write: (frame) => replies.push(frame),
    fail: () => {},
    close: async () => void told.push("channel closed"),
  };
  const writer: StreamWriter = {
    write: ({ rowCount }) => void told.push(`wrote ${rowCount}`),
    seal: async ({ index }) => {
      told.push(`sealed ${index}`);
      return [];
    },
    discard: async () => void told.push("discarded"),
    abandon: () => told.push("abandoned"),
  };
  const streams = new KnownStreams();
  const rows = new DestinationRows({
    channel,
    streams,
    factory: {
      createWriter: () => writer,
      close: async () => void told.push("writers closed"),
    },
    onCheckpoint: ({ index }) => told.push(`announced ${index}`),
  });
  const begin = (): void =>
    streams.add({ schema, generation: 1, planVersion: 1 });
  return { rows, told, replies, begin };
}

function frameOf(sequence: number, released: number[]): ReceivedFrame {
  return {
    kind: "batch",
    ...ids,
    sequence,
    schema,
    schemaVersion: 1,
    batch,
    bytes: 16,
    release: () => void released.push(sequence),
  };
}

const { signal: wanted } = new AbortController();

test("rows of a segment that is open are written on and on, and only what is to be decided is told", async () => {
  const released: number[] = [];
  const { rows, told, begin } = open([
    { kind: "schema", schema, version: 1 } as never,
    frameOf(1, released),
    frameOf(2, released),
    frameOf(3, released),
    { kind: "checkpoint", checkpoint: stamp },
    null,
  ]);
  begin();
  const writer = "writer:1/0#1";
  expect(await rows.take(wanted)).toEqual({
    kind: "written",
    writer,
    stream: 1,
    partition: 0,
  });
  expect(released).toEqual([1]);
  expect(await rows.take(wanted)).toEqual({
    kind: "checkpoint",
    writer,
    stamp,
  });
  expect(released).toEqual([1, 2, 3]);
  expect(told).toEqual(["wrote 2", "wrote 2", "wrote 2", "announced 1"]);
  expect(await rows.take(wanted)).toEqual({ kind: "end" });
});

test("once nobody wants the frames, the next is given back unwritten", async () => {
  const released: number[] = [];
  const { rows, told, begin } = open([frameOf(1, released)]);
  begin();
  const unwanted = new AbortController();
  const taking = rows.take(unwanted.signal);
  unwanted.abort();
  expect(await taking).toEqual({ kind: "nothing" });
  expect(released).toEqual([1]);
  expect(told).toEqual([]);
});

test("rows that overtake the order which names their stream wait for it", async () => {
  const { rows, told, begin } = open([frameOf(1, [])]);
  const taking = rows.take(wanted);
  await new Promise((resolve) => setImmediate(resolve));
  expect(told).toEqual([]);
  begin();
  expect(await taking).toMatchObject({ kind: "written" });
});

test("a discard names the segment it ends, and is answered for the attempt that asked", async () => {
  const discard = { ...ids, attempt: 2, fromSequence: 1 };
  const { rows, told, replies, begin } = open([
    frameOf(1, []),
    { kind: "discard", discard },
    { kind: "discard", discard },
  ]);
  begin();
  await rows.take(wanted);
  const ended = await rows.take(wanted);
  expect(ended).toEqual({
    kind: "discard",
    writer: "writer:1/0#1",
    wasOpen: true,
  });
  await rows.discard("writer:1/0#1");
  rows.answerDiscard("writer:1/0#1");
  expect(told).toEqual(["wrote 2", "discarded"]);
  expect(replies).toEqual([
    { kind: "discarded", discarded: { ...ids, attempt: 2 } },
  ]);
  expect(await rows.take(wanted)).toMatchObject({ wasOpen: false });
});

test("a segment is sealed by its name, once", async () => {
  const { rows, told, replies, begin } = open([frameOf(1, [])]);
  begin();
  await rows.take(wanted);
  await rows.seal("writer:1/0#1", stamp);
  await expect(rows.seal("writer:1/0#1", stamp)).rejects.toThrow("not open");
  rows.acknowledge(stamp, 6);
  expect(replies).toMatchObject([{ kind: "ack", ack: { rows: 6 } }]);
  rows.abandon();
  await rows.close();
  expect(told).toEqual([
    "wrote 2",
    "sealed 1",
    "channel closed",
    "writers closed",
  ]);
});
