import { expect, test } from "vitest";
import { LogApplies } from "../../daemon/log-applies.ts";

/** Orders as they come; streams of `waiting` cannot be shown yet. */
function createApplies(waiting = new Set<number>()) {
  const orders: string[] = [];
  const applies = new LogApplies((stream, upTo) => {
    if (waiting.has(stream)) return false;
    orders.push(`${stream} up to ${upTo}`);
    return true;
  });
  return { applies, orders, waiting };
}

test("one step of a stream at a time, and the next one with all that has come meanwhile", () => {
  const { applies, orders } = createApplies();
  applies.note(1);
  applies.show("a");
  applies.note(1);
  applies.show("b");
  applies.note(1);
  applies.show("c");
  expect(orders).toEqual(["1 up to a"]);
  applies.noteApplied(1);
  applies.noteApplied(1);
  expect(orders).toEqual(["1 up to a", "1 up to c"]);
});

test("a stream with nothing new is left alone", () => {
  const { applies, orders } = createApplies();
  applies.note(1);
  applies.note(2);
  applies.show("a");
  applies.noteApplied(1);
  applies.noteApplied(2);
  applies.note(2);
  applies.show("b");
  expect(orders).toEqual(["1 up to a", "2 up to a", "2 up to b"]);
});

test("a stream whose snapshot is not durable yet is shown later, whether it changes or not", () => {
  const { applies, orders, waiting } = createApplies(new Set([2]));
  applies.note(1);
  applies.note(2);
  applies.show("a");
  expect(orders).toEqual(["1 up to a"]);
  expect(applies.isUnshown(1)).toBe(false);
  expect(applies.isUnshown(2)).toBe(true);
  waiting.clear();
  applies.show("b");
  expect(orders).toEqual(["1 up to a", "2 up to b"]);
  expect(applies.isUnshown(2)).toBe(false);
});

test("a commit waits for the step that is under way, and nothing is shown behind it", () => {
  const { applies, orders } = createApplies();
  applies.note(1);
  applies.show("a");
  applies.note(1);
  applies.show("b");
  applies.afterwards(1, () => orders.push("commit"));
  expect(orders).toEqual(["1 up to a"]);
  applies.noteApplied(1);
  applies.note(1);
  applies.show("c");
  expect(orders).toEqual(["1 up to a", "commit"]);
});
