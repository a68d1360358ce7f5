import * as fs from "node:fs";
import { join } from "node:path";

import { describe, expect } from "vitest";

import type { FileDestinationConfig } from "../../../../connectors/destinations/file/config.ts";
import { PLACE_KEY } from "../../../../connectors/destinations/layout/marker.ts";
import {
  parseFileName,
  parseTemporaryName,
} from "../../../../connectors/destinations/layout/names.ts";
import { recoverCheckpoints } from "../../../../connectors/destinations/file/recovery.ts";
import { PartitionWriter } from "../../../../connectors/destinations/file/writer.ts";
import type { FormatName } from "../../../../connectors/formats/format.ts";
import { readParquetMetadata } from "../../../../connectors/formats/read.ts";
import { ExtractError } from "../../../../proto/error.ts";
import { listFiles, test } from "./folder.ts";
import {
  digestOf,
  makeBatch,
  makeConfig,
  makeStamp,
  readTable,
  schema,
} from "./table.ts";
import { traceFs } from "./traced-fs.ts";

const formats: readonly FormatName[] = ["parquet", "csv", "jsonl"];

function openWriter(
  config: FileDestinationConfig,
  more: { epoch?: number; partition?: number } = {},
): PartitionWriter {
  return new PartitionWriter({
    config,
    schema,
    generation: 1,
    epoch: 1,
    runId: "run-1",
    partition: 0,
    planVersion: 1,
    ...more,
  });
}

describe.for(formats)("sealing %s", (format) => {
  test("a checkpoint's rows are in the files it names, and nothing else is there", async ({
    root,
  }) => {
    const writer = openWriter(makeConfig(root, format));
    await writer.write(makeBatch(1, 700));
    await writer.write(makeBatch(701, 300));
    expect(writer.unsealedRows).toBe(1_000);
    expect(writer.unsealedBytes).toBeGreaterThan(16_000);
    const first = await writer.seal(makeStamp(1, 1_000));
    expect(writer.unsealedRows).toBe(0);
    expect(writer.unsealedBytes).toBe(0);
    await writer.write(makeBatch(1_001, 10));
    const second = await writer.seal(makeStamp(5, 10, { last: true }));
    expect([...first, ...second].map((file) => file.rows)).toEqual([1_000, 10]);
    for (const file of [...first, ...second]) {
      expect(fs.statSync(join(root, file.path)).size).toBe(file.bytes);
    }
    const data = listFiles(root).filter((path) => path.endsWith(`.${format}`));
    expect(data).toEqual([
      `public/orders/g000001/p00000-e001-s000001-00.${format}`,
      `public/orders/g000001/p00000-e001-s000005-00.${format}`,
    ]);
    expect(listFiles(root)).toHaveLength(format === "parquet" ? 2 : 4);
    expect(await readTable(`${root}/**/*.${format}`, format)).toEqual(
      digestOf(1, 1_010),
    );
  });

  test("a file that has reached its size is followed by another of the same checkpoint", async ({
    root,
  }) => {
    const config = makeConfig(root, format, 1);
    const writer = openWriter(config);
    for (let batch = 0; batch < 5; batch += 1)
      await writer.write(makeBatch(1 + batch * 100, 100));
    const files = await writer.seal(makeStamp(1, 500));
    expect(
      files.map((file) => parseFileName(file.path.slice(22))?.number),
    ).toEqual([0, 1, 2, 3, 4]);
    expect(await readTable(`${root}/**/*.${format}`, format)).toEqual(
      digestOf(1, 500),
    );
    const reports = await recoverCheckpoints(config, schema, 1);
    expect(reports).toEqual([
      {
        ...makeStamp(1, 500),
        epoch: 1,
        files,
        runId: "run-1",
        planVersion: 1,
      },
    ]);
  });

  test("more full files than may wait for the disk at once are written all the same", async ({
    root,
  }) => {
    const writer = openWriter(makeConfig(root, format, 1));
    for (let batch = 0; batch < 40; batch += 1)
      await writer.write(makeBatch(1 + batch * 3, 3));
    expect(await writer.seal(makeStamp(1, 120))).toHaveLength(40);
    expect(await readTable(`${root}/**/*.${format}`, format)).toEqual(
      digestOf(1, 120),
    );
  });

  test("a checkpoint without rows leaves no file", async ({ root }) => {
    const config = makeConfig(root, format);
    const writer = openWriter(config);
    expect(await writer.seal(makeStamp(1, 0, { last: true }))).toEqual([]);
    expect(listFiles(root)).toEqual([]);
    expect(await recoverCheckpoints(config, schema, 1)).toEqual([]);
  });

  test("batches and seals of later checkpoints may follow before a seal has ended", async ({
    root,
  }) => {
    const writer = openWriter(makeConfig(root, format));
    const seals = [];
    for (let index = 1; index <= 6; index += 1) {
      await writer.write(makeBatch(index * 50 - 49, 50));
      seals.push(writer.seal(makeStamp(index, 50)));
    }
    expect((await Promise.all(seals)).flat()).toHaveLength(6);
    expect(await readTable(`${root}/**/*.${format}`, format)).toEqual(
      digestOf(1, 300),
    );
  });

  test("what is discarded leaves nothing, and the rows can be written again", async ({
    root,
  }) => {
    const writer = openWriter(makeConfig(root, format, 1));
    await writer.write(makeBatch(1, 20));
    const sealed = writer.seal(makeStamp(1, 20));
    await writer.write(makeBatch(21, 20));
    await writer.write(makeBatch(41, 20));
    await writer.discard();
    await sealed;
    expect(writer.unsealedRows).toBe(0);
    expect(
      listFiles(root).filter((path) => parseTemporaryName(path.slice(22))),
    ).toEqual([]);
    await writer.write(makeBatch(21, 30));
    await writer.seal(makeStamp(2, 30, { attempt: 2 }));
    expect(await readTable(`${root}/**/*.${format}`, format)).toEqual(
      digestOf(1, 50),
    );
  });

  test("a count that differs from the stamp's seals nothing", async ({
    root,
  }) => {
    const writer = openWriter(makeConfig(root, format));
    await writer.write(makeBatch(1, 20));
    await expect(writer.seal(makeStamp(1, 21))).rejects.toMatchObject({
      code: "CHANNEL_CORRUPT",
      details: { rowsStamped: 21, rowsWritten: 20, partition: 0 },
    });
    expect(() => writer.write(makeBatch(21, 1))).toThrow(ExtractError);
    await writer.discard();
    expect(listFiles(root)).toEqual([]);
    await writer.write(makeBatch(1, 21));
    expect(await writer.seal(makeStamp(2, 21))).toHaveLength(1);
  });

  test("an abandoned writer gives no file a final name", async ({ root }) => {
    const writer = openWriter(makeConfig(root, format));
    await writer.write(makeBatch(1, 20));
    const sealing = writer.seal(makeStamp(1, 20));
    await writer.write(makeBatch(21, 20));
    writer.abandon();
    await expect(sealing).rejects.toThrow("abandoned");
    const names = listFiles(root).map((path) => path.slice(22));
    expect(names).toHaveLength(2);
    expect(names.every((name) => parseTemporaryName(name))).toBe(true);
  });

  test("a final name that is taken is never replaced", async ({ root }) => {
    const config = makeConfig(root, format);
    const folder = join(root, "public/orders/g000001");
    fs.mkdirSync(folder, { recursive: true });
    const taken = join(folder, `p00000-e001-s000001-01.${format}`);
    fs.writeFileSync(taken, "another's");
    const writer = openWriter({ ...config, fileBytesMax: 1 });
    await writer.write(makeBatch(1, 5));
    await writer.write(makeBatch(6, 5));
    await expect(writer.seal(makeStamp(1, 10))).rejects.toMatchObject({
      code: "DESTINATION_FAILED",
      details: { path: taken, reason: "EEXIST" },
    });
    expect(listFiles(root)).toEqual([taken.slice(root.length + 1)]);
    expect(fs.readFileSync(taken, "utf8")).toBe("another's");
  });
});

