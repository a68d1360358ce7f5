/** Plans a stream: the pure planner asks, and this answers from the server, inside of the caller's snapshot. */
import assert from "node:assert/strict";
import { planStream } from "../../../partitioning/planner.ts";
import type {
  PlanAnswer,
  PlanQuestion,
} from "../../../partitioning/questions.ts";
import {
  BYTES_PER_SECOND_DEFAULT,
  PARTITION_BYTES_MIN,
  type LeafMeasure,
} from "../../../partitioning/sizing.ts";
import type { KeyTuple, Plan } from "../../../proto/partition.ts";
import type { LeafRelation, RowFilter } from "../source.ts";
import type { PostgresStream } from "./stream.ts";
import {
  filterConditions,
  fromRelation,
  oidArray,
  type Queryable,
} from "./sql.ts";
import { quoteIdentifier } from "./types.ts";

export interface PlanOptions {
  readonly channels: number;
  readonly checkpointTargetSeconds: number;
  readonly partitionBy: "auto" | "ctid" | "key";
  readonly filter: RowFilter;
  /** Of one reader; null where nothing was measured yet. */
  readonly bytesPerSecond: number | null;
  /** Left out: PARTITION_BYTES_MIN. */
  readonly partitionBytesMin?: number;
}

/** Samples of one table are the same at every planning, as far as the table is. */
const SAMPLE_SEED = 1;

/**
 * @throws ExtractError as the queries do: SOURCE_QUERY_FAILED for a filter that the server does not take,
 * SOURCE_CONNECTION_LOST …
 */
export async function planPartitions(
  connection: Queryable,
  stream: PostgresStream,
  options: PlanOptions,
): Promise<Plan> {
  const { blockBytes, measures } = await measureLeaves(
    connection,
    stream,
    options.filter,
  );
  const planner = planStream({
    stream: stream.schema.number,
    leaves: stream.leaves.map((leaf) => ({
      relation: { schema: leaf.schema, name: leaf.name, oid: leaf.oid },
      only: leaf.only,
      heap: leaf.heap,
    })),
    key: stream.key,
    serverVersion: connection.serverVersion,
    partitionBy: options.partitionBy,
    blockBytes,
    channels: options.channels,
    checkpointTargetSeconds: options.checkpointTargetSeconds,
    bytesPerSecond: options.bytesPerSecond ?? BYTES_PER_SECOND_DEFAULT,
    partitionBytesMin: options.partitionBytesMin ?? PARTITION_BYTES_MIN,
  });
  let step = planner.next();
  while (!step.done) {
    const answer = await answerQuestion(
      connection,
      stream,
      measures,
      step.value,
    );
    step = planner.next(answer);
  }
  return step.value;
}

async function answerQuestion(
  connection: Queryable,
  stream: PostgresStream,
  measures: readonly LeafMeasure[],
  question: PlanQuestion,
): Promise<PlanAnswer> {
  if (question.kind === "measureLeaves") {
    return { kind: question.kind, leaves: measures };
  }
  const leaf = stream.leaves[question.leaf];
  assert(leaf !== undefined, "a question about a leaf of the stream");
  switch (question.kind) {
    case "estimateRows":
      return {
        kind: question.kind,
        ...(await sampleRows(connection, stream, leaf, question.percent)),
      };
    case "sampleKeys": {
      const { percent, keysMax } = question;
      const keys = await sampleKeys(connection, stream, leaf, percent, keysMax);
      return { kind: question.kind, keys };
    }
    case "keyRange":
      return {
        kind: question.kind,
        range: await readKeyRange(connection, stream, leaf),
      };
    case "orderBounds":
      return {
        kind: question.kind,
        bounds: await orderBounds(connection, stream, leaf, question.bounds),
      };
  }
}

interface SizeRow {
  readonly oid: number;
  readonly blockBytes: number;
  readonly pages: number;
  readonly toastBytes: number;
}

