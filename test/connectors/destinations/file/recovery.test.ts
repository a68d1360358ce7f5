import * as fs from "node:fs";
import { join } from "node:path";

import fc from "fast-check";
import { describe, expect } from "vitest";

import { parseMarker } from "../../../../connectors/destinations/layout/marker.ts";
import { recoverCheckpoints } from "../../../../connectors/destinations/file/recovery.ts";
import { PartitionWriter } from "../../../../connectors/destinations/file/writer.ts";
import type { FormatName } from "../../../../connectors/formats/format.ts";
import type { SealedFile } from "../../../../proto/checkpoint.ts";
import { test } from "./folder.ts";
import { makeBatch, makeConfig, makeStamp, schema } from "./table.ts";
import { traceFs } from "./traced-fs.ts";

const FOLDER = "public/orders/g000001";

/** Two partitions, two epochs, three files a checkpoint; the last epoch of partition 1 ends it. */
async function writeSome(
  root: string,
  format: FormatName,
): Promise<SealedFile[][]> {
  const config = makeConfig(root, format, 1);
  const sealed = [];
  for (const epoch of [1, 2]) {
    for (const partition of [0, 1]) {
      const writer = new PartitionWriter({
        config,
        schema,
        generation: 1,
        epoch,
        runId: "run-1",
        partition,
        planVersion: 3,
      });
      for (let batch = 0; batch < 3; batch += 1)
        await writer.write(makeBatch(1 + batch * 5, 5));
      const last = epoch === 2 && partition === 1;
      const stamp = makeStamp(partition + 1, 15, {
        partition,
        last,
        position: last ? null : { kind: "pages", nextPage: epoch },
      });
      sealed.push(await writer.seal(stamp));
    }
  }
  return sealed;
}

describe.for<FormatName>(["parquet", "csv", "jsonl"])(
  "recovering %s",
  (format) => {
    test("each sealed checkpoint is reported as it was stamped, in order", async ({
      root,
    }) => {
      const sealed = await writeSome(root, format);
      const reports = await recoverCheckpoints(
        makeConfig(root, format),
        { ...schema, number: 9 },
        1,
      );
      expect(reports.map((report) => report.files)).toEqual(sealed);
      expect(
        reports.map(({ epoch, index, partition }) => [epoch, index, partition]),
      ).toEqual([
        [1, 1, 0],
        [1, 2, 1],
        [2, 1, 0],
        [2, 2, 1],
      ]);
      expect(reports[2]?.position).toEqual({ kind: "pages", nextPage: 2 });
      expect(reports[3]).toMatchObject({
        stream: 9,
        attempt: 1,
        sequence: 20,
        position: null,
        rows: 15,
        last: true,
        planVersion: 3,
        runId: "run-1",
      });
    });

    test("the names are synced before anything is reported", async ({
      root,
    }) => {
      await writeSome(root, format);
      const trace = traceFs(root);
      try {
        await recoverCheckpoints(makeConfig(root, format), schema, 1);
      } finally {
        trace.restore();
      }
      expect(trace.calls.slice(0, 4)).toEqual([
        "fsync g000001",
        "fsync orders",
        "fsync public",
        `fsync ${root.slice(root.lastIndexOf("/") + 1)}`,
      ]);
    });

    test("a checkpoint with a file missing, short or replaced does not count; the others do", async ({
      root,
    }) => {
      const [first] = await writeSome(root, format);
      const config = makeConfig(root, format);
      const countIndexes = async (): Promise<number> =>
        (await recoverCheckpoints(config, schema, 1)).length;
      for (const file of first ?? []) {
        const path = join(root, file.path);
        const bytes = fs.readFileSync(path);
        expect(await countIndexes()).toBe(4);
        fs.truncateSync(path, bytes.byteLength - 1);
        expect(await countIndexes()).toBe(3);
        fs.unlinkSync(path);
        expect(await countIndexes()).toBe(3);
        fs.mkdirSync(path);
        expect(await countIndexes()).toBe(3);
        fs.rmdirSync(path);
        fs.writeFileSync(path, bytes);
      }
      expect(await countIndexes()).toBe(4);
    });

    test("files of another table, shape or place do not count", async ({
      root,
    }) => {
      const [first] = await writeSome(root, format);
      const config = makeConfig(root, format);
      expect(
        await recoverCheckpoints(config, { ...schema, fingerprint: "x" }, 1),
      ).toEqual([]);
      // a whole checkpoint copied under the names of another one
      for (const name of fs.readdirSync(join(root, FOLDER))) {
        if (!name.includes("p00000-e001-s000001")) continue;
        fs.copyFileSync(
          join(root, FOLDER, name),
          join(root, FOLDER, name.replace("s000001", "s000008")),
        );
      }
      const reports = await recoverCheckpoints(config, schema, 1);
      expect(reports).toHaveLength(4);
      expect(reports[0]?.files).toEqual(first);
      expect(await recoverCheckpoints(config, schema, 2)).toEqual([]);
    });
  },
);

test("a sidecar that is empty, cut, changed or too long is no marker", async ({
  root,
}) => {
  await writeSome(root, "csv");
  const config = makeConfig(root, "csv");
  const path = join(
    root,
    FOLDER,
    ".p00000-e001-s000001-02.csv.checkpoint.json",
  );
  const text = fs.readFileSync(path, "utf8");
  const changed = [
    "",
    "null",
    text.slice(0, -1),
    text.replace('"rows":15', '"rows":16'),
    text.replace('"epoch":1', '"epoch":2'),
    text.replace('"name":"orders"', '"name":"lines"'),
    text + " ".repeat(5 * 1024 * 1024),
  ];
  for (const other of changed) {
    expect(other).not.toBe(text);
    fs.writeFileSync(path, other);
    expect(await recoverCheckpoints(config, schema, 1)).toHaveLength(3);
  }
  fs.writeFileSync(path, text);
  expect(await recoverCheckpoints(config, schema, 1)).toHaveLength(4);
});

test("a disk that cannot be read is an error, not a missing checkpoint", async ({
  root,
}) => {
  await writeSome(root, "csv");
  const config = makeConfig(root, "csv");
  const name = ".p00000-e001-s000001-02.csv.checkpoint.json";
  fs.rmSync(join(root, FOLDER, name));
  fs.mkdirSync(join(root, FOLDER, name));
  await expect(recoverCheckpoints(config, schema, 1)).rejects.toMatchObject({
    code: "DESTINATION_FAILED",
    details: { path: join(root, FOLDER, name), reason: "EISDIR" },
  });
});

test("whatever JSON a marker is, it is refused or has the shape of one", () => {
  const whole = {
    run: "r",
    stream: { namespace: "n", name: "t" },
    fingerprint: "f",
    generation: 1,
    epoch: 1,
    planVersion: 1,
    stamp: makeStamp(1, 1),
    files: [{ name: "a", rows: 1, bytes: null }],
  };
  expect(parseMarker(JSON.stringify(whole))).toEqual(whole);
  const keys = Object.keys(whole) as (keyof typeof whole)[];
  fc.assert(
    fc.property(fc.constantFrom(...keys), fc.jsonValue(), (key, value) => {
      const parsed = parseMarker(JSON.stringify({ ...whole, [key]: value }));
      if (parsed === null) return;
      expect(typeof parsed[key]).toBe(typeof whole[key]);
      expect(parsed).toEqual({ ...whole, [key]: value });
    }),
  );
  for (const key of keys) {
    const { [key]: _, ...rest } = whole;
    expect(parseMarker(JSON.stringify(rest))).toBeNull();
  }
});
