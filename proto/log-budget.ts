/**
 * What a source may keep of its log for a sync, and what is done about it step by step: from the request to the process
 * that watches. Bytes are of the log as the source keeps it, from the oldest place that it may not forget.
 */

/** In the order in which they are taken, each with what the ones before it do. */
export const LOG_STEPS = [
  /** Nothing is done. */
  "calm",
  /** People are told. */
  "warn",
  /** Checkpoints of the log come fast, and one reader of the snapshot works at most. */
  "hurry",
  /** The snapshot is not read any more, so that all there is works for the log. */
  "pause",
  /** The log is given up: the source forgets it, and the next run copies every table again. */
  "giveUp",
] as const;

export type LogStep = (typeof LOG_STEPS)[number];

export type LogStepTaken = Exclude<LogStep, "calm">;

/** Whether what is done includes this step. */
export function reaches(step: LogStep, least: LogStepTaken): boolean {
  return LOG_STEPS.indexOf(step) >= LOG_STEPS.indexOf(least);
}

export interface LogBudget {
  /** Of a source that itself forgets beyond less, that is the budget. */
  readonly bytes: number;
  /** At which share of the budget, or of the age that the source keeps its log for, each step is taken; null: never. */
  readonly shareOf: Readonly<Record<LogStepTaken, number | null>>;
  /** What the log shrinks within so long is not given up, however large it is. */
  readonly patienceMs: number;
}

/** What a source says of the log that it keeps for us. */
export interface LogMeasure {
  /** From the oldest place that it may not forget; null: it does not say. */
  readonly retainedBytes: number | null;
  /** From the place that we have told it we are at; null: it does not say. */
  readonly lagBytes: number | null;
  /** The source itself forgets beyond so much, whether we have read it or not; null: never. */
  readonly limitBytes: number | null;
  /** Of a source that removes its log by age; absent: it does not, or does not say. */
  readonly age?: LogAge;
}

export interface LogAge {
  /** For so long the oldest part of the log that we still need has been written no more; 0: it is being written. */
  readonly seconds: number;
  /** The source removes what is older, whether we have read it or not. */
  readonly limitSeconds: number;
}
