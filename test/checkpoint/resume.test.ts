import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { planResume } from "../../checkpoint/resume.ts";
import type { DurableReport } from "../../proto/checkpoint.ts";
import type { Partition, Position, Split } from "../../proto/partition.ts";
import { keySplit, makePartition, makeReport } from "./stamps.ts";

const kept = { snapshotKept: true };
const lost = { snapshotKept: false };

function key(after: string): Position {
  return { kind: "key", after: [after] };
}

function pages(nextPage: number): Position {
  return { kind: "pages", nextPage };
}

const keyPlan = [
  makePartition(0, keySplit(null, "100")),
  makePartition(1, keySplit("100", "200")),
  makePartition(2, keySplit("200", null)),
];

const pagesPlan = [
  makePartition(0, { kind: "pages", startPage: 0, endPage: 50 }),
  makePartition(1, { kind: "pages", startPage: 50, endPage: null }),
];

test("without checkpoints everything is read from its start", () => {
  expect(planResume(keyPlan, [], lost)).toEqual({
    orders: [0, 1, 2].map((partition) => ({
      stream: 1,
      partition,
      resumeAfter: null,
    })),
    seeds: new Map([[1, { done: [], open: [] }]]),
    rePlanStreams: [],
    kept: [],
    dropped: [],
    droppedFiles: [],
    keptRows: 0,
    rowsToReadAgainEstimate: 0,
    rowsLeftEstimate: 300,
  });
});

test.for([kept, lost])(
  "key ranges: done ones are not read again, open ones go on behind their last position (%o)",
  (snapshot) => {
    const durable = [
      // ahead of index 1, which was never released
      makeReport({ index: 3, partition: 0, last: true }),
      makeReport({ index: 2, partition: 1, position: key("120") }),
      makeReport({ index: 4, partition: 1, position: key("150") }),
    ];
    const plan = planResume(keyPlan, durable, snapshot);
    expect(plan.orders).toEqual([
      { stream: 1, partition: 1, resumeAfter: key("150") },
      { stream: 1, partition: 2, resumeAfter: null },
    ]);
    expect(plan.seeds.get(1)).toEqual({
      done: [0],
      open: [{ partition: 1, position: key("150") }],
    });
    expect(plan).toMatchObject({
      dropped: [],
      rePlanStreams: [],
      keptRows: 30,
      rowsToReadAgainEstimate: 0,
      rowsLeftEstimate: 180,
    });
  },
);

test("a later epoch's checkpoints go on where the earlier's ended", () => {
  const durable = [
    makeReport({
      epoch: 3,
      index: 1,
      partition: 0,
      sequence: 1,
      position: key("70"),
    }),
    makeReport({ epoch: 1, index: 9, partition: 0, position: key("50") }),
    makeReport({ epoch: 3, index: 2, partition: 1, last: true }),
  ];
  const plan = planResume(keyPlan, durable, lost);
  expect(plan.seeds.get(1)).toEqual({
    done: [1],
    open: [{ partition: 0, position: key("70") }],
  });
  expect(plan.kept.map(({ epoch, index }) => [epoch, index])).toEqual([
    [1, 9],
    [3, 1],
    [3, 2],
  ]);
});

test("the same checkpoint from the ledger and from the destination counts once", () => {
  const report = makeReport({ index: 1, last: true });
  const plan = planResume(keyPlan, [report, structuredClone(report)], kept);
  expect(plan.keptRows).toBe(10);
});

test("while the snapshot lives, pages go on at the border where they stopped", () => {
  const durable = [
    makeReport({ index: 1, partition: 0, last: true }),
    makeReport({ index: 2, partition: 1, position: pages(60) }),
  ];
  expect(planResume(pagesPlan, durable, kept)).toMatchObject({
    orders: [{ stream: 1, partition: 1, resumeAfter: pages(60) }],
    rePlanStreams: [],
    keptRows: 20,
  });
});

test("without the snapshot, a stream of pages that is not complete starts over", () => {
  const durable = [
    makeReport({ index: 1, partition: 0, last: true }),
    makeReport({ index: 2, partition: 1, position: pages(60) }),
  ];
  expect(planResume(pagesPlan, durable, lost)).toEqual({
    orders: [],
    seeds: new Map([[1, { done: [], open: [] }]]),
    rePlanStreams: [1],
    kept: [],
    dropped: durable,
    droppedFiles: durable.flatMap(({ files }) => files),
    keptRows: 0,
    rowsToReadAgainEstimate: 20,
    rowsLeftEstimate: 0,
  });
});

