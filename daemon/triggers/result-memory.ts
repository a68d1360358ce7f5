/**
 * Which runs the result topic is still owed the end of, remembered in the ledger on the run's own timeline: a daemon
 * that dies between a run's end and its result tells it when it comes back, or another one that shares the ledger does.
 */
import type { Ledger } from "../../checkpoint/store/ledger.ts";
import {
  finishFromLedger,
  SEQUENCE_LAST,
  type RunResult,
} from "./run-results.ts";

/** The newest; a daemon that was away for longer owes no more. */
const RUNS_LOOKED_AT_MAX = 200;
const OWED = "result.owed";
const SENT = "result.sent";

export type ResultLedger = Pick<
  Ledger,
  "id" | "recordEvent" | "eventsOf" | "listRuns" | "durableOf"
>;

interface Note {
  readonly epoch: number;
  readonly sync: string;
  readonly queueId: string;
}

/** Before a `started` is sent, and after an end is. @throws ExtractError where the ledger cannot be written */
export function remember(ledger: ResultLedger, result: RunResult): void {
  const { type, sequence, runId, epoch, sync, queueId } = result;
  const isEnd = sequence === SEQUENCE_LAST;
  if (type !== "started" && !isEnd) return;
  const note: Note = { epoch, sync, queueId };
  ledger.recordEvent(runId, isEnd ? SENT : OWED, JSON.stringify(note));
}

/** Ends of runs that were begun to be told and never were, oldest first. */
export function findOwed(ledger: ResultLedger): RunResult[] {
  const runs = ledger.listRuns({ limit: RUNS_LOOKED_AT_MAX });
  return runs.toReversed().flatMap((run) => {
    const notes = ledger
      .eventsOf(run.runId)
      .filter(({ kind }) => kind === OWED || kind === SENT)
      .map(({ kind, detailsJson }) => ({
        kind,
        ...(JSON.parse(detailsJson) as Note),
      }))
      .filter(({ epoch }) => epoch === run.epoch);
    const owed = notes.find(({ kind }) => kind === OWED);
    if (!owed || notes.some(({ kind }) => kind === SENT)) return [];
    const rows = ledger
      .durableOf(run.runId)
      .reduce((sum, report) => sum + report.rows, 0);
    const end = finishFromLedger(run, rows, owed);
    return end ? [end] : [];
  });
}
