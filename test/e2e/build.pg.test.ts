/** What `npm run build` makes is what is published: the processes find each other in it, and move a table. */
import { execFile } from "node:child_process";
import { cp, mkdtemp, readdir, rm, symlink } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { promisify } from "node:util";
import { expect, onTestFinished } from "vitest";
import { test } from "../fixtures/postgres.ts";

const run = promisify(execFile);
const repository = resolve(import.meta.dirname, "../..");

test("the built command moves a table", async ({ pg }) => {
  await pg.query("CREATE TABLE orders (id int PRIMARY KEY, note text)");
  await pg.query(
    "INSERT INTO orders SELECT i, 'note ' || i FROM generate_series(1, 1000) i",
  );
  const copy = await mkdtemp(join(tmpdir(), "millrace-build-"));
  onTestFinished(() => rm(copy, { recursive: true }));
  const rolldown = join(repository, "node_modules/.bin/rolldown");
  await run(rolldown, ["-c", "-d", join(copy, "dist")], { cwd: repository });
  await cp(join(repository, "bin"), join(copy, "bin"), { recursive: true });
  await cp(join(repository, "package.json"), join(copy, "package.json"));
  await symlink(join(repository, "node_modules"), join(copy, "node_modules"));
  const { MILLRACE_SOURCES: _, ...env } = process.env;
  const { stdout } = await run(
    process.execPath,
    [
      join(copy, "bin/millrace.js"),
      "sync",
      pg.url,
      join(copy, "out"),
      "--json",
    ],
    { env },
  );
  const last = JSON.parse(stdout.trim().split("\n").at(-1) ?? "") as {
    summary: { state: string; streams: { rows: number }[] };
  };
  expect(last.summary.state).toBe("succeeded");
  expect(last.summary.streams.map(({ rows }) => rows)).toEqual([1000]);
  // built files only: with the sources beside it, it would not have been the build that ran
  expect(await readdir(copy)).not.toContain("daemon");
});
