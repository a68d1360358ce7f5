/** Rows parted by columns: folders within the generation's, and the promises of the other tests held in them. */
import { dirname } from "node:path/posix";

import { describe, expect, onTestFinished } from "vitest";

import type { StreamWriter } from "../../../../connectors/destinations/destination.ts";
import type { S3DestinationConfig } from "../../../../connectors/destinations/s3/config.ts";
import { s3Driver } from "../../../../connectors/destinations/s3/driver.ts";
import type { FormatName } from "../../../../connectors/formats/format.ts";
import {
  PARTITION_VALUES_MAX,
  parsePartitionColumn,
} from "../../../../connectors/formats/partition-rows.ts";
import type { CommitStep } from "../../../../proto/control.ts";
import type { SealedFile } from "../../../../proto/checkpoint.ts";
import type { StreamSchema } from "../../../../proto/schema.ts";
import { buildBatch, type TestRow } from "../../../fixtures/batches.ts";
import { test, type S3Fixture } from "../../../fixtures/s3.ts";
import { queryDuckDb } from "../../formats/duckdb.ts";
import { makeStamp, schema as orders } from "../file/table.ts";
import {
  PREFIX,
  download,
  listPaths,
  makeConfig,
  makeContext,
  useKeys,
} from "./config.ts";

const FOLDER = "public/orders/g000001";
const formats = ["parquet", "csv", "jsonl", "avro"] as const;

const schema: StreamSchema = {
  ...orders,
  columns: [
    orders.columns[0]!,
    {
      name: "country",
      type: { kind: "text" },
      nullable: true,
      sourceType: "text",
    },
  ],
};
const stream = { schema, generation: 1, planVersion: 1 };

/** Ids from `first` on, going round through the countries. */
function makeRows(
  first: number,
  count: number,
  countries: readonly (string | null)[] = [null, "de", "a/b é", ""],
): TestRow[] {
  return Array.from({ length: count }, (_, i) => {
    const id = first + i;
    return [BigInt(id), countries[id % countries.length]!];
  });
}

function configOf(
  s3: Pick<S3Fixture, "bucket" | "endpoint" | "region">,
  format: FormatName = "parquet",
  more: Partial<S3DestinationConfig> = {},
): S3DestinationConfig {
  return makeConfig(s3, format, {
    partitionBy: [parsePartitionColumn("country")],
    ...more,
  });
}

async function openWriter(
  config: S3DestinationConfig,
  epoch = 1,
): Promise<StreamWriter> {
  const factory = await s3Driver.openWriters(makeContext(config, epoch), 1);
  onTestFinished(() => factory.close());
  return factory.createWriter({ stream, partition: 0 });
}

async function write(
  writer: StreamWriter,
  rows: readonly TestRow[],
): Promise<void> {
  await writer.write(buildBatch(schema, rows));
}

async function openStorage(config: S3DestinationConfig, epoch = 1) {
  const storage = await s3Driver.openStorage(makeContext(config, epoch));
  onTestFinished(() => storage.close());
  return storage;
}

async function recover(config: S3DestinationConfig) {
  const storage = await openStorage(config);
  const target = { ...stream, knownGenerations: [1], resumed: true };
  const { reports, problems } = await storage.recover([target]);
  expect(problems).toEqual([]);
  return reports;
}

function countriesFrom(first: number, count: number): string[] {
  return Array.from({ length: count }, (_, i) => `c${first + i}`);
}

function foldersOf(files: readonly SealedFile[]): string[] {
  return files.map(({ path }) => dirname(path).slice(FOLDER.length + 1));
}

