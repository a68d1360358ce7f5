/** Plans a stream: the pure planner asks, and this answers from the server, inside of the caller's transaction. */
import assert from "node:assert/strict";
import { expandHistogram } from "../../../partitioning/histogram-bounds.ts";
import { planStream } from "../../../partitioning/planner.ts";
import type {
  PlanAnswer,
  PlanQuestion,
} from "../../../partitioning/questions.ts";
import {
  BYTES_PER_SECOND_DEFAULT,
  type LeafMeasure,
} from "../../../partitioning/sizing.ts";
import type { KeyTuple, Plan } from "../../../proto/partition.ts";
import type { LeafRelation, PlanSettings, RowFilter } from "../source.ts";
import { listSizes, queries, tryQuery } from "./catalog.ts";
import {
  bindParameter,
  filterConditions,
  quoteIdentifier,
  quoteRelation,
  type Queryable,
  type SqlParameter,
} from "./sql.ts";
import type { MssqlStream, RangeKey } from "./stream.ts";
import { keyToText, textToKey } from "./types.ts";

export interface PlanOptions extends PlanSettings {
  readonly filter: RowFilter;
}

/** Bytes of a page. @see SQL Server documentation, "Pages and extents architecture guide" */
export const PAGE_BYTES = 8_192;
/** Samples of one table are the same at every planning, as far as the table is. */
const SAMPLE_SEED = 1;
/** Pages of a sample that counts the rows a filter leaves. */
const FILTER_SAMPLE_PAGES = 256;
/** Parameters of a query: 2,100 are allowed. @see SQL Server documentation, "Maximum capacity specifications" */
const PARAMETERS_MAX = 1_900;
/** Bounds that are compared in one query, which has a SELECT for each. */
const COMPARED_MAX = 200;
/** Steps of a histogram for each partition: with fewer, they would differ too much. */
const STEPS_PER_PARTITION = 2;
/** Keys that the planner wants for each bound (`KEYS_PER_BOUND`). */
const KEYS_PER_BOUND = 100;
/** Rows of a table whose keys are sampled by reading all of them, where nothing cheaper is to be had. */
const SCANNED_ROWS_MAX = 10_000_000;

/**
 * @throws ExtractError as the queries do: SOURCE_QUERY_FAILED for a filter that the server does not take,
 * SOURCE_CONNECTION_LOST …
 */
export async function planPartitions(
  connection: Queryable,
  stream: MssqlStream,
  options: PlanOptions,
): Promise<Plan> {
  const { filter, partitionBy, ...settings } = options;
  const leaf = onlyLeaf(stream);
  const isTable = stream.relationKind === "table";
  const measure = await measureTable(connection, stream, leaf, filter);
  const planner = planStream({
    ...settings,
    stream: stream.schema.number,
    leaves: [
      {
        relation: { schema: leaf.schema, name: leaf.name, oid: leaf.oid },
        only: leaf.only,
        // pages can be sampled; ranges of them cannot be read
        heap: isTable && measure.pages > 0,
      },
    ],
    key: stream.rangeKey,
    // the version from which pages can be read in ranges is that of another server
    serverVersion: 0,
    partitionBy: partitionBy === "ctid" ? "auto" : partitionBy,
    blockBytes: PAGE_BYTES,
    bytesPerSecond: BYTES_PER_SECOND_DEFAULT,
  });
  let step = planner.next();
  while (!step.done) {
    step = planner.next(
      await answerQuestion(connection, stream, measure, step.value),
    );
  }
  return { ...step.value, reason: explain(stream, step.value) };
}

