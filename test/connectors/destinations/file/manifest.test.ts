import * as fs from "node:fs";
import { join } from "node:path";

import fc from "fast-check";
import { expect } from "vitest";

import {
  readManifest,
  writeManifest,
} from "../../../../connectors/destinations/file/manifest.ts";
import type { Manifest } from "../../../../connectors/destinations/layout/manifest.ts";
import { listFiles, test } from "./folder.ts";
import { makeConfig, schema, stream } from "./table.ts";
import { traceFs } from "./traced-fs.ts";

const FOLDER = "public/orders";

function makeManifest(more: Partial<Manifest> = {}): Manifest {
  const path = `${FOLDER}/g000004/p00000-e001-s000001-00.parquet`;
  return {
    version: 1,
    syncId: "sync-1",
    runId: "run-1",
    stream,
    schema: { fingerprint: schema.fingerprint, columns: schema.columns },
    mode: "incremental-append",
    generations: [
      { generation: 4, epochs: [1, 2], files: [{ path, rows: 3, bytes: 99 }] },
    ],
    rows: 3,
    bytes: 99,
    committedAt: "2025-01-02T03:04:05.000Z",
    ...more,
  };
}

function makeFolder(root: string): string {
  const folder = join(root, FOLDER);
  fs.mkdirSync(folder, { recursive: true });
  return folder;
}

test("a manifest reads back as it was written, and replaces the last one whole", async ({
  root,
}) => {
  const folder = makeFolder(root);
  expect(readManifest(folder)).toBeNull();
  const config = makeConfig(root);
  await writeManifest(config, makeManifest(), 1);
  const second = makeManifest({ runId: "run-2" });
  const trace = traceFs(root);
  try {
    await writeManifest(config, second, 2);
  } finally {
    trace.restore();
  }
  expect(readManifest(folder)).toEqual(second);
  expect(listFiles(root)).toEqual([`${FOLDER}/_manifest.json`]);
  expect(trace.calls.map((call) => call.split(" ")[0])).toEqual([
    "openSync",
    "writevSync",
    "fdatasync",
    "renameSync",
    "fsync",
  ]);
  expect(trace.calls.at(-1)).toBe("fsync orders");
});

test("a manifest that could not be replaced stays as it was", async ({
  root,
}) => {
  const folder = makeFolder(root);
  const config = makeConfig(root);
  await writeManifest(config, makeManifest(), 1);
  const trace = traceFs(root, Infinity, (call) =>
    call.startsWith("writevSync")
      ? Object.assign(new Error("ENOSPC"), { code: "ENOSPC", syscall: "write" })
      : null,
  );
  try {
    await expect(
      writeManifest(config, makeManifest({ runId: "run-2" }), 1),
    ).rejects.toMatchObject({ code: "DESTINATION_FULL" });
  } finally {
    trace.restore();
  }
  expect(readManifest(folder)?.runId).toBe("run-1");
  expect(listFiles(root)).toHaveLength(1);
});

test.for([
  { name: "no JSON", text: "{" },
  { name: "an array", text: "[]" },
  { name: "empty", text: "" },
  { name: "another program's", text: '{"files": []}' },
  {
    name: "a later version",
    text: JSON.stringify({ ...makeManifest(), version: 2 }),
  },
  {
    name: "without generations",
    text: JSON.stringify({ ...makeManifest(), generations: [] }),
  },
  {
    name: "with wrong sums",
    text: JSON.stringify({ ...makeManifest(), rows: 4 }),
  },
  {
    name: "with an unknown mode",
    text: JSON.stringify({ ...makeManifest(), mode: "x" }),
  },
  {
    name: "without columns",
    text: JSON.stringify({ ...makeManifest(), schema: {} }),
  },
  ...[
    "../../etc/p00000-e001-s000001-00.parquet",
    `${FOLDER}/g000004/notes.txt`,
    `${FOLDER}/g000005/p00000-e001-s000001-00.parquet`,
    `${FOLDER}/../g000004/p00000-e001-s000001-00.parquet`,
    `/${FOLDER}/g000004/p00000-e001-s000001-00.parquet`,
  ].map((path) => ({
    name: `listing ${path}`,
    text: JSON.stringify({
      ...makeManifest(),
      generations: [
        { generation: 4, epochs: [1], files: [{ path, rows: 3, bytes: 99 }] },
      ],
    }),
  })),
])("a manifest that is $name is refused by its path", ({ text }, { root }) => {
  const folder = makeFolder(root);
  const path = join(folder, "_manifest.json");
  fs.writeFileSync(path, text);
  expect(() => readManifest(folder)).toThrow(
    expect.objectContaining({ code: "DESTINATION_FOREIGN", details: { path } }),
  );
});

test("a manifest cut anywhere, or with any byte changed, is refused or reads as a manifest", ({
  root,
}) => {
  const folder = makeFolder(root);
  const bytes = Buffer.from(JSON.stringify(makeManifest()));
  fc.assert(
    fc.property(
      fc.nat(bytes.length - 1),
      fc.integer({ min: 0, max: 255 }),
      fc.boolean(),
      (at, byte, cut) => {
        const changed = Buffer.from(cut ? bytes.subarray(0, at) : bytes);
        if (!cut) changed[at] = byte;
        fs.writeFileSync(join(folder, "_manifest.json"), changed);
        try {
          expect(readManifest(folder)?.generations).toHaveLength(1);
          expect(cut).toBe(false);
        } catch (error) {
          expect(error).toMatchObject({ code: "DESTINATION_FOREIGN" });
        }
      },
    ),
  );
});

test("a manifest above the bound is refused before it is read", ({ root }) => {
  const folder = makeFolder(root);
  const path = join(folder, "_manifest.json");
  fs.writeFileSync(path, "");
  fs.truncateSync(path, 65 * 1024 * 1024);
  expect(() => readManifest(folder)).toThrow(/too long/);
});
