import { mssqlDriver } from "../../../../connectors/sources/mssql/driver.ts";
import type { SourceSession } from "../../../../connectors/sources/source.ts";
import {
  describe,
  expect,
  test,
  withSqlServer,
} from "../../../fixtures/sqlserver.ts";
import { startRead } from "../../../../connectors/sources/mssql/reader.ts";
import {
  discoverTable,
  keepAll,
  makeTask,
  readAll,
  withConnection,
} from "./support/tasks.ts";
import type { MssqlStream } from "../../../../connectors/sources/mssql/stream.ts";

const never = (): void => expect.unreachable();

async function countRows(session: SourceSession): Promise<number> {
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
  const { kept, sink } = keepAll(stream as MssqlStream);
  const { plan } = await session.planStream(
    stream,
    { where: null, cursor: null },
    {
      channels: 1,
      checkpointTargetSeconds: 300,
      partitionBy: "auto",
      partitionBytesMin: 1_000_000,
    },
  );
  for (const partition of plan.partitions) {
    await session.startRead(
      {
        stream,
        partition,
        resumeAfter: null,
        filter: { where: null, cursor: null },
        policy: "error",
        rowBytesMax: 1_000_000,
      },
      sink,
      { checkpointEveryMs: 1_000 },
    ).done;
  }
  return kept.rows.length;
}

describe("a snapshot", () => {
  test("is one for all sessions: their transactions begin while the tables stand still, and see nothing that comes later", async ({
    sqlserver,
  }) => {
    await sqlserver.run(
      "CREATE TABLE dbo.T (Id int NOT NULL PRIMARY KEY)",
      "INSERT INTO dbo.T (Id) VALUES (1), (2)",
    );
    const held = await mssqlDriver.holdSnapshot(sqlserver.url, never);
    const sessions = [
      await mssqlDriver.connect(sqlserver.url),
      await mssqlDriver.connect(sqlserver.url),
    ];
    try {
      for (const session of sessions) await session.beginSnapshot(held.ref);
      if (sqlserver.server !== null) {
        expect(held.warnings).toEqual([]);
        const joined = sqlserver.server.statements.filter(({ sql }) =>
          /SELECT TOP \(1\) 1 AS touched/.test(sql),
        );
        expect(
          joined.map(({ isolation, inTransaction }) => [
            isolation,
            inTransaction,
          ]),
        ).toEqual([
          ["SNAPSHOT", true],
          ["SNAPSHOT", true],
        ]);
        const locks = sqlserver.server.statements.filter(({ sql }) =>
          /WITH \(TABLOCK, HOLDLOCK\)/.test(sql),
        );
        expect(locks.length).toBe(1);
        expect(
          sqlserver.server.statements.some(({ sql }) =>
            /NOLOCK|READUNCOMMITTED/i.test(sql),
          ),
        ).toBe(false);
      }
      expect(await held.lockRelations([])).toEqual([]);
      await sqlserver.run("INSERT INTO dbo.T (Id) VALUES (3)");
      for (const session of sessions) expect(await countRows(session)).toBe(2);
    } finally {
      for (const session of sessions) await session.close();
      await held.close();
    }
  });

  test("what keeps the tables still is gone: that is told once", async ({
    sqlserver,
  }) => {
    const { server } = sqlserver;
    if (server === null) return;
    await sqlserver.run("CREATE TABLE dbo.T (Id int NOT NULL PRIMARY KEY)");
    const lost = Promise.withResolvers<{ readonly code: string }>();
    const held = await mssqlDriver.holdSnapshot(sqlserver.url, lost.resolve);
    server.fault({ on: /SELECT 1 AS alive/, kind: "reset" });
    expect(await lost.promise).toMatchObject({ code: "SOURCE_SNAPSHOT_LOST" });
    await held.close();
  });

  test("a table that is gone since it was discovered is named", async ({
    sqlserver,
  }) => {
    await sqlserver.run("CREATE TABLE dbo.T (Id int NOT NULL PRIMARY KEY)");
    const held = await mssqlDriver.holdSnapshot(sqlserver.url, never);
    await expect(
      held.lockRelations([
        { schema: "dbo", name: "Gone", oid: 1, fileNode: 0 },
      ]),
    ).rejects.toMatchObject({
      code: "SOURCE_SCHEMA_CHANGED",
      details: { table: "dbo.Gone" },
    });
    await held.close();
  });
});

test("where the database allows no snapshot, that is said, and rows are read as committed", async () => {
  await withSqlServer(
    async (sqlserver) => {
      if (sqlserver.server === null) return;
      await sqlserver.run(
        "CREATE TABLE dbo.T (Id int NOT NULL PRIMARY KEY)",
        "INSERT INTO dbo.T (Id) VALUES (1)",
      );
      const held = await mssqlDriver.holdSnapshot(sqlserver.url, never);
      expect(held.warnings?.join()).toMatch(/ALLOW_SNAPSHOT_ISOLATION/);
      const session = await mssqlDriver.connect(sqlserver.url);
      await session.beginSnapshot(held.ref);
      expect(await countRows(session)).toBe(1);
      await session.close();
      await held.close();
      expect(
        sqlserver.server.statements.some(
          ({ isolation }) => isolation === "SNAPSHOT",
        ),
      ).toBe(false);
    },
    { snapshot: false },
  );
});

test("a transaction that the server has ended is not read on outside of it", async ({
  sqlserver,
}) => {
  await sqlserver.run("CREATE TABLE dbo.T (Id int NOT NULL PRIMARY KEY)");
  await withConnection(sqlserver.url, async (connection) => {
    await connection.beginSnapshot({
      id: JSON.stringify({ kind: "snapshot", touch: "[dbo].[T]" }),
      visible: "",
    });
    const stream = await discoverTable(connection, "dbo.T");
    expect((await readAll(connection, makeTask(stream))).result.rows).toBe(0);
    // as an error of a snapshot's does
    await connection.run("ROLLBACK");
    expect(() =>
      startRead(connection, makeTask(stream), keepAll(stream).sink),
    ).toThrow(expect.objectContaining({ code: "SOURCE_CONNECTION_LOST" }));
    expect(connection.usable).toBe(false);
  });
});
