import fc from "fast-check";
import { describe, expect, test } from "vitest";
import {
  planByDives,
  type DivePlanAnswer,
  type DivePlanInput,
  type DivePlanQuestion,
} from "../../partitioning/dive-planner.ts";
import { CUTS_MAX, groupPieces } from "../../partitioning/dives.ts";
import type { LeafMeasure } from "../../partitioning/sizing.ts";
import type { KeyTuple, Partition, Plan } from "../../proto/partition.ts";

const BLOCK_BYTES = 16_384;
const ROW_BYTES = 100;

const leaf = (name = "orders") => ({
  relation: { schema: "shop", name, oid: name.length },
  only: false,
  heap: false,
});
const idKey = { columns: [{ name: "id", type: "bigint" }] };

const input = (changes: Partial<DivePlanInput> = {}): DivePlanInput => ({
  stream: 1,
  leaves: [leaf()],
  key: idKey,
  keyIsInteger: true,
  blockBytes: BLOCK_BYTES,
  channels: 2,
  checkpointTargetSeconds: 300,
  bytesPerSecond: 100_000_000,
  partitionBytesMin: 1,
  ...changes,
});

const compare = (a: bigint, b: bigint) => (a < b ? -1 : a > b ? 1 : 0);

/** A table of integer keys that answers as a server does; estimates are off by up to `error` of themselves. */
function answerFor(
  keys: readonly bigint[],
  { error = 0, measure = {} as Partial<LeafMeasure> } = {},
): (question: DivePlanQuestion) => DivePlanAnswer {
  const sorted = keys.toSorted(compare);
  const inside = (start: KeyTuple | null, end: KeyTuple | null) =>
    sorted.filter(
      (key) =>
        (start === null || key >= BigInt(start[0] ?? 0)) &&
        (end === null || key < BigInt(end[0] ?? 0)),
    );
  return (question) => {
    switch (question.kind) {
      case "measureLeaves": {
        const pages = Math.ceil((keys.length * ROW_BYTES) / BLOCK_BYTES);
        const known = { pages, toastBytes: 0, rowEstimate: keys.length };
        return {
          kind: question.kind,
          leaves: [{ ...known, filteredRows: null, ...measure }],
        };
      }
      case "keyRange": {
        const [min, max] = [sorted[0], sorted.at(-1)];
        return {
          kind: question.kind,
          range: min === undefined || max === undefined ? null : { min, max },
        };
      }
      case "estimateRange": {
        const rows = inside(question.start, question.end).length;
        return {
          kind: question.kind,
          rows: rows * (1 + error * Math.sin(rows)),
        };
      }
      case "cutRange": {
        const found = inside(question.start, question.end);
        const [first, last] = [found[0], found.at(-1)];
        if (first === undefined || last === undefined || first === last)
          return { kind: question.kind, key: null };
        const middle = first + (last - first + 1n) / 2n;
        const key = found.find((one) => one >= middle) ?? last;
        return { kind: question.kind, key: [String(key)] };
      }
      case "orderBounds":
        return { kind: question.kind, bounds: question.bounds };
    }
  };
}

function run(
  planned: DivePlanInput,
  answer: (question: DivePlanQuestion) => DivePlanAnswer,
): { plan: Plan; asked: DivePlanQuestion[] } {
  const planner = planByDives(planned);
  const asked: DivePlanQuestion[] = [];
  let step = planner.next();
  while (!step.done) {
    asked.push(step.value);
    expect(asked.length).toBeLessThanOrEqual(
      1 + planned.leaves.length * (2 + 3 * CUTS_MAX),
    );
    step = planner.next(answer(step.value));
  }
  return { plan: step.value, asked };
}

function countOwners(partitions: readonly Partition[], key: bigint): number {
  return partitions.filter(({ split }) => {
    if (split.kind !== "key") return true;
    const [start, end] = [split.start?.[0], split.end?.[0]];
    return (
      (start === undefined || key >= BigInt(start)) &&
      (end === undefined || key < BigInt(end))
    );
  }).length;
}

const range = (count: number, toKey: (n: bigint) => bigint) =>
  Array.from({ length: count }, (_, i) => toKey(BigInt(i)));

