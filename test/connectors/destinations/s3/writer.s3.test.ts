import { describe, expect, onTestFinished } from "vitest";

import type {
  StreamWriter,
  WriterFactory,
} from "../../../../connectors/destinations/destination.ts";
import type { S3DestinationConfig } from "../../../../connectors/destinations/s3/config.ts";
import { s3Driver } from "../../../../connectors/destinations/s3/driver.ts";
import type { FormatName } from "../../../../connectors/formats/format.ts";
import { test, type S3Fixture } from "../../../fixtures/s3.ts";
import {
  digestOf,
  makeBatch,
  makeStamp,
  readTable,
  schema,
} from "../file/table.ts";
import { recover } from "./attempt.ts";
import {
  PREFIX,
  download,
  listPaths,
  makeConfig,
  makeContext,
  useKeys,
} from "./config.ts";

const formats: readonly FormatName[] = ["parquet", "csv", "jsonl"];
const stream = { schema, generation: 1, planVersion: 1 };
const FOLDER = "public/orders/g000001";

async function openFactory(
  config: S3DestinationConfig,
): Promise<WriterFactory> {
  const factory = await s3Driver.openWriters(makeContext(config), 1);
  onTestFinished(() => factory.close());
  return factory;
}

async function openWriter(
  config: S3DestinationConfig,
  partition = 0,
): Promise<StreamWriter> {
  return (await openFactory(config)).createWriter({ stream, partition });
}

async function recoverAll(s3: S3Fixture, format: FormatName) {
  const storage = await s3Driver.openStorage(
    makeContext(makeConfig(s3, format)),
  );
  try {
    return await recover(storage, 1);
  } finally {
    await storage.close();
  }
}

