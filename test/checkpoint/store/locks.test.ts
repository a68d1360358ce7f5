import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { hostname } from "node:os";
import { dirname } from "node:path";
import { describe, expect, vi } from "vitest";
import { acquireRunLock } from "../../../checkpoint/store/locks.ts";
import {
  endProcesses,
  isAlive,
  mayBeAlive,
  processStartTime,
} from "../../../checkpoint/store/process-identity.ts";
import { test } from "./fixtures.ts";

// each test starts processes, and waits for them
vi.setConfig({ testTimeout: 30_000 });

describe("the run lock", () => {
  test("is refused while another process holds it, naming that process", async ({
    folder,
  }) => {
    const writer = folder.spawn("lock");
    expect(await writer.nextLine()).toBe("locked");
    expect(() => acquireRunLock(folder.path)).toThrow(
      expect.objectContaining({
        code: "RUN_LOCKED",
        message: expect.stringMatching(
          `process ${writer.child.pid} has been running since 2`,
        ) as string,
        details: expect.objectContaining({ pid: writer.child.pid }) as object,
      }),
    );
  });

  test("of a process that was killed is no obstacle", async ({ folder }) => {
    const writer = folder.spawn("lock");
    expect(await writer.nextLine()).toBe("locked");
    await writer.kill();
    const lock = acquireRunLock(folder.path);
    expect(lock.holder.pid).toBe(process.pid);
    lock.release();
  });

  test("is held against the same process too, until it is released", ({
    folder,
  }) => {
    const lock = acquireRunLock(folder.path);
    expect(() => acquireRunLock(folder.path)).toThrow(
      expect.objectContaining({
        code: "RUN_LOCKED",
        details: expect.objectContaining({ pid: process.pid }) as object,
      }),
    );
    lock.release();
    lock.release();
    acquireRunLock(folder.path).release();
  });

  test("goes to no more than one of many that want it at once", async ({
    folder,
  }) => {
    const writers = Array.from({ length: 4 }, () => folder.spawn("lock"));
    const lines = await Promise.all(writers.map((writer) => writer.nextLine()));
    const refused = lines.filter((line) => line === "RUN_LOCKED");
    // they may all have come into each other's way; two never hold it
    expect(refused.length).toBeGreaterThanOrEqual(3);
  });

  test("leaves the ledger to readers and to the holder", ({ folder }) => {
    const lock = acquireRunLock(folder.path);
    expect(folder.open().listRuns({ limit: 1 })).toEqual([]);
    lock.release();
  });

  test("over a file that is no lock is refused by name", ({ folder }) => {
    mkdirSync(dirname(folder.path));
    writeFileSync(`${folder.path}.lock`, "something else ".repeat(500));
    expect(() => acquireRunLock(folder.path)).toThrow(
      expect.objectContaining({ code: "LEDGER_CORRUPT" }),
    );
  });
});

describe("a process", () => {
  // a zombie is there by number and by start time, and does nothing more
  test.runIf(process.platform === "linux")(
    "that has ended is gone, even before its parent has taken note",
    async () => {
      // after the exec nobody waits for the first sleep
      const parent = spawn("sh", ["-c", "sleep 0 & echo $!; exec sleep 60"], {
        stdio: ["ignore", "pipe", "inherit"],
      });
      const [line] = (await once(parent.stdout, "data")) as [Buffer];
      const pid = Number(line.toString());
      await vi.waitUntil(() => readState(pid) === "Z", { timeout: 20_000 });
      expect(processStartTime(pid)).toBeNull();
      const exited = once(parent, "exit");
      parent.kill("SIGKILL");
      await exited;
    },
  );

  test("is known by its start time", async ({ folder }) => {
    const writer = folder.spawn("idle");
    await writer.nextLine();
    const pid = Number(writer.child.pid);
    const started = processStartTime(pid);
    expect(started).not.toBeNull();
    expect(started).toBe(processStartTime(pid));
    expect(isAlive(pid, started)).toBe(true);
    expect(isAlive(pid, null)).toBe(true);
    expect(isAlive(pid, `${started}0`)).toBe(false);
    await writer.kill();
    expect(isAlive(pid, started)).toBe(false);
    expect(isAlive(pid, null)).toBe(false);
  });

  test("that does not go by itself is ended, and one that took its number is not", async ({
    folder,
  }) => {
    const [meant, other] = [folder.spawn("idle"), folder.spawn("idle")];
    await Promise.all([meant.nextLine(), other.nextLine()]);
    const pid = Number(meant.child.pid);
    const otherPid = Number(other.child.pid);
    const own = {
      pid: process.pid,
      pidStartTime: processStartTime(process.pid),
    };
    const ended = await endProcesses(
      [
        own,
        { pid, pidStartTime: processStartTime(pid) },
        { pid: otherPid, pidStartTime: "another:1" },
      ],
      50,
    );
    expect(ended).toEqual([pid]);
    expect(isAlive(pid, null) && processStartTime(pid) !== null).toBe(false);
    expect(isAlive(otherPid, null)).toBe(true);
  });

  test("of another host is neither waited for nor ended, and counts as running", async ({
    folder,
  }) => {
    const writer = folder.spawn("idle");
    await writer.nextLine();
    const pid = Number(writer.child.pid);
    const elsewhere = {
      host: "elsewhere",
      pid,
      pidStartTime: processStartTime(pid),
    };
    expect(await endProcesses([elsewhere], 60_000)).toEqual([]);
    expect(isAlive(pid, elsewhere.pidStartTime)).toBe(true);
    expect(mayBeAlive({ ...elsewhere, pidStartTime: "another:1" })).toBe(true);
    const here = { ...elsewhere, host: hostname() };
    expect(mayBeAlive({ ...here, pidStartTime: "another:1" })).toBe(false);
    expect(await endProcesses([here], 0)).toEqual([pid]);
  });

  test("that goes by itself within the grace is not ended", async ({
    folder,
  }) => {
    const writer = folder.spawn("idle");
    await writer.nextLine();
    const pid = Number(writer.child.pid);
    const identity = { pid, pidStartTime: processStartTime(pid) };
    const ending = endProcesses([identity], 30_000);
    writer.child.kill("SIGTERM");
    expect(await ending).toEqual([]);
  });
});

function readState(pid: number): string | undefined {
  const stat = readFileSync(`/proc/${pid}/stat`, "latin1");
  return stat.slice(stat.lastIndexOf(")") + 2)[0];
}
