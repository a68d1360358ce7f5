/** What the commands that move nothing say about a real server, to people and to programs. */
import { existsSync } from "node:fs";
import { join } from "node:path";
import { describe, expect } from "vitest";
import { runCommand, runSync } from "../fixtures/run-sync.ts";
import { test } from "./support/fixtures.ts";

const tables = `
  DROP TABLE IF EXISTS orders, notes;
  CREATE TABLE orders (id int PRIMARY KEY, customer text, placed timestamptz);
  INSERT INTO orders SELECT n, md5(n::text), now() FROM generate_series(1, 60000) AS n;
  CREATE TABLE notes (text text);
  INSERT INTO notes VALUES ('a');
  ANALYZE`;

/** Small enough for the table to be cut. */
const cut = ["--partition-size", "1MiB", "--channels", "2"];

describe("plan", () => {
  test("shows each table's partitions and why it is cut so", async ({
    database: { query, url },
  }) => {
    await query(tables);
    const { exitCode, stdout } = await runCommand(["plan", url, ...cut]);
    expect(exitCode).toBe(0);
    expect(stdout).toMatch(/public\.orders +pages \(ctid\) +[2-9] +~60,000/);
    expect(stdout).toMatch(/public\.notes +/);
    expect(stdout).toMatch(/orders pages 0–\d+ +~\d/);
    expect(stdout).toContain("public.orders: Heap pages, because");
  });

  test("as JSON has the ranges, which follow each other", async ({
    database: { query, url },
  }) => {
    await query(tables);
    const { exitCode, stdout } = await runCommand([
      ...["plan", url, "--table", "orders", "--partition-by", "key", "--json"],
      ...cut,
    ]);
    expect(exitCode).toBe(0);
    const { plans } = JSON.parse(stdout) as {
      plans: {
        rung: string;
        partitions: { split: { start: unknown; end: unknown } }[];
      }[];
    };
    expect(plans.map(({ rung }) => rung)).toEqual(["keyRanges"]);
    const splits = plans[0]!.partitions.map(({ split }) => split);
    expect(splits.length).toBeGreaterThan(1);
    expect(splits[0]!.start).toBeNull();
    expect(splits.at(-1)!.end).toBeNull();
    expect(splits.slice(1).map(({ start }) => start)).toEqual(
      splits.slice(0, -1).map(({ end }) => end),
    );
  });

  test("is what `sync --dry-run` shows, which makes nothing", async ({
    database: { query, url },
    destination: { root },
  }) => {
    await query(tables);
    const out = join(root, "out");
    const { exitCode, stdout } = await runCommand([
      ...["sync", url, out, "--table", "orders", "--dry-run", ...cut],
    ]);
    expect(exitCode).toBe(0);
    expect(stdout).toContain("public.orders");
    expect(stdout).toContain("nothing was moved");
    expect(existsSync(out)).toBe(false);
  });
});

test("check and discover tell what can be read", async ({
  database: { query, url },
}) => {
  await query(tables);
  const checked = await runCommand(["check", url]);
  expect(checked.exitCode).toBe(0);
  expect(checked.stdout).toMatch(
    /^ok source: Postgres \d+\.\d+, 2 tables can be read/,
  );
  const found = await runCommand(["discover", url, "--columns"]);
  expect(found.exitCode).toBe(0);
  expect(found.stdout).toMatch(/public\.orders +table +~60,000 +3 +id/);
  expect(found.stdout).toMatch(/customer +text/);
  const json = await runCommand(["discover", url, "--json"]);
  expect(json.stdout).toContain('"orders"');
});

test("state, runs and cat tell what was moved", async ({
  database: { query, url },
  destination: { root },
}) => {
  await query(tables);
  const { summary } = await runSync(url, root, "--table", "orders");
  const state = await runCommand(["state", root]);
  expect(state.stdout).toContain(summary.runId);
  expect(state.stdout).toMatch(/public\.orders +committed .* 60,000/);
  const runs = await runCommand(["runs", root]);
  expect(runs.stdout).toMatch(new RegExp(`${summary.runId}.* succeeded`));
  const rows = await runCommand([
    ...["cat", join(root, "public/orders"), "--limit", "2", "--json"],
  ]);
  expect(rows.stdout.trim().split("\n")).toHaveLength(2);
});

test("a database that the server lacks is told once and not tried again", async ({
  database: { url },
  destination: { root },
}) => {
  const nowhere = new URL(url);
  nowhere.pathname = "/nowhere";
  const { exitCode, stderr } = await runCommand(["sync", nowhere.href, root]);
  expect(exitCode).toBe(2);
  expect(stderr).toContain("SOURCE_DATABASE_NOT_FOUND");
  expect(stderr).not.toContain("attempt 2");
});
