import type { PostgresConnection } from "../../../../connectors/sources/postgres/connection.ts";
import {
  canSplit,
  findSplit,
} from "../../../../connectors/sources/postgres/middle.ts";
import { planPartitions } from "../../../../connectors/sources/postgres/plan.ts";
import { fromRelation } from "../../../../connectors/sources/postgres/sql.ts";
import type { PostgresStream } from "../../../../connectors/sources/postgres/stream.ts";
import type { KeyTuple, Partition } from "../../../../proto/partition.ts";
import { describe, discoverOne, expect, test } from "./session.ts";

const ROWS = 20_000;
const ROW_BYTES = 40;

/** The one partition of a table that is not worth cutting. */
async function planWhole(
  connection: PostgresConnection,
  stream: PostgresStream,
  partitionBy: "ctid" | "key",
): Promise<Partition> {
  const { partitions } = await planPartitions(connection, stream, {
    channels: 1,
    checkpointTargetSeconds: 300,
    partitionBy,
    filter: { where: null, cursor: null },
    bytesPerSecond: null,
    partitionBytesMin: 1_000_000_000,
  });
  const [partition] = partitions;
  if (!partition || partitions.length > 1) throw new Error("not one partition");
  return partition;
}

async function countAfter(
  connection: PostgresConnection,
  { relation, only, split }: Partition,
  bound: KeyTuple,
): Promise<number> {
  if (split.kind !== "key") throw new Error("no key range");
  const values = split.types.map((type, i) => `$${i + 1}::${type}`);
  const [row] = await connection.query<{ rows: number }>(
    `SELECT count(*)::int AS rows FROM ${fromRelation(relation, only)}
     WHERE (${split.columns.join(", ")}) >= (${values.join(", ")})`,
    bound,
  );
  return row?.rows ?? -1;
}

const tables = [
  { name: "numbers", key: "id integer", value: "g" },
  { name: "words", key: 'id text COLLATE "C"', value: "'w' || g" },
  {
    name: "moments",
    key: "id timestamptz",
    value: "now() + g * interval '1 s'",
  },
  { name: "fractions", key: "id numeric(12, 3)", value: "g / 8.0" },
  {
    name: "pairs",
    key: "id integer, part text",
    value: "g / 100, 'p' || g % 100",
  },
];

describe("key ranges", () => {
  test.for(tables)(
    "half of the rows behind the position, by $key",
    async ({ name, key, value }, { pg, sessions: { connection } }) => {
      const columns = name === "pairs" ? "id, part" : "id";
      await pg.query(
        `CREATE TABLE ${name} (${key}, PRIMARY KEY (${columns}));
         INSERT INTO ${name} SELECT ${value} FROM generate_series(1, ${ROWS}) AS g;
         ANALYZE ${name}`,
      );
      const stream = await discoverOne(connection, name);
      const range = await planWhole(connection, stream, "key");
      expect(canSplit(stream, range)).toBe(true);
      const whole = await findSplit(connection, stream, {
        range,
        resumeAfter: null,
        rowBytes: ROW_BYTES,
        bytesMin: 1,
      });
      if (whole?.taker.split.kind !== "key") throw new Error("no split");
      const middle = whole.taker.split.start;
      if (!middle) throw new Error("no middle");
      // a table as small as this is looked at as a whole, or nearly
      const behind = await countAfter(connection, range, middle);
      expect(Math.abs(behind / ROWS - 0.5)).toBeLessThan(0.2);
      const later = await findSplit(connection, stream, {
        range,
        resumeAfter: { kind: "key", after: middle },
        rowBytes: ROW_BYTES,
        bytesMin: 1,
      });
      if (later?.giver.split.kind !== "key") throw new Error("no split");
      const third = later.giver.split.end;
      if (!third) throw new Error("no middle");
      expect(await countAfter(connection, range, third)).toBeLessThan(behind);
      expect(later.taker.split).toEqual({ ...range.split, start: third });
      expect(later.giver.split).toEqual({ ...range.split, end: third });
      expect(later.giver.estimatedRows + later.taker.estimatedRows).toBe(
        range.estimatedRows,
      );
      const few = await findSplit(connection, stream, {
        range: later.giver,
        resumeAfter: { kind: "key", after: middle },
        rowBytes: ROW_BYTES,
        bytesMin: ROWS * ROW_BYTES,
      });
      expect(few).toBeNull();
    },
  );

  test("a key that has no exact text is not stopped inside", async ({
    pg,
    sessions: { connection },
  }) => {
    await pg.query(
      `CREATE TABLE weights (id float8 PRIMARY KEY);
       INSERT INTO weights SELECT g / 7.0 FROM generate_series(1, 1000) AS g`,
    );
    const stream = await discoverOne(connection, "weights");
    expect(canSplit(stream, await planWhole(connection, stream, "key"))).toBe(
      false,
    );
  });
});

describe("heap pages", () => {
  test("the middle of the pages that are left", async ({
    pg,
    sessions: { connection },
  }) => {
    await pg.query(
      `CREATE TABLE visits AS SELECT g AS id FROM generate_series(1, ${ROWS}) AS g`,
    );
    const [heap] = await pg.query<{ pages: number }>(
      "SELECT (pg_relation_size('visits') / current_setting('block_size')::int)::int AS pages",
    );
    const pages = heap?.pages ?? 0;
    await pg.query("ANALYZE visits");
    const stream = await discoverOne(connection, "visits");
    const range = await planWhole(connection, stream, "ctid");
    expect(canSplit(stream, range)).toBe(true);
    const from = 10;
    const ask = (bytesMin: number) =>
      findSplit(connection, stream, {
        range,
        resumeAfter: { kind: "pages", nextPage: from },
        rowBytes: ROW_BYTES,
        bytesMin,
      });
    const middle = from + Math.floor((pages - from) / 2);
    expect(await ask(1)).toMatchObject({
      giver: { split: { startPage: 0, endPage: middle } },
      taker: { split: { startPage: middle, endPage: null } },
    });
    expect(await ask((ROWS * ROW_BYTES) / 2)).toBeNull();
  });

  test("a table that is read as a whole has no tail", async ({
    pg,
    sessions: { connection },
  }) => {
    await pg.query(
      "CREATE VIEW few AS SELECT g AS id FROM generate_series(1, 9) g",
    );
    const stream = await discoverOne(connection, "few");
    expect(canSplit(stream, await planWhole(connection, stream, "key"))).toBe(
      false,
    );
  });
});