test("without the snapshot, a stream of pages that is complete stays", () => {
  const durable = [
    makeReport({ index: 1, partition: 0, last: true }),
    makeReport({ index: 2, partition: 1, last: true }),
  ];
  expect(planResume(pagesPlan, durable, lost)).toMatchObject({
    orders: [],
    rePlanStreams: [],
    dropped: [],
    keptRows: 20,
  });
});

test("without the snapshot, an incremental stream that is not complete starts over, by keys as well", () => {
  const done = [0, 1, 2].map((partition) =>
    makeReport({ index: partition + 1, partition, last: true }),
  );
  const windowed = new Set([1]);
  const some = done.slice(0, 2);
  expect(planResume(keyPlan, some, { ...lost, windowed })).toMatchObject({
    orders: [],
    rePlanStreams: [1],
    dropped: some,
  });
  expect(planResume(keyPlan, some, { ...kept, windowed })).toMatchObject({
    orders: [{ partition: 2 }],
    rePlanStreams: [],
  });
  expect(planResume(keyPlan, done, { ...lost, windowed })).toMatchObject({
    orders: [],
    rePlanStreams: [],
    kept: done,
  });
});

test("one leaf read by pages takes the key ranges of its stream with it; another stream goes on", () => {
  const plan = planResume(
    [
      makePartition(0, keySplit(), 2),
      makePartition(0),
      makePartition(1, { kind: "whole" }),
    ],
    [
      makeReport({ index: 1, last: true }),
      makeReport({ index: 1, stream: 2, position: key("5") }),
    ],
    lost,
  );
  expect(plan.rePlanStreams).toEqual([1]);
  expect(plan.orders).toEqual([
    { stream: 2, partition: 0, resumeAfter: key("5") },
  ]);
  expect(plan.dropped.map(({ stream }) => stream)).toEqual([1]);
});

test("rows behind a checkpoint without position count only once their partition is complete", () => {
  const whole = [makePartition(0, { kind: "whole" })];
  const first = makeReport({ index: 1, position: null });
  expect(planResume(whole, [first], kept)).toMatchObject({
    orders: [{ stream: 1, partition: 0, resumeAfter: null }],
    dropped: [first],
    rowsToReadAgainEstimate: 10,
  });
  const end = makeReport({ index: 2, last: true });
  expect(planResume(whole, [first, end], kept)).toMatchObject({
    orders: [],
    dropped: [],
    keptRows: 20,
  });
  // the second epoch began at the start, since nothing of the first could be gone on from
  const again = makeReport({ epoch: 2, index: 1, last: true, rows: 25 });
  expect(planResume(whole, [first, again], kept)).toMatchObject({
    orders: [],
    kept: [again],
    dropped: [first],
    keptRows: 25,
  });
});

test("checkpoints of a partition that the plan no longer has are dropped", () => {
  const old = makeReport({ index: 1, partition: 8, last: true });
  expect(planResume(keyPlan, [old], kept)).toMatchObject({
    dropped: [old],
    droppedFiles: old.files,
    keptRows: 0,
  });
});

const broken: Record<string, [Partition[], DurableReport[]]> = {
  "anything after a partition's last": [
    keyPlan,
    [
      makeReport({ index: 1, last: true }),
      makeReport({ epoch: 2, index: 1, position: key("5") }),
    ],
  ],
  "one index with two contents": [
    keyPlan,
    [makeReport({ index: 1 }), makeReport({ index: 1, rows: 9 })],
  ],
  "one sequence with two indexes": [
    keyPlan,
    [
      makeReport({ index: 1, sequence: 4 }),
      makeReport({ index: 2, sequence: 4 }),
    ],
  ],
  "sequences that do not follow their indexes": [
    keyPlan,
    [
      makeReport({ index: 1, sequence: 4 }),
      makeReport({ index: 2, sequence: 3 }),
    ],
  ],
  "an older attempt with a later index": [
    keyPlan,
    [
      makeReport({ index: 1, attempt: 2 }),
      makeReport({ index: 2, attempt: 1 }),
    ],
  ],
  "a key of another width": [
    keyPlan,
    [makeReport({ index: 1, position: { kind: "key", after: ["1", "2"] } })],
  ],
  "a page in a key range": [
    keyPlan,
    [makeReport({ index: 1, position: pages(1) })],
  ],
  "a page before the partition": [
    pagesPlan,
    [makeReport({ index: 1, partition: 1, position: pages(49) })],
  ],
  "a page behind the partition": [
    pagesPlan,
    [makeReport({ index: 1, position: pages(51) })],
  ],
  "pages that go back": [
    pagesPlan,
    [
      makeReport({ index: 1, position: pages(20) }),
      makeReport({ index: 2, position: pages(10) }),
    ],
  ],
  "a position in a whole table": [
    [makePartition(0, { kind: "whole" })],
    [makeReport({ index: 1, position: key("1") })],
  ],
  "rows below zero": [keyPlan, [makeReport({ index: 1, rows: -5 })]],
};
test.for(Object.entries(broken))("refused: %s", ([, [partitions, durable]]) => {
  expect(() => planResume(partitions, durable, kept)).toThrow(
    expect.objectContaining({ code: "CHECKPOINT_MISMATCH" }),
  );
});

