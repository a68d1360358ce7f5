import { setTimeout as sleep } from "node:timers/promises";
import type { ColumnBatch } from "../../../../proto/columns.ts";
import type { Position, Split } from "../../../../proto/partition.ts";
import { PostgresConnection } from "../../../../connectors/sources/postgres/connection.ts";
import { startRead } from "../../../../connectors/sources/postgres/reader.ts";
import { parseSourceUrl } from "../../../../connectors/sources/postgres/url.ts";
import { describe, expect, test as base } from "../../../fixtures/postgres.ts";
import { KeepingSink, makeTask, readTask } from "./support/tasks.ts";

const test = base.extend<{ connection: PostgresConnection }>({
  connection: async ({ pg }, use) => {
    const connection = await PostgresConnection.connect(parseSourceUrl(pg.url));
    await use(connection);
    await connection.close();
  },
});

const byId: Split = {
  kind: "key",
  columns: ["id"],
  types: ["bigint"],
  start: null,
  end: null,
};

/** `orders`: 60,000 rows in a few hundred pages, with gaps where rows were deleted. */
async function createOrders(
  query: (sql: string) => Promise<unknown>,
): Promise<void> {
  await query(`
    CREATE TABLE orders (id bigint PRIMARY KEY, amount numeric(12,2) NOT NULL, placed timestamptz, note text);
    INSERT INTO orders SELECT i * 3, i * 1.37 - 1000, CASE WHEN i % 5 > 0 THEN to_timestamp(i * 1000.25) END,
      CASE WHEN i % 3 > 0 THEN repeat('n', i % 90) END FROM generate_series(1, 70000) AS i;
    DELETE FROM orders WHERE id % 7 = 0`);
  await query("VACUUM ANALYZE orders");
}

const ordersDigest = `
  SELECT count(*)::int AS count, sum(id)::text AS ids, (sum(amount) * 100)::bigint::text AS cents,
    (sum(extract(epoch FROM placed)) * 1000000)::bigint::text AS us, count(placed)::int AS placed,
    sum(length(note))::int AS chars, count(note)::int AS notes FROM orders`;

function digestOrders(rows: readonly unknown[][]): Record<string, unknown> {
  let ids = 0n;
  let cents = 0n;
  let us = 0n;
  let placed = 0;
  let chars = 0;
  let notes = 0;
  for (const [id, amount, at, note] of rows) {
    ids += id as bigint;
    cents += amount as bigint;
    if (at !== null) {
      us += at as bigint;
      placed++;
    }
    if (note !== null) {
      chars += (note as string).length;
      notes++;
    }
  }
  return {
    count: rows.length,
    ids: String(ids),
    cents: String(cents),
    us: String(us),
    placed,
    chars,
    notes,
  };
}

