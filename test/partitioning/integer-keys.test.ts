import fc from "fast-check";
import { expect, test } from "vitest";
import {
  splitIntegerKeys,
  type IntegerSplit,
} from "../../partitioning/integer-keys.ts";

const int64 = fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n });

function contains(split: IntegerSplit, key: bigint): boolean {
  return (
    (split.start === null || key >= split.start) &&
    (split.end === null || key < split.end)
  );
}

test.for([
  {
    name: "one key is one open split",
    min: 7n,
    max: 7n,
    count: 4,
    starts: [null],
  },
  {
    name: "an even space is cut evenly",
    min: 0n,
    max: 99n,
    count: 4,
    starts: [null, 25n, 50n, 75n],
  },
  { name: "keys below zero", min: -10n, max: 9n, count: 2, starts: [null, 0n] },
  {
    name: "fewer keys than splits",
    min: 1n,
    max: 3n,
    count: 9,
    starts: [null, 2n, 3n],
  },
  {
    name: "the whole of int8",
    min: -(2n ** 63n),
    max: 2n ** 63n - 1n,
    count: 2,
    starts: [null, 0n],
  },
])("$name", ({ min, max, count, starts }) => {
  const splits = splitIntegerKeys(min, max, count);
  expect(splits.map((split) => split.start)).toEqual(starts);
  expect(splits.map((split) => split.end)).toEqual([...starts.slice(1), null]);
});

test("every key, seen or not, belongs to exactly one split", () =>
  fc.assert(
    fc.property(
      int64,
      int64,
      fc.integer({ min: 1, max: 64 }),
      int64,
      (a, b, count, key) => {
        const splits = splitIntegerKeys(a < b ? a : b, a < b ? b : a, count);
        expect(splits.filter((split) => contains(split, key))).toHaveLength(1);
        expect(splits.length).toBeLessThanOrEqual(count);
      },
    ),
  ));

test("an empty space and a count of none are refused", () => {
  expect(() => splitIntegerKeys(2n, 1n, 1)).toThrow(RangeError);
  expect(() => splitIntegerKeys(1n, 2n, 0)).toThrow(RangeError);
});
