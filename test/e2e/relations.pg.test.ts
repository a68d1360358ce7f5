import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll } from "vitest";
import { queryDuckDb } from "../connectors/formats/duckdb.ts";
import {
  describe,
  expect,
  test,
  type PostgresFixture,
} from "../fixtures/postgres.ts";
import { fromParquet } from "../fixtures/read-back.ts";
import { runSync, type SyncRun } from "../fixtures/run-sync.ts";

const root = mkdtempSync(join(tmpdir(), "millrace-relations-"));
afterAll(() => rmSync(root, { recursive: true, force: true }));

/** The least that a table is cut into. */
const SMALL = ["--partition-size", "64KiB"] as const;

/** Every row of a table once: its rows as texts, in an order of their own. */
async function expectSame(
  pg: PostgresFixture,
  run: SyncRun,
  table: string,
  columns: readonly string[],
): Promise<void> {
  const stream = run.stream(table);
  expect(stream.state, `${table}: ${run.stderr}`).toBe("committed");
  const found = await queryDuckDb(
    `SELECT ${columns.map((name) => `"${name}"::varchar`).join(", ")} FROM ${fromParquet(stream.folder)}`,
  );
  const truth = await pg.query<Record<string, string | null>>(
    `SELECT ${columns.map((name) => `"${name}"::text`).join(", ")} FROM ${table}`,
  );
  const sorted = (rows: readonly unknown[]) =>
    rows.map((row) => JSON.stringify(row)).sort();
  const wanted = sorted(truth.map((row) => Object.values(row)));
  expect(stream.rows, table).toBe(wanted.length);
  expect(sorted(found), table).toEqual(wanted);
}

