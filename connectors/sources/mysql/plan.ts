/**
 * Plans a stream: the pure planner asks, and this answers from the server, inside of the caller's snapshot. Only SELECT
 * and EXPLAIN are used, so that the transaction stays as it was, whether they fail or not.
 */
import assert from "node:assert/strict";
import {
  planByDives,
  type DivePlanAnswer,
  type DivePlanQuestion,
} from "../../../partitioning/dive-planner.ts";
import {
  BYTES_PER_SECOND_DEFAULT,
  PARTITION_BYTES_MIN,
  type LeafMeasure,
} from "../../../partitioning/sizing.ts";
import type { KeyTuple, Plan } from "../../../proto/partition.ts";
import type { LeafRelation, PlanSettings, RowFilter } from "../source.ts";
import { PAGE_BYTES } from "./discover.ts";
import { estimateFiltered, estimateRows } from "./explain.ts";
import { KeyFinder } from "./key-finder.ts";
import {
  filterConditions,
  quoteIdentifier,
  quoteRelation,
  type Queryable,
} from "./sql.ts";
import type { MysqlStream } from "./stream.ts";

export interface PlanOptions extends Omit<PlanSettings, "partitionBytesMin"> {
  readonly filter: RowFilter;
  /** Of one reader; null where nothing was measured yet. */
  readonly bytesPerSecond: number | null;
  /** Left out: PARTITION_BYTES_MIN. */
  readonly partitionBytesMin?: number;
}

/** InnoDB adds so many bytes to each row: less for a row means that the size was taken when there were fewer. */
const ROW_OVERHEAD_BYTES = 18;
/** Rows whose width is looked at where the statistics are stale. */
const SAMPLE_ROWS = 100;

/**
 * @throws ExtractError as the queries do: SOURCE_QUERY_FAILED for a filter that the server does not take,
 * SOURCE_CONNECTION_LOST …
 */
export async function planPartitions(
  connection: Queryable,
  stream: MysqlStream,
  options: PlanOptions,
): Promise<Plan> {
  const planner = planByDives({
    stream: stream.schema.number,
    leaves: stream.leaves.map((leaf) => ({
      relation: { schema: leaf.schema, name: leaf.name, oid: leaf.oid },
      only: leaf.only,
      heap: leaf.heap,
    })),
    key: stream.key,
    keyIsInteger: isOneInteger(stream),
    blockBytes: PAGE_BYTES,
    channels: options.channels,
    checkpointTargetSeconds: options.checkpointTargetSeconds,
    bytesPerSecond: options.bytesPerSecond ?? BYTES_PER_SECOND_DEFAULT,
    partitionBytesMin: options.partitionBytesMin ?? PARTITION_BYTES_MIN,
  });
  const finders = stream.key
    ? stream.leaves.map((leaf) => new KeyFinder(connection, stream, leaf))
    : [];
  let step = planner.next();
  while (!step.done) {
    const { value: question } = step;
    step = planner.next(
      question.kind === "measureLeaves"
        ? {
            kind: question.kind,
            leaves: await measureLeaves(connection, stream, options.filter),
          }
        : await answerAboutKeys(finders, question),
    );
  }
  return step.value;
}

function isOneInteger({ key }: MysqlStream): boolean {
  const [column, ...others] = key?.columns ?? [];
  return (
    others.length === 0 &&
    /^(?:(?:tiny|small|medium|big)?int|bit|year)\b/i.test(column?.type ?? "")
  );
}

async function answerAboutKeys(
  finders: readonly KeyFinder[],
  question: Exclude<DivePlanQuestion, { kind: "measureLeaves" }>,
): Promise<DivePlanAnswer> {
  const finder = finders[question.leaf];
  assert(finder !== undefined, "a question about a leaf that has a key");
  switch (question.kind) {
    case "keyRange": {
      const all = { start: null, end: null };
      const min = (await finder.first(all))?.[0];
      const max = (await finder.last(all))?.[0];
      const isKnown = min !== undefined && max !== undefined;
      return {
        kind: question.kind,
        range: isKnown ? { min: BigInt(min), max: BigInt(max) } : null,
      };
    }
    case "estimateRange":
      return { kind: question.kind, rows: await finder.estimate(question) };
    case "cutRange":
      return { kind: question.kind, key: await finder.middle(question) };
    case "orderBounds":
      return {
        kind: question.kind,
        bounds: await orderBounds(finder, question.bounds),
      };
  }
}

/**
 * Those bounds that have rows between themselves and the one before: such a row is at or above the one and below the
 * other, so they ascend as the server compares them after their way through text.
 */
async function orderBounds(
  finder: KeyFinder,
  bounds: readonly KeyTuple[],
): Promise<KeyTuple[]> {
  const kept: KeyTuple[] = [];
  for (const bound of bounds) {
    const range = { start: kept.at(-1) ?? null, end: bound };
    if ((await finder.first(range)) !== null) kept.push(bound);
  }
  return kept;
}

async function measureLeaves(
  connection: Queryable,
  stream: MysqlStream,
  filter: RowFilter,
): Promise<LeafMeasure[]> {
  const conditions = filterConditions(filter);
  const measures: LeafMeasure[] = [];
  for (const leaf of stream.leaves) {
    const select = `SELECT 1 FROM ${quoteRelation(leaf)}`;
    // fresher than the statistics of the catalog, which are taken now and then
    const rows = await estimateRows(connection, select);
    measures.push({
      pages: await measurePages(connection, stream, leaf, rows),
      toastBytes: 0,
      rowEstimate: rows,
      filteredRows:
        conditions.length === 0
          ? null
          : await estimateFiltered(
              connection,
              `${select} WHERE ${conditions.join(" AND ")}`,
            ),
    });
  }
  return measures;
}

/** Pages of the statistics, or what the rows would take by the width of the first of them. */
async function measurePages(
  connection: Queryable,
  stream: MysqlStream,
  leaf: LeafRelation,
  rows: number,
): Promise<number> {
  const isPlausible = leaf.pages * PAGE_BYTES >= rows * ROW_OVERHEAD_BYTES;
  if (stream.relationKind === "view" || isPlausible) return leaf.pages;
  const widths = stream.columns.map(
    ({ name }) => `COALESCE(LENGTH(${quoteIdentifier(name)}), 0)`,
  );
  const [sample] = await connection.query<{ width: number | string | null }>(
    `SELECT AVG(width) AS width FROM (
      SELECT ${widths.join(" + ")} AS width FROM ${quoteRelation(leaf)} LIMIT ${SAMPLE_ROWS}
    ) AS sample`,
  );
  const width = Number(sample?.width ?? 0) + ROW_OVERHEAD_BYTES;
  return Math.max(leaf.pages, Math.ceil((rows * width) / PAGE_BYTES));
}
