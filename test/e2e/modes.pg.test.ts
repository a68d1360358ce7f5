/** What each mode and each choice of what is copied leaves in the folder, as a reader that shares no code sees it. */
import {
  mkdirSync,
  readdirSync,
  readFileSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { readManifest } from "../../connectors/destinations/file/manifest.ts";
import type { RunEvent } from "../../daemon/request.ts";
import { queryDuckDb } from "../connectors/formats/duckdb.ts";
import {
  describe,
  expect,
  test as base,
  type PostgresFixture,
} from "../fixtures/postgres.ts";
import { runSync, type SyncRun } from "../fixtures/run-sync.ts";
import { type Destination, useDestination } from "./support/command.ts";

const test = base.extend<{ destination: Destination }>({
  destination: useDestination,
});

/** A run that has to succeed. */
async function copy(
  pg: PostgresFixture,
  { root }: Destination,
  ...options: readonly string[]
): Promise<SyncRun> {
  const run = await runSync(pg.url, root, ...options);
  expect(run.exitCode, run.stderr).toBe(0);
  return run;
}

function warningsOf({ stdout }: SyncRun): string[] {
  return stdout
    .split("\n")
    .filter((line) => line.startsWith("{"))
    .map((line) => JSON.parse(line) as RunEvent)
    .flatMap((event) => (event.type === "warning" ? [event.message] : []));
}

/** Files below the root, hidden ones and the ledger left out, sorted. */
function listFiles({ root }: Destination): string[] {
  return readdirSync(root, { recursive: true, encoding: "utf8" })
    .filter((path) => !path.split("/").some((part) => part.startsWith(".")))
    .filter((path) => statSync(join(root, path)).isFile())
    .toSorted();
}

async function readIds(
  { root }: Destination,
  folder = "public/t",
): Promise<number[]> {
  const rows = await queryDuckDb(
    `SELECT id::int FROM read_parquet('${root}/${folder}/**/*.parquet') ORDER BY id`,
  );
  return rows.map(([id]) => Number(id));
}

const parquet = (files: readonly string[]): string[] =>
  files.filter((path) => path.endsWith(".parquet"));

describe("modes", () => {
  test("overwriting leaves exactly the table, and what others put beside it", async ({
    pg,
    destination,
  }) => {
    await pg.query("CREATE TABLE t AS SELECT generate_series(1, 3) AS id");
    const folder = join(destination.root, "public", "t");
    mkdirSync(folder, { recursive: true });
    writeFileSync(join(folder, "notes.txt"), "mine");
    const first = await copy(pg, destination);
    expect(warningsOf(first)).toEqual([
      expect.stringContaining("public/t/notes.txt lies beside the files"),
    ]);
    expect(await readIds(destination)).toEqual([1, 2, 3]);
    const before = parquet(listFiles(destination));
    await pg.query("DELETE FROM t WHERE id = 1; INSERT INTO t VALUES (4)");
    await copy(pg, destination);
    expect(await readIds(destination)).toEqual([2, 3, 4]);
    const after = parquet(listFiles(destination));
    expect(after.filter((path) => before.includes(path))).toEqual([]);
    expect(readFileSync(join(folder, "notes.txt"), "utf8")).toBe("mine");
    expect(readdirSync(folder).toSorted()).toEqual([
      ...["_manifest.json", "g000002", "notes.txt"],
    ]);
    expect(readManifest(folder)).toMatchObject({
      stream: { namespace: "public", name: "t" },
      mode: "full-refresh-overwrite",
      generations: [{ generation: 2, files: [{ path: after[0], rows: 3 }] }],
      rows: 3,
      bytes: statSync(join(destination.root, after[0] ?? "")).size,
    });
    await pg.query("TRUNCATE t");
    await copy(pg, destination);
    expect(await readIds(destination)).toEqual([]);
  });

  test("appending keeps all; overwriting and then a cursor begin anew, and say so", async ({
    pg,
    destination,
  }) => {
    await pg.query("CREATE TABLE t AS SELECT generate_series(1, 2) AS id");
    await copy(pg, destination, "-m", "append");
    await copy(pg, destination, "-m", "append");
    expect(await readIds(destination)).toEqual([1, 1, 2, 2]);
    const folder = join(destination.root, "public", "t");
    expect(readManifest(folder)).toMatchObject({
      mode: "full-refresh-append",
      generations: [{ generation: 1 }, { generation: 2 }],
      rows: 4,
    });
    await copy(pg, destination);
    expect(await readIds(destination)).toEqual([1, 2]);
    const byCursor = ["-m", "incremental", "--cursor", "id"];
    const added = await copy(pg, destination, ...byCursor);
    expect(warningsOf(added)).toContainEqual(
      expect.stringContaining("public.t was copied as a whole before"),
    );
    expect(await readIds(destination)).toEqual([1, 1, 2, 2]);
    await pg.query("INSERT INTO t VALUES (3)");
    await copy(pg, destination, ...byCursor);
    expect(await readIds(destination)).toEqual([1, 1, 2, 2, 3]);
    // the table as it is replaces what the cursor had gathered, and the cursor's place with it
    await copy(pg, destination);
    expect(await readIds(destination)).toEqual([1, 2, 3]);
    expect((await copy(pg, destination, ...byCursor)).stream("t").rows).toBe(3);
  });

  test("the format may change from run to run", async ({ pg, destination }) => {
    await pg.query("CREATE TABLE t AS SELECT generate_series(1, 2) AS id");
    for (const format of ["parquet", "csv", "jsonl", "parquet"]) {
      await copy(pg, destination, "--format", format);
      const endings = listFiles(destination).map((path) =>
        path.slice(path.lastIndexOf(".") + 1),
      );
      expect(endings.toSorted()).toEqual(["json", format].toSorted());
    }
  });
});

describe("what is copied", () => {
  test("rows by the server's own condition, whatever it ends with", async ({
    pg,
    destination,
  }) => {
    await pg.query("CREATE TABLE t AS SELECT generate_series(1, 20) AS id");
    await copy(pg, destination, "--where", "id % 5 = 0 OR id = 1 -- and so on");
    expect(await readIds(destination)).toEqual([1, 5, 10, 15, 20]);
    await copy(pg, destination, "--where", "false");
    expect(await readIds(destination)).toEqual([]);
  });

  test("a condition that the server refuses for one table leaves the others", async ({
    pg,
    destination,
  }) => {
    await pg.query(`CREATE TABLE a (id int, shop int); CREATE TABLE b (id int, shop text);
      CREATE TABLE c (id int, shop int);
      INSERT INTO a VALUES (1, 7), (2, 8); INSERT INTO c VALUES (3, 7)`);
    const run = await runSync(
      pg.url,
      destination.root,
      ...["--where", "shop = 7"],
    );
    expect(run.exitCode).toBe(4);
    expect(run.stream("b").error).toMatchObject({
      code: "SOURCE_QUERY_FAILED",
      message: expect.stringContaining(
        "operator does not exist: text = integer",
      ) as string,
    });
    expect(run.stream("a").rows).toBe(1);
    expect(run.stream("c").rows).toBe(1);
    expect(listFiles(destination).some((path) => path.includes("/b/"))).toBe(
      false,
    );
  });

  test("a condition on a column that a table lacks is wrong use", async ({
    pg,
    destination,
  }) => {
    await pg.query("CREATE TABLE t (id int)");
    const run = await runSync(
      pg.url,
      destination.root,
      ...["--where", "shop = 7"],
    );
    expect(run.exitCode).toBe(2);
    expect(run.stderr).toContain('column "shop" does not exist');
    expect(run.stderr).toContain("public.t");
  });

  test("columns in the order that was asked for", async ({
    pg,
    destination,
  }) => {
    await pg.query(
      `CREATE TABLE t (id int PRIMARY KEY, "Odd name" text, secret text); INSERT INTO t VALUES (1, 'x', 's')`,
    );
    await copy(
      pg,
      destination,
      ...["-t", "t", "--columns", "Odd name,id", "--partition-by", "key"],
    );
    const described = await queryDuckDb(
      `DESCRIBE SELECT * FROM read_parquet('${destination.root}/public/t/**/*.parquet')`,
    );
    expect(described.map(([name]) => name)).toEqual(["Odd name", "id"]);
    const wrong = await runSync(
      pg.url,
      destination.root,
      ...["-t", "t", "--columns", "secrt"],
    );
    expect(wrong.exitCode).toBe(2);
    expect(wrong.summary.error?.message).toContain("secret");
    // nothing of the good copy was touched
    expect(await readIds(destination)).toEqual([1]);
  });

  test("tables by patterns, less those left out", async ({
    pg,
    destination,
  }) => {
    await pg.query(`CREATE SCHEMA sales;
      CREATE TABLE sales.orders (id int); CREATE TABLE sales.old_orders (id int); CREATE TABLE sales.customers (id int);
      CREATE TABLE orders (id int); CREATE TABLE other (id int)`);
    const run = await copy(
      pg,
      destination,
      ...["-t", "sales.*", "-t", "orders", "-x", "old_*", "-x", "sales.cust*"],
    );
    expect(
      run.summary.streams.map(({ namespace, name }) => `${namespace}.${name}`),
    ).toEqual(expect.arrayContaining(["sales.orders", "public.orders"]));
    expect(run.summary.streams).toHaveLength(2);
    expect(
      parquet(listFiles(destination)).map((path) => path.split("/")[1]),
    ).toEqual(["orders", "orders"]);
  });
});

describe("what is written", () => {
  const people = `CREATE TABLE t (id int, name text, amount numeric(12, 2), ok boolean, at timestamptz, tags text[]);
    INSERT INTO t VALUES
      (1, 'plain', 1.50, true, '2024-02-29 12:00:00.123456+01', '{a,b}'),
      (2, E'quote " comma , line\\nfeed \\\\ tab\\t', -0.01, false, '1969-12-31 23:59:59Z', '{}'),
      (3, '', 9999999999.99, NULL, NULL, NULL),
      (4, NULL, NULL, NULL, NULL, '{NULL,"x y"}'),
      (5, 'zażółć 🐢', 0, true, '2024-01-01Z', '{}');
    INSERT INTO t SELECT g, 'row ' || g, g, g % 2 = 0, timestamptz '2024-01-01Z' + g * interval '1 hour', '{}'
      FROM generate_series(6, 5000) AS g`;
  const columns = `{'id': 'INTEGER', 'name': 'VARCHAR', 'amount': 'DECIMAL(12,2)', 'ok': 'BOOLEAN', 'at': 'TIMESTAMPTZ', 'tags': 'JSON'}`;

  test.for([
    { format: "csv", compression: "none", ending: "csv" },
    { format: "csv", compression: "gzip", ending: "csv.gz" },
    { format: "csv", compression: "zstd", ending: "csv.zst" },
    { format: "jsonl", compression: "none", ending: "jsonl" },
    { format: "jsonl", compression: "gzip", ending: "jsonl.gz" },
    { format: "jsonl", compression: "zstd", ending: "jsonl.zst" },
    { format: "parquet", compression: "zstd", ending: "parquet" },
    { format: "parquet", compression: "snappy", ending: "parquet" },
    { format: "parquet", compression: "gzip", ending: "parquet" },
    { format: "parquet", compression: "none", ending: "parquet" },
  ])(
    "$format, $compression, is the table to another reader",
    async ({ format, compression, ending }, { pg, destination }) => {
      await pg.query(people);
      const options = ["--format", format, "--compression", compression];
      await copy(pg, destination, ...options);
      const files = `'${destination.root}/public/t/**/*.${ending}'`;
      const from = {
        csv: `read_csv(${files}, header = true, auto_detect = false, delim = ',', quote = '"', escape = '"',
          nullstr = '', allow_quoted_nulls = false, columns = ${columns})`,
        jsonl: `read_json(${files}, format = 'newline_delimited', columns = ${columns})`,
        parquet: `read_parquet(${files})`,
      }[format];
      const found = await queryDuckDb(
        `SELECT id, name, amount::varchar, ok, epoch_us("at")::varchar, tags::json::varchar FROM ${from} ORDER BY id`,
      );
      const wanted = await pg.query(
        `SELECT id, name, amount::text, ok, (extract(epoch FROM at) * 1000000)::bigint::text AS us,
          replace(to_json(tags)::text, ', ', ',') AS tags FROM t ORDER BY id`,
      );
      expect(found).toEqual(wanted.map((row: object) => Object.values(row)));
    },
  );

  test("files are begun anew at their size, in the folders of the template", async ({
    pg,
    destination,
  }) => {
    await pg.query(`CREATE TABLE t AS SELECT g AS id, repeat(md5(g::text), 32) AS body FROM generate_series(1, 30000) AS g;
      CREATE SCHEMA "odd/schema"; CREATE TABLE "odd/schema".".." AS SELECT 1 AS id`);
    const run = await copy(
      pg,
      destination,
      ...["-t", "t", "-t", "odd/schema.*"],
      ...["--path", "lake/{stream}.{namespace}", "--file-size", "4MiB"],
      ...["--compression", "none", "--readers", "1"],
    );
    const files = parquet(listFiles(destination));
    const sizes = files
      .filter((path) => path.startsWith("lake/t.public/"))
      .map((path) => statSync(join(destination.root, path)).size);
    expect(sizes.length).toBeGreaterThan(3);
    expect(run.stream("t").files).toBe(sizes.length);
    // a file ends behind the batch that fills it: 4 MiB at most
    expect(Math.max(...sizes)).toBeLessThan(8.5 * 1024 * 1024);
    expect(files.filter((path) => !path.startsWith("lake/t.public/"))).toEqual([
      expect.stringMatching(/^lake\/[^/.]+\.odd%2Fschema\/g000001\//),
    ]);
    expect(await readIds(destination, "lake/t.public")).toHaveLength(30_000);
    expect(new Set(await readIds(destination, "lake/t.public")).size).toBe(
      30_000,
    );
  });
});

test("a naming rule names folders, and a second run replaces the first under the same names", async ({
  pg,
  destination,
}) => {
  await pg.query("CREATE TABLE t (id int PRIMARY KEY)");
  await pg.query("INSERT INTO t VALUES (1), (2)");
  const rule = ["--namespace", "raw_{namespace}", "--stream-prefix", "shop_"];
  const first = await copy(pg, destination, ...rule);
  const folder = join(destination.root, "raw_public/shop_t");
  expect(first.stream("t").folder).toBe(folder);
  await pg.query("DELETE FROM t WHERE id = 1");
  await copy(pg, destination, ...rule);
  expect(await queryDuckDb(`SELECT id FROM '${folder}/**/*.parquet'`)).toEqual([
    [2],
  ]);
  expect(listFiles(destination).every((path) => path.startsWith("raw_"))).toBe(
    true,
  );
});

test("two tables that would be written under one name are refused before a row is read", async ({
  pg,
  destination,
}) => {
  await pg.query("CREATE TABLE t (id int PRIMARY KEY)");
  await pg.query("CREATE SCHEMA sales");
  await pg.query("CREATE TABLE sales.t (id int PRIMARY KEY)");
  const run = await runSync(pg.url, destination.root, "--namespace", "raw");
  expect(run.exitCode).toBe(2);
  expect(run.stderr).toMatch(/would both be written as raw\.t/);
  expect(listFiles(destination)).toEqual([]);
});
