import { connect as connectSocket } from "node:net";
import { ISOLATION_LEVEL, Request, TYPES, type Connection } from "tedious";
import { describe, expect, test as base } from "vitest";
import { createAuthority } from "./certificates.ts";
import { closeTedious, connectTedious, runBatch } from "./sqlserver.ts";
import {
  encodeRows,
  startTdsServer,
  type TdsServer,
  type TdsServerOptions,
} from "./tds/server.ts";
import { typeCases } from "./tds/type-cases.ts";

interface Fixture {
  options: TdsServerOptions;
  server: TdsServer;
  client: Connection;
}

const test = base.extend<Fixture>({
  options: {},
  server: async ({ options }, use) => {
    const server = await startTdsServer(options);
    await use(server);
    await server.stop();
  },
  client: async ({ server }, use) => {
    const client = await connectTedious(server.url);
    await use(client);
    await closeTedious(client);
  },
});

type Parameter = readonly [
  name: string,
  type: (typeof TYPES)[keyof typeof TYPES],
  value: unknown,
];

interface Result {
  readonly rows: unknown[][];
  readonly rowCount: number | undefined;
  readonly error: (Error & { number?: number; code?: string }) | null;
}

/** Sends one request; rows that came before an error are kept. */
function send(
  client: Connection,
  sql: string,
  parameters: readonly Parameter[] = [],
  during: (request: Request, rows: unknown[][]) => void = () => {},
): Promise<Result> {
  return new Promise((resolve) => {
    const rows: unknown[][] = [];
    const request = new Request(sql, (error, rowCount) =>
      resolve({ rows, rowCount, error: (error as Result["error"]) ?? null }),
    );
    request.on("row", (columns: { value: unknown }[]) => {
      rows.push(columns.map(({ value }) => value));
      during(request, rows);
    });
    for (const [name, type, value] of parameters)
      request.addParameter(name, type, value);
    client.execSql(request);
  });
}

const beginTransaction = (client: Connection, level: number | undefined) =>
  new Promise<void>((resolve, reject) => {
    client.beginTransaction(
      (error) => (error ? reject(error) : resolve()),
      "",
      level ?? 0,
    );
  });
const commit = (client: Connection) =>
  new Promise<void>((resolve, reject) => {
    client.commitTransaction((error) => (error ? reject(error) : resolve()));
  });
const rollback = (client: Connection) =>
  new Promise<void>((resolve, reject) => {
    client.rollbackTransaction((error) => (error ? reject(error) : resolve()));
  });

const numberRows = (count: number) =>
  Array.from({ length: count }, (_, i) => [i, `row ${i}`]);

async function makeNumbers(server: TdsServer, count: number): Promise<void> {
  await server.run(
    "CREATE TABLE numbers (n int NOT NULL PRIMARY KEY, name nvarchar(40) NULL)",
  );
  await server.load("numbers", numberRows(count));
}

