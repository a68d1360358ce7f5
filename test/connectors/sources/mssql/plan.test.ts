import { mssqlDriver } from "../../../../connectors/sources/mssql/driver.ts";
import {
  checkCondition,
  findFault,
} from "../../../../connectors/sources/mssql/condition.ts";
import { planPartitions } from "../../../../connectors/sources/mssql/plan.ts";
import type { Plan } from "../../../../proto/partition.ts";
import { describe, expect, test } from "../../../fixtures/sqlserver.ts";
import {
  discoverTable,
  makeTask,
  planSettings,
  readAll,
  withConnection,
} from "./support/tasks.ts";

/** Tables whose rows are numbered by Id from 0, and how many rows each has. */
const tables: Readonly<
  Record<
    string,
    {
      readonly ddl: readonly string[];
      readonly row: (i: number) => string;
      readonly rows: number;
    }
  >
> = {
  "an int, unique": {
    ddl: ["CREATE TABLE dbo.T (Id int NOT NULL PRIMARY KEY, V int NULL)"],
    row: (i) => `${i}, NULL`,
    rows: 500,
  },
  "a date, neither unique nor NOT NULL": {
    ddl: [
      "CREATE TABLE dbo.T (Id int NOT NULL PRIMARY KEY NONCLUSTERED, D date NULL)",
      "CREATE CLUSTERED INDEX ByD ON dbo.T (D)",
    ],
    row: (i) =>
      `${i}, ${i % 9 === 0 ? "NULL" : `'2020-01-${String(1 + (i % 28)).padStart(2, "0")}'`}`,
    rows: 500,
  },
  "all NULL": {
    ddl: [
      "CREATE TABLE dbo.T (Id int NOT NULL PRIMARY KEY NONCLUSTERED, D int NULL)",
      "CREATE CLUSTERED INDEX ByD ON dbo.T (D)",
    ],
    row: (i) => `${i}, NULL`,
    rows: 100,
  },
  "one value for all": {
    ddl: [
      "CREATE TABLE dbo.T (Id int NOT NULL PRIMARY KEY NONCLUSTERED, D int NOT NULL)",
      "CREATE CLUSTERED INDEX ByD ON dbo.T (D)",
    ],
    row: (i) => `${i}, 7`,
    rows: 100,
  },
  "a composite key": {
    ddl: [
      "CREATE TABLE dbo.T (Id int NOT NULL, A nvarchar(10) NOT NULL, B datetime2(7) NOT NULL, PRIMARY KEY CLUSTERED (A, B, Id))",
    ],
    row: (i) =>
      `${i}, N'${["x", "Y", "z"][i % 3]}', '2020-01-0${1 + (i % 7)} 00:00:00.000000${i % 3}'`,
    rows: 500,
  },
  "a composite key whose second column may be NULL": {
    ddl: [
      "CREATE TABLE dbo.T (Id int NOT NULL, A int NOT NULL, B int NULL)",
      "CREATE CLUSTERED INDEX ByAB ON dbo.T (A, B)",
    ],
    row: (i) => `${i}, ${i % 40}, ${i % 3 === 0 ? "NULL" : i}`,
    rows: 400,
  },
  "a descending key": {
    ddl: [
      "CREATE TABLE dbo.T (Id int NOT NULL, PRIMARY KEY CLUSTERED (Id DESC))",
    ],
    row: (i) => `${i}`,
    rows: 300,
  },
  "letters of two cases": {
    ddl: [
      "CREATE TABLE dbo.T (Id int NOT NULL, K varchar(10) NOT NULL)",
      "CREATE CLUSTERED INDEX ByK ON dbo.T (K)",
    ],
    row: (i) => `${i}, '${i % 2 === 0 ? "k" : "K"}${i % 17}'`,
    rows: 300,
  },
  "odd names": {
    ddl: [
      "CREATE TABLE dbo.T (Id int NOT NULL, [a]]b '\"x] int NOT NULL, CONSTRAINT [p k] PRIMARY KEY ([a]]b '\"x]))",
    ],
    row: (i) => `${i}, ${i * 3}`,
    rows: 100,
  },
  "a heap": {
    ddl: ["CREATE TABLE dbo.T (Id int NOT NULL)"],
    row: (i) => `${i}`,
    rows: 50,
  },
  "nothing in it": {
    ddl: ["CREATE TABLE dbo.T (Id int NOT NULL PRIMARY KEY)"],
    row: (i) => `${i}`,
    rows: 0,
  },
};

async function fill(
  run: (sql: string) => Promise<void>,
  name: string,
): Promise<number> {
  const table = tables[name];
  if (table === undefined) throw new Error(name);
  for (const statement of table.ddl) await run(statement);
  if (table.rows > 0) {
    const rows = Array.from(
      { length: table.rows },
      (_, i) => `(${table.row(i)})`,
    );
    await run(`INSERT INTO dbo.T VALUES ${rows.join(", ")}`);
  }
  return table.rows;
}

async function readPlan(
  connection: Parameters<typeof readAll>[0],
  stream: Awaited<ReturnType<typeof discoverTable>>,
  plan: Plan,
): Promise<number[]> {
  const ids: number[] = [];
  for (const { split } of plan.partitions) {
    const { rows } = await readAll(connection, makeTask(stream, { split }));
    const column = stream.schema.columns.findIndex(({ name }) => name === "Id");
    ids.push(...rows.map((row) => Number(row[column])));
  }
  return ids.sort((a, b) => a - b);
}

