import { planPartitions } from "../../../../connectors/sources/postgres/plan.ts";
import { quoteRelation } from "../../../../connectors/sources/postgres/sql.ts";
import { quoteIdentifier } from "../../../../connectors/sources/postgres/types.ts";
import type { PostgresConnection } from "../../../../connectors/sources/postgres/connection.ts";
import type { RowFilter } from "../../../../connectors/sources/source.ts";
import type { PostgresStream } from "../../../../connectors/sources/postgres/stream.ts";
import type { KeyTuple, Partition, Plan } from "../../../../proto/partition.ts";
import { describe, discoverOne, expect, test } from "./session.ts";

const noFilter: RowFilter = { where: null, cursor: null };

/** Cuts even small tables: into about 12 partitions. */
function plan(
  connection: PostgresConnection,
  stream: PostgresStream,
  partitionBy: "auto" | "ctid" | "key",
  filter = noFilter,
): Promise<Plan> {
  return planPartitions(connection, stream, {
    channels: 4,
    checkpointTargetSeconds: 300,
    partitionBy,
    filter,
    bytesPerSecond: null,
    partitionBytesMin: 1,
  });
}

/** What a partition means, as SQL. */
function describeRange({ split }: Partition): {
  where: string;
  params: string[];
} {
  const params: string[] = [];
  const parts: string[] = [];
  if (split.kind === "pages") {
    parts.push(`ctid >= '(${split.startPage},0)'::tid`);
    if (split.endPage !== null)
      parts.push(`ctid < '(${split.endPage},0)'::tid`);
  } else if (split.kind === "key") {
    const compare = (operator: string, bound: KeyTuple) => {
      const values = bound.map((text, i) => {
        params.push(text);
        return `$${params.length}::${split.types[i]}`;
      });
      const columns = split.columns.map(quoteIdentifier);
      parts.push(`(${columns.join(", ")}) ${operator} (${values.join(", ")})`);
    };
    if (split.start !== null) compare(">=", split.start);
    if (split.end !== null) compare("<", split.end);
  }
  return { where: parts.length > 0 ? parts.join(" AND ") : "true", params };
}

/** Rows of each partition, and proof that together they are the table, each row once. */
async function readAll(
  connection: PostgresConnection,
  stream: PostgresStream,
  { partitions }: Plan,
): Promise<number[]> {
  const columns = stream.columns.map((one) => quoteIdentifier(one.name));
  const row = `ROW(${columns.join(", ")})::text`;
  const all: string[] = [];
  const counts: number[] = [];
  for (const partition of partitions) {
    const { where, params } = describeRange(partition);
    const from = `${partition.only ? "ONLY " : ""}${quoteRelation(partition.relation)}`;
    const rows = await connection.query<{ row: string }>(
      `SELECT ${row} AS row FROM ${from} WHERE ${where}`,
      params,
    );
    counts.push(rows.length);
    for (const one of rows) all.push(one.row);
  }
  const table = quoteRelation({
    schema: stream.schema.namespace,
    name: stream.schema.name,
  });
  const expected = await connection.query<{ row: string }>(
    `SELECT ${row} AS row FROM ${table}`,
  );
  expect(all.sort()).toEqual(expected.map((one) => one.row).sort());
  return counts;
}

interface Case {
  readonly name: string;
  readonly ddl: string;
  /** Key ranges are possible: there must be several. */
  readonly keyed: boolean;
}

const rows = "generate_series(1, 3000) AS n";

