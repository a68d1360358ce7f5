import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import { describe, expect } from "vitest";
import { Ledger } from "../../../checkpoint/store/ledger.ts";
import { processStartTime } from "../../../checkpoint/store/process-identity.ts";
import { readResumeRequest } from "../../../daemon/cli/commands/resume.ts";
import { buildRequest } from "../../../daemon/config-request.ts";
import { ExtractError } from "../../../proto/error.ts";
import type { Partition } from "../../../proto/partition.ts";
import { runMillrace, test } from "./run-millrace.ts";

const relation = { schema: "public", name: "orders", oid: 16_384 };

function partition(
  ordinal: number,
  start: number | null,
  end: number | null,
): Partition {
  return {
    stream: 1,
    ordinal,
    relation,
    only: true,
    split: {
      kind: "key",
      columns: ["id"],
      types: ["bigint"],
      start: start === null ? null : [String(start)],
      end: end === null ? null : [String(end)],
    },
    estimatedRows: 100,
    estimatedBytes: 1000,
  };
}

interface Shape {
  readonly root: string;
  /** Null: still running, in a process that is this one. */
  readonly end: "succeeded" | "failed" | "interrupted" | "partlyFailed" | null;
  readonly pidStartTime?: string | null;
}

/** A ledger below `root` with one run of two partitions: the first is durable, the second to `id` 150. */
function makeRun({ root, end, pidStartTime }: Shape): string {
  const path = join(root, ".millrace/ledger.sqlite");
  const ledger = Ledger.open(path, { create: true });
  const request = buildRequest({
    name: "shop",
    url: "postgres://me@db.example:6432/shop",
    destination: root,
    tables: ["orders"],
    channels: 4,
  });
  ledger.upsertSync({
    id: "s1",
    name: "shop",
    source: request.source.url,
    destination: root,
  });
  const { runId, epoch } = ledger.beginRun({
    syncId: "s1",
    mode: request.mode,
    requestJson: JSON.stringify(request),
    pid: process.pid,
    pidStartTime:
      pidStartTime === undefined ? processStartTime(process.pid) : pidStartTime,
    runDir: "/nowhere",
  });
  ledger.putStream(runId, epoch, {
    number: 1,
    namespace: "public",
    name: "orders",
    schemaJson: "{}",
    fingerprint: "f",
    generation: ledger.nextGeneration("s1", "public", "orders"),
    mode: request.mode,
    cursorWindowJson: null,
  });
  ledger.putPlan(runId, epoch, {
    stream: 1,
    rung: "keyRanges",
    reason: "it has a key",
    partitions: [partition(0, null, 100), partition(1, 100, null)],
    estimatedRows: 200,
    estimatedBytes: 2000,
  });
  const stamp = { stream: 1, attempt: 1, epoch };
  ledger.recordDurable(runId, epoch, {
    ...stamp,
    partition: 0,
    sequence: 1,
    index: 1,
    position: null,
    rows: 1234,
    bytes: 9000,
    last: true,
    files: [
      { path: "public/orders/g000001/a.parquet", rows: 1234, bytes: 500 },
    ],
  });
  ledger.recordDurable(runId, epoch, {
    ...stamp,
    partition: 1,
    sequence: 1,
    index: 2,
    position: { kind: "key", after: ["150"] },
    rows: 50,
    bytes: 400,
    last: false,
    files: [{ path: "public/orders/g000001/b.parquet", rows: 50, bytes: 100 }],
  });
  ledger.recordEvent(runId, "snapshot.lost", '{"why":"keeper died"}');
  if (end === "succeeded") {
    ledger.setStreamState(runId, epoch, 1, "committing");
    ledger.commitStream(runId, epoch, 1);
    ledger.finishRun(runId, epoch, end, null);
  } else if (end !== null) {
    ledger.setStreamState(runId, epoch, 1, "failed", {
      code: "SOURCE_CONNECTION_LOST",
      message: "lost it",
      details: {},
    });
    ledger.finishRun(runId, epoch, end, null);
  }
  ledger.close();
  return runId;
}

describe("runs", () => {
  test("lists the runs of ./out without being told", async ({ folder }) => {
    const runId = makeRun({ root: join(folder, "out"), end: "interrupted" });
    const { exitCode, stdout, stderr } = await runMillrace(["runs"], {
      cwd: folder,
    });
    expect(exitCode).toBe(0);
    const line = stdout.split("\n").find((text) => text.startsWith(runId));
    expect(line).toMatch(/shop +full-refresh-overwrite .* 1,284 +interrupted$/);
    expect(stderr).toContain("1 run can be resumed");
  });

  test("a run whose process is gone is not called running", async ({
    folder,
  }) => {
    makeRun({ root: folder, end: null, pidStartTime: "boot:1" });
    const { stdout } = await runMillrace(["runs", folder, "--json"]);
    expect(JSON.parse(stdout).runs).toMatchObject([
      { state: "died", name: "shop", rows: 1284 },
    ]);
  });

  test("where there is no ledger is wrong use, and nothing is made", async ({
    folder,
  }) => {
    const { exitCode, stderr } = await runMillrace(["runs"], { cwd: folder });
    expect(exitCode).toBe(2);
    expect(stderr).toContain(
      "error RUN_NOT_FOUND: there is no ledger in this folder or in ./out",
    );
    const again = await runMillrace(["runs", "out"], { cwd: folder });
    expect(again.stderr).toContain("there is no ledger in out");
  });
});

