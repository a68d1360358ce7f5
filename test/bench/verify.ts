/**
 * Compares what a contender has written with the server's table, read by DuckDB: the rows, and one figure per column
 * that any lost, doubled or altered value changes. A contender may choose other types, as long as no value differs.
 */
import { DuckDBInstance } from "@duckdb/node-api";
import mysql from "mysql2/promise";
import pg from "pg";

export type BenchTable = "lineitem" | "users";

interface Figure {
  readonly column: string;
  /** The same sum in the words of each server. */
  readonly postgres: string;
  readonly mysql: string;
  /** From the column's name and the type that DuckDB sees. */
  readonly files: (column: string, type: string) => string;
}

const integer = (column: string): Figure => ({
  column,
  postgres: `sum(${column}::bigint)`,
  mysql: `sum(${column})`,
  files: (c) => `sum(CAST(${c} AS BIGINT))`,
});
const decimal = (column: string): Figure => ({
  column,
  postgres: `sum(${column})::numeric(38, 4)`,
  mysql: `CAST(sum(${column}) AS DECIMAL(38, 4))`,
  files: (c) => `CAST(sum(CAST(${c} AS DECIMAL(28, 4))) AS DECIMAL(38, 4))`,
});
const date = (column: string): Figure => ({
  column,
  postgres: `sum(${column} - date '1970-01-01')`,
  mysql: `sum(datediff(${column}, '1970-01-01'))`,
  files: (c) => `sum(date_diff('day', DATE '1970-01-01', CAST(${c} AS DATE)))`,
});
/** The values are multiples of 1/128: their sum is exact. */
const double = (column: string): Figure => ({
  column,
  postgres: `sum(${column} * 128)::bigint`,
  mysql: `CAST(sum(${column} * 128) AS SIGNED)`,
  files: (c) => `CAST(sum(${c} * 128) AS BIGINT)`,
});
const boolean = (column: string): Figure => ({
  column,
  postgres: `count(*) FILTER (WHERE ${column}) * 1000000000 + count(${column})`,
  mysql: `sum(${column} = 1) * 1000000000 + count(${column})`,
  files: (c) =>
    `count(*) FILTER (WHERE CAST(${c} AS BOOLEAN)) * 1000000000 + count(${c})`,
});
const instant = (column: string): Figure => ({
  column,
  postgres: `sum((extract(epoch FROM ${column}) * 1000000)::bigint)`,
  mysql: `sum(timestampdiff(MICROSECOND, '1970-01-01', ${column}))`,
  files: (c) => `sum(epoch_us(${c}))`,
});
/** Sum of the first 32 bits of each value's MD5. */
const hashed = (
  column: string,
  serverText: { readonly postgres: string; readonly mysql: string },
  filesText: (column: string, type: string) => string,
): Figure => ({
  column,
  postgres: `sum(('x' || substr(md5(${serverText.postgres}), 1, 8))::bit(32)::bigint)`,
  mysql: `sum(CAST(conv(left(md5(${serverText.mysql}), 8), 16, 10) AS UNSIGNED))`,
  files: (c, type) =>
    `sum(CAST('0x' || substr(md5(${filesText(c, type)}), 1, 8) AS BIGINT))`,
});
/** Trailing blanks of char(n) are padding, which some keep and some cut. */
const text = (column: string) =>
  hashed(
    column,
    { postgres: `rtrim(${column}::text, ' ')`, mysql: `rtrim(${column})` },
    (c) => `rtrim(CAST(${c} AS VARCHAR), ' ')`,
  );
const json = (column: string) =>
  hashed(
    column,
    {
      postgres: `replace(${column}::text, ' ', '')`,
      mysql: `replace(${column}, ' ', '')`,
    },
    (c) => `replace(CAST(${c} AS VARCHAR), ' ', '')`,
  );
const uuid = (column: string) =>
  hashed(
    column,
    {
      postgres: `replace(${column}::text, '-', '')`,
      mysql: `replace(${column}, '-', '')`,
    },
    (c, type) =>
      type === "BLOB"
        ? `lower(hex(${c}))`
        : `lower(replace(CAST(${c} AS VARCHAR), '-', ''))`,
  );

