import { expect, test } from "vitest";

import { mapBounded } from "../../../../connectors/destinations/layout/bounded.ts";

async function waitTurns(turns: number): Promise<void> {
  for (let turn = 0; turn < turns; turn += 1)
    await new Promise((resolve) => setImmediate(resolve));
}

test("work is done for each item, in results' order, a few at once", async () => {
  let running = 0;
  let runningMost = 0;
  const items = Array.from({ length: 50 }, (_, item) => item);
  const results = await mapBounded(items, 4, async (item) => {
    running += 1;
    runningMost = Math.max(runningMost, running);
    await waitTurns(1 + (item % 5));
    running -= 1;
    return item * 2;
  });
  expect(results).toEqual(items.map((item) => item * 2));
  expect(runningMost).toBe(4);
});

test("a failure is told when what is under way has ended, and nothing is begun behind it", async () => {
  const begun: number[] = [];
  const ended: number[] = [];
  const working = mapBounded([0, 1, 2, 3, 4, 5], 3, async (item) => {
    begun.push(item);
    await waitTurns(item === 1 ? 1 : 5);
    if (item === 1) throw new Error("one failed");
    ended.push(item);
  });
  await expect(working).rejects.toThrow("one failed");
  expect(begun).toEqual([0, 1, 2]);
  expect(new Set(ended)).toEqual(new Set([0, 2]));
});