function explain(stream: MssqlStream, plan: Plan): string {
  const { rangeKey } = stream;
  if (plan.rung === "keyRanges" && rangeKey !== null) {
    const names = rangeKey.columns.map(({ name }) => name).join(", ");
    return `Ranges of ${names}, by which ${rangeKey.name} orders the rows${rangeKey.unique ? "" : "; it is not unique, so checkpoints wait for a change of key"}.`;
  }
  if (stream.relationKind === "view") return "One read, because it is a view.";
  return rangeKey === null
    ? "One read per table, because no clustered index of a usable type orders its rows."
    : "One read per table, because it is not worth cutting or the filter leaves few rows.";
}

export function onlyLeaf(stream: MssqlStream): LeafRelation {
  const [leaf] = stream.leaves;
  assert(leaf !== undefined, "a stream has one leaf");
  return leaf;
}

async function answerQuestion(
  connection: Queryable,
  stream: MssqlStream,
  measure: LeafMeasure,
  question: PlanQuestion,
): Promise<PlanAnswer> {
  switch (question.kind) {
    case "measureLeaves":
      return { kind: question.kind, leaves: [measure] };
    case "estimateRows":
      return {
        kind: question.kind,
        ...(await sampleRows(connection, stream, question.percent)),
      };
    case "sampleKeys":
      return {
        kind: question.kind,
        keys: await findKeys(connection, stream, measure, question),
      };
    case "keyRange":
      return {
        kind: question.kind,
        range: await readKeyRange(connection, stream),
      };
    case "orderBounds":
      return {
        kind: question.kind,
        bounds: await orderBounds(connection, stream, question.bounds),
      };
  }
}

/** The table's size now. Where the server tells none, rows are counted, which reads its smallest index. */
async function measureTable(
  connection: Queryable,
  stream: MssqlStream,
  leaf: LeafRelation,
  filter: RowFilter,
): Promise<LeafMeasure> {
  if (stream.relationKind !== "table") {
    return { pages: 0, toastBytes: 0, rowEstimate: -1, filteredRows: null };
  }
  const [size] = await listSizes(connection, [leaf.oid]);
  const rowEstimate = size?.rows ?? (await countRows(connection, leaf));
  // where only rows are known, a page for each forty of them: it decides no more than whether to look closer
  const pages = size?.pages || Math.ceil(Math.max(0, rowEstimate) / 40);
  const isFiltered = filter.where !== null || filter.cursor !== null;
  const measure: LeafMeasure = {
    pages,
    toastBytes: (size?.largePages ?? 0) * PAGE_BYTES,
    rowEstimate,
    filteredRows: null,
  };
  if (!isFiltered || rowEstimate <= 0) return measure;
  const share = await sampleFilter(connection, leaf, filter, pages);
  return {
    ...measure,
    filteredRows: share === null ? null : Math.round(rowEstimate * share),
  };
}

async function countRows(
  connection: Queryable,
  leaf: LeafRelation,
): Promise<number> {
  const rows = await tryQuery<{ rows: number }>(
    connection,
    `SELECT CAST(COUNT_BIG(*) AS float) AS [rows] FROM ${quoteRelation(leaf)}`,
  );
  return rows?.[0]?.rows ?? -1;
}

/** The share of sampled rows that pass; null where the sample was empty or refused. */
async function sampleFilter(
  connection: Queryable,
  leaf: LeafRelation,
  filter: RowFilter,
  pages: number,
): Promise<number | null> {
  const params: SqlParameter[] = [];
  const conditions = filterConditions(filter, params).join(" AND ");
  const percent = 100 * Math.min(1, FILTER_SAMPLE_PAGES / Math.max(1, pages));
  const rows = await tryQuery<{ seen: number; passed: number | null }>(
    connection,
    `SELECT CAST(COUNT_BIG(*) AS float) AS seen,
  CAST(SUM(CASE WHEN ${conditions} THEN 1 ELSE 0 END) AS float) AS passed
FROM ${fromSample(leaf, percent)}`,
    params.map(String),
  );
  const [row] = rows ?? [];
  return row === undefined || row.seen === 0 || row.passed === null
    ? null
    : row.passed / row.seen;
}