const cases: readonly Case[] = [
  {
    name: "integers below and above zero",
    ddl: `CREATE TABLE t (id int PRIMARY KEY, pad text);
      INSERT INTO t SELECT n - 1500, 'x' FROM ${rows}`,
    keyed: true,
  },
  {
    name: "huge gaps up to the ends of int8",
    ddl: `CREATE TABLE t (id bigint PRIMARY KEY);
      INSERT INTO t SELECT n FROM ${rows};
      INSERT INTO t VALUES (-9223372036854775808), (9223372036854775807), (4000000000000)`,
    keyed: true,
  },
  {
    name: "skewed",
    ddl: `CREATE TABLE t (id bigint PRIMARY KEY);
      INSERT INTO t SELECT CASE WHEN n < 2900 THEN n ELSE n::bigint * 1000000 END FROM ${rows}`,
    keyed: true,
  },
  {
    name: "text in the database's collation, quotes, NUL-like escapes, emoji",
    ddl: `CREATE TABLE t (id text PRIMARY KEY);
      INSERT INTO t SELECT (ARRAY['ä','Z','a','"','\\','😀','é','_'])[1 + n % 8] || n FROM ${rows};
      INSERT INTO t VALUES (''), (E'line\\nbreak'), ('''')`,
    keyed: true,
  },
  {
    name: "text in an ICU collation",
    ddl: `CREATE TABLE t (id text COLLATE "und-x-icu" PRIMARY KEY);
      INSERT INTO t SELECT (ARRAY['ä','Z','a','A','É','e'])[1 + n % 6] || n FROM ${rows}`,
    keyed: true,
  },
  {
    name: "text in a case-insensitive collation, where equal is not the same",
    ddl: `CREATE COLLATION nocase (provider = icu, locale = 'und-u-ks-level2', deterministic = false);
      CREATE TABLE t (id text COLLATE nocase, n int, PRIMARY KEY (id, n));
      INSERT INTO t SELECT (ARRAY['abc','ABC','aBc','b','B'])[1 + n % 5], n FROM ${rows}`,
    keyed: true,
  },
  {
    name: "a domain with a collation of its own under another",
    ddl: `CREATE DOMAIN code AS text COLLATE "C";
      CREATE TABLE t (id code COLLATE "und-x-icu" PRIMARY KEY);
      INSERT INTO t SELECT (ARRAY['a','B','c','D'])[1 + n % 4] || n FROM ${rows}`,
    keyed: true,
  },
  {
    name: "composite of text and integer, few values in the first",
    ddl: `CREATE TABLE t (region text, id int, pad text, PRIMARY KEY (region, id));
      INSERT INTO t SELECT (ARRAY['eu','us'])[1 + n % 2], n, 'x' FROM ${rows}`,
    keyed: true,
  },
  {
    name: "composite, all descending",
    ddl: `CREATE TABLE t (a int NOT NULL, b date NOT NULL);
      CREATE UNIQUE INDEX ON t (a DESC, b DESC);
      INSERT INTO t SELECT n % 10, date '2020-01-01' + n FROM ${rows}`,
    keyed: true,
  },
  {
    name: "composite unique with NULLs in it",
    ddl: `CREATE TABLE t (a int, b int, UNIQUE (a, b));
      INSERT INTO t SELECT nullif(n % 50, 7), nullif(n % 70, 3) FROM ${rows}
      ON CONFLICT DO NOTHING; INSERT INTO t VALUES (NULL, NULL), (NULL, NULL)`,
    keyed: false,
  },
  {
    name: "a unique column with NULLs",
    ddl: `CREATE TABLE t (a int UNIQUE, b text);
      INSERT INTO t SELECT CASE WHEN n % 3 = 0 THEN NULL ELSE n END, 'x' FROM ${rows}`,
    keyed: false,
  },
  {
    name: "no key, all NULL",
    ddl: `CREATE TABLE t (a int); INSERT INTO t SELECT NULL FROM ${rows}`,
    keyed: false,
  },
  {
    name: "uuid",
    ddl: `CREATE TABLE t (id uuid PRIMARY KEY);
      INSERT INTO t SELECT md5(n::text)::uuid FROM ${rows}`,
    keyed: true,
  },
  {
    name: "timestamps with microseconds, infinity and BC",
    ddl: `CREATE TABLE t (id timestamptz PRIMARY KEY);
      INSERT INTO t SELECT timestamptz '2020-01-01' + n * interval '1.000001 s' FROM ${rows};
      INSERT INTO t VALUES ('infinity'), ('-infinity'), ('0044-03-15 BC')`,
    keyed: true,
  },
  {
    name: "numerics, NaN among them",
    ddl: `CREATE TABLE t (id numeric PRIMARY KEY);
      INSERT INTO t SELECT n / 7.0 - 100 FROM ${rows}; INSERT INTO t VALUES ('NaN')`,
    keyed: true,
  },
  {
    name: "floats, infinity and NaN among them",
    ddl: `CREATE TABLE t (id float8 PRIMARY KEY);
      INSERT INTO t SELECT 1 / n::float8 FROM ${rows};
      INSERT INTO t VALUES ('NaN'), ('Infinity'), ('-Infinity'), (5e-324)`,
    keyed: true,
  },
  {
    name: "character(n), padded",
    ddl: `CREATE TABLE t (id char(6) PRIMARY KEY);
      INSERT INTO t SELECT n::text FROM ${rows}; INSERT INTO t VALUES ('')`,
    keyed: true,
  },
  {
    name: "enum order, bytea, interval and inet",
    ddl: `CREATE TYPE mood AS ENUM ('zeal', 'joy', 'awe');
      CREATE TABLE t (m mood, b bytea, i interval, a inet, PRIMARY KEY (m, b, i, a));
      INSERT INTO t SELECT (ARRAY['zeal', 'joy', 'awe'])[1 + n % 3]::mood, decode(md5(n::text), 'hex'),
        n * interval '1 hour', ('10.0.0.' || n % 250)::inet FROM ${rows}`,
    keyed: true,
  },
  {
    name: "quoted names",
    ddl: `CREATE SCHEMA "s.x";
      CREATE TABLE "s.x".t ("na""me" int, "select" text, PRIMARY KEY ("select", "na""me"));
      INSERT INTO "s.x".t SELECT n, 'v' || n % 5 FROM ${rows}`,
    keyed: true,
  },
  {
    name: "range partitions, a default and sub-partitions",
    ddl: `CREATE TABLE t (id int, kind text, PRIMARY KEY (id, kind)) PARTITION BY RANGE (id);
      CREATE TABLE t_low PARTITION OF t FOR VALUES FROM (MINVALUE) TO (1000) PARTITION BY LIST (kind);
      CREATE TABLE t_low_a PARTITION OF t_low FOR VALUES IN ('a');
      CREATE TABLE t_low_rest PARTITION OF t_low DEFAULT;
      CREATE TABLE t_empty PARTITION OF t FOR VALUES FROM (1000) TO (1001);
      CREATE TABLE t_rest PARTITION OF t DEFAULT;
      INSERT INTO t SELECT n + (n >= 1000)::int, chr(97 + n % 4) FROM ${rows}`,
    keyed: true,
  },
  {
    name: "list partitions without a key, NULL in one of them",
    ddl: `CREATE TABLE t (kind text) PARTITION BY LIST (kind);
      CREATE TABLE t_null PARTITION OF t FOR VALUES IN (NULL);
      CREATE TABLE t_rest PARTITION OF t DEFAULT;
      INSERT INTO t SELECT nullif(chr(97 + n % 4), 'a') FROM ${rows}`,
    keyed: false,
  },
  {
    name: "inheritance, rows in the parent, keys in some",
    ddl: `CREATE TABLE t (id int PRIMARY KEY, name text);
      CREATE TABLE t_child (more int) INHERITS (t);
      CREATE TABLE t_grandchild () INHERITS (t_child);
      INSERT INTO t SELECT n, 'p' FROM ${rows};
      INSERT INTO t_child SELECT n, 'c', 1 FROM ${rows};
      INSERT INTO t_grandchild SELECT n, 'g', 2 FROM ${rows}`,
    keyed: false,
  },
  {
    name: "inheritance with the key in all",
    ddl: `CREATE TABLE t (id int PRIMARY KEY);
      CREATE TABLE t_child (PRIMARY KEY (id)) INHERITS (t);
      INSERT INTO t SELECT n FROM ${rows}; INSERT INTO t_child SELECT n FROM ${rows}`,
    keyed: true,
  },
  {
    name: "large values out of line, few rows",
    ddl: `CREATE TABLE t (id int PRIMARY KEY, doc text);
      ALTER TABLE t ALTER doc SET STORAGE EXTERNAL;
      INSERT INTO t SELECT n, repeat('x', 20000) FROM generate_series(1, 40) AS n`,
    keyed: true,
  },
  {
    name: "one row",
    ddl: "CREATE TABLE t (id int PRIMARY KEY); INSERT INTO t VALUES (1)",
    keyed: false,
  },
  {
    name: "no row",
    ddl: "CREATE TABLE t (id int PRIMARY KEY)",
    keyed: false,
  },
  {
    name: "a view",
    ddl: `CREATE TABLE base (id int); INSERT INTO base SELECT n FROM ${rows};
      CREATE VIEW t AS SELECT id FROM base WHERE id % 2 = 0`,
    keyed: false,
  },
  {
    name: "a materialised view",
    ddl: `CREATE MATERIALIZED VIEW t AS SELECT n AS id FROM ${rows}`,
    keyed: false,
  },
  {
    name: "a table of which most was deleted",
    ddl: `CREATE TABLE t (id int PRIMARY KEY) WITH (autovacuum_enabled = off);
      INSERT INTO t SELECT n FROM ${rows}; DELETE FROM t WHERE id % 100 <> 0`,
    keyed: true,
  },
];

