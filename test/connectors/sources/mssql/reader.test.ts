import type { MssqlStream } from "../../../../connectors/sources/mssql/stream.ts";
import { startRead } from "../../../../connectors/sources/mssql/reader.ts";
import type { Position } from "../../../../proto/partition.ts";
import { describe, expect, test } from "../../../fixtures/sqlserver.ts";
import {
  discoverTable,
  keepAll,
  keySplit,
  makeTask,
  readAll,
  withConnection,
} from "./support/tasks.ts";

/** Answers come in many pieces, so that what is asked for between two of them is seen. */
const small = test.extend({ sqlserverOptions: { packetBytes: 256 } });

const employees = `
  CREATE TABLE dbo.Employees (Id int NOT NULL PRIMARY KEY NONCLUSTERED, HireDate date NULL, Name nvarchar(40) NOT NULL);
  CREATE CLUSTERED INDEX ByHireDate ON Employees (HireDate)`;

/** A table value constructor takes no more rows. */
const INSERTED_MAX = 1_000;

/** Rows of Employees: `perDay` on each of `days` days, and `nulls` without a day, in no order. */
function insertEmployees(
  days: number,
  perDay: number,
  nulls: number,
): string[] {
  const rows: string[] = [];
  for (let id = 0; id < days * perDay; id++) {
    const day = String(1 + ((id * 7) % days)).padStart(2, "0");
    rows.push(
      `(${id}, '2020-01-${day}', N'employee ${id}, whose name is long')`,
    );
  }
  for (let i = 0; i < nulls; i++) rows.push(`(${-1 - i}, NULL, N'null ${i}')`);
  const statements: string[] = [];
  for (let at = 0; at < rows.length; at += INSERTED_MAX) {
    const part = rows.slice(at, at + INSERTED_MAX).join(", ");
    statements.push(
      `INSERT INTO dbo.Employees (Id, HireDate, Name) VALUES ${part}`,
    );
  }
  return statements;
}

function ids(rows: readonly (readonly unknown[])[]): number[] {
  return rows.map((row) => Number(row[0])).sort((a, b) => a - b);
}

