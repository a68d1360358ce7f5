import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, expect, test } from "vitest";
import { measureCommand } from "./measure.ts";

const folder = mkdtempSync(join(tmpdir(), "millrace-measure-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

function measure(...command: string[]) {
  return measureCommand({
    command,
    cwd: folder,
    serverPids: [],
    outputFolder: folder,
  });
}

/** Burns 200 ms of CPU, by its own account, while it holds 150 MB. */
const burn = `
const held = Buffer.alloc(150_000_000, 1);
while (process.cpuUsage().user < 200_000) held[0] ^= 1;
setTimeout(() => process.exit(held[0] & 2), 1_000);
`;

test.skipIf(process.platform !== "linux")(
  "the CPU and memory of a grandchild are counted",
  { timeout: 30_000 },
  async () => {
    const run = `"${process.execPath}" -e '${burn}'; true`;
    const result = await measure("bash", "-c", run);
    expect(result.exitCode).toBe(0);
    expect(result.clientCpuSeconds).toBeGreaterThanOrEqual(0.2);
    expect(result.wallSeconds).toBeGreaterThanOrEqual(1.0);
    expect(result.peakMb).toBeGreaterThanOrEqual(150);
    expect(
      result.processes.some(
        ({ command, residentMb }) => command.includes("-e") && residentMb > 150,
      ),
    ).toBe(true);
  },
);

test.skipIf(process.platform !== "linux")(
  "a command cannot hide the CPU of a child by leaving before it",
  { timeout: 30_000 },
  async () => {
    const script = `
      while (process.cpuUsage().user < 200_000);
      require("node:fs").writeFileSync("burnt", "");
      setTimeout(() => process.exit(), 3_000);`;
    const run = `"${process.execPath}" -e '${script}' & until [ -e burnt ]; do sleep 0.1; done; sleep 1`;
    const result = await measure("bash", "-c", run);
    expect(result.exitCode).toBe(0);
    expect(result.clientCpuSeconds).toBeGreaterThanOrEqual(0.2);
  },
);

test("a failed command may have made no folder", async () => {
  const result = await measureCommand({
    command: ["false"],
    cwd: folder,
    serverPids: [],
    outputFolder: join(folder, "nothing"),
  });
  expect(result).toMatchObject({ exitCode: 1, outputBytes: 0 });
});

test("a failure keeps its exit code and what was said", async () => {
  const result = await measure("bash", "-c", "echo gone wrong >&2; exit 7");
  expect(result.exitCode).toBe(7);
  expect(result.output).toBe("gone wrong\n");
});
