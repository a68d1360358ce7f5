import fc from "fast-check";
import { expect, test } from "vitest";
import {
  Arrivals,
  GROUPS_MAX,
  WriteClock,
} from "../../../connectors/channels/write-clock.ts";
import type { WriteMeasured } from "../../../actors/destination/worker-messages.ts";
import type {
  WriterFactory,
  WriterTarget,
} from "../../../connectors/destinations/destination.ts";
import type { CheckpointStamp } from "../../../proto/checkpoint.ts";
import type { ColumnBatch } from "../../../proto/columns.ts";

test("arrivals keep every batch in a bounded number of groups, none later than it came", () =>
  fc.assert(
    fc.property(
      fc.array(fc.integer({ min: 0, max: 10_000 }), { maxLength: 2000 }),
      (gaps) => {
        const arrivals = new Arrivals();
        let at = 0;
        for (const gap of gaps) arrivals.add((at += gap));
        const { groups } = arrivals;
        expect(groups.length).toBeLessThanOrEqual(GROUPS_MAX);
        expect(groups.reduce((sum, [, batches]) => sum + batches, 0)).toBe(
          gaps.length,
        );
        expect(groups.every(([when]) => when <= at)).toBe(true);
      },
    ),
  ));

const batch = {} as ColumnBatch;
const stampOf = (index: number) => ({ stream: 7, index }) as CheckpointStamp;

function createScene() {
  const told: WriteMeasured[] = [];
  const done: string[] = [];
  const factory: WriterFactory = {
    createWriter: () => ({
      write: () => void done.push("write"),
      seal: async () => [],
      discard: async () => void done.push("discard"),
      abandon: () => void done.push("abandon"),
    }),
    close: async () => void done.push("close"),
  };
  const clock = new WriteClock((fact) => told.push(fact));
  const target = { stream: { schema: { number: 7 } } } as WriterTarget;
  const watched = clock.watch(factory);
  const batches = () =>
    told.map(({ committed }) =>
      committed.reduce((sum, [, count]) => sum + count, 0),
    );
  return {
    clock,
    watched,
    writer: watched.createWriter(target),
    done,
    batches,
    told,
  };
}

test("a checkpoint is told with its own batches, though the next ones have come meanwhile", async () => {
  const { clock, writer, batches, told } = createScene();
  await writer.write(batch);
  await writer.write(batch);
  const first = writer.seal(stampOf(1));
  await writer.write(batch);
  await first;
  told.length = 0;
  clock.tellSealed(stampOf(1));
  expect(batches()).toEqual([2]);
  await writer.seal(stampOf(2));
  told.length = 0;
  clock.tellSealed(stampOf(2));
  clock.tellSealed(stampOf(3));
  expect(batches()).toEqual([1, 0]);
  expect(told.every(({ stream }) => stream === 7)).toBe(true);
});

test("what is discarded was never committed, and everything reaches the writer", async () => {
  const { clock, watched, writer, done, batches, told } = createScene();
  await writer.write(batch);
  await writer.discard();
  await writer.seal(stampOf(1));
  writer.abandon();
  await watched.close();
  told.length = 0;
  clock.tellSealed(stampOf(1));
  expect(batches()).toEqual([0]);
  expect(done).toEqual(["write", "discard", "abandon", "close"]);
});
