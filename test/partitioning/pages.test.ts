import fc from "fast-check";
import { expect, test } from "vitest";
import { splitPages } from "../../partitioning/pages.ts";

test.for([
  { name: "an empty heap is one open range", pages: 0, count: 5, starts: [0] },
  { name: "one page", pages: 1, count: 5, starts: [0] },
  { name: "even", pages: 100, count: 4, starts: [0, 25, 50, 75] },
  { name: "uneven", pages: 10, count: 3, starts: [0, 3, 6] },
])("$name", ({ pages, count, starts }) => {
  const splits = splitPages(pages, count);
  expect(splits.map((split) => split.startPage)).toEqual(starts);
  expect(splits.map((split) => split.endPage)).toEqual([
    ...starts.slice(1),
    null,
  ]);
});

test("every page, counted or added since, belongs to exactly one split", () =>
  fc.assert(
    fc.property(
      fc.nat(2 ** 32 - 2),
      fc.integer({ min: 1, max: 4_096 }),
      fc.nat(2 ** 32 - 2),
      (pages, count, page) => {
        const owners = splitPages(pages, count).filter(
          (split) =>
            page >= split.startPage &&
            (split.endPage === null || page < split.endPage),
        );
        expect(owners).toHaveLength(1);
      },
    ),
    { numRuns: 50 },
  ));

test("negative and unknown sizes are refused", () => {
  expect(() => splitPages(-1, 1)).toThrow(RangeError);
  expect(() => splitPages(Number.NaN, 1)).toThrow(RangeError);
  expect(() => splitPages(1, 0)).toThrow(RangeError);
});
