import { expect, test } from "vitest";
import {
  ChannelRows,
  type CheckpointPlace,
} from "../../../connectors/channels/source-rows.ts";
import { batchBytes } from "../../../proto/columns.ts";
import type { SourceChannel } from "../../../transport/channel.ts";
import { buildBatch, buildSchema } from "../../fixtures/batches.ts";

const schema = buildSchema({ id: "int64" }, ["id"]);
const batch = buildBatch(schema, [[1n], [2n], [3n]]);
const bytes = batchBytes(batch);
const ref = { stream: 1, partition: 4, attempt: 2 };

/** A socket that takes a batch only when it is told to. */
function open({ isSlow = false } = {}) {
  const written: string[] = [];
  const takes: (() => void)[] = [];
  const socket = {
    writeSchema: async () => void written.push("schema"),
    writeBatch: ({ sequence }: { sequence: number }) => {
      written.push(`batch ${sequence}`);
      return new Promise<void>((resolve) => {
        if (isSlow) takes.push(resolve);
        else resolve();
      });
    },
    writeCheckpoint: async ({
      sequence,
      index,
    }: {
      sequence: number;
      index: number;
    }) => void written.push(`checkpoint ${sequence} as ${index}`),
  } as Partial<SourceChannel> as SourceChannel;
  const channel = new ChannelRows(() => socket);
  const places: CheckpointPlace[] = [];
  const rows = channel.begin({
    ...ref,
    schema,
    mapper: null,
    onCheckpoint: (place) => places.push(place),
    onNulled: () => {},
  });
  const take = (): void => takes.shift()?.();
  return { channel, rows, places, written, take };
}

const turn = () => new Promise((resolve) => setImmediate(resolve));

test("a stream's schema goes before its first batch, once", async () => {
  const { rows, written, channel } = open();
  await rows.batch(batch);
  await rows.batch(batch);
  expect(written).toEqual(["schema", "batch 1", "batch 2"]);
  expect(channel.totals).toEqual({
    batches: 2,
    rows: 6,
    bytes: 2 * bytes,
    checkpoints: 0,
  });
});

test("what is given behind a checkpoint waits for its index, and goes in order", async () => {
  const { rows, places, written } = open();
  await rows.batch(batch);
  const checkpoint = rows.checkpoint(null, false);
  const second = rows.batch(batch);
  const last = rows.checkpoint(null, true);
  await turn();
  expect(written).toEqual(["schema", "batch 1"]);
  expect(places).toEqual([
    { ...ref, sequence: 2, position: null, rows: 3, bytes, last: false },
  ]);
  rows.giveIndex(7);
  await Promise.all([checkpoint, second, turn()]);
  expect(rows.isWhole).toBe(false);
  expect(places[1]).toMatchObject({ sequence: 4, rows: 3, last: true });
  rows.giveIndex(8);
  await last;
  expect(written.slice(2)).toEqual([
    "checkpoint 2 as 7",
    "batch 3",
    "checkpoint 4 as 8",
  ]);
  expect(rows.isWhole).toBe(true);
});

test("a checkpoint does not wait for a batch that is still on its way", async () => {
  const { rows, written, take, places, channel } = open({ isSlow: true });
  const first = rows.batch(batch);
  const checkpoint = rows.checkpoint(null, false);
  await turn();
  rows.giveIndex(1);
  await checkpoint;
  expect(written).toEqual(["schema", "batch 1", "checkpoint 2 as 1"]);
  expect(places).toHaveLength(1);
  expect(channel.isStuckFor(-1)).toBe(true);
  take();
  await first;
  expect(channel.isStuckFor(-1)).toBe(false);
});

test("a read that fails waits until the index it asked for is used", async () => {
  const { rows, written } = open();
  void rows.checkpoint(null, true);
  let isSettled = false;
  const settling = rows.settle().then(() => (isSettled = true));
  await turn();
  expect(isSettled).toBe(false);
  rows.giveIndex(3);
  await settling;
  expect(written).toEqual(["checkpoint 1 as 3"]);
  expect(rows.isWhole).toBe(true);
});

test("progress is what was given since it was last taken", async () => {
  const { rows } = open();
  expect(rows.takeProgress()).toBeNull();
  await rows.batch(batch);
  await rows.batch(batch);
  expect(rows.takeProgress()).toEqual({ rows: 6, bytes: 2 * bytes });
  expect(rows.takeProgress()).toBeNull();
});
