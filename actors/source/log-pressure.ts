/**
 * Which step is due against a log that grows at its source: pure, from one measure to the next. A step is taken as soon
 * as its share is reached, of the bytes or of the age at which the source removes its log, and taken back when the log is
 * well below it, so that it does not go to and fro. Giving up is for a log that we lose against: as long as it shrinks
 * within the patience, it is not given up, and it is not taken back.
 */
import {
  LOG_STEPS,
  type LogBudget,
  type LogMeasure,
  type LogStep,
} from "../../proto/log-budget.ts";

/** A step ends below this share of what it began at. */
const RELIEF = 0.8;

export interface LogPressure {
  readonly step: LogStep;
  /** The least that the log has been while it was too much, and when; null: it is not. */
  readonly least: {
    readonly bytes: number;
    readonly seconds: number;
    readonly atMs: number;
  } | null;
}

export const noPressure: LogPressure = { step: "calm", least: null };

/** @param atMs of a clock that only goes forward */
export function judgePressure(
  before: LogPressure,
  budget: LogBudget,
  { retainedBytes, limitBytes, age }: Omit<LogMeasure, "lagBytes">,
  atMs: number,
): LogPressure {
  // what is not known changes nothing
  if (before.step === "giveUp" || retainedBytes === null) return before;
  const bytesMax = Math.max(1, Math.min(budget.bytes, limitBytes ?? Infinity));
  const byBytes = retainedBytes / bytesMax;
  const byAge = age ? age.seconds / age.limitSeconds : 0;
  const used = Math.max(byBytes, byAge);
  const floor = LOG_STEPS.indexOf(before.step);
  let step: LogStep = "calm";
  for (const one of ["warn", "hurry", "pause"] as const) {
    const share = budget.shareOf[one];
    if (share === null) continue;
    const isTaken = LOG_STEPS.indexOf(one) <= floor;
    if (used >= (isTaken ? share * RELIEF : share)) step = one;
  }
  const last = budget.shareOf.giveUp;
  if (last === null || used < last) return { step, least: null };
  const { least } = before;
  const seconds = age?.seconds ?? 0;
  const isLess =
    least === null ||
    retainedBytes < least.bytes ||
    // of one that is too old only: it is read on from part to part
    (byBytes < last && seconds < least.seconds);
  if (isLess) return { step, least: { bytes: retainedBytes, seconds, atMs } };
  return atMs - least.atMs >= budget.patienceMs
    ? { step: "giveUp", least }
    : { step, least };
}