describe("the ways to cut", () => {
  test("a dense key is cut by arithmetic, without a dive", () => {
    const { plan, asked } = run(
      input(),
      answerFor(range(10_000, (n) => n - 50n)),
    );
    expect(asked.map(({ kind }) => kind)).toEqual([
      "measureLeaves",
      "keyRange",
    ]);
    expect(plan.rung).toBe("keyRanges");
    expect(plan.reason).toMatch(/dense/);
    expect(plan.partitions.length).toBe(6);
  });

  test("a sparse one by dives, into ranges of about equal rows", () => {
    const { plan } = run(
      input(),
      answerFor([...range(9_000, (n) => n), ...range(1_000, (n) => n ** 5n)]),
    );
    expect(plan.reason).toMatch(/dives/);
    const rows = plan.partitions.map((one) => one.estimatedRows);
    expect(rows.length).toBe(6);
    expect(Math.max(...rows)).toBeLessThan((1.5 * 10_000) / 6);
    expect(rows.reduce((sum, one) => sum + one, 0)).toBeGreaterThan(9_990);
  });

  test.for([
    { name: "no key", changes: { key: null }, rung: "whole", reason: /no key/ },
    {
      name: "a small table",
      changes: { partitionBytesMin: 1_000_000_000 },
      rung: "keyRanges",
      reason: /One key range/,
    },
  ])("$name is one partition", ({ changes, rung, reason }) => {
    const { plan } = run(input(changes), answerFor(range(5_000, (n) => n)));
    expect(plan).toMatchObject({ rung, reason: expect.stringMatching(reason) });
    expect(plan.partitions.length).toBe(1);
    expect(countOwners(plan.partitions, 17n)).toBe(1);
  });

  test("few rows behind a filter are left to the server, unless they take long", () => {
    const answer = answerFor(
      range(5_000, (n) => n),
      {
        measure: { filteredRows: 10 },
      },
    );
    const soon = run(input(), answer).plan;
    expect(soon.partitions.map(({ split }) => split.kind)).toEqual(["whole"]);
    expect(soon.reason).toMatch(/filter/);
    const late = run(input({ bytesPerSecond: 1 }), answer).plan;
    expect(late.rung).toBe("keyRanges");
  });

  test("bounds that the server does not find above the one before are dropped", () => {
    const answer = answerFor(range(1_000, (n) => n ** 3n));
    const { plan } = run(input(), (question) =>
      question.kind === "orderBounds"
        ? { kind: question.kind, bounds: question.bounds.slice(1, 3) }
        : answer(question),
    );
    expect(plan.partitions.length).toBe(3);
    const rows = plan.partitions.map((one) => one.estimatedRows);
    expect(rows.reduce((sum, one) => sum + one, 0)).toBe(1_000);
    for (const n of [0n, 27n, 10n ** 9n])
      expect(countOwners(plan.partitions, n)).toBe(1);
  });

  test("leaves are planned one by one, their ordinals are one sequence", () => {
    const answer = answerFor(range(1_000, (n) => n * 1_000n));
    const leaves = [leaf("a"), leaf("b")];
    const { plan } = run(input({ leaves }), (question) => {
      const one = answer(question);
      return one.kind === "measureLeaves"
        ? { ...one, leaves: [...one.leaves, ...one.leaves] }
        : one;
    });
    expect(plan.partitions.map(({ ordinal }) => ordinal)).toEqual(
      plan.partitions.map((_, i) => i),
    );
    expect(new Set(plan.partitions.map((one) => one.relation.name)).size).toBe(
      2,
    );
  });
});

test("every key, of the table or not, belongs to exactly one range, whose bounds the server gave", () =>
  fc.assert(
    fc.property(
      fc.uniqueArray(fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n }), {
        maxLength: 60,
      }),
      fc.integer({ min: 1, max: 12 }),
      fc.double({ min: 0, max: 5, noNaN: true }),
      fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n }),
      (keys, channels, error, other) => {
        const { plan } = run(
          input({ channels, keyIsInteger: false }),
          answerFor(keys, { error }),
        );
        for (const key of [...keys, other])
          expect(countOwners(plan.partitions, key)).toBe(1);
        const known = new Set(keys.map(String));
        for (const { split } of plan.partitions) {
          if (split.kind !== "key") continue;
          for (const bound of [split.start, split.end])
            expect(bound === null || known.has(bound[0] ?? "")).toBe(true);
        }
      },
    ),
  ));

test("whatever is answered, the planner ends with a plan", () =>
  fc.assert(
    fc.property(
      fc.constantFrom(0, -1, NaN, Infinity, 1e300, 3),
      fc.constantFrom(NaN, 0, -5, Infinity, 1e12),
      fc.boolean(),
      (estimate, rowEstimate, repeats) => {
        let n = 0;
        const { plan } = run(
          input({ keyIsInteger: false, channels: 8 }),
          (question) => {
            switch (question.kind) {
              case "measureLeaves": {
                const known = { pages: 1e6, toastBytes: 0, filteredRows: null };
                return {
                  kind: question.kind,
                  leaves: [{ ...known, rowEstimate }],
                };
              }
              case "estimateRange":
                return { kind: question.kind, rows: estimate };
              case "cutRange":
                return {
                  kind: question.kind,
                  key: [String(repeats ? 1 : (n += 1))],
                };
              case "orderBounds":
                return { kind: question.kind, bounds: [] };
              case "keyRange":
                return { kind: question.kind, range: null };
            }
          },
        );
        expect(plan.partitions.length).toBe(1);
      },
    ),
    { numRuns: 30 },
  ));

test("pieces are put together into as many ranges as were wanted, none of them empty, the last one open", () =>
  fc.assert(
    fc.property(
      fc.array(fc.nat({ max: 1_000 }), { minLength: 1, maxLength: 50 }),
      fc.integer({ min: 1, max: 12 }),
      (sizes, wanted) => {
        const pieces = sizes.map((rows, i) => ({
          rows,
          end: i === sizes.length - 1 ? null : [String(i)],
        }));
        const groups = groupPieces(pieces, wanted);
        expect(groups.length).toBeLessThanOrEqual(wanted);
        expect(groups.at(-1)?.end).toBeNull();
        expect(groups.slice(0, -1).every(({ rows }) => rows > 0)).toBe(true);
        expect(groups.reduce((sum, { rows }) => sum + rows, 0)).toBe(
          sizes.reduce((sum, rows) => sum + rows, 0),
        );
        const ends = pieces.map(({ end }) => end);
        for (const { end } of groups) expect(ends).toContain(end);
      },
    ),
  ));
