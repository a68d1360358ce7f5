import { expect, test } from "vitest";
import { findMedian, renderRounds, type Round } from "./report.ts";

const round = (contender: string, wallSeconds: number, rest = {}): Round => ({
  contender,
  wallSeconds,
  ...{ table: "lineitem", round: 1, rows: 3_000_000, exitCode: 0, output: "" },
  ...{ clientCpuSeconds: 2, serverCpuSeconds: 2, othersShare: 0, dirty: false },
  ...{
    peakMb: 100,
    processes: [],
    memory: [],
    outputBytes: 75_000_000,
    fault: null,
  },
  ...rest,
});

test.for([
  { values: [3, 1, 2], median: 2 },
  { values: [4, 1, 2, 3], median: 2.5 },
  { values: [7], median: 7 },
])("the median of $values is $median", ({ values, median }) =>
  expect(findMedian(values)).toBe(median),
);

test("ratios are to the first contender, over clean rounds", () => {
  const [, ours, theirs] = renderRounds([
    round("ours", 2),
    round("theirs", 5, { clientCpuSeconds: 6 }),
    round("ours", 9, { dirty: true }),
    round("theirs", 5, { clientCpuSeconds: 6 }),
  ]).map((line) => line.trim().split(/\s+/));
  expect(ours?.slice(0, 6)).toEqual([
    "ours",
    "2.00",
    "2.00-2.00",
    "1.00",
    "2.00",
    "1.00",
  ]);
  expect(ours?.at(-1)).toBe("1/2");
  expect(theirs?.slice(0, 6)).toEqual([
    "theirs",
    "5.00",
    "5.00-5.00",
    "2.50",
    "6.00",
    "3.00",
  ]);
});

test("one wrong output takes the speed away", () => {
  const [, line] = renderRounds([
    round("ours", 2),
    round("ours", 2, { fault: "rows is 1, not 2" }),
  ]);
  expect(line).toBe("ours  no speed: rows is 1, not 2");
});

test("memory is that of the processes that move rows", () => {
  const processes = [
    { command: "node /x/actors/source/main.js", residentMb: 90 },
    { command: "node /x/actors/destination/main.js", residentMb: 110 },
    { command: "node bin/millrace.js", residentMb: 70 },
  ];
  const [, line] = renderRounds([round("ours", 2, { processes, peakMb: 260 })]);
  expect(line).toMatch(/ 200 +260 /);
});