const figures: Record<BenchTable, readonly Figure[]> = {
  lineitem: [
    ...["l_orderkey", "l_partkey", "l_suppkey", "l_linenumber"].map(integer),
    ...["l_quantity", "l_extendedprice", "l_discount", "l_tax"].map(decimal),
    ...["l_returnflag", "l_linestatus"].map(text),
    ...["l_shipdate", "l_commitdate", "l_receiptdate"].map(date),
    ...["l_shipinstruct", "l_shipmode", "l_comment"].map(text),
  ],
  users: [
    uuid("id"),
    integer("account_no"),
    text("email"),
    instant("created_at"),
    text("full_name"),
    text("bio"),
    json("profile"),
    decimal("balance"),
    double("rating"),
    boolean("is_active"),
    integer("login_count"),
    instant("last_login"),
  ],
};

/** Name to figure; `rows` is the count. */
export type Figures = ReadonlyMap<string, string>;

/** @param url of a Postgres, a MySQL or a MariaDB, whose tables have the same columns */
export function measureServer(
  url: string,
  table: BenchTable,
): Promise<Figures> {
  return /^(mysql|mariadb):/.test(url)
    ? measureMysql(url, table)
    : measurePostgres(url, table);
}

async function measureMysql(url: string, table: BenchTable): Promise<Figures> {
  const connection = await mysql.createConnection(url);
  try {
    await connection.query("SET time_zone = '+00:00'");
    const list = figures[table].map(
      ({ column, mysql: sum }) => `CAST(${sum} AS CHAR) AS ${column}`,
    );
    const [rows] = await connection.query<mysql.RowDataPacket[]>(
      `SELECT CAST(count(*) AS CHAR) AS \`rows\`, ${list.join(", ")} FROM ${table}`,
    );
    return new Map(Object.entries(rows[0] ?? {}));
  } finally {
    await connection.end();
  }
}

async function measurePostgres(
  url: string,
  table: BenchTable,
): Promise<Figures> {
  const client = new pg.Client({ connectionString: url });
  await client.connect();
  try {
    const list = figures[table].map(
      ({ column, postgres }) => `(${postgres})::text AS ${column}`,
    );
    const { rows } = await client.query<Record<string, string>>(
      `SELECT count(*)::text AS rows, ${list.join(", ")} FROM ${table}`,
    );
    return new Map(Object.entries(rows[0] ?? {}));
  } finally {
    await client.end();
  }
}

async function measureFiles(
  folder: string,
  table: BenchTable,
): Promise<Figures> {
  const instance = await DuckDBInstance.create(":memory:");
  const connection = await instance.connect();
  try {
    const from = `read_parquet('${folder.replaceAll("'", "''")}/**/*.parquet')`;
    const described = await connection.runAndReadAll(
      `DESCRIBE SELECT * FROM ${from}`,
    );
    const types = new Map(
      described
        .getRowObjects()
        .map((row) => [String(row["column_name"]), String(row["column_type"])]),
    );
    const list = figures[table].map(({ column, files }) => {
      const type = types.get(column);
      if (type === undefined) throw new Error(`${column} is missing`);
      return `CAST(${files(column, type)} AS VARCHAR) AS ${column}`;
    });
    const result = await connection.runAndReadAll(
      `SELECT CAST(count(*) AS VARCHAR) AS rows, ${list.join(", ")} FROM ${from}`,
    );
    return new Map(
      Object.entries(result.getRowObjects()[0] ?? {}).map(([name, value]) => [
        name,
        String(value),
      ]),
    );
  } finally {
    connection.closeSync();
    instance.closeSync();
  }
}

/** @returns what differs, in words; null when the files hold exactly the table */
export async function findDifference(
  expected: Figures,
  folder: string,
  table: BenchTable,
): Promise<string | null> {
  let found: Figures;
  try {
    found = await measureFiles(folder, table);
  } catch (error) {
    return `the files cannot be read: ${(error as Error).message.split("\n")[0]}`;
  }
  const faults = [...expected].filter(
    ([name, value]) => found.get(name) !== value,
  );
  if (faults.length === 0) return null;
  return faults
    .map(([name, value]) => `${name} is ${found.get(name)}, not ${value}`)
    .join("; ");
}
