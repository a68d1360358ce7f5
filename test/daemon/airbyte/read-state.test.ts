import fc from "fast-check";
import { describe, expect, test } from "vitest";
import {
  describeReadState,
  joinRanges,
  parseReadState,
  toKeptPlan,
  type KeptPartition,
} from "../../../daemon/airbyte/read-state.ts";

const relation = { schema: "shop", name: "orders", oid: 7 };

/** Ranges of one integer key, cut at 0, 10, 20 …; `begun` are those of which a part has been read. */
function cut(count: number, begun: ReadonlySet<number>): KeptPartition[] {
  return Array.from({ length: count }, (_, i) => ({
    relation,
    only: true,
    split: {
      kind: "key",
      columns: ["id"],
      types: ["integer"],
      start: i === 0 ? null : [String(i * 10)],
      end: i === count - 1 ? null : [String((i + 1) * 10)],
    },
    after: begun.has(i) ? [String(i * 10 + 5)] : null,
    rows: 10,
    bytes: 100,
  }));
}

function isWanted(parts: readonly KeptPartition[], key: number): number {
  return parts.filter(({ split, after }) => {
    if (split.kind !== "key") return true;
    const { start, end } = split;
    const from = start === null ? -Infinity : Number(start[0]);
    const to = end === null ? Infinity : Number(end[0]);
    return (
      from <= key && key < to && (after === null || key > Number(after[0]))
    );
  }).length;
}

describe("ranges that are joined", () => {
  test("select what they selected before, each key once, and are few", () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 1, max: 400 }),
        fc.uniqueArray(fc.nat({ max: 399 }), { maxLength: 8 }),
        fc.integer({ min: 4, max: 50 }),
        fc.integer({ min: -20, max: 4_020 }),
        (count, begun, countMax, key) => {
          const parts = cut(count, new Set(begun));
          const joined = joinRanges(parts, countMax);
          expect(isWanted(joined, key)).toBe(isWanted(parts, key));
          // one that has been begun stands alone, and parts what is on its sides
          expect(joined.length).toBeLessThanOrEqual(
            countMax + 2 * begun.length + 1,
          );
          expect(joined.reduce((sum, { rows }) => sum + rows, 0)).toBe(
            count * 10,
          );
        },
      ),
    );
  });

  test("of two tables stay apart", () => {
    const [first] = cut(1, new Set());
    const parts = Array.from({ length: 6 }, (_, i) => ({
      ...first!,
      relation: { ...relation, oid: i },
    }));
    expect(joinRanges(parts, 2)).toHaveLength(6);
  });
});

describe("a state", () => {
  const partitions = cut(3, new Set([1]));

  test("is read back as it was written, after a trip through JSON", () => {
    const state = { kind: "plan", fingerprint: "f", partitions } as const;
    const sent = JSON.parse(JSON.stringify(describeReadState(state))) as object;
    const read = parseReadState(sent, "shop.orders");
    if (read?.kind !== "plan") throw new Error("no plan");
    expect(toKeptPlan(4, read)).toMatchObject({
      plan: {
        stream: 4,
        partitions: [{ ordinal: 0 }, { ordinal: 1 }, { ordinal: 2 }],
      },
      open: [{ partition: 1, position: { kind: "key", after: ["15"] } }],
    });
  });

  test("that says nothing is none", () => {
    expect(parseReadState(null, "s")).toBeNull();
    expect(parseReadState({}, "s")).toBeNull();
  });

  test.for([
    { name: "of another connector", state: { cursor: "1", version: 2 } },
    { name: "of a newer version", state: { millrace: 2, kind: "done" } },
    {
      name: "with a range that is none",
      state: {
        millrace: 1,
        kind: "plan",
        fingerprint: "f",
        partitions: [{ ...partitions[0], split: { kind: "pages" } }],
      },
    },
    {
      name: "with a place of another width",
      state: {
        millrace: 1,
        kind: "plan",
        fingerprint: "f",
        partitions: [{ ...partitions[0], after: ["1", "2"] }],
      },
    },
    { name: "that is a text", state: "done" },
  ])("$name is refused", ({ state }) => {
    expect(() => parseReadState(state, "shop.orders")).toThrow(
      expect.objectContaining({ code: "STATE_INCOMPATIBLE" }),
    );
  });
});
