import { spawn } from "node:child_process";
import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";

import { describe, expect } from "vitest";

import {
  readManifest,
  recoverCheckpoints,
} from "../../../../connectors/destinations/file/commit.ts";
import { parseFileName } from "../../../../connectors/destinations/layout/names.ts";
import { readFileSize } from "../../../../connectors/destinations/file/storage.ts";
import type { FormatName } from "../../../../connectors/formats/format.ts";
import { makeLedger, runAttempt } from "./attempt.ts";
import type { Ledger, Table } from "./attempt.ts";
import { listFiles, test } from "./folder.ts";
import { digestOf, makeConfig, readTable, schema } from "./table.ts";
import { killAtEachCall } from "./traced-fs.ts";

const FOLDER = "public/orders";
/** One that stores its marker in the file, and one that has it beside. */
const formats: readonly FormatName[] = ["parquet", "csv"];

/** Every final name of the generation is a whole file, and every checkpoint that was told is found again. */
async function checkAfterCrash(
  root: string,
  format: FormatName,
  ledger: Ledger,
  fileBytesMax: number,
): Promise<void> {
  const folder = `${FOLDER}/g${String(ledger.generation).padStart(6, "0")}`;
  const data = listFiles(root).filter(
    (path) => path.startsWith(folder) && path.endsWith(`.${format}`),
  );
  if (data.length > 0) {
    const digest = await readTable(`${root}/${folder}/*.${format}`, format);
    expect(digest.ids).toBe(digest.rows);
  }
  const recovered = await recoverCheckpoints(
    makeConfig(root, format, fileBytesMax),
    schema,
    ledger.generation,
  );
  for (const files of ledger.durable.values()) {
    expect(recovered.map((report) => report.files)).toContainEqual(files);
  }
  const counted = recovered.flatMap((report) => report.files);
  for (const file of counted) expect(data).toContain(file.path);
  if (counted.length > 0) {
    const paths = counted.map((file) => `${root}/${file.path}`);
    const digest = await readTable(paths, format);
    expect(digest.rows).toBe(counted.reduce((sum, file) => sum + file.rows, 0));
  }
}

/** The folder is exactly the new table and its manifest. */
async function checkFinished(
  root: string,
  format: FormatName,
  ledger: Ledger,
  table: Table,
): Promise<void> {
  const manifest = readManifest(join(root, FOLDER));
  const listed = manifest?.generations.flatMap((entry) => entry.files) ?? [];
  expect(manifest?.generations.map((entry) => entry.generation)).toEqual([
    ledger.generation,
  ]);
  const data = listFiles(root).filter((path) => path.endsWith(`.${format}`));
  expect(data).toEqual(listed.map((file) => file.path).toSorted());
  expect(listFiles(root).filter((path) => path.endsWith(".tmp"))).toEqual([]);
  expect(await readTable(`${root}/**/*.${format}`, format)).toEqual(
    digestOf(table.first, table.last),
  );
}

describe.for(formats)("cut off at every system call, %s", (format) => {
  test(
    "the manifest always names a whole table, and the next attempt ends with the new one",
    { timeout: 120_000 },
    async ({ root }) => {
      const old: Table = {
        first: 1_000,
        last: 1_009,
        batchRows: 10,
        batchesPerCheckpoint: 1,
      };
      const table: Table = {
        first: 1,
        last: 35,
        batchRows: 10,
        batchesPerCheckpoint: 2,
      };
      const statesAtCrash = new Set<string>();
      const killed = await killAtEachCall(root, async (place) => {
        const config = makeConfig(place, format, 1);
        await runAttempt(config, makeLedger(1), old);
        const ledger = makeLedger(2);
        const work = () => runAttempt(config, ledger, table);
        const after = async () => {
          statesAtCrash.add(ledger.state);
          const manifest = readManifest(join(place, FOLDER));
          for (const { path, bytes } of manifest?.generations[0]?.files ?? [])
            expect(readFileSize(join(place, path))).toBe(bytes);
          expect(manifest?.rows).toBe(
            manifest?.generations[0]?.generation === 1 ? 10 : 35,
          );
          if (ledger.state === "committed") expect(manifest?.rows).toBe(35);
          await checkAfterCrash(place, format, ledger, 1);
          await runAttempt(config, ledger, table);
          await checkFinished(place, format, ledger, table);
        };
        return { work, after };
      });
      expect(killed).toBeGreaterThan(30);
      expect([...statesAtCrash].toSorted()).toEqual([
        "committed",
        "committing",
        "writing",
      ]);
    },
  );
});

/** Starts the writer, and kills it a seeded while after a seeded number of checkpoints. */
async function killWriter(
  order: object,
  checkpoints: number,
  delayMs: number,
): Promise<{ rowsTold: number; output: string; wasKilled: boolean }> {
  const main = fileURLToPath(new URL("crash-writer-main.ts", import.meta.url));
  const child = spawn(process.execPath, [main, JSON.stringify(order)], {
    stdio: ["ignore", "pipe", "inherit"],
  });
  const exited = new Promise<NodeJS.Signals | null>((resolve) => {
    child.once("close", (_code, signal) => resolve(signal));
  });
  let output = "";
  child.stdout.setEncoding("utf8");
  const reached = new Promise<void>((resolve) => {
    child.stdout.on("data", (text: string) => {
      output += text;
      if (output.split("\n").length > checkpoints) resolve();
    });
  });
  await Promise.race([reached, exited]);
  await sleep(delayMs);
  child.kill("SIGKILL");
  const signal = await exited;
  const rowsTold = Number(
    output
      .split("\n")
      .filter((line) => /^\d+$/.test(line))
      .at(-1) ?? 0,
  );
  return { rowsTold, output, wasKilled: signal === "SIGKILL" };
}

describe.for(formats)("killed at any moment, %s", (format) => {
  test(
    "what was told is durable, and each row is there once in the end",
    { timeout: 120_000 },
    async ({ root }) => {
      const table: Table = {
        first: 1,
        last: 24_000,
        batchRows: 700,
        batchesPerCheckpoint: 3,
      };
      const fileBytesMax = 20_000;
      let kills = 0;
      for (let round = 0; round < 5; round += 1) {
        const place = join(root, String(round));
        mkdirSync(place);
        // spread over the run by multiples of the golden ratio; the round is the seed
        const spread = (round * 0.618_034) % 1;
        const order = { root: place, format, fileBytesMax, table };
        const { rowsTold, wasKilled } = await killWriter(
          order,
          1 + Math.floor(spread * 9),
          Math.floor(spread * 7),
        );
        if (wasKilled) kills += 1;
        const ledger = makeLedger(1);
        ledger.epoch = 1;
        await checkAfterCrash(place, format, ledger, fileBytesMax);
        const config = makeConfig(place, format, fileBytesMax);
        const recovered = await recoverCheckpoints(config, schema, 1);
        const rows = recovered.reduce((sum, report) => sum + report.rows, 0);
        expect(rows).toBeGreaterThanOrEqual(rowsTold);
        await runAttempt(config, ledger, table);
        await checkFinished(place, format, ledger, table);
        const epochs = listFiles(place).map(
          (path) => parseFileName(path.split("/").at(-1) ?? "")?.epoch,
        );
        expect(epochs).toContain(1);
      }
      expect(kills).toBeGreaterThan(0);
    },
  );
});
