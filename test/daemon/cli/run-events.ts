/** Synthetic events and summaries of runs. */
import type {
  RunEvent,
  RunSummary,
  StreamRef,
  StreamSummary,
} from "../../../daemon/request.ts";

export function refOf(number: number, name = `table${number}`): StreamRef {
  return { number, namespace: "public", name };
}

export const runStarted = {
  type: "run.started",
  runId: "r-1",
  epoch: 1,
  resumed: null,
  architecture: [],
} as const satisfies RunEvent;

export function planned(
  stream: StreamRef,
  rowsEstimated: number,
  bytesEstimated: number,
  partitions = 4,
): RunEvent {
  return {
    type: "stream.planned",
    stream,
    rung: "keyRanges",
    reason: "it has a key",
    partitions,
    rowsEstimated,
    bytesEstimated,
  };
}

export function progressed(
  stream: StreamRef,
  rowsRead: number,
  bytesRead: number,
  partitionsDone = 0,
  partitions = 4,
): RunEvent {
  return {
    type: "stream.progress",
    stream,
    rowsRead,
    bytesRead,
    rowsDurable: 0,
    partitionsDone,
    partitions,
  };
}

export function summarize(
  ref: StreamRef,
  facts: Partial<StreamSummary> = {},
): StreamSummary {
  return {
    ...ref,
    state: "committed",
    rows: 1000,
    rowsKept: 0,
    bytesRead: 1_000_000,
    fileBytes: 250_000,
    files: 2,
    partitions: 4,
    rung: "keyRanges",
    folder: `/data/out/${ref.namespace}/${ref.name}`,
    error: null,
    valuesNulled: {},
    rowsWithoutCursor: 0,
    ...facts,
  };
}

export function runSummary(
  streams: readonly StreamSummary[],
  facts: Partial<RunSummary> = {},
): RunSummary {
  return {
    runId: "r-20260301-054406-3f9a",
    epoch: 1,
    state: "succeeded",
    exitCode: 0,
    streams,
    elapsedMs: 2000,
    error: null,
    snapshots: 1,
    ...facts,
  };
}

/** Keeps what is written; a terminal of `columns` when given. */
export function createOutput(columns?: number) {
  let text = "";
  return {
    ...(columns === undefined ? {} : { isTTY: true, columns }),
    write: (part: string) => {
      text += part;
      return true;
    },
    read: () => text,
  };
}
