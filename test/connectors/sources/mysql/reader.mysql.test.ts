import { setTimeout as sleep } from "node:timers/promises";
import type { Position } from "../../../../proto/partition.ts";
import { startRead } from "../../../../connectors/sources/mysql/reader.ts";
import {
  buildReadQuery,
  selectFields,
} from "../../../../connectors/sources/mysql/read-query.ts";
import { describe, expect, flavours } from "../../../fixtures/mysql.ts";
import { testWithConnection } from "./support/connected.ts";
import {
  KeepingSink,
  makeTask,
  readTask,
  type TaskOptions,
} from "./support/tasks.ts";

type Query = (sql: string) => Promise<unknown>;

/** SQL of a table `name` of the whole numbers from 0 to 99,999, as `n`. */
const numbers = `(WITH RECURSIVE d AS (SELECT 0 AS n UNION ALL SELECT n + 1 FROM d WHERE n < 9)
  SELECT a.n + 10 * b.n + 100 * c.n + 1000 * e.n + 10000 * f.n AS n FROM d a, d b, d c, d e, d f) AS numbers`;

/** `heavy`: about 70 MB, more than the buffers between a server and a reader hold. */
const heavy = `CREATE TABLE heavy (n int, t text); INSERT INTO heavy SELECT n, REPEAT(MD5(n), 21) FROM ${numbers}`;

/** `orders`: about 60,000 rows, with gaps where rows were deleted. */
async function createOrders(query: Query): Promise<void> {
  await query(`
    CREATE TABLE orders (id bigint PRIMARY KEY, amount decimal(12,2) NOT NULL, placed datetime(6), note text);
    INSERT INTO orders SELECT n * 3, n * 1.37 - 1000, IF(n % 5 > 0, '1969-12-25' + INTERVAL n * 1000250 MICROSECOND, NULL),
      IF(n % 3 > 0, REPEAT('n', n % 90), NULL) FROM ${numbers} WHERE n BETWEEN 1 AND 70000;
    DELETE FROM orders WHERE id % 7 = 0; ANALYZE TABLE orders`);
}

const ordersDigest = `
  SELECT count(*) AS count, CAST(sum(id) AS CHAR) AS ids, CAST(CAST(sum(amount) * 100 AS SIGNED) AS CHAR) AS cents,
    CAST(sum(TIMESTAMPDIFF(MICROSECOND, '1970-01-01', placed)) AS CHAR) AS us, count(placed) AS placed,
    CAST(sum(length(note)) AS SIGNED) AS chars, count(note) AS notes FROM orders`;

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

/** `pairs`: a key of two columns, the second a text whose case does not matter. */
async function createPairs(query: Query): Promise<void> {
  await query(`
    CREATE TABLE pairs (a int, b varchar(20) COLLATE utf8mb4_general_ci, n int NOT NULL, PRIMARY KEY (a, b));
    INSERT INTO pairs SELECT n DIV 300, CONCAT(IF(n % 2 = 0, 'k', 'K'), n % 300), n FROM ${numbers} WHERE n < 30000;
    ANALYZE TABLE pairs`);
}

