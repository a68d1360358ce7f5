/** Finds where a partition that is being read can be cut in two: at a key with about as many rows before as behind it. */
import { resplit, shareEstimates } from "../../../partitioning/resplit.ts";
import type { KeyTuple, Partition } from "../../../proto/partition.ts";
import type { FoundSplit, LeafRelation, SplitRequest } from "../source.ts";
import { KeyFinder, type KeyRange } from "./key-finder.ts";
import { createPositionReader } from "./position.ts";
import { selectFields } from "./read-query.ts";
import type { Queryable } from "./sql.ts";
import type { MysqlStream } from "./stream.ts";

/** Keys that are looked at: each halves what is known of where the middle is. */
const STEPS_MAX = 8;
/** The smaller part's share of the rows that is good enough. */
const SHARE_ENOUGH = 0.4;

/** Whether a partition can be stopped inside and its tail be given away: its rows come in an order that is proven. */
export function canSplit(stream: MysqlStream, partition: Partition): boolean {
  if (findLeaf(stream, partition) === undefined) return false;
  const task = { stream, partition };
  return createPositionReader(task, selectFields(task)) !== null;
}

function findLeaf(
  stream: MysqlStream,
  { relation }: Partition,
): LeafRelation | undefined {
  return stream.leaves.find(({ oid }) => oid === relation.oid);
}

/**
 * Both parts of a partition whose reader has stopped; null where what is left of it is not worth two readers.
 * @throws ExtractError as its queries do
 */
export async function findSplit(
  connection: Queryable,
  stream: MysqlStream,
  { range, resumeAfter, rowBytes, bytesMin }: SplitRequest,
): Promise<FoundSplit | null> {
  const { split } = range;
  const leaf = findLeaf(stream, range);
  if (leaf === undefined || split.kind !== "key" || !canSplit(stream, range)) {
    return null;
  }
  const position = resumeAfter?.kind === "key" ? resumeAfter : null;
  const { start, end } = split;
  const left = { start, end, after: position?.after ?? null };
  const finder = new KeyFinder(connection, stream, leaf);
  const rowsLeft = await finder.estimate(left);
  const rowsMin = rowBytes > 0 ? bytesMin / rowBytes : Infinity;
  if (rowsLeft < 2 * rowsMin) return null;
  const middle = await findMedian(finder, left);
  if (middle === null || middle.smaller * rowsLeft < rowsMin) return null;
  const order = await proveInside(finder, left, middle.key);
  const parts = resplit({
    kind: "key",
    split,
    position,
    middle: middle.key,
    order,
  });
  if (parts === null) return null;
  const { ordinal: _, ...tail } = range;
  const shares = shareEstimates(range, rowsLeft, rowBytes);
  return {
    giver: { ...range, ...shares.giver, split: parts.giver },
    taker: { ...tail, ...shares.taker, split: parts.taker },
  };
}

interface Median {
  readonly key: KeyTuple;
  /** Share of the rows in the smaller part. */
  readonly smaller: number;
}

/** The best of several keys, each in the larger part of the one before. */
async function findMedian(
  finder: KeyFinder,
  range: KeyRange,
): Promise<Median | null> {
  let best: Median | null = null;
  let within = range;
  for (let step = 0; step < STEPS_MAX; step++) {
    const key = await finder.middle(within);
    if (key === null) break;
    const below = await finder.estimate({ ...range, end: key });
    const above = await finder.estimate({ start: key, end: range.end });
    const smaller = Math.min(below, above) / Math.max(1, below + above);
    if (best === null || smaller > best.smaller) best = { key, smaller };
    if (smaller >= SHARE_ENOUGH) break;
    within =
      below > above ? { ...within, end: key } : { start: key, end: within.end };
  }
  return best;
}

/** After its way through text, the middle still has rows of the range below it and itself in the range. */
async function proveInside(
  finder: KeyFinder,
  range: KeyRange,
  middle: KeyTuple,
): Promise<{ readonly aboveStart: boolean; readonly belowEnd: boolean }> {
  const below = await finder.first({ ...range, end: middle });
  const above = await finder.first({ start: middle, end: range.end });
  return { aboveStart: below !== null, belowEnd: above !== null };
}