describe("a clustered index that is not the primary key", () => {
  test("its ranges are sought and ordered by it", async ({ sqlserver }) => {
    await sqlserver.run(employees, ...insertEmployees(20, 3, 2));
    await withConnection(sqlserver.url, async (connection) => {
      const stream = await discoverTable(connection, "dbo.Employees");
      const task = makeTask(stream, {
        split: keySplit(stream, ["2020-01-05"], ["2020-01-08"]),
      });
      const { rows, result } = await readAll(connection, task);
      expect(result).toEqual({ outcome: "end", rows: 9 });
      const days = rows.map((row) => Number(row[1]));
      expect(days).toEqual(days.toSorted((a, b) => a - b));
      expect(new Set(days)).toEqual(new Set([18266, 18267, 18268]));
      const statement = sqlserver.server?.statements.findLast(({ sql }) =>
        sql.includes("ORDER BY"),
      );
      if (statement) {
        expect(statement.sql).toContain(
          "WHERE t.[HireDate] >= CONVERT(date, @p1, 23) AND t.[HireDate] < CONVERT(date, @p2, 23) ORDER BY t.[HireDate]",
        );
      }
    });
  });

  test("rows without a key are the first range's, and no other's", async ({
    sqlserver,
  }) => {
    await sqlserver.run(employees, ...insertEmployees(20, 2, 5));
    await withConnection(sqlserver.url, async (connection) => {
      const stream = await discoverTable(connection, "dbo.Employees");
      const read = async (
        start: string | null,
        end: string | null,
      ): Promise<number[]> => {
        const split = keySplit(
          stream,
          start === null ? null : [start],
          end === null ? null : [end],
        );
        const { rows } = await readAll(connection, makeTask(stream, { split }));
        return ids(rows);
      };
      const first = await read(null, "2020-01-03");
      const middle = await read("2020-01-03", "2020-01-15");
      const last = await read("2020-01-15", null);
      expect(first.filter((id) => id < 0)).toEqual([-5, -4, -3, -2, -1]);
      expect([...middle, ...last].every((id) => id >= 0)).toBe(true);
      expect([...first, ...middle, ...last].toSorted((a, b) => a - b)).toEqual(
        await read(null, null),
      );
    });
  });

  small(
    "a checkpoint waits for a change of key, and what lies behind it completes the read",
    async ({ sqlserver }) => {
      await sqlserver.run(employees, ...insertEmployees(20, 100, 7));
      await withConnection(sqlserver.url, async (connection) => {
        const stream = await discoverTable(connection, "dbo.Employees");
        const split = keySplit(stream);
        const task = makeTask(stream, { split, estimatedRows: 1 });
        const { kept, sink } = keepAll(stream);
        const read = startRead(connection, task, {
          ...sink,
          // one is asked for as soon as another was given
          async checkpoint(position, last) {
            await sink.checkpoint(position, last);
            read.requestCheckpoint();
          },
        });
        read.requestCheckpoint();
        await read.done;
        const all = ids(kept.rows);
        expect(all.length).toBe(2_007);
        const inner = kept.checkpoints.filter(({ last }) => !last);
        expect(inner.length).toBeGreaterThan(1);
        for (const { position, rows } of inner) {
          // the key changes exactly here
          expect(kept.rows[rows - 1]?.[1]).not.toEqual(kept.rows[rows]?.[1]);
          expect(kept.rows[rows - 1]?.[1]).not.toBeNull();
          const rest = await readAll(
            connection,
            makeTask(stream, { split, resumeAfter: position }),
          );
          expect(ids([...kept.rows.slice(0, rows), ...rest.rows])).toEqual(all);
        }
      });
    },
  );

  test("stop() ends the read in front of another key", async ({
    sqlserver,
  }) => {
    await sqlserver.run(employees, ...insertEmployees(10, 50, 0));
    await withConnection(sqlserver.url, async (connection) => {
      const stream = await discoverTable(connection, "dbo.Employees");
      const split = keySplit(stream);
      const first = await readAll(connection, makeTask(stream, { split }), {
        onStart: (read) => setImmediate(() => read.stop()),
      });
      const position = first.checkpoints.at(-1)?.position ?? null;
      const rest = await readAll(
        connection,
        makeTask(stream, { split, resumeAfter: position }),
      );
      expect(ids([...first.rows, ...rest.rows])).toEqual(
        Array.from({ length: 500 }, (_, i) => i),
      );
    });
  });
});

describe("a unique key", () => {
  test("a read goes on behind any checkpoint, on a composite key of several types", async ({
    sqlserver,
  }) => {
    await sqlserver.run(
      `CREATE TABLE dbo.Lines (Region nvarchar(10) NOT NULL, Sold datetime NOT NULL, Id bigint NOT NULL, Amount decimal(12,2) NULL,
        CONSTRAINT PK_Lines PRIMARY KEY CLUSTERED (Region, Sold, Id))`,
      `INSERT INTO dbo.Lines (Region, Sold, Id, Amount) VALUES ${Array.from(
        { length: 300 },
        (_, i) =>
          `(N'${["a", "B", "ß", "Ü"][i % 4]}', '2020-01-0${1 + (i % 5)} 10:00:00.${String((i % 3) * 3).padStart(3, "0")}', ${i}, ${i}.25)`,
      ).join(", ")}`,
    );
    await withConnection(sqlserver.url, async (connection) => {
      const stream = await discoverTable(connection, "dbo.Lines");
      const split = keySplit(stream);
      const { kept, sink } = keepAll(stream);
      const read = startRead(
        connection,
        makeTask(stream, { split, estimatedRows: 1 }),
        {
          ...sink,
          async batch(batch) {
            await sink.batch(batch);
            read.requestCheckpoint();
          },
        },
      );
      read.requestCheckpoint();
      await read.done;
      const all = kept.rows.map((row) => String(row[2])).toSorted();
      expect(all.length).toBe(300);
      for (const at of [1, 77, 150, 299]) {
        const row = kept.rows[at - 1];
        const after = await positionOf(connection, stream, row?.[2]);
        const rest = await readAll(
          connection,
          makeTask(stream, { split, resumeAfter: after }),
        );
        expect(
          [...kept.rows.slice(0, at), ...rest.rows]
            .map((one) => String(one[2]))
            .toSorted(),
        ).toEqual(all);
      }
    });
  });

  async function positionOf(
    connection: Parameters<typeof readAll>[0],
    stream: MssqlStream,
    id: unknown,
  ): Promise<Position | null> {
    const { checkpoints } = await readAll(
      connection,
      makeTask(stream, {
        split: keySplit(stream),
        filter: { where: `Id = ${String(id)}`, cursor: null },
      }),
      { onStart: (read) => read.requestCheckpoint() },
    );
    const found = checkpoints.find(({ last }) => !last);
    return found?.position ?? null;
  }

  test("a key that the stream leaves out is read for its positions all the same", async ({
    sqlserver,
  }) => {
    await sqlserver.run(
      "CREATE TABLE dbo.T (K varbinary(8) NOT NULL PRIMARY KEY, V int NULL)",
      "INSERT INTO dbo.T VALUES (0x01, 1), (0x0203, 2), (0xFF, 3)",
    );
    await withConnection(sqlserver.url, async (connection) => {
      const stream = await discoverTable(connection, "dbo.T", ["V"]);
      const split = keySplit(stream);
      const { checkpoints, rows } = await readAll(
        connection,
        makeTask(stream, { split }),
        { onStart: (read) => read.requestCheckpoint() },
      );
      expect(rows).toEqual([[1], [2], [3]]);
      const [inner] = checkpoints;
      expect(inner?.position).toEqual({ kind: "key", after: ["0xFF"] });
      const rest = await readAll(
        connection,
        makeTask(stream, {
          split,
          resumeAfter: { kind: "key", after: ["0x0203"] },
        }),
      );
      expect(rest.rows).toEqual([[3]]);
    });
  });
});

