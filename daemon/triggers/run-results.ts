/**
 * What the result topic tells of runs: events of the daemon in, results out, counted so that whoever reads them can
 * tell a repeat. Pure but for the clock, which is given.
 */
import type { RunRecord } from "../../checkpoint/store/records.ts";
import { millrace } from "../../proto/gen/trigger.js";
import type { RunEvent, RunSummary } from "../request.ts";
import type { DaemonEvent } from "../service/types.ts";
import type { TriggerFormat } from "./parse-trigger.ts";
import { nameTable } from "../../proto/table-name.ts";

/** Between two `checkpoint` results of one run. */
const CHECKPOINT_MS_MIN = 1_000;
/** In the last result of an attempt; those that failed first. */
const STREAMS_TOLD_MAX = 500;
const ERROR_LENGTH_MAX = 4_096;
/** The last result of an attempt has it, whatever came before: a repeat from the ledger has the same. */
export const SEQUENCE_LAST = 0xffff_ffff;

export type ResultType =
  | "started"
  | "checkpoint"
  | "succeeded"
  | "failed"
  | "interrupted";

/** As JSON it is the message; (runId, epoch, sequence) tells a repeat. */
export interface RunResult {
  readonly type: ResultType;
  readonly sync: string;
  readonly queueId: string;
  readonly runId: string;
  readonly epoch: number;
  /** 0 for `started`, checkpoints from 1, SEQUENCE_LAST for the end. */
  readonly sequence: number;
  /** Milliseconds since the Unix epoch. */
  readonly at: number;
  readonly rowsRead: number;
  readonly rowsDurable: number;
  readonly bytesRead: number;
  readonly streams: readonly {
    readonly stream: string;
    readonly state: string;
    readonly rows: number;
    readonly files: number;
  }[];
  readonly streamsLeftOut: number;
  readonly error: { readonly code: string; readonly message: string } | null;
}

interface Followed {
  readonly runId: string;
  readonly epoch: number;
  sequence: number;
  toldAt: number;
  toldRows: number;
  /** By the stream's number. */
  readonly counts: Map<number, Counts>;
}

interface Counts {
  readonly rowsRead: number;
  readonly rowsDurable: number;
  readonly bytesRead: number;
}

const nothing: Counts = { rowsRead: 0, rowsDurable: 0, bytesRead: 0 };

type RunDaemonEvent = Extract<DaemonEvent, { type: "run.event" }>;

/** Follows the runs at work; what is over is forgotten. */
export class RunFollower {
  readonly #runs = new Map<string, Followed>();

  observe({ at, queueId, sync, event }: RunDaemonEvent): RunResult | null {
    if (event.type === "run.started") {
      const run = { ...event, sequence: 0, toldAt: at, toldRows: 0, counts: new Map() }; // prettier-ignore
      this.#runs.set(queueId, run);
      return { ...open(run, sync, queueId, at), type: "started" };
    }
    if (event.type === "run.finished") {
      this.#runs.delete(queueId);
      return finish(event.summary, sync, queueId, at);
    }
    const run = this.#runs.get(queueId);
    return run ? this.#count(run, event, { sync, queueId, at }) : null;
  }

  #count(
    run: Followed,
    event: RunEvent,
    { sync, queueId, at }: Pick<RunResult, "sync" | "queueId" | "at">,
  ): RunResult | null {
    if (event.type !== "stream.progress") return null;
    run.counts.set(event.stream.number, event);
    const total = addUp(run.counts.values());
    if (total.rowsDurable <= run.toldRows) return null;
    if (at - run.toldAt < CHECKPOINT_MS_MIN) return null;
    run.sequence += 1;
    run.toldAt = at;
    run.toldRows = total.rowsDurable;
    return { ...open(run, sync, queueId, at), ...total, type: "checkpoint" };
  }
}

function addUp(counts: Iterable<Counts>): Counts {
  let total = nothing;
  for (const one of counts)
    total = {
      rowsRead: total.rowsRead + one.rowsRead,
      rowsDurable: total.rowsDurable + one.rowsDurable,
      bytesRead: total.bytesRead + one.bytesRead,
    };
  return total;
}

function open(
  { runId, epoch, sequence }: Pick<Followed, "runId" | "epoch" | "sequence">,
  sync: string,
  queueId: string,
  at: number,
): Omit<RunResult, "type"> {
  return {
    ...{ sync, queueId, runId, epoch, sequence, at, ...nothing },
    ...{ streams: [], streamsLeftOut: 0, error: null },
  };
}

const types: Readonly<Record<RunSummary["state"], ResultType>> = {
  succeeded: "succeeded",
  partlyFailed: "failed",
  failed: "failed",
  interrupted: "interrupted",
};

function finish(
  summary: RunSummary,
  sync: string,
  queueId: string,
  at: number,
): RunResult {
  const { runId, epoch, state, error, streams } = summary;
  const told = streams
    .toSorted((a, b) => Number(b.error !== null) - Number(a.error !== null))
    .slice(0, STREAMS_TOLD_MAX);
  const rows = streams.reduce((sum, stream) => sum + stream.rows, 0);
  return {
    ...open({ runId, epoch, sequence: SEQUENCE_LAST }, sync, queueId, at),
    type: types[state],
    rowsRead: rows,
    rowsDurable: rows,
    bytesRead: streams.reduce((sum, stream) => sum + stream.bytesRead, 0),
    streams: told.map((stream) => ({
      stream: nameTable(stream),
      state: stream.state,
      rows: stream.rows,
      files: stream.files,
    })),
    streamsLeftOut: streams.length - told.length,
    error: shorten(error ?? told.find((stream) => stream.error)?.error ?? null),
  };
}

function shorten(error: RunResult["error"]): RunResult["error"] {
  return (
    error && {
      code: error.code,
      message: error.message.slice(0, ERROR_LENGTH_MAX),
    }
  );
}

/** The end of a run that the ledger knows; null while it is not over, or where a newer run took its place. */
export function finishFromLedger(
  run: Pick<RunRecord, "runId" | "state" | "epoch" | "error" | "finishedAt">,
  rowsDurable: number,
  { sync, queueId }: { readonly sync: string; readonly queueId: string },
): RunResult | null {
  if (run.state === "running" || run.state === "abandoned") return null;
  const { runId, epoch } = run;
  const at = run.finishedAt ?? 0;
  return {
    ...open({ runId, epoch, sequence: SEQUENCE_LAST }, sync, queueId, at),
    type: types[run.state],
    rowsRead: rowsDurable,
    rowsDurable,
    error: shorten(run.error),
  };
}

/** @returns bytes of a message's value */
export function encodeResult(result: RunResult, format: TriggerFormat): Buffer {
  if (format === "json") return Buffer.from(JSON.stringify(result));
  const { error, streams, ...rest } = result;
  const bytes = millrace.trigger.v1.RunEventMessage.encode({
    ...rest,
    streams: [...streams],
    error,
  }).finish();
  return Buffer.from(bytes);
}
