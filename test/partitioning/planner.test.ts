import fc from "fast-check";
import { describe, expect, test } from "vitest";
import type { PlanInput } from "../../partitioning/plan-input.ts";
import {
  KEY_SAMPLE_KEYS_MAX,
  planStream,
  ROW_SAMPLES_MAX,
} from "../../partitioning/planner.ts";
import type { PlanAnswer, PlanQuestion } from "../../partitioning/questions.ts";
import {
  PARTITION_BYTES_MIN,
  type LeafMeasure,
} from "../../partitioning/sizing.ts";
import type { Partition, Plan } from "../../proto/partition.ts";

const BLOCK_BYTES = 8_192;
const GIB = 1024 ** 3;

const leaf = (name = "orders", heap = true) => ({
  relation: { schema: "public", name, oid: name.length },
  only: heap,
  heap,
});
const idKey = { columns: [{ name: "id", type: "bigint" }] };
const input = (changes: Partial<PlanInput> = {}): PlanInput => ({
  stream: 1,
  leaves: [leaf()],
  key: idKey,
  serverVersion: 150_018,
  partitionBy: "auto",
  blockBytes: BLOCK_BYTES,
  channels: 2,
  checkpointTargetSeconds: 300,
  bytesPerSecond: 100_000_000,
  partitionBytesMin: PARTITION_BYTES_MIN,
  ...changes,
});

/** A table of `bytes` in rows of 100 bytes, with ids from 1 on; what it answers may be changed. */
function answerFor(
  bytes: number,
  changes: Partial<LeafMeasure> = {},
): (question: PlanQuestion) => PlanAnswer {
  const rows = Math.round(bytes / 100);
  const key = (n: number) => [String(n)];
  return (question) => {
    switch (question.kind) {
      case "measureLeaves":
        return {
          kind: question.kind,
          leaves: [
            {
              pages: Math.ceil(bytes / BLOCK_BYTES),
              toastBytes: 0,
              rowEstimate: rows,
              filteredRows: null,
              ...changes,
            },
          ],
        };
      case "estimateRows":
        return {
          kind: question.kind,
          rows: (rows * question.percent) / 100,
          bytesPerRow: 100,
        };
      case "sampleKeys": {
        const count = Math.min(question.keysMax, rows);
        const keys = Array.from({ length: count }, (_, i) =>
          key(1 + Math.floor((i * rows) / count)),
        );
        return { kind: question.kind, keys };
      }
      case "keyRange":
        return { kind: question.kind, range: { min: 1n, max: BigInt(rows) } };
      case "orderBounds":
        return { kind: question.kind, bounds: question.bounds };
    }
  };
}

function run(
  planned: PlanInput,
  answer: (question: PlanQuestion) => PlanAnswer,
): { plan: Plan; asked: PlanQuestion[] } {
  const planner = planStream(planned);
  const asked: PlanQuestion[] = [];
  let step = planner.next();
  while (!step.done) {
    asked.push(step.value);
    expect(asked.length).toBeLessThanOrEqual(
      1 + ROW_SAMPLES_MAX + 3 * planned.leaves.length,
    );
    step = planner.next(answer(step.value));
  }
  return { plan: step.value, asked };
}

const kindsOf = (plan: Plan) => plan.partitions.map((one) => one.split.kind);

