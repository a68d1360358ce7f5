/** Tables that change between two runs, under each policy, as a reader that shares no code sees the copy. */
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { Ledger } from "../../checkpoint/store/ledger.ts";
import type { RunEvent } from "../../daemon/request.ts";
import { queryDuckDb } from "../connectors/formats/duckdb.ts";
import {
  expect,
  test as base,
  type PostgresFixture,
} from "../fixtures/postgres.ts";
import { runSync, type SyncRun } from "../fixtures/run-sync.ts";
import { type Destination, useDestination } from "./support/command.ts";

const test = base.extend<{ destination: Destination }>({
  destination: useDestination,
});

async function begin(
  pg: PostgresFixture,
  { root }: Destination,
): Promise<void> {
  await pg.query("CREATE TABLE t (id int PRIMARY KEY, a int, b int)");
  await pg.query("INSERT INTO t VALUES (1, 10, 100)");
  expect((await runSync(pg.url, root)).exitCode).toBe(0);
}

async function columnsOf({ root }: Destination): Promise<string[]> {
  const rows = await queryDuckDb(
    `DESCRIBE SELECT * FROM '${join(root, "public/t/**/*.parquet")}'`,
  );
  return rows.map(([name]) => String(name));
}

function changesOf({ stdout }: SyncRun) {
  return stdout
    .split("\n")
    .filter((line) => line.startsWith("{"))
    .map((line) => JSON.parse(line) as RunEvent)
    .flatMap((event) => (event.type === "schema.changed" ? [event] : []));
}

const added = { added: ["c"], removed: [], changed: [] };

test("propagate: the copy follows the table, and the timeline shows the difference", async ({
  pg,
  destination,
}) => {
  await begin(pg, destination);
  await pg.query(
    "ALTER TABLE t ADD c text, DROP b, ALTER a TYPE bigint USING a::bigint",
  );
  const run = await runSync(pg.url, destination.root);
  expect(run.exitCode, run.stderr).toBe(0);
  expect(await columnsOf(destination)).toEqual(["id", "a", "c"]);
  const difference = {
    added: ["c"],
    removed: ["b"],
    changed: [{ column: "a", from: "integer", to: "bigint" }],
  };
  expect(changesOf(run)).toMatchObject([{ difference, refusal: null }]);
  const ledger = Ledger.open(
    join(destination.root, ".millrace/ledger.sqlite"),
    { create: false },
  );
  const recorded = ledger
    .eventsOf(run.summary.runId)
    .filter(({ kind }) => kind === "schema.changed")
    .map(({ detailsJson }) => JSON.parse(detailsJson) as object);
  ledger.close();
  expect(recorded).toMatchObject([{ name: "t", difference }]);
});

test("new-columns-only: a new column is taken, one that goes fails the table and leaves the copy", async ({
  pg,
  destination,
}) => {
  const { root } = destination;
  await begin(pg, destination);
  await pg.query("ALTER TABLE t ADD c text");
  const policy = ["--schema-changes", "new-columns-only"];
  const grown = await runSync(pg.url, root, ...policy);
  expect(grown.exitCode, grown.stderr).toBe(0);
  expect(changesOf(grown)).toMatchObject([{ difference: added }]);
  expect(await columnsOf(destination)).toEqual(["id", "a", "b", "c"]);

  await pg.query("ALTER TABLE t DROP b");
  const shrunk = await runSync(pg.url, root, ...policy);
  expect(shrunk.stream("t").error).toMatchObject({
    code: "SCHEMA_CHANGE_REFUSED",
  });
  expect(shrunk.exitCode).not.toBe(0);
  expect(await columnsOf(destination)).toEqual(["id", "a", "b", "c"]);
});

test("ignore: the copy keeps its columns, and what it goes without is told", async ({
  pg,
  destination,
}) => {
  const { root } = destination;
  await begin(pg, destination);
  await pg.query("ALTER TABLE t ADD c text");
  for (const _ of [1, 2]) {
    const run = await runSync(pg.url, root, "--schema-changes", "ignore");
    expect(run.exitCode, run.stderr).toBe(0);
    expect(await columnsOf(destination)).toEqual(["id", "a", "b"]);
    expect(changesOf(run)).toMatchObject([{ difference: added }]);
  }
});

test("ignore behind mappers: by the names that the columns have there", async ({
  pg,
  destination,
}) => {
  const { root } = destination;
  await pg.query("CREATE TABLE t (id int PRIMARY KEY, a int)");
  const file = join(root, "millrace.yaml");
  const config = {
    syncs: {
      s: {
        source: { kind: "postgres", url: pg.url },
        destination: { kind: "file", path: root },
        schemaChanges: "ignore",
        mappers: [{ steps: [{ rename: { a: "amount" } }] }],
      },
    },
  };
  // JSON is YAML
  writeFileSync(file, JSON.stringify(config));
  expect((await runSync("-f", file, "s")).exitCode).toBe(0);
  await pg.query("ALTER TABLE t ADD c text");
  const run = await runSync("-f", file, "s");
  expect(run.exitCode, run.stderr).toBe(0);
  expect(await columnsOf(destination)).toEqual(["id", "amount"]);
});

test("pause: a table that has changed waits until somebody agrees, the others go on", async ({
  pg,
  destination,
}) => {
  const { root } = destination;
  await pg.query("CREATE TABLE other (id int PRIMARY KEY)");
  await begin(pg, destination);
  await pg.query("ALTER TABLE t ADD c text");
  const policy = ["--schema-changes", "pause"];
  const waiting = await runSync(pg.url, root, ...policy);
  expect(waiting.exitCode).toBe(4);
  expect(waiting.stderr).toMatch(/public\.t has changed \(new: c\)/);
  expect(waiting.stream("other").state).toBe("committed");
  expect(await columnsOf(destination)).toEqual(["id", "a", "b"]);

  const agreed = await runSync(
    pg.url,
    root,
    ...policy,
    "--accept-schema-changes",
  );
  expect(agreed.exitCode, agreed.stderr).toBe(0);
  expect(await columnsOf(destination)).toEqual(["id", "a", "b", "c"]);
  const after = await runSync(pg.url, root, ...policy);
  expect(after.exitCode, after.stderr).toBe(0);
});