describe.for(formats)("sealing %s", (format) => {
  test("a checkpoint's rows are in the objects it names, and nothing else is there", async ({
    s3,
  }) => {
    useKeys(s3);
    const writer = await openWriter(makeConfig(s3, format));
    await writer.write(makeBatch(1, 700));
    await writer.write(makeBatch(701, 300));
    const first = await writer.seal(makeStamp(1, 1_000));
    await writer.write(makeBatch(1_001, 10));
    const second = await writer.seal(makeStamp(5, 10, { last: true }));
    expect([...first, ...second].map((file) => file.rows)).toEqual([1_000, 10]);
    const objects = new Map(
      (await s3.listObjects()).map(({ key, bytes }) => [key, bytes]),
    );
    for (const { path, bytes } of [...first, ...second])
      expect(objects.get(`${PREFIX}/${path}`)).toBe(bytes);
    expect(objects.size).toBe(format === "parquet" ? 2 : 4);
    const root = await download(s3);
    expect(await readTable(`${root}/**/*.${format}`, format)).toEqual(
      digestOf(1, 1_010),
    );
    const reports = await recoverAll(s3, format);
    expect(reports.map(({ index, files }) => ({ index, files }))).toEqual([
      { index: 1, files: first },
      { index: 5, files: second },
    ]);
  });

  test("a file that has reached its size is followed by another of the same checkpoint", async ({
    s3,
  }) => {
    useKeys(s3);
    const writer = await openWriter(
      makeConfig(s3, format, { fileBytesMax: 1 }),
    );
    for (let batch = 0; batch < 5; batch += 1)
      await writer.write(makeBatch(1 + batch * 100, 100));
    const files = await writer.seal(makeStamp(1, 500));
    expect(files).toHaveLength(5);
    const root = await download(s3);
    expect(await readTable(`${root}/**/*.${format}`, format)).toEqual(
      digestOf(1, 500),
    );
    expect(await recoverAll(s3, format)).toMatchObject([
      { ...makeStamp(1, 500), epoch: 1, files, runId: "run-1", planVersion: 1 },
    ]);
  });

  test("a checkpoint without rows leaves nothing", async ({ s3 }) => {
    useKeys(s3);
    const writer = await openWriter(makeConfig(s3, format));
    expect(await writer.seal(makeStamp(1, 0, { last: true }))).toEqual([]);
    expect(await s3.listObjects()).toEqual([]);
  });

  test("batches and seals of later checkpoints may follow before a seal has ended", async ({
    s3,
  }) => {
    useKeys(s3);
    const writer = await openWriter(makeConfig(s3, format));
    const seals = [];
    for (let index = 1; index <= 6; index += 1) {
      void writer.write(makeBatch(index * 50 - 49, 50));
      seals.push(writer.seal(makeStamp(index, 50)));
    }
    expect((await Promise.all(seals)).flat()).toHaveLength(6);
    const root = await download(s3);
    expect(await readTable(`${root}/**/*.${format}`, format)).toEqual(
      digestOf(1, 300),
    );
  });

  test("what is discarded leaves nothing, and the rows can be written again", async ({
    s3,
  }) => {
    useKeys(s3);
    const writer = await openWriter(
      makeConfig(s3, format, { fileBytesMax: 1 }),
    );
    await writer.write(makeBatch(1, 20));
    const sealed = writer.seal(makeStamp(1, 20));
    await writer.write(makeBatch(21, 20));
    await writer.write(makeBatch(41, 20));
    await expect.poll(() => s3.listUploads()).toHaveLength(1);
    await writer.discard();
    await sealed;
    expect(await s3.listUploads()).toEqual([]);
    await writer.write(makeBatch(21, 30));
    await writer.seal(makeStamp(2, 30, { attempt: 2 }));
    const root = await download(s3);
    expect(await readTable(`${root}/**/*.${format}`, format)).toEqual(
      digestOf(1, 50),
    );
  });

  test("a count that differs from the stamp's seals nothing", async ({
    s3,
  }) => {
    useKeys(s3);
    const writer = await openWriter(makeConfig(s3, format));
    await writer.write(makeBatch(1, 20));
    await expect(writer.seal(makeStamp(1, 21))).rejects.toMatchObject({
      code: "CHANNEL_CORRUPT",
      details: { rowsStamped: 21, rowsWritten: 20, partition: 0 },
    });
    await writer.discard();
    expect(await s3.listObjects()).toEqual([]);
    await writer.write(makeBatch(1, 21));
    expect(await writer.seal(makeStamp(2, 21))).toHaveLength(1);
  });

  test("an abandoned writer gives no object a name and removes nothing", async ({
    s3,
  }) => {
    useKeys(s3);
    const writer = await openWriter(
      makeConfig(s3, format, { fileBytesMax: 1 }),
    );
    await writer.write(makeBatch(1, 20));
    await writer.write(makeBatch(21, 20));
    await expect.poll(() => s3.listUploads()).toHaveLength(1);
    const sealing = writer.seal(makeStamp(1, 40));
    writer.abandon();
    await expect(sealing).rejects.toThrow("abandoned");
    expect(await s3.listObjects()).toEqual([]);
    expect(await s3.listUploads()).toHaveLength(1);
  });
});

