import { discover } from "../../../../connectors/sources/mssql/discover.ts";
import { describe, expect, test } from "../../../fixtures/sqlserver.ts";
import { discoverTable, withConnection } from "./support/tasks.ts";

const all = { include: [], exclude: [], columns: null };

describe("keys", () => {
  test.for([
    {
      name: "the clustered index orders, the primary key identifies",
      ddl: [
        "CREATE TABLE dbo.T (Id int NOT NULL PRIMARY KEY NONCLUSTERED, D date NULL)",
        "CREATE CLUSTERED INDEX ByD ON dbo.T (D)",
      ],
      range: { columns: ["D"], unique: false, nullable: true },
      key: ["Id"],
    },
    {
      name: "a clustered primary key is both",
      ddl: [
        "CREATE TABLE dbo.T (A int NOT NULL, B nvarchar(9) NOT NULL, PRIMARY KEY CLUSTERED (B, A))",
      ],
      range: { columns: ["B", "A"], unique: true, nullable: false },
      key: ["B", "A"],
    },
    {
      name: "of a composite key, what is NOT NULL at its beginning",
      ddl: [
        "CREATE TABLE dbo.T (A int NOT NULL, B int NULL)",
        "CREATE UNIQUE CLUSTERED INDEX ByAB ON dbo.T (A, B)",
      ],
      range: { columns: ["A"], unique: false, nullable: false },
      key: undefined,
    },
    {
      name: "columns of two directions are cut at the change",
      ddl: [
        "CREATE TABLE dbo.T (A int NOT NULL, B int NOT NULL, PRIMARY KEY CLUSTERED (A, B DESC))",
      ],
      range: { columns: ["A"], unique: false, nullable: false },
      key: ["A", "B"],
    },
    {
      name: "a heap with a nonclustered primary key is not ordered by it",
      ddl: ["CREATE TABLE dbo.T (Id int NOT NULL PRIMARY KEY NONCLUSTERED)"],
      range: null,
      key: ["Id"],
    },
    {
      name: "a key of a type without an exact order ends the key",
      ddl: [
        "CREATE TABLE dbo.T (A int NOT NULL, B sql_variant NOT NULL, PRIMARY KEY CLUSTERED (A, B))",
      ],
      range: { columns: ["A"], unique: false, nullable: false },
      key: ["A", "B"],
    },
  ])("$name", async ({ ddl, range, key }, { sqlserver }) => {
    await sqlserver.run(...ddl);
    await withConnection(sqlserver.url, async (connection) => {
      const stream = await discoverTable(connection, "dbo.T");
      const found = stream.rangeKey;
      expect(
        found && {
          columns: found.columns.map(({ name }) => name),
          unique: found.unique,
          nullable: found.nullable,
        },
      ).toEqual(range);
      expect(stream.schema.key).toEqual(key);
    });
  });

  test("where another server calls the clustered index nonclustered, information_schema's primary key orders", async ({
    sqlserver,
  }) => {
    const { server } = sqlserver;
    if (server === null) return;
    await sqlserver.run(
      "CREATE TABLE dbo.T (A int NOT NULL, B int NOT NULL, CONSTRAINT PK_T PRIMARY KEY NONCLUSTERED (B, A))",
    );
    server.answer(/ProductVersion/, {
      columns: [
        { name: "version", type: "nvarchar(128)" },
        { name: "banner", type: "nvarchar(300)" },
        { name: "spid", type: "int" },
      ],
      rows: [
        [
          "12.0.2000.8",
          "Babelfish for PostgreSQL with SQL Server Compatibility - 12.0.2000.8",
          51,
        ],
      ],
    });
    await withConnection(sqlserver.url, async (connection) => {
      expect(connection.isMicrosoft).toBe(false);
      const stream = await discoverTable(connection, "dbo.T");
      expect(stream.rangeKey?.columns.map(({ name }) => name)).toEqual([
        "B",
        "A",
      ]);
      expect(stream.rangeKey?.unique).toBe(true);
    });
  });
});

describe("which tables", () => {
  test("all tables and no views, and views by name", async ({ sqlserver }) => {
    await sqlserver.run(
      "CREATE TABLE dbo.A (Id int NOT NULL)",
      "CREATE TABLE dbo.[b c] (Id int NOT NULL)",
      "CREATE VIEW dbo.V AS SELECT Id FROM dbo.A",
    );
    await withConnection(sqlserver.url, async (connection) => {
      const named = async (
        include: readonly string[],
        exclude: readonly string[] = [],
      ) =>
        (
          await discover(connection, { include, exclude, columns: null })
        ).streams.map(({ schema }) => `${schema.namespace}.${schema.name}`);
      expect(await named([])).toEqual(["dbo.A", "dbo.b c"]);
      expect(await named([], ["b*"])).toEqual(["dbo.A"]);
      expect(await named(["V"])).toEqual(["dbo.V"]);
      expect(await named(["dbo.b c"])).toEqual(["dbo.b c"]);
      await expect(named(["dbo.Aa"])).rejects.toMatchObject({
        code: "SOURCE_TABLE_NOT_FOUND",
      });
      await expect(
        discover(connection, { include: ["A"], exclude: [], columns: ["Idd"] }),
      ).rejects.toMatchObject({ code: "SOURCE_COLUMN_NOT_FOUND" });
      await expect(
        discover(connection, { ...all, columns: ["Id"] }),
      ).rejects.toMatchObject({ code: "USAGE" });
    });
  });

  test("two discoveries of one table agree, and another column makes another fingerprint", async ({
    sqlserver,
  }) => {
    await sqlserver.run(
      "CREATE TABLE dbo.A (Id int NOT NULL, V varchar(10) COLLATE Japanese_CI_AS NULL)",
    );
    await withConnection(sqlserver.url, async (connection) => {
      const first = await discoverTable(connection, "A");
      expect((await discoverTable(connection, "A")).schema.fingerprint).toBe(
        first.schema.fingerprint,
      );
      await sqlserver.run(
        "DROP TABLE dbo.A",
        "CREATE TABLE dbo.A (Id bigint NOT NULL)",
      );
      expect(
        (await discoverTable(connection, "A")).schema.fingerprint,
      ).not.toBe(first.schema.fingerprint);
    });
  });
});