/**
 * `FROM` of a page sample. The pages are chosen by chance, so `percent` of them is about what comes.
 * @see SQL Server documentation, "FROM clause plus JOIN, APPLY, PIVOT", TABLESAMPLE
 */
export function fromSample(leaf: LeafRelation, percent: number): string {
  // written out: an exponent makes another type of the number
  const share = percent.toFixed(6);
  return percent >= 100
    ? `${quoteRelation(leaf)} AS t`
    : `${quoteRelation(leaf)} AS t TABLESAMPLE SYSTEM (${share} PERCENT) REPEATABLE (${SAMPLE_SEED})`;
}

async function sampleRows(
  connection: Queryable,
  stream: MssqlStream,
  percent: number,
): Promise<{ rows: number; bytesPerRow: number }> {
  const size = stream.columns
    .map(
      (column) => `COALESCE(DATALENGTH(t.${quoteIdentifier(column.name)}), 0)`,
    )
    .join(" + ");
  const rows = await tryQuery<{ rows: number; bytesPerRow: number | null }>(
    connection,
    `SELECT CAST(COUNT_BIG(*) AS float) AS [rows], AVG(CAST(${size} AS float)) AS bytesPerRow
FROM ${fromSample(onlyLeaf(stream), percent)}`,
  );
  const [row] = rows ?? [];
  return { rows: row?.rows ?? 0, bytesPerRow: row?.bytesPerRow ?? 0 };
}

/** Steps of the statistics where they are enough, else a sample of pages, else every so manyth of all keys. */
async function findKeys(
  connection: Queryable,
  stream: MssqlStream,
  measure: LeafMeasure,
  { percent, keysMax }: { readonly percent: number; readonly keysMax: number },
): Promise<KeyTuple[]> {
  const partitions = keysMax / KEYS_PER_BOUND;
  const steps = await readHistogram(connection, stream);
  if (steps.length >= STEPS_PER_PARTITION * partitions) {
    return expandHistogram(steps, keysMax);
  }
  const sampled = await sampleKeys(connection, stream, percent, keysMax);
  if (sampled !== null && sampled.length >= partitions) return sampled;
  if (steps.length > 1) return expandHistogram(steps, keysMax);
  if (percent >= 100 || measure.rowEstimate > SCANNED_ROWS_MAX) {
    return sampled ?? [];
  }
  return (await sampleKeys(connection, stream, 100, keysMax)) ?? [];
}

/** Of a key of one column, which is what a histogram is made of. */
async function readHistogram(
  connection: Queryable,
  stream: MssqlStream,
): Promise<{ key: KeyTuple; rows: number }[]> {
  const { columns, indexId } = keyOf(stream);
  const [column, ...others] = columns;
  if (column === undefined || others.length > 0 || indexId === null) return [];
  const [declared = ""] = column.type.split(" COLLATE ");
  const sql = queries.histogram
    .replace(
      "$KEY",
      keyToText(`CONVERT(${declared}, h.range_high_key)`, column.type),
    )
    .replace("$ID", String(onlyLeaf(stream).oid))
    .replace("$INDEX", String(indexId));
  const rows = await tryQuery<{ key: string; rows: number }>(connection, sql);
  return (rows ?? []).map((row) => ({ key: [row.key], rows: row.rows }));
}