describe("a name", () => {
  test("is asked for on the condition that nobody has it, and so is an upload's", async ({
    s3,
    proxy,
  }) => {
    useKeys(s3);
    const writer = await openWriter(
      makeConfig({ ...s3, endpoint: proxy.endpoint }, "csv", {
        fileBytesMax: 1,
      }),
    );
    for (const partition of [0, 1]) {
      await writer.write(makeBatch(1 + partition * 10, 5));
      await writer.write(makeBatch(6 + partition * 10, 5));
      await writer.seal(makeStamp(partition + 1, 10));
    }
    const naming = proxy.requests.filter(({ operation }) =>
      ["PutObject", "CompleteMultipartUpload"].includes(operation),
    );
    expect(naming).toHaveLength(6);
    for (const { headers } of naming)
      expect(headers["if-none-match"]).toBe("*");
    const keys = naming.map(({ path }) => path.split("?")[0]);
    expect(new Set(keys).size).toBe(6);
    // the marker comes last
    expect(naming.map(({ path }) => path.includes("checkpoint.json"))).toEqual([
      false,
      false,
      true,
      false,
      false,
      true,
    ]);
  });

  test("that somebody has taken is never replaced nor removed", async ({
    s3,
    proxy,
  }) => {
    useKeys(s3);
    const config = makeConfig({ ...s3, endpoint: proxy.endpoint }, "csv");
    const writer = await openWriter(config);
    let taken = "";
    proxy.findFault = ({ operation, path }) => {
      if (operation === "PutObject" && path.includes(".csv?"))
        taken = decodeURIComponent(path.split("?")[0] ?? "");
      return null;
    };
    await writer.write(makeBatch(1, 5));
    await writer.seal(makeStamp(1, 5));
    expect(taken).toContain(FOLDER);
    const key = taken.slice(taken.indexOf(PREFIX));
    const next = key.replace(/-00\.csv$/, "-01.csv");
    await s3.write(next, "another's");
    await writer.write(makeBatch(6, 5));
    await expect(writer.seal(makeStamp(2, 5))).rejects.toMatchObject({
      code: "DESTINATION_FAILED",
      message: expect.stringContaining("the name is taken"),
    });
    expect((await s3.read(next)).toString()).toBe("another's");
    expect(await listPaths(s3)).toHaveLength(3);
  });
});

describe("a large file", () => {
  test(
    "is uploaded while it is written, in parts, and never waits in memory as a whole",
    { timeout: 120_000 },
    async ({ s3, proxy }) => {
      useKeys(s3);
      const config = makeConfig({ ...s3, endpoint: proxy.endpoint }, "jsonl");
      const writer = await openWriter(config);
      let rows = 0;
      let waits = 0;
      const partsSeen = (): number =>
        proxy.operations().filter((name) => name === "UploadPart").length;
      while (rows < 480_000) {
        const waiting = writer.write(makeBatch(1 + rows, 16_000));
        if (waiting) waits += 1;
        await waiting;
        rows += 16_000;
      }
      // 4 in flight and one being filled
      const partsBefore = partsSeen();
      const [file] = await writer.seal(makeStamp(1, rows));
      const parts = Math.ceil((file?.bytes ?? 0) / (8 * 1024 * 1024));
      expect(parts).toBeGreaterThan(3);
      expect(partsSeen()).toBe(parts);
      expect(partsBefore).toBeGreaterThanOrEqual(parts - 5);
      expect(waits).toBeLessThanOrEqual(parts);
      const sizes = proxy.requests
        .filter(({ operation }) => operation === "UploadPart")
        .map(({ headers }) => Number(headers["content-length"]));
      expect(Math.max(...sizes)).toBe(8 * 1024 * 1024);
      const root = await download(s3);
      expect(await readTable(`${root}/**/*.jsonl`, "jsonl")).toEqual(
        digestOf(1, rows),
      );
    },
  );

  test("is held back while its parts do not arrive", async ({ s3, proxy }) => {
    useKeys(s3);
    const config = makeConfig({ ...s3, endpoint: proxy.endpoint }, "jsonl");
    const writer = await openWriter(config);
    proxy.hold("UploadPart");
    let waiting: Promise<void> | null = null;
    let rows = 0;
    while (!waiting) {
      waiting = writer.write(makeBatch(1 + rows, 16_000)) ?? null;
      rows += 16_000;
    }
    let isOver = false;
    void waiting.then(() => (isOver = true));
    await expect
      .poll(() => proxy.operations().filter((name) => name === "UploadPart"))
      .toHaveLength(4);
    expect(isOver).toBe(false);
    proxy.release();
    await waiting;
    const files = await writer.seal(makeStamp(1, rows));
    // five parts were full when the encoder was made to wait
    expect(files[0]?.bytes).toBeGreaterThan(5 * 8 * 1024 * 1024);
  });
});