describe("the ladder", () => {
  test.for([
    {
      name: "a table that is read soon takes pages",
      bytes: GIB,
      changes: {},
      rung: "pages",
    },
    {
      name: "a long table with a key takes key ranges",
      bytes: 100 * GIB,
      changes: {},
      rung: "keyRanges",
    },
    {
      name: "a long table without a key takes pages",
      bytes: 100 * GIB,
      changes: { key: null },
      rung: "pages",
    },
    {
      name: "an old server takes key ranges",
      bytes: GIB,
      changes: { serverVersion: 130_022 },
      rung: "keyRanges",
    },
    {
      name: "an old server without a key takes the whole",
      bytes: GIB,
      changes: { serverVersion: 130_022, key: null },
      rung: "whole",
    },
    {
      name: "a view takes the whole",
      bytes: GIB,
      changes: { leaves: [leaf("v", false)], key: null },
      rung: "whole",
    },
    {
      name: "ctid wins where it is asked for",
      bytes: 100 * GIB,
      changes: { partitionBy: "ctid" },
      rung: "pages",
    },
    {
      name: "ctid on an old server falls to the key",
      bytes: GIB,
      changes: { partitionBy: "ctid", serverVersion: 130_022 },
      rung: "keyRanges",
    },
    {
      name: "key wins where it is asked for",
      bytes: GIB,
      changes: { partitionBy: "key" },
      rung: "keyRanges",
    },
    {
      name: "key without a key falls to pages",
      bytes: GIB,
      changes: { partitionBy: "key", key: null },
      rung: "pages",
    },
    {
      name: "key without a key on an old server is the whole",
      bytes: GIB,
      changes: { partitionBy: "key", key: null, serverVersion: 130_022 },
      rung: "whole",
    },
  ] as const)("$name", ({ bytes, changes, rung }) => {
    const { plan } = run(input(changes), answerFor(bytes));
    expect(plan.rung).toBe(rung);
    expect(plan.reason).toMatch(/^[A-Z].+\.$/);
    const kinds = new Set(kindsOf(plan));
    expect([...kinds]).toEqual([
      { pages: "pages", keyRanges: "key", whole: "whole" }[rung],
    ]);
  });

  test.for([0, 1, 8_192, 30 * 1024 ** 2])(
    "a table of %d bytes is one partition without a further question",
    (bytes) => {
      const { plan, asked } = run(input(), answerFor(bytes));
      expect(plan.partitions.map((one) => one.split)).toEqual([
        { kind: "pages", startPage: 0, endPage: null },
      ]);
      expect(asked.map((question) => question.kind)).toEqual(["measureLeaves"]);
    },
  );

  test("a small table on an old server is one whole", () => {
    const { plan } = run(input({ serverVersion: 130_022 }), answerFor(1_000));
    expect(kindsOf(plan)).toEqual(["whole"]);
    expect(plan.rung).toBe("whole");
  });

  test("a small table by key is one open range, resumable behind any row", () => {
    const { plan } = run(input({ partitionBy: "key" }), answerFor(1_000));
    expect(plan.partitions[0]?.split).toMatchObject({
      kind: "key",
      start: null,
      end: null,
    });
  });

  test("out-of-line values count: few pages may be a large table", () => {
    const measured = { pages: 4_096, toastBytes: 4 * GIB, rowEstimate: 40_000 };
    const base = answerFor(GIB, measured);
    const { plan } = run(input(), (question) =>
      question.kind === "estimateRows"
        ? { kind: "estimateRows", rows: 2_500, bytesPerRow: 100_000 }
        : base(question),
    );
    expect(plan.partitions.length).toBeGreaterThanOrEqual(6);
    expect(plan.estimatedBytes).toBe(4_000_000_000);
  });

  test("a filter that leaves few rows takes the server's own way", () => {
    const filtered = { filteredRows: 1_000 };
    const { plan } = run(input(), answerFor(GIB, filtered));
    expect(kindsOf(plan)).toEqual(["whole"]);
    expect(plan.estimatedRows).toBe(1_000);
    const many = run(input(), answerFor(GIB, { filteredRows: 9_000_000 })).plan;
    expect(many.rung).toBe("pages");
  });
});

describe("key ranges", () => {
  const byKey = input({ partitionBy: "key" });

  test("bounds are even over a sample, the outer ends open", () => {
    const { plan, asked } = run(byKey, answerFor(GIB));
    const splits = plan.partitions.map((one) => one.split);
    expect(splits.length).toBe(6);
    expect(splits[0]).toMatchObject({ start: null });
    expect(splits.at(-1)).toMatchObject({ end: null });
    const sample = asked.find((question) => question.kind === "sampleKeys");
    expect(sample?.keysMax).toBeLessThanOrEqual(KEY_SAMPLE_KEYS_MAX);
  });

  test("an empty sample of an integer key is cut by arithmetic", () => {
    const base = answerFor(GIB);
    const { plan, asked } = run(byKey, (question) =>
      question.kind === "sampleKeys"
        ? { kind: "sampleKeys", keys: [] }
        : base(question),
    );
    expect(asked.map((question) => question.kind)).toContain("keyRange");
    expect(plan.partitions.length).toBe(6);
  });

  test("an empty sample of another key leaves one open range", () => {
    const base = answerFor(GIB);
    const key = { columns: [{ name: "code", type: "text" }] };
    const { plan } = run({ ...byKey, key }, (question) =>
      question.kind === "sampleKeys"
        ? { kind: "sampleKeys", keys: [] }
        : base(question),
    );
    expect(kindsOf(plan)).toEqual(["key"]);
  });

  test("bounds that the server finds equal are dropped", () => {
    const base = answerFor(GIB);
    const { plan } = run(byKey, (question) =>
      question.kind === "orderBounds"
        ? { kind: "orderBounds", bounds: question.bounds.slice(0, 2) }
        : base(question),
    );
    expect(plan.partitions.length).toBe(3);
  });
});

