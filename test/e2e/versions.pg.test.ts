/** The same syncs on each version of the server that is supported; MILLRACE_TEST_MAJORS names others than the default. */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import {
  makeEveryType,
  prepareCases,
  sessionSettings,
} from "../fixtures/every-type.ts";
import { withDatabase, type PostgresFixture } from "../fixtures/postgres.ts";
import { truthOf } from "../fixtures/postgres-types.ts";
import { readBack } from "../fixtures/read-back.ts";
import { runSync } from "../fixtures/run-sync.ts";
import {
  chooseMajors,
  startPostgres,
  type PostgresService,
} from "../services/postgres.ts";
import { Destination, signal, waitFor } from "./support/command.ts";
import { expectComplete } from "./support/outcome.ts";
import { createShapes, type Shape } from "./support/shapes.ts";
import { digestFiles, digestTable, type Digest } from "./support/tables.ts";

const root = mkdtempSync(join(tmpdir(), "millrace-versions-"));
afterAll(() => rmSync(root, { recursive: true, force: true }));

const cuts = [
  "--partition-size",
  "256KiB",
  "--readers",
  "2",
  "--channels",
  "2",
];

describe.for(chooseMajors())("Postgres %i", (major) => {
  let service: PostgresService | undefined;
  let closeDatabase = (): void => {};
  let database: PostgresFixture;
  const wanted = new Map<Shape, Digest>();

  beforeAll(async () => {
    service = await startPostgres({ major });
    const ready = Promise.withResolvers<PostgresFixture>();
    const over = new Promise<void>((resolve) => (closeDatabase = resolve));
    withDatabase(service.url, (fixture) => {
      ready.resolve(fixture);
      return over;
    }).catch(ready.reject);
    database = await ready.promise;
    for (const shape of await createShapes(database))
      wanted.set(shape, await digestTable(database.query, shape));
  });

  afterAll(async () => {
    closeDatabase();
    await service?.stop();
  });

  const chosen = (): string[] =>
    [...wanted.keys()].flatMap(({ name }) => ["--table", name]);

  test("is the version that was asked for", () => {
    expect(database.serverVersion).toBe(major);
  });

  test.for(["auto", "key"])(
    "all shapes arrive, cut by %s",
    async (partitionBy) => {
      const folder = join(root, `${major}-${partitionBy}`);
      const run = await runSync(
        ...[database.url, folder, ...chosen(), ...cuts],
        ...["--partition-by", partitionBy],
      );
      expect(run.exitCode, run.stderr).toBe(0);
      for (const [shape, digest] of wanted)
        expect(await digestFiles(folder, shape), shape.name).toEqual(digest);
      // Tid Range Scan came with version 14
      const pages = major >= 14 ? "pages" : "whole";
      const rungs = Object.fromEntries(
        run.summary.streams.map(({ name, rung }) => [name, rung]),
      );
      const byKey = partitionBy === "key" || major < 14 ? "keyRanges" : pages;
      expect(rungs).toMatchObject({
        accounts: byKey,
        lines: byKey,
        visits: pages,
        measures: byKey,
      });
      for (const { name, rung, partitions } of run.summary.streams) {
        if (["accounts", "lines", "measures"].includes(name))
          expect(partitions, name).toBeGreaterThan(3);
        if (rung === "whole") expect(partitions, name).toBeGreaterThan(0);
      }
    },
  );

  test("every type is what the server says it is", async () => {
    const cases = await prepareCases(database);
    await makeEveryType(database, cases);
    await database.query(sessionSettings);
    const folder = join(root, `${major}-types`);
    const run = await runSync(database.url, folder, "--table", "every_type");
    expect(run.exitCode, run.stderr).toBe(0);
    const { folder: files } = run.stream("every_type");
    const rows = await readBack(files, "parquet", "zstd", cases.length + 1);
    const texts = cases.map(
      (one, i) => `${truthOf(one, `c${i}`, true)} AS c${i}`,
    );
    const truth = await database.query<Record<string, string | null>>(
      `SELECT ${texts.join(", ")} FROM every_type ORDER BY n`,
    );
    for (const [i, { type, kind }] of cases.entries()) {
      const isFloat = kind === "float32" || kind === "float64";
      const note = (text: unknown): unknown =>
        isFloat && text !== null ? Math.fround(Number(text)) : text;
      expect(
        rows.map((row) => note(row[i + 1] ?? null)),
        type,
      ).toEqual(truth.map((row) => note(row[`c${i}`] ?? null)));
    }
  });

  test("a sync whose bookkeeper is killed is gone on with", async () => {
    const destination = new Destination();
    const args = [
      ...["sync", database.url, destination.root, ...chosen()],
      ...["--partition-by", "key", "--partition-size", "256KiB"],
      ...["--checkpoint-every", "50ms", "--readers", "1"],
    ];
    try {
      const first = destination.start(...args);
      await waitFor("the first durable rows", () =>
        destination.look((ledger) => {
          const [run] = ledger.listRuns({ limit: 1 });
          const durable = run === undefined ? [] : ledger.durableOf(run.runId);
          return durable.some(({ rows }) => rows > 0);
        }),
      );
      signal(first.pid, "SIGKILL");
      expect((await first.ended).signal).toBe("SIGKILL");
      const second = destination.start(...args);
      const { code, stderr, summary } = await second.ended;
      expect(code, stderr).toBe(0);
      const started = second.events.find(({ type }) => type === "run.started");
      expect(started).toMatchObject({
        resumed: { rowsKept: expect.any(Number) },
      });
      const kept = summary?.streams.map(({ rowsKept }) => rowsKept) ?? [];
      expect(Math.max(...kept)).toBeGreaterThan(0);
      await expectComplete(destination, wanted, `version ${major}`);
    } finally {
      await destination.dispose();
    }
  });
});
