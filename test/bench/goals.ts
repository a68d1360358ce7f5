/** What is to be reached, as one contender's median wall over another's of the same run. */
import { findMedianWall, type Round } from "./report.ts";

export interface Goal {
  readonly ours: string;
  readonly other: string;
  /** Of the other's wall. */
  readonly shareMax: number;
}

export interface Verdict {
  readonly line: string;
  readonly reached: boolean;
}

/** @param rounds of one table */
export function judgeGoal(goal: Goal, rounds: readonly Round[]): Verdict {
  const { ours, other, shareMax } = goal;
  const table = rounds[0]?.table ?? "";
  const wanted = `${table}: ${ours} / ${other}`;
  const limit = `at most ${shareMax.toFixed(2)}`;
  const ourWall = findMedianWall(rounds, ours);
  const otherWall = findMedianWall(rounds, other);
  if (ourWall === null || otherWall === null)
    return {
      line: `not measured  ${wanted} (${limit})`,
      reached: false,
    };
  const share = ourWall / otherWall;
  const reached = share <= shareMax;
  const word = reached ? "reached" : "MISSED";
  return {
    line: `${word.padEnd(12)}  ${wanted} = ${share.toFixed(3)} (${limit})`,
    reached,
  };
}
