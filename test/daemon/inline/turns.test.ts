import { setImmediate as nextTurn } from "node:timers/promises";
import { expect, test } from "vitest";
import { Turns } from "../../../daemon/inline/turns.ts";

/** Longer than a turn's share. */
function work(): void {
  const until = performance.now() + 6;
  while (performance.now() < until);
}

test("work is done in its order, and others have their turn in between", async () => {
  const turns = new Turns();
  const did: string[] = [];
  for (const name of ["a", "b", "c"])
    turns.add(() => {
      work();
      did.push(name);
    });
  expect(did).toEqual([]);
  await nextTurn();
  expect(did).toEqual(["a"]);
  await nextTurn();
  expect(did).toEqual(["a", "b"]);
  turns.add(() => did.push("d"));
  while (did.length < 4) await nextTurn();
  expect(did).toEqual(["a", "b", "c", "d"]);
});

test("short work shares a turn, and what adds to itself does not keep others out", async () => {
  const turns = new Turns();
  let count = 0;
  const again = (): void => {
    count += 1;
    turns.add(again);
  };
  turns.add(again);
  await nextTurn();
  expect(count).toBeGreaterThan(1);
  const before = count;
  await nextTurn();
  expect(count).toBeGreaterThan(before);
});