describe("splits", () => {
  test.for<{
    name: string;
    split: Split;
    decoder: "generated" | "interpreted" | "adaptive";
  }>([
    {
      name: "whole, generated",
      split: { kind: "whole" },
      decoder: "generated",
    },
    {
      name: "whole, interpreted",
      split: { kind: "whole" },
      decoder: "interpreted",
    },
    { name: "by key", split: byId, decoder: "adaptive" },
    {
      name: "by pages",
      split: { kind: "pages", startPage: 0, endPage: null },
      decoder: "adaptive",
    },
  ])(
    "counts and sums are the server's: $name",
    async ({ split, decoder }, { pg, connection }) => {
      await createOrders(pg.query);
      await connection.beginSnapshot(null);
      const task = await makeTask(connection, "orders", { split });
      const { sink, result } = await readTask(connection, task, {
        decoder,
        firstPages: 64,
      });
      expect(result).toEqual({ outcome: "end", rows: sink.rows.length });
      expect([digestOrders(sink.rows)]).toEqual(await pg.query(ordersDigest));
      expect(sink.checkpoints).toEqual([
        { position: null, last: true, rows: sink.rows.length },
      ]);
    },
  );

  test("ranges that touch give each row once", async ({ pg, connection }) => {
    await createOrders(pg.query);
    await connection.beginSnapshot(null);
    const cuts: Split[][] = [
      [
        { ...byId, end: ["50001"] },
        { ...byId, start: ["50001"], end: ["100003"] },
        { ...byId, start: ["100003"] },
      ],
      [
        { kind: "pages", startPage: 0, endPage: 100 },
        { kind: "pages", startPage: 100, endPage: 101 },
        { kind: "pages", startPage: 101, endPage: null },
      ],
    ];
    for (const splits of cuts) {
      const rows: unknown[][] = [];
      for (const split of splits) {
        const { sink } = await readTask(
          connection,
          await makeTask(connection, "orders", { split }),
        );
        rows.push(...sink.rows);
      }
      expect([digestOrders(rows)]).toEqual(await pg.query(ordersDigest));
    }
  });

  test("a predicate and a cursor window keep to their rows", async ({
    pg,
    connection,
  }) => {
    await createOrders(pg.query);
    const cursor = { column: "id", type: "bigint", from: "300", to: "900" };
    const read = async (
      filter: Parameters<typeof makeTask>[2] & object,
    ): Promise<number> =>
      (await readTask(connection, await makeTask(connection, "orders", filter)))
        .result.rows;
    const [expected] = await pg.query<{ a: number; b: number }>(
      `SELECT count(*) FILTER (WHERE id > 300 AND id <= 900)::int AS a,
              count(*) FILTER (WHERE id > 300 AND id <= 900 AND (note IS NULL OR id < 400))::int AS b FROM orders`,
    );
    expect(await read({ filter: { where: null, cursor } })).toBe(expected?.a);
    expect(
      await read({
        filter: { where: "note IS NULL OR id < 400 -- words", cursor },
        split: byId,
      }),
    ).toBe(expected?.b);
    expect(
      await read({ filter: { where: null, cursor: { ...cursor, to: null } } }),
    ).toBe(0);
  });

  test("a table without rows, and one without columns", async ({
    pg,
    connection,
  }) => {
    await pg.query(
      `CREATE TABLE empty (a int, b text); CREATE TABLE bare (); INSERT INTO bare SELECT FROM generate_series(1, 5)`,
    );
    const empty = await readTask(
      connection,
      await makeTask(connection, "empty"),
    );
    expect(empty.result).toEqual({ outcome: "end", rows: 0 });
    expect(empty.sink.checkpoints).toHaveLength(1);
    const bare = await readTask(connection, await makeTask(connection, "bare"));
    expect(bare.sink.rows).toEqual([[], [], [], [], []]);
  });
});

