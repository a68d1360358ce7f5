/** What the API shows of the ledger's records. */
import type { QueuedRun } from "../../checkpoint/store/queue.ts";
import type { RunRecord } from "../../checkpoint/store/records.ts";
import type { DurableReport } from "../../proto/checkpoint.ts";
import type { Partition } from "../../proto/partition.ts";
import type { History } from "./history.ts";
import { nameTable } from "../../proto/table-name.ts";

export interface RunView {
  readonly runId: string;
  readonly syncId: string;
  readonly sync: string | null;
  readonly queueId: string | null;
  readonly mode: string;
  readonly state: string;
  readonly epoch: number;
  readonly startedAt: number;
  readonly finishedAt: number | null;
  readonly rows: number;
  readonly error: RunRecord["error"];
}

/** Origin and scope stand in the ledger as JSON of this version; anything else shows as nothing. */
export function parseObject(json: string): Record<string, unknown> | null {
  try {
    const value: unknown = JSON.parse(json);
    return typeof value === "object" && value !== null
      ? (value as Record<string, unknown>)
      : null;
  } catch {
    return null;
  }
}

export function viewQueueEntry(entry: QueuedRun): Record<string, unknown> {
  const {
    originJson,
    scopeJson,
    errorJson,
    leaseExpiresAt: _,
    ...rest
  } = entry;
  return {
    ...rest,
    origin: parseObject(originJson) ?? {},
    scope: parseObject(scopeJson) ?? {},
    error: errorJson === null ? null : parseObject(errorJson),
  };
}

interface DurableSum {
  rows: number;
  checkpoints: number;
  isDone: boolean;
  newest: DurableReport | null;
}

function sumDurable<Key>(
  reports: readonly DurableReport[],
  keyOf: (report: DurableReport) => Key,
): Map<Key, DurableSum> {
  const sums = new Map<Key, DurableSum>();
  for (const report of reports) {
    const key = keyOf(report);
    const sum = sums.get(key) ?? {
      rows: 0,
      checkpoints: 0,
      isDone: false,
      newest: null,
    };
    sum.rows += report.rows;
    sum.checkpoints += 1;
    sum.isDone ||= report.last;
    if (isNewer(report, sum.newest)) sum.newest = report;
    sums.set(key, sum);
  }
  return sums;
}

function isNewer(report: DurableReport, known: DurableReport | null): boolean {
  if (known === null) return true;
  if (report.epoch !== known.epoch) return report.epoch > known.epoch;
  return report.index > known.index;
}

export function viewStreams(
  history: History,
  runId: string,
): Record<string, unknown>[] {
  const reports = history.durableOf(runId);
  const byStream = sumDurable(reports, ({ stream }) => stream);
  const done = new Map<number, number>();
  for (const { stream, last } of reports)
    if (last) done.set(stream, (done.get(stream) ?? 0) + 1);
  const partitions = new Map<number, number>();
  for (const { stream } of history.partitionsOf(runId))
    partitions.set(stream, (partitions.get(stream) ?? 0) + 1);
  return history.streamsOf(runId).map((stream) => {
    const { number, namespace, name, mode, state, error } = stream;
    const sum = byStream.get(number);
    return {
      number,
      namespace,
      name,
      mode,
      state,
      generation: stream.generation,
      planVersion: stream.planVersion,
      rows: sum?.rows ?? 0,
      checkpoints: sum?.checkpoints ?? 0,
      partitions: partitions.get(number) ?? 0,
      partitionsDone: done.get(number) ?? 0,
      error,
    };
  });
}

export function viewPartitions(
  history: History,
  runId: string,
  page: {
    readonly stream: number | null;
    readonly offset: number;
    readonly limit: number;
  },
): { partitions: Record<string, unknown>[]; total: number } {
  const all = history.partitionsOf(runId, page.stream);
  const sums = sumDurable(
    history.durableOf(runId, page.stream),
    ({ stream, partition }) => `${stream}/${partition}`,
  );
  return {
    total: all.length,
    partitions: all
      .slice(page.offset, page.offset + page.limit)
      .map((partition) =>
        viewPartition(
          partition,
          sums.get(`${partition.stream}/${partition.ordinal}`),
        ),
      ),
  };
}

function viewPartition(
  { stream, ordinal, relation, split, ...estimates }: Partition,
  sum: DurableSum | undefined,
): Record<string, unknown> {
  return {
    stream,
    partition: ordinal,
    relation: `${relation.schema}.${relation.name}`,
    split,
    estimatedRows: estimates.estimatedRows,
    estimatedBytes: estimates.estimatedBytes,
    rows: sum?.rows ?? 0,
    checkpoints: sum?.checkpoints ?? 0,
    isDone: sum?.isDone ?? false,
    position: sum?.newest?.position ?? null,
  };
}

/** `schema.table` of each stream, with its number. */
function nameStreams(history: History, runId: string) {
  return history.streamsOf(runId).map(({ number, namespace, name }) => ({
    stream: number,
    name: nameTable({ namespace, name }),
  }));
}

export function viewStates(
  history: History,
  run: RunRecord,
): Record<string, unknown>[] {
  return nameStreams(history, run.runId).map((stream) => ({
    ...stream,
    state: history.releasedOf(run.runId, run.epoch, stream.stream),
  }));
}

export function viewPlans(
  history: History,
  runId: string,
): Record<string, unknown>[] {
  return nameStreams(history, runId).flatMap((stream) => {
    const plan = history.planOf(runId, stream.stream);
    if (plan === null) return [];
    const { rung, reason, partitions, estimatedRows, estimatedBytes } = plan;
    return [
      {
        ...stream,
        rung,
        reason,
        partitions: partitions.length,
        estimatedRows,
        estimatedBytes,
      },
    ];
  });
}

export interface TimelineView {
  readonly at: number;
  readonly kind: string;
  readonly details: unknown;
}

/** Oldest first: when the run began, what was written down meanwhile, and how it ended. */
export function viewTimeline(history: History, run: RunRecord): TimelineView[] {
  const { runId, startedAt, finishedAt, state, epoch, mode, error } = run;
  const events: TimelineView[] = [
    { at: startedAt, kind: "run.started", details: { mode } },
    ...history.eventsOf(runId).map(({ at, kind, detailsJson }) => ({
      at,
      kind,
      details: parseObject(detailsJson) ?? {},
    })),
  ];
  if (finishedAt !== null)
    events.push({
      at: finishedAt,
      kind: `run.${state}`,
      details: { attempts: epoch, ...(error === null ? {} : { error }) },
    });
  return events;
}