/** The leaves' sizes now, in one round trip; what has no heap or is filtered costs an EXPLAIN each. */
async function measureLeaves(
  connection: Queryable,
  stream: PostgresStream,
  filter: RowFilter,
): Promise<{ blockBytes: number; measures: LeafMeasure[] }> {
  const rows = await connection.query<SizeRow>(
    `SELECT l.oid, size.block::int AS "blockBytes",
      (coalesce(pg_relation_size(c.oid), 0) / size.block)::float8 AS pages,
      coalesce(pg_relation_size(nullif(c.reltoastrelid, 0)), 0)::float8 AS "toastBytes"
    FROM unnest($1::oid[]) AS l(oid)
    CROSS JOIN (SELECT current_setting('block_size')::int8 AS block) AS size
    LEFT JOIN pg_class c ON c.oid = l.oid AND c.relkind IN ('r', 'm')`,
    [oidArray(stream.leaves.map((leaf) => leaf.oid))],
  );
  const sizes = new Map(rows.map((row) => [row.oid, row]));
  const isFiltered = filter.where !== null || filter.cursor !== null;
  const measures: LeafMeasure[] = [];
  for (const leaf of stream.leaves) {
    const size = leaf.heap ? sizes.get(leaf.oid) : undefined;
    const pages = size?.pages ?? leaf.pages;
    const isKnown = leaf.heap || leaf.rowEstimate >= 0;
    measures.push({
      pages,
      toastBytes: size?.toastBytes ?? 0,
      rowEstimate: isKnown
        ? scaleRows(leaf, pages)
        : await explainRows(connection, leaf, null),
      filteredRows: isFiltered
        ? await explainRows(connection, leaf, filter)
        : null,
    });
  }
  const blockBytes = rows[0]?.blockBytes;
  assert(blockBytes !== undefined && blockBytes > 0, "one row per leaf");
  return { blockBytes, measures };
}

function scaleRows(leaf: LeafRelation, pages: number): number {
  if (leaf.rowEstimate <= 0 || leaf.pages === 0) return leaf.rowEstimate;
  return Math.round((leaf.rowEstimate / leaf.pages) * pages);
}

/** Rows by the server's own planner. */
async function explainRows(
  connection: Queryable,
  leaf: LeafRelation,
  filter: RowFilter | null,
): Promise<number> {
  const { sql, params } =
    filter === null ? { sql: [], params: [] } : filterConditions(filter, 1);
  const where = sql.length === 0 ? "" : ` WHERE ${sql.join(" AND ")}`;
  const rows = await connection.query<{
    "QUERY PLAN": readonly { Plan: { "Plan Rows": number } }[];
  }>(
    `EXPLAIN (FORMAT JSON) SELECT 1 FROM ${fromRelation(leaf, leaf.only)}${where}`,
    params,
  );
  return rows[0]?.["QUERY PLAN"][0]?.Plan["Plan Rows"] ?? -1;
}

/** `FROM` of a page sample. The pages are chosen by chance, so `percent` of them is about what comes. */
export function fromSample(leaf: LeafRelation, percent: number): string {
  const sample =
    percent >= 100
      ? ""
      : ` TABLESAMPLE SYSTEM (${percent}) REPEATABLE (${SAMPLE_SEED})`;
  return `${fromRelation(leaf, leaf.only)} AS t${sample}`;
}

/**
 * `pg_column_size` of each column reads no out-of-line value, as that of the whole row would: it takes the size from
 * the pointer.
 */
async function sampleRows(
  connection: Queryable,
  stream: PostgresStream,
  leaf: LeafRelation,
  percent: number,
): Promise<{ rows: number; bytesPerRow: number }> {
  const size = stream.columns
    .map(
      (column) =>
        `coalesce(pg_column_size(t.${quoteIdentifier(column.name)}), 0)`,
    )
    .join(" + ");
  const [row] = await connection.query<{ rows: number; bytesPerRow: number }>(
    `SELECT count(*)::float8 AS rows, coalesce(avg(${size}), 0)::float8 AS "bytesPerRow"
    FROM ${fromSample(leaf, percent)}`,
  );
  assert(row !== undefined, "an aggregate has one row");
  return row;
}