describe("values", () => {
  /** tedious turns numbers into floating ones and moments into dates. */
  function weaken(type: string, value: string): unknown {
    if (
      /^(decimal|numeric|money|smallmoney|float|real|tinyint|smallint|int)/.test(
        type,
      )
    )
      return type === "real" ? Math.fround(Number(value)) : Number(value);
    if (type === "bit") return value === "1";
    if (/^(varbinary|binary|image)/.test(type))
      return Buffer.from(value.slice(2), "hex");
    return value;
  }

  for (const { type, values } of typeCases.filter(
    ({ type: of }) => !/^(date|time|smalldate)/.test(of),
  ))
    test(`tedious reads ${type}`, async ({ server, client }) => {
      await server.run(
        `CREATE TABLE t (n int NOT NULL, v ${type} NULL, w ${type} NOT NULL)`,
      );
      await server.load("t", [
        ...values.map((value, n) => [n, value, value]),
        [values.length, null, values[0]!],
      ]);
      const { rows } = await send(client, "SELECT v, w FROM t ORDER BY n");
      expect(rows).toEqual([
        ...values.map((value) => [weaken(type, value), weaken(type, value)]),
        [null, weaken(type, values[0]!)],
      ]);
    });

  test("moments keep their 100 ns", async ({ client }) => {
    const { rows } = await send(
      client,
      "SELECT CAST('2024-02-29 12:34:56.1234567' AS datetime2(7)) AS v",
    );
    const value = rows[0]?.[0] as Date & { nanosecondsDelta: number };
    expect(value.toISOString()).toBe("2024-02-29T12:34:56.123Z");
    expect(value.nanosecondsDelta).toBeCloseTo(0.000_456_7, 10);
  });

  test("typed parameters come back as they were sent", async ({ client }) => {
    const parameters: Parameter[] = [
      ["a", TYPES.Int, -5],
      ["b", TYPES.BigInt, "9223372036854775807"],
      ["c", TYPES.NVarChar, "\u{1f600}\0x"],
      ["d", TYPES.VarBinary, Buffer.of(1, 2, 3)],
      ["e", TYPES.UniqueIdentifier, "00112233-4455-6677-8899-AABBCCDDEEFF"],
      ["f", TYPES.Float, -0.1],
      ["g", TYPES.Bit, true],
      ["h", TYPES.NVarChar, null],
      ["i", TYPES.NVarChar, "x".repeat(100_000)],
      ["j", TYPES.VarChar, "caf\u00e9"],
    ];
    const names = parameters.map(([name]) => `@${name}`).join(", ");
    const { rows, error } = await send(client, `SELECT ${names}`, parameters);
    expect(error).toBeNull();
    expect(rows).toEqual([parameters.map(([, , value]) => value)]);
  });
});

describe("requests", () => {
  test("a statement is prepared once and executed many times", async ({
    server,
    client,
  }) => {
    await makeNumbers(server, 10);
    const rows: unknown[] = [];
    let done = () => {};
    const request = new Request("SELECT name FROM numbers WHERE n = @n", () =>
      done(),
    );
    request.addParameter("n", TYPES.Int);
    request.on("row", (columns: { value: unknown }[]) =>
      rows.push(columns[0]?.value),
    );
    const step = (run: () => void) =>
      new Promise<void>((resolve) => {
        done = resolve;
        run();
      });
    const prepared = new Promise((resolve) =>
      request.once("prepared", resolve),
    );
    client.prepare(request);
    await prepared;
    await step(() => client.execute(request, { n: 3 }));
    await step(() => client.execute(request, { n: 7 }));
    await step(() => client.unprepare(request));
    expect(rows).toEqual(["row 3", "row 7"]);
    expect(
      server.statements.slice(1).map(({ kind, params }) => [kind, params]),
    ).toEqual([
      ["prepare", {}],
      ["execute", { "@n": "3" }],
      ["execute", { "@n": "7" }],
      ["unprepare", {}],
    ]);
  });

  test("rows are counted, of queries and of changes", async ({
    server,
    client,
  }) => {
    await makeNumbers(server, 10);
    expect(
      (await send(client, "SELECT n FROM numbers WHERE n < 4")).rowCount,
    ).toBe(4);
    expect(
      (await send(client, "UPDATE numbers SET name = NULL WHERE n < 3"))
        .rowCount,
    ).toBe(3);
    expect((await send(client, "DELETE FROM numbers")).rowCount).toBe(10);
  });

  test("an error has its number, and the connection lives on", async ({
    client,
  }) => {
    const { error } = await send(client, "SELECT nothing FROM nowhere");
    expect(error).toMatchObject({
      number: 208,
      message: "Invalid object name 'nowhere'.",
    });
    expect((await send(client, "SELECT 1")).rows).toEqual([[1]]);
  });

  test("a cancelled request ends in the middle of its rows", async ({
    server,
    client,
  }) => {
    await makeNumbers(server, 1);
    const row = encodeRows(
      [{ name: "n", type: "int" }],
      Array.from({ length: 1000 }, (_, i) => [i]),
    );
    let served = 0;
    const endless = function* () {
      for (;;) {
        served += 1;
        yield row;
      }
    };
    server.serveRows("SELECT endless", [{ name: "n", type: "int" }], endless());
    const { error } = await send(
      client,
      "SELECT endless",
      [],
      (request, rows) => {
        if (rows.length === 10_000) request.cancel();
      },
    );
    expect(error?.code).toBe("ECANCEL");
    expect((await send(client, "SELECT n FROM numbers")).rows).toEqual([[0]]);
    expect(served).toBeGreaterThanOrEqual(10);
  });

  test("rows are made only as fast as the client reads them", async ({
    server,
    client,
  }) => {
    const name = "x".repeat(1000);
    let made = 0;
    const rows = function* () {
      for (; made < 30_000; made += 1) yield [made, name];
    };
    const columns = [
      { name: "n", type: "int" },
      { name: "name", type: "varchar(1000)" },
    ];
    server.serveRows("SELECT many", columns, rows());
    let seen = 0;
    let madeAtPause = 0;
    const { error, rowCount } = await new Promise<Result>((resolve) => {
      const request = new Request("SELECT many", (failure, count) =>
        resolve({
          rows: [],
          rowCount: count,
          error: failure as Result["error"],
        }),
      );
      request.on("row", () => {
        seen += 1;
        if (seen !== 100) return;
        request.pause();
        // when nothing more is made in two looks, the socket is full
        let before = -1;
        const look = setInterval(() => {
          if (made !== before) before = made;
          else {
            clearInterval(look);
            madeAtPause = made;
            request.resume();
          }
        }, 50);
      });
      client.execSql(request);
    });
    expect(error ?? null).toBeNull();
    expect(rowCount).toBe(30_000);
    expect(madeAtPause).toBeLessThan(20_000);
  });

  test("many connections are served at once", async ({ server }) => {
    await makeNumbers(server, 500);
    const clients = await Promise.all(
      Array.from({ length: 20 }, () => connectTedious(server.url)),
    );
    const results = await Promise.all(
      clients.map((client) => runBatch(client, "SELECT * FROM numbers")),
    );
    expect(results.map((rows) => rows.length)).toEqual(clients.map(() => 500));
    await Promise.all(clients.map(closeTedious));
  });
});