describe("a table read in attempts that are cut anywhere", () => {
  const KEYS = 200;

  /** Reads `orders` until `cuts` says stop; each checkpoint covers the keys since the one before. */
  function readAttempt(
    partitions: readonly Partition[],
    durable: readonly DurableReport[],
    epoch: number,
    cuts: readonly number[],
    stepRows: number,
  ): DurableReport[] {
    const added: DurableReport[] = [];
    const { orders } = planResume(partitions, durable, lost);
    orders.forEach((order, at) => {
      const partition = partitions[order.partition];
      if (partition?.split.kind !== "key") throw new Error("key ranges only");
      const start = Number(partition.split.start?.[0] ?? 0);
      const end = Number(partition.split.end?.[0] ?? KEYS);
      const after = order.resumeAfter;
      let next = after?.kind === "key" ? Number(after.after[0]) + 1 : start;
      const checkpoints = (cuts[at % Math.max(1, cuts.length)] ?? 0) % 4;
      for (let count = 1; count <= checkpoints && next <= end; count++) {
        const to = Math.min(end, next + stepRows);
        const last = to === end;
        added.push(
          makeReport({
            epoch,
            index: added.length + 1,
            partition: order.partition,
            sequence: count,
            position: last ? null : key(String(to - 1)),
            rows: to - next,
            last,
          }),
        );
        next = to;
        if (last) break;
      }
    });
    return added;
  }

  test("every key is kept exactly once, and nothing that was durable is read again", () => {
    fc.assert(
      fc.property(
        fc.uniqueArray(fc.integer({ min: 1, max: KEYS - 1 }), { maxLength: 6 }),
        fc.array(fc.array(fc.nat(9), { maxLength: 5 }), { maxLength: 6 }),
        fc.integer({ min: 1, max: 80 }),
        (borders, attempts, stepRows) => {
          const sorted = [...borders].sort((a, b) => a - b).map(String);
          const starts = [null, ...sorted];
          const partitions = starts.map((start, ordinal) =>
            makePartition(ordinal, keySplit(start, sorted[ordinal] ?? null)),
          );
          const durable: DurableReport[] = [];
          attempts.forEach((cuts, at) =>
            durable.push(
              ...readAttempt(partitions, durable, at + 1, cuts, stepRows),
            ),
          );
          const before = planResume(partitions, durable, lost);
          expect(before.keptRows).toBe(
            durable.reduce((sum, { rows }) => sum + rows, 0),
          );
          expect(before.dropped).toEqual([]);
          // attempts that are not cut short bring it to its end
          for (let epoch = attempts.length + 1; ; epoch++) {
            const added = readAttempt(partitions, durable, epoch, [3], 80);
            if (added.length === 0) break;
            durable.push(...added);
          }
          const after = planResume(partitions, durable, lost);
          expect(after.orders).toEqual([]);
          expect(after.keptRows).toBe(KEYS);
        },
      ),
    );
  });
});

describe("a stream whose log is followed", () => {
  const log: Split = { kind: "log", after: "p1", snapshot: null };
  const pages: Split = { kind: "pages", startPage: 0, endPage: null };

  test("goes on behind its last commit, whatever became of the snapshot", () => {
    const partitions = [makePartition(0, pages), makePartition(1, log)];
    const plan = planResume(
      partitions,
      [
        makeReport({ index: 1, partition: 0, last: true, position: null }),
        makeReport({
          index: 2,
          partition: 1,
          position: { kind: "log", after: "p5" },
        }),
      ],
      { snapshotKept: false },
    );
    expect(plan.rePlanStreams).toEqual([]);
    expect(plan.orders).toEqual([
      {
        stream: 1,
        partition: 1,
        resumeAfter: { kind: "log", after: "p5" },
      },
    ]);
  });

  test("starts over with its snapshot where that was not complete", () => {
    const partitions = [makePartition(0, pages), makePartition(1, log)];
    const plan = planResume(
      partitions,
      [
        makeReport({
          index: 1,
          partition: 1,
          position: { kind: "log", after: "p5" },
        }),
      ],
      { snapshotKept: false },
    );
    expect(plan.rePlanStreams).toEqual([1]);
    expect(plan.dropped).toHaveLength(1);
  });
});
