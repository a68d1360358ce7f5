import fc from "fast-check";
import { expect, test } from "vitest";
import {
  writeDate,
  writeTime,
  writeTimestamp,
} from "../../../../connectors/formats/text/calendar.ts";

function capture(write: (out: Uint8Array) => number): string {
  const out = new Uint8Array(64);
  return Buffer.from(out.buffer, 0, write(out)).toString("latin1");
}

function printTimestamp(value: bigint, unitsPerSecond: number): string {
  const low = Number(BigInt.asIntN(32, value));
  const high = Number(value >> 32n);
  return capture((out) => writeTimestamp(out, 0, low, high, unitsPerSecond));
}

/** 0001-01-01 to 9999-12-31, where `Date` prints four digits. */
const ordinaryDays = fc.integer({ min: -719_162, max: 2_932_896 });

test("a date is printed as Date prints it", () =>
  fc.assert(
    fc.property(ordinaryDays, (days) => {
      const expected = new Date(days * 86_400_000).toISOString().slice(0, 10);
      expect(capture((out) => writeDate(out, 0, days))).toBe(expected);
    }),
    { numRuns: 5000 },
  ));

test.for([
  { days: 11_016, text: "2000-02-29" },
  { days: -25_510, text: "1900-02-27" },
  { days: -25_509, text: "1900-02-28" },
  { days: -25_508, text: "1900-03-01" },
  { days: -719_528, text: "0000-01-01" },
  { days: -719_529, text: "-0001-12-31" },
  { days: 2_932_897, text: "10000-01-01" },
  { days: 2_147_483_647, text: "5881580-07-11" },
  { days: -2_147_483_648, text: "-5877641-06-23" },
])("day $days is $text", ({ days, text }) =>
  expect(capture((out) => writeDate(out, 0, days))).toBe(text),
);

test("a timestamp is printed as Date prints it, and micro- or nanoseconds", () =>
  fc.assert(
    fc.property(
      ordinaryDays,
      fc.bigInt({ min: 0n, max: 86_399_999_999_999n }),
      (days, nanos) => {
        const micros = nanos / 1000n;
        const date = new Date(days * 86_400_000 + Number(micros / 1000n));
        const milliseconds = date.toISOString().slice(0, 23);
        expect(
          printTimestamp(BigInt(days) * 86_400_000_000n + micros, 1e6),
        ).toBe(milliseconds + String(micros % 1000n).padStart(3, "0"));
        // int64 nanoseconds reach from 1677 to 2262
        if (Math.abs(days) > 100_000) return;
        expect(
          printTimestamp(BigInt(days) * 86_400_000_000_000n + nanos, 1e9),
        ).toBe(milliseconds + String(nanos % 1_000_000n).padStart(6, "0"));
      },
    ),
    { numRuns: 2000 },
  ));

test.for([
  { value: -1n, unit: 1e6, text: "1969-12-31T23:59:59.999999" },
  { value: -1n, unit: 1e9, text: "1969-12-31T23:59:59.999999999" },
  { value: 2n ** 63n - 1n, unit: 1e6, text: "294247-01-10T04:00:54.775807" },
  { value: -(2n ** 63n), unit: 1e6, text: "-290308-12-21T19:59:05.224192" },
  { value: 2n ** 63n - 1n, unit: 1e9, text: "2262-04-11T23:47:16.854775807" },
  { value: -(2n ** 63n), unit: 1e9, text: "1677-09-21T00:12:43.145224192" },
])("$value in units of 1 / $unit is $text", ({ value, unit, text }) =>
  expect(printTimestamp(value, unit)).toBe(text),
);

test.for([
  { value: 0, unit: 1e6, text: "00:00:00.000000" },
  { value: 86_399_999_999, unit: 1e6, text: "23:59:59.999999" },
  { value: 86_400_000_000, unit: 1e6, text: "24:00:00.000000" },
  { value: 3_723_000_000_004, unit: 1e9, text: "01:02:03.000000004" },
])("the time $value in units of 1 / $unit is $text", ({ value, unit, text }) =>
  expect(capture((out) => writeTime(out, 0, value, unit))).toBe(text),
);
