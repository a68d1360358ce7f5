/** Rows partitioned by columns: folders within the generation's, and every promise of the other tests held in them. */
import * as fs from "node:fs";
import { dirname, join } from "node:path";

import { describe, expect } from "vitest";

import {
  cleanUp,
  readManifest,
  recoverCheckpoints,
} from "../../../../connectors/destinations/file/commit.ts";
import type { FileDestinationConfig } from "../../../../connectors/destinations/file/config.ts";
import { fileDriver } from "../../../../connectors/destinations/file/driver.ts";
import { readFileSize } from "../../../../connectors/destinations/file/storage.ts";
import { PartitionWriter } from "../../../../connectors/destinations/file/writer.ts";
import {
  CHECKPOINT_FILES_MAX,
  PartitionFiles,
} from "../../../../connectors/destinations/layout/partition-files.ts";
import {
  PARTITION_VALUES_MAX,
  parsePartitionColumn,
} from "../../../../connectors/formats/partition-rows.ts";
import type { FormatName } from "../../../../connectors/formats/format.ts";
import type { SealedFile } from "../../../../proto/checkpoint.ts";
import type { StreamSchema } from "../../../../proto/schema.ts";
import { buildBatch, type TestRow } from "../../../fixtures/batches.ts";
import { queryDuckDb } from "../../formats/duckdb.ts";
import { makeLedger, runAttempt } from "./attempt.ts";
import { listFiles, test } from "./folder.ts";
import {
  digestOf,
  makeBatch,
  makeConfig,
  makeStamp,
  readTable,
  schema as ordersSchema,
} from "./table.ts";
import { killAtEachCall, traceFs } from "./traced-fs.ts";

const GENERATION = "public/orders/g000001";

const schema: StreamSchema = {
  ...ordersSchema,
  columns: [
    ordersSchema.columns[0]!,
    {
      name: "country",
      type: { kind: "text" },
      nullable: true,
      sourceType: "text",
    },
    {
      name: "at",
      type: { kind: "timestamptz" },
      nullable: false,
      sourceType: "timestamptz",
    },
  ],
};
const DAY_US = 86_400_000_000n;

function makeRows(first: number, count: number): TestRow[] {
  return Array.from({ length: count }, (_, i) => {
    const id = first + i;
    const country = [null, "de", "a/b", ""][id % 4]!;
    return [BigInt(id), country, BigInt(Math.floor(id / 10)) * DAY_US];
  });
}

function configOf(
  root: string,
  by: readonly string[],
  format: FormatName = "parquet",
  fileBytesMax?: number,
): FileDestinationConfig {
  return {
    ...makeConfig(root, format, fileBytesMax),
    partitionBy: by.map(parsePartitionColumn),
  };
}

function openWriter(config: FileDestinationConfig, epoch = 1): PartitionWriter {
  return new PartitionWriter({
    config,
    schema,
    generation: 1,
    epoch,
    runId: "run-1",
    partition: 0,
    planVersion: 1,
  });
}

function write(
  writer: PartitionWriter,
  rows: readonly TestRow[],
): void | Promise<void> {
  return writer.write(buildBatch(schema, rows));
}

function folderOf(file: SealedFile): string {
  return dirname(file.path).slice(GENERATION.length + 1);
}

test("each value has a folder, and the files of a checkpoint are numbered through", async ({
  root,
}) => {
  const writer = openWriter(configOf(root, ["country", "at:day"]));
  await write(writer, makeRows(1, 8));
  await write(writer, makeRows(9, 3));
  const files = await writer.seal(makeStamp(1, 11));
  expect(files.map((file) => [file.path, file.rows])).toEqual(
    [
      ["country=de/at_day=1970-01-01/p00000-e001-s000001-00.parquet", 3],
      ["country=a%2Fb/at_day=1970-01-01/p00000-e001-s000001-01.parquet", 2],
      ["country=/at_day=1970-01-01/p00000-e001-s000001-02.parquet", 2],
      [
        "country=__HIVE_DEFAULT_PARTITION__/at_day=1970-01-01/p00000-e001-s000001-03.parquet",
        2,
      ],
      ["country=a%2Fb/at_day=1970-01-02/p00000-e001-s000001-04.parquet", 1],
      ["country=/at_day=1970-01-02/p00000-e001-s000001-05.parquet", 1],
    ].map(([path, rows]) => [`${GENERATION}/${path}`, rows]),
  );
  expect(listFiles(root)).toEqual(files.map(({ path }) => path).toSorted());
});