describe.for(cases)("$name", ({ ddl, keyed }) => {
  test.for(["auto", "ctid", "key"] as const)(
    "each row is in exactly one partition, by %s",
    async (partitionBy, { pg, sessions: { connection } }) => {
      await pg.query(ddl);
      await connection.beginSnapshot(null);
      const stream = await discoverOne(connection, "t");
      const planned = await plan(connection, stream, partitionBy);
      const counts = await readAll(connection, stream, planned);
      const { partitions } = planned;
      expect(partitions.map((one) => one.ordinal)).toEqual(
        counts.map((_, i) => i),
      );
      expect(planned.reason).toMatch(/^[A-Z].+\.$/);
      if (partitionBy === "key" && keyed) {
        expect(planned.rung).toBe("keyRanges");
        expect(counts.filter((count) => count > 0).length).toBeGreaterThan(2);
      }
      if (partitionBy === "key" && stream.key === null) {
        expect(planned.rung).not.toBe("keyRanges");
      }
    },
  );
});

test("skewed and composite keys give even partitions", async ({
  pg,
  sessions: { connection },
}) => {
  await pg.query(`
    CREATE TABLE t (tenant int, id bigint, PRIMARY KEY (tenant, id));
    INSERT INTO t SELECT CASE WHEN n <= 19000 THEN 1 ELSE n END, n * n FROM generate_series(1, 20000) AS n;
    ANALYZE t`);
  const stream = await discoverOne(connection, "t");
  const planned = await plan(connection, stream, "key");
  const counts = await readAll(connection, stream, planned);
  expect(counts.length).toBe(12);
  expect(Math.max(...counts)).toBeLessThan((1.5 * 20_000) / 12);
  expect(planned.estimatedRows).toBe(20_000);
});