describe.each(flavours)("%s", (flavour) => {
  const test = testWithConnection(flavour);

  describe("splits", () => {
    test.for<{
      name: string;
      options: TaskOptions;
      decoder: "generated" | "interpreted" | "adaptive";
    }>([
      { name: "whole, generated", options: {}, decoder: "generated" },
      { name: "whole, interpreted", options: {}, decoder: "interpreted" },
      { name: "by key", options: { key: ["id"] }, decoder: "adaptive" },
    ])(
      "counts and sums are the server's: $name",
      async ({ options, decoder }, { server, connection }) => {
        await createOrders(server.query);
        const task = await makeTask(connection, "orders", options);
        const { sink, result } = await readTask(connection, task, { decoder });
        expect(result).toEqual({ outcome: "end", rows: sink.rows.length });
        expect([digestOrders(sink.rows)]).toEqual(
          await server.query(ordersDigest),
        );
        expect(sink.checkpoints).toEqual([
          { position: null, last: true, rows: sink.rows.length },
        ]);
      },
    );

    test("ranges that touch give each row once", async ({
      server,
      connection,
    }) => {
      await createOrders(server.query);
      await createPairs(server.query);
      const orders: unknown[][] = [];
      const cuts = [null, ["50001"], ["100003"], null];
      for (let i = 0; i < 3; i++) {
        const task = await makeTask(connection, "orders", {
          key: ["id"],
          start: cuts[i] ?? null,
          end: cuts[i + 1] ?? null,
        });
        orders.push(...(await readTask(connection, task)).sink.rows);
      }
      expect([digestOrders(orders)]).toEqual(await server.query(ordersDigest));
      const pairs: unknown[] = [];
      const bounds = [null, ["17", "K150"], ["17", "k2"], ["60", ""], null];
      for (let i = 0; i < 4; i++) {
        const task = await makeTask(connection, "pairs", {
          key: ["a", "b"],
          start: bounds[i] ?? null,
          end: bounds[i + 1] ?? null,
        });
        const { sink } = await readTask(connection, task);
        expect(sink.rows.length).toBeGreaterThan(0);
        pairs.push(...sink.rows.map(([, , n]) => n));
      }
      expect(pairs.toSorted((x, y) => Number(x) - Number(y))).toEqual(
        Array.from({ length: 30_000 }, (_, n) => n),
      );
    });

    test("a range of a key is a range of its index, in its order, without a sort", async ({
      server,
      connection,
    }) => {
      await createPairs(server.query);
      const task = await makeTask(connection, "pairs", {
        key: ["a", "b"],
        start: ["17", "k150"],
        end: ["19", "k7"],
      });
      for (const resumeAfter of [
        null,
        { kind: "key", after: ["18", "k3"] } as const,
      ]) {
        const sql = buildReadQuery(
          { ...task, resumeAfter },
          selectFields(task),
          true,
        );
        const [plan] = await connection.query<{
          type: string;
          key: string;
          rows: number;
          Extra: string | null;
        }>(`EXPLAIN ${sql}`);
        expect(plan).toMatchObject({ type: "range", key: "PRIMARY" });
        expect(plan?.Extra ?? "").not.toMatch(/filesort|temporary/);
        // 600 rows are in it, of 30,000
        expect(Number(plan?.rows)).toBeLessThan(1_500);
      }
    });

    test("a predicate and a cursor window keep to their rows", async ({
      server,
      connection,
    }) => {
      await createOrders(server.query);
      const cursor = { column: "id", type: "bigint", from: "300", to: "900" };
      const read = async (options: TaskOptions): Promise<number> =>
        (
          await readTask(
            connection,
            await makeTask(connection, "orders", options),
          )
        ).result.rows;
      const [expected] = await server.query(
        `SELECT sum(id > 300 AND id <= 900) + 0e0 AS a,
          sum(id > 300 AND id <= 900 AND (note IS NULL OR id < 400)) + 0e0 AS b FROM orders`,
      );
      expect(await read({ filter: { where: null, cursor } })).toBe(expected.a);
      expect(
        await read({
          filter: { where: "note IS NULL OR id < 400 -- words ?", cursor },
          key: ["id"],
        }),
      ).toBe(expected.b);
      expect(
        await read({
          filter: { where: null, cursor: { ...cursor, to: null } },
        }),
      ).toBe(0);
    });

    test("rows that come again are dropped by their names", async ({
      server,
      connection,
    }) => {
      await createOrders(server.query);
      const dropRepeats = {
        upTo: "600",
        names: ["MD5(`id`)"],
        // of 303, and of 900, which is above the window's overlap
        known: JSON.stringify({
          "11b9842e0a271ff252c1903e7132cd68": 1,
          "24146db4eb48c718b84cae0a0799dcfc": 1,
        }),
      };
      const cursor = {
        column: "id",
        type: "bigint",
        from: "300",
        to: "900",
        dropRepeats,
      };
      const task = await makeTask(connection, "orders", {
        filter: { where: null, cursor },
      });
      const { sink } = await readTask(connection, task);
      const ids = sink.rows.map(([id]) => id);
      expect(ids).not.toContain(303n);
      expect(ids).toContain(900n);
      const [{ n }] = await server.query(
        "SELECT count(*) AS n FROM orders WHERE id > 300 AND id <= 900",
      );
      expect(ids).toHaveLength(n - 1);
    });

    test("a table without rows, and names that need quoting", async ({
      server,
      connection,
    }) => {
      await server.query(
        "CREATE TABLE `we``ird t` (`a b` int PRIMARY KEY, `c``d` text); INSERT INTO `we``ird t` VALUES (1, 'x'); CREATE TABLE nothing (a int, b text)",
      );
      const empty = await readTask(
        connection,
        await makeTask(connection, "nothing"),
      );
      expect(empty.result).toEqual({ outcome: "end", rows: 0 });
      expect(empty.sink.checkpoints).toHaveLength(1);
      const quoted = await readTask(
        connection,
        await makeTask(connection, "we`ird t", { key: ["a b"] }),
      );
      expect(quoted.sink.rows).toEqual([[1, "x"]]);
    });
  });

  describe("checkpoints", () => {
    test.for<{ table: string; key: readonly string[] }>([
      { table: "orders", key: ["id"] },
      { table: "pairs", key: ["a", "b"] },
    ])(
      "a read stopped again and again loses and doubles nothing, under one snapshot: $table",
      async ({ table, key }, { server, connection }) => {
        await (table === "orders" ? createOrders : createPairs)(server.query);
        await connection.query(
          "SET TRANSACTION ISOLATION LEVEL REPEATABLE READ",
        );
        await connection.query("START TRANSACTION WITH CONSISTENT SNAPSHOT");
        const seen = await connection.query(
          table === "orders"
            ? ordersDigest
            : "SELECT a, b FROM pairs ORDER BY a, b",
        );
        await server.query(`DELETE FROM ${table} LIMIT 1000`);
        const rows: unknown[][] = [];
        let resumeAfter: Position | null = null;
        let stops = 0;
        for (;;) {
          const task = await makeTask(connection, table, { key, resumeAfter });
          const { sink, result } = await readTask(
            connection,
            task,
            {},
            (read, kept) => {
              kept.onBatch = async () => {
                read.stop();
                await sleep(5); // so that the server is well ahead when the statement is cancelled
              };
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
        expect(stops).toBeGreaterThan(0);
        if (table === "orders") expect([digestOrders(rows)]).toEqual(seen);
        else expect(rows.map(([a, b]) => ({ a, b }))).toEqual(seen);
      },
    );

    test("a checkpoint inside a read stands behind exactly the rows given", async ({
      server,
      connection,
    }) => {
      await createOrders(server.query);
      const task = await makeTask(connection, "orders", { key: ["id"] });
      const { sink } = await readTask(connection, task, {}, (read, kept) => {
        kept.onBatch = () => read.requestCheckpoint();
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
      server,
      connection,
    }) => {
      await createPairs(server.query);
      const options = { key: ["a", "b"], columns: ["n"] };
      const task = await makeTask(connection, "pairs", options);
      const { sink, result } = await readTask(
        connection,
        task,
        {},
        (read, kept) => (kept.onBatch = () => read.stop()),
      );
      expect(result.outcome).toBe("stopped");
      expect(sink.rows[0]).toHaveLength(1);
      const rest = await readTask(connection, {
        ...task,
        resumeAfter: sink.checkpoints[0]?.position ?? null,
      });
      expect(sink.rows.length + rest.sink.rows.length).toBe(30_000);
    });

    test("a stop where no checkpoint is allowed is a retry", async ({
      server,
      connection,
    }) => {
      await createOrders(server.query);
      const task = await makeTask(connection, "orders");
      await expect(
        readTask(connection, task, {}, (read) => read.stop()),
      ).rejects.toMatchObject({ code: "SOURCE_CONNECTION_LOST" });
      expect(await connection.query("SELECT 1 AS one")).toEqual([{ one: 1 }]);
    });
  });

  describe("shapes", () => {
    test("rows larger than any buffer and than a packet, between small ones", async ({
      server,
      connection,
    }) => {
      // of two columns, since no value may pass max_allowed_packet; with 14 bytes more they fill one packet exactly
      const sizes = [
        262_130, 300_000, 16_777_200, 16_777_201, 16_777_202, 20_000_000,
      ];
      await server.query(
        `CREATE TABLE big (id int PRIMARY KEY, a longtext NOT NULL, b longtext NOT NULL);
         INSERT INTO big SELECT n, CONCAT('small', n), '' FROM ${numbers} WHERE n < 1000`,
      );
      const letters = "abcdef";
      for (const [index, size] of sizes.entries()) {
        const half = Math.floor(size / 2);
        const letter = letters.charAt(index);
        await server.query(
          `UPDATE big SET a = REPEAT('${letter}', ${half}), b = REPEAT('${letter}', ${size - half}) WHERE id = ${500 + index}`,
        );
      }
      for (const decoder of ["generated", "interpreted"] as const) {
        const task = await makeTask(connection, "big", { key: ["id"] });
        const { sink } = await readTask(connection, task, { decoder });
        expect(sink.rows).toHaveLength(1000);
        for (const [id, a, b] of sink.rows) {
          const index = Number(id) - 500;
          const size = sizes[index];
          const expected =
            size === undefined
              ? `small${Number(id)}`
              : letters.charAt(index).repeat(size);
          expect(String(a) + String(b) === expected).toBe(true);
        }
      }
      for (const rowBytesMax of [250_000, 17_000_000]) {
        const task = await makeTask(connection, "big", { rowBytesMax });
        await expect(readTask(connection, task)).rejects.toMatchObject({
          code: "SOURCE_ROW_TOO_LARGE",
        });
        expect(await connection.query("SELECT 1 AS one")).toEqual([{ one: 1 }]);
      }
    });

    test("1,000 columns", async ({ server, connection }) => {
      const names = Array.from(
        { length: 1_000 },
        (_, i) => `c${i} ${["int", "tinyint(1)", "date", "smallint"][i % 4]}`,
      );
      await server.query(`CREATE TABLE wide (${names.join(", ")})`);
      await server.query(
        `INSERT INTO wide (c0, c1, c2, c3, c999) SELECT n, n % 2 = 0, '1970-01-01' + INTERVAL n DAY, n, -n FROM ${numbers} WHERE n < 3000`,
      );
      const { sink } = await readTask(
        connection,
        await makeTask(connection, "wide"),
      );
      expect(sink.rows).toHaveLength(3_000);
      for (const row of sink.rows) {
        const i = Number(row[0]);
        expect(row.slice(0, 5)).toEqual([i, i % 2 === 0, i, i, null]);
        expect(row[999]).toBe(0 - i);
      }
    });

    test("many small tables share a connection and its transaction", async ({
      server,
      connection,
    }) => {
      for (let i = 0; i < 30; i++) {
        await server.query(
          `CREATE TABLE s${i} (id int, t varchar(9)); INSERT INTO s${i} SELECT n, CONCAT('r', n) FROM ${numbers} WHERE n < ${i}`,
        );
      }
      await connection.query("START TRANSACTION WITH CONSISTENT SNAPSHOT");
      for (let i = 0; i < 30; i++) {
        const { result } = await readTask(
          connection,
          await makeTask(connection, `s${i}`),
        );
        expect(result.rows).toBe(i);
      }
      // a statement that is read is not kept prepared
      const [left] = await connection.query<{ Value: string }>(
        "SHOW SESSION STATUS LIKE 'Com_stmt_close'",
      );
      expect(Number(left?.Value)).toBeGreaterThanOrEqual(30);
    });

    test("invisible columns are read", async ({ server, connection, skip }) => {
      if (flavour === "mysql" && server.serverVersion < 80_023) {
        skip("MySQL has them since 8.0.23");
      }
      await server.query(
        "CREATE TABLE t (a int, b int INVISIBLE); INSERT INTO t (a, b) VALUES (1, 2)",
      );
      const { sink } = await readTask(
        connection,
        await makeTask(connection, "t"),
      );
      expect(sink.rows).toEqual([[1, 2]]);
    });
  });

  describe("backpressure", () => {
    test("a slow sink holds the server back, and memory stays", async ({
      server,
      connection,
    }) => {
      await server.query(heavy);
      const task = await makeTask(connection, "heavy");
      const sink = new KeepingSink(task);
      const gate = Promise.withResolvers<void>();
      let open = 0;
      let openMax = 0;
      sink.onBatch = async () => {
        openMax = Math.max(openMax, ++open);
        await gate.promise;
        open--;
        sink.rows.length = 0;
      };
      const read = startRead(connection, task, sink);
      // the server has not read the table while its packets have nowhere to go
      const state = async (): Promise<string> => {
        const rows = await server.query(
          `SELECT STATE AS state FROM information_schema.PROCESSLIST WHERE ID = ${connection.threadId}`,
        );
        return String(rows[0]?.state);
      };
      while (!/sending|writing/i.test(await state()) || open < 3)
        await sleep(5);
      expect(openMax).toBe(3);
      gate.resolve();
      expect(await read.done).toEqual({ outcome: "end", rows: 100_000 });
      expect(openMax).toBeLessThanOrEqual(3);
    });
  });

  describe("failures", () => {
    test("a cancelled read ends with its reason, and no later statement is hit", async ({
      server,
      connection,
    }) => {
      await createOrders(server.query);
      const task = await makeTask(connection, "orders");
      for (let i = 0; i < 20; i++) {
        const sink = new KeepingSink(task);
        const read = startRead(connection, task, sink);
        if (i % 2 === 0) sink.onBatch = () => read.cancel(new Error("enough"));
        else read.cancel(new Error("enough"));
        await expect(read.done).rejects.toThrow("enough");
        const batches = sink.batchRows.length;
        expect(await connection.query("SELECT 1 AS one")).toEqual([{ one: 1 }]);
        expect(sink.batchRows).toHaveLength(batches);
      }
      expect((await readTask(connection, task)).result.outcome).toBe("end");
    });

    test("a sink that fails ends the read", async ({ server, connection }) => {
      await createOrders(server.query);
      const task = await makeTask(connection, "orders");
      await expect(
        readTask(connection, task, {}, (_, sink) => {
          sink.onBatch = () => {
            throw new Error("full");
          };
        }),
      ).rejects.toThrow("full");
      expect(await connection.query("SELECT 1 AS one")).toEqual([{ one: 1 }]);
    });

    test("a lost connection is told, and is retryable", async ({
      server,
      connection,
    }) => {
      await server.query(heavy);
      const task = await makeTask(connection, "heavy");
      const sink = new KeepingSink(task);
      sink.onBatch = async () => {
        await server.query(`KILL ${connection.threadId}`).catch(() => {});
      };
      await expect(
        startRead(connection, task, sink).done,
      ).rejects.toMatchObject({ code: "SOURCE_CONNECTION_LOST" });
      expect(connection.usable).toBe(false);
      await expect(connection.query("SELECT 1")).rejects.toMatchObject({
        code: "SOURCE_CONNECTION_LOST",
      });
    });

    test.for([
      { name: "a type", change: "MODIFY note blob" },
      { name: "a sign", change: "MODIFY id bigint unsigned" },
      { name: "a scale", change: "MODIFY amount decimal(12,3)" },
      { name: "a name", change: "CHANGE note remark text" },
      { name: "a column less", change: "DROP COLUMN placed" },
    ])(
      "$name that changed since discovery",
      async ({ change }, { server, connection }) => {
        await server.query(
          "CREATE TABLE orders (id bigint PRIMARY KEY, amount decimal(12,2), placed datetime, note text); INSERT INTO orders VALUES (1, 2, NULL, 'x')",
        );
        const task = await makeTask(connection, "orders");
        await server.query(`ALTER TABLE orders ${change}`);
        await expect(readTask(connection, task)).rejects.toMatchObject({
          code: "SOURCE_SCHEMA_CHANGED",
        });
        expect(await connection.query("SELECT 1 AS one")).toEqual([{ one: 1 }]);
      },
    );

    test("a condition that the server refuses, and one with a parameter", async ({
      server,
      connection,
    }) => {
      await server.query("CREATE TABLE t (a int)");
      for (const where of ["a ===", "a = ?"]) {
        const task = await makeTask(connection, "t", {
          filter: { where, cursor: null },
        });
        await expect(readTask(connection, task)).rejects.toMatchObject({
          code: "SOURCE_QUERY_FAILED",
        });
        expect(await connection.query("SELECT 1 AS one")).toEqual([{ one: 1 }]);
      }
    });

    test("text that is not UTF-8 is refused", async ({
      server,
      connection,
    }) => {
      await server.query(
        `CREATE TABLE t (a blob); INSERT INTO t VALUES (x'61ff62')`,
      );
      const task = await makeTask(connection, "t");
      const [column] = task.stream.columns;
      const asText = {
        ...task,
        stream: {
          ...task.stream,
          columns: [{ ...column, dataType: "geohash" }],
          schema: {
            ...task.stream.schema,
            columns: [
              { ...task.stream.schema.columns[0], type: { kind: "text" } },
            ],
          },
        },
      } as unknown as typeof task;
      await expect(readTask(connection, asText)).rejects.toMatchObject({
        code: "SOURCE_VALUE_UNREPRESENTABLE",
      });
    });
  });
});