test("DuckDB reads the table with and without its folders, and takes their values", async ({
  root,
}) => {
  const writer = openWriter(configOf(root, ["country", "at:month"]));
  await write(writer, makeRows(1, 400));
  await writer.seal(makeStamp(1, 400));
  const files = `${root}/**/*.parquet`;
  const expected = [[400n, 300n, 80_200n]];
  for (const hive of [true, false])
    expect(
      await queryDuckDb(
        `SELECT count(*), count(country), sum(id)::BIGINT FROM read_parquet('${files}', hive_partitioning = ${hive})`,
      ),
    ).toEqual(expected);
  // the value in the folder and the row's own agree
  expect(
    await queryDuckDb(
      `SELECT DISTINCT country FROM read_parquet('${files}', hive_partitioning = true) ORDER BY ALL NULLS LAST`,
    ),
  ).toEqual([[""], ["a/b"], ["de"], [null]]);
  expect(
    await queryDuckDb(
      `SELECT count(*) FROM read_parquet('${files}', hive_partitioning = true)
       WHERE at_month <> strftime(make_timestamp(epoch_us("at")), '%Y-%m')`,
    ),
  ).toEqual([[0n]]);
});

describe.for(["parquet", "csv", "jsonl", "avro"] as const)("%s", (format) => {
  test("full files are followed by others in the same folder; recovery finds all", async ({
    root,
  }) => {
    const config = configOf(root, ["country"], format, 1);
    const writer = openWriter(config);
    const sealed: (readonly SealedFile[])[] = [];
    for (const index of [1, 2]) {
      for (let batch = 0; batch < 3; batch += 1)
        await write(writer, makeRows(batch * 40 + 1, 40));
      sealed.push(await writer.seal(makeStamp(index, 120)));
    }
    for (const files of sealed) {
      expect(files.length).toBe(12);
      expect(new Set(files.map(folderOf)).size).toBe(4);
      for (const { path, bytes } of files)
        expect(readFileSize(join(root, path))).toBe(bytes);
    }
    const recovered = await recoverCheckpoints(config, schema, 1);
    expect(recovered.map(({ files }) => files)).toEqual(sealed);
  });

  test("a checkpoint that lacks a file, or has it in another folder, does not count", async ({
    root,
  }) => {
    const config = configOf(root, ["country"], format);
    const writer = openWriter(config);
    await write(writer, makeRows(1, 40));
    const [first, second] = await writer.seal(makeStamp(1, 40));
    const from = join(root, first!.path);
    const to = join(
      root,
      dirname(second!.path),
      first!.path.split("/").at(-1)!,
    );
    fs.renameSync(from, to);
    expect(await recoverCheckpoints(config, schema, 1)).toEqual([]);
    fs.renameSync(to, from);
    expect(await recoverCheckpoints(config, schema, 1)).toHaveLength(1);
  });

  test("what an ended epoch left goes, with its folders when the generation is over", async ({
    root,
  }) => {
    const config = configOf(root, ["country"], format);
    const writer = openWriter(config);
    await write(writer, makeRows(1, 40));
    const kept = await writer.seal(makeStamp(1, 40));
    await write(writer, makeRows(1, 40));
    const stray = await writer.seal(makeStamp(2, 40));
    const intent = {
      namespace: "public",
      name: "orders",
      generation: 1,
      epochs: [1, 2],
      currentEpoch: 2,
    };
    const keep = new Set(kept.map(({ path }) => path));
    const { removed, left } = await cleanUp(config, [intent], keep);
    expect(
      removed.filter((path) => path.endsWith(`.${format}`)).toSorted(),
    ).toEqual(stray.map(({ path }) => path).toSorted());
    expect(left).toEqual([]);
    expect(await recoverCheckpoints(config, schema, 1)).toHaveLength(1);
    const over = { ...intent, currentEpoch: null };
    await cleanUp(config, [over], new Set());
    expect(fs.existsSync(join(root, GENERATION))).toBe(false);
  });
});

