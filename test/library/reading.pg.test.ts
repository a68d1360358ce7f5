/** Tables of a real Postgres, read by a program. */
import { setTimeout as sleep } from "node:timers/promises";
import { describe } from "vitest";
import { openSource, readTable } from "../../library/index.ts";
import { expect, test, type PostgresFixture } from "../fixtures/postgres.ts";

const ROWS = 30_000;

const createTables = ({ query }: PostgresFixture) =>
  query(`
    CREATE TABLE orders AS SELECT g AS id, (g * 0.25)::numeric(12, 2) AS amount, repeat('x', 500) AS note,
      CASE WHEN g % 3 = 0 THEN NULL ELSE timestamptz '2024-02-29 12:00:00.000001Z' END AS at,
      jsonb_build_object('n', g) AS doc
      FROM generate_series(1, ${ROWS}) AS g;
    ALTER TABLE orders ADD PRIMARY KEY (id);
    CREATE TABLE people AS SELECT g AS id, 'p' || g AS name FROM generate_series(1, 1000) AS g;
    CREATE TABLE parts (id int, day date) PARTITION BY RANGE (day);
    CREATE TABLE parts_1 PARTITION OF parts FOR VALUES FROM ('2024-01-01') TO ('2024-02-01');
    CREATE TABLE parts_2 PARTITION OF parts FOR VALUES FROM ('2024-02-01') TO ('2024-03-01');
    INSERT INTO parts SELECT g, date '2024-01-01' + g % 60 FROM generate_series(1, 600) AS g;
    CREATE VIEW rich AS SELECT id FROM orders WHERE amount > 7000;
    ANALYZE`);

/** Sessions of others in this database. */
const listSessions = ({ query }: PostgresFixture) =>
  query<{ state: string; wait: string | null }>(
    `SELECT state, wait_event AS wait FROM pg_stat_activity
     WHERE datname = current_database() AND pid <> pg_backend_pid() AND backend_type = 'client backend'`,
  );

async function count(rows: AsyncIterable<unknown>): Promise<number> {
  let counted = 0;
  for await (const _ of rows) counted += 1;
  return counted;
}

async function isGone(pg: PostgresFixture): Promise<boolean> {
  for (let tries = 0; tries < 400; tries += 1) {
    if ((await listSessions(pg)).length === 0) return true;
    await sleep(10);
  }
  return false;
}

test("rows have the types that they are said to have, and a condition narrows them", async ({
  pg,
}) => {
  await createTables(pg);
  interface Order {
    readonly id: number;
    readonly amount: string;
    readonly at: string | null;
    readonly doc: { readonly n: number };
  }
  const options = { where: "id <= 3", json: "parse" } as const;
  const found: Order[] = [];
  const columns = ["id", "amount", "at", "doc"];
  for await (const row of readTable<Order>(pg.url, "public.orders", {
    ...options,
    columns,
  }))
    found.push(row);
  const at = "2024-02-29T12:00:00.000001Z";
  expect(found.toSorted((a, b) => a.id - b.id)).toEqual([
    { id: 1, amount: "0.25", at, doc: { n: 1 } },
    { id: 2, amount: "0.50", at, doc: { n: 2 } },
    { id: 3, amount: "0.75", at: null, doc: { n: 3 } },
  ]);
  expect(await isGone(pg)).toBe(true);
});

test("many tables at once, partitioned ones whole, and views where they are named", async ({
  pg,
}) => {
  await createTables(pg);
  {
    await using source = await openSource(pg.url);
    expect(source.tables.map(({ name }) => name)).toEqual([
      ...["orders", "parts", "people"],
    ]);
    const counts = await Promise.all(
      source.tables.map(({ name }) => count(source.table(name))),
    );
    expect(counts).toEqual([ROWS, 600, 1000]);
  }
  expect(await count(readTable(pg.url, "rich"))).toBe(ROWS - 28_000);
  expect(await isGone(pg)).toBe(true);
});