describe("checkpoints", () => {
  test.for<{ name: string; split: Split }>([
    { name: "key", split: byId },
    { name: "pages", split: { kind: "pages", startPage: 0, endPage: null } },
  ])(
    "a read stopped again and again loses and doubles nothing: $name",
    async ({ split }, { pg, connection }) => {
      await createOrders(pg.query);
      const rows: unknown[][] = [];
      let resumeAfter: Position | null = null;
      let stops = 0;
      for (;;) {
        await connection.beginSnapshot(null);
        const task = await makeTask(connection, "orders", {
          split,
          resumeAfter,
        });
        const { sink, result } = await readTask(
          connection,
          task,
          { firstPages: 40 },
          (read, sink) => {
            sink.onBatch = async () => {
              read.stop();
              await sleep(5); // so that the server is well ahead when the statement is cancelled
            };
            if (split.kind === "pages") read.stop();
          },
        );
        rows.push(...sink.rows);
        const last = sink.checkpoints.at(-1);
        expect(last?.rows).toBe(sink.rows.length);
        if (result.outcome === "end") break;
        stops++;
        expect(last?.last).toBe(false);
        resumeAfter = last?.position ?? null;
        expect(resumeAfter).not.toBeNull();
      }
      expect(stops).toBeGreaterThan(2);
      expect([digestOrders(rows)]).toEqual(await pg.query(ordersDigest));
    },
  );

  test("a checkpoint inside a read stands behind exactly the rows given", async ({
    pg,
    connection,
  }) => {
    await createOrders(pg.query);
    const task = await makeTask(connection, "orders", { split: byId });
    const { sink } = await readTask(connection, task, {}, (read, sink) => {
      sink.onBatch = () => read.requestCheckpoint();
      read.requestCheckpoint();
    });
    expect(sink.checkpoints.length).toBeGreaterThan(2);
    for (const { position, last, rows } of sink.checkpoints) {
      if (last) continue;
      expect(position).toEqual({
        kind: "key",
        after: [String(sink.rows[rows - 1]?.[0])],
      });
    }
  });

  test("a key that is not among the columns still gives positions", async ({
    pg,
    connection,
  }) => {
    await createOrders(pg.query);
    const task = await makeTask(connection, "orders", {
      split: byId,
      columns: ["note"],
    });
    const { sink, result } = await readTask(
      connection,
      task,
      {},
      (read, sink) => (sink.onBatch = () => read.stop()),
    );
    expect(result.outcome).toBe("stopped");
    expect(sink.rows[0]).toHaveLength(1);
    await connection.beginSnapshot(null);
    const rest = await readTask(connection, {
      ...task,
      resumeAfter: sink.checkpoints[0]?.position ?? null,
    });
    const [{ count } = { count: 0 }] = await pg.query<{ count: number }>(
      "SELECT count(*)::int AS count FROM orders",
    );
    expect(sink.rows.length + rest.sink.rows.length).toBe(count);
  });

  test("a stop where no checkpoint is allowed is a retry", async ({
    pg,
    connection,
  }) => {
    await createOrders(pg.query);
    const task = await makeTask(connection, "orders");
    await expect(
      readTask(connection, task, {}, (read) => read.stop()),
    ).rejects.toMatchObject({
      code: "SOURCE_CONNECTION_LOST",
    });
    expect(await connection.query("SELECT 1 AS one")).toEqual([{ one: 1 }]);
  });
});

