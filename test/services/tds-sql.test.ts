import { describe, expect, test as base } from "vitest";
import { startTdsServer, type TdsServer } from "./tds/server.ts";

const test = base.extend<{ server: TdsServer }>({
  // oxlint-disable-next-line no-empty-pattern -- Vitest reads the pattern
  server: async ({}, use) => {
    const server = await startTdsServer();
    await use(server);
    await server.stop();
  },
});

/** The first column of each row. */
async function column(
  server: TdsServer,
  sql: string,
): Promise<(string | null)[]> {
  const rows = await server.query(sql);
  return rows.map((row) => Object.values(row)[0] ?? null);
}

describe("order and equality are those of the type", () => {
  /** In ascending order. */
  const ordered: readonly (readonly [
    type: string,
    values: readonly string[],
  ])[] = [
    ["int", ["-2147483648", "-1", "0", "9", "10"]],
    [
      "bigint",
      ["-9223372036854775808", "-1", "9007199254740992", "9007199254740993"],
    ],
    [
      "decimal(38,10)",
      [
        "-9999999999999999999999999999.0000000000",
        "-0.0000000001",
        "0.0000000000",
        "9.0000000000",
        "10.0000000000",
      ],
    ],
    ["money", ["-922337203685477.5808", "-1.0000", "9.0000", "10.0000"]],
    ["float", ["-1e+300", "-0.1", "1e-300", "2", "10"]],
    ["date", ["0001-01-01", "1999-12-31", "2000-01-01", "9999-12-31"]],
    ["time(7)", ["00:00:00.0000000", "09:59:59.9999999", "10:00:00.0000000"]],
    [
      "datetime",
      [
        "1753-01-01 00:00:00.000",
        "1899-12-31 23:59:59.997",
        "1900-01-01 00:00:00.000",
        "2024-01-01 00:00:00.003",
      ],
    ],
    [
      "datetime2(7)",
      [
        "0001-01-01 00:00:00.0000000",
        "2024-01-01 00:00:00.0000000",
        "2024-01-01 00:00:00.0000001",
      ],
    ],
    [
      "datetimeoffset(7)",
      [
        "2024-01-01 12:00:00.0000000 +14:00",
        "2024-01-01 00:00:00.0000000 +00:00",
        "2023-12-31 23:00:00.0000000 -14:00",
      ],
    ],
    ["varchar(20)", ["", "10", "9", "a", "AB", "b", "e", "\u00e9", "f"]],
    ["nvarchar(20) COLLATE Latin1_General_BIN2", ["A", "B", "a", "b"]],
    ["nvarchar(20) COLLATE Latin1_General_CS_AS", ["a", "A", "b", "B"]],
    ["varbinary(8)", ["0x", "0x00", "0x0001", "0x01", "0xFF"]],
    // the last six bytes count first
    [
      "uniqueidentifier",
      [
        "FF000000-0000-0000-0000-000000000001",
        "00000000-0000-0000-0100-000000000001",
        "00000000-0000-0000-0000-000000000002",
        "00000000-0000-0000-0000-010000000000",
      ],
    ],
  ];

  for (const [type, values] of ordered)
    test.for([false, true])(
      `${type}, with an index: %j`,
      async (indexed, { server }) => {
        await server.run(`CREATE TABLE t (v ${type} NULL, n int)`);
        if (indexed) await server.run("CREATE CLUSTERED INDEX i ON t (v)");
        await server.load(
          "t",
          [...values.map((value, i) => [value, i]), [null, -1]].toReversed(),
        );
        expect(await column(server, "SELECT v FROM t ORDER BY v, n")).toEqual([
          null,
          ...values,
        ]);
        expect(await column(server, "SELECT v FROM t ORDER BY v DESC")).toEqual(
          [null, ...values].toReversed(),
        );
        const [low, high] = await server.query(
          "SELECT MIN(v) AS v FROM t UNION ALL SELECT MAX(v) FROM t",
        );
        expect([low?.["v"], high?.["v"]]).toEqual([values[0], values.at(-1)]);
        for (const [i, value] of values.entries()) {
          const literal = value.startsWith("0x")
            ? value
            : `CAST(N'${value}' AS ${type.replace(/ COLLATE.*/, "")})`;
          expect(
            await column(server, `SELECT v FROM t WHERE v = ${literal}`),
          ).toEqual([value]);
          expect(
            await column(
              server,
              `SELECT n FROM t WHERE v >= ${literal} ORDER BY n`,
            ),
          ).toEqual(values.slice(i).map((_, j) => String(i + j)));
          expect(
            await column(
              server,
              `SELECT n FROM t WHERE v < ${literal} ORDER BY n`,
            ),
          ).toEqual(values.slice(0, i).map((_, j) => String(j)));
        }
      },
    );

  test("case and trailing blanks do not count, accents do", async ({
    server,
  }) => {
    await server.run(
      "CREATE TABLE t (v varchar(20)); INSERT INTO t VALUES ('Ann'), ('ANN  '), ('\u00c4nn')",
    );
    expect(
      await column(server, "SELECT COUNT(*) FROM t WHERE v = 'ann'"),
    ).toEqual(["2"]);
    expect(await column(server, "SELECT COUNT(DISTINCT v) FROM t")).toEqual([
      "2",
    ]);
    expect(await column(server, "SELECT DISTINCT v FROM t")).toHaveLength(2);
    expect(
      await column(
        server,
        "SELECT COUNT(*) FROM t WHERE v = 'ann' COLLATE Latin1_General_BIN2",
      ),
    ).toEqual(["0"]);
  });

  test("a datetime is not found by a datetime2 that only looks the same", async ({
    server,
  }) => {
    await server.run(
      "CREATE TABLE t (v datetime); INSERT INTO t VALUES ('2024-01-01 00:00:00.003')",
    );
    const find = (text: string, type: string) =>
      column(
        server,
        `SELECT COUNT(*) FROM t WHERE v = CAST('${text}' AS ${type})`,
      );
    expect(await find("2024-01-01 00:00:00.003", "datetime2(7)")).toEqual([
      "0",
    ]);
    expect(await find("2024-01-01 00:00:00.0033333", "datetime2(7)")).toEqual([
      "1",
    ]);
    expect(await find("2024-01-01 00:00:00.003", "datetime")).toEqual(["1"]);
  });

  test("moments with other offsets are equal", async ({ server }) => {
    await server.run(
      "CREATE TABLE t (v datetimeoffset(0)); INSERT INTO t VALUES ('2024-01-01 12:00:00 +02:00'), ('2024-01-01 10:00:00 +00:00')",
    );
    expect(
      await column(
        server,
        "SELECT COUNT(*) FROM t WHERE v = '2024-01-01 11:00:00 +01:00'",
      ),
    ).toEqual(["2"]);
    expect(await column(server, "SELECT COUNT(DISTINCT v) FROM t")).toEqual([
      "1",
    ]);
  });

  test("lone surrogates and zero characters are kept", async ({ server }) => {
    await server.run("CREATE TABLE t (v nvarchar(20))");
    await server.load("t", [["\ud800x"], ["a\0b"]]);
    expect(await column(server, "SELECT v FROM t")).toEqual([
      "\ud800x",
      "a\0b",
    ]);
  });
});

