import fc from "fast-check";
import { expect, test } from "vitest";
import { PagePacer } from "../../../../connectors/sources/postgres/page-pacer.ts";
import type { PageRange } from "../../../../connectors/sources/postgres/read-query.ts";

function cutAll(pacer: PagePacer): PageRange[] {
  const ranges: PageRange[] = [];
  for (;;) {
    ranges.push(pacer.next());
    if (pacer.finishRange() === null) return ranges;
  }
}

test("the queries of a range touch, and cover it from end to end", () => {
  const ranges = fc.record({
    start: fc.nat(100_000),
    length: fc.option(fc.nat(100_000)),
    knownPages: fc.nat(200_000),
    firstPages: fc.integer({ min: 1, max: 20_000 }),
  });
  fc.assert(
    fc.property(ranges, ({ start, length, knownPages, firstPages }) => {
      const end = length === null ? null : start + length;
      const cuts = cutAll(
        new PagePacer(start, end, knownPages, undefined, firstPages),
      );
      expect(cuts[0]?.start).toBe(start);
      expect(cuts.at(-1)?.end).toBe(end);
      for (const [index, cut] of cuts.entries()) {
        if (index > 0) expect(cut.start).toBe(cuts[index - 1]?.end);
        if (cut.end !== null) expect(cut.end).toBeGreaterThanOrEqual(cut.start);
      }
    }),
  );
});

test("a small table is one query without a bound", () => {
  expect(cutAll(new PagePacer(0, null, 100))).toEqual([
    { start: 0, end: null },
  ]);
});

test("the first query is shorter where checkpoints are close together", () => {
  const pacer = new PagePacer(0, 4_096, 4_096, 100);
  expect(pacer.next()).toEqual({ start: 0, end: 410 });
});
