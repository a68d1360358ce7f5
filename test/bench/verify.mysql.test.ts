import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { DuckDBInstance } from "@duckdb/node-api";
import { expect, test, type MysqlFixture } from "../fixtures/mysql.ts";
import { createMysqlTables } from "./mysql-tables.ts";
import { findDifference, measureServer, type BenchTable } from "./verify.ts";

const size = { name: "", lineitemRows: 400, usersRows: 300 };

const duckTypes: Readonly<Record<string, string>> = {
  int: "INTEGER",
  tinyint: "TINYINT",
  double: "DOUBLE",
  decimal: "DECIMAL(18, 4)",
  date: "DATE",
  datetime: "TIMESTAMP",
  timestamp: "TIMESTAMP",
};

/** Writes the table to Parquet by way of JSON lines and DuckDB; `select` may spoil it. */
async function writeParquet(
  { query, database }: MysqlFixture,
  table: BenchTable,
  folder: string,
  select: string,
): Promise<void> {
  await query("SET time_zone = '+00:00'");
  const rows = await query<object>(`SELECT * FROM ${table}`);
  const columns = await query<{ name: string; type: string }>(
    "SELECT column_name AS name, data_type AS type FROM information_schema.columns WHERE table_schema = ? AND table_name = ?",
    [database, table],
  );
  const lines = join(folder, "rows.jsonl");
  writeFileSync(lines, rows.map((row) => `${JSON.stringify(row)}\n`).join(""));
  const types = columns.map(
    ({ name, type }) => `'${name}': '${duckTypes[type] ?? "VARCHAR"}'`,
  );
  const instance = await DuckDBInstance.create(":memory:");
  const connection = await instance.connect();
  await connection.run(
    `COPY (SELECT ${select} FROM read_json('${lines}', format = 'newline_delimited', columns = {${types.join(", ")}}))
     TO '${join(folder, "rows.parquet")}' (FORMAT parquet)`,
  );
  connection.closeSync();
  instance.closeSync();
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
    table: "lineitem",
    spoilt: "one day",
    select:
      "* REPLACE (CASE WHEN l_orderkey = 1 AND l_linenumber = 1 THEN l_shipdate + 1 ELSE l_shipdate END AS l_shipdate)",
    fault: /^l_shipdate is /,
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
    spoilt: "a NULL that became false",
    select: "* REPLACE (coalesce(is_active, 0) AS is_active)",
    fault: /^is_active is /,
  },
  {
    table: "users",
    spoilt: "a row",
    select: "DISTINCT ON (least(account_no, 298)) *",
    fault: /^rows is 299, not 300/,
  },
  {
    table: "users",
    spoilt: "a column",
    select: "* EXCLUDE (rating)",
    fault: /rating is missing/,
  },
])(
  "the comparison of $table with $spoilt spoilt",
  async ({ table, select, fault }, { mariadb }) => {
    const folder = mkdtempSync(join(tmpdir(), "millrace-verify-"));
    try {
      await createMysqlTables(mariadb.url, size);
      const expected = await measureServer(mariadb.url, table);
      await writeParquet(mariadb, table, folder, select);
      const difference = await findDifference(expected, folder, table);
      if (fault === null) expect(difference).toBeNull();
      else expect(difference).toMatch(fault);
    } finally {
      rmSync(folder, { recursive: true, force: true });
    }
  },
);
