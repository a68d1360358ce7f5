import { readFileSync } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, onTestFinished, test } from "vitest";
import { TraceFile } from "../../daemon/trace-file.ts";

async function createFolder(): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), "millrace-trace-"));
  onTestFinished(() => rm(folder, { recursive: true }));
  return folder;
}

test("what was written is in the file when it is closed", async () => {
  const path = join(await createFolder(), "trace.jsonl");
  const trace = new TraceFile(path, () => expect.unreachable());
  trace.write('{"a":1}\n');
  trace.write('{"b":2}\n{"c":3}\n');
  await trace.close();
  expect(readFileSync(path, "utf8")).toBe('{"a":1}\n{"b":2}\n{"c":3}\n');
});

test("what comes behind its end is left out, and is no fault", async () => {
  const path = join(await createFolder(), "trace.jsonl");
  const trace = new TraceFile(path, () => expect.unreachable());
  trace.write('{"a":1}\n');
  const closed = trace.close();
  trace.write('{"b":2}\n');
  await closed;
  trace.write('{"c":3}\n');
  expect(readFileSync(path, "utf8")).toBe('{"a":1}\n');
});

test("what a slow disk would heap up is left out and counted", async () => {
  const path = join(await createFolder(), "trace.jsonl");
  const trace = new TraceFile(path, () => expect.unreachable());
  const line = `${JSON.stringify("x".repeat(1024 * 1024))}\n`;
  // nothing is written before this turn is over
  for (let i = 0; i < 40; i++) trace.write(line);
  await trace.close();
  const lines = readFileSync(path, "utf8").trim().split("\n");
  const { kind, count } = JSON.parse(lines.at(-1) ?? "");
  expect(kind).toBe("dropped");
  expect(count).toBeGreaterThan(20);
  expect(lines.length - 1 + count).toBe(40);
});

test("a file that cannot be written is told once and holds up nothing", async () => {
  const reasons: string[] = [];
  const trace = new TraceFile(join(await createFolder(), "no", "t"), (reason) =>
    reasons.push(reason.message),
  );
  trace.write("{}\n");
  await trace.close();
  trace.write("{}\n");
  await trace.close();
  expect(reasons).toEqual([expect.stringContaining("ENOENT")]);
});