test("all that an open source reads is of one moment, and no DDL empties a table meanwhile", async ({
  pg,
}) => {
  await createTables(pg);
  const source = await openSource(pg.url, { tables: ["orders", "people"] });
  await pg.query("DELETE FROM people; DELETE FROM orders WHERE id % 2 = 0");
  await expect(
    pg.query("SET lock_timeout = '100ms'; TRUNCATE people"),
  ).rejects.toThrow(/lock timeout/);
  expect(await count(source.table("people"))).toBe(1000);
  expect(await count(source.table("orders"))).toBe(ROWS);
  await source.close();
  await pg.query("TRUNCATE people");
  expect(await count(readTable(pg.url, "people"))).toBe(0);
  expect(await count(readTable(pg.url, "orders"))).toBe(ROWS / 2);
});

test("the server waits for whoever takes no rows", async ({ pg }) => {
  await createTables(pg);
  // more than the sockets and three batches hold
  await pg.query(
    "CREATE TABLE large AS SELECT g AS id, repeat(md5(g::text), 60) AS note FROM generate_series(1, 60000) AS g",
  );
  const rows = readTable(pg.url, "large")[Symbol.asyncIterator]();
  await rows.next();
  let isWaiting = false;
  for (let tries = 0; tries < 400 && !isWaiting; tries += 1) {
    await sleep(10);
    isWaiting = (await listSessions(pg)).some(
      ({ wait }) => wait === "ClientWrite",
    );
  }
  expect(isWaiting).toBe(true);
  await rows.return?.();
  expect(await isGone(pg)).toBe(true);
});

describe("who leaves early ends the query, and the connection serves the next", () => {
  test.for(["break", "throw", "signal"] as const)(
    "by %s",
    async (how, { pg }) => {
      await createTables(pg);
      await using source = await openSource(pg.url, { connections: 1 });
      const controller = new AbortController();
      const { signal } = controller;
      const leave = async (): Promise<void> => {
        for await (const _ of source.table("orders", { signal })) {
          if (how === "break") break;
          if (how === "throw") throw new Error("mine");
          controller.abort(new Error("enough"));
        }
      };
      if (how === "break") await leave();
      else
        await expect(leave()).rejects.toThrow(
          how === "throw" ? "mine" : "enough",
        );
      // the snapshot's and one more
      const sessions = await listSessions(pg);
      expect(sessions.length).toBeLessThanOrEqual(2);
      expect(sessions.filter(({ state }) => state === "active")).toEqual([]);
      expect(await count(source.table("people"))).toBe(1000);
      await source.close();
      expect(await isGone(pg)).toBe(true);
    },
  );
});

describe("what the server refuses is an error with its words", () => {
  test("a condition that is none, and the source goes on", async ({ pg }) => {
    await createTables(pg);
    await using source = await openSource(pg.url, { connections: 1 });
    await expect(
      count(source.table("orders", { where: "nonsense(" })),
    ).rejects.toMatchObject({ code: "SOURCE_QUERY_FAILED" });
    expect(await count(source.table("people"))).toBe(1000);
  });

  test("a value that cannot be, or NULL and told of", async ({ pg }) => {
    await pg.query(
      "CREATE TABLE odd AS SELECT 1 AS id, timestamp 'infinity' AS at",
    );
    await expect(count(readTable(pg.url, "odd"))).rejects.toMatchObject({
      code: "SOURCE_VALUE_UNREPRESENTABLE",
    });
    const nulled: string[] = [];
    const rows: unknown[] = [];
    for await (const row of readTable(pg.url, "odd", {
      unrepresentable: "null",
      onValueNulled: (column) => nulled.push(column),
    }))
      rows.push(row);
    expect(rows).toEqual([{ id: 1, at: null }]);
    expect(nulled).toEqual(["at"]);
  });

  test("a connection that is ended under a reading, and under the snapshot", async ({
    pg,
  }) => {
    await createTables(pg);
    await using source = await openSource(pg.url);
    const rows = source.table("orders").batches()[Symbol.asyncIterator]();
    await rows.next();
    await pg.query(
      `SELECT pg_terminate_backend(pid) FROM pg_stat_activity
       WHERE datname = current_database() AND pid <> pg_backend_pid()`,
    );
    await expect(
      (async () => {
        for (;;) if ((await rows.next()).done) return;
      })(),
    ).rejects.toMatchObject({
      code: expect.stringMatching(/^SOURCE_(CONNECTION|SNAPSHOT)_LOST$/),
    });
  });
});
