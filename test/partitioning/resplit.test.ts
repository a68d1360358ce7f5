import fc from "fast-check";
import { describe, expect, test } from "vitest";
import {
  chooseGiver,
  estimateBytesLeft,
  findMiddlePage,
  resplit,
  shareEstimates,
  type ReadSoFar,
} from "../../partitioning/resplit.ts";

const pages = (startPage: number, endPage: number | null) => ({
  kind: "pages" as const,
  startPage,
  endPage,
});
const at = (nextPage: number) => ({ kind: "pages" as const, nextPage });
const keys = (start: string | null, end: string | null) => ({
  kind: "key" as const,
  columns: ["k"],
  types: ["integer"],
  start: start === null ? null : [start],
  end: end === null ? null : [end],
});

describe("pages", () => {
  test.for([
    {
      name: "behind the position",
      position: at(20),
      middlePage: 60,
      cut: true,
    },
    {
      name: "before the first checkpoint",
      position: null,
      middlePage: 11,
      cut: true,
    },
    { name: "at the start", position: null, middlePage: 10, cut: false },
    { name: "at the position", position: at(60), middlePage: 60, cut: false },
    { name: "already read", position: at(60), middlePage: 40, cut: false },
    { name: "at the end", position: null, middlePage: 100, cut: false },
    { name: "outside", position: null, middlePage: 500, cut: false },
    { name: "no page", position: null, middlePage: 11.5, cut: false },
  ])("a middle $name: $cut", ({ position, middlePage, cut }) => {
    const split = pages(10, 100);
    expect(resplit({ kind: "pages", split, position, middlePage })).toEqual(
      cut
        ? { giver: pages(10, middlePage), taker: pages(middlePage, 100) }
        : null,
    );
  });

  test("after any chain of re-splits each page behind the position has one owner", () =>
    fc.assert(
      fc.property(
        fc.array(fc.tuple(fc.nat(200), fc.nat(200)), { maxLength: 20 }),
        fc.nat(250),
        (steps, page) => {
          let owners = [pages(0, null) as ReturnType<typeof pages>];
          for (const [which, middlePage] of steps) {
            const split = owners[which % owners.length];
            if (split === undefined) continue;
            const cut = resplit({
              kind: "pages",
              split,
              position: null,
              middlePage,
            });
            if (cut === null) continue;
            owners = [
              ...owners.filter((one) => one !== split),
              cut.giver as typeof split,
              cut.taker as typeof split,
            ];
          }
          const found = owners.filter(
            (one) =>
              page >= one.startPage &&
              (one.endPage === null || page < one.endPage),
          );
          expect(found).toHaveLength(1);
        },
      ),
    ));

  test("the middle leaves both sides enough, or there is none", () => {
    expect(findMiddlePage(pages(0, 100), null, 100, 10)).toBe(50);
    expect(findMiddlePage(pages(0, 100), at(60), 100, 10)).toBe(80);
    expect(findMiddlePage(pages(50, null), null, 100, 10)).toBe(75);
    expect(findMiddlePage(pages(0, 100), at(85), 100, 10)).toBeNull();
    expect(findMiddlePage(pages(0, null), null, 0, 0)).toBeNull();
  });
});

describe("keys", () => {
  const inside = { aboveStart: true, belowEnd: true };
  test("the server's order decides", () => {
    const split = keys("1", "9");
    const request = { kind: "key" as const, split, position: null };
    expect(resplit({ ...request, middle: ["5"], order: inside })).toEqual({
      giver: keys("1", "5"),
      taker: keys("5", "9"),
    });
    for (const order of [
      { aboveStart: false, belowEnd: true },
      { aboveStart: true, belowEnd: false },
    ]) {
      expect(resplit({ ...request, middle: ["5"], order })).toBeNull();
    }
  });
  test.for([["1"], ["9"], ["4"], ["5", "5"]])(
    "%s, a bound, the position or another shape, is no middle",
    (middle) => {
      const position = { kind: "key" as const, after: ["4"] };
      const split = keys("1", "9");
      expect(
        resplit({ kind: "key", split, position, middle, order: inside }),
      ).toBeNull();
    },
  );
});

describe("who gives", () => {
  const read = (estimatedBytes: number, bytes: number, rows: number) => ({
    range: {
      stream: 1,
      ordinal: 0,
      relation: { schema: "public", name: "orders", oid: 1 },
      only: true,
      split: keys(null, null),
      estimatedRows: 100,
      estimatedBytes,
    },
    rows,
    bytes,
  });
  const whole = { ...read(9000, 0, 0) };
  const view = {
    ...whole,
    range: { ...whole.range, split: { kind: "whole" as const } },
  };

  test.for([
    {
      name: "the most left",
      reads: [read(1000, 900, 90), read(1000, 100, 10)],
      giver: 1,
    },
    {
      name: "wide rows behind narrow estimates",
      reads: [read(500, 0, 0), read(100, 1000, 10)],
      giver: 1,
    },
    { name: "two small parts at least", reads: [read(199, 0, 0)], giver: -1 },
    { name: "just enough", reads: [read(200, 0, 0)], giver: 0 },
    { name: "a whole table has no tail", reads: [view], giver: -1 },
    { name: "nobody", reads: [], giver: -1 },
    {
      name: "more read than was planned",
      reads: [read(1000, 5000, 500)],
      giver: -1,
    },
  ])("$name", ({ reads, giver }) => {
    expect(chooseGiver<ReadSoFar>(reads, 100)).toBe(reads[giver] ?? null);
  });

  test("what is left is never negative", () => {
    expect(estimateBytesLeft(read(1000, 5000, 500))).toBe(0);
  });

  test("the taker gets half of what is left, and the giver keeps what it has read", () => {
    const shares = shareEstimates(
      { ...read(1000, 0, 0).range, estimatedRows: 100 },
      40,
      10,
    );
    expect(shares).toEqual({
      giver: { estimatedRows: 80, estimatedBytes: 800 },
      taker: { estimatedRows: 20, estimatedBytes: 200 },
    });
  });
});
