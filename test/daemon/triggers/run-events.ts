/** Events of a daemon's runs, as a sync tells them. */
import type {
  RunEvent,
  RunSummary,
  StreamSummary,
} from "../../../daemon/request.ts";
import type { DaemonEvent } from "../../../daemon/service/types.ts";

const stream = { number: 0, namespace: "public", name: "orders" };

export const streamSummary = (
  changes: Partial<StreamSummary> = {},
): StreamSummary => ({
  ...stream,
  state: "committed",
  rows: 10,
  rowsKept: 0,
  bytesRead: 100,
  fileBytes: 50,
  files: 1,
  partitions: 1,
  rung: null,
  folder: "/data",
  error: null,
  valuesNulled: {},
  rowsWithoutCursor: 0,
  ...changes,
});

export const runSummary = (
  runId: string,
  changes: Partial<RunSummary> = {},
): RunSummary => ({
  runId,
  epoch: 1,
  state: "succeeded",
  exitCode: 0,
  streams: [streamSummary()],
  elapsedMs: 5,
  error: null,
  snapshots: 1,
  ...changes,
});

export const started = (runId: string, epoch = 1): RunEvent => ({
  type: "run.started",
  runId,
  epoch,
  resumed: null,
  architecture: [],
});

export const progress = (rowsDurable: number, number = 0): RunEvent => ({
  type: "stream.progress",
  stream: { ...stream, number },
  rowsRead: rowsDurable + 5,
  bytesRead: 10 * rowsDurable,
  rowsDurable,
  partitionsDone: 0,
  partitions: 1,
});

export const finished = (summary: RunSummary): RunEvent => ({
  type: "run.finished",
  summary,
});

export const tell = (
  event: RunEvent,
  at = 1_000,
): Extract<DaemonEvent, { type: "run.event" }> => ({
  type: "run.event",
  sequence: 1,
  at,
  queueId: "q-1",
  runId: null,
  sync: "orders",
  event,
});