describe("connections", () => {
  test.for([512, 4096, 16_384, 32_767])(
    "packets of %i bytes are agreed on",
    async (packetSize, { server }) => {
      const client = await connectTedious(server.url, { packetSize });
      const { rows } = await send(client, "SELECT REPLICATE(N'x', 40000)");
      expect(String(rows[0]?.[0])).toHaveLength(40_000);
      await closeTedious(client);
    },
  );

  test.for([9, 37, 1000])(
    "rows may be cut at %i bytes",
    async (packetBytes) => {
      const server = await startTdsServer({ packetBytes });
      await makeNumbers(server, 50);
      const client = await connectTedious(server.url);
      expect((await send(client, "SELECT n, name FROM numbers")).rows).toEqual(
        numberRows(50),
      );
      await closeTedious(client);
      await server.stop();
    },
  );

  test("wrong passwords and unknown databases are refused", async ({
    server,
  }) => {
    const wrong = server.url.replace(
      encodeURIComponent(server.password),
      "nonsense",
    );
    await expect(connectTedious(wrong)).rejects.toThrow(
      /Login failed for user 'sa'/,
    );
    await expect(connectTedious(server.urlOf("nowhere"))).rejects.toThrow(
      /Login failed for user|Cannot open database/,
    );
  });

  test("TLS goes on inside of TDS", async () => {
    const certificate = createAuthority("tests").issue(["127.0.0.1"]);
    const server = await startTdsServer({ tls: certificate, requireTls: true });
    await makeNumbers(server, 1000);
    const client = await connectTedious(server.url, { encrypt: true });
    expect((await send(client, "SELECT n, name FROM numbers")).rows).toEqual(
      numberRows(1000),
    );
    await closeTedious(client);
    await expect(
      connectTedious(server.url, { encrypt: false }),
    ).rejects.toThrow(/requires encryption/);
    await server.stop();
  });

  test("a client that wants TLS is told that there is none", async ({
    server,
  }) => {
    await expect(connectTedious(server.url, { encrypt: true })).rejects.toThrow(
      /did not negotiate encryption/,
    );
  });

  test.for([
    "GET / HTTP/1.1\r\n\r\n",
    "\u0012\u0001\u0000\u0004\u0000\u0000\u0000\u0000",
    "\u0010\u0001\u0000\u0010\u0000\u0000\u0000\u0000xxxxxxxx",
  ])(
    "bytes that are no TDS end the connection: %j",
    async (bytes, { server }) => {
      const socket = connectSocket(server.port, "127.0.0.1");
      socket.on("error", () => {});
      socket.write(bytes, "latin1");
      const closed = new Promise((resolve) => socket.once("close", resolve));
      socket.resume();
      // a request that seems to go on is left by the client
      if (bytes.startsWith("GET")) socket.end();
      await closed;
      expect(socket.destroyed).toBe(true);
    },
  );
});

