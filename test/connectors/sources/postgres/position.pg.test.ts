import fc from "fast-check";
import type { Split } from "../../../../proto/partition.ts";
import { PostgresConnection } from "../../../../connectors/sources/postgres/connection.ts";
import { parseSourceUrl } from "../../../../connectors/sources/postgres/url.ts";
import { expect, test } from "../../../fixtures/postgres.ts";
import { makeTask, readTask } from "./support/tasks.ts";

const us = fc.bigInt({
  min: -62_135_596_800_000_000n,
  max: 9_000_000_000_000_000_000n,
});
const chars = fc
  .string({ unit: "grapheme", maxLength: 30 })
  .filter((text) => !text.includes("\0"));

/** Key types, and arbitrary values of them as SQL expressions over the parameter `$1::text`. */
const keyTypes: readonly {
  type: string;
  sql: string;
  values: fc.Arbitrary<string>;
}[] = [
  {
    type: "smallint",
    sql: "$1::text::smallint",
    values: fc.integer({ min: -32_768, max: 32_767 }).map(String),
  },
  {
    type: "integer",
    sql: "$1::text::integer",
    values: fc.integer().map(String),
  },
  {
    type: "bigint",
    sql: "$1::text::bigint",
    values: fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n }).map(String),
  },
  {
    type: "oid",
    sql: "$1::text::oid",
    values: fc.nat({ max: 4_294_967_295 }).map(String),
  },
  {
    type: "boolean",
    sql: "$1::text::boolean",
    values: fc.boolean().map(String),
  },
  { type: "uuid", sql: "$1::text::uuid", values: fc.uuid() },
  { type: "text", sql: "$1::text", values: chars },
  {
    type: "character varying(40)",
    sql: "$1::text::varchar(40)",
    values: chars,
  },
  { type: "character(40)", sql: "$1::text::char(40)", values: chars },
  {
    type: "bytea",
    sql: "decode($1::text, 'hex')",
    values: fc
      .uint8Array({ maxLength: 20 })
      .map((b) => Buffer.from(b).toString("hex")),
  },
  {
    type: "numeric(12,3)",
    sql: "($1::text::numeric / 1000)::numeric(12,3)",
    values: fc.integer().map(String),
  },
  {
    type: "numeric(30,5)",
    sql: "($1::text::numeric / 100000)::numeric(30,5)",
    values: fc.bigInt({ min: -(10n ** 29n), max: 10n ** 29n }).map(String),
  },
  {
    type: "numeric",
    sql: "$1::text::numeric",
    values: fc
      .double({ noNaN: true, noDefaultInfinity: true, min: -1e30, max: 1e30 })
      .map(String),
  },
  {
    type: "date",
    sql: "date '1970-01-01' + $1::text::int",
    values: fc.integer({ min: -719_162, max: 2_145_042_905 }).map(String),
  },
  {
    type: "timestamp without time zone",
    sql: "timestamp '1970-01-01' + $1::text::numeric * interval '1 microsecond'",
    values: us.map(String),
  },
  {
    type: "timestamp with time zone",
    sql: "timestamptz '1970-01-01 00:00:00+00' + $1::text::numeric * interval '1 microsecond'",
    values: us.map(String),
  },
  {
    type: "time without time zone",
    sql: "time '00:00' + $1::text::numeric * interval '1 microsecond'",
    values: fc.integer({ min: 0, max: 86_399_999_999 }).map(String),
  },
  { type: "inet", sql: "$1::text::inet", values: fc.ipV4() },
];

test("a position finds its row, whatever the key's type", async ({ pg }) => {
  const connection = await PostgresConnection.connect(parseSourceUrl(pg.url));
  for (const [index, { type, sql, values }] of keyTypes.entries()) {
    const table = `k${index}`;
    await pg.query(`CREATE TABLE ${table} (k ${type} PRIMARY KEY, n int)`);
    const sample = fc.sample(values, { numRuns: 60, seed: 11 });
    for (const [n, value] of sample.entries()) {
      await pg.query(
        `INSERT INTO ${table} VALUES (${sql}, ${n}) ON CONFLICT DO NOTHING`,
        [value],
      );
    }
    const split: Split = {
      kind: "key",
      columns: ["k"],
      types: [type],
      start: null,
      end: null,
    };
    const rows = await pg.query<{ n: number }>(
      `SELECT n FROM ${table} ORDER BY k`,
    );
    // each row's position in turn: reads of one row that stop behind it
    let resumeAfter = null;
    for (const { n } of rows) {
      const where = `n = ${n}`;
      const task = await makeTask(connection, table, {
        split,
        resumeAfter,
        filter: { where, cursor: null },
      });
      await connection.beginSnapshot(null);
      const { sink } = await readTask(connection, task, {}, (read) =>
        read.requestCheckpoint(),
      );
      expect(
        sink.rows.map((row) => row[1]),
        `${type} behind ${JSON.stringify(resumeAfter)}`,
      ).toEqual([n]);
      const position = sink.checkpoints[0]?.position;
      if (position?.kind !== "key") throw new Error(`${type} gave no position`);
      const found = await connection.query<{ n: number; text: string }>(
        `SELECT n, format('%s', k) AS text FROM ${table} WHERE k = $1::${type}`,
        [...position.after],
      );
      expect(found, `${type} ${position.after[0]}`).toEqual([
        {
          n,
          // an output function prints true as t, a cast to text in full
          text: type === "boolean" ? position.after[0]?.[0] : position.after[0],
        },
      ]);
      resumeAfter = position;
    }
    await connection.endSnapshot();
  }
  await connection.close();
});

test("a composite key goes on behind its last row", async ({ pg }) => {
  const connection = await PostgresConnection.connect(parseSourceUrl(pg.url));
  await pg.query(`
    CREATE TABLE pairs (a text COLLATE "C", b date, n int, PRIMARY KEY (a, b));
    INSERT INTO pairs SELECT 'k' || i / 10, date '2020-01-01' + i % 10, i FROM generate_series(0, 299) AS i`);
  const split: Split = {
    kind: "key",
    columns: ["a", "b"],
    types: ["text", "date"],
    start: ["k1", "2020-01-05"],
    end: ["k3", "2020-01-02"],
  };
  const expected = await pg.query<{ n: number }>(
    `SELECT n FROM pairs WHERE (a, b) > ('k2', date '2020-01-09') AND (a, b) < ('k3', date '2020-01-02') ORDER BY a, b`,
  );
  const task = await makeTask(connection, "pairs", {
    split,
    resumeAfter: { kind: "key", after: ["k2", "2020-01-09"] },
  });
  const { sink } = await readTask(connection, task);
  expect(sink.rows.map((row) => row[2])).toEqual(expected.map(({ n }) => n));
  expect(sink.rows.length).toBeGreaterThan(5);
  await connection.close();
});

test("a key without an exact text has no checkpoint inside", async ({ pg }) => {
  const connection = await PostgresConnection.connect(parseSourceUrl(pg.url));
  await pg.query(
    `CREATE TABLE f (k double precision PRIMARY KEY); INSERT INTO f SELECT random() FROM generate_series(1, 1000)`,
  );
  const split: Split = {
    kind: "key",
    columns: ["k"],
    types: ["double precision"],
    start: null,
    end: null,
  };
  const { sink } = await readTask(
    connection,
    await makeTask(connection, "f", { split }),
    {},
    (read) => read.requestCheckpoint(),
  );
  expect(sink.checkpoints).toEqual([
    { position: null, last: true, rows: 1000 },
  ]);
  await connection.close();
});
