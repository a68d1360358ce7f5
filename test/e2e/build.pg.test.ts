/** What `npm run build` makes is what is published: the processes find each other in it, and move a table. */
import { readdir } from "node:fs/promises";
import { join } from "node:path";
import { expect, inject } from "vitest";
import { runSync } from "../fixtures/run-sync.ts";
import { test } from "./support/fixtures.ts";

test("the built command moves a table", async ({ database, destination }) => {
  await database.query("CREATE TABLE orders (id int PRIMARY KEY, note text)");
  await database.query(
    "INSERT INTO orders SELECT i, 'note ' || i FROM generate_series(1, 1000) i",
  );
  const { summary } = await runSync(
    database.url,
    join(destination.root, "out"),
  );
  expect(summary.state).toBe("succeeded");
  expect(summary.streams.map(({ rows }) => rows)).toEqual([1000]);
  // built files only: with the sources beside it, it would not have been the build that ran
  expect(await readdir(inject("builtFolder"))).not.toContain("daemon");
});