describe("transactions", () => {
  test("a snapshot does not see what is committed after it began", async ({
    server,
    client,
  }) => {
    await makeNumbers(server, 3);
    await beginTransaction(client, ISOLATION_LEVEL.SNAPSHOT);
    const count = async () =>
      (await send(client, "SELECT COUNT(*) FROM numbers")).rows[0]?.[0];
    expect(await count()).toBe(3);
    await server.run(
      "INSERT INTO numbers VALUES (3, NULL); DELETE FROM numbers WHERE n < 2",
    );
    expect(await count()).toBe(3);
    await commit(client);
    expect(await count()).toBe(2);
  });

  test("READ COMMITTED sees what is committed between its statements", async ({
    server,
    client,
  }) => {
    await makeNumbers(server, 3);
    await beginTransaction(client, ISOLATION_LEVEL.READ_COMMITTED);
    await send(client, "SELECT COUNT(*) FROM numbers");
    await server.run("INSERT INTO numbers VALUES (3, NULL)");
    expect((await send(client, "SELECT COUNT(*) FROM numbers")).rows).toEqual([
      [4],
    ]);
    await rollback(client);
  });

  test("TABLOCK with HOLDLOCK keeps writers away until its transaction ends", async ({
    server,
    client,
  }) => {
    await makeNumbers(server, 3);
    await runBatch(
      client,
      "BEGIN TRAN; SELECT TOP (1) 1 AS x FROM numbers WITH (TABLOCK, HOLDLOCK)",
    );
    expect(server.statements.at(-1)?.hints).toEqual(["TABLOCK", "HOLDLOCK"]);
    let written = false;
    const writing = server
      .run("INSERT INTO numbers VALUES (3, NULL)")
      .then(() => {
        written = true;
      });
    expect((await send(client, "SELECT COUNT(*) FROM numbers")).rows).toEqual([
      [3],
    ]);
    expect(written).toBe(false);
    await runBatch(client, "COMMIT");
    await writing;
    expect((await send(client, "SELECT COUNT(*) FROM numbers")).rows).toEqual([
      [4],
    ]);
  });

  test("LOCK_TIMEOUT ends the wait of a writer", async ({ server, client }) => {
    await makeNumbers(server, 3);
    const other = await connectTedious(server.url);
    await runBatch(other, "BEGIN TRAN; UPDATE numbers SET name = NULL");
    await expect(
      runBatch(client, "SET LOCK_TIMEOUT 0; DELETE FROM numbers"),
    ).rejects.toMatchObject({ number: 1222 });
    await closeTedious(other);
  });

  test("what is rolled back is gone", async ({ server, client }) => {
    await makeNumbers(server, 3);
    await beginTransaction(client, ISOLATION_LEVEL.READ_COMMITTED);
    await send(client, "DELETE FROM numbers");
    await rollback(client);
    expect(await server.query("SELECT COUNT(*) AS n FROM numbers")).toEqual([
      { n: "3" },
    ]);
  });

  test("a connection that breaks gives its transaction up", async ({
    server,
  }) => {
    await makeNumbers(server, 3);
    const client = await connectTedious(server.url);
    await runBatch(client, "BEGIN TRAN; DELETE FROM numbers");
    server.dropConnections();
    await server.run("INSERT INTO numbers VALUES (3, NULL)");
    expect(await server.query("SELECT COUNT(*) AS n FROM numbers")).toEqual([
      { n: "4" },
    ]);
    await closeTedious(client);
  });

  test("SNAPSHOT is refused where it is not allowed, until ALTER DATABASE allows it", async () => {
    const server = await startTdsServer({ snapshot: false });
    await makeNumbers(server, 1);
    const client = await connectTedious(server.url);
    const state =
      "SELECT snapshot_isolation_state AS s FROM sys.databases WHERE name = DB_NAME()";
    expect(await runBatch(client, state)).toEqual([{ s: 0 }]);
    const read =
      "SET TRANSACTION ISOLATION LEVEL SNAPSHOT; SELECT n FROM numbers";
    await expect(runBatch(client, read)).rejects.toMatchObject({
      number: 3952,
    });
    server.refuseAlterDatabase({ number: 5011, message: "no permission" });
    const alter = "ALTER DATABASE millrace SET ALLOW_SNAPSHOT_ISOLATION ON";
    await expect(runBatch(client, alter)).rejects.toMatchObject({
      number: 5011,
    });
    server.refuseAlterDatabase(null);
    await runBatch(client, alter);
    expect(await runBatch(client, read)).toEqual([{ n: 0 }]);
    expect(await runBatch(client, state)).toEqual([{ s: 1 }]);
    await closeTedious(client);
    await server.stop();
  });
});

