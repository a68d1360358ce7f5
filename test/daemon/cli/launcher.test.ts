import { spawn } from "node:child_process";
import { once } from "node:events";
import { cp, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { describe, expect } from "vitest";
import { launcher, test } from "./run-millrace.ts";

/** Makes the Node that loads it call itself version 20. */
const pretendOldNode =
  "data:text/javascript," +
  encodeURIComponent(
    'Object.defineProperty(process, "versions", { value: { ...process.versions, node: "20.20.2" } });' +
      'Object.defineProperty(process, "version", { value: "v20.20.2" });',
  );

function launch(script: string, args: readonly string[], cwd?: string) {
  return spawn(
    process.execPath,
    ["--import", pretendOldNode, script, ...args],
    {
      cwd,
      env: { ...process.env, MILLRACE_SOURCES: undefined },
      stdio: ["ignore", "pipe", "pipe"],
    },
  );
}

async function collect(child: ReturnType<typeof launch>) {
  let stdout = "";
  let stderr = "";
  child.stdout.on("data", (part: Buffer) => (stdout += part.toString()));
  child.stderr.on("data", (part: Buffer) => (stderr += part.toString()));
  const [exitCode] = (await once(child, "close")) as [number | null];
  return { exitCode, stdout, stderr };
}

describe("under an old Node", () => {
  test("the pinned one runs the command", async () => {
    const { exitCode, stdout } = await collect(launch(launcher, ["--version"]));
    expect(exitCode).toBe(0);
    expect(stdout).toMatch(/^\d+\.\d+\.\d+\n$/);
  });

  test("the exit code is passed on", async () => {
    const { exitCode, stderr } = await collect(launch(launcher, ["snyc"]));
    expect(exitCode).toBe(2);
    expect(stderr).toContain("did you mean sync?");
  });

  test("signals are passed on, and how the child ended comes back", async ({
    folder,
  }) => {
    const row = `${JSON.stringify({ a: "x".repeat(1000) })}\n`;
    await writeFile(join(folder, "a.jsonl"), row.repeat(2000));
    const args = ["cat", "a.jsonl", "-n", "2000", "--json"];
    const child = launch(launcher, args, folder);
    // two megabytes into a pipe that is read once: the child is waiting
    await once(child.stdout, "readable");
    child.stdout.read(1);
    child.kill("SIGTERM");
    const [exitCode] = (await once(child, "exit")) as [number | null];
    expect(exitCode).toBe(128 + 15);
  });

  test("without a pinned one it says which Node is needed", async ({
    folder,
  }) => {
    await cp(dirname(launcher), join(folder, "bin"), { recursive: true });
    await writeFile(join(folder, "package.json"), '{"type":"module"}');
    const { exitCode, stderr } = await collect(
      launch(join(folder, "bin/millrace.js"), ["--version"]),
    );
    expect(exitCode).toBe(2);
    expect(stderr).toBe(
      "error: millrace needs Node 24 or later; this is v20.20.2. Install it from https://nodejs.org, or run `npm install` in the repository to use its own.\n",
    );
  });
});