describe("state", () => {
  test("shows what is durable of each table", async ({ folder }) => {
    const runId = makeRun({ root: folder, end: "failed" });
    const { exitCode, stdout } = await runMillrace(["state", folder]);
    expect(exitCode).toBe(0);
    expect(stdout).toContain(`run ${runId}: failed`);
    expect(stdout).toMatch(/^public\.orders +failed +1\/2 +1,284 +2 +600 B/m);
    expect(stdout).toContain("error SOURCE_CONNECTION_LOST: lost it");
  });

  test("lists partitions and the timeline when asked", async ({ folder }) => {
    const runId = makeRun({ root: folder, end: "failed" });
    const { stdout } = await runMillrace(
      ["state", ".", runId.slice(0, 12), "--partitions", "--timeline"],
      { cwd: folder },
    );
    expect(stdout).toMatch(/0 +id from … to before 100 +1,234 +1 +all$/m);
    expect(stdout).toMatch(/1 +id from 100 to before … +50 +1 +to 150$/m);
    expect(stdout).toContain('snapshot.lost  {"why":"keeper died"}');
  });

  test("takes a run id alone, and gives JSON", async ({ folder }) => {
    const runId = makeRun({ root: folder, end: "failed" });
    const { stdout } = await runMillrace(["state", runId, "--json"], {
      cwd: folder,
    });
    expect(JSON.parse(stdout)).toMatchObject({
      runId,
      state: "failed",
      request: { name: "shop" },
      streams: [{ rows: 1284, partitions: [{ done: true }, { done: false }] }],
      timeline: [{ kind: "snapshot.lost" }],
    });
  });

  test("an unknown run is wrong use", async ({ folder }) => {
    makeRun({ root: folder, end: "failed" });
    const { exitCode, stderr } = await runMillrace(["state", ".", "r-1999"], {
      cwd: folder,
    });
    expect(exitCode).toBe(2);
    expect(stderr).toContain("error RUN_NOT_FOUND: run r-1999");
  });
});

describe("resume", () => {
  const catchError = (call: () => unknown): ExtractError => {
    try {
      call();
    } catch (error) {
      if (error instanceof ExtractError) return error;
      throw error;
    }
    throw new Error("nothing was thrown");
  };

  test("asks for what was recorded, with the options of this call", ({
    folder,
  }) => {
    makeRun({ root: folder, end: "interrupted" });
    expect(
      readResumeRequest(folder, {
        source: "postgres://other:pw@db.example:6432/shop",
        readers: 2,
      }),
    ).toMatchObject({
      name: "shop",
      source: { url: "postgres://other:pw@db.example:6432/shop" },
      destination: { root: folder },
      tables: ["orders"],
      channels: 4,
      readers: 2,
      restart: false,
    });
  });

  test("goes on with a run whose process died", ({ folder }) => {
    makeRun({ root: folder, end: null, pidStartTime: "boot:1" });
    expect(readResumeRequest(folder, {}).source.url).toBe(
      "postgres://me@db.example:6432/shop",
    );
  });

  test("finds a run by its id in the destination that is named", ({
    folder,
  }) => {
    const runId = makeRun({ root: folder, end: "failed" });
    expect(
      readResumeRequest(runId, { destination: folder }).destination,
    ).toMatchObject({ kind: "file", root: folder });
  });

  test.for([
    { end: "succeeded", says: "is succeeded" },
    { end: "partlyFailed", says: "is partly failed" },
  ] as const)(
    "a run that $says is not gone on with",
    ({ end, says }, { folder }) => {
      makeRun({ root: folder, end });
      const error = catchError(() => readResumeRequest(folder, {}));
      expect(error.code).toBe("RUN_NOT_FOUND");
      expect(error.message).toContain(says);
    },
  );

  test("a run that is alive is left alone", ({ folder }) => {
    makeRun({ root: folder, end: null });
    const error = catchError(() => readResumeRequest(folder, {}));
    expect(error.code).toBe("RUN_LOCKED");
    expect(error.message).toContain(String(process.pid));
  });

  test("a folder that was moved is refused", async ({ folder }) => {
    const elsewhere = join(folder, "elsewhere");
    await mkdir(elsewhere);
    makeRun({ root: folder, end: "failed" });
    const error = catchError(() =>
      readResumeRequest(elsewhere, {
        ledger: join(folder, ".millrace/ledger.sqlite"),
      }),
    );
    expect(error.code).toBe("USAGE");
    expect(error.message).toContain(`not to ${elsewhere}`);
  });

  test("another database is refused, without its password", async ({
    folder,
  }) => {
    makeRun({ root: folder, end: "failed" });
    const { exitCode, stderr } = await runMillrace([
      "resume",
      folder,
      "--source",
      "postgres://me:hunter2@db.example:6432/other",
    ]);
    expect(exitCode).toBe(2);
    expect(stderr).toContain("names another server or database");
    expect(stderr).toContain("db.example:6432/shop");
    expect(stderr).not.toContain("hunter2");
  });
});
