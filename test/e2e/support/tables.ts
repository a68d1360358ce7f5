/** Tables of the tests, and their content in a form that Postgres and DuckDB can both compute. */
import type { PostgresFixture } from "../../fixtures/postgres.ts";
import { queryDuckDb } from "../../connectors/formats/duckdb.ts";

type Query = PostgresFixture["query"];

/** Rows of a table of about 70 MB: two partitions of 32 MiB at least. */
export const ROWS = 44_000;

export interface TableSpec {
  readonly name: string;
  readonly key: readonly string[];
  readonly create: string;
  /** How a row is written out, by engine. */
  readonly postgres: readonly string[];
  readonly duckdb: readonly string[];
}

/** One that a writer may be let loose on. */
export interface WritableTable extends TableSpec {
  /** Adds one more row once the table is prepared. `n` is above the numbers that are there. */
  insert(n: number): string;
}

const payload = (of: string): string =>
  `repeat(md5((${of})::text), 48) AS payload`;

const spec = (
  name: string,
  key: readonly string[],
  keyValues: (n: number) => string,
  create: string,
): WritableTable => {
  const common = ["name", "amount", "active", "payload"];
  return {
    name,
    key,
    create,
    insert: (n) =>
      `INSERT INTO ${name} (${key.join(", ")}, name, amount, active, changed, payload, n)
       VALUES (${keyValues(n)}, 'new', 1, true, now(), repeat(md5('${n}'), 48), ${n})`,
    postgres: [
      ...key,
      ...common,
      "(extract(epoch FROM changed) * 1000000)::bigint",
    ],
    duckdb: [...key, ...common, "epoch_us(changed)"],
  };
};

const columns = `
  CASE WHEN g % 7 = 0 THEN NULL ELSE 'name ' || g END AS name,
  (g * 0.01)::numeric(12, 2) AS amount,
  CASE WHEN g % 5 = 0 THEN NULL ELSE g % 2 = 0 END AS active,
  timestamptz '2024-01-01 00:00:00.123456Z' + g * interval '1 second' AS changed,
  ${payload("g")}`;

/** A key of one column, in gaps and out of the heap's order. */
export const accounts = spec(
  "accounts",
  ["id"],
  // into the gaps, all over the range
  (n) => String(((n * 7919) % ROWS) * 3 + 1),
  `CREATE TABLE accounts AS
     SELECT ((g::bigint * 7919) % ${ROWS}) * 3 AS id, ${columns} FROM generate_series(1, ${ROWS}) AS g;
   ALTER TABLE accounts ADD PRIMARY KEY (id)`,
);

/** A key of two columns, of which the first repeats. */
export const lines = spec(
  "lines",
  ["account", "line"],
  (n) => `${n % 40}, 'new ${n}'`,
  `CREATE TABLE lines AS
     SELECT g / 1000 AS account, 'l' || (g % 1000) AS line, ${columns} FROM generate_series(1, ${ROWS}) AS g;
   ALTER TABLE lines ADD PRIMARY KEY (account, line)`,
);

/** No key: heap pages. */
export const visits = spec(
  "visits",
  ["id"],
  String,
  `CREATE TABLE visits AS SELECT g AS id, ${columns} FROM generate_series(1, ${ROWS}) AS g`,
);

export const regions = spec(
  "regions",
  ["id"],
  String,
  `CREATE TABLE regions AS SELECT g AS id, ${columns} FROM generate_series(1, 20) AS g;
   ALTER TABLE regions ADD PRIMARY KEY (id)`,
);

const tables = [accounts, lines, visits, regions] as const;

export async function createTables(
  query: Query,
  wanted: readonly TableSpec[] = tables,
): Promise<void> {
  for (const { create, name } of wanted) {
    await query(create);
    await query(`ANALYZE ${name}`);
  }
}

/** Row count, keys that differ, and a sum over every row's hash that does not depend on the order. */
export interface Digest {
  readonly rows: number;
  readonly keys: number;
  readonly hash: string;
}

const joined = (fields: readonly string[], text: string): string =>
  fields.map((one) => `coalesce((${one})::${text}, '~')`).join(" || '|' || ");

export async function digestTable(
  query: Query,
  { name, key, postgres }: TableSpec,
): Promise<Digest> {
  const [row] = await query<{ rows: string; keys: string; hash: string }>(
    `SELECT count(*) AS rows, count(DISTINCT (${key.join(", ")})) AS keys,
       coalesce(sum(('x' || substr(md5(${joined(postgres, "text")}), 1, 12))::bit(48)::bigint), 0) AS hash
     FROM ${name}`,
  );
  return {
    rows: Number(row?.rows),
    keys: Number(row?.keys),
    hash: String(row?.hash),
  };
}

/** What a reader sees that takes all files below the table's folder. */
export async function digestFiles(
  root: string,
  { name, key, duckdb }: TableSpec,
): Promise<Digest> {
  const [row] = await queryDuckDb(
    `SELECT count(*), count(DISTINCT (${key.join(", ")})),
       coalesce(sum(('0x' || substr(md5(${joined(duckdb, "varchar")}), 1, 12))::bigint), 0)::varchar
     FROM read_parquet('${root}/public/${name}/**/*.parquet')`,
  );
  return {
    rows: Number(row?.[0]),
    keys: Number(row?.[1]),
    hash: String(row?.[2]),
  };
}
