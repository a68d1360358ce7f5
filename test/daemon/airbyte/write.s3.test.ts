/** `destination-s3 write`, each time on a machine that has never seen the one before: what it knows is in the bucket. */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect } from "vitest";
import { test as base } from "../../fixtures/s3.ts";
import { waitFor } from "../../e2e/support/command.ts";
import {
  contentOf,
  placeOf,
  WritePipeline,
} from "../../e2e/support/write-pipeline.ts";

/** Of the first write; a later one has more. */
const ROWS = 240;
const MORE = 60;

const test = base.extend<{ folder: string }>({
  // eslint-disable-next-line no-empty-pattern
  folder: async ({}, use) => {
    const folder = mkdtempSync(join(tmpdir(), "millrace-write-s3-"));
    await use(folder);
    rmSync(folder, { recursive: true, force: true });
  },
});

test("is killed, goes on, and is gone on with by a later sync: each record and each file is there once", async ({
  s3,
  folder,
}) => {
  const pipeline = new WritePipeline(join(folder, "write"), {
    executable: "destination-s3",
    source: { files: "good" },
    hasFiles: true,
    destination: {
      s3_bucket_name: s3.bucket,
      s3_bucket_path: "lake/raw",
      s3_bucket_region: s3.region,
      s3_endpoint: s3.endpoint,
      access_key_id: s3.accessKeyId,
      secret_access_key: s3.secretAccessKey,
      format: { format_type: "JSONL", compression: "none" },
    },
  });
  let machines = 0;
  const onNewMachine = (rows: number): Promise<number | null> => {
    const home = join(folder, `home-${++machines}`);
    return pipeline.run(rows, { HOME: home, XDG_STATE_HOME: home });
  };
  // one that has written rows and has given no state back is not in the way either
  const early = onNewMachine(ROWS);
  await waitFor("objects", async () =>
    (await s3.listObjects()).some(({ key }) => key.includes("/g000001/")),
  );
  pipeline.kill();
  await early;
  const killed = onNewMachine(ROWS);
  await waitFor("states", () => pipeline.states.length >= 4);
  pipeline.kill();
  expect(await killed).toBeNull();
  expect(await onNewMachine(ROWS), pipeline.stdout).toBe(0);
  expect(await onNewMachine(ROWS + MORE), pipeline.stdout).toBe(0);
  const all = Array.from({ length: ROWS + MORE }, (_, i) => i + 1);
  const objects = await s3.listObjects();
  const ids: number[] = [];
  const files = new Map<string, string>();
  for (const { key } of objects) {
    const at = key.indexOf("/_files/");
    if (at !== -1)
      files.set(
        key.slice(at + "/_files/".length),
        (await s3.read(key)).toString("utf8"),
      );
    else if (/\/p\d[^/]*\.jsonl$/.test(key))
      for (const line of (await s3.read(key)).toString("utf8").split("\n"))
        if (line !== "") ids.push((JSON.parse(line) as { id: number }).id);
  }
  pipeline.expectRows(ids, all.length);
  expect(files).toEqual(new Map(all.map((id) => [placeOf(id), contentOf(id)])));
  const manifest = JSON.parse(
    (await s3.read("lake/raw/public/users/_manifest.json")).toString("utf8"),
  ) as {
    readonly rows: number;
    readonly generations: readonly {
      readonly copied: readonly { readonly path: string }[];
    }[];
  };
  expect(manifest.rows).toBe(ids.length);
  const named = manifest.generations.flatMap(({ copied }) => copied);
  expect(new Set(named.map(({ path }) => path)).size).toBe(all.length);
  expect(pipeline.stdout).not.toContain(s3.secretAccessKey);
});