describe.for(formats)("%s", (format) => {
  test("each value has a folder, full objects are followed by others in it, and recovery finds all", async ({
    s3,
  }) => {
    useKeys(s3);
    const config = configOf(s3, format, { fileBytesMax: 1 });
    const writer = await openWriter(config);
    const sealed: (readonly SealedFile[])[] = [];
    for (const index of [1, 2]) {
      for (let batch = 0; batch < 3; batch += 1)
        await write(writer, makeRows(batch * 40 + 1, 40));
      sealed.push(await writer.seal(makeStamp(index, 120)));
    }
    const sizes = new Map(
      (await s3.listObjects()).map(({ key, bytes }) => [key, bytes]),
    );
    for (const files of sealed) {
      expect(files).toHaveLength(12);
      expect(new Set(foldersOf(files))).toEqual(
        new Set([
          "country=de",
          "country=a%2Fb é",
          "country=",
          "country=__HIVE_DEFAULT_PARTITION__",
        ]),
      );
      for (const { path, bytes } of files)
        expect(sizes.get(`${PREFIX}/${path}`)).toBe(bytes);
    }
    const reports = await recover(config);
    expect(reports.map(({ files }) => files)).toEqual(sealed);
  });

  test("a checkpoint that lacks an object, or has it in another folder, does not count", async ({
    s3,
  }) => {
    useKeys(s3);
    const config = configOf(s3, format);
    const writer = await openWriter(config);
    await write(writer, makeRows(1, 40));
    const [first, second] = await writer.seal(makeStamp(1, 40));
    expect(await recover(config)).toHaveLength(1);
    const key = `${PREFIX}/${first!.path}`;
    const name = first!.path.split("/").at(-1)!;
    const bytes = await s3.read(key);
    await s3.writeBytes(`${PREFIX}/${dirname(second!.path)}/${name}`, bytes);
    await s3.remove(key);
    expect(await recover(config)).toEqual([]);
    await s3.writeBytes(key, bytes);
    expect(await recover(config)).toHaveLength(1);
  });

  test("what an ended epoch left goes from every folder; what counts, and what is not ours, stays", async ({
    s3,
  }) => {
    useKeys(s3);
    const config = configOf(s3, format);
    const writer = await openWriter(config);
    await write(writer, makeRows(1, 40));
    const kept = await writer.seal(makeStamp(1, 40));
    await write(writer, makeRows(41, 40));
    const stray = await writer.seal(makeStamp(2, 40));
    const begun = await openWriter({ ...config, fileBytesMax: 1 });
    await write(begun, makeRows(1, 40));
    await write(begun, makeRows(41, 40));
    await expect.poll(() => s3.listUploads()).toHaveLength(4);
    begun.abandon();
    const others = [
      `${PREFIX}/${FOLDER}/country=de/notes.txt`,
      `${PREFIX}/${FOLDER}/elsewhere/${kept[0]!.path.split("/").at(-1)}`,
    ];
    for (const key of others) await s3.write(key, "another's");
    const storage = await openStorage(config, 2);
    const intent = {
      namespace: schema.namespace,
      name: schema.name,
      generation: 1,
      epochs: [1, 2],
      currentEpoch: 2,
    };
    const keep = new Set(kept.map(({ path }) => path));
    await storage.clean([intent], keep);
    expect(await s3.listUploads()).toEqual([]);
    const left = await listPaths(s3);
    for (const { path } of kept) expect(left).toContain(path);
    for (const { path } of stray) expect(left).not.toContain(path);
    for (const key of others)
      expect(left).toContain(key.slice(PREFIX.length + 1));
    expect(left.filter((path) => path.endsWith(".json"))).toHaveLength(
      format === "parquet" ? 0 : 1,
    );
  });
});

test("a commit lists the objects of all folders, and refuses one that nobody listed", async ({
  s3,
}) => {
  useKeys(s3);
  const config = configOf(s3);
  const writer = await openWriter(config);
  await write(writer, makeRows(1, 400));
  const files = await writer.seal(makeStamp(1, 400, { last: true }));
  const storage = await openStorage(config);
  const step: CommitStep = {
    stream,
    mode: "full-refresh-overwrite",
    files,
    committedAt: "2025-01-02T03:04:05.000Z",
  };
  const stray = `${PREFIX}/${FOLDER}/country=de/p00007-e001-w00000000-00.parquet`;
  await s3.write(stray, "stray");
  await expect(storage.verify(step)).rejects.toThrow("does not belong");
  await s3.remove(stray);
  expect(await storage.verify(step)).toEqual(files);
  await storage.publish(step);
  const root = await download(s3);
  for (const hive of [true, false])
    expect(
      await queryDuckDb(
        `SELECT count(*), count(country), sum(id)::BIGINT
         FROM read_parquet('${root}/**/*.parquet', hive_partitioning = ${hive})`,
      ),
    ).toEqual([[400n, 300n, 80_200n]]);
});

test("columns that rows cannot be parted by are refused before any is read", async ({
  s3,
}) => {
  useKeys(s3);
  const config = configOf(s3, "parquet", {
    partitionBy: [parsePartitionColumn("countri")],
  });
  const storage = await openStorage(config);
  const { problems } = await storage.recover([
    { ...stream, knownGenerations: [1], resumed: false },
  ]);
  expect(problems).toMatchObject([
    {
      error: {
        code: "USAGE",
        message: expect.stringContaining("did you mean country?"),
      },
    },
  ]);
});