test("a table that was never analysed is sized by its pages and a sample", async ({
  pg,
  sessions: { connection },
}) => {
  await pg.query(`
    CREATE TABLE t (id int, pad text) WITH (autovacuum_enabled = off);
    INSERT INTO t SELECT n, repeat('x', 100) FROM generate_series(1, 50000) AS n`);
  const stream = await discoverOne(connection, "t");
  expect(stream.leaves[0]?.rowEstimate).toBe(-1);
  const planned = await plan(connection, stream, "auto");
  expect(planned.estimatedRows).toBeGreaterThan(35_000);
  expect(planned.estimatedRows).toBeLessThan(65_000);
  expect(planned.estimatedBytes / planned.estimatedRows).toBeCloseTo(105, 0);
});

test("values out of line count in the size, without being read", async ({
  pg,
  sessions: { connection },
}) => {
  await pg.query(`
    CREATE TABLE t (id int PRIMARY KEY, doc text);
    ALTER TABLE t ALTER doc SET STORAGE EXTERNAL;
    INSERT INTO t SELECT n, repeat('x', 100000) FROM generate_series(1, 100) AS n`);
  const stream = await discoverOne(connection, "t");
  const planned = await plan(connection, stream, "auto");
  expect(planned.estimatedRows).toBe(100);
  expect(planned.estimatedBytes).toBeGreaterThan(9_900_000);
  expect(planned.estimatedBytes).toBeLessThan(10_200_000);
});