test("leaves are planned one by one, with ordinals over all of them", () => {
  const leaves = [leaf("a"), leaf("bb"), leaf("ccc", false)];
  const sizes = [2 * GIB, 1_000, 0];
  const { plan } = run(input({ leaves, key: null }), (question) =>
    question.kind === "measureLeaves"
      ? {
          kind: "measureLeaves",
          leaves: sizes.map((bytes) => ({
            pages: Math.ceil(bytes / BLOCK_BYTES),
            toastBytes: 0,
            rowEstimate: bytes / 100,
            filteredRows: null,
          })),
        }
      : answerFor(2 * GIB)(question),
  );
  expect(plan.partitions.map((one) => one.ordinal)).toEqual(
    plan.partitions.map((_, i) => i),
  );
  const counts = new Map<string, number>();
  for (const { relation } of plan.partitions)
    counts.set(relation.name, (counts.get(relation.name) ?? 0) + 1);
  expect([...counts]).toEqual([
    ["a", 6],
    ["bb", 1],
    ["ccc", 1],
  ]);
  expect(plan.partitions.at(-1)?.split).toEqual({ kind: "whole" });
});

/** Anything a server could say, and some things it could not. */
const wildNumber = fc.oneof(
  fc.double(),
  fc.constantFrom(-1, 0, 1, 1e18, Number.NaN, Infinity),
  fc.nat(1e9),
);
const wildKeys = fc.array(fc.tuple(fc.constantFrom("1", "2", "3", "x")), {
  maxLength: 50,
});

test("whatever is answered, the planner ends, and every row and page has one owner", () =>
  fc.assert(
    fc.property(
      fc.record({
        leafCount: fc.integer({ min: 1, max: 12 }),
        heap: fc.boolean(),
        serverVersion: fc.constantFrom(130_000, 140_000, 180_004),
        partitionBy: fc.constantFrom("auto", "ctid", "key"),
        key: fc.constantFrom(null, idKey, {
          columns: [{ name: "code", type: "text" }],
        }),
        channels: fc.integer({ min: 1, max: 64 }),
        checkpointTargetSeconds: fc.integer({ min: 1, max: 3_600 }),
        bytesPerSecond: fc.integer({ min: 1, max: 1e9 }),
      }),
      fc.infiniteStream(
        fc.record({
          numbers: fc.tuple(wildNumber, wildNumber, wildNumber),
          pages: fc.nat(2 ** 32 - 2),
          keys: wildKeys,
          range: fc.option(fc.tuple(fc.bigInt(), fc.bigInt())),
          dropped: fc.nat(5),
        }),
      ),
      fc.nat(2 ** 32 - 2),
      fc.constantFrom("0", "1", "2", "3", "4", "x", "z"),
      (shape, answers, page, probe) => {
        const { leafCount, heap, ...rest } = shape;
        const leaves = Array.from({ length: leafCount }, (_, i) =>
          leaf(`t${i}`, heap || i % 2 === 0),
        );
        const next = () => answers.next().value;
        const { plan } = run(input({ ...rest, leaves }), (question) => {
          const { numbers, pages, keys, range, dropped } = next();
          switch (question.kind) {
            case "measureLeaves":
              return {
                kind: question.kind,
                leaves: leaves.map(() => ({
                  pages,
                  toastBytes: numbers[0],
                  rowEstimate: numbers[1],
                  filteredRows: dropped === 0 ? numbers[2] : null,
                })),
              };
            case "estimateRows":
              return {
                kind: question.kind,
                rows: numbers[0],
                bytesPerRow: numbers[1],
              };
            case "sampleKeys":
              return {
                kind: question.kind,
                keys: keys.toSorted(([a]: [string], [b]: [string]) =>
                  a < b ? -1 : 1,
                ),
              };
            case "keyRange":
              return {
                kind: question.kind,
                range: range && { min: range[0], max: range[1] },
              };
            case "orderBounds": {
              // the server's order is here that of text
              const sorted = question.bounds.map(([text]) => text ?? "").sort();
              const unique = [...new Set(sorted)].slice(dropped);
              return {
                kind: question.kind,
                bounds: unique.map((text) => [text]),
              };
            }
          }
        });
        expect(plan.partitions.length).toBeGreaterThanOrEqual(leafCount);
        expect(plan.partitions.map((one) => one.ordinal)).toEqual(
          plan.partitions.map((_, i) => i),
        );
        expect(Number.isFinite(plan.estimatedBytes)).toBe(true);
        for (const { relation } of leaves) {
          const own = plan.partitions.filter(
            (one) => one.relation.name === relation.name,
          );
          expect(own.filter((one) => owns(one, page, probe))).toHaveLength(1);
        }
      },
    ),
    { numRuns: 100 },
  ));

function owns({ split }: Partition, page: number, key: string): boolean {
  switch (split.kind) {
    case "log":
      return false;
    case "whole":
      return true;
    case "pages":
      return (
        page >= split.startPage &&
        (split.endPage === null || page < split.endPage)
      );
    case "key": {
      const [start, end] = [split.start?.[0], split.end?.[0]];
      return (
        (start === undefined || key >= start) &&
        (end === undefined || key < end)
      );
    }
  }
}
