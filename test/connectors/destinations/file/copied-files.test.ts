/** Files that come with rows: where they lie, what takes their place, and when they go. */
import * as fs from "node:fs";
import { dirname, join } from "node:path";
import { expect } from "vitest";

import { fileColumn } from "../../../../connectors/airbyte/file-reference.ts";
import { cleanUp } from "../../../../connectors/destinations/file/clean-up.ts";
import {
  CopiedFiles,
  findCopied,
} from "../../../../connectors/destinations/file/copied-files.ts";
import { CopyingWriter } from "../../../../connectors/destinations/copying-writer.ts";
import type { StreamWriter } from "../../../../connectors/destinations/destination.ts";
import { parseManifest } from "../../../../connectors/destinations/layout/manifest.ts";
import type { ColumnBatch } from "../../../../proto/columns.ts";
import { listFiles, test as base } from "./folder.ts";
import { makeConfig, schema, stream } from "./table.ts";

const GENERATION = "public/orders/g000003";

const test = base.extend<{
  files: CopiedFiles;
  stage: (name: string, text: string) => { path: string; bytes: number };
}>({
  files: async ({ root }, use) => {
    const of = { schema, generation: 3, epoch: 2, runId: "run", partition: 0 };
    await use(new CopiedFiles(makeConfig(root), { ...of, planVersion: 1 }));
  },
  stage: async ({ root }, use) => {
    const folder = `${root}-staged`;
    fs.mkdirSync(folder);
    await use((name, text) => {
      const path = join(folder, name);
      fs.writeFileSync(path, text);
      return { path, bytes: Buffer.byteLength(text) };
    });
    fs.rmSync(folder, { recursive: true });
  },
});

test("they are copied to their paths, in the place of what was there", async ({
  root,
  files,
  stage,
}) => {
  for (const text of ["one", "another, longer"]) {
    const { path, bytes } = stage("a.part", text);
    const relativePath = "reports/2024/é 1.txt";
    await files.copy([{ stagedPath: path, relativePath, bytes }]);
    const place = `${GENERATION}/_files/${relativePath}`;
    expect(listFiles(root)).toEqual([place]);
    expect(fs.readFileSync(join(root, place), "utf8")).toBe(text);
    expect(findCopied(root, GENERATION)).toEqual([{ path: place, bytes }]);
  }
});

test("one that was changed meanwhile, or whose path is another one's folder, leaves nothing", async ({
  root,
  files,
  stage,
}) => {
  const { path, bytes } = stage("a.part", "text");
  const whole = { stagedPath: path, relativePath: "a", bytes };
  await expect(files.copy([{ ...whole, bytes: 5 }])).rejects.toMatchObject({
    code: "DESTINATION_FAILED",
    message: expect.stringContaining("has 4 bytes instead of 5") as unknown,
  });
  expect(listFiles(root)).toEqual([]);
  await files.copy([whole]);
  const inner = { ...whole, stagedPath: stage("b.part", "text").path };
  await expect(
    files.copy([{ ...inner, relativePath: "a/b" }]),
  ).rejects.toMatchObject({ code: /^DESTINATION_/ as unknown });
  expect(listFiles(root)).toEqual([`${GENERATION}/_files/a`]);
});

test("they go with the last of the rows that they came with, and not before", async ({
  root,
}) => {
  const row = `${GENERATION}/p00000-e001-s000001-00.parquet`;
  const copied = `${GENERATION}/_files/a/p00000-e001-s000001-00.parquet`;
  for (const path of [row, copied]) {
    fs.mkdirSync(dirname(join(root, path)), { recursive: true });
    fs.writeFileSync(join(root, path), path);
  }
  const intent = { ...stream, generation: 3, epochs: [1, 2] };
  const clean = (currentEpoch: number | null, keep: readonly string[] = []) =>
    cleanUp(makeConfig(root), [{ ...intent, currentEpoch }], new Set(keep));
  await clean(null, [row]);
  expect(listFiles(root)).toEqual([copied, row].toSorted());
  // another attempt at the same generation copies them once more
  await clean(2);
  expect(listFiles(root)).toEqual([copied]);
  const { removed } = await clean(null);
  expect(removed).toEqual([`${GENERATION}/_files`]);
  expect(fs.existsSync(join(root, GENERATION))).toBe(false);
});

test("a batch's files are copied before its rows are written, each path once, and what was staged goes", async ({
  stage,
}) => {
  const done: string[] = [];
  const staged = [0, 1, 2].map((row) => stage(`${row}.part`, "x").path);
  const texts = ["a", "b", "a"].map((name, row) =>
    JSON.stringify({
      staging_file_url: staged[row],
      source_file_relative_path: name,
      file_size_bytes: row,
    }),
  );
  const data = Buffer.from(texts.join(""));
  const ends = texts.map(
    (_, row) => Buffer.from(texts.slice(0, row + 1).join("")).length,
  );
  const batch: ColumnBatch = {
    // the row behind them has no file
    rowCount: 4,
    columns: [
      {
        nullCount: 1,
        validity: Uint8Array.of(0b0111),
        offsets: Int32Array.of(0, ...ends, data.length),
        data,
      },
    ],
  };
  const inner = { write: () => void done.push("rows") };
  const writer = new CopyingWriter(
    { ...schema, columns: [fileColumn] },
    0,
    inner as unknown as StreamWriter,
    {
      copy: async (files) => {
        for (const { stagedPath, relativePath, bytes } of files)
          done.push(`${stagedPath} ${relativePath} ${bytes}`);
      },
    },
  );
  await writer.write(batch);
  expect(done).toEqual([`${staged[2]} a 2`, `${staged[1]} b 1`, "rows"]);
  expect(staged.filter((path) => fs.existsSync(path))).toEqual([]);
});

test.for(["../a", "/etc/passwd", "", "a//b"])(
  "a manifest that names %j is not ours",
  (inner) => {
    const path = `${GENERATION}/p00000-e001-s000001-00.parquet`;
    const file = { path, rows: 3, bytes: 99 };
    const text = (place: string): string =>
      JSON.stringify({
        version: 1,
        syncId: "sync-1",
        runId: "run-1",
        stream,
        schema: { fingerprint: "0", columns: [] },
        mode: "incremental-append",
        generations: [
          {
            generation: 3,
            epochs: [1],
            files: [file],
            copied: [{ path: place, bytes: 1 }],
          },
        ],
        rows: 3,
        bytes: 99,
        committedAt: "2025-01-02T03:04:05.000Z",
      });
    const well = parseManifest(text(`${GENERATION}/_files/a/b`), "m");
    expect(well.generations[0]?.copied).toHaveLength(1);
    for (const place of [`${GENERATION}/_files/${inner}`, inner])
      expect(() => parseManifest(text(place), "m")).toThrow(/copied files/);
  },
);