describe("what is not a plain table", () => {
  test("views, materialised views, partitions of partitions, parents with rows of their own", async ({
    pg,
  }) => {
    await pg.query(`
      CREATE TABLE base AS SELECT n, 'v' || n AS v FROM generate_series(1, 5000) AS n;
      CREATE VIEW seen AS SELECT n, upper(v) AS v FROM base WHERE n % 3 = 0;
      CREATE VIEW sorted AS SELECT n, v FROM base ORDER BY n DESC LIMIT 10;
      CREATE MATERIALIZED VIEW kept AS SELECT n, v FROM base WHERE n <= 4000;
      CREATE UNIQUE INDEX ON kept (n);
      CREATE MATERIALIZED VIEW unfilled AS SELECT n FROM base WITH NO DATA;

      CREATE TABLE parts (n int NOT NULL, region text, v text) PARTITION BY LIST (region);
      CREATE TABLE parts_north PARTITION OF parts FOR VALUES IN ('north') PARTITION BY RANGE (n);
      CREATE TABLE parts_north_low PARTITION OF parts_north FOR VALUES FROM (MINVALUE) TO (1000);
      CREATE TABLE parts_north_high PARTITION OF parts_north FOR VALUES FROM (1000) TO (3000);
      CREATE TABLE parts_north_rest PARTITION OF parts_north DEFAULT;
      CREATE TABLE parts_nothing PARTITION OF parts FOR VALUES IN ('nowhere') PARTITION BY HASH (n);
      -- columns in another order, and one that was dropped: attached, not made as a partition
      CREATE TABLE parts_rest (dropped int, v text, region text, n int NOT NULL);
      ALTER TABLE parts_rest DROP COLUMN dropped;
      ALTER TABLE parts ATTACH PARTITION parts_rest DEFAULT;
      INSERT INTO parts SELECT n, (ARRAY['north', 'south', 'north', NULL])[1 + n % 4], 'v' || n FROM generate_series(-100, 6000) AS n;

      CREATE TABLE keyed_parts (n int, at date, v text, PRIMARY KEY (at, n)) PARTITION BY RANGE (at);
      CREATE TABLE keyed_parts_1 PARTITION OF keyed_parts FOR VALUES FROM ('2020-01-01') TO ('2021-01-01');
      CREATE TABLE keyed_parts_2 PARTITION OF keyed_parts DEFAULT;
      INSERT INTO keyed_parts SELECT n, date '2019-12-01' + n % 500, repeat('x', 100) || n FROM generate_series(1, 8000) AS n;

      CREATE TABLE animals (n int PRIMARY KEY, v text);
      CREATE TABLE dogs (breed text) INHERITS (animals);
      CREATE TABLE puppies (age int) INHERITS (dogs);
      INSERT INTO animals SELECT n, 'animal' FROM generate_series(1, 1000) AS n;
      -- the parent's key does not hold for its children: these numbers are there already
      INSERT INTO dogs SELECT n, 'dog', 'b' FROM generate_series(500, 1500) AS n;
      INSERT INTO puppies SELECT n, 'puppy', 'b', 1 FROM generate_series(1, 10) AS n`);
    for (const partitionBy of ["auto", "ctid", "key"]) {
      const run = await runSync(
        ...[pg.url, join(root, `relations-${partitionBy}`), "--table", "*"],
        ...["--partition-by", partitionBy, ...SMALL],
      );
      expect(run.exitCode, run.stderr).toBe(4);
      expect(run.summary.streams.map(({ name }) => name).sort()).toEqual([
        ...["animals", "base", "kept", "keyed_parts", "parts", "seen"],
        ...["sorted", "unfilled"],
      ]);
      expect(run.stream("unfilled").error?.message).toBe(
        "public.unfilled is not populated; REFRESH MATERIALIZED VIEW first",
      );
      for (const table of ["base", "seen", "sorted", "kept", "animals"])
        await expectSame(pg, run, table, ["n", "v"]);
      await expectSame(pg, run, "parts", ["n", "region", "v"]);
      await expectSame(pg, run, "keyed_parts", ["n", "at", "v"]);
      expect(run.stream("keyed_parts").partitions).toBeGreaterThan(5);
    }
    const bare = await runSync(pg.url, join(root, "relations-bare"));
    expect(bare.exitCode, bare.stderr).toBe(0);
    expect(bare.summary.streams.map(({ name }) => name)).toEqual([
      ...["animals", "base", "keyed_parts", "parts"],
    ]);
    const named = await runSync(
      ...[pg.url, join(root, "relations-named")],
      ...["--table", "parts_north", "--table", "dogs"],
    );
    expect(named.exitCode, named.stderr).toBe(0);
    await expectSame(pg, named, "parts_north", ["n", "region", "v"]);
    await expectSame(pg, named, "dogs", ["n", "v", "breed"]);
  });

  test("foreign tables, alone and as partitions", async ({ pg, skip }) => {
    const [row] = await pg.query<{ count: number }>(
      `SELECT count(*)::int AS count FROM pg_available_extensions
      WHERE name IN ('file_fdw', 'postgres_fdw')`,
    );
    if (row?.count !== 2)
      return skip("this server has no foreign data wrappers");
    const { hostname, port, pathname } = new URL(pg.url);
    await pg.query(`
      CREATE EXTENSION file_fdw;
      CREATE EXTENSION postgres_fdw;
      CREATE SERVER files FOREIGN DATA WRAPPER file_fdw;
      CREATE FOREIGN TABLE from_file (n int, v text) SERVER files OPTIONS (program 'seq -f "%.0f,line" 1 2000', format 'csv');
      CREATE TABLE near (n int PRIMARY KEY, v text);
      INSERT INTO near SELECT n, 'near ' || n FROM generate_series(1, 2000) AS n;
      CREATE SERVER loop FOREIGN DATA WRAPPER postgres_fdw OPTIONS (host '${hostname}', port '${port}', dbname '${pathname.slice(1)}');
      CREATE USER MAPPING FOR CURRENT_USER SERVER loop OPTIONS (user 'postgres', password_required 'false');
      CREATE FOREIGN TABLE far (n int, v text) SERVER loop OPTIONS (table_name 'near');
      CREATE TABLE mixed (n int, v text) PARTITION BY RANGE (n);
      CREATE TABLE mixed_here PARTITION OF mixed FOR VALUES FROM (100000) TO (200000);
      CREATE FOREIGN TABLE mixed_far PARTITION OF mixed FOR VALUES FROM (0) TO (100000) SERVER loop OPTIONS (table_name 'near');
      INSERT INTO mixed_here SELECT n, 'here ' || n FROM generate_series(100000, 102000) AS n`);
    for (const partitionBy of ["ctid", "key"]) {
      const run = await runSync(
        ...[pg.url, join(root, `foreign-${partitionBy}`), "--table", "*"],
        ...["--partition-by", partitionBy, ...SMALL],
      );
      expect(run.exitCode, run.stderr).toBe(0);
      for (const table of ["from_file", "far", "near", "mixed"])
        await expectSame(pg, run, table, ["n", "v"]);
    }
  });
});

