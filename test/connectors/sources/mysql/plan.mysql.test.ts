import fc from "fast-check";
import type { MysqlConnection } from "../../../../connectors/sources/mysql/connection.ts";
import { planPartitions } from "../../../../connectors/sources/mysql/plan.ts";
import { keyPredicates } from "../../../../connectors/sources/mysql/read-query.ts";
import {
  quoteIdentifier,
  quoteRelation,
} from "../../../../connectors/sources/mysql/sql.ts";
import type { MysqlStream } from "../../../../connectors/sources/mysql/stream.ts";
import type { RowFilter } from "../../../../connectors/sources/source.ts";
import type { Plan } from "../../../../proto/partition.ts";
import type { MysqlFlavour } from "../../../fixtures/mysql.ts";
import {
  describe,
  discoverOne,
  expect,
  flavours,
  sessionsOn,
} from "./sessions.ts";

const noFilter: RowFilter = { where: null, cursor: null };

/** Cuts even small tables: into about 12 partitions. */
function plan(
  connection: MysqlConnection,
  stream: MysqlStream,
  filter = noFilter,
): Promise<Plan> {
  return planPartitions(connection, stream, {
    channels: 4,
    checkpointTargetSeconds: 300,
    partitionBy: "auto",
    filter,
    bytesPerSecond: null,
    partitionBytesMin: 1,
  });
}

/** Rows of each partition, and proof that together they are the table, each row once. */
async function readAll(
  connection: MysqlConnection,
  stream: MysqlStream,
  { partitions }: Plan,
): Promise<number[]> {
  const columns = stream.columns.map(
    ({ name }) => `COALESCE(HEX(${quoteIdentifier(name)}), 'NULL')`,
  );
  const row = `CONCAT_WS('|', ${columns.join(", ")})`;
  const all: string[] = [];
  const counts: number[] = [];
  for (const { split, relation } of partitions) {
    const conditions = split.kind === "key" ? keyPredicates(split, null) : [];
    const rows = await connection.query<{ r: string }>(
      `SELECT ${row} AS r FROM ${quoteRelation(relation)} WHERE ${["TRUE", ...conditions].join(" AND ")}`,
    );
    counts.push(rows.length);
    for (const one of rows) all.push(one.r);
  }
  const expected = await connection.query<{ r: string }>(
    `SELECT ${row} AS r FROM ${quoteRelation({ schema: stream.schema.namespace, name: stream.schema.name })}`,
  );
  expect(all.sort()).toEqual(expected.map((one) => one.r).sort());
  return counts;
}

interface Case {
  readonly name: string;
  readonly ddl: string;
  /** Key ranges are possible: there must be several. */
  readonly keyed: boolean;
  readonly only?: MysqlFlavour;
}

/** `numbers` has n from 1 to 3000. */
const numbers = `CREATE TABLE digits (d INT); INSERT INTO digits VALUES (0),(1),(2),(3),(4),(5),(6),(7),(8),(9);
  CREATE VIEW numbers AS SELECT a.d + 10 * b.d + 100 * c.d + 1000 * e.d + 1 AS n
  FROM digits a, digits b, digits c, digits e WHERE e.d < 3;`;