describe("scripts", () => {
  test("an answer stands in for the engine's, until it is forgotten", async ({
    server,
    client,
  }) => {
    server.answer(/@@VERSION/, {
      columns: [{ name: "v", type: "nvarchar(300)" }],
      rows: [["Something else"]],
    });
    expect((await send(client, "SELECT @@VERSION")).rows).toEqual([
      ["Something else"],
    ]);
    server.answer("SELECT 1", {
      error: { number: 229, message: "no", class: 14, state: 5, line: 7 },
    });
    expect((await send(client, "SELECT  1")).error).toMatchObject({
      number: 229,
      class: 14,
      state: 5,
      lineNumber: 7,
    });
    server.forget("SELECT 1");
    expect((await send(client, "SELECT 1")).rows).toEqual([[1]]);
  });

  test("views are absent or forbidden", async ({ server, client }) => {
    server.restrict("sys.indexes", 208);
    server.restrict("sys.dm_db_stats_histogram", 229);
    expect(
      (await send(client, "SELECT * FROM sys.indexes")).error,
    ).toMatchObject({ number: 208 });
    expect(
      (await send(client, "SELECT * FROM sys.dm_db_stats_histogram(1, 1)"))
        .error,
    ).toMatchObject({ number: 229 });
    server.restrict("sys.indexes", 0);
    expect((await send(client, "SELECT * FROM sys.indexes")).error).toBeNull();
  });

  test.for(["drop", "reset"] as const)(
    "a connection ends by %s among the rows, once",
    async (kind, { server, client }) => {
      await makeNumbers(server, 100);
      server.fault({ on: /FROM numbers/, kind, afterRows: 7, skip: 1 });
      expect((await send(client, "SELECT n FROM numbers")).rows).toHaveLength(
        100,
      );
      const { rows, error } = await send(client, "SELECT n FROM numbers");
      expect(error).not.toBeNull();
      expect(rows.length).toBeLessThanOrEqual(7);
      const next = await connectTedious(server.url);
      expect((await send(next, "SELECT n FROM numbers")).rows).toHaveLength(
        100,
      );
      await closeTedious(next);
    },
  );

  test("an error stands among the rows", async ({ server, client }) => {
    await makeNumbers(server, 100);
    server.fault({
      on: /FROM numbers/,
      kind: "error",
      afterRows: 7,
      error: { number: 824, message: "a page is torn", class: 24 },
    });
    const { rows, error } = await send(client, "SELECT n FROM numbers");
    expect(rows).toHaveLength(7);
    expect(error).toMatchObject({ number: 824, message: "a page is torn" });
  });

  test("a stall lasts until the client cancels", async ({ server, client }) => {
    await makeNumbers(server, 100);
    server.fault({ on: /FROM numbers/, kind: "stall", afterRows: 7 });
    const { rows, error } = await send(
      client,
      "SELECT n FROM numbers",
      [],
      (request, seen) => {
        if (seen.length === 7) request.cancel();
      },
    );
    expect(rows).toHaveLength(7);
    expect(error?.code).toBe("ECANCEL");
    expect((await send(client, "SELECT COUNT(*) FROM numbers")).rows).toEqual([
      [100],
    ]);
  });
});
