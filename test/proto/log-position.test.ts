import fc from "fast-check";
import { expect, test } from "vitest";
import {
  asSnapshot,
  commitOf,
  formatCommit,
  formatFileCommit,
  formatPosition,
  isLogPosition,
  LAST_NUMBER,
  positionBehind,
  positionOfSnapshot,
  readFileCommit,
  type LogPosition,
} from "../../proto/log-position.ts";

const commit = (lsn: number) => lsn.toString(16).padStart(20, "0");

test("positions compare as the log goes, a later log behind every earlier one", () => {
  const ascending = [
    positionOfSnapshot(1, commit(9)),
    `00000001-${commit(9)}-0000000002`,
    positionBehind(1, commit(9)),
    positionOfSnapshot(1, commit(10)),
    positionBehind(1, commit(4_096)),
    positionOfSnapshot(2, commit(1)),
    positionOfSnapshot(17, commit(1)),
  ];
  expect(ascending.every(isLogPosition)).toBe(true);
  expect(ascending.toSorted()).toEqual(ascending);
});

test("a place is taken apart again", () => {
  const behind = positionBehind(3, commit(255));
  expect(commitOf(behind)).toBe(commit(255));
  expect(asSnapshot(behind)).toBe(positionOfSnapshot(3, commit(255)));
});

test("what is no place is not taken for one", () => {
  expect(isLogPosition("1-2-3")).toBe(false);
  expect(() => commitOf("1-2-3")).toThrow("not a position");
  expect(() => positionBehind(0, commit(1))).toThrow();
  expect(() => positionBehind(1, "short")).toThrow("not a position");
});

const place = fc.record({
  epoch: fc.integer({ min: 0, max: 2 ** 32 - 1 }),
  commit: fc.bigInt({ min: 0n, max: 2n ** 80n - 1n }).map(formatCommit),
  number: fc.integer({ min: 0, max: LAST_NUMBER }),
});

test("positions compare as epoch, commit and number do", () =>
  fc.assert(
    fc.property(place, place, (a, b) => {
      const order = ({ epoch, commit: at, number }: LogPosition): bigint =>
        (BigInt(epoch) << 120n) | (BigInt(`0x${at}`) << 40n) | BigInt(number);
      expect(formatPosition(a) < formatPosition(b)).toBe(order(a) < order(b));
    }),
  ));

test("the file of a log counts more than the place in it", () => {
  expect(formatFileCommit(12, 345n)).toBe("0000000c000000000159");
  expect(formatFileCommit(2 ** 32 - 1, 2n ** 48n - 1n)).toBe("f".repeat(20));
  expect(() => formatFileCommit(1, 2n ** 48n)).toThrow("place");
  expect(() => formatCommit(2n ** 80n)).toThrow("place");
});

test("a place in a numbered file is read back", () =>
  fc.assert(
    fc.property(
      fc.nat(2 ** 31 - 1),
      fc.nat(2 ** 31 - 1),
      fc.nat(2 ** 16 - 1),
      (file, low, high) => {
        const offset = high * 2 ** 31 + low;
        const commit = formatFileCommit(file, BigInt(offset));
        expect(readFileCommit(commit)).toEqual({ file, offset });
      },
    ),
  ));