const cases: readonly Case[] = [
  {
    name: "dense integers below and above zero",
    ddl: `CREATE TABLE t (id INT PRIMARY KEY, pad TEXT);
      INSERT INTO t SELECT n - 1500, 'x' FROM numbers`,
    keyed: true,
  },
  {
    name: "huge gaps up to the ends of bigint",
    ddl: `CREATE TABLE t (id BIGINT PRIMARY KEY); INSERT INTO t SELECT n FROM numbers;
      INSERT INTO t VALUES (-9223372036854775808), (9223372036854775807), (4000000000000)`,
    keyed: true,
  },
  {
    name: "unsigned up to the end",
    ddl: `CREATE TABLE t (id BIGINT UNSIGNED PRIMARY KEY);
      INSERT INTO t SELECT 18446744073709551615 - n * n FROM numbers; INSERT INTO t VALUES (0)`,
    keyed: true,
  },
  {
    name: "skewed integers",
    ddl: `CREATE TABLE t (id BIGINT PRIMARY KEY);
      INSERT INTO t SELECT CASE WHEN n < 2900 THEN n ELSE n * 1000000 END FROM numbers`,
    keyed: true,
  },
  {
    name: "text in a case-insensitive collation, quotes, backslashes, emoji",
    ddl: `CREATE TABLE t (id VARCHAR(40) CHARACTER SET utf8mb4 COLLATE utf8mb4_unicode_ci PRIMARY KEY);
      INSERT INTO t SELECT CONCAT(ELT(1 + n % 8, 'ä', 'Z', 'a', '"', '\\\\', '😀', 'é', '_'), n) FROM numbers;
      INSERT INTO t VALUES (''), ('line\\nbreak'), ('''')`,
    keyed: true,
  },
  {
    name: "text in a binary collation",
    ddl: `CREATE TABLE t (id VARCHAR(40) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin PRIMARY KEY);
      INSERT INTO t SELECT CONCAT(ELT(1 + n % 6, 'ä', 'Z', 'a', 'A', 'É', 'e'), n) FROM numbers`,
    keyed: true,
  },
  {
    name: "latin1 in a national collation",
    ddl: `CREATE TABLE t (id VARCHAR(40) CHARACTER SET latin1 COLLATE latin1_german1_ci PRIMARY KEY);
      INSERT INTO t SELECT CONCAT(ELT(1 + n % 6, 'ä', 'Z', 'a', 'B', 'ö', 'e'), n) FROM numbers`,
    keyed: true,
  },
  {
    name: "ci text where equal is not the same, beside an integer",
    ddl: `CREATE TABLE t (id VARCHAR(10) COLLATE utf8mb4_general_ci, n INT, PRIMARY KEY (id, n));
      INSERT INTO t SELECT ELT(1 + n % 5, 'abc', 'ABC', 'aBc', 'b', 'B'), n FROM numbers`,
    keyed: true,
  },
  {
    name: "char, padded, with trailing spaces",
    ddl: `CREATE TABLE t (id CHAR(6) PRIMARY KEY);
      INSERT INTO t SELECT n FROM numbers; INSERT INTO t VALUES ('')`,
    keyed: true,
  },
  {
    name: "one prefix, then digits",
    ddl: `CREATE TABLE t (id VARCHAR(64) PRIMARY KEY);
      INSERT INTO t SELECT CONCAT('https://example.org/customers/', LPAD(n, 9, '0')) FROM numbers`,
    keyed: true,
  },
  {
    name: "Chinese and Cyrillic",
    ddl: `CREATE TABLE t (id VARCHAR(64) CHARACTER SET utf8mb4 PRIMARY KEY);
      INSERT INTO t SELECT CONCAT(ELT(1 + n % 4, '北京', '上海', 'Москва', 'Київ'), n) FROM numbers`,
    keyed: true,
  },
  {
    name: "uuid as text",
    ddl: `CREATE TABLE t (id CHAR(36) PRIMARY KEY);
      INSERT INTO t SELECT CONCAT_WS('-', LEFT(MD5(n), 8), MID(MD5(n), 9, 4), MID(MD5(n), 13, 4), MID(MD5(n), 17, 4), RIGHT(MD5(n), 12)) FROM numbers`,
    keyed: true,
  },
  {
    name: "uuid as 16 bytes, zeros among them",
    ddl: `CREATE TABLE t (id BINARY(16) PRIMARY KEY);
      INSERT INTO t SELECT UNHEX(MD5(n)) FROM numbers; INSERT INTO t VALUES (REPEAT(CHAR(0), 16))`,
    keyed: true,
  },
  {
    name: "varbinary, prefixes of each other",
    ddl: `CREATE TABLE t (id VARBINARY(20) PRIMARY KEY);
      INSERT INTO t SELECT LEFT(UNHEX(CONCAT(MD5(n), '000000')), 2 + n % 18) FROM numbers ON DUPLICATE KEY UPDATE id = t.id;
      INSERT INTO t VALUES ('')`,
    keyed: true,
  },
  {
    name: "composite of text and integer, few values in the first",
    ddl: `CREATE TABLE t (region VARCHAR(8), id INT, pad TEXT, PRIMARY KEY (region, id));
      INSERT INTO t SELECT ELT(1 + n % 2, 'eu', 'us'), n, 'x' FROM numbers`,
    keyed: true,
  },
  {
    name: "composite of three, one huge tenant",
    ddl: `CREATE TABLE t (tenant INT, day DATE, n BIGINT, PRIMARY KEY (tenant, day, n));
      INSERT INTO t SELECT IF(n < 2900, 7, n), '2020-01-01' + INTERVAL n % 3 DAY, n * n FROM numbers`,
    keyed: true,
  },
  {
    name: "the first of two unique keys, without a primary one",
    ddl: `CREATE TABLE t (a INT NOT NULL, b INT NOT NULL, c INT, UNIQUE KEY z (b), UNIQUE KEY y (a), UNIQUE KEY x (c));
      INSERT INTO t SELECT n, 5000 - n, NULLIF(n % 3, 0) * n FROM numbers ON DUPLICATE KEY UPDATE a = t.a`,
    keyed: true,
  },
  {
    name: "a unique key with NULLs",
    ddl: `CREATE TABLE t (a INT UNIQUE, b TEXT);
      INSERT INTO t SELECT IF(n % 3 = 0, NULL, n), 'x' FROM numbers`,
    keyed: false,
  },
  {
    name: "no key, all NULL",
    ddl: "CREATE TABLE t (a INT); INSERT INTO t SELECT NULL FROM numbers",
    keyed: false,
  },
  {
    name: "decimals and negative ones",
    ddl: `CREATE TABLE t (id DECIMAL(30, 10) PRIMARY KEY);
      INSERT INTO t SELECT n / 7 - 100 FROM numbers`,
    keyed: true,
  },
  {
    name: "doubles, tiny and huge",
    ddl: `CREATE TABLE t (id DOUBLE PRIMARY KEY);
      INSERT INTO t SELECT POW(-1, n) / n FROM numbers; INSERT INTO t VALUES (1e300), (-1e300), (5e-300), (0)`,
    keyed: true,
  },
  {
    name: "floats that print alike",
    ddl: `CREATE TABLE t (id FLOAT PRIMARY KEY);
      INSERT INTO t SELECT 16777000 + n FROM numbers ON DUPLICATE KEY UPDATE id = t.id`,
    keyed: false,
  },
  {
    name: "datetimes with microseconds and zero dates",
    ddl: `SET sql_mode = ''; CREATE TABLE t (id DATETIME(6) PRIMARY KEY);
      INSERT INTO t SELECT TIMESTAMP('2020-01-01') + INTERVAL n * 1000001 MICROSECOND FROM numbers;
      INSERT INTO t VALUES ('0000-00-00'), ('2020-00-00'), ('9999-12-31 23:59:59.999999')`,
    keyed: true,
  },
  {
    name: "timestamps, dates, times and years",
    ddl: `CREATE TABLE t (y YEAR, d DATE, c TIME(3), ts TIMESTAMP(2) DEFAULT '2020-01-01 00:00:01', PRIMARY KEY (y, d, c, ts));
      INSERT INTO t SELECT 2000 + n % 2, '2020-01-01' + INTERVAL n % 40 DAY, SEC_TO_TIME(n * 500 - 700000), '2020-01-01' + INTERVAL n SECOND FROM numbers`,
    keyed: true,
  },
  {
    name: "bits",
    ddl: `CREATE TABLE t (id BIT(60) PRIMARY KEY); INSERT INTO t SELECT n * n * 1000 FROM numbers`,
    keyed: true,
  },
  {
    name: "an enum, whose order is not that of its texts",
    ddl: `CREATE TABLE t (m ENUM('zeal', 'joy', 'awe'), n INT, PRIMARY KEY (m, n));
      INSERT INTO t SELECT 1 + n % 3, n FROM numbers`,
    keyed: false,
  },
  {
    name: "quoted names",
    ddl: `CREATE TABLE t (\`na\`\`me\` INT, \`select\` VARCHAR(5), \`?\` INT, PRIMARY KEY (\`select\`, \`na\`\`me\`));
      INSERT INTO t SELECT n, CONCAT('v', n % 5), n FROM numbers`,
    keyed: true,
  },
  {
    name: "range partitions",
    ddl: `CREATE TABLE t (id INT, kind CHAR(1), PRIMARY KEY (id, kind)) PARTITION BY RANGE (id)
        (PARTITION low VALUES LESS THAN (1000), PARTITION rest VALUES LESS THAN MAXVALUE);
      INSERT INTO t SELECT n, CHAR(97 + n % 4) FROM numbers`,
    keyed: true,
  },
  {
    name: "hash partitions, and sub-partitions of lists",
    ddl: `CREATE TABLE t (id INT, PRIMARY KEY (id)) PARTITION BY HASH (id) PARTITIONS 4;
      INSERT INTO t SELECT n * 3 FROM numbers`,
    keyed: true,
  },
  {
    name: "a prefix as primary key",
    ddl: `CREATE TABLE t (id TEXT, PRIMARY KEY (id(20))); INSERT INTO t SELECT n FROM numbers`,
    keyed: false,
  },
  {
    name: "a descending key",
    ddl: `CREATE TABLE t (id INT, PRIMARY KEY (id DESC)); INSERT INTO t SELECT n * 7 FROM numbers`,
    keyed: true,
  },
  {
    name: "MyISAM",
    ddl: `CREATE TABLE t (id INT PRIMARY KEY) ENGINE = MyISAM; INSERT INTO t SELECT n FROM numbers`,
    keyed: false,
  },
  {
    name: "MariaDB's uuid",
    ddl: `CREATE TABLE t (id UUID PRIMARY KEY);
      INSERT INTO t SELECT CONCAT_WS('-', LEFT(MD5(n), 8), MID(MD5(n), 9, 4), CONCAT('4', MID(MD5(n), 13, 3)), CONCAT('8', MID(MD5(n), 17, 3)), RIGHT(MD5(n), 12)) FROM numbers`,
    keyed: true,
    only: "mariadb",
  },
  {
    name: "MariaDB's inet6, of which no middle is known",
    ddl: `CREATE TABLE t (id INET6 PRIMARY KEY, n INT);
      INSERT INTO t SELECT CONCAT('2001:db8::', HEX(n)), n FROM numbers`,
    keyed: false,
    only: "mariadb",
  },
  {
    name: "a system-versioned table of MariaDB's, of which the present is read",
    ddl: `CREATE TABLE t (id INT PRIMARY KEY, n INT) WITH SYSTEM VERSIONING;
      INSERT INTO t SELECT n * 5, n FROM numbers; UPDATE t SET n = n + 1 WHERE n % 2 = 0`,
    keyed: true,
    only: "mariadb",
  },
  {
    name: "one row",
    ddl: "CREATE TABLE t (id INT PRIMARY KEY); INSERT INTO t VALUES (1)",
    keyed: false,
  },
  {
    name: "no row",
    ddl: "CREATE TABLE t (id VARCHAR(9) PRIMARY KEY)",
    keyed: false,
  },
  {
    name: "a view",
    ddl: "CREATE VIEW t AS SELECT n FROM numbers WHERE n % 2 = 0",
    keyed: false,
  },
];

