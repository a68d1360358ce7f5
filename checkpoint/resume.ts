/**
 * What a new attempt has to read, from what earlier attempts made durable. Pure: the ledger and the destination have
 * been asked and merged before.
 */
import { strict as assert } from "node:assert";
import type {
  DurableReport,
  ReadOrder,
  SealedFile,
} from "../proto/checkpoint.ts";
import type { StreamSeed } from "../proto/control.ts";
import type { Partition, Position } from "../proto/partition.ts";
import { checkStamp, describeStamp, mismatch, reportText } from "./stamps.ts";

export interface ResumePlan {
  /** By stream and ordinal; none for streams that are planned again. */
  readonly orders: readonly ReadOrder[];
  /** By stream: what both sides' cumulative states begin with. */
  readonly seeds: ReadonlyMap<number, StreamSeed>;
  /** Streams, ascending, that start over: planned again, under new ordinals. */
  readonly rePlanStreams: readonly number[];
  /** Checkpoints that count on, by stream, partition and age. */
  readonly kept: readonly DurableReport[];
  /** Checkpoints that no longer count: dropped in the ledger first, then their files are removed. */
  readonly dropped: readonly DurableReport[];
  readonly droppedFiles: readonly SealedFile[];
  readonly keptRows: number;
  /** Rows that are durable now and are read a second time; what was read and never became durable is not known. */
  readonly rowsToReadAgainEstimate: number;
  /** Rows that the orders stand for, by the plan's estimates. */
  readonly rowsLeftEstimate: number;
}

interface PartitionProgress {
  readonly partition: Partition;
  readonly kept: readonly DurableReport[];
  readonly dropped: readonly DurableReport[];
  readonly done: boolean;
  readonly resumeAfter: Position | null;
}

/**
 * `partitions`: the current plans of every stream that is not committed. `durable`: the checkpoints of all earlier
 * epochs of these streams, also those ahead of the released index; repeated ones count once.
 *
 * - A complete partition is never read again, an open one goes on behind its last durable position.
 * - Files behind a checkpoint without a position count only once their partition is complete.
 * - Without the old snapshot, pages and whole tables do not go together with what is read now: an unfinished stream
 *   that has such a partition starts over. Key ranges go on, since a row keeps its key, but not those of an incremental
 *   stream (`windowed`): what its next run leaves out is what this snapshot showed.
 *
 * @throws ExtractError CHECKPOINT_MISMATCH when the checkpoints of a partition are no chain
 */
export function planResume(
  partitions: readonly Partition[],
  durable: readonly DurableReport[],
  {
    snapshotKept,
    windowed = new Set(),
    covers = () => true,
  }: {
    readonly snapshotKept: boolean;
    readonly windowed?: ReadonlySet<number>;
    /** Whether a checkpoint of a log can be gone on behind: where its source says where that is, and not we. */
    readonly covers?: (report: DurableReport) => boolean;
  },
): ResumePlan {
  const streams = groupByStream(partitions, durable);
  const orders: ReadOrder[] = [];
  const seeds = new Map<number, StreamSeed>();
  const rePlanStreams: number[] = [];
  const kept: DurableReport[] = [];
  const dropped: DurableReport[] = [];
  let rowsLeftEstimate = 0;

  for (const [stream, { byOrdinal, foreign }] of streams) {
    dropped.push(...foreign);
    const progress = [...byOrdinal.values()]
      .sort((a, b) => a.partition.ordinal - b.partition.ordinal)
      .map(({ partition, reports }) =>
        followCovered(partition, reports, covers),
      );
    // changes come from the log, whatever became of the snapshot
    const ofSnapshot = progress.filter(
      ({ partition }) => partition.split.kind !== "log",
    );
    const unfinished = ofSnapshot.some(({ done }) => !done);
    const snapshotBound =
      windowed.has(stream) ||
      ofSnapshot.some(({ partition }) => partition.split.kind !== "key");
    if (unfinished && snapshotBound && !snapshotKept) {
      rePlanStreams.push(stream);
      seeds.set(stream, { done: [], open: [] });
      for (const each of progress) dropped.push(...each.kept, ...each.dropped);
      continue;
    }
    seeds.set(stream, seedOf(progress));
    for (const each of progress) {
      kept.push(...each.kept);
      dropped.push(...each.dropped);
      if (each.done) continue;
      const { ordinal, estimatedRows } = each.partition;
      orders.push({
        stream,
        partition: ordinal,
        resumeAfter: each.resumeAfter,
      });
      rowsLeftEstimate += Math.max(0, estimatedRows - sumRows(each.kept));
    }
  }
  return {
    orders,
    seeds,
    rePlanStreams,
    kept,
    dropped,
    droppedFiles: dropped.flatMap(({ files }) => files),
    keptRows: sumRows(kept),
    rowsToReadAgainEstimate: sumRows(dropped),
    rowsLeftEstimate,
  };
}

interface StreamParts {
  readonly byOrdinal: Map<
    number,
    { readonly partition: Partition; readonly reports: DurableReport[] }
  >;
  /** Reports of partitions that an earlier plan had. */
  readonly foreign: DurableReport[];
}

