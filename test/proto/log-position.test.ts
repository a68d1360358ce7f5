import { expect, test } from "vitest";
import {
  asSnapshot,
  commitOf,
  isLogPosition,
  positionBehind,
  positionOfSnapshot,
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
