import { expect, test } from "vitest";
import { orderQueue } from "../../partitioning/order.ts";
import { splitPages } from "../../partitioning/pages.ts";
import type { Partition, Plan, Split } from "../../proto/partition.ts";

function makePlan(
  stream: number,
  splits: readonly Split[],
  bytes: number,
): Plan {
  const partitions = splits.map((split, ordinal): Partition => ({
    stream,
    ordinal,
    relation: { schema: "public", name: `t${stream}`, oid: stream },
    only: true,
    split,
    estimatedRows: 1,
    estimatedBytes: bytes / splits.length,
  }));
  return {
    stream,
    rung: "pages",
    reason: "",
    partitions,
    estimatedRows: splits.length,
    estimatedBytes: bytes,
  };
}
const name = (partition: Partition) =>
  `${partition.stream}/${partition.ordinal}`;

test("the largest stream comes first, and in it the open-ended edges", () => {
  const plans = [
    makePlan(1, splitPages(0, 1), 10),
    makePlan(2, splitPages(100, 4), 1_000),
    makePlan(3, [{ kind: "whole" }], 10),
    makePlan(
      4,
      [null, ["b"], ["c"]].map((start, i, starts) => ({
        kind: "key" as const,
        columns: ["k"],
        types: ["text"],
        start,
        end: starts[i + 1] ?? null,
      })),
      3_000,
    ),
  ];
  expect(orderQueue(plans).map(name)).toEqual([
    ...["4/0", "4/2", "4/1"],
    ...["2/0", "2/3", "2/1", "2/2"],
    ...["1/0", "3/0"],
  ]);
});

test("of equal partitions the order of the plan holds", () => {
  const plan = makePlan(1, splitPages(6, 6), 600);
  const queue = orderQueue([plan]);
  expect(queue.map(name)).toEqual(["1/0", "1/5", "1/1", "1/2", "1/3", "1/4"]);
  expect(plan.partitions.map((one) => one.ordinal)).toEqual([0, 1, 2, 3, 4, 5]);
});