test("what is dropped leaves nothing, and the next checkpoint begins anew", async ({
  root,
}) => {
  const writer = openWriter(configOf(root, ["country"]));
  await write(writer, makeRows(1, 40));
  await writer.discard();
  expect(listFiles(root)).toEqual([]);
  await write(writer, makeRows(1, 4));
  const files = await writer.seal(makeStamp(1, 4));
  expect(files.map(folderOf)).toEqual([
    "country=de",
    "country=a%2Fb",
    "country=",
    "country=__HIVE_DEFAULT_PARTITION__",
  ]);
});

/** Files that this process has open below the folder. @see proc_pid_fd(5) */
function countOpen(root: string): number {
  return fs.readdirSync("/proc/self/fd").filter((fd) => {
    try {
      return fs.readlinkSync(`/proc/self/fd/${fd}`).startsWith(root);
    } catch {
      return false;
    }
  }).length;
}

describe.for(["parquet", "csv"] as const)("many values, %s", (format) => {
  test(
    "files of folders that were written least recently are closed for others, and each row is there once",
    { timeout: 60_000 },
    async ({ root }) => {
      const config = configOf(root, ["id"], format);
      const writer = openWriter(config);
      const many = PARTITION_VALUES_MAX + 60;
      let open = 0;
      // the second time each folder's file was closed meanwhile
      for (let round = 1; round <= 2; round += 1) {
        await write(writer, makeRows(1, many));
        open = Math.max(open, countOpen(root));
        // the one that was written last takes this row as well
        await write(writer, makeRows(many, 1));
      }
      expect(open).toBeGreaterThan(PARTITION_VALUES_MAX / 2);
      expect(open).toBeLessThan(PARTITION_VALUES_MAX + 32);
      const files = await writer.seal(makeStamp(1, 2 * many + 2));
      expect(countOpen(root)).toBe(0);
      expect(files).toHaveLength(2 * many);
      expect(new Set(files.map(folderOf)).size).toBe(many);
      const read = format === "csv" ? "read_csv" : "read_parquet";
      expect(
        await queryDuckDb(
          `SELECT count(*), count(DISTINCT id), min(id)::BIGINT, max(id)::BIGINT
         FROM ${read}('${root}/**/*.${format}', hive_partitioning = false)`,
        ),
      ).toEqual([[BigInt(2 * many + 2), BigInt(many), 1n, BigInt(many)]]);
      const [report] = await recoverCheckpoints(config, schema, 1);
      expect(report?.files).toEqual(files);
    },
  );
});

test("a writer that is abandoned while it waits for the disk gives nothing a name, and says so", async ({
  root,
}) => {
  const writer = openWriter(configOf(root, ["id"], "csv"));
  const written = write(writer, makeRows(1, PARTITION_VALUES_MAX * 2));
  writer.abandon();
  await expect(written).rejects.toThrow(/abandoned/);
  expect(listFiles(root).every((path) => path.endsWith(".tmp"))).toBe(true);
});

test("what was closed before its checkpoint goes with it when it is dropped", async ({
  root,
}) => {
  const writer = openWriter(configOf(root, ["id"]));
  await write(writer, makeRows(1, PARTITION_VALUES_MAX * 2));
  await writer.discard();
  expect(listFiles(root)).toEqual([]);
  expect(countOpen(root)).toBe(0);
  await write(writer, makeRows(1, 2));
  expect(await writer.seal(makeStamp(1, 2))).toHaveLength(2);
});

