/** Syncs of real tables in this process, into files and into another database. */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { onTestFinished } from "vitest";
import { ExtractError, readTable, sync } from "../../library/index.ts";
import { expect, test, withDatabase } from "../fixtures/postgres.ts";

function makeFolder(): string {
  const folder = mkdtempSync(join(tmpdir(), "millrace-library-"));
  onTestFinished(() => rmSync(folder, { recursive: true }));
  return folder;
}

test("a table that failed is an error with what became of all of them", async ({
  pg,
}) => {
  await pg.query(
    `CREATE TABLE fine AS SELECT g AS id FROM generate_series(1, 10) AS g;
     CREATE TABLE odd AS SELECT timestamp 'infinity' AS at`,
  );
  const failing = sync({ source: pg.url, destination: makeFolder() });
  const error: unknown = await failing.catch((thrown: unknown) => thrown);
  if (!(error instanceof ExtractError)) throw error;
  expect(error.code).toBe("SOURCE_VALUE_UNREPRESENTABLE");
  expect(error.details["table"]).toBe("public.odd");
  expect(error.summary).toMatchObject({
    state: "partlyFailed",
    tables: [
      { name: "fine", state: "committed", rows: 10, error: null },
      { name: "odd", state: "failed", error: { code: error.code } },
    ],
  });
});

test("several syncs at once share nothing but the process, and what one has written another program reads", async ({
  pg,
}) => {
  await pg.query(
    "CREATE TABLE t AS SELECT g AS id, 'n' || g AS name FROM generate_series(1, 500) AS g",
  );
  await withDatabase(pg.adminUrl, async (target) => {
    const ledger = join(makeFolder(), "ledger.sqlite");
    const runs = await Promise.all([
      sync({ source: pg.url, destination: target.url, ledger }),
      sync({ source: pg.url, destination: makeFolder(), format: "csv" }),
      sync({ source: pg.url, destination: makeFolder(), runsIn: "processes" }),
    ]);
    expect(runs.map(({ tables }) => tables[0]?.rows)).toEqual([500, 500, 500]);
    let rows = 0;
    for await (const row of readTable<{ id: number; name: string }>(
      target.url,
      "t",
    )) {
      expect(row.name).toBe(`n${row.id}`);
      rows += 1;
    }
    expect(rows).toBe(500);
  });
});
