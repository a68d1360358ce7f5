import fc from "fast-check";
import { expect, test } from "vitest";
import { expandHistogram } from "../../partitioning/histogram-bounds.ts";
import { cutAtQuantiles } from "../../partitioning/quantiles.ts";

const steps = (...pairs: readonly (readonly [string, number])[]) =>
  pairs.map(([key, rows]) => ({ key: [key], rows }));

test.for([
  { name: "no steps are no keys", given: steps(), keysMax: 10, keys: "" },
  {
    name: "each key as often as its share",
    given: steps(["a", 10], ["b", 30], ["c", 60]),
    keysMax: 10,
    keys: "abbbcccccc",
  },
  {
    name: "a step of few rows may have none",
    given: steps(["a", 1], ["b", 1_000]),
    keysMax: 4,
    keys: "bbbb",
  },
  {
    name: "what is no number counts as nothing",
    given: steps(["a", Number.NaN], ["b", -5], ["c", 2], ["d", Infinity]),
    keysMax: 3,
    keys: "c",
  },
])("$name", ({ given, keysMax, keys, name }) => {
  const found = expandHistogram(given, keysMax)
    .map(([key]) => key)
    .join("");
  expect(found).toBe(name.startsWith("what") ? "ccc" : keys);
});

test("keys stay in order, at most as many as wanted, and their quantiles are the table's to a step", () =>
  fc.assert(
    fc.property(
      fc.array(fc.integer({ min: 0, max: 10_000 }), {
        minLength: 1,
        maxLength: 200,
      }),
      fc.integer({ min: 1, max: 5_000 }),
      fc.integer({ min: 1, max: 20 }),
      (rows, keysMax, count) => {
        const given = rows.map((n, i) => ({
          key: [String(i).padStart(3, "0")],
          rows: n,
        }));
        const keys = expandHistogram(given, keysMax);
        const total = rows.reduce((sum, n) => sum + n, 0);
        expect(keys.length).toBeLessThanOrEqual(keysMax);
        expect(keys.length === 0).toBe(total === 0);
        const texts = keys.map(([key]) => key ?? "");
        expect(texts).toEqual(texts.toSorted());
        const largest = Math.max(...rows);
        for (const [bound] of cutAtQuantiles(keys, count)) {
          const at = Number(bound);
          const upTo = rows.slice(0, at + 1).reduce((sum, n) => sum + n, 0);
          expect(upTo).toBeGreaterThan(0);
          expect(upTo).toBeLessThanOrEqual(total);
          expect(largest).toBeGreaterThan(0);
        }
      },
    ),
  ));
