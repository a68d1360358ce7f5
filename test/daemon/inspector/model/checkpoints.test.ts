import { expect, test } from "vitest";
import {
  Checkpoints,
  CHECKPOINTS_MAX,
} from "../../../../daemon/inspector/model/checkpoints.ts";

const step = (
  name: "announced" | "durable" | "released" | "voided",
  index: number,
) =>
  ({
    type: "checkpoint",
    step: name,
    stream: 1,
    index,
    partition: 0,
    rows: 10,
    bytes: 100,
    position: null,
    isLast: false,
  }) as const;

test("what came out of order is counted, and waits for the lower index", () => {
  const checkpoints = new Checkpoints();
  for (const [at, index] of [2, 3, 1, 4].entries())
    checkpoints.apply(step("durable", index), 1, at);
  checkpoints.apply(step("released", 3), 1, 10);
  const of = checkpoints.streams.get(1);
  expect(of).toMatchObject({
    received: 4,
    released: 3,
    reordered: 1,
    releasedIndex: 3,
  });
  expect(
    of?.recent.map(({ index, arrival, releasedAt }) => [
      index,
      arrival,
      releasedAt,
    ]),
  ).toEqual([
    [1, 3, 10],
    [2, 1, 10],
    [3, 2, 10],
    [4, 4, null],
  ]);
});

test("one that is told twice counts once", () => {
  const checkpoints = new Checkpoints();
  checkpoints.apply(step("durable", 1), 1, 1);
  checkpoints.apply(step("durable", 1), 1, 2);
  expect(checkpoints.streams.get(1)).toMatchObject({ received: 1 });
});

test("only the newest are kept, and one older than those changes nothing", () => {
  const checkpoints = new Checkpoints();
  for (let index = 1; index <= CHECKPOINTS_MAX + 50; index++)
    checkpoints.apply(step("durable", index), 1, index);
  checkpoints.apply(step("announced", 1), 1, 9_999);
  const recent = checkpoints.streams.get(1)?.recent ?? [];
  expect(recent).toHaveLength(CHECKPOINTS_MAX);
  expect(recent[0]?.index).toBe(51);
});

test("another attempt counts its indexes anew", () => {
  const checkpoints = new Checkpoints();
  checkpoints.apply(step("durable", 7), 1, 1);
  checkpoints.begin(2);
  expect(checkpoints.streams.size).toBe(0);
});
