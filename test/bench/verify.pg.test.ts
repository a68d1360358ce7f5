import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { DuckDBInstance } from "@duckdb/node-api";
import pg from "pg";
import { createLineitem } from "../../deploy/demo/lineitem.ts";
import { expect, test, type PostgresFixture } from "../fixtures/postgres.ts";
import { createUsers } from "./users.ts";
import { findDifference, measureServer, type BenchTable } from "./verify.ts";

/** Writes the table to Parquet by way of CSV and DuckDB; `select` may spoil it. */
async function writeParquet(
  { query }: PostgresFixture,
  table: BenchTable,
  folder: string,
  select: string,
): Promise<void> {
  const rows = await query<Record<string, unknown>>(
    `SELECT t::text AS line FROM ${table} t`,
  );
  const names = await query<{ name: string; type: string }>(
    `SELECT attname AS name, CASE WHEN atttypid = 'jsonb'::regtype THEN 'json' ELSE split_part(format_type(atttypid, atttypmod), ' with', 1) END AS type
     FROM pg_attribute WHERE attrelid = '${table}'::regclass AND attnum > 0 ORDER BY attnum`,
  );
  const csv = join(folder, "rows.csv");
  // a row's text form is CSV in brackets
  writeFileSync(
    csv,
    rows.map(({ line }) => `${String(line).slice(1, -1)}\n`).join(""),
  );
  const types = names.map(
    ({ name, type }) =>
      `'${name}': '${type.replace(/^char.*/, "varchar").replace(/^timestamp$/, "timestamptz")}'`,
  );
  const instance = await DuckDBInstance.create(":memory:");
  const connection = await instance.connect();
  await connection.run("SET TimeZone = 'UTC'").catch(() => {});
  await connection.run(
    `COPY (SELECT ${select} FROM read_csv('${csv}', header = false, nullstr = '', quote = '"', escape = '"', columns = {${types.join(", ")}}))
     TO '${join(folder, "rows.parquet")}' (FORMAT parquet)`,
  );
  connection.closeSync();
  instance.closeSync();
}

async function fillTables(url: string): Promise<void> {
  const client = new pg.Client({ connectionString: url });
  await client.connect();
  await client.query("SET timezone = 'UTC'");
  await createLineitem(client, 100);
  await createUsers(client, 300);
  await client.end();
}

test.for<{
  table: BenchTable;
  spoilt: string;
  select: string;
  fault: RegExp | null;
}>([
  { table: "lineitem", spoilt: "nothing", select: "*", fault: null },
  { table: "users", spoilt: "nothing", select: "*", fault: null },
  {
    table: "lineitem",
    spoilt: "one cent",
    select:
      "* REPLACE (l_tax + CASE WHEN l_orderkey = 1 AND l_linenumber = 1 THEN 0.01 ELSE 0 END AS l_tax)",
    fault: /^l_tax is /,
  },
  {
    table: "lineitem",
    spoilt: "one letter",
    select:
      "* REPLACE (CASE WHEN l_orderkey = 1 THEN upper(l_comment) ELSE l_comment END AS l_comment)",
    fault: /^l_comment is /,
  },
  {
    table: "users",
    spoilt: "a NULL that became empty",
    select: "* REPLACE (coalesce(bio, '') AS bio)",
    fault: /^bio is /,
  },
  {
    table: "users",
    spoilt: "a microsecond",
    select: "* REPLACE (last_login + INTERVAL 1 MICROSECOND AS last_login)",
    fault: /^last_login is /,
  },
  {
    table: "users",
    spoilt: "a column",
    select: "* EXCLUDE (rating)",
    fault: /rating is missing/,
  },
])(
  "the comparison of $table with $spoilt spoilt",
  async ({ table, select, fault }, { pg: source }) => {
    const folder = mkdtempSync(join(tmpdir(), "millrace-verify-"));
    try {
      await fillTables(source.url);
      const expected = await measureServer(source.url, table);
      await source.query("SET timezone = 'UTC'");
      await writeParquet(source, table, folder, select);
      const difference = await findDifference(expected, folder, table);
      if (fault === null) expect(difference).toBeNull();
      else expect(difference).toMatch(fault);
    } finally {
      rmSync(folder, { recursive: true, force: true });
    }
  },
);
