/**
 * Which step is due against a log that grows at its source: pure, from one measure to the next. A step is taken as soon
 * as its bytes are reached and taken back when the log is well below them, so that it does not go to and fro. Giving up
 * is for a log that we lose against: as long as it shrinks within the patience, it is not given up, and it is not taken
 * back.
 */
import {
  LOG_STEPS,
  type LogBudget,
  type LogMeasure,
  type LogStep,
  type LogStepTaken,
} from "../../proto/log-budget.ts";

/** A step ends below this share of what it began at. */
const RELIEF = 0.8;

export interface LogPressure {
  readonly step: LogStep;
  /** The least that the log has been while it was too much, and when; null: it is not. */
  readonly least: { readonly bytes: number; readonly atMs: number } | null;
}

export const noPressure: LogPressure = { step: "calm", least: null };

/** @param atMs of a clock that only goes forward */
export function judgePressure(
  before: LogPressure,
  budget: LogBudget,
  { retainedBytes, limitBytes }: Omit<LogMeasure, "lagBytes">,
  atMs: number,
): LogPressure {
  // what is not known changes nothing
  if (before.step === "giveUp" || retainedBytes === null) return before;
  const bytesMax = Math.min(budget.bytes, limitBytes ?? Infinity);
  const bytesOf = (one: LogStepTaken): number | null => {
    const share = budget.shareOf[one];
    return share === null ? null : share * bytesMax;
  };
  const floor = LOG_STEPS.indexOf(before.step);
  let step: LogStep = "calm";
  for (const one of ["warn", "hurry", "pause"] as const) {
    const bytes = bytesOf(one);
    if (bytes === null) continue;
    const isTaken = LOG_STEPS.indexOf(one) <= floor;
    if (retainedBytes >= (isTaken ? bytes * RELIEF : bytes)) step = one;
  }
  const last = bytesOf("giveUp");
  if (last === null || retainedBytes < last) return { step, least: null };
  const { least } = before;
  if (least === null || retainedBytes < least.bytes)
    return { step, least: { bytes: retainedBytes, atMs } };
  return atMs - least.atMs >= budget.patienceMs
    ? { step: "giveUp", least }
    : { step, least };
}
