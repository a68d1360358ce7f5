/**
 * How large a leaf is, and into how many partitions it goes. All sizes are estimates: a wrong one makes partitions
 * uneven, never incomplete.
 */

/** A smaller partition costs more in queries and files than it gains in parallel work. */
export const PARTITION_BYTES_MIN = 32 * 1024 * 1024;
/** Partitions per channel that a large table is cut into at least, so that channels end at about the same time. */
export const PARTITIONS_PER_CHANNEL = 3;
/** Partitions of one leaf. */
export const PARTITIONS_PER_LEAF_MAX = 4_096;
/** Read by one reader; measured rates lie between 60 and 250 MB/s. */
export const BYTES_PER_SECOND_DEFAULT = 100_000_000;
/** A row's bytes where nothing was sampled and nothing is known. */
const ROW_BYTES_GUESS = 128;

/** What the server knows about a leaf without reading it. */
export interface LeafMeasure {
  /** Pages of the main fork; 0 for what has no storage of its own. */
  readonly pages: number;
  /** Bytes of out-of-line values. */
  readonly toastBytes: number;
  /** Rows by the server's statistics, scaled to `pages`; -1 when unknown. */
  readonly rowEstimate: number;
  /** Rows that pass the sync's filter by the server's estimate; null without a filter. */
  readonly filteredRows: number | null;
}

/** Rows of a page sample. `fraction` of the pages were looked at, in (0, 1]. */
export interface RowSample {
  readonly fraction: number;
  readonly rows: number;
  /** Bytes of the selected columns, average. */
  readonly bytesPerRow: number;
}

export interface SizeEstimate {
  readonly rows: number;
  readonly bytes: number;
}

/** Rows or bytes that no server holds: sums and products of numbers up to here stay finite. */
const MEASURE_MAX = 2 ** 62;

/** Answers come from a server: what is not a finite number at or above zero counts as zero, what no server holds as the most. */
export function atLeastZero(value: number): number {
  return Number.isFinite(value) && value > 0 ? Math.min(value, MEASURE_MAX) : 0;
}

/** Bytes on disk, an upper bound but for compression: what is known before any sample. */
export function storedBytes(measure: LeafMeasure, blockBytes: number): number {
  return (
    atLeastZero(measure.pages) * blockBytes + atLeastZero(measure.toastBytes)
  );
}

/**
 * Rows and bytes of a leaf: sampled row size times row estimate. A sample of all pages is exact and wins; statistics
 * come next; else the sample's density times the pages. `sample` null: `bytesPerRowNear` (of other leaves) or the
 * stored size decide.
 */
export function estimateLeaf(
  measure: LeafMeasure,
  sample: RowSample | null,
  bytesPerRowNear: number | null,
  blockBytes: number,
): SizeEstimate {
  const stored = storedBytes(measure, blockBytes);
  let rows: number;
  let bytes: number;
  if (sample !== null && sample.fraction >= 1) {
    rows = atLeastZero(sample.rows);
    bytes = rows * atLeastZero(sample.bytesPerRow);
  } else {
    const seen = sample === null ? 0 : atLeastZero(sample.rows);
    if (measure.rowEstimate >= 0) rows = atLeastZero(measure.rowEstimate);
    else if (sample !== null && sample.fraction > 0)
      rows = seen / sample.fraction;
    else rows = stored / (bytesPerRowNear ?? ROW_BYTES_GUESS);
    const perRow = seen > 0 ? sample?.bytesPerRow : bytesPerRowNear;
    if (perRow !== null && perRow !== undefined && perRow > 0)
      bytes = rows * perRow;
    else bytes = stored > 0 ? stored : rows * ROW_BYTES_GUESS;
  }
  if (measure.filteredRows !== null && measure.filteredRows < rows) {
    const kept = atLeastZero(measure.filteredRows);
    bytes = (bytes * kept) / rows;
    rows = kept;
  }
  return { rows: Math.round(atLeastZero(rows)), bytes: atLeastZero(bytes) };
}

export interface Pace {
  readonly channels: number;
  readonly checkpointTargetSeconds: number;
  readonly bytesPerSecond: number;
  /** No partition is made smaller than this by cutting; PARTITION_BYTES_MIN but in tests. */
  readonly partitionBytesMin: number;
}

/**
 * Bytes of one partition: what one reader reads in `checkpointTargetSeconds`, and less where that would leave
 * channels idle, but never below `partitionBytesMin`.
 */
export function choosePartitionBytes(streamBytes: number, pace: Pace): number {
  const perTarget = pace.bytesPerSecond * pace.checkpointTargetSeconds;
  const perChannel = streamBytes / (pace.channels * PARTITIONS_PER_CHANNEL);
  return Math.max(pace.partitionBytesMin, Math.min(perTarget, perChannel));
}

/** Partitions of one leaf: none larger than wanted by more than half, none below the minimum, at least one. */
export function countPartitions(
  leafBytes: number,
  partitionBytes: number,
  partitionBytesMin: number,
): number {
  const wanted = Math.round(leafBytes / partitionBytes);
  const allowed = Math.floor(leafBytes / partitionBytesMin);
  return Math.max(1, Math.min(wanted, allowed, PARTITIONS_PER_LEAF_MAX));
}
