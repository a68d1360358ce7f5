/**
 * `npm run bench -- postgres-destination`: rows from the generator, through the batching middleware, into a Postgres
 * that waits for its disk, for batches of 1 to 10,000 rows; and one INSERT per row by `pg` beside them.
 */
import { mkdtempSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import pg from "pg";
import type { PostgresDestinationConfig } from "../../connectors/destinations/postgres/config.ts";
import { postgresDestinationDefaults } from "../../connectors/destinations/postgres/config.ts";
import { postgresDestinationDriver } from "../../connectors/destinations/postgres/driver.ts";
import { generatorDriver } from "../../connectors/sources/generator/driver.ts";
import { startCluster } from "../../deploy/demo/cluster.ts";
import type { SealedFile } from "../../proto/checkpoint.ts";
import type { ColumnBatch } from "../../proto/columns.ts";
import { findPrograms } from "../services/postgres.ts";

const COLUMNS = "id:int,first:string,last:string";

/** Rows of one measurement, so that each takes a second or two. */
const sizes: readonly (readonly [batchRows: number, rows: number])[] = [
  [1, 5_000],
  [10, 50_000],
  [100, 300_000],
  [1_000, 800_000],
  [10_000, 2_000_000],
];
const INSERTS = 1_000;
const ROUNDS = 3;
/** As in the destination process: so many checkpoints may be on their way before the source is left waiting. */
const SEALS_AT_ONCE_MAX = 16;
/** What the best is to be, and how many times the smallest. */
const ROWS_PER_SECOND_LEAST = 250_000;
const GAIN_LEAST = 20;

export interface Measured {
  readonly rowsPerSecond: number;
  /** Milliseconds from a row received to that row committed. */
  readonly p50: number;
  readonly p99: number;
}

/** Every row of 1 … rows is there once. @throws Error before any figure is printed */
async function checkTable(
  client: pg.Client,
  table: string,
  rows: number,
): Promise<void> {
  const { rows: found } = await client.query<Record<string, string>>(
    `SELECT count(*) AS count, sum(id::bigint) AS sum, count(DISTINCT id) AS ids, sum(length(first) + length(last)) AS chars FROM ${table}`,
  );
  const [{ count, sum, ids, chars } = {}] = found;
  const wanted = String((BigInt(rows) * BigInt(rows + 1)) / 2n);
  if (count !== String(rows) || ids !== count || sum !== wanted || !chars)
    throw new Error(
      `${table} has ${count} rows with the sum ${sum} instead of ${rows} with ${wanted}`,
    );
}

function percentile(sorted: Float64Array, part: number): number {
  return sorted[Math.floor((sorted.length - 1) * part)] ?? Number.NaN;
}

function summarise(latencies: number[], rows: number, ms: number): Measured {
  const sorted = Float64Array.from(latencies).sort();
  return {
    rowsPerSecond: (rows / ms) * 1000,
    p50: percentile(sorted, 0.5),
    p99: percentile(sorted, 0.99),
  };
}

/** Each batch is committed with a checkpoint of its own; the rows of one batch are received together. */
async function measureBatches(
  url: string,
  batchRows: number,
  rows: number,
  generation: number,
): Promise<Measured> {
  const config: PostgresDestinationConfig = {
    ...postgresDestinationDefaults,
    kind: "postgres",
    url,
    mode: "full-refresh-overwrite",
    schema: "bench",
    batchRowsMax: batchRows,
  };
  const attempt = { runId: `r-bench-${generation}`, epoch: 1 };
  const context = { config, syncId: "bench", attempt };
  const storage = await postgresDestinationDriver.openStorage(context);
  const writers = await postgresDestinationDriver.openWriters(context, 0);
  const source = `generator:?columns=${COLUMNS}&rows=${rows}&batch=${batchRows}`;
  const session = await generatorDriver.connect(source);
  try {
    await storage.prepare();
    const { streams } = await session.discover(
      {
        include: [],
        exclude: [],
        columns: null,
      },
      "error",
    );
    const [stream] = streams;
    if (!stream) throw new Error("the generator has one stream");
    const target = { schema: stream.schema, generation, planVersion: 1 };
    const { plan } = await session.planStream(
      stream,
      { where: null, cursor: null },
      {
        channels: 1,
        checkpointTargetSeconds: 60,
        partitionBy: "auto",
        partitionBytesMin: 1,
      },
    );
    const [partition] = plan.partitions;
    if (!partition) throw new Error("the plan has one partition");
    const writer = writers.createWriter({ stream: target, partition: 0 });
    const latencies: number[] = [];
    const files: SealedFile[] = [];
    const seals = new Set<Promise<void>>();
    let index = 0;
    let lastTurn: Promise<void> = Promise.resolve();
    const take = async (
      batch: ColumnBatch,
      receivedAt: number,
    ): Promise<void> => {
      await writer.write(batch);
      index += 1;
      const seal = writer
        .seal({
          stream: 1,
          partition: 0,
          attempt: 1,
          sequence: index,
          index,
          position: null,
          rows: batch.rowCount,
          bytes: 0,
          last: false,
        })
        .then((sealed) => {
          files.push(...sealed);
          latencies.push(performance.now() - receivedAt);
        })
        .finally(() => seals.delete(seal));
      seals.add(seal);
      if (seals.size >= SEALS_AT_ONCE_MAX) await Promise.race(seals);
    };
    // staging is made with the first rows; a run of a database makes it once
    const startedAt = performance.now();
    await session.startRead(
      {
        stream,
        partition,
        resumeAfter: null,
        filter: { where: null, cursor: null },
        policy: "error",
        rowBytesMax: 1 << 20,
      },
      {
        // the reader gives the next batch while this one is being taken; they are written in order
        batch: (batch) => {
          const receivedAt = performance.now();
          const turn = lastTurn.then(() => take(batch, receivedAt));
          lastTurn = turn;
          return turn;
        },
        checkpoint: async () => {},
        valueNulled: () => {},
      },
      { checkpointEveryMs: 3_600_000 },
    ).done;
    await Promise.all(seals);
    const ms = performance.now() - startedAt;
    const step = {
      stream: target,
      mode: config.mode,
      committedAt: new Date().toISOString(),
      files,
    };
    await storage.verify(step);
    await storage.publish(step);
    await storage.supersede(target, []);
    return summarise(latencies, rows, ms);
  } finally {
    await writers.close();
    await storage.close();
  }
}

/** What a program does that knows nothing of batches: one INSERT per row, each waited for. */
async function measureInserts(url: string, rows: number): Promise<Measured> {
  const client = new pg.Client({ connectionString: url });
  await client.connect();
  try {
    await client.query(
      "DROP TABLE IF EXISTS inserts; CREATE TABLE inserts (id integer NOT NULL, first text NOT NULL, last text NOT NULL)",
    );
    const latencies: number[] = [];
    const startedAt = performance.now();
    for (let id = 1; id <= rows; id++) {
      const receivedAt = performance.now();
      await client.query("INSERT INTO inserts VALUES ($1, $2, $3)", [
        id,
        "kalimo",
        "garfin",
      ]);
      latencies.push(performance.now() - receivedAt);
    }
    const ms = performance.now() - startedAt;
    await checkTable(client, "inserts", rows);
    return summarise(latencies, rows, ms);
  } finally {
    await client.end();
  }
}

/** Of the rates; p50 and p99 are those of the same round. */
function medianOf(rounds: readonly Measured[]): Measured {
  const sorted = [...rounds].sort((a, b) => a.rowsPerSecond - b.rowsPerSecond);
  const median = sorted[sorted.length >> 1];
  if (!median) throw new Error("no round");
  return median;
}

function describe(name: string, measured: Measured, times: number): string {
  const rate = Math.round(measured.rowsPerSecond).toLocaleString("en");
  const ms = (value: number): string => value.toFixed(2).padStart(8);
  return `${name.padEnd(22)}${rate.padStart(10)} rows/s ${ms(measured.p50)} ms ${ms(measured.p99)} ms ${times.toFixed(1).padStart(8)} x`;
}

/** @returns whether what is to be reached was reached */
export async function measurePostgresDestination(): Promise<boolean> {
  const { binFolder, origin } = findPrograms(null);
  const cluster = await startCluster({
    binFolder,
    dataFolder: mkdtempSync(join(tmpdir(), "millrace-bench-")),
    settings: [],
    temporary: true,
  });
  const checker = new pg.Client({ connectionString: cluster.url });
  try {
    await checker.connect();
    const { rows: settings } = await checker.query<{
      name: string;
      setting: string;
    }>(
      "SELECT name, setting FROM pg_settings WHERE name IN ('fsync', 'synchronous_commit', 'full_page_writes', 'wal_level') ORDER BY name",
    );
    const inserts: Measured[] = [];
    const byBatch = new Map<number, Measured[]>();
    let generation = 0;
    for (let round = 0; round < ROUNDS; round++) {
      inserts.push(await measureInserts(cluster.url, INSERTS));
      for (const [batchRows, rows] of sizes) {
        generation += 1;
        const { url } = cluster;
        const measured = await measureBatches(url, batchRows, rows, generation);
        await checkTable(checker, "bench.rows", rows);
        byBatch.set(batchRows, [...(byBatch.get(batchRows) ?? []), measured]);
        await checker.query("CHECKPOINT");
      }
    }
    const insert = medianOf(inserts);
    const medians = sizes.map(
      ([batchRows]) =>
        [batchRows, medianOf(byBatch.get(batchRows) ?? [])] as const,
    );
    const smallest = medians[0]?.[1].rowsPerSecond ?? Number.NaN;
    console.log(
      `\n${COLUMNS} into Postgres (${origin}), ${settings.map(({ name, setting }) => `${name} ${setting}`).join(", ")}; counts and sums agreed`,
    );
    console.log(
      `medians of ${ROUNDS} rounds; p50 and p99 from row received to row committed with its checkpoint; x: of batches of 1\n`,
    );
    console.log(
      describe("pg, INSERT per row", insert, insert.rowsPerSecond / smallest),
    );
    for (const [batchRows, measured] of medians)
      console.log(
        describe(
          `batches of ${batchRows.toLocaleString("en")}`,
          measured,
          measured.rowsPerSecond / smallest,
        ),
      );
    const best = Math.max(...medians.map(([, one]) => one.rowsPerSecond));
    return (
      smallest >= insert.rowsPerSecond &&
      best >= GAIN_LEAST * smallest &&
      best >= ROWS_PER_SECOND_LEAST
    );
  } finally {
    await checker.end();
    await cluster.stop();
  }
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const isReached = await measurePostgresDestination();
  console.log(isReached ? "\nreached" : "\nNOT reached");
  if (!isReached) process.exitCode = 1;
}
