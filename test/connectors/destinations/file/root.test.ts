import { execFileSync } from "node:child_process";
import * as fs from "node:fs";
import { dirname, join } from "node:path";

import { describe, expect } from "vitest";

import { writeManifest } from "../../../../connectors/destinations/file/manifest.ts";
import {
  checkForeign,
  prepareRoot,
} from "../../../../connectors/destinations/file/root.ts";
import { PartitionWriter } from "../../../../connectors/destinations/file/writer.ts";
import { recoverCheckpoints } from "../../../../connectors/destinations/file/recovery.ts";
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
import { traceFs } from "./traced-fs.ts";

const FOLDER = "public/orders";

describe("preparing the root", () => {
  test("makes it with all that is above it, and leaves nothing in it", async ({
    root,
  }) => {
    const deep = join(root, "a/b/c");
    const trace = traceFs(root);
    try {
      await prepareRoot(makeConfig(deep));
    } finally {
      trace.restore();
    }
    expect(fs.statSync(deep).isDirectory()).toBe(true);
    expect(listFiles(root)).toEqual([]);
    const synced = trace.calls.filter((call) => call.startsWith("fsync"));
    expect(synced.map((call) => call.slice("fsync ".length))).toEqual([
      "b",
      "a",
      root.slice(dirname(root).length + 1),
      "c",
    ]);
    await prepareRoot(makeConfig(deep));
  });

  test("a root below a file cannot be written", async ({ root }) => {
    fs.writeFileSync(join(root, "file"), "");
    for (const path of [join(root, "file"), join(root, "file/below")]) {
      await expect(prepareRoot(makeConfig(path))).rejects.toMatchObject({
        code: "DESTINATION_UNWRITABLE",
        details: { path },
      });
    }
  });

  test.runIf(fs.existsSync("/proc/self"))(
    "a root that no folder can be made in cannot be written",
    async () => {
      const path = "/proc/self/millrace";
      await expect(prepareRoot(makeConfig(path))).rejects.toMatchObject({
        code: "DESTINATION_UNWRITABLE",
        details: { path },
      });
    },
  );

  test("a file system without hard links is named before anything is read", async ({
    root,
  }) => {
    const trace = traceFs(root, Infinity, (call) =>
      call.startsWith("linkSync")
        ? Object.assign(new Error("EPERM"), { code: "EPERM", syscall: "link" })
        : null,
    );
    try {
      await expect(prepareRoot(makeConfig(root))).rejects.toMatchObject({
        code: "DESTINATION_UNWRITABLE",
        details: { path: root, reason: "EPERM" },
      });
    } finally {
      trace.restore();
    }
    expect(listFiles(root)).toEqual([]);
  });

  test("a path template that is refused is told here", async ({ root }) => {
    const config = { ...makeConfig(root), pathTemplate: "../{stream}" };
    await expect(prepareRoot(config)).rejects.toMatchObject({ code: "USAGE" });
  });

  test("a root that has gone is not made again by a writer", async ({
    root,
  }) => {
    const config = makeConfig(join(root, "gone"));
    const writer = new PartitionWriter({
      config,
      schema,
      generation: 1,
      epoch: 1,
      runId: "run-1",
      partition: 0,
      planVersion: 1,
    });
    expect(() => writer.write(makeBatch(1, 1))).toThrow(
      expect.objectContaining({ code: "DESTINATION_FAILED" }),
    );
    expect(fs.readdirSync(root)).toEqual([]);
  });
});

describe("what another ledger wrote", () => {
  const path = `${FOLDER}/g000004/p00000-e001-s000001-00.parquet`;
  const plant = async (root: string, name = stream): Promise<void> => {
    fs.mkdirSync(join(root, FOLDER, "g000004"), { recursive: true });
    fs.writeFileSync(join(root, path), "x");
    await writeManifest(
      makeConfig(root),
      {
        version: 1,
        syncId: "sync-1",
        runId: "run-1",
        stream: name,
        schema: { fingerprint: schema.fingerprint, columns: schema.columns },
        mode: "full-refresh-overwrite",
        generations: [
          { generation: 4, epochs: [1], files: [{ path, rows: 3, bytes: 1 }] },
        ],
        rows: 3,
        bytes: 1,
        committedAt: "2025-01-02T03:04:05.000Z",
      },
      1,
    );
  };

  test("our own manifest and generations are fine", async ({ root }) => {
    const config = makeConfig(root);
    expect(checkForeign(config, stream, new Set(), "sync-1")).toEqual({
      manifest: null,
      strangers: [],
    });
    await plant(root);
    fs.writeFileSync(join(root, FOLDER, "old.parquet"), "");
    const report = checkForeign(config, stream, new Set([4]), "sync-1");
    expect(report.manifest?.runId).toBe("run-1");
    expect(report.strangers).toEqual([`${FOLDER}/old.parquet`]);
  });

  test("a manifest of another sync, or with an unknown generation, stops the run", async ({
    root,
  }) => {
    await plant(root);
    const before = listFiles(root);
    for (const [known, syncId] of [
      [[4], "sync-2"],
      [[], "sync-1"],
      [[3, 5], "sync-1"],
    ] as const) {
      expect(() =>
        checkForeign(makeConfig(root), stream, new Set(known), syncId),
      ).toThrow(
        expect.objectContaining({
          code: "DESTINATION_FOREIGN",
          details: { path: join(root, FOLDER, "_manifest.json") },
        }),
      );
    }
    expect(listFiles(root)).toEqual(before);
  });

  test("a manifest of another table stops the run", async ({ root }) => {
    fs.mkdirSync(join(root, "public/lines"), { recursive: true });
    await plant(root, { namespace: "public", name: "lines" });
    fs.renameSync(
      join(root, "public/lines/_manifest.json"),
      join(root, FOLDER, "_manifest.json"),
    );
    expect(() =>
      checkForeign(makeConfig(root), stream, new Set([4]), "sync-1"),
    ).toThrow(/it is of public\.lines/);
  });

  test("an unknown generation's folder with anything in it stops the run", ({
    root,
  }) => {
    const config = makeConfig(root);
    fs.mkdirSync(join(root, FOLDER, "g000004"), { recursive: true });
    expect(() =>
      checkForeign(config, stream, new Set(), "sync-1"),
    ).not.toThrow();
    fs.writeFileSync(join(root, FOLDER, "g000004/any.txt"), "");
    expect(() => checkForeign(config, stream, new Set(), "sync-1")).toThrow(
      expect.objectContaining({ code: "DESTINATION_FOREIGN" }),
    );
    expect(() =>
      checkForeign(config, stream, new Set([4]), "sync-1"),
    ).not.toThrow();
  });
});