test("more values than may be open at a time close those written least recently, and no row is lost", async ({
  s3,
}) => {
  useKeys(s3);
  const config = configOf(s3, "csv");
  const writer = await openWriter(config);
  const half = PARTITION_VALUES_MAX / 2;
  await write(writer, makeRows(0, half, countriesFrom(0, half)));
  await write(writer, makeRows(0, half, countriesFrom(half, half)));
  // the first half is written again, so that the second one is older
  await write(writer, makeRows(0, half, countriesFrom(0, half)));
  await write(writer, makeRows(0, 3, countriesFrom(2 * half, 3)));
  await write(writer, makeRows(0, 4, [...countriesFrom(half, 3), "c0"]));
  const files = await writer.seal(makeStamp(1, 3 * half + 7));
  const counts = new Map<string, number>();
  for (const folder of foldersOf(files))
    counts.set(folder, (counts.get(folder) ?? 0) + 1);
  expect(files).toHaveLength(PARTITION_VALUES_MAX + 3 + 3);
  expect(counts.get("country=c0")).toBe(1);
  for (const closed of countriesFrom(half, 3))
    expect(counts.get(`country=${closed}`)).toBe(2);
  const [report] = await recover(config);
  expect(report?.files).toEqual(files);
  const root = await download(s3);
  expect(
    await queryDuckDb(`SELECT count(*) FROM read_csv('${root}/**/*.csv')`),
  ).toEqual([[BigInt(3 * half + 7)]]);
});

test("objects that hold too much memory together are closed and sent before the checkpoint", async ({
  s3,
  proxy,
}) => {
  useKeys(s3);
  // each open object of so many columns holds some 40 MB
  const wide: StreamSchema = {
    ...schema,
    columns: [
      ...schema.columns,
      ...Array.from({ length: 1_000 }, (_, i) => ({
        name: `value${i}`,
        type: { kind: "int32" as const },
        nullable: false,
        sourceType: "integer",
      })),
    ],
  };
  const config = configOf({ ...s3, endpoint: proxy.endpoint });
  const factory = await s3Driver.openWriters(makeContext(config), 1);
  onTestFinished(() => factory.close());
  const writer = factory.createWriter({
    stream: { ...stream, schema: wide },
    partition: 0,
  });
  const rows = makeRows(0, 24, countriesFrom(0, 12)).map((row) => [
    ...row,
    ...Array.from({ length: 1_000 }, (_, i) => i),
  ]);
  await writer.write(buildBatch(wide, rows));
  const closed = proxy
    .operations()
    .filter((operation) => operation === "CreateMultipartUpload");
  expect(closed.length).toBeGreaterThanOrEqual(4);
  expect(closed.length).toBeLessThan(11);
  const files = await writer.seal(makeStamp(1, 24));
  expect(files.map((file) => file.rows)).toEqual(Array(12).fill(2));
  const root = await download(s3);
  expect(
    await queryDuckDb(
      `SELECT count(*), sum(value999) FROM read_parquet('${root}/**/*.parquet')`,
    ),
  ).toEqual([[24n, 24n * 999n]]);
});

test("objects of one checkpoint get their names together, and the one with the marker last", async ({
  s3,
  proxy,
}) => {
  useKeys(s3);
  const config = configOf({ ...s3, endpoint: proxy.endpoint });
  const writer = await openWriter(config);
  await write(
    writer,
    makeRows(
      0,
      40,
      Array.from({ length: 20 }, (_, i) => `c${i}`),
    ),
  );
  const files = await writer.seal(makeStamp(1, 40));
  const naming = proxy.requests.filter(
    ({ operation }) => operation === "PutObject",
  );
  expect(naming).toHaveLength(20);
  const last = files.at(-1)!.path;
  expect(decodeURIComponent(naming.at(-1)!.path)).toContain(last);
});

test("when one of many objects is refused, none of the checkpoint's is left", async ({
  s3,
  proxy,
}) => {
  useKeys(s3);
  const config = configOf({ ...s3, endpoint: proxy.endpoint });
  const writer = await openWriter(config);
  let puts = 0;
  proxy.findFault = ({ operation }) => {
    if (operation !== "PutObject") return null;
    puts += 1;
    return puts === 3
      ? { kind: "answer", status: 403, code: "AccessDenied" }
      : null;
  };
  await write(writer, makeRows(0, 20, ["a", "b", "c", "d", "e"]));
  await expect(writer.seal(makeStamp(1, 20))).rejects.toMatchObject({
    code: "DESTINATION_UNWRITABLE",
  });
  expect(await s3.listObjects()).toEqual([]);
});

test("a value that leaves no room for a name is told, with its key", async ({
  s3,
}) => {
  useKeys(s3);
  const config = configOf(s3, "csv", {
    pathTemplate: `${"f".repeat(180)}/${"g".repeat(180)}/${"h".repeat(180)}/${"i".repeat(180)}/{stream}`,
  });
  const writer = await openWriter(config);
  await expect(write(writer, [[1n, "x".repeat(230)]])).rejects.toMatchObject({
    code: "USAGE",
    message: expect.stringContaining("keys have 1024 bytes at most"),
  });
});