describe.each(["histogram", "sample"])("cut by a %s", (way) => {
  test.for(Object.keys(tables))(
    "each row is in one partition: %s",
    async (name, { sqlserver }) => {
      const { server } = sqlserver;
      if (way === "sample") server?.restrict("sys.dm_db_stats_histogram", 229);
      const count = await fill(async (sql) => sqlserver.run(sql), name);
      await withConnection(sqlserver.url, async (connection) => {
        const stream = await discoverTable(connection, "dbo.T");
        const plan = await planPartitions(connection, stream, {
          ...planSettings,
          channels: 4,
          filter: { where: null, cursor: null },
        });
        expect(await readPlan(connection, stream, plan)).toEqual(
          Array.from({ length: count }, (_, i) => i),
        );
        if (name === "an int, unique")
          expect(plan.partitions.length).toBeGreaterThan(5);
        if (name === "a heap")
          expect([plan.rung, plan.partitions.length]).toEqual(["whole", 1]);
      });
    },
  );
});

test("a server without any of the optional views is planned all the same", async ({
  sqlserver,
}) => {
  const { server } = sqlserver;
  if (server === null) return;
  const count = await fill(async (sql) => sqlserver.run(sql), "an int, unique");
  for (const view of [
    "sys.dm_db_stats_histogram",
    "sys.dm_db_partition_stats",
    "sys.partitions",
    "sys.indexes",
    "sys.databases",
  ]) {
    server.restrict(view, 208);
  }
  await withConnection(sqlserver.url, async (connection) => {
    const stream = await discoverTable(connection, "dbo.T");
    // the primary key is known from information_schema
    expect(stream.rangeKey?.columns.map(({ name }) => name)).toEqual(["Id"]);
    const plan = await planPartitions(connection, stream, {
      ...planSettings,
      filter: { where: null, cursor: null },
    });
    expect(plan.partitions.length).toBeGreaterThan(1);
    expect(plan.estimatedRows).toBe(count);
    expect(await readPlan(connection, stream, plan)).toEqual(
      Array.from({ length: count }, (_, i) => i),
    );
  });
});

test("a split that is found leaves both parts all rows of the range", async ({
  sqlserver,
}) => {
  const count = await fill(
    async (sql) => sqlserver.run(sql),
    "a composite key",
  );
  const session = await mssqlDriver.connect(sqlserver.url);
  try {
    await session.beginSnapshot(null);
    const { streams } = await session.discover(
      {
        include: ["dbo.T"],
        exclude: [],
        columns: null,
      },
      "error",
    );
    const [stream] = streams;
    if (stream === undefined) throw new Error("no stream");
    const { plan } = await session.planStream(
      stream,
      { where: null, cursor: null },
      { ...planSettings, channels: 1, partitionBytesMin: 1_000_000 },
    );
    const [range] = plan.partitions;
    if (range === undefined) throw new Error("no partition");
    expect(mssqlDriver.canSplit(stream, range)).toBe(true);
    const found = await session.findSplit(stream, {
      range,
      resumeAfter: null,
      rowBytes: 50,
      bytesMin: 100,
    });
    if (found === null) throw new Error("no split");
    await withConnection(sqlserver.url, async (connection) => {
      const known = await discoverTable(connection, "dbo.T");
      const ids = await readPlan(connection, known, {
        ...plan,
        partitions: [found.giver, { ...found.taker, ordinal: 1 }],
      });
      expect(ids).toEqual(Array.from({ length: count }, (_, i) => i));
    });
  } finally {
    await session.close();
  }
});

describe("a condition", () => {
  test.for([
    ["Id > 1", null],
    ["Name = 'it''s (' AND [a]]b)] = \"c(\" -- )", null],
    ["Id IN (1, 2) /* a /* nested */ comment ( */", null],
    ["a) OR (b", "closes a parenthesis that it did not open"],
    ["(a", "leaves a parenthesis open"],
    ["Name = 'x", "leaves ' open"],
    ["[Name", "leaves [ open"],
    ["1 = 1 /* open", "leaves a comment open"],
    ["Id - 1 > 0 / 2", null],
  ] as const)("%s", ([where, fault]) => {
    expect(findFault(where)).toBe(fault);
  });

  test("a second statement is refused by the server and does nothing", async ({
    sqlserver,
  }) => {
    await fill(async (sql) => sqlserver.run(sql), "an int, unique");
    await withConnection(sqlserver.url, async (connection) => {
      const stream = await discoverTable(connection, "dbo.T");
      for (const where of [
        "1 = 1; DELETE FROM dbo.T",
        "1 = 1 DELETE FROM dbo.T",
        "nonsense here",
      ]) {
        await expect(
          checkCondition(connection, stream, where),
        ).rejects.toMatchObject({
          code: expect.stringMatching(
            /^SOURCE_(QUERY_FAILED|COLUMN_NOT_FOUND)$/,
          ),
        });
      }
      await checkCondition(connection, stream, "Id > 3 -- the last");
      const { rows } = await readAll(
        connection,
        makeTask(stream, {
          filter: { where: "Id < 3 -- the first", cursor: null },
        }),
      );
      expect(rows.length).toBe(3);
    });
  });
});
