import * as fs from "node:fs";
import { join } from "node:path";

import { describe, expect } from "vitest";

import {
  publishCommit,
  readManifest,
  removeSuperseded,
  verifyCommit,
  writeEmptyFile,
} from "../../../../connectors/destinations/file/commit.ts";
import type { CommitOrder } from "../../../../connectors/destinations/file/commit.ts";
import { recoverCheckpoints } from "../../../../connectors/destinations/file/recovery.ts";
import { PartitionWriter } from "../../../../connectors/destinations/file/writer.ts";
import type { FormatName } from "../../../../connectors/formats/format.ts";
import type { SealedFile } from "../../../../proto/checkpoint.ts";
import { listFiles, test } from "./folder.ts";
import {
  digestOf,
  makeBatch,
  makeConfig,
  makeStamp,
  readTable,
  schema,
  stream,
} from "./table.ts";

const FOLDER = "public/orders";

async function writeGeneration(
  root: string,
  generation: number,
  first: number,
  rows: number,
  format: FormatName = "parquet",
): Promise<SealedFile[]> {
  const writer = new PartitionWriter({
    config: makeConfig(root, format),
    schema,
    generation,
    epoch: 1,
    runId: `run-${generation}`,
    partition: 0,
    planVersion: 1,
  });
  await writer.write(makeBatch(first, rows));
  return writer.seal(makeStamp(1, rows, { last: true }));
}

function makeOrder(
  root: string,
  generation: number,
  files: readonly SealedFile[],
  more: Partial<CommitOrder> = {},
): CommitOrder {
  return {
    config: makeConfig(root),
    schema,
    syncId: "sync-1",
    runId: `run-${generation}`,
    mode: "full-refresh-overwrite",
    generation,
    epoch: 1,
    files,
    committedAt: "2025-01-02T03:04:05.000Z",
    ...more,
  };
}

const ended = (generation: number) => ({
  ...stream,
  generation,
  epochs: [1],
  currentEpoch: null,
});

describe("overwrite", () => {
  test("the folder reads as the new table once the old generation is gone", async ({
    root,
  }) => {
    for (const generation of [1, 2]) {
      const files = await writeGeneration(
        root,
        generation,
        generation * 1_000,
        50,
      );
      const order = makeOrder(root, generation, files);
      await verifyCommit(order);
      const manifest = await publishCommit(order);
      expect(manifest.rows).toBe(50);
      expect(manifest.generations).toEqual([
        { generation, epochs: [1], files },
      ]);
      const intents = [1, 2].slice(0, generation).map(ended);
      await removeSuperseded(order.config, stream, intents);
    }
    expect(listFiles(root)).toEqual([
      `${FOLDER}/_manifest.json`,
      `${FOLDER}/g000002/p00000-e001-s000001-00.parquet`,
    ]);
    expect(await readTable(`${root}/**/*.parquet`)).toEqual(
      digestOf(2_000, 2_049),
    );
    expect(fs.existsSync(join(root, FOLDER, "g000001"))).toBe(false);
  });

  test("nothing is superseded without a manifest, nor what the manifest lists", async ({
    root,
  }) => {
    const files = await writeGeneration(root, 1, 1, 50);
    const config = makeConfig(root);
    await expect(removeSuperseded(config, stream, [ended(1)])).rejects.toThrow(
      "before the manifest",
    );
    await publishCommit(makeOrder(root, 1, files));
    const report = await removeSuperseded(config, stream, [ended(1)]);
    expect(report.removed).toEqual([]);
    expect(listFiles(root)).toHaveLength(2);
  });
});

describe("append", () => {
  test("the manifest keeps all committed generations, and publishing again changes nothing", async ({
    root,
  }) => {
    const mode = "full-refresh-append";
    for (const generation of [1, 2, 3]) {
      const files = await writeGeneration(
        root,
        generation,
        generation * 100,
        100,
      );
      const order = makeOrder(root, generation, files, { mode });
      await verifyCommit(order);
      const manifest = await publishCommit(order);
      expect(await publishCommit(order)).toEqual(manifest);
      await removeSuperseded(order.config, stream, [1, 2, 3].map(ended));
    }
    const manifest = readManifest(join(root, FOLDER));
    expect(manifest?.generations.map((entry) => entry.generation)).toEqual([
      1, 2, 3,
    ]);
    expect(manifest?.rows).toBe(300);
    expect(await readTable(`${root}/**/*.parquet`)).toEqual(digestOf(100, 399));
  });
});

describe("verifying", () => {
  test("a file that is missing, short or too many stops the commit by name", async ({
    root,
  }) => {
    const files = await writeGeneration(root, 1, 1, 50);
    const order = makeOrder(root, 1, files);
    await verifyCommit(order);
    const path = join(root, files[0]?.path ?? "");

    const extra = path.replace("s000001", "s000009");
    fs.copyFileSync(path, extra);
    await expect(verifyCommit(order)).rejects.toMatchObject({
      code: "DESTINATION_FAILED",
      details: { path: extra },
    });
    fs.unlinkSync(extra);

    fs.truncateSync(path, 10);
    await expect(verifyCommit(order)).rejects.toMatchObject({
      code: "DESTINATION_FAILED",
      details: { path, bytesFound: 10, bytesSealed: files[0]?.bytes },
    });

    fs.unlinkSync(path);
    await expect(verifyCommit(order)).rejects.toMatchObject({
      code: "DESTINATION_FAILED",
      details: { path, bytesFound: null },
    });
  });

  test("another sync's manifest is not replaced", async ({ root }) => {
    const files = await writeGeneration(root, 1, 1, 50);
    await publishCommit(makeOrder(root, 1, files, { syncId: "sync-2" }));
    await expect(
      publishCommit(makeOrder(root, 1, files)),
    ).rejects.toMatchObject({ code: "DESTINATION_FOREIGN" });
    expect(readManifest(join(root, FOLDER))?.syncId).toBe("sync-2");
  });
});

describe.for<FormatName>(["parquet", "csv", "jsonl"])(
  "a table without rows, as %s",
  (format) => {
    test("is one file with the columns, the same when written again", async ({
      root,
    }) => {
      const config = makeConfig(root, format);
      const options = {
        config,
        schema,
        run: "run-1",
        generation: 1,
        epoch: 2,
        planVersion: 1,
      };
      const file = await writeEmptyFile(options);
      expect(await writeEmptyFile(options)).toEqual(file);
      expect(file).toMatchObject({
        path: `${FOLDER}/g000001/p00000-e002-s000000-00.${format}`,
        rows: 0,
      });
      const order = makeOrder(root, 1, [file], { config, epoch: 2 });
      await verifyCommit(order);
      const manifest = await publishCommit(order);
      expect(manifest).toMatchObject({ rows: 0, bytes: file.bytes });
      expect(manifest.generations[0]?.epochs).toEqual([2]);
      expect(await readTable(`${root}/**/*.${format}`, format)).toEqual(
        digestOf(1, 0),
      );
      // it is no checkpoint
      expect(await recoverCheckpoints(config, schema, 1)).toEqual([]);
    });
  },
);