describe("a filter", () => {
  const ddl = `CREATE TABLE t (id int PRIMARY KEY, at timestamptz NOT NULL);
    INSERT INTO t SELECT n, timestamptz '2024-01-01' + n * interval '1 minute' FROM generate_series(1, 20000) AS n;
    CREATE INDEX ON t (at); ANALYZE t`;
  const cursor = {
    column: "at",
    type: "timestamp with time zone",
    from: "2024-01-14 20:00:00+00",
    to: "2024-02-01 00:00:00+00",
  };

  test("that leaves few rows is left to the server", async ({
    pg,
    sessions: { connection },
  }) => {
    await pg.query(ddl);
    const stream = await discoverOne(connection, "t");
    const few = await plan(connection, stream, "auto", {
      where: "id > 0 -- all",
      cursor,
    });
    expect(few.partitions.map((one) => one.split)).toEqual([{ kind: "whole" }]);
    expect(few.estimatedRows).toBeLessThan(200);
    const none = await plan(connection, stream, "auto", {
      where: null,
      cursor: { ...cursor, to: null },
    });
    expect(none.estimatedRows).toBeLessThan(10);
    const first = await plan(connection, stream, "auto", {
      where: null,
      cursor: { ...cursor, from: null },
    });
    expect(first.rung).not.toBe("whole");
    expect(first.partitions.length).toBeGreaterThan(5);
  });

  test("that the server does not take is an error before anything is read", async ({
    pg,
    sessions: { connection },
  }) => {
    await pg.query(ddl);
    const stream = await discoverOne(connection, "t");
    await expect(
      plan(connection, stream, "auto", { where: "id >", cursor: null }),
    ).rejects.toMatchObject({ code: "SOURCE_QUERY_FAILED" });
    await expect(
      plan(connection, stream, "auto", { where: "nothing > 1", cursor: null }),
    ).rejects.toMatchObject({ code: "SOURCE_COLUMN_NOT_FOUND" });
  });
});

test("pages are for tables that are read soon, keys for those that take long", async ({
  pg,
  sessions: { connection },
}) => {
  await pg.query(
    "CREATE TABLE t (id int PRIMARY KEY); INSERT INTO t SELECT generate_series(1, 20000)",
  );
  const stream = await discoverOne(connection, "t");
  const at = (bytesPerSecond: number) =>
    planPartitions(connection, stream, {
      channels: 2,
      checkpointTargetSeconds: 10,
      partitionBy: "auto",
      filter: noFilter,
      bytesPerSecond,
      partitionBytesMin: 1_000,
    });
  const [fast, slow] = [await at(100_000_000), await at(1_000)];
  expect(fast.rung).toBe(
    connection.serverVersion >= 140_000 ? "pages" : "keyRanges",
  );
  expect(slow.rung).toBe("keyRanges");
  expect(slow.partitions.length).toBeGreaterThan(4);
  await readAll(connection, stream, slow);
});