describe.each(flavours)("%s", (flavour) => {
  const test = sessionsOn(flavour);

  test.for(cases.filter(({ only }) => only === undefined || only === flavour))(
    "each row is in exactly one partition: $name",
    async ({ ddl, keyed }, { server, sessions: { connection } }) => {
      await server.query(numbers + ddl);
      await connection.query("START TRANSACTION WITH CONSISTENT SNAPSHOT");
      const stream = await discoverOne(connection, "t");
      const planned = await plan(connection, stream);
      const counts = await readAll(connection, stream, planned);
      expect(planned.partitions.map((one) => one.ordinal)).toEqual(
        counts.map((_, i) => i),
      );
      expect(planned.reason).toMatch(/^[A-Z].+\.$/);
      expect(planned.rung).toBe(stream.key === null ? "whole" : "keyRanges");
      if (keyed) {
        expect(counts.length).toBeGreaterThan(6);
        expect(Math.max(...counts)).toBeLessThan(900);
      }
    },
  );

  test.for([
    "utf8mb4_bin",
    "utf8mb4_general_ci",
    "utf8mb4_unicode_520_ci",
    "utf8mb4_swedish_ci",
  ])(
    "whatever texts a key holds, each row is in exactly one partition: %s",
    async (collation, { server, sessions: { connection } }) => {
      const text = fc.string({
        unit: fc.oneof(
          fc.constantFrom(...Array.from("aAäÄåbBßzZ09 _-.'\\\"%")),
          fc.constantFrom(...Array.from("中文кириллицаשלום😀🎉")),
        ),
        maxLength: 12,
      });
      await fc.assert(
        fc.asyncProperty(
          fc.array(fc.tuple(text, text), { minLength: 1, maxLength: 300 }),
          async (keys) => {
            await server.query(
              `DROP TABLE IF EXISTS t; CREATE TABLE t (a VARCHAR(20), b VARCHAR(20), PRIMARY KEY (a, b)) COLLATE ${collation}`,
            );
            await server.query("INSERT IGNORE INTO t VALUES ?", [keys]);
            const stream = await discoverOne(connection, "t");
            const planned = await plan(connection, stream);
            await readAll(connection, stream, planned);
          },
        ),
        { numRuns: 5 },
      );
    },
  );

  test("a key of few tenants is cut into even ranges, and statistics may be old", async ({
    server,
    sessions: { connection },
  }) => {
    await server.query(
      `${numbers} CREATE TABLE t (tenant INT, id BIGINT, pad CHAR(100), PRIMARY KEY (tenant, id)) STATS_AUTO_RECALC = 0;
      INSERT INTO t SELECT IF(n < 2900, 1, n), n * n, REPEAT('x', 100) FROM numbers`,
    );
    const stream = await discoverOne(connection, "t");
    const planned = await plan(connection, stream);
    const counts = await readAll(connection, stream, planned);
    expect(counts.length).toBe(12);
    expect(Math.max(...counts)).toBeLessThan((1.6 * 3_000) / 12);
    expect(planned.estimatedRows).toBeGreaterThan(2_500);
    expect(planned.estimatedRows).toBeLessThan(3_500);
    expect(planned.estimatedBytes).toBeGreaterThan(300_000);
  });

  describe("a filter", () => {
    const ddl = `${numbers} CREATE TABLE t (id INT PRIMARY KEY, at DATETIME NOT NULL, KEY (at));
      INSERT INTO t SELECT n, '2024-01-01' + INTERVAL n MINUTE FROM numbers; ANALYZE TABLE t`;
    const cursor = {
      column: "at",
      type: "datetime",
      from: "2024-01-03 00:00:00",
      to: "2024-02-01 00:00:00",
    };

    test("that leaves few rows is left to the server", async ({
      server,
      sessions: { connection },
    }) => {
      await server.query(ddl);
      const stream = await discoverOne(connection, "t");
      const few = await plan(connection, stream, {
        where: "id > 0 -- all",
        cursor,
      });
      expect(few.partitions.map((one) => one.split)).toEqual([
        { kind: "whole" },
      ]);
      const none = await plan(connection, stream, {
        where: null,
        cursor: { ...cursor, to: null },
      });
      expect(none.estimatedRows).toBe(0);
      const first = await plan(connection, stream, {
        where: null,
        cursor: { ...cursor, from: null },
      });
      expect(first.partitions.length).toBeGreaterThan(5);
    });

    test("that the server does not take is an error before anything is read", async ({
      server,
      sessions: { connection },
    }) => {
      await server.query(ddl);
      const stream = await discoverOne(connection, "t");
      await expect(
        plan(connection, stream, { where: "id >", cursor: null }),
      ).rejects.toMatchObject({ code: "SOURCE_QUERY_FAILED" });
    });
  });
});