describe("what is on disk when", () => {
  test("bytes are synced before a name is given, and names before the seal resolves", async ({
    root,
  }) => {
    const writer = openWriter(makeConfig(root, "parquet", 1));
    const trace = traceFs(root);
    try {
      await writer.write(makeBatch(1, 5));
      await writer.write(makeBatch(6, 5));
      await writer.seal(makeStamp(1, 10));
    } finally {
      trace.restore();
    }
    const at = (pattern: RegExp): number =>
      trace.calls.findIndex((call) => pattern.test(call));
    for (const number of ["00", "01"]) {
      const synced = at(new RegExp(`^fdatasync p.*-${number}\\.tmp$`));
      const written = trace.calls.findLastIndex((call) =>
        new RegExp(`^writevSync p.*-${number}\\.tmp$`).test(call),
      );
      const linked = at(new RegExp(`^linkSync p.*-${number}\\.parquet$`));
      expect(written).toBeGreaterThanOrEqual(0);
      expect(synced).toBeGreaterThan(written);
      expect(linked).toBeGreaterThan(synced);
    }
    const lastLink = trace.calls.findLastIndex((call) =>
      call.startsWith("link"),
    );
    const folders = trace.calls
      .slice(lastLink)
      .filter((call) => call.startsWith("fsync"));
    expect(folders.slice(0, 3)).toEqual([
      "fsync g000001",
      "fsync orders",
      "fsync public",
    ]);
    expect(folders).toHaveLength(4);
    expect(trace.calls.some((call) => call.startsWith("rename"))).toBe(false);
  });

  test("a sidecar is written after the names of its files are durable", async ({
    root,
  }) => {
    const writer = openWriter(makeConfig(root, "csv"));
    const trace = traceFs(root);
    try {
      await writer.write(makeBatch(1, 5));
      await writer.seal(makeStamp(1, 5));
    } finally {
      trace.restore();
    }
    const order = [
      /^linkSync .* -> p00000-e001-s000001-00\.csv$/,
      /^fsync g000001$/,
      /^openSync .*-01\.tmp$/,
      /^fdatasync .*-01\.tmp$/,
      /^linkSync .* -> \.p00000-e001-s000001-00\.csv\.checkpoint\.json$/,
      /^fsync g000001$/,
    ];
    let next = 0;
    for (const call of trace.calls) if (order[next]?.test(call)) next += 1;
    expect(trace.calls.length).toBeGreaterThan(order.length);
    expect(next).toBe(order.length);
  });

  test("no name below the root is linked twice over two epochs and attempts", async ({
    root,
  }) => {
    const trace = traceFs(root);
    try {
      for (const epoch of [1, 2]) {
        for (const partition of [0, 1]) {
          const writer = openWriter(makeConfig(root), { epoch, partition });
          for (const attempt of [1, 2]) {
            const index = partition * 2 + attempt;
            await writer.write(makeBatch(1, 5));
            // the frame's sequence begins again with the attempt
            await writer.seal(
              makeStamp(index, 5, { partition, attempt, sequence: 2 }),
            );
          }
        }
      }
    } finally {
      trace.restore();
    }
    const finals = trace.calls
      .filter((call) => call.startsWith("linkSync"))
      .map((call) => call.split(" -> ")[1]);
    expect(finals).toHaveLength(8);
    expect(new Set(finals).size).toBe(8);
  });

  test("an error of background writing is met by the seal", async ({
    root,
  }) => {
    const writer = openWriter(makeConfig(root, "jsonl"));
    let failures = 0;
    const trace = traceFs(root, Infinity, (call) => {
      if (!call.startsWith("fdatasync") || failures > 0) return null;
      failures += 1;
      return Object.assign(new Error("EIO: i/o error"), {
        code: "EIO",
        syscall: "fdatasync",
      });
    });
    try {
      // more than one piece of background writing
      let id = 1;
      while (failures === 0 && id < 600_000) {
        await writer.write(makeBatch(id, 16_000));
        id += 16_000;
        await new Promise((resolve) => setImmediate(resolve));
      }
      expect(failures).toBe(1);
      await writer.write(makeBatch(id, 10));
      await expect(writer.seal(makeStamp(1, id + 9))).rejects.toMatchObject({
        code: "DESTINATION_FAILED",
        details: { reason: "EIO" },
      });
    } finally {
      trace.restore();
    }
    expect(listFiles(root)).toEqual([]);
  });

  test("the names that were given are taken back when the folder cannot be synced", async ({
    root,
  }) => {
    const writer = openWriter(makeConfig(root, "csv", 1));
    let failures = 0;
    const trace = traceFs(root, Infinity, (call) => {
      if (call !== "fsync g000001" || failures > 0) return null;
      failures += 1;
      return Object.assign(new Error("EIO"), { code: "EIO", syscall: "fsync" });
    });
    try {
      await writer.write(makeBatch(1, 5));
      await writer.write(makeBatch(6, 5));
      const first = writer.seal(makeStamp(1, 10));
      await writer.write(makeBatch(11, 5));
      const second = writer.seal(makeStamp(2, 5));
      await expect(first).rejects.toMatchObject({ code: "DESTINATION_FAILED" });
      // a later checkpoint must not count without the earlier one
      await expect(second).rejects.toMatchObject({
        code: "DESTINATION_FAILED",
      });
    } finally {
      trace.restore();
    }
    expect(trace.calls.some((call) => call.startsWith("linkSync"))).toBe(true);
    expect(listFiles(root)).toEqual([]);
  });
});