describe("shapes", () => {
  test("rows larger than any buffer, between small ones", async ({
    pg,
    connection,
  }) => {
    await pg.query(`
      CREATE TABLE big (id int, body text);
      INSERT INTO big SELECT i, CASE i WHEN 500 THEN repeat('x', 20000000) WHEN 501 THEN repeat('y', 300000)
        WHEN 502 THEN repeat('z', 262144) ELSE 'small' || i END FROM generate_series(1, 1000) AS i`);
    for (const decoder of ["generated", "interpreted"] as const) {
      const { sink } = await readTask(
        connection,
        await makeTask(connection, "big"),
        { decoder },
      );
      expect(sink.rows).toHaveLength(1000);
      const lengths = sink.rows
        .filter(([id]) => Number(id) >= 499 && Number(id) <= 503)
        .map(([, body]) => String(body).length);
      expect(lengths).toEqual([8, 20_000_000, 300_000, 262_144, 8]);
      expect(sink.rows.at(-1)).toEqual([1000, "small1000"]);
    }
  });

  test("a row above the limit is refused before it is held, and the connection goes on", async ({
    pg,
    connection,
  }) => {
    await pg.query(
      `CREATE TABLE big AS SELECT 7 AS id, repeat('x', 3000000) AS body`,
    );
    const task = await makeTask(connection, "big", { rowBytesMax: 1_000_000 });
    await expect(readTask(connection, task)).rejects.toMatchObject({
      code: "SOURCE_ROW_TOO_LARGE",
      details: { table: "public.big", bytes: 3_000_018 },
    });
    expect(await connection.query("SELECT 1 AS one")).toEqual([{ one: 1 }]);
  });

  test("1,600 columns", async ({ pg, connection }) => {
    const names = Array.from(
      { length: 1_600 },
      (_, i) => `c${i} ${["int", "bool", "date", "smallint"][i % 4]}`,
    );
    await pg.query(`CREATE TABLE wide (${names.join(", ")})`);
    await pg.query(
      `INSERT INTO wide (c0, c1, c2, c3, c1599) SELECT i, i % 2 = 0, date '1970-01-01' + i, i, -i FROM generate_series(1, 3000) AS i`,
    );
    const { sink } = await readTask(
      connection,
      await makeTask(connection, "wide"),
    );
    expect(sink.rows).toHaveLength(3_000);
    for (const [index, row] of sink.rows.entries()) {
      const i = index + 1;
      expect(row.slice(0, 5)).toEqual([i, i % 2 === 0, i, i, null]);
      expect(row[1599]).toBe(-i);
    }
  });

  test("many tiny rows and many NULLs", async ({ pg, connection }) => {
    await pg.query(
      `CREATE TABLE tiny AS SELECT CASE WHEN i % 100 = 0 THEN i % 2 = 0 END AS b, NULL::text AS t FROM generate_series(1, 300000) AS i`,
    );
    const { sink } = await readTask(
      connection,
      await makeTask(connection, "tiny"),
    );
    expect(sink.rows).toHaveLength(300_000);
    expect(sink.rows.filter(([b]) => b === true)).toHaveLength(3_000);
    expect(sink.rows.every(([, t]) => t === null)).toBe(true);
    expect(Math.max(...sink.batchRows)).toBe(16_384);
  });

  test("many small tables share a connection and its transaction", async ({
    pg,
    connection,
  }) => {
    await pg.query(
      Array.from(
        { length: 60 },
        (_, i) =>
          `CREATE TABLE s${i} AS SELECT i AS id, 'r' || i AS t FROM generate_series(1, ${i}) AS i`,
      ).join(";"),
    );
    await connection.beginSnapshot(null);
    for (let i = 0; i < 60; i++) {
      const { sink } = await readTask(
        connection,
        await makeTask(connection, `s${i}`),
      );
      expect(sink.rows.map(([id]) => id)).toEqual(
        Array.from({ length: i }, (_, k) => k + 1),
      );
    }
  });

  test("a child of a parent is not read with it", async ({
    pg,
    connection,
  }) => {
    await pg.query(
      `CREATE TABLE parent (a int); CREATE TABLE child () INHERITS (parent); INSERT INTO parent VALUES (1); INSERT INTO child VALUES (2)`,
    );
    const { sink } = await readTask(
      connection,
      await makeTask(connection, "parent"),
    );
    expect(sink.rows).toEqual([[1]]);
    const all = await readTask(
      connection,
      await makeTask(connection, "parent", { only: false }),
    );
    expect(all.sink.rows).toEqual([[1], [2]]);
  });
});

describe("backpressure", () => {
  test("a slow sink holds the server back, and memory stays", async ({
    pg,
    connection,
  }) => {
    await pg.query(
      `CREATE TABLE heavy AS SELECT i, repeat(md5(i::text), 30) AS t FROM generate_series(1, 100000) AS i`,
    );
    const task = await makeTask(connection, "heavy");
    const sink = new KeepingSink(task);
    const gate = Promise.withResolvers<void>();
    let open = 0;
    let openMax = 0;
    let rows = 0;
    const read = startRead(connection, task, {
      async batch(batch: ColumnBatch) {
        openMax = Math.max(openMax, ++open);
        await gate.promise;
        rows += batch.rowCount;
        open--;
      },
      checkpoint: (position, last) => sink.checkpoint(position, last),
      valueNulled: () => {},
    });
    let waitsFor = "";
    for (
      let i = 0;
      i < 1_000 && !(waitsFor === "ClientWrite" && open === 3);
      i++
    ) {
      await sleep(10);
      const [activity] = await pg.query<{ wait_event: string | null }>(
        "SELECT wait_event FROM pg_stat_activity WHERE pid = $1",
        [connection.backendPid],
      );
      waitsFor = activity?.wait_event ?? "";
    }
    expect(waitsFor).toBe("ClientWrite");
    expect(open).toBe(3);
    gate.resolve();
    expect(await read.done).toEqual({ outcome: "end", rows: 100_000 });
    expect(rows).toBe(100_000);
    expect(openMax).toBe(3);
  });
});

