import { spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, mkdtempSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, expect, test, vi } from "vitest";
import { findEmbeddedBinaries } from "../../deploy/demo/binaries.ts";
import { repositoryRoot, toolEnv } from "../arrows.ts";

const folder = mkdtempSync(join(tmpdir(), "millrace-demo-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

function startDemo(...args: string[]) {
  const child = spawn(
    process.execPath,
    [join(repositoryRoot, "deploy/demo/main.ts"), ...args],
    { cwd: repositoryRoot, env: toolEnv, stdio: ["ignore", "pipe", "pipe"] },
  );
  let output = "";
  for (const stream of [child.stdout, child.stderr])
    stream.on("data", (chunk: Buffer) => (output += chunk.toString()));
  const exited = once(child, "exit").then(([code]) => code as number | null);
  return { child, exited, readOutput: () => output };
}

test.skipIf(findEmbeddedBinaries() === null)(
  "`npm start` copies six tables, finds them equal, and leaves no server behind",
  async () => {
    const demo = startDemo("--out", folder);
    const code = await demo.exited;
    const output = demo.readOutput();
    expect(code, output).toBe(0);
    expect(output.match(/ equal /g)).toHaveLength(6);
    const files = readdirSync(folder, { recursive: true, encoding: "utf8" });
    expect(files.some((name) => name.endsWith(".parquet"))).toBe(true);
    const port = Number(/127\.0\.0\.1:(\d+)/.exec(output)?.[1]);
    await expect(fetch(`http://127.0.0.1:${port}`)).rejects.toThrow(
      "fetch failed",
    );
  },
);

test.skipIf(findEmbeddedBinaries() === null)(
  "Ctrl-C ends `npm start -- --serve` and its server",
  async () => {
    const demo = startDemo("--serve");
    let code: number | null = null;
    void demo.exited.then((value) => (code = value ?? -1));
    await vi.waitUntil(
      () => code !== null || demo.readOutput().includes("up until Ctrl-C"),
      { timeout: 120_000 },
    );
    expect(code, demo.readOutput()).toBeNull();
    demo.child.kill("SIGINT");
    expect(await demo.exited).toBe(0);
    expect(
      existsSync(join(repositoryRoot, ".cache/demo/postgres/postmaster.pid")),
    ).toBe(false);
  },
);
