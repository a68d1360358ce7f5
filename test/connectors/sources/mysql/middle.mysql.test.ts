import type { MysqlConnection } from "../../../../connectors/sources/mysql/connection.ts";
import {
  canSplit,
  findSplit,
} from "../../../../connectors/sources/mysql/middle.ts";
import { planPartitions } from "../../../../connectors/sources/mysql/plan.ts";
import { keyPredicates } from "../../../../connectors/sources/mysql/read-query.ts";
import { quoteRelation } from "../../../../connectors/sources/mysql/sql.ts";
import type { MysqlStream } from "../../../../connectors/sources/mysql/stream.ts";
import type { Partition, Position } from "../../../../proto/partition.ts";
import {
  describe,
  discoverOne,
  expect,
  flavours,
  sessionsOn,
} from "./sessions.ts";

const ROWS = 10_000;
const ROW_BYTES = 40;

const numbers = `CREATE TABLE digits (d INT); INSERT INTO digits VALUES (0),(1),(2),(3),(4),(5),(6),(7),(8),(9);
  CREATE VIEW numbers AS SELECT a.d + 10 * b.d + 100 * c.d + 1000 * e.d + 1 AS n
  FROM digits a, digits b, digits c, digits e;`;

/** The one partition of a table that is not worth cutting. */
async function planWhole(
  connection: MysqlConnection,
  stream: MysqlStream,
): Promise<Partition> {
  const { partitions } = await planPartitions(connection, stream, {
    channels: 1,
    checkpointTargetSeconds: 300,
    partitionBy: "auto",
    filter: { where: null, cursor: null },
    bytesPerSecond: null,
    partitionBytesMin: 1_000_000_000,
  });
  const [partition] = partitions;
  if (!partition || partitions.length > 1) throw new Error("not one partition");
  return partition;
}

async function count(
  connection: MysqlConnection,
  { relation, split }: Pick<Partition, "relation" | "split">,
  after: Position | null = null,
): Promise<number> {
  if (split.kind !== "key") throw new Error("no key range");
  const conditions = ["TRUE", ...keyPredicates(split, after)];
  const [row] = await connection.query<{ n: number }>(
    `SELECT COUNT(*) AS n FROM ${quoteRelation(relation)} WHERE ${conditions.join(" AND ")}`,
  );
  return Number(row?.n);
}

const tables = [
  { name: "a dense integer", key: "id INT", value: "n" },
  { name: "a skewed integer", key: "id BIGINT", value: "POW(n, 4)" },
  { name: "a text", key: "id VARCHAR(20)", value: "CONCAT('w', n)" },
  { name: "bytes", key: "id BINARY(16)", value: "UNHEX(MD5(n))" },
  {
    name: "a moment",
    key: "id DATETIME(3)",
    value: "'2024-01-01' + INTERVAL n SECOND",
  },
  {
    name: "a pair with one huge tenant",
    key: "tenant INT, id VARCHAR(9)",
    value: "IF(n < 9000, 5, n), CONCAT('p', n)",
  },
];

describe.each(flavours)("%s", (flavour) => {
  const test = sessionsOn(flavour);

  test.for(tables)(
    "half of the rows behind the position: $name",
    async ({ key, value }, { server, sessions: { connection } }) => {
      const columns = key.includes(",") ? "tenant, id" : "id";
      await server.query(
        `${numbers} CREATE TABLE t (${key}, PRIMARY KEY (${columns}));
        INSERT INTO t SELECT ${value} FROM numbers; ANALYZE TABLE t`,
      );
      const stream = await discoverOne(connection, "t");
      const range = await planWhole(connection, stream);
      expect(canSplit(stream, range)).toBe(true);
      const request = { range, rowBytes: ROW_BYTES, bytesMin: 1_000 };
      const whole = await findSplit(connection, stream, {
        ...request,
        resumeAfter: null,
      });
      if (whole === null) throw new Error("no split");
      const [below, above] = [
        await count(connection, whole.giver),
        await count(connection, { ...range, ...whole.taker }),
      ];
      expect(below + above).toBe(ROWS);
      expect(Math.min(below, above)).toBeGreaterThan(0.25 * ROWS);
      const { split } = whole.taker;
      if (split.kind !== "key" || split.start === null) throw new Error("open");
      // a reader that has come as far as that gives from what is behind it only
      const resumeAfter = { kind: "key", after: split.start } as const;
      const left = await count(connection, range, resumeAfter);
      const second = await findSplit(connection, stream, {
        ...request,
        resumeAfter,
      });
      if (second === null) throw new Error("no second split");
      const given = await count(connection, { ...range, ...second.taker });
      expect(given).toBeGreaterThan(0.2 * left);
      expect(given).toBeLessThan(0.8 * left);
      expect(await count(connection, second.giver)).toBe(ROWS - given);
      expect(second.giver.ordinal).toBe(range.ordinal);
    },
  );

  test("what is not worth two readers is left to one", async ({
    server,
    sessions: { connection },
  }) => {
    await server.query(
      `${numbers} CREATE TABLE t (id INT PRIMARY KEY); INSERT INTO t SELECT n FROM numbers; ANALYZE TABLE t`,
    );
    const stream = await discoverOne(connection, "t");
    const range = await planWhole(connection, stream);
    const ask = (bytesMin: number, after: string | null) =>
      findSplit(connection, stream, {
        range,
        rowBytes: ROW_BYTES,
        bytesMin,
        resumeAfter: after === null ? null : { kind: "key", after: [after] },
      });
    expect(await ask(ROWS * ROW_BYTES, null)).toBeNull();
    expect(await ask(1, String(ROWS - 1))).toBeNull();
    expect(await ask(1, String(ROWS))).toBeNull();
    expect(await ask(100 * ROW_BYTES, "1")).not.toBeNull();
  });

  test("only ranges whose rows come in an order that is proven can be split", async ({
    server,
    sessions: { connection },
  }) => {
    await server.query(
      `${numbers} CREATE TABLE inexact (id DOUBLE PRIMARY KEY); INSERT INTO inexact SELECT n FROM numbers;
      CREATE TABLE keyless (id INT); INSERT INTO keyless SELECT n FROM numbers`,
    );
    for (const name of ["inexact", "keyless"]) {
      const stream = await discoverOne(connection, name);
      const range = await planWhole(connection, stream);
      expect(canSplit(stream, range)).toBe(false);
      expect(
        await findSplit(connection, stream, {
          range,
          resumeAfter: null,
          rowBytes: 1,
          bytesMin: 1,
        }),
      ).toBeNull();
    }
  });
});
