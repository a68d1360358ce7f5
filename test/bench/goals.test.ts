import { expect, test } from "vitest";
import { judgeGoal } from "./goals.ts";
import type { Round } from "./report.ts";

const round = (contender: string, wallSeconds: number, rest = {}): Round => ({
  contender,
  wallSeconds,
  ...{ table: "users", round: 1, rows: 1_000_000, exitCode: 0, output: "" },
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

const goal = { ours: "ours", other: "theirs", shareMax: 0.7 };

test.for([
  {
    wall: 1.4,
    line: "reached       users: ours / theirs = 0.700 (at most 0.70)",
  },
  {
    wall: 1.5,
    line: "MISSED        users: ours / theirs = 0.750 (at most 0.70)",
  },
])("a wall of $wall beside 2", ({ wall, line }) => {
  const verdict = judgeGoal(goal, [
    round("ours", wall),
    round("theirs", 2),
    round("theirs", 9, { dirty: true }),
  ]);
  expect(verdict).toEqual({ line, reached: line.startsWith("reached") });
});

test.for([
  { name: "was not there", rounds: [round("ours", 1)] },
  {
    name: "was wrong once",
    rounds: [
      round("ours", 1),
      round("theirs", 2),
      round("theirs", 2, { fault: "rows is 1, not 2" }),
    ],
  },
])("nothing is reached beside one that $name", ({ rounds }) =>
  expect(judgeGoal(goal, rounds)).toEqual({
    line: "not measured  users: ours / theirs (at most 0.70)",
    reached: false,
  }),
);
