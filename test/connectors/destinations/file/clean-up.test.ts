import * as fs from "node:fs";
import { dirname, join } from "node:path";

import { expect } from "vitest";

import { cleanUp } from "../../../../connectors/destinations/file/clean-up.ts";
import { listFiles, test } from "./folder.ts";
import { makeConfig, stream } from "./table.ts";

const FOLDER = "public/orders";

function plant(root: string, paths: readonly string[]): void {
  for (const path of paths) {
    fs.mkdirSync(dirname(join(root, path)), { recursive: true });
    fs.writeFileSync(join(root, path), path);
  }
}

const ours = [
  `${FOLDER}/g000002/.p00000-e001-s000001-00.csv.checkpoint.json`,
  `${FOLDER}/g000002/p00000-e001-s000001-00.csv`,
  `${FOLDER}/g000002/p00000-e001-s000002-00.parquet`,
  `${FOLDER}/g000002/p00000-e001-w0a1b2c3d-00.tmp`,
  `${FOLDER}/g000002/p00007-e002-s000001-00.jsonl.gz`,
];
const current = [
  `${FOLDER}/g000002/p00000-e003-s000001-00.parquet`,
  `${FOLDER}/g000002/p00000-e003-w0a1b2c3d-00.tmp`,
];
const strangers = [
  "notes.txt",
  `${FOLDER}/p00000-e001-s000001-00.parquet`,
  `${FOLDER}/g000002/p00000-e001-s000001-00.parquet.bak`,
  `${FOLDER}/g000002/p0-e1-s1-0.parquet`,
  `${FOLDER}/g000002/readme.md`,
  `${FOLDER}/g000002/part-0.parquet`,
  `${FOLDER}/g000002/inner/p00000-e001-s000001-00.parquet`,
  `${FOLDER}/g000003/p00000-e001-s000001-00.parquet`,
  `${FOLDER}/g2/p00000-e001-s000001-00.parquet`,
  "public/other/g000002/p00000-e001-s000001-00.parquet",
];

test("only names of ours, of epochs that are over, go", async ({ root }) => {
  plant(root, [...ours, ...current, ...strangers]);
  const kept = ours[2] ?? "";
  const intent = {
    ...stream,
    generation: 2,
    epochs: [1, 2, 3],
    currentEpoch: 3,
  };
  const report = await cleanUp(makeConfig(root), [intent], new Set([kept]));
  const gone = ours.filter((path) => path !== kept);
  expect(report.removed.toSorted()).toEqual(gone);
  expect(report.left.toSorted()).toEqual(
    [
      `${FOLDER}/g000002/inner`,
      `${FOLDER}/g000002/p0-e1-s1-0.parquet`,
      `${FOLDER}/g000002/p00000-e001-s000001-00.parquet.bak`,
      `${FOLDER}/g000002/part-0.parquet`,
      `${FOLDER}/g000002/readme.md`,
    ].toSorted(),
  );
  expect(listFiles(root)).toEqual([...current, ...strangers, kept].toSorted());
  const again = await cleanUp(makeConfig(root), [intent], new Set([kept]));
  expect(again.removed).toEqual([]);
});

test("an epoch that the ledger did not begin keeps its files", async ({
  root,
}) => {
  plant(root, ours);
  const intent = { ...stream, generation: 2, epochs: [2], currentEpoch: null };
  const report = await cleanUp(makeConfig(root), [intent], new Set());
  expect(report.removed).toEqual([ours[4]]);
  expect(listFiles(root)).toEqual(ours.slice(0, 4));
});

test("without an intent nothing goes", async ({ root }) => {
  plant(root, [...ours, ...strangers]);
  const before = listFiles(root);
  const report = await cleanUp(makeConfig(root), [], new Set());
  expect(report).toEqual({ removed: [], left: [] });
  expect(listFiles(root)).toEqual(before);
});

test("a sidecar stays with the data file that is kept", async ({ root }) => {
  plant(root, ours);
  const intent = {
    ...stream,
    generation: 2,
    epochs: [1, 2],
    currentEpoch: null,
  };
  const keep = new Set([ours[1] ?? ""]);
  await cleanUp(makeConfig(root), [intent], keep);
  expect(listFiles(root)).toEqual(ours.slice(0, 2));
});

test("an ended generation's folder goes when it is empty, and stays with what is not ours", async ({
  root,
}) => {
  plant(root, [...ours, `${FOLDER}/g000003/mine.txt`]);
  const config = makeConfig(root);
  const ended = { ...stream, epochs: [1, 2], currentEpoch: null };
  await cleanUp(
    config,
    [
      { ...ended, generation: 2 },
      { ...ended, generation: 3 },
    ],
    new Set(),
  );
  expect(fs.readdirSync(join(root, FOLDER))).toEqual(["g000003"]);
  expect(listFiles(root)).toEqual([`${FOLDER}/g000003/mine.txt`]);
});

test("a symbolic link in a generation's place, or in a file's, is not followed", async ({
  root,
}) => {
  const elsewhere = "elsewhere/p00000-e001-s000001-00.parquet";
  plant(root, [elsewhere, `${FOLDER}/g000001/x.txt`]);
  fs.symlinkSync(join(root, "elsewhere"), join(root, FOLDER, "g000002"));
  fs.symlinkSync(
    join(root, elsewhere),
    join(root, FOLDER, "g000001/p00000-e001-s000001-00.parquet"),
  );
  const ended = { ...stream, epochs: [1], currentEpoch: null };
  const report = await cleanUp(
    makeConfig(root),
    [
      { ...ended, generation: 1 },
      { ...ended, generation: 2 },
    ],
    new Set(),
  );
  expect(report.removed).toEqual([]);
  expect(fs.existsSync(join(root, elsewhere))).toBe(true);
});

test("a manifest that was written and never renamed goes with its epoch", async ({
  root,
}) => {
  plant(root, [
    `${FOLDER}/_manifest-g000002-e001-0a1b2c3d.tmp`,
    `${FOLDER}/_manifest-g000002-e002-0a1b2c3d.tmp`,
    `${FOLDER}/_manifest-g000009-e001-0a1b2c3d.tmp`,
    `${FOLDER}/_manifest.json`,
  ]);
  const intent = { ...stream, generation: 2, epochs: [1, 2], currentEpoch: 2 };
  const report = await cleanUp(makeConfig(root), [intent], new Set());
  expect(report.removed).toEqual([
    `${FOLDER}/_manifest-g000002-e001-0a1b2c3d.tmp`,
  ]);
});

test("an attempt that is behind another removes nothing", async ({ root }) => {
  plant(root, ours);
  const intent = { ...stream, generation: 2, epochs: [1, 2], currentEpoch: 1 };
  await expect(cleanUp(makeConfig(root), [intent], new Set())).rejects.toThrow(
    "fenced",
  );
  expect(listFiles(root)).toEqual(ours);
});
