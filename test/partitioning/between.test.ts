import fc from "fast-check";
import { describe, expect, test } from "vitest";
import {
  betweenBytes,
  betweenDecimals,
  betweenIntegers,
  betweenTexts,
} from "../../partitioning/between.ts";

const int64 = fc.bigInt({ min: -(2n ** 63n), max: 2n ** 64n - 1n });

test("an integer between two lies above the lower and not above the higher", () =>
  fc.assert(
    fc.property(int64, int64, (a, b) => {
      fc.pre(a !== b);
      const [low, high] = a < b ? [a, b] : [b, a];
      const middle = betweenIntegers(low, high);
      expect(middle > low && middle <= high).toBe(true);
    }),
  ));

test.for([
  { low: "1", high: "2", middle: "1.5" },
  { low: "-1.50", high: "1.50", middle: "0.000" },
  { low: "-0.01", high: "0.00", middle: "-0.005" },
  {
    low: "9999999999999999999999.9",
    high: "10000000000000000000000",
    middle: "9999999999999999999999.95",
  },
  { low: "1e5", high: "2", middle: null },
])("between the decimals $low and $high is $middle", ({ low, high, middle }) =>
  expect(betweenDecimals(low, high)).toBe(middle),
);

test("bytes between two are between them, a shorter one filled up with zeros", () =>
  fc.assert(
    fc.property(
      fc.uint8Array({ maxLength: 6 }),
      fc.uint8Array({ maxLength: 6 }),
      (a, b) => {
        const [low = "", high = ""] = [a, b]
          .map((bytes) => Buffer.from(bytes).toString("hex").padEnd(12, "0"))
          .sort();
        const middle = betweenBytes(low, high);
        expect(middle.length % 2).toBe(0);
        expect(low.padEnd(14, "0") <= middle).toBe(true);
        expect(middle <= high.padEnd(14, "0")).toBe(true);
      },
    ),
  ));

describe("texts", () => {
  const letters = Array.from("abcdefghijklmnopqrstuvwxyz", (one) => [
    one,
    one.toUpperCase(),
  ]);
  const fold = (text: string) => text.toLowerCase();

  test.for([
    { low: "a", high: "z", middle: /^m/ },
    { low: "Apple", high: "zebra", middle: /^[lmn]/ },
    { low: "customers-aa", high: "customers-zz", middle: /^customers-[mn]/ },
    { low: "", high: "z", middle: /^[a-z]/ },
    { low: "same", high: "same", middle: /^same$/ },
    // equal to the server, so both begin alike
    { low: "Ab1", high: "aBz", middle: /^Ab./ },
  ])("between $low and $high is $middle", ({ low, high, middle }) =>
    expect(betweenTexts(low, high, letters)).toMatch(middle),
  );

  test("of an alphabet's characters are between, as it orders them, or equal to the lower", () => {
    const word = fc.string({
      unit: fc.constantFrom(...letters.flat()),
      maxLength: 5,
    });
    fc.assert(
      fc.property(word, word, (a, b) => {
        const [low, high] = fold(a) < fold(b) ? [a, b] : [b, a];
        const middle = fold(betweenTexts(low, high, letters));
        expect(middle >= fold(low) && middle <= fold(high)).toBe(true);
      }),
    );
  });

  test("of characters that no alphabet has are texts all the same", () =>
    fc.assert(
      fc.property(fc.string({ unit: "grapheme" }), fc.string(), (a, b) => {
        expect(typeof betweenTexts(a, b, letters)).toBe("string");
      }),
    ));
});
