import {
  mkdtempSync,
  readFileSync,
  rmSync,
  statSync,
  truncateSync,
  utimesSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { zstdDecompressSync } from "node:zlib";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { History, historyLimits } from "../../../daemon/inspector/history.ts";

let folder = "";
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "millrace-history-"));
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

const pathOf = (run: string) => join(folder, `${run}.jsonl.zst`);

function write(
  history: History,
  run: string,
  lines: readonly string[],
  first = 0,
) {
  const writer = history.write(run, (error) => {
    throw error;
  });
  lines.forEach((line, at) => writer?.add(line, first + at));
  return writer;
}

async function readAll(history: History, run: string, from = 0) {
  const reader = await history.read(run);
  const found: { sequence: number; line: string }[] = [];
  for await (const one of reader?.read(from) ?? []) found.push(one);
  await reader?.close();
  return found;
}

const lines = Array.from({ length: 5_000 }, (_, at) =>
  JSON.stringify({ at, text: "record ".repeat(9) }),
);

test("what was written is read again, from any record on", async () => {
  const history = new History(folder);
  await write(history, "r-1", lines)?.close();
  expect(await readAll(history, "r-1")).toEqual(
    lines.map((line, sequence) => ({ sequence, line })),
  );
  expect((await readAll(history, "r-1", 4_321))[0]).toEqual({
    sequence: 4_321,
    line: lines[4_321],
  });
});

test("the file is a fraction of its text, each block zstd behind a frame that tools skip, and only its owner may read it", async () => {
  const history = new History(folder);
  await write(history, "r-1", lines)?.close();
  const bytes = readFileSync(pathOf("r-1"));
  expect(bytes.byteLength).toBeLessThan(lines.join("\n").length / 5);
  // RFC 8878: a skippable frame says how long it is, and what follows is a frame of its own
  expect(bytes.readUInt32LE(0) >>> 4).toBe(0x18_4d_2a_5);
  const frame = bytes.subarray(8 + bytes.readUInt32LE(4));
  expect(zstdDecompressSync(frame).toString()).toMatch(/^\{"at":0,/);
  expect(statSync(pathOf("r-1")).mode & 0o777).toBe(0o600);
});

test("a file that a kill has cut off gives the records of its whole blocks", async () => {
  const history = new History(folder);
  await write(history, "r-1", lines)?.close();
  const { size } = statSync(pathOf("r-1"));
  for (const share of [0.9, 0.5, 0.1]) {
    truncateSync(pathOf("r-1"), Math.floor(size * share));
    const found = await readAll(history, "r-1");
    expect(found).toEqual(
      lines
        .slice(0, found.length)
        .map((line, sequence) => ({ sequence, line })),
    );
  }
});

test("a file that is none of ours gives nothing", async () => {
  writeFileSync(pathOf("r-1"), "what is this");
  expect(await readAll(new History(folder), "r-1")).toEqual([]);
});

test("a run that is gone on with is added to", async () => {
  const history = new History(folder);
  await write(history, "r-1", lines.slice(0, 10))?.close();
  await write(history, "r-1", lines.slice(10, 20), 10)?.close();
  expect((await readAll(history, "r-1")).map(({ line }) => line)).toEqual(
    lines.slice(0, 20),
  );
});

test("a run that is too long keeps its beginning and its end, and stays within its limit", async () => {
  const runBytesMax = 200_000;
  const history = new History(folder, { ...historyLimits, runBytesMax });
  const writer = history.write("r-1", (error) => {
    throw error;
  });
  let random = 1;
  const count = 20_000;
  for (let at = 0; at < count; at++) {
    random = (random * 16_807) % 2_147_483_647;
    writer?.add(JSON.stringify({ at, random, more: random ** 2 }), at);
    if (at % 1_000 === 0) await writer?.flush();
  }
  await writer?.close();
  expect(statSync(pathOf("r-1")).size).toBeLessThan(runBytesMax);
  const found = (await readAll(history, "r-1")).map(({ sequence }) => sequence);
  expect(found[0]).toBe(0);
  expect(found.at(-1)).toBe(count - 1);
  expect(found.length).toBeLessThan(count);
  expect(found).toEqual([...new Set(found)].sort((a, b) => a - b));
});

describe("of many runs", () => {
  test("the oldest go when there is no room, but none that is being written", async () => {
    const history = new History(folder, {
      runBytesMax: 1_000_000,
      allBytesMax: 1_100_000,
      filesMax: 3,
      lookedAtEveryMs: 0,
    });
    const open = write(history, "r-open", lines);
    await open?.flush();
    for (const [at, run] of ["r-1", "r-2", "r-3", "r-4"].entries()) {
      await write(history, run, lines)?.close();
      utimesSync(pathOf(run), 1_000 + at, 1_000 + at);
    }
    utimesSync(pathOf("r-open"), 1, 1);
    await write(history, "r-5", lines)?.close();
    const left = (await history.list()).map(({ runId }) => runId).sort();
    expect(left).toContain("r-open");
    expect(left).toContain("r-5");
    expect(left).not.toContain("r-1");
    expect(left.length).toBeLessThanOrEqual(3);
    await open?.close();
  });

  test.for(["../evil", "a/b", "", ".hidden", "x".repeat(200)])(
    "%j is no name of one",
    async (run) => {
      const history = new History(folder);
      expect(history.write(run, () => {})).toBeNull();
      expect(await history.read(run)).toBeNull();
    },
  );
});

test("a folder that cannot be written is told once, and costs nothing more", async () => {
  const file = join(folder, "file");
  writeFileSync(file, "");
  const told: Error[] = [];
  const writer = new History(join(file, "inspections")).write("r-1", (error) =>
    told.push(error),
  );
  lines.forEach((line, at) => writer?.add(line, at));
  await writer?.close();
  expect(told).toHaveLength(1);
});