/** Runs `mount`; false where this user may not. */
function mount(...args: string[]): boolean {
  try {
    execFileSync("mount", args, { stdio: "ignore" });
    return true;
  } catch {
    return false;
  }
}

const canMount = ((): boolean => {
  const probe = fs.mkdtempSync("/tmp/millrace-mount-");
  const mounted = mount("-t", "tmpfs", "-o", "size=64k", "tmpfs", probe);
  if (mounted) execFileSync("umount", [probe]);
  fs.rmdirSync(probe);
  return mounted;
})();

describe.runIf(canMount)(
  "a file system of its own (needs leave to mount)",
  () => {
    const withMount = async (
      root: string,
      options: string,
      work: (folder: string) => Promise<void>,
    ): Promise<void> => {
      const folder = join(root, "mounted");
      fs.mkdirSync(folder);
      if (!mount("-t", "tmpfs", "-o", options, "tmpfs", folder))
        throw new Error("mount failed");
      try {
        await work(folder);
      } finally {
        execFileSync("umount", [folder]);
      }
    };

    for (const format of ["parquet", "csv"] as const) {
      test(`a full disk leaves what was sealed before, and no other name (${format})`, async ({
        root,
      }) => {
        await withMount(root, "size=1m", async (folder) => {
          // uncompressed, so that the disk is full soon
          const base = makeConfig(folder, format);
          const config = {
            ...base,
            format: { ...base.format, compression: "none" as const },
          };
          await prepareRoot(config);
          const writer = new PartitionWriter({
            config,
            schema,
            generation: 1,
            epoch: 1,
            runId: "run-1",
            partition: 0,
            planVersion: 1,
          });
          await writer.write(makeBatch(1, 1_000));
          const sealed = await writer.seal(makeStamp(1, 1_000));
          let rows = 0;
          const fill = async (): Promise<void> => {
            while (rows < 200_000) {
              await writer.write(makeBatch(1_001 + rows, 10_000));
              rows += 10_000;
            }
            await writer.seal(makeStamp(2, rows));
          };
          await expect(fill()).rejects.toMatchObject({
            code: "DESTINATION_FULL",
            details: { reason: "ENOSPC" },
          });
          await expect(writer.seal(makeStamp(2, rows))).rejects.toMatchObject({
            code: "DESTINATION_FULL",
          });
          await writer.discard();
          const data = listFiles(folder).filter((name) =>
            name.endsWith(`.${format}`),
          );
          expect(data).toEqual(sealed.map((file) => file.path));
          expect(await readTable(`${folder}/**/*.${format}`, format)).toEqual(
            digestOf(1, 1_000),
          );
          const recovered = await recoverCheckpoints(config, schema, 1);
          expect(recovered.map((report) => report.index)).toEqual([1]);
          // the room that was taken is free again
          await writer.write(makeBatch(1_001, 1_000));
          expect(await writer.seal(makeStamp(3, 1_000))).toHaveLength(1);
        });
      });
    }

    test("a disk mounted for reading only cannot be written", async ({
      root,
    }) => {
      await withMount(root, "size=1m,ro", async (folder) => {
        for (const path of [folder, join(folder, "below")]) {
          await expect(prepareRoot(makeConfig(path))).rejects.toMatchObject({
            code: "DESTINATION_UNWRITABLE",
            details: { path, reason: "EROFS" },
          });
        }
      });
    });

    test("a root without room is told as full before anything is read", async ({
      root,
    }) => {
      await withMount(root, "size=64k", async (folder) => {
        fs.writeFileSync(join(folder, "filler"), Buffer.alloc(64 * 1024));
        await expect(prepareRoot(makeConfig(folder))).rejects.toMatchObject({
          code: "DESTINATION_FULL",
        });
      });
    });
  },
);
