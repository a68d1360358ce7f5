import { expect, test } from "vitest";
import { StateBuilder, stateJson } from "../../checkpoint/state.ts";
import { makeStamp } from "./stamps.ts";

test("a state is cumulative: partitions done, positions of the open ones, rows", () => {
  const builder = new StateBuilder(1);
  builder.apply(makeStamp({ index: 1, partition: 2 }));
  builder.apply(makeStamp({ index: 2, partition: 0, last: true, rows: 5 }));
  builder.skip(3);
  expect(builder.apply(makeStamp({ index: 4, partition: 1 }))).toEqual({
    stream: 1,
    index: 4,
    done: [0],
    open: [
      { partition: 1, position: { kind: "key", after: ["4"] } },
      { partition: 2, position: { kind: "key", after: ["1"] } },
    ],
    rows: 25,
  });
});

test("a state that was handed out does not change afterwards", () => {
  const builder = new StateBuilder(1);
  const first = builder.apply(makeStamp({ index: 1, last: true }));
  const text = stateJson(first);
  builder.apply(makeStamp({ index: 2, partition: 1, last: true }));
  expect(stateJson(first)).toBe(text);
});

test("complete partitions are listed ascending in whatever order they end", () => {
  const builder = new StateBuilder(1, { done: [7, 3], open: [] });
  [9, 5, 0].forEach((partition, at) =>
    builder.apply(makeStamp({ index: at + 1, partition, last: true })),
  );
  const state = builder.apply(
    makeStamp({ index: 4, partition: 4, last: true }),
  );
  expect(state.done).toEqual([0, 3, 4, 5, 7, 9]);
});

test("the texts of equal states are equal however their positions were made", () => {
  const text = (position: { kind: "key"; after: string[] }): string => {
    const builder = new StateBuilder(1);
    return stateJson(builder.apply(makeStamp({ index: 1, position })));
  };
  expect(text({ after: ["1"], kind: "key" })).toBe(
    text({ kind: "key", after: ["1"] }),
  );
  expect(text({ kind: "key", after: ["1"] })).not.toBe(
    text({ kind: "key", after: ["01"] }),
  );
});

test("the seed stands in the first state, and its partitions go on or stay done", () => {
  const seed = {
    done: [3],
    open: [{ partition: 1, position: { kind: "key" as const, after: ["40"] } }],
  };
  const builder = new StateBuilder(1, seed);
  const state = builder.apply(
    makeStamp({ index: 1, partition: 1, last: true }),
  );
  expect(state).toMatchObject({ done: [1, 3], open: [], rows: 10 });
  expect(() => builder.apply(makeStamp({ index: 2, partition: 3 }))).toThrow(
    expect.objectContaining({ code: "CHECKPOINT_MISMATCH" }),
  );
});

const refused = {
  "an index out of order": [makeStamp({ index: 2 })],
  "an index twice": [makeStamp({ index: 1 }), makeStamp({ index: 1 })],
  "anything after a partition's last": [
    makeStamp({ index: 1, last: true }),
    makeStamp({ index: 2 }),
  ],
  "a sequence that does not ascend": [
    makeStamp({ index: 1, sequence: 4 }),
    makeStamp({ index: 2, sequence: 4 }),
  ],
  "an older attempt after a newer": [
    makeStamp({ index: 1, attempt: 2 }),
    makeStamp({ index: 2, attempt: 1 }),
  ],
  "a new attempt after durable rows that it reads again": [
    makeStamp({ index: 1, position: null }),
    makeStamp({ index: 2, attempt: 2, sequence: 1 }),
  ],
  "another stream": [makeStamp({ index: 1, stream: 2 })],
  "rows below zero": [makeStamp({ index: 1, rows: -1 })],
  "bytes that are no whole number": [makeStamp({ index: 1, bytes: 1.5 })],
  "rows that overflow": [
    makeStamp({ index: 1, rows: Number.MAX_SAFE_INTEGER }),
    makeStamp({ index: 2, rows: 1 }),
  ],
};
test.for(Object.entries(refused))("refused: %s", ([, stamps]) => {
  const builder = new StateBuilder(1);
  for (const stamp of stamps.slice(0, -1)) builder.apply(stamp);
  const last = stamps.at(-1);
  expect(last).toBeDefined();
  expect(() => last && builder.apply(last)).toThrow(
    expect.objectContaining({ code: "CHECKPOINT_MISMATCH" }),
  );
});

test("a new attempt may begin its sequence anew", () => {
  const builder = new StateBuilder(1);
  builder.apply(makeStamp({ index: 1, sequence: 9 }));
  const state = builder.apply(
    makeStamp({ index: 2, attempt: 2, sequence: 1, last: true }),
  );
  expect(state.done).toEqual([0]);
});