function groupByStream(
  partitions: readonly Partition[],
  durable: readonly DurableReport[],
): Map<number, StreamParts> {
  const streams = new Map<number, StreamParts>();
  for (const partition of partitions.toSorted((a, b) => a.stream - b.stream)) {
    let parts = streams.get(partition.stream);
    if (parts === undefined) {
      parts = { byOrdinal: new Map(), foreign: [] };
      streams.set(partition.stream, parts);
    }
    assert(!parts.byOrdinal.has(partition.ordinal), "an ordinal names one");
    parts.byOrdinal.set(partition.ordinal, { partition, reports: [] });
  }
  const texts = new Map<string, string>();
  for (const report of durable) {
    checkStamp(report);
    const parts = streams.get(report.stream);
    assert(parts, `stream ${report.stream} has checkpoints but no plan`);
    const place = `${report.stream}/${report.epoch}/${report.index}`;
    const text = reportText(report);
    const known = texts.get(place);
    if (known === text) continue;
    if (known !== undefined)
      throw mismatch(
        `${describeStamp(report)} of epoch ${report.epoch} is there twice and differs`,
        report,
      );
    texts.set(place, text);
    const owner = parts.byOrdinal.get(report.partition);
    (owner?.reports ?? parts.foreign).push(report);
  }
  return streams;
}

/** What nothing covers is read again, wherever in the partition it is. */
function followCovered(
  partition: Partition,
  reports: readonly DurableReport[],
  covers: (report: DurableReport) => boolean,
): PartitionProgress {
  const counting = reports.filter(covers);
  const progress = followPartition(partition, counting);
  if (counting.length === reports.length) return progress;
  const lost = reports.filter((report) => !covers(report));
  return { ...progress, dropped: [...progress.dropped, ...lost] };
}

/**
 * Follows a partition's checkpoints by age. Every attempt began behind the last position that was durable before it,
 * so that the rows behind a checkpoint without position were read again by the next attempt, or will be now.
 */
function followPartition(
  partition: Partition,
  reports: readonly DurableReport[],
): PartitionProgress {
  const chain = reports.toSorted(
    (a, b) =>
      a.epoch - b.epoch || a.attempt - b.attempt || a.sequence - b.sequence,
  );
  let kept: DurableReport[] = [];
  const dropped: DurableReport[] = [];
  const backToPosition = (): void => {
    const end = kept.findLastIndex(({ position }) => position !== null) + 1;
    dropped.push(...kept.slice(end));
    kept = kept.slice(0, end);
  };
  let before: DurableReport | undefined;
  let place: Position | null = null;
  for (const report of chain) {
    if (before) {
      checkFollows(before, report);
      if (report.epoch !== before.epoch || report.attempt !== before.attempt)
        backToPosition();
    }
    if (!report.last && report.position !== null) {
      checkPosition(partition, report, report.position, place);
      place = report.position;
    }
    kept.push(report);
    before = report;
  }
  const done = before?.last ?? false;
  if (!done) backToPosition();
  const resumeAfter = done ? null : (kept.at(-1)?.position ?? null);
  return { partition, kept, dropped, done, resumeAfter };
}

function checkFollows(before: DurableReport, report: DurableReport): void {
  if (before.last)
    throw mismatch(
      `${describeStamp(report)} of epoch ${report.epoch} comes after its partition's last`,
      report,
    );
  if (report.epoch !== before.epoch) return;
  const ascends =
    report.index > before.index &&
    (report.attempt > before.attempt || report.sequence > before.sequence);
  if (!ascends)
    throw mismatch(
      `${describeStamp(report)} of epoch ${report.epoch} does not follow ${describeStamp(before)}`,
      report,
    );
}

/** Whether a key lies in its range only the server can say; kind, width and pages are seen here. */
function checkPosition(
  { split }: Partition,
  report: DurableReport,
  position: Position,
  before: Position | null,
): void {
  const fits =
    split.kind === "key" && position.kind === "key"
      ? position.after.length === split.columns.length
      : split.kind === "pages" && position.kind === "pages"
        ? Number.isSafeInteger(position.nextPage) &&
          position.nextPage >=
            (before?.kind === "pages" ? before.nextPage : split.startPage) &&
          position.nextPage <= (split.endPage ?? Infinity)
        : split.kind === "log" && position.kind === "log"
          ? position.after >= (before?.kind === "log" ? before.after : "")
          : false;
  if (!fits)
    throw mismatch(
      `${describeStamp(report)} has a position outside its ${split.kind} partition`,
      report,
    );
}

function seedOf(progress: readonly PartitionProgress[]): StreamSeed {
  return {
    done: progress
      .filter(({ done }) => done)
      .map(({ partition }) => partition.ordinal),
    open: progress
      .filter(({ done, kept }) => !done && kept.length > 0)
      .map(({ partition, resumeAfter }) => ({
        partition: partition.ordinal,
        position: resumeAfter,
      })),
  };
}

function sumRows(reports: readonly DurableReport[]): number {
  return reports.reduce((sum, { rows }) => sum + rows, 0);
}