test("more files than a checkpoint may have are refused by name", () => {
  const described = new PartitionFiles(
    {
      ...{ schema, generation: 1, epoch: 1, runId: "run-1" },
      ...{ partition: 0, planVersion: 1 },
    },
    "{namespace}/{stream}",
  );
  described.checkCount(CHECKPOINT_FILES_MAX - 1);
  expect(() => described.checkCount(CHECKPOINT_FILES_MAX)).toThrow(
    expect.objectContaining({
      code: "USAGE",
      message: expect.stringContaining("part the rows by fewer values"),
    }),
  );
});

test("columns that cannot be used are a problem of their stream, told before rows are read", async ({
  root,
}) => {
  const config = { kind: "file", ...configOf(root, ["coutry"]) } as never;
  const attempt = { runId: "run-1", epoch: 1 };
  const storage = await fileDriver.openStorage({
    config,
    syncId: "sync-1",
    attempt,
  });
  const { problems } = await storage.recover([
    {
      schema,
      generation: 1,
      planVersion: 1,
      knownGenerations: [1],
      resumed: false,
    } as never,
  ]);
  expect(problems).toEqual([
    {
      stream: 1,
      error: expect.objectContaining({
        code: "USAGE",
        message: expect.stringContaining("did you mean country?"),
      }),
    },
  ]);
});

describe.for(["parquet", "csv"] as const)(
  "cut off at every system call, %s",
  (format) => {
    test(
      "what was told is found again, and each row is there once in the end",
      { timeout: 120_000 },
      async ({ root }) => {
        // the label of each row is another; that of row 7 is NULL
        const table = {
          first: 5,
          last: 7,
          batchRows: 2,
          batchesPerCheckpoint: 1,
        };
        const killed = await killAtEachCall(root, async (place) => {
          const config = configOf(place, ["label"], format);
          const ledger = makeLedger(1);
          const work = () => runAttempt(config, ledger, table);
          const after = async () => {
            const recovered = await recoverCheckpoints(config, ordersSchema, 1);
            for (const files of ledger.durable.values())
              expect(recovered.map((report) => report.files)).toContainEqual(
                files,
              );
            await runAttempt(config, ledger, table);
            const manifest = readManifest(join(place, "public/orders"));
            const listed = manifest!.generations.flatMap(({ files }) => files);
            expect(
              listFiles(place).filter((path) => path.endsWith(`.${format}`)),
            ).toEqual(listed.map(({ path }) => path).toSorted());
            expect(
              listFiles(place).filter((path) => path.endsWith(".tmp")),
            ).toEqual([]);
            expect(await readTable(`${place}/**/*.${format}`, format)).toEqual(
              digestOf(table.first, table.last),
            );
          };
          return { work, after };
        });
        expect(killed).toBeGreaterThan(40);
      },
    );
  },
);

test("the folders of a checkpoint are synced before it is told", async ({
  root,
}) => {
  const config = configOf(root, ["label"]);
  const writer = new PartitionWriter({
    config,
    schema: ordersSchema,
    generation: 1,
    epoch: 1,
    runId: "run-1",
    partition: 0,
    planVersion: 1,
  });
  const trace = traceFs(root);
  try {
    await writer.write(makeBatch(6, 2));
    await writer.seal(makeStamp(1, 2));
  } finally {
    trace.restore();
  }
  const { calls } = trace;
  const names = (call: string) =>
    calls.flatMap((text, at) => (text.startsWith(call) ? [{ text, at }] : []));
  const links = names("linkSync");
  expect(links).toHaveLength(2);
  for (const folder of ["label=__HIVE_DEFAULT_PARTITION__", "g000001"]) {
    const synced = names("fsync").filter(({ text }) => text.endsWith(folder));
    expect(synced.length).toBeGreaterThan(0);
    for (const { at } of synced) expect(at).toBeGreaterThan(links[1]!.at);
  }
});