describe("keys of every kind cut tables into ranges", () => {
  const ROWS = 6_000;
  const keys: readonly {
    readonly table: string;
    readonly columns: string;
    /** Of `n`, which counts from 1. */
    readonly values: string;
    readonly key: readonly string[];
    readonly needs?: "icu";
  }[] = [
    { table: "by_int", columns: "a int", values: "(n - 3000) * 7", key: ["a"] },
    {
      table: "by_bigint",
      columns: "a bigint",
      values: "(n - 3000)::bigint * 3074457345618258",
      key: ["a"],
    },
    {
      table: "by_numeric",
      columns: "a numeric",
      values: "(n - 3000) / 7.0::numeric * 1e20",
      key: ["a"],
    },
    {
      table: "by_uuid",
      columns: "a uuid",
      values: "md5(n::text)::uuid",
      key: ["a"],
    },
    {
      table: "by_date",
      columns: "a date",
      values: "date '1960-01-01' + n * 5",
      key: ["a"],
    },
    {
      table: "by_timestamp",
      columns: "a timestamp",
      values: "timestamp '1999-12-31 23:59:00' + n * interval '0.000001 s'",
      key: ["a"],
    },
    {
      table: "by_timestamptz",
      columns: "a timestamptz",
      values: "timestamptz '2024-03-31 00:00:00+01' + n * interval '1 s 1 us'",
      key: ["a"],
    },
    {
      table: "by_time",
      columns: "a time",
      values: "time '00:00' + n * interval '1.000001 s'",
      key: ["a"],
    },
    {
      table: "by_interval",
      columns: "a interval",
      values: "(n - 3000) * interval '1 mon 1 day 0.1 s'",
      key: ["a"],
    },
    {
      table: "by_text",
      columns: "a text",
      values:
        "(ARRAY['a', 'A', 'ä', 'Z', '_', 'ż', '🐢', '''', '\"', '\\'])[1 + n % 10] || md5(n::text)",
      key: ["a"],
    },
    {
      table: "by_char",
      columns: "a char(40)",
      values: "substr(md5(n::text), 1, 8 + n % 20)",
      key: ["a"],
    },
    {
      table: "by_bytea",
      columns: "a bytea",
      values: "decode(md5(n::text), 'hex')",
      key: ["a"],
    },
    {
      table: "by_inet",
      columns: "a inet",
      values: "inet '10.0.0.0/8' + n * 257",
      key: ["a"],
    },
    {
      table: "by_domain",
      columns: "a code",
      values: "'c' || md5(n::text)",
      key: ["a"],
    },
    {
      table: "by_enum_and_int",
      columns: "a mood, b int",
      values: "(ARRAY['sad', 'ok', 'happy'])[1 + n % 3]::mood, n",
      key: ["a", "b"],
    },
    {
      table: "by_three",
      columns: "a bool, b text, c date",
      values: "n % 2 = 0, 'b' || n % 10, date '2000-01-01' + n",
      key: ["a", "b", "c"],
    },
    {
      table: "by_icu",
      columns: 'a text COLLATE "de-x-icu"',
      values:
        "(ARRAY['a', 'A', 'ä', 'Ä', 'z', 'Z', '_', '-'])[1 + n % 8] || md5(n::text)",
      key: ["a"],
      needs: "icu",
    },
    {
      table: "by_nondeterministic",
      columns: "a text COLLATE blind",
      values: "(ARRAY['e', 'E', 'é', 'É'])[1 + n % 4] || md5(n::text)",
      key: ["a"],
      needs: "icu",
    },
    {
      table: "by_nondeterministic_pair",
      columns: "a text COLLATE blind, b int",
      values: "(ARRAY['key', 'KEY', 'kéy', 'other'])[1 + n % 4], n",
      key: ["a", "b"],
      needs: "icu",
    },
    // floats have no exact text: such a table must come whole all the same
    {
      table: "by_float",
      columns: "a float8",
      values: "sqrt(n)",
      key: ["a"],
    },
  ];

  test("each row is in exactly one of several partitions", async ({ pg }) => {
    const [icu] = await pg.query<{ there: boolean }>(
      "SELECT EXISTS (SELECT FROM pg_collation WHERE collprovider = 'i') AS there",
    );
    const chosen = keys.filter(({ needs }) => needs !== "icu" || icu?.there);
    await pg.query(
      "CREATE TYPE mood AS ENUM ('sad', 'ok', 'happy'); CREATE DOMAIN code AS varchar(60)",
    );
    if (icu?.there) {
      await pg.query(
        "CREATE COLLATION blind (provider = icu, locale = 'und-u-ks-level1', deterministic = false)",
      );
    }
    for (const { table, columns, values, key } of chosen) {
      await pg.query(`
        CREATE TABLE ${table} (${columns}, n int, pad text, PRIMARY KEY (${key.join(", ")}));
        INSERT INTO ${table} SELECT ${values}, n, repeat('p', 60) FROM generate_series(1, ${ROWS}) AS n ORDER BY md5(n::text);
        ANALYZE ${table}`);
    }
    const run = await runSync(
      ...[pg.url, join(root, "keys"), "--partition-by", "key", ...SMALL],
      ...["--unrepresentable", "error", "--channels", "4"],
    );
    expect(run.exitCode, run.stderr).toBe(0);
    for (const { table } of chosen) {
      await expectSame(pg, run, table, ["n", "pad"]);
      const stream = run.stream(table);
      if (table === "by_float") continue;
      expect(stream.rung, table).toBe("keyRanges");
      expect(stream.partitions, table).toBeGreaterThan(3);
      expect(stream.files, table).toBeGreaterThan(3);
    }
  });
});
