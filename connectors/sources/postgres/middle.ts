/** Finds where a partition that is being read can be cut in two: the server says what is left of it and where its middle is. */
import assert from "node:assert/strict";
import {
  findMiddlePage,
  resplit,
  shareEstimates,
  type Resplit,
} from "../../../partitioning/resplit.ts";
import type {
  KeyTuple,
  Partition,
  Position,
  Split,
} from "../../../proto/partition.ts";
import type { FoundSplit, LeafRelation, SplitRequest } from "../source.ts";
import type { PostgresStream } from "./stream.ts";
import { describeKey, fromSample, orderBounds } from "./plan.ts";
import { createPositionReader } from "./position.ts";
import { keyPredicates, selectFields } from "./read-query.ts";
import type { Queryable } from "./sql.ts";

/** Pages of the partition that a sample aims at: some thousand rows, so that their median is near the middle. */
const SAMPLE_PAGES = 64;
/** Pages of a sample, 8 MiB: a reader stands still meanwhile. */
const SAMPLE_PAGES_MAX = 1_024;

/** Whether a partition can be stopped inside and its tail be given away: its rows come in an order that is proven. */
export function canSplit(
  stream: PostgresStream,
  partition: Partition,
): boolean {
  const leaf = findLeaf(stream, partition);
  if (leaf?.heap !== true) return false;
  if (partition.split.kind !== "key") return partition.split.kind === "pages";
  const task = { stream, partition };
  return createPositionReader(task, selectFields(task)) !== null;
}

/**
 * Both parts of a partition whose reader has stopped; null where what is left of it is not worth two readers.
 * @throws ExtractError as its queries do
 */
export async function findSplit(
  connection: Queryable,
  stream: PostgresStream,
  { range, resumeAfter, rowBytes, bytesMin }: SplitRequest,
): Promise<FoundSplit | null> {
  const leaf = findLeaf(stream, range);
  const { split } = range;
  if (leaf === undefined || split.kind === "whole" || split.kind === "log")
    return null;
  const pages = await countPages(connection, leaf);
  const rowsMin = rowBytes > 0 ? bytesMin / rowBytes : Infinity;
  const found =
    split.kind === "pages"
      ? cutPages(range, split, resumeAfter, pages, rowsMin)
      : await cutKeys(connection, stream, leaf, pages, {
          range,
          split,
          resumeAfter,
          rowsMin,
        });
  if (found === null) return null;
  const { ordinal: _, ...tail } = range;
  const shares = shareEstimates(range, found.rowsLeft, rowBytes);
  return {
    giver: { ...range, ...shares.giver, split: found.parts.giver },
    taker: { ...tail, ...shares.taker, split: found.parts.taker },
  };
}

function findLeaf(
  stream: PostgresStream,
  { relation }: Partition,
): LeafRelation | undefined {
  return stream.leaves.find(({ oid }) => oid === relation.oid);
}

async function countPages(
  connection: Queryable,
  leaf: LeafRelation,
): Promise<{ readonly count: number; readonly blockBytes: number }> {
  const [row] = await connection.query<{ count: number; blockBytes: number }>(
    `SELECT (pg_relation_size($1::oid) / size.block)::float8 AS count, size.block::int AS "blockBytes"
    FROM (SELECT current_setting('block_size')::int8 AS block) AS size`,
    [leaf.oid],
  );
  assert(row !== undefined, "a row for a relation that is locked");
  return row;
}

interface Cut {
  readonly parts: Resplit;
  readonly rowsLeft: number;
}

function cutPages(
  { estimatedRows }: Partition,
  split: Extract<Split, { kind: "pages" }>,
  resumeAfter: Position | null,
  { count }: { readonly count: number },
  rowsMin: number,
): Cut | null {
  const position = resumeAfter?.kind === "pages" ? resumeAfter : null;
  assert(position === resumeAfter, "another position in pages");
  const whole = (split.endPage ?? count) - split.startPage;
  const rowsPerPage = whole > 0 ? estimatedRows / whole : 0;
  if (!(rowsPerPage > 0)) return null;
  const pagesMin = Math.ceil(rowsMin / rowsPerPage);
  const middlePage = findMiddlePage(split, position, count, pagesMin);
  if (middlePage === null) return null;
  const parts = resplit({
    kind: "pages",
    split,
    position,
    middlePage,
  });
  const left =
    (split.endPage ?? count) -
    Math.max(split.startPage, position?.nextPage ?? 0);
  return parts && { parts, rowsLeft: left * rowsPerPage };
}

interface KeyRequest {
  readonly range: Partition;
  readonly split: Extract<Split, { kind: "key" }>;
  readonly resumeAfter: Position | null;
  readonly rowsMin: number;
}

/** The middle of a page sample of what is left, in the order that the server gives the keys. */
async function cutKeys(
  connection: Queryable,
  stream: PostgresStream,
  leaf: LeafRelation,
  pages: { readonly count: number; readonly blockBytes: number },
  { range, split, resumeAfter, rowsMin }: KeyRequest,
): Promise<Cut | null> {
  if (pages.count === 0) return null;
  const share = range.estimatedBytes / (pages.count * pages.blockBytes);
  const samplePages = Math.min(
    SAMPLE_PAGES_MAX,
    Math.ceil(SAMPLE_PAGES / Math.min(1, share)),
  );
  const fraction = Math.min(1, samplePages / pages.count);
  const { aliases, select, list } = describeKey(stream);
  const params: string[] = [];
  const where = keyPredicates(split, resumeAfter, params);
  const texts = aliases.map((alias) => `${alias}::text`).join(", ");
  const [sampled] = await connection.query<{ key: KeyTuple; rows: number }>(
    `SELECT json_build_array(${texts}) AS key, total::float8 AS rows FROM (
      SELECT ${list}, row_number() OVER (ORDER BY ${list}) AS n, count(*) OVER () AS total
      FROM (
        SELECT ${select} FROM ${fromSample(leaf, 100 * fraction)}${where.length > 0 ? ` WHERE ${where.join(" AND ")}` : ""}
      ) AS s
    ) AS numbered
    WHERE n = total / 2 + 1`,
    params,
  );
  if (sampled === undefined) return null;
  const rowsLeft = sampled.rows / fraction;
  if (rowsLeft < 2 * rowsMin) return null;
  const position = resumeAfter?.kind === "key" ? resumeAfter : null;
  const parts = resplit({
    kind: "key",
    split,
    position,
    middle: sampled.key,
    order: await orderMiddle(connection, stream, leaf, {
      from: position?.after ?? split.start,
      middle: sampled.key,
      end: split.end,
    }),
  });
  return parts && { parts, rowsLeft };
}

/** How the server compares the middle with its neighbours once all have been texts. */
async function orderMiddle(
  connection: Queryable,
  stream: PostgresStream,
  leaf: LeafRelation,
  places: {
    readonly from: KeyTuple | null;
    readonly middle: KeyTuple;
    readonly end: KeyTuple | null;
  },
): Promise<{ readonly aboveStart: boolean; readonly belowEnd: boolean }> {
  const isAscending = async (
    low: KeyTuple | null,
    high: KeyTuple | null,
  ): Promise<boolean> => {
    if (low === null || high === null) return true;
    const ordered = await orderBounds(connection, stream, leaf, [low, high]);
    return ordered[0] === low && ordered[1] === high;
  };
  return {
    aboveStart: await isAscending(places.from, places.middle),
    belowEnd: await isAscending(places.middle, places.end),
  };
}