describe("the flow", () => {
  const numbers = `CREATE TABLE dbo.N (Id int NOT NULL PRIMARY KEY, T nvarchar(200) NOT NULL)`;
  const rows = function* (count: number): Generator<[number, string]> {
    for (let i = 0; i < count; i++) yield [i, `text ${i} `.repeat(8)];
  };

  test("a sink that is slow makes the server wait", async ({ sqlserver }) => {
    const { server } = sqlserver;
    if (server === null) return;
    await sqlserver.run(numbers);
    await server.load("dbo.N", rows(60_000));
    await withConnection(sqlserver.url, async (connection) => {
      const stream = await discoverTable(connection, "dbo.N");
      const held = Promise.withResolvers<void>();
      let given = 0;
      const { sink, kept } = keepAll(stream);
      const read = startRead(
        connection,
        makeTask(stream, { estimatedRows: 1_000 }),
        {
          ...sink,
          async batch(batch) {
            await sink.batch(batch);
            given += 1;
            await held.promise;
          },
        },
      );
      // three batches are all there are; no fourth comes whatever the time
      while (given < 3) await new Promise((resolve) => setTimeout(resolve, 5));
      for (let turn = 0; turn < 50; turn++) {
        await new Promise((resolve) => setImmediate(resolve));
      }
      expect(given).toBe(3);
      held.resolve();
      expect(await read.done).toEqual({ outcome: "end", rows: 60_000 });
      expect(ids(kept.rows)).toEqual(
        Array.from({ length: 60_000 }, (_, i) => i),
      );
    });
  });

  test("a cancelled read leaves a connection that can be used, inside of its transaction", async ({
    sqlserver,
  }) => {
    const { server } = sqlserver;
    if (server === null) return;
    await sqlserver.run(numbers);
    await server.load("dbo.N", rows(30_000));
    await withConnection(sqlserver.url, async (connection) => {
      await connection.beginSnapshot({
        id: JSON.stringify({ kind: "snapshot", touch: "[dbo].[N]" }),
        visible: "x",
      });
      const stream = await discoverTable(connection, "dbo.N");
      for (const when of ["before", "inside"] as const) {
        const reason = new Error("enough");
        const on = /FROM \[dbo\]\.\[N\] AS t OPTION/;
        if (when === "before") server.fault({ on, kind: "stall" });
        const read = readAll(connection, makeTask(stream), {
          onStart: (started) => {
            if (when === "before") {
              void server.waitFor(on).then(() => started.cancel(reason));
            }
          },
          onBatch: (_, started) => {
            if (when === "inside") started.cancel(reason);
          },
        });
        await expect(read).rejects.toBe(reason);
        const [row] = await connection.query<{ open: number }>(
          "SELECT @@TRANCOUNT AS [open]",
        );
        expect(Number(row?.open)).toBe(1);
      }
      const whole = await readAll(connection, makeTask(stream));
      expect(whole.result.rows).toBe(30_000);
    });
  });

  test("a sink's failure is the read's", async ({ sqlserver }) => {
    await sqlserver.run(numbers, "INSERT INTO dbo.N VALUES (1, N'a')");
    await withConnection(sqlserver.url, async (connection) => {
      const stream = await discoverTable(connection, "dbo.N");
      const fault = new Error("no space");
      await expect(
        readAll(connection, makeTask(stream), {
          onBatch: () => Promise.reject(fault),
        }),
      ).rejects.toBe(fault);
      expect((await readAll(connection, makeTask(stream))).rows.length).toBe(1);
    });
  });

  test.for(["drop", "reset"] as const)(
    "a connection that ends (%s) is lost, and the rows before it were given in order",
    async (kind, { sqlserver }) => {
      const { server } = sqlserver;
      if (server === null) return;
      await sqlserver.run(numbers);
      await server.load("dbo.N", rows(5_000));
      await withConnection(sqlserver.url, async (connection) => {
        const stream = await discoverTable(connection, "dbo.N");
        server.fault({
          on: /FROM \[dbo\]\.\[N\] AS t OPTION/,
          kind,
          afterRows: 3_000,
        });
        await expect(
          readAll(connection, makeTask(stream)),
        ).rejects.toMatchObject({
          code: "SOURCE_CONNECTION_LOST",
        });
        expect(connection.usable).toBe(false);
      });
    },
  );

  test("an error among the rows is told in the server's words", async ({
    sqlserver,
  }) => {
    const { server } = sqlserver;
    if (server === null) return;
    await sqlserver.run(numbers);
    await server.load("dbo.N", rows(5_000));
    await withConnection(sqlserver.url, async (connection) => {
      const stream = await discoverTable(connection, "dbo.N");
      server.fault({
        on: /FROM \[dbo\]\.\[N\] AS t OPTION/,
        kind: "error",
        afterRows: 2_000,
        error: {
          number: 3961,
          class: 16,
          state: 1,
          message: "Snapshot isolation transaction failed",
        },
      });
      await expect(readAll(connection, makeTask(stream))).rejects.toMatchObject(
        {
          code: "SOURCE_SCHEMA_CHANGED",
          details: { table: "dbo.N", sqlError: 3961 },
        },
      );
      expect((await readAll(connection, makeTask(stream))).rows.length).toBe(
        5_000,
      );
    });
  });

  test("a row above the limit is refused before it is all there", async ({
    sqlserver,
  }) => {
    await sqlserver.run(
      "CREATE TABLE dbo.Large (Id int NOT NULL, B varbinary(max) NULL)",
      "INSERT INTO dbo.Large VALUES (1, CONVERT(varbinary(max), REPLICATE(CONVERT(nvarchar(max), N'x'), 1500000)))",
    );
    await withConnection(sqlserver.url, async (connection) => {
      const stream = await discoverTable(connection, "dbo.Large");
      await expect(
        readAll(connection, makeTask(stream, { rowBytesMax: 1_000_000 })),
      ).rejects.toMatchObject({ code: "SOURCE_ROW_TOO_LARGE" });
      const { rows: whole } = await readAll(connection, makeTask(stream));
      expect(String(whole[0]?.[1]).length).toBe(6_000_000);
    });
  });

  test("a table of another shape than discovered is told apart", async ({
    sqlserver,
  }) => {
    await sqlserver.run(
      "CREATE TABLE dbo.T (Id int NOT NULL, V decimal(9,2) NULL)",
    );
    await withConnection(sqlserver.url, async (connection) => {
      const stream = await discoverTable(connection, "dbo.T");
      await sqlserver.run(
        "DROP TABLE dbo.T",
        "CREATE TABLE dbo.T (Id int NOT NULL, V decimal(9,3) NULL)",
        "INSERT INTO dbo.T VALUES (1, 1)",
      );
      await expect(readAll(connection, makeTask(stream))).rejects.toMatchObject(
        {
          code: "SOURCE_SCHEMA_CHANGED",
        },
      );
      await sqlserver.run("DROP TABLE dbo.T");
      await expect(readAll(connection, makeTask(stream))).rejects.toMatchObject(
        {
          code: "SOURCE_SCHEMA_CHANGED",
        },
      );
    });
  });
});