interface KeyParts {
  /** `k1`, `k2` …: the key's columns inside of our queries. */
  readonly aliases: readonly string[];
  /** `"a" AS k1, …` */
  readonly select: string;
  /** `k1, k2` */
  readonly list: string;
}

export function describeKey(stream: PostgresStream): KeyParts {
  assert(stream.key !== null, "a question about a key wants a key");
  const aliases = stream.key.columns.map((_, i) => `k${i + 1}`);
  return {
    aliases,
    select: stream.key.columns
      .map((column, i) => `t.${quoteIdentifier(column.name)} AS k${i + 1}`)
      .join(", "),
    list: aliases.join(", "),
  };
}

/** Sorted by the server, under the columns' own collations. */
async function sampleKeys(
  connection: Queryable,
  stream: PostgresStream,
  leaf: LeafRelation,
  percent: number,
  keysMax: number,
): Promise<KeyTuple[]> {
  const { aliases, select, list } = describeKey(stream);
  const texts = aliases.map((alias) => `${alias}::text`).join(", ");
  const rows = await connection.query<{ key: KeyTuple }>(
    `SELECT key FROM (
      SELECT json_build_array(${texts}) AS key,
        row_number() OVER (ORDER BY ${list}) AS n, count(*) OVER () AS total
      FROM (SELECT ${select} FROM ${fromSample(leaf, percent)}) AS s
    ) AS numbered
    WHERE n * $1::int8 / total > (n - 1) * $1::int8 / total
    ORDER BY n`,
    [keysMax],
  );
  return rows.map((row) => row.key);
}

async function readKeyRange(
  connection: Queryable,
  stream: PostgresStream,
  leaf: LeafRelation,
): Promise<{ min: bigint; max: bigint } | null> {
  const { select } = describeKey(stream);
  const [row] = await connection.query<{
    min: string | null;
    max: string | null;
  }>(
    `SELECT min(k1)::text AS min, max(k1)::text AS max
    FROM (SELECT ${select} FROM ${fromRelation(leaf, leaf.only)} AS t) AS s`,
  );
  if (row === undefined || row.min === null || row.max === null) return null;
  return { min: BigInt(row.min), max: BigInt(row.max) };
}

/**
 * Bounds as the server compares them after their trip through text: sorted, and only those above the one before. The
 * empty branch of the union lends the bounds the columns' collations.
 */
export async function orderBounds(
  connection: Queryable,
  stream: PostgresStream,
  leaf: LeafRelation,
  bounds: readonly KeyTuple[],
): Promise<KeyTuple[]> {
  const { aliases, select, list } = describeKey(stream);
  const casts = stream.key?.columns
    .map((column, i) => `(b.key ->> ${i})::${column.type}`)
    .join(", ");
  const before = aliases.map((alias) => `lag(${alias}) OVER w`).join(", ");
  const rows = await connection.query<{ n: number }>(
    `WITH bound AS (
      SELECT ${select}, 0::int8 AS n FROM ${fromRelation(leaf, leaf.only)} AS t WHERE false
      UNION ALL
      SELECT ${casts}, b.n FROM json_array_elements($1::json) WITH ORDINALITY AS b(key, n)
    )
    SELECT n::int FROM (
      SELECT ${list}, n, (${list}) > (${before}) AS above
      FROM bound WINDOW w AS (ORDER BY ${list}, n)
    ) AS compared
    WHERE above IS NOT FALSE
    ORDER BY ${list}`,
    [JSON.stringify(bounds)],
  );
  return rows.map((row) => {
    const bound = bounds[row.n - 1];
    assert(bound !== undefined, "a bound of those that were sent");
    return bound;
  });
}
