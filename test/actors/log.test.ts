import { spawnSync } from "node:child_process";
import { join } from "node:path";
import { expect, test } from "vitest";
import { repositoryRoot } from "../arrows.ts";
import { parseLines } from "./process.ts";

function run(level: string | null, script = "log-main.ts") {
  const { MILLRACE_LOG_LEVEL: _, ...env } = process.env;
  const { stdout, stderr, status } = spawnSync(
    process.execPath,
    [join(repositoryRoot, "test/actors", script)],
    {
      env: { ...env, ...(level === null ? {} : { MILLRACE_LOG_LEVEL: level }) },
      encoding: "utf8",
    },
  );
  expect(status, stderr).toBe(0);
  return { stdout, lines: parseLines(stderr) };
}

test("lines are JSON on stderr, each with its process and what was bound", () => {
  const { lines } = run("debug");
  expect(lines).toEqual([
    {
      level: 20,
      time: expect.any(Number),
      process: "source",
      run: "run1",
      channel: 2,
      msg: "channel opened",
    },
    expect.objectContaining({
      level: 30,
      stream: 1,
      partition: 3,
      run: "run1",
    }),
    expect.objectContaining({ level: 40, msg: "odd" }),
  ]);
});

test.for([
  { level: null, written: ["odd"] },
  { level: "info", written: ["read again", "odd"] },
  { level: "ERROR", written: [] },
  { level: "silent", written: [] },
])("at level $level it writes $written", ({ level, written }) => {
  expect(run(level).lines.map(({ msg }) => msg)).toEqual(written);
});

test("a level that is none is said, and the default taken", () => {
  const { lines } = run("loud");
  expect(lines.map(({ msg }) => msg)).toEqual([
    expect.stringContaining("MILLRACE_LOG_LEVEL is none of trace, debug"),
    "odd",
  ]);
});

test("pino is loaded by the first line and not before: a small run does not pay for it", () => {
  expect(run("error").stdout).toBe("not loaded");
  expect(run("info").stdout).toBe("loaded");
});
