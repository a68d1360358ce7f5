/** A sync in this process. */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test as base, expect } from "vitest";
import { ExtractError, sync, type SyncEvent } from "../../library/index.ts";
import { queryDuckDb } from "../connectors/formats/duckdb.ts";
import { listChildren } from "../e2e/support/command.ts";

const test = base.extend<{ folder: string }>({
  // oxlint-disable-next-line no-empty-pattern -- vitest reads the fixtures from the pattern
  folder: async ({}, use) => {
    const folder = mkdtempSync(join(tmpdir(), "millrace-library-"));
    await use(folder);
    rmSync(folder, { recursive: true });
  },
});

const countRows = async (folder: string) =>
  Number(
    (
      await queryDuckDb(
        `SELECT count(DISTINCT id) FROM read_parquet('${folder}/**/*.parquet')`,
      )
    )[0]?.[0],
  );

test("tables are moved without a process beside this one, and what happens is told", async ({
  folder,
}) => {
  const events: SyncEvent[] = [];
  let children = 0;
  const before = listChildren(process.pid).length;
  const summary = await sync({
    source: "generator:?columns=id:int&rows=5000",
    destination: folder,
    onEvent: (event) => {
      events.push(event);
      children = Math.max(children, listChildren(process.pid).length - before);
    },
  });
  expect(summary).toMatchObject({
    state: "succeeded",
    tables: [
      {
        ...{ namespace: "generator", name: "rows", state: "committed" },
        ...{ rows: 5000, error: null, place: join(folder, "generator/rows") },
      },
    ],
  });
  expect(events[0]).toEqual({
    ...{ type: "started", runId: summary.runId, resumed: null },
  });
  expect(events.map(({ type }) => type)).toContain("table");
  expect(children).toBe(0);
  expect(await countRows(folder)).toBe(5000);
});

test("a signal stops it at a checkpoint, and the same call goes on", async ({
  folder,
}) => {
  const options = {
    source: "generator:?columns=id:int&rows=60000&rate=40000",
    destination: folder,
    checkpointEverySeconds: 0.1,
  };
  const controller = new AbortController();
  const cut = sync({
    ...options,
    signal: controller.signal,
    onEvent: (event) => {
      if (event.type === "progress" && event.rowsDurable > 0)
        controller.abort(new Error("enough"));
    },
  });
  await expect(cut).rejects.toThrow("enough");
  const events: SyncEvent[] = [];
  const summary = await sync({
    ...options,
    onEvent: (one) => events.push(one),
  });
  expect(events[0]).toMatchObject({ type: "started", runId: summary.runId });
  expect(summary.tables[0]?.rowsKept).toBeGreaterThan(0);
  expect(summary.tables[0]?.rows).toBe(60_000);
  expect(await countRows(folder)).toBe(60_000);
  // before it has begun
  const signal = AbortSignal.abort(new Error("never"));
  await expect(sync({ ...options, signal })).rejects.toThrow("never");
});

test("a run that failed is an error with what became of it", async ({
  folder,
}) => {
  const failing = sync({
    source: "generator:?columns=id:int&rows=10",
    destination: folder,
    where: "id > 5",
  });
  const error: unknown = await failing.catch((thrown: unknown) => thrown);
  if (!(error instanceof ExtractError)) throw error;
  expect(error.code).toBe("USAGE");
  expect(error.summary).toMatchObject({ state: "failed" });
});

test("options that make no sense are refused before anything begins", async ({
  folder,
}) => {
  const source = "generator:?columns=id:int&rows=10";
  const refuse = (more: object, says: RegExp) =>
    expect(
      sync({ source, destination: folder, ...more }),
    ).rejects.toMatchObject({
      code: "USAGE",
      message: expect.stringMatching(says),
    });
  await refuse({ cursor: "id" }, /cursor has a meaning only/);
  await refuse({ formt: "csv" }, /formt is no option; did you mean format/);
  await refuse({ format: "cvs" }, /format/);
  await refuse({ destination: "ftp://x/y" }, /ftp/);
  await refuse(
    { foldersBy: ["id"], destination: "postgres://h/d" },
    /foldersBy/,
  );
});