describe("failures", () => {
  test("a cancelled read rejects with its reason, calls the sink no more, and frees the connection", async ({
    pg,
    connection,
  }) => {
    await createOrders(pg.query);
    const task = await makeTask(connection, "orders");
    const reason = new Error("enough");
    let calls = 0;
    const sink = new KeepingSink(task);
    const read = startRead(connection, task, sink);
    sink.onBatch = () => {
      calls++;
      read.cancel(reason);
    };
    await expect(read.done).rejects.toBe(reason);
    expect(calls).toBe(1);
    expect(sink.checkpoints).toEqual([]);
    await connection.beginSnapshot(null);
    expect((await readTask(connection, task)).result.outcome).toBe("end");
  });

  test("a cancelled read that waits for a lock ends at once", async ({
    pg,
    connection,
  }) => {
    await pg.query("CREATE TABLE locked (a int)");
    const task = await makeTask(connection, "locked");
    await pg.query("BEGIN; LOCK TABLE locked IN ACCESS EXCLUSIVE MODE");
    const read = startRead(connection, task, new KeepingSink(task));
    setTimeout(() => read.cancel(new Error("no longer wanted")), 50);
    await expect(read.done).rejects.toThrow("no longer wanted");
    await pg.query("ROLLBACK");
    expect(connection.usable).toBe(true);
  });

  test("a sink that rejects stops the read with its error", async ({
    pg,
    connection,
  }) => {
    await createOrders(pg.query);
    const task = await makeTask(connection, "orders");
    const sink = new KeepingSink(task);
    sink.onBatch = async () => {
      await sleep(1);
      throw new Error("disk full");
    };
    await expect(startRead(connection, task, sink).done).rejects.toThrow(
      "disk full",
    );
    expect(await connection.query("SELECT 1 AS one")).toEqual([{ one: 1 }]);
  });

  test("a backend that is ended in the middle is a lost connection", async ({
    pg,
    connection,
  }) => {
    await createOrders(pg.query);
    const task = await makeTask(connection, "orders", {
      filter: { where: "pg_sleep(0.0005) IS NOT NULL", cursor: null },
    });
    const read = startRead(connection, task, new KeepingSink(task));
    const rejected = expect(read.done).rejects.toMatchObject({
      code: "SOURCE_CONNECTION_LOST",
    });
    await sleep(100);
    await pg.query("SELECT pg_terminate_backend($1)", [connection.backendPid]);
    await rejected;
    expect(connection.usable).toBe(false);
    await expect(connection.query("SELECT 1")).rejects.toMatchObject({
      code: "SOURCE_CONNECTION_LOST",
    });
  });

  test.for([
    {
      name: "a dropped table",
      sql: "DROP TABLE t",
      code: "SOURCE_SCHEMA_CHANGED",
    },
    {
      name: "a dropped column",
      sql: "ALTER TABLE t DROP COLUMN b",
      code: "SOURCE_SCHEMA_CHANGED",
    },
    {
      name: "a changed type",
      sql: "ALTER TABLE t ALTER a TYPE bigint",
      code: "SOURCE_SCHEMA_CHANGED",
    },
    {
      name: "a NULL where none was",
      sql: "ALTER TABLE t ALTER a DROP NOT NULL; INSERT INTO t VALUES (NULL, 'x')",
      code: "SOURCE_SCHEMA_CHANGED",
    },
    {
      name: "a predicate that fails",
      sql: "",
      where: "1 / (a - 1) > 0",
      code: "SOURCE_QUERY_FAILED",
    },
    {
      name: "a predicate that is no SQL",
      sql: "",
      where: "this is not SQL",
      code: "SOURCE_QUERY_FAILED",
    },
  ])(
    "$name after discovery is $code",
    async ({ sql, where, code }, { pg, connection }) => {
      await pg.query(
        "CREATE TABLE t (a int NOT NULL, b text); INSERT INTO t VALUES (1, 'x'), (2, 'y')",
      );
      const task = await makeTask(connection, "t", {
        filter: { where: where ?? null, cursor: null },
      });
      if (sql !== "") await pg.query(sql);
      await expect(readTask(connection, task)).rejects.toMatchObject({ code });
      expect(await connection.query("SELECT 1 AS one")).toEqual([{ one: 1 }]);
    },
  );
});
