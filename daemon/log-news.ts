/** What a run tells of the log that it follows: how far it is, what the source keeps for it, and what is done about that. */
import type { LogFigures } from "../proto/control.ts";
import type { LogBudget, LogMeasure, LogStep } from "../proto/log-budget.ts";
import { printBytes, printDuration } from "./cli/values.ts";
import type { LogEventKind, LogProgress, RunEvent } from "./request.ts";

/** Progress is not told more often. */
const TELL_EVERY_MS = 500;

const consequences: Readonly<Record<LogStep, string>> = {
  calm: "all is as usual again",
  warn: "nothing is done about it yet",
  hurry:
    "checkpoints come faster, and one reader of the snapshot works at most",
  pause: "the snapshot is not read until the log is shorter",
  giveUp: "it is given up",
};

export class LogNews {
  readonly #epoch: number;
  readonly #budget: LogBudget;
  readonly #quarantine: string | null;
  readonly #tell: (event: RunEvent) => void;
  readonly #record: (kind: string, detailsJson: string) => void;
  #position: string | null = null;
  #figures: LogFigures | null = null;
  #measure: LogMeasure | null = null;
  #step: LogStep = "calm";
  #toldAt = -Infinity;
  #quarantined = 0;

  /** @param record writes into the run's timeline */
  constructor(
    {
      epoch,
      budget,
      quarantine,
    }: {
      readonly epoch: number;
      readonly budget: LogBudget;
      /** File that events which cannot be decoded are in; null: there are none. */
      readonly quarantine: string | null;
    },
    tell: (event: RunEvent) => void,
    record: (kind: string, detailsJson: string) => void,
  ) {
    this.#epoch = epoch;
    this.#budget = budget;
    this.#quarantine = quarantine;
    this.#tell = tell;
    this.#record = record;
  }

  /** The ledger has it. */
  noteRecorded(position: string, figures: LogFigures): void {
    this.#position = position;
    this.#figures = figures;
    this.#tellProgress(TELL_EVERY_MS);
  }

  /** Events that were set aside so far, in this attempt. */
  get quarantined(): number {
    return this.#quarantined;
  }

  /** @param count of the attempt so far */
  noteQuarantined(count: number): void {
    if (count <= this.#quarantined) return;
    const news = count - this.#quarantined;
    this.#quarantined = count;
    this.noteEvent(
      "log.quarantined",
      `${news} ${news === 1 ? "event" : "events"} of the log could not be decoded and ${news === 1 ? "is" : "are"} in ${this.#quarantine}: what ${news === 1 ? "it has" : "they have"} changed is not in the copy`,
      { events: news, path: this.#quarantine },
    );
  }

  noteMeasured(measure: LogMeasure, step: LogStep): void {
    this.#measure = measure;
    this.#step = step;
    this.#tellProgress(0);
  }

  /** @returns what people are told of it */
  noteStep(step: LogStep, measure: LogMeasure): string {
    this.#step = step;
    const budget = Math.min(this.#budget.bytes, measure.limitBytes ?? Infinity);
    const message = `${describeMeasure(measure, budget)}: ${consequences[step]}`;
    if (step !== "giveUp") this.noteEvent("log.step", message, { step });
    return message;
  }

  noteEvent(kind: LogEventKind, message: string, details: object = {}): void {
    this.#record(kind, JSON.stringify({ message, ...details }));
    this.#tell({ type: "log.event", kind, message });
  }

  #tellProgress(everyMs: number): void {
    const now = performance.now();
    if (now - this.#toldAt < everyMs) return;
    this.#toldAt = now;
    const progress: LogProgress = {
      epoch: this.#epoch,
      position: this.#position,
      figures: this.#figures,
      measure: this.#measure,
      budgetBytes: Math.min(
        this.#budget.bytes,
        this.#measure?.limitBytes ?? Infinity,
      ),
      step: this.#step,
    };
    this.#tell({ type: "log.progress", ...progress });
  }
}

/** By what it has most of. */
function describeMeasure(
  { retainedBytes, age }: LogMeasure,
  budgetBytes: number,
): string {
  const bytes = retainedBytes ?? 0;
  if (age && age.seconds / age.limitSeconds > bytes / budgetBytes)
    return `what this sync has not read yet of the source's log begins ${printDuration(age.seconds * 1000)} ago, and the source removes it after ${printDuration(age.limitSeconds * 1000)}`;
  return `the source keeps ${printBytes(bytes)} of its log for this sync, of a budget of ${printBytes(budgetBytes)}`;
}