/** Sorted by the server, under the columns' own collations; null where the server refuses. */
async function sampleKeys(
  connection: Queryable,
  stream: MssqlStream,
  percent: number,
  keysMax: number,
): Promise<KeyTuple[] | null> {
  const { columns } = keyOf(stream);
  const names = columns.map(({ name }) => `t.${quoteIdentifier(name)}`);
  const texts = columns.map(
    ({ type }, i) => `${keyToText(names[i] ?? "", type)} AS k${i + 1}`,
  );
  const wanted = Math.floor(keysMax);
  const rows = await tryQuery<Record<string, string>>(
    connection,
    `SELECT ${columns.map((_, i) => `k${i + 1}`).join(", ")} FROM (
  SELECT ${texts.join(", ")}, ROW_NUMBER() OVER (ORDER BY ${names.join(", ")}) AS n,
    COUNT(*) OVER () AS total
  FROM ${fromSample(onlyLeaf(stream), percent)}
  WHERE ${names[0]} IS NOT NULL
) AS numbered
WHERE n * ${wanted} / total > (n - 1) * ${wanted} / total
ORDER BY n`,
  );
  return (
    rows?.map((row) => columns.map((_, i) => row[`k${i + 1}`] ?? "")) ?? null
  );
}

async function readKeyRange(
  connection: Queryable,
  stream: MssqlStream,
): Promise<{ min: bigint; max: bigint } | null> {
  const [column] = keyOf(stream).columns;
  assert(column !== undefined, "a key has a column");
  const name = `t.${quoteIdentifier(column.name)}`;
  const rows = await tryQuery<{ min: string | null; max: string | null }>(
    connection,
    `SELECT CAST(MIN(${name}) AS nvarchar(40)) AS [min], CAST(MAX(${name}) AS nvarchar(40)) AS [max]
FROM ${quoteRelation(onlyLeaf(stream))} AS t`,
  );
  const [row] = rows ?? [];
  if (row === undefined || row.min === null || row.max === null) return null;
  return { min: BigInt(row.min), max: BigInt(row.max) };
}

export function keyOf(stream: MssqlStream): RangeKey {
  assert(stream.rangeKey !== null, "a question about a key wants a key");
  return stream.rangeKey;
}

/**
 * Bounds as the server compares them after their trip through text: only those above the one before. They come sorted
 * by the server; should it find one below the one before, its text is not its value, and there are no bounds.
 */
export async function orderBounds(
  connection: Queryable,
  stream: MssqlStream,
  bounds: readonly KeyTuple[],
): Promise<KeyTuple[]> {
  const [first] = bounds;
  if (first === undefined) return [];
  const ordered: KeyTuple[] = [first];
  const perQuery = Math.max(
    1,
    Math.min(
      COMPARED_MAX,
      Math.floor(PARAMETERS_MAX / keyOf(stream).columns.length) - 1,
    ),
  );
  for (let at = 1; at < bounds.length; at += perQuery) {
    const part = bounds.slice(at, at + perQuery);
    const signs = await compareNeighbours(connection, stream, [
      bounds[at - 1] ?? first,
      ...part,
    ]);
    for (const [i, bound] of part.entries()) {
      const sign = signs[i] ?? 0;
      if (sign < 0) return [];
      if (sign > 0) ordered.push(bound);
    }
  }
  return ordered;
}

/** For each bound but the first, how the server compares it with the one before: 1 above, 0 equal, -1 below. */
async function compareNeighbours(
  connection: Queryable,
  stream: MssqlStream,
  bounds: readonly KeyTuple[],
): Promise<number[]> {
  const { columns } = keyOf(stream);
  const params: SqlParameter[] = [];
  const values = bounds.map((bound) =>
    columns.map(({ type }, i) =>
      textToKey(bindParameter(params, bound[i] ?? ""), type),
    ),
  );
  const pairs = values.slice(1).map((high, i) => {
    const low = values[i] ?? [];
    return `SELECT ${i} AS n, CASE ${high
      .map(
        (value, column) =>
          `WHEN ${value} > ${low[column]} THEN 1 WHEN ${value} < ${low[column]} THEN -1`,
      )
      .join(" ")} ELSE 0 END AS sign`;
  });
  if (pairs.length === 0) return [];
  const rows = await connection.query<{ n: number; sign: number }>(
    `SELECT n, sign FROM (${pairs.join(" UNION ALL ")}) AS compared ORDER BY n`,
    params,
  );
  return rows.map((row) => row.sign);
}