describe("queries", () => {
  test("join, group, sort, limit and count", async ({ server }) => {
    await server.run(`
      CREATE TABLE [dbo].[Order Lines] (Id int IDENTITY(10, 5) PRIMARY KEY, Product varchar(10), Amount decimal(10,2), [when] date DEFAULT '2024-01-01');
      CREATE TABLE Products (Name varchar(10) PRIMARY KEY, Price money);
      INSERT INTO [Order Lines] (Product, Amount) VALUES ('a', 1.5), ('A', 2.25), ('b', -1), (NULL, 0);
      INSERT INTO Products VALUES ('a', 10), ('b', 0.5), ('c', 7)`);
    expect(
      await server.query(
        "SELECT Product, SUM(Amount) AS total, COUNT(*) AS n FROM [Order Lines] GROUP BY Product HAVING COUNT(*) > 1",
      ),
    ).toEqual([{ Product: "a", total: "3.75", n: "2" }]);
    expect(
      await column(server, "SELECT Id FROM [Order Lines] ORDER BY Id"),
    ).toEqual(["10", "15", "20", "25"]);
    expect(
      await column(
        server,
        "SELECT p.Name FROM Products AS p LEFT JOIN [Order Lines] l ON l.Product = p.Name WHERE l.Id IS NULL",
      ),
    ).toEqual(["c"]);
    expect(
      await column(
        server,
        "SELECT TOP (2) Name FROM Products ORDER BY Price DESC",
      ),
    ).toEqual(["a", "c"]);
    expect(
      await column(
        server,
        "SELECT Name FROM Products ORDER BY Name OFFSET 1 ROWS FETCH NEXT 1 ROWS ONLY",
      ),
    ).toEqual(["b"]);
    expect(
      await column(
        server,
        "WITH x (n) AS (SELECT Price FROM Products) SELECT MAX(n) FROM x",
      ),
    ).toEqual(["10.0000"]);
    expect(
      await column(
        server,
        "SELECT Name FROM Products WHERE Name IN (SELECT Product FROM [Order Lines]) AND NOT Name LIKE '[b-z]%'",
      ),
    ).toEqual(["a"]);
    expect(
      await column(
        server,
        "SELECT n FROM (SELECT Name, ROW_NUMBER() OVER (ORDER BY Price) AS n FROM Products) x WHERE Name = 'a'",
      ),
    ).toEqual(["3"]);
    expect(
      await column(
        server,
        "SELECT CASE WHEN Price > 5 THEN 'dear' ELSE 'cheap' END FROM Products WHERE EXISTS (SELECT 1 FROM [Order Lines] WHERE Product = Name) ORDER BY 1",
      ),
    ).toEqual(["cheap", "dear"]);
    expect(
      await column(
        server,
        "SELECT [when] FROM [Order Lines] WHERE [when] BETWEEN '2023-01-01' AND '2024-06-01'",
      ),
    ).toHaveLength(4);
    expect(
      await column(
        server,
        "SELECT value FROM GENERATE_SERIES(1, 5) WHERE value % 2 = 0",
      ),
    ).toEqual(["2", "4"]);
  });

  test("conversions keep what the server keeps", async ({ server }) => {
    const cases: readonly (readonly [string, string | null])[] = [
      [
        "CAST(12345678901234567890.1234 AS varchar(50))",
        "12345678901234567890.1234",
      ],
      [
        "CONVERT(varchar(50), CAST(0.1 AS float), 3)",
        "1.0000000000000001e-001",
      ],
      [
        "CONVERT(varchar(50), CAST(-922337203685477.5808 AS money), 2)",
        "-922337203685477.5808",
      ],
      [
        "CONVERT(varchar(50), CAST('2024-02-29 12:34:56.1234567' AS datetime2(7)), 126)",
        "2024-02-29T12:34:56.1234567",
      ],
      [
        "CONVERT(varchar(50), CAST('2024-02-29T12:34:56.123' AS datetime), 121)",
        "2024-02-29 12:34:56.123",
      ],
      [
        "CONVERT(varchar(50), CAST('2024-02-29 13:05' AS smalldatetime))",
        "Feb 29 2024  1:05PM",
      ],
      ["CONVERT(varchar(50), 0x01FF, 1)", "0x01FF"],
      ["CAST('0x01FF' AS varbinary(8))", "0x307830314646"],
      ["CONVERT(varbinary(8), '0x01FF', 1)", "0x01FF"],
      ["CAST(CAST(258 AS int) AS binary(4))", "0x00000102"],
      ["CAST(CAST(2.5 AS decimal(5,1)) AS int)", "2"],
      ["CAST(2.345 AS decimal(5,2))", "2.35"],
      ["TRY_CAST('x' AS int)", null],
      ["7 / 2", "3"],
      ["CAST(7 AS decimal(5,2)) / 2", "3.500000"],
      ["LEN('ab  ') + DATALENGTH(N'ab')", "6"],
      ["ISNULL(NULL, 'x') + QUOTENAME('a]b')", "x[a]]b]"],
      ["DATEDIFF(day, '2024-02-28', '2024-03-01')", "2"],
      ["DATEADD(month, 1, CAST('2024-01-31' AS date))", "2024-02-29"],
    ];
    for (const [sql, expected] of cases)
      expect(await column(server, `SELECT ${sql} AS v`), sql).toEqual([
        expected,
      ]);
  });

  test.for([
    ["SELECT CAST('x' AS int)", 245],
    ["SELECT CAST(256 AS tinyint)", 8115],
    ["SELECT CAST('2024-02-30' AS date)", 241],
    ["SELECT nothing", 207],
    ["SELECT t.x FROM sys.tables AS s", 4104],
    ["SELECT FROM", 102],
    ["SELECT unknown_function(1)", 195],
    ["SELECT @x", 137],
    ["SELECT 1 / CAST(0 AS decimal(5,2))", 8134],
    ["COMMIT", 3902],
  ] as const)("%s is error %i", async ([sql, number], { server }) => {
    await expect(server.query(sql)).rejects.toMatchObject({ number });
  });

  test("keys, NOT NULL and lengths are kept to", async ({ server }) => {
    await server.run(
      "CREATE TABLE t (a int NOT NULL CONSTRAINT pk PRIMARY KEY, b varchar(2)); CREATE UNIQUE INDEX u ON t (b); INSERT INTO t VALUES (1, 'x')",
    );
    const fails = (sql: string) => expect(server.run(sql)).rejects;
    await fails("INSERT INTO t VALUES (1, 'y')").toMatchObject({
      number: 2627,
    });
    await fails("INSERT INTO t VALUES (2, 'X')").toMatchObject({
      number: 2601,
    });
    await fails("INSERT INTO t (b) VALUES ('y')").toMatchObject({
      number: 515,
    });
    await fails("INSERT INTO t VALUES (2, 'yyy')").toMatchObject({
      number: 2628,
    });
    expect(await column(server, "SELECT COUNT(*) FROM t")).toEqual(["1"]);
  });

  test("a sample is about as large as asked for, and the same for the same seed", async ({
    server,
  }) => {
    await server.run(
      "CREATE TABLE t (n int NOT NULL); INSERT INTO t SELECT value FROM GENERATE_SERIES(1, 20000)",
    );
    const sample = () =>
      column(server, "SELECT n FROM t TABLESAMPLE (10 PERCENT) REPEATABLE (7)");
    const first = await sample();
    expect(first.length).toBeGreaterThan(1000);
    expect(first.length).toBeLessThan(3000);
    expect(await sample()).toEqual(first);
  });

  test("tables change between runs", async ({ server }) => {
    await server.run(`
      CREATE TABLE t (a int, b varchar(10)); INSERT INTO t VALUES (1, 'x');
      ALTER TABLE t ADD c int NOT NULL DEFAULT 7, d rowversion;
      ALTER TABLE t ALTER COLUMN a bigint NOT NULL;
      ALTER TABLE t DROP COLUMN b`);
    expect(await server.query("SELECT * FROM t")).toEqual([
      { a: "1", c: "7", d: "0x00000000000007D1" },
    ]);
    await server.run(
      "DROP TABLE t; CREATE TABLE t (z int); DROP TABLE IF EXISTS nothing",
    );
    expect(await server.query("SELECT COUNT(*) AS n FROM t")).toEqual([
      { n: "0" },
    ]);
  });
});

