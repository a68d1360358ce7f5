import { spawnSync } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, expect, test } from "vitest";
import { launcher } from "./run-millrace.ts";

const empty = mkdtempSync(join(tmpdir(), "millrace-doctor-"));
afterAll(() => rmSync(empty, { recursive: true, force: true }));

function run(...args: readonly string[]) {
  return spawnSync(process.execPath, [launcher, "doctor", ...args], {
    encoding: "utf8",
    // a machine without Java, Maven and a cache
    env: {
      ...process.env,
      MILLRACE_SOURCES: undefined,
      PATH: empty,
      JAVA_HOME: "",
      MAVEN_HOME: "",
      M2_HOME: "",
      XDG_CACHE_HOME: empty,
    },
  });
}

test("without Java it says what is missing and how it is had, and ends with 1", () => {
  const { status, stdout } = run();
  expect(status).toBe(1);
  expect(stdout).toMatch(/missing\s+Java\s.*\n\s+→ .*openjdk-17/);
  expect(stdout).toMatch(/missing\s+Maven/);
});

test("as JSON, for programs", () => {
  const { status, stdout } = run("--json");
  expect(status).toBe(1);
  expect(JSON.parse(stdout)).toMatchObject({
    ok: false,
    machine: [
      { name: "Java", state: "missing" },
      { name: "Java compiler", state: "missing" },
      { name: "Maven", state: "missing" },
      { name: "engine", state: "ok" },
    ],
    source: null,
  });
});

test("what is no source is wrong use", () => {
  expect(run("ftp://somewhere").status).toBe(2);
});

test("a password is in nothing that it says", () => {
  const { status, stdout, stderr } = run(
    "postgres://me:a-secret@127.0.0.1:1/shop?connect_timeout=2",
  );
  expect(status).toBe(1);
  expect(stdout).toMatch(/missing\s+connection/);
  expect(stdout + stderr).not.toContain("a-secret");
});
