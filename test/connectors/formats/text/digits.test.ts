import fc from "fast-check";
import { describe, expect, test } from "vitest";
import {
  formatDecimal,
  writeDecimal64,
  writeInt64,
  writePadded,
  writeUnsigned,
} from "../../../../connectors/formats/text/digits.ts";
import {
  formatFloat32,
  writeFloat32,
  writeFloat64,
} from "../../../../connectors/formats/text/floats.ts";

function capture(write: (out: Uint8Array, at: number) => number): string {
  const out = new Uint8Array(80);
  return Buffer.from(out.buffer, 1, write(out, 1) - 1).toString("latin1");
}

function halves(value: bigint): [low: number, high: number] {
  return [
    Number(BigInt.asIntN(32, value)),
    Number(BigInt.asIntN(64, value) >> 32n),
  ];
}

const int64 = fc.oneof(
  fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n }),
  fc
    .tuple(
      fc.integer({ min: 0, max: 62 }),
      fc.integer({ min: -2, max: 2 }),
      fc.boolean(),
    )
    .map(
      ([power, near, negative]) =>
        (2n ** BigInt(power) + BigInt(near)) * (negative ? -1n : 1n),
    ),
  fc
    .tuple(
      fc.integer({ min: 0, max: 18 }),
      fc.integer({ min: -2, max: 2 }),
      fc.boolean(),
    )
    .map(
      ([power, near, negative]) =>
        (10n ** BigInt(power) + BigInt(near)) * (negative ? -1n : 1n),
    ),
);

test("an int64 is written as BigInt prints it", () =>
  fc.assert(
    fc.property(int64, (value) => {
      expect(capture((out, at) => writeInt64(out, at, ...halves(value)))).toBe(
        String(value),
      );
    }),
    { numRuns: 2000 },
  ));

test("a uint64 is written as BigInt prints it", () =>
  fc.assert(
    fc.property(fc.bigInt({ min: 0n, max: 2n ** 64n - 1n }), (value) => {
      const [low, high] = halves(value);
      expect(capture((out, at) => writeInt64(out, at, low, high >>> 0))).toBe(
        String(value),
      );
    }),
  ));

test("a decimal is its digits with a point", () =>
  fc.assert(
    fc.property(int64, fc.integer({ min: 0, max: 18 }), (value, scale) => {
      expect(
        capture((out, at) => writeDecimal64(out, at, ...halves(value), scale)),
      ).toBe(formatDecimal(value, scale));
    }),
    { numRuns: 2000 },
  ));

test.for([
  { unscaled: 0n, scale: 2, text: "0.00" },
  { unscaled: -5n, scale: 2, text: "-0.05" },
  { unscaled: 12345n, scale: 0, text: "12345" },
  { unscaled: -12345n, scale: 5, text: "-0.12345" },
  { unscaled: 10n ** 37n, scale: 38, text: `0.${"1".padEnd(38, "0")}` },
])("$unscaled at scale $scale is $text", ({ unscaled, scale, text }) =>
  expect(formatDecimal(unscaled, scale)).toBe(text),
);

test("numbers up to 2^53 are written in full and padded", () =>
  fc.assert(
    fc.property(
      fc.maxSafeNat(),
      fc.integer({ min: 0, max: 2 }),
      (value, extra) => {
        expect(capture((out, at) => writeUnsigned(out, at, value))).toBe(
          String(value),
        );
        const digits = String(value).length + extra;
        expect(capture((out, at) => writePadded(out, at, value, digits))).toBe(
          String(value).padStart(digits, "0"),
        );
      },
    ),
  ));

describe("floats read back to the same number", () => {
  const hundredths = fc.integer().map((value) => value / 100);

  test("float64, in the shortest form", () =>
    fc.assert(
      fc.property(
        fc.oneof(
          fc.double({ noNaN: true, noDefaultInfinity: true }),
          hundredths,
        ),
        (value) => {
          const text = capture((out, at) => writeFloat64(out, at, value));
          expect(Number(text)).toBe(value);
          if (!Object.is(value, -0)) expect(text).toBe(String(value));
        },
      ),
      { numRuns: 2000 },
    ));

  test("float32, in no more than nine digits", () =>
    fc.assert(
      fc.property(
        fc.float({ noNaN: true, noDefaultInfinity: true }),
        (value) => {
          const text = capture((out, at) => writeFloat32(out, at, value));
          expect(Math.fround(Number(text))).toBe(value);
          expect(
            text
              .replace(/e.*$/, "")
              .replace(/[-.]/g, "")
              .replace(/^0+/, "")
              .replace(/0+$/, "").length,
          ).toBeLessThanOrEqual(9);
        },
      ),
      { numRuns: 2000 },
    ));

  test.for([
    { value: 0.1, text: "0.1" },
    { value: 16_777_216, text: "16777216" },
    { value: 3.4028234663852886e38, text: "3.4028235e+38" },
  ])("the float32 nearest to $value is $text", ({ value, text }) =>
    expect(formatFloat32(Math.fround(value))).toBe(text),
  );
});
