/** Finds where a partition that is being read can be cut in two: the server says what is left of it and where its middle is. */
import { resplit, shareEstimates } from "../../../partitioning/resplit.ts";
import type { KeyTuple, Partition } from "../../../proto/partition.ts";
import type { FoundSplit, SplitRequest } from "../source.ts";
import { listSizes, tryQuery } from "./catalog.ts";
import {
  fromSample,
  keyOf,
  onlyLeaf,
  orderBounds,
  PAGE_BYTES,
} from "./plan.ts";
import { createPositions } from "./position.ts";
import { keyPredicates, selectFields } from "./read-query.ts";
import { quoteIdentifier, type Queryable, type SqlParameter } from "./sql.ts";
import type { MssqlStream } from "./stream.ts";
import { loadDriverParts } from "./tokens/driver-parts.ts";
import { keyToText } from "./types.ts";

/** Pages of the partition that a sample aims at: some thousand rows, so that their median is near the middle. */
const SAMPLE_PAGES = 64;
/** Pages of a sample, 8 MiB: a reader stands still meanwhile. */
const SAMPLE_PAGES_MAX = 1_024;

/** Whether a partition can be stopped inside and its tail be given away: its rows come in an order that is proven. */
export function canSplit(stream: MssqlStream, partition: Partition): boolean {
  const task = { stream, partition };
  const positions = createPositions(task, selectFields(task));
  // by the driver's events, a key that is not unique has no places inside
  return positions !== null && (positions.unique || loadDriverParts() !== null);
}

/**
 * Both parts of a partition whose reader has stopped; null where what is left of it is not worth two readers.
 * @throws ExtractError as its queries do
 */
export async function findSplit(
  connection: Queryable,
  stream: MssqlStream,
  { range, resumeAfter, rowBytes, bytesMin }: SplitRequest,
): Promise<FoundSplit | null> {
  const { split } = range;
  if (split.kind !== "key" || stream.rangeKey === null) return null;
  const leaf = onlyLeaf(stream);
  const [size] = await listSizes(connection, [leaf.oid]);
  const pages = size?.pages ?? 0;
  if (pages === 0) return null;
  const share = range.estimatedBytes / (pages * PAGE_BYTES);
  const samplePages = Math.min(
    SAMPLE_PAGES_MAX,
    Math.ceil(SAMPLE_PAGES / Math.min(1, share)),
  );
  const fraction = Math.min(1, samplePages / pages);
  const { columns } = keyOf(stream);
  const names = columns.map(({ name }) => `t.${quoteIdentifier(name)}`);
  const params: SqlParameter[] = [];
  const where = [
    `${names[0]} IS NOT NULL`,
    ...keyPredicates(stream, split, resumeAfter, params),
  ];
  const texts = columns.map(
    ({ type }, i) => `${keyToText(names[i] ?? "", type)} AS k${i + 1}`,
  );
  const rows = await tryQuery<Record<string, string> & { total: number }>(
    connection,
    `SELECT ${columns.map((_, i) => `k${i + 1}`).join(", ")}, CAST(total AS float) AS total FROM (
  SELECT ${texts.join(", ")}, ROW_NUMBER() OVER (ORDER BY ${names.join(", ")}) AS n,
    COUNT(*) OVER () AS total
  FROM ${fromSample(leaf, 100 * fraction)}
  WHERE ${where.join(" AND ")}
) AS numbered
WHERE n = total / 2 + 1`,
    params.map(String),
  );
  const [sampled] = rows ?? [];
  if (sampled === undefined) return null;
  const rowsLeft = sampled.total / fraction;
  const rowsMin = rowBytes > 0 ? bytesMin / rowBytes : Infinity;
  if (rowsLeft < 2 * rowsMin) return null;
  const middle = columns.map((_, i) => sampled[`k${i + 1}`] ?? "");
  const position = resumeAfter?.kind === "key" ? resumeAfter : null;
  const isAscending = async (
    low: KeyTuple | null,
    high: KeyTuple | null,
  ): Promise<boolean> =>
    low === null ||
    high === null ||
    (await orderBounds(connection, stream, [low, high])).length === 2;
  const parts = resplit({
    kind: "key",
    split,
    position,
    middle,
    order: {
      aboveStart: await isAscending(position?.after ?? split.start, middle),
      belowEnd: await isAscending(middle, split.end),
    },
  });
  if (parts === null) return null;
  const { ordinal: _, ...tail } = range;
  const shares = shareEstimates(range, rowsLeft, rowBytes);
  return {
    giver: { ...range, ...shares.giver, split: parts.giver },
    taker: { ...tail, ...shares.taker, split: parts.taker },
  };
}
