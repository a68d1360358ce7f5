/**
 * What is known of a running sync, gathered from its events: pure, with the clock given, so that both renderings and
 * the tests read from the same place.
 */
import type { LogLag } from "../../proto/figures.ts";
import type { RunEvent, StreamRef, StreamSummary } from "../request.ts";

/** Rates are measured over this much of the recent past. */
const RATE_WINDOW_MS = 5000;
const SAMPLES_MAX = 32;
const SAMPLE_GAP_MS = RATE_WINDOW_MS / (SAMPLES_MAX / 2);

interface Sample {
  readonly atMs: number;
  readonly rows: number;
  readonly bytes: number;
}

export interface StreamProgress {
  readonly ref: StreamRef;
  readonly startedMs: number;
  rowsEstimated: number;
  bytesEstimated: number;
  rowsRead: number;
  bytesRead: number;
  rowsDurable: number;
  partitionsDone: number;
  partitions: number;
  lastMs: number;
  finished: StreamSummary | null;
}

export interface ProgressState {
  readonly startedMs: number;
  readonly streams: Map<number, StreamProgress>;
  readonly samples: Sample[];
  /** Null: no log is followed, or nothing was told of it yet. */
  log: LogLag | null;
}

export function createProgressState(nowMs: number): ProgressState {
  return { startedMs: nowMs, streams: new Map(), samples: [], log: null };
}

export function applyEvent(
  state: ProgressState,
  event: RunEvent,
  nowMs: number,
): void {
  if (event.type === "stream.planned") {
    const stream = findStream(state, event.stream, nowMs);
    stream.rowsEstimated = event.rowsEstimated;
    stream.bytesEstimated = event.bytesEstimated;
    stream.partitions = event.partitions;
  } else if (event.type === "stream.progress") {
    const stream = findStream(state, event.stream, nowMs);
    stream.rowsRead = event.rowsRead;
    stream.bytesRead = event.bytesRead;
    stream.rowsDurable = event.rowsDurable;
    stream.partitionsDone = event.partitionsDone;
    stream.partitions = event.partitions;
    stream.lastMs = nowMs;
    takeSample(state, nowMs);
  } else if (event.type === "log.progress") {
    const { figures, measure, step } = event;
    state.log = {
      ...{ asOfMs: figures?.asOfMs ?? 0, step },
      lagBytes: measure?.lagBytes ?? null,
    };
  } else if (event.type === "stream.finished") {
    const stream = findStream(state, event.summary, nowMs);
    stream.finished = event.summary;
    stream.rowsRead = Math.max(stream.rowsRead, event.summary.rows);
    stream.bytesRead = Math.max(stream.bytesRead, event.summary.bytesRead);
    stream.lastMs = nowMs;
    takeSample(state, nowMs);
  }
}

function findStream(
  state: ProgressState,
  ref: StreamRef,
  nowMs: number,
): StreamProgress {
  const known = state.streams.get(ref.number);
  if (known !== undefined) return known;
  const stream: StreamProgress = {
    ref: { number: ref.number, namespace: ref.namespace, name: ref.name },
    startedMs: nowMs,
    rowsEstimated: 0,
    bytesEstimated: 0,
    rowsRead: 0,
    bytesRead: 0,
    rowsDurable: 0,
    partitionsDone: 0,
    partitions: 0,
    lastMs: nowMs,
    finished: null,
  };
  state.streams.set(ref.number, stream);
  return stream;
}

function takeSample(state: ProgressState, nowMs: number): void {
  const last = state.samples.at(-1);
  if (last !== undefined && nowMs - last.atMs < SAMPLE_GAP_MS) return;
  const { rows, bytes } = sumStreams(state);
  state.samples.push({ atMs: nowMs, rows, bytes });
  if (state.samples.length > SAMPLES_MAX) state.samples.shift();
}

export interface Totals {
  readonly rows: number;
  readonly bytes: number;
  readonly bytesEstimated: number;
  readonly streams: number;
  readonly streamsDone: number;
  readonly partitions: number;
  readonly partitionsDone: number;
}

export function sumStreams(state: ProgressState): Totals {
  const totals = {
    rows: 0,
    bytes: 0,
    bytesEstimated: 0,
    streams: 0,
    streamsDone: 0,
    partitions: 0,
    partitionsDone: 0,
  };
  for (const stream of state.streams.values()) {
    totals.rows += stream.rowsRead;
    totals.bytes += stream.bytesRead;
    totals.bytesEstimated += estimateBytes(stream);
    totals.streams++;
    totals.streamsDone += stream.finished ? 1 : 0;
    totals.partitions += stream.partitions;
    totals.partitionsDone += stream.finished
      ? stream.partitions
      : stream.partitionsDone;
  }
  return totals;
}

/** Rows and bytes per millisecond over the recent window; null before there is enough to tell. */
export function measureRate(
  state: ProgressState,
  nowMs: number,
): { readonly rows: number; readonly bytes: number } | null {
  const since = nowMs - RATE_WINDOW_MS;
  const first = state.samples.find(({ atMs }) => atMs >= since);
  if (first === undefined) return null;
  const now = sumStreams(state);
  const elapsedMs = nowMs - first.atMs;
  if (elapsedMs < SAMPLE_GAP_MS) return null;
  return {
    rows: (now.rows - first.rows) / elapsedMs,
    bytes: (now.bytes - first.bytes) / elapsedMs,
  };
}

/** Milliseconds until everything planned is read at the recent rate; null while that is not known. */
export function estimateRemainingMs(
  state: ProgressState,
  nowMs: number,
): number | null {
  const rate = measureRate(state, nowMs);
  if (rate === null || rate.bytes <= 0) return null;
  const { bytes, bytesEstimated } = sumStreams(state);
  return (bytesEstimated - bytes) / rate.bytes;
}

/** Partitions that must be done before they say more of a stream's size than the plan, which trusts old statistics. */
const PARTITIONS_TRUSTED_MIN = 4;

/** Bytes of the whole stream; never below what was read, and exact once it is finished. */
function estimateBytes(stream: StreamProgress): number {
  const { bytesRead, bytesEstimated, partitions, partitionsDone } = stream;
  if (stream.finished) return bytesRead;
  if (partitionsDone < PARTITIONS_TRUSTED_MIN) {
    return Math.max(bytesEstimated, bytesRead);
  }
  // those at work count as half done
  const share = Math.min(1, (partitionsDone + 0.5) / partitions);
  return bytesRead / share;
}

/** The share of a stream that is read, by bytes, from 0 to 1; 1 only when it is finished. */
export function measureShare(stream: StreamProgress): number {
  if (stream.finished) return 1;
  return Math.min(0.99, stream.bytesRead / Math.max(estimateBytes(stream), 1));
}
