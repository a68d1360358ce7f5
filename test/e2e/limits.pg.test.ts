/** What a sync may take of the machine, and what happens to one that takes more. */
import { readFileSync } from "node:fs";
import { availableParallelism } from "node:os";
import { expect } from "vitest";
import { processStartTime } from "../../checkpoint/store/process-identity.ts";
import { errorCodes } from "../../proto/error.ts";
import {
  listChildren,
  waitFor,
  type Destination,
  type Running,
} from "./support/command.ts";
import { startDaemon, writeConfig } from "./support/daemon.ts";
import { test } from "./support/fixtures.ts";

const MIB = 1024 * 1024;

const slow = {
  partitionBy: "key",
  checkpointEvery: "50ms",
  channels: 1,
  readers: 1,
};

function write(
  destination: Destination,
  url: string,
  limits: object,
  more: object = {},
): string {
  return writeConfig(destination, {
    syncs: {
      t: {
        source: { kind: "postgres", url },
        destination: { kind: "file", path: "out" },
        tables: ["t"],
        ledger: ".millrace/ledger.sqlite",
        limits,
        ...more,
      },
    },
  });
}

interface Process {
  readonly command: string;
  readonly cpus: string;
}

function readProcess(pid: number): Process | null {
  try {
    const command = readFileSync(`/proc/${pid}/cmdline`, "utf8");
    const status = readFileSync(`/proc/${pid}/status`, "utf8");
    const cpus = /^Cpus_allowed_list:\s*(\S+)$/m.exec(status)?.[1] ?? "";
    return { command: command.replaceAll("\0", " "), cpus };
  } catch {
    return null;
  }
}

/** Both workers of a run, as soon as they are what they become; `mark` is in their command lines. */
function findWorkers(
  pid: number,
  mark = "",
): Promise<readonly [Process, Process]> {
  return waitFor("the workers of a run", () => {
    const found = listChildren(pid).map(readProcess);
    const [source, destination] = ["source", "destination"].map((role) =>
      found.find(
        (one) =>
          one?.command.includes(`actors/${role}/main`) &&
          one.command.includes(mark) &&
          !one.command.includes("taskset"),
      ),
    );
    return source && destination ? ([source, destination] as const) : null;
  });
}

async function endWell(running: Running): Promise<void> {
  const { summary, stderr } = await running.ended;
  expect(summary, stderr).toMatchObject({ state: "succeeded" });
}

test("a run whose rows outgrow the memory ends by name, is not tried again, and leaves no process", async ({
  database,
  destination,
}) => {
  // what is under way at once is far more than the limit: rows of 40 MB
  await database.query(
    "CREATE TABLE t AS SELECT n AS id, repeat(md5(n::text), 1250000) AS word FROM generate_series(1, 24) AS n",
  );
  const file = write(
    destination,
    database.url,
    { memory: "256MiB" },
    { attempts: 3 },
  );
  const running = destination.start("sync", "-f", file);
  const { code, summary, stderr } = await running.ended;
  expect(summary?.error, stderr).toMatchObject({
    code: "RUN_MEMORY_EXCEEDED",
    details: { limitBytes: 256 * MIB },
  });
  expect(["source", "destination"]).toContain(
    summary?.error?.details["process"],
  );
  expect(code).toBe(errorCodes.RUN_MEMORY_EXCEEDED.exitCode);
  expect(summary).toMatchObject({ epoch: 1, state: "failed" });
  const workers = destination.look((ledger) =>
    ledger.processesOf(summary?.runId ?? ""),
  );
  expect(workers?.length).toBeGreaterThan(0);
  for (const { pid, pidStartTime } of workers ?? [])
    expect(processStartTime(pid)).not.toBe(pidStartTime);
});

test.skipIf(availableParallelism() < 2)(
  "both workers of a run share as many CPUs as it may have, and each heap has its bound",
  async ({ database, destination }) => {
    await database.query(
      "DROP TABLE IF EXISTS t; CREATE TABLE t AS SELECT n AS id, md5(n::text) AS word FROM generate_series(1, 300000) AS n; ALTER TABLE t ADD PRIMARY KEY (id)",
    );
    const file = write(
      destination,
      database.url,
      { cpus: 1, memory: "2GiB" },
      slow,
    );
    const running = destination.start("sync", "-f", file);
    const [source, written] = await findWorkers(
      running.pid,
      "--max-old-space-size",
    );
    expect(source.cpus).toMatch(/^\d+$/);
    expect(written.cpus).toBe(source.cpus);
    for (const { command } of [source, written])
      expect(command).toContain("--max-old-space-size=512");
    await endWell(running);
  },
);

test.skipIf(availableParallelism() < 2)(
  "a daemon's sync with limits has processes of its own, and the runs of two take turns with the CPUs",
  async ({ database, destination }) => {
    await database.query(
      "CREATE TABLE IF NOT EXISTS small AS SELECT n AS id FROM generate_series(1, 10) AS n",
    );
    writeConfig(destination, {
      daemon: { listen: "127.0.0.1:0" },
      syncs: {
        small: {
          source: { kind: "postgres", url: database.url },
          destination: { kind: "file", path: "small" },
          tables: ["small"],
          limits: { cpus: 1 },
        },
      },
    });
    const started = startDaemon(destination);
    await started.ready();
    const seen = new Set<string>();
    for (let run = 1; run <= 2; run += 1) {
      const found = findWorkers(started.running.pid);
      await started.trigger("small");
      const [source] = await found;
      seen.add(source.cpus);
      await waitFor("the end of a run", () =>
        started.summaries("small").length >= run ? true : null,
      );
    }
    expect(seen.size).toBe(2);
    expect(started.summaries("small").map(({ state }) => state)).toEqual([
      "succeeded",
      "succeeded",
    ]);
  },
);