describe("the catalogue", () => {
  test("tells of tables, columns, keys and sizes", async ({ server }) => {
    await server.run(`
      CREATE TABLE Employees (Id int NOT NULL PRIMARY KEY NONCLUSTERED, HireDate date NULL, Name nvarchar(40) COLLATE Latin1_General_BIN2, Pay decimal(12,2), At datetime2(3));
      CREATE CLUSTERED INDEX ByHireDate ON Employees (HireDate DESC, Id);
      CREATE TABLE Heap (x varchar(max), r rowversion);
      INSERT INTO Employees (Id) VALUES (1), (2), (3)`);
    expect(
      await server.query(
        "SELECT c.name, t.name AS type, c.max_length, c.precision, c.scale, c.is_nullable, c.collation_name FROM sys.columns c JOIN sys.types t ON t.user_type_id = c.user_type_id WHERE c.object_id = OBJECT_ID(N'dbo.Employees') ORDER BY c.column_id",
      ),
    ).toEqual([
      {
        name: "Id",
        type: "int",
        max_length: "4",
        precision: "10",
        scale: "0",
        is_nullable: "0",
        collation_name: null,
      },
      {
        name: "HireDate",
        type: "date",
        max_length: "3",
        precision: "10",
        scale: "0",
        is_nullable: "1",
        collation_name: null,
      },
      {
        name: "Name",
        type: "nvarchar",
        max_length: "80",
        precision: "0",
        scale: "0",
        is_nullable: "1",
        collation_name: "Latin1_General_BIN2",
      },
      {
        name: "Pay",
        type: "decimal",
        max_length: "9",
        precision: "12",
        scale: "2",
        is_nullable: "1",
        collation_name: null,
      },
      {
        name: "At",
        type: "datetime2",
        max_length: "7",
        precision: "23",
        scale: "3",
        is_nullable: "1",
        collation_name: null,
      },
    ]);
    expect(
      await server.query(
        "SELECT i.name, i.type_desc, i.is_primary_key AS pk, c.name AS col, ic.is_descending_key AS down FROM sys.tables t JOIN sys.indexes i ON i.object_id = t.object_id LEFT JOIN sys.index_columns ic ON ic.object_id = i.object_id AND ic.index_id = i.index_id LEFT JOIN sys.columns c ON c.object_id = ic.object_id AND c.column_id = ic.column_id ORDER BY t.name, i.index_id, ic.key_ordinal",
      ),
    ).toEqual([
      {
        name: "ByHireDate",
        type_desc: "CLUSTERED",
        pk: "0",
        col: "HireDate",
        down: "1",
      },
      {
        name: "ByHireDate",
        type_desc: "CLUSTERED",
        pk: "0",
        col: "Id",
        down: "0",
      },
      {
        name: "PK__Employees__2",
        type_desc: "NONCLUSTERED",
        pk: "1",
        col: "Id",
        down: "0",
      },
      { name: null, type_desc: "HEAP", pk: "0", col: null, down: null },
    ]);
    expect(
      await column(
        server,
        "SELECT SUM(row_count) FROM sys.dm_db_partition_stats WHERE object_id = OBJECT_ID('Employees') AND index_id IN (0, 1)",
      ),
    ).toEqual(["3"]);
    expect(
      await server.query(
        "SELECT k.COLUMN_NAME AS c, c.DATA_TYPE AS t FROM INFORMATION_SCHEMA.KEY_COLUMN_USAGE k JOIN INFORMATION_SCHEMA.COLUMNS c ON c.TABLE_NAME = k.TABLE_NAME AND c.COLUMN_NAME = k.COLUMN_NAME",
      ),
    ).toEqual([{ c: "Id", t: "int" }]);
  });

  test("histograms hold all rows in at most 200 steps", async ({ server }) => {
    await server.run(
      "CREATE TABLE t (n int NOT NULL PRIMARY KEY); INSERT INTO t SELECT value * 3 FROM GENERATE_SERIES(1, 10000)",
    );
    const [row] = await server.query(`
      SELECT COUNT(*) AS steps, SUM(h.range_rows + h.equal_rows) AS rows, MIN(CAST(h.range_high_key AS int)) AS low, MAX(CAST(h.range_high_key AS int)) AS high
      FROM sys.stats AS s CROSS APPLY sys.dm_db_stats_histogram(s.object_id, s.stats_id) AS h WHERE s.object_id = OBJECT_ID('t')`);
    expect(Number(row?.["steps"])).toBeGreaterThan(150);
    expect(Number(row?.["steps"])).toBeLessThanOrEqual(200);
    expect(row).toMatchObject({ rows: "10000", low: "3", high: "30000" });
  });
});
