import fc from "fast-check";
import { expect, test } from "vitest";
import { cutAtQuantiles, equalKeys } from "../../partitioning/quantiles.ts";

const keysOf = (...numbers: number[]) => numbers.map((n) => [String(n)]);

test.for([
  { name: "nothing sampled, nothing cut", keys: [], count: 4, bounds: [] },
  {
    name: "a single value cannot be cut",
    keys: keysOf(5, 5, 5),
    count: 4,
    bounds: [],
  },
  {
    name: "even quarters",
    keys: keysOf(1, 2, 3, 4, 5, 6, 7, 8),
    count: 4,
    bounds: keysOf(3, 5, 7),
  },
  {
    name: "repeats are one bound",
    keys: keysOf(1, 2, 2, 2, 2, 3),
    count: 6,
    bounds: keysOf(2, 3),
  },
  {
    name: "fewer keys than parts",
    keys: keysOf(1, 2, 3),
    count: 10,
    bounds: keysOf(2, 3),
  },
  {
    name: "one part has no bounds",
    keys: keysOf(1, 2, 3),
    count: 1,
    bounds: [],
  },
])("$name", ({ keys, count, bounds }) => {
  expect(cutAtQuantiles(keys, count)).toEqual(bounds);
});

test("a skewed sample gives parts of even row counts", () => {
  // 990 keys in 0..989, 10 keys spread up to a million
  const sampled = keysOf(
    ...Array.from({ length: 990 }, (_, i) => i),
    ...Array.from({ length: 10 }, (_, i) => 100_000 * (i + 1)),
  );
  const bounds = cutAtQuantiles(sampled, 10).map(([text]) => Number(text));
  const parts = [-Infinity, ...bounds].map(
    (start, i) =>
      sampled.filter(
        ([text]) =>
          Number(text) >= start && Number(text) < (bounds[i] ?? Infinity),
      ).length,
  );
  expect(parts).toEqual(Array.from({ length: 10 }, () => 100));
});

test("bounds are strictly ascending, sampled, and above the lowest key", () =>
  fc.assert(
    fc.property(
      fc.array(fc.integer({ min: 0, max: 50 })),
      fc.integer({ min: 1, max: 40 }),
      (numbers, count) => {
        const sampled = keysOf(...numbers.sort((a, b) => a - b));
        const bounds = cutAtQuantiles(sampled, count);
        expect(bounds.length).toBeLessThan(count);
        let before = Number(sampled[0]?.[0]);
        for (const bound of bounds) {
          expect(sampled.some((key) => equalKeys(key, bound))).toBe(true);
          expect(Number(bound[0])).toBeGreaterThan(before);
          before = Number(bound[0]);
        }
      },
    ),
  ));

test("keys are equal column by column, not as one text", () => {
  expect(equalKeys(["a", "b"], ["a", "b"])).toBe(true);
  expect(equalKeys(["a,b"], ["a", "b"])).toBe(false);
  expect(equalKeys(["a", "b"], ["b", "a"])).toBe(false);
});