test("every file names its place, and the last one the whole checkpoint", async ({
  root,
}) => {
  const writer = openWriter(makeConfig(root, "parquet", 1), { partition: 3 });
  await writer.write(makeBatch(1, 5));
  await writer.write(makeBatch(6, 5));
  const files = await writer.seal(makeStamp(7, 10, { partition: 3 }));
  const [first, last] = await Promise.all(
    files.map((file) => readParquetMetadata(join(root, file.path))),
  );
  expect(JSON.parse(first?.metadata[PLACE_KEY] ?? "")).toEqual({
    run: "run-1",
    stream: { namespace: "public", name: "orders" },
    fingerprint: "f-orders-1",
    generation: 1,
    epoch: 1,
    planVersion: 1,
    partition: 3,
    number: 0,
  });
  expect(Object.keys(first?.metadata ?? {})).toEqual([PLACE_KEY]);
  expect(JSON.parse(last?.metadata["millrace.checkpoint"] ?? "")).toMatchObject(
    {
      run: "run-1",
      epoch: 1,
      generation: 1,
      planVersion: 1,
      stamp: makeStamp(7, 10, { partition: 3 }),
      files: [
        {
          name: "p00003-e001-s000007-00.parquet",
          rows: 5,
          bytes: files[0]?.bytes,
        },
        { name: "p00003-e001-s000007-01.parquet", rows: 5, bytes: null },
      ],
    },
  );
});
