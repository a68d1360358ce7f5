import { discover } from "../../../../connectors/sources/mysql/discover.ts";
import { parseSourceUrl } from "../../../../connectors/sources/mysql/url.ts";
import { MysqlConnection } from "../../../../connectors/sources/mysql/connection.ts";
import {
  describe,
  discoverOne,
  expect,
  flavours,
  select,
  sessionsOn,
  streamNamed,
} from "./sessions.ts";

const namesOf = (found: Awaited<ReturnType<typeof discover>>) =>
  found.streams.map(({ schema }) => schema.name);

describe.each(flavours)("%s", (flavour) => {
  const test = sessionsOn(flavour);

  describe("which tables", () => {
    const ddl = `CREATE TABLE orders (id INT PRIMARY KEY); CREATE TABLE order_lines (id INT);
      CREATE TABLE \`odd.name-ä\` (id INT); CREATE VIEW seen AS SELECT * FROM orders`;

    test("those of the URL's database, views only by name", async ({
      server,
      sessions: { connection },
    }) => {
      await server.query(ddl);
      const other = await server.createDatabase();
      await server.query(`CREATE TABLE ${other}.elsewhere (a INT)`);
      const all = await discover(connection, select());
      expect(namesOf(all)).toEqual(["odd.name-ä", "order_lines", "orders"]);
      expect(all.streams.map(({ schema }) => schema.number)).toEqual([1, 2, 3]);
      expect(all.streams[0]?.schema.namespace).toBe(server.database);
      const views = await discover(
        connection,
        select({ include: ["se*", "orders"] }),
      );
      expect(views.streams.map((one) => one.relationKind)).toEqual([
        "table",
        "view",
      ]);
      const without = await discover(
        connection,
        select({ exclude: ["order*", "nothing"] }),
      );
      expect(namesOf(without)).toEqual(["odd.name-ä"]);
      expect(without.warnings).toEqual([
        "no table matches the exclusion nothing",
      ]);
    });

    test("without a database in the URL, those of all that are not the server's own", async ({
      server,
      sessions,
    }) => {
      await server.query(ddl);
      const other = await server.createDatabase();
      await server.query(`CREATE TABLE ${other}.elsewhere (a INT)`);
      const { url } = await server.createUser([
        `SELECT ON ${server.database}.*`,
        `SELECT ON ${other}.*`,
      ]);
      const everywhere = new URL(url);
      everywhere.pathname = "/";
      const connection = await sessions.connect(everywhere.href);
      const all = await discover(connection, select());
      expect(new Set(namesOf(all))).toEqual(
        new Set(["odd.name-ä", "order_lines", "orders", "elsewhere"]),
      );
      const named = await discover(
        connection,
        select({ include: [`${other}.elsewhere`] }),
      );
      expect(named.streams[0]?.schema).toMatchObject({
        namespace: other,
        name: "elsewhere",
      });
    });

    test("a name that nothing has is told with the nearest, and so is a column's", async ({
      server,
      sessions: { connection },
    }) => {
      await server.query(ddl);
      await expect(
        discover(connection, select({ include: ["oders"] })),
      ).rejects.toMatchObject({
        code: "SOURCE_TABLE_NOT_FOUND",
        details: { nearest: expect.stringContaining("orders") },
      });
      await expect(
        discover(connection, select({ include: ["orders"], columns: ["ide"] })),
      ).rejects.toMatchObject({
        code: "SOURCE_COLUMN_NOT_FOUND",
        details: { nearest: "id" },
      });
      await expect(
        discover(connection, select({ columns: ["id"] })),
      ).rejects.toMatchObject({ code: "USAGE" });
    });
  });

  test("a table's columns, generated and invisible ones included", async ({
    server,
    sessions: { connection },
  }) => {
    // MySQL has invisible columns since 8.0.23
    const hasInvisible =
      flavour === "mariadb" || server.serverVersion >= 80_023;
    await server.query(`CREATE TABLE t (
      id INT UNSIGNED PRIMARY KEY, n DECIMAL(20,4) NOT NULL, name VARCHAR(20) CHARACTER SET latin1 COLLATE latin1_swedish_ci,
      twice INT AS (id * 2) VIRTUAL, kept INT AS (id * 3) STORED, at DATETIME(3) DEFAULT CURRENT_TIMESTAMP(3),
      doc JSON, hidden INT ${hasInvisible ? "INVISIBLE" : ""} DEFAULT 7)`);
    const { columns, schema, key } = await discoverOne(connection, "t");
    const byName = Object.fromEntries(columns.map((one) => [one.name, one]));
    expect(columns.map(({ name }) => name)).toEqual([
      "id",
      "n",
      "name",
      "twice",
      "kept",
      "at",
      "doc",
      "hidden",
    ]);
    expect(byName["id"]).toMatchObject({
      dataType: "int",
      unsigned: true,
      nullable: false,
      generated: false,
    });
    expect(byName["n"]).toMatchObject({ precision: 20, scale: 4 });
    expect(byName["name"]).toMatchObject({
      charset: "latin1",
      collation: "latin1_swedish_ci",
      nullable: true,
    });
    expect([byName["twice"], byName["kept"]]).toMatchObject([
      { generated: true },
      { generated: true },
    ]);
    expect(byName["at"]).toMatchObject({
      datetimePrecision: 3,
      generated: false,
    });
    expect(byName["hidden"]?.invisible).toBe(hasInvisible);
    expect(schema.columns.find(({ name }) => name === "doc")?.type.kind).toBe(
      "json",
    );
    expect(key?.columns).toEqual([
      { name: "id", type: columns[0]?.columnType, exact: true },
    ]);
    expect(schema.key).toEqual(["id"]);
  });

  test("some columns in the order of asking; a key is named only where all of it is copied", async ({
    server,
    sessions: { connection },
  }) => {
    await server.query(
      "CREATE TABLE t (a INT, b INT, c INT, PRIMARY KEY (a, b))",
    );
    const some = await discover(
      connection,
      select({ include: ["t"], columns: ["c", "a", "c"] }),
    );
    const stream = streamNamed(some, "t");
    expect(stream.schema.columns.map(({ name }) => name)).toEqual(["c", "a"]);
    expect(stream.schema.key).toBeUndefined();
    expect(stream.key?.columns.map(({ name }) => name)).toEqual(["a", "b"]);
    expect(stream.allColumnNames).toEqual(["a", "b", "c"]);
  });

  test("the fingerprint changes with the columns and with nothing else", async ({
    server,
    sessions: { connection },
  }) => {
    await server.query("CREATE TABLE t (a INT PRIMARY KEY, b VARCHAR(9))");
    const first = await discoverOne(connection, "t");
    await server.query(
      "INSERT INTO t VALUES (1, 'x'); CREATE INDEX i ON t (b)",
    );
    const second = await discoverOne(connection, "t");
    await server.query("ALTER TABLE t MODIFY b VARCHAR(10)");
    const third = await discoverOne(connection, "t");
    expect(second.schema.fingerprint).toBe(first.schema.fingerprint);
    expect(third.schema.fingerprint).not.toBe(first.schema.fingerprint);
    expect(third.leaves[0]?.oid).toBe(first.leaves[0]?.oid);
  });

  describe("keys", () => {
    test.for([
      {
        name: "the primary one, whatever stands before it",
        ddl: "b INT NOT NULL UNIQUE, a INT PRIMARY KEY",
        key: ["a"],
        named: ["a"],
      },
      {
        name: "else the first unique one without NULLs, by which the rows are kept",
        ddl: "a INT NOT NULL, b INT NOT NULL, c INT NOT NULL, n INT, UNIQUE KEY n (n), UNIQUE KEY z (b, c), UNIQUE KEY y (a)",
        key: ["b", "c"],
        named: ["a"],
      },
      {
        name: "none with NULLs",
        ddl: "a INT, b INT NOT NULL, UNIQUE KEY k (a, b)",
        key: null,
        named: undefined,
      },
      {
        name: "none of a prefix",
        ddl: "a VARCHAR(200) NOT NULL, UNIQUE KEY k (a(10))",
        key: null,
        named: undefined,
      },
      {
        name: "an enum tells rows apart, but ranges cannot be cut on it",
        ddl: "a ENUM('z', 'a'), PRIMARY KEY (a)",
        key: null,
        named: ["a"],
      },
      {
        name: "a float has no exact text",
        ddl: "a DOUBLE PRIMARY KEY",
        key: ["a"],
        named: ["a"],
        exact: false,
      },
      {
        name: "none that is not unique",
        ddl: "a INT NOT NULL, KEY k (a)",
        key: null,
        named: undefined,
      },
    ])(
      "$name",
      async (
        { ddl, key, named, exact = true },
        { server, sessions: { connection } },
      ) => {
        await server.query(`CREATE TABLE t (${ddl})`);
        const stream = await discoverOne(connection, "t");
        expect(stream.key?.columns.map(({ name }) => name) ?? null).toEqual(
          key,
        );
        expect(stream.schema.key).toEqual(named);
        if (key !== null) {
          expect(stream.key?.columns.every((one) => one.exact)).toBe(exact);
        }
      },
    );
  });

  describe("rights", () => {
    test("what may not be read is a problem of that table, and the others go on", async ({
      server,
      sessions,
    }) => {
      await server.query(`CREATE TABLE open_to_all (a INT PRIMARY KEY);
        CREATE TABLE partly (a INT, secret INT); CREATE TABLE to_write (a INT);
        CREATE TABLE unseen (a INT)`);
      const { url } = await server.createUser([
        `SELECT ON ${server.database}.open_to_all`,
        `SELECT (a) ON ${server.database}.partly`,
        `INSERT ON ${server.database}.to_write`,
      ]);
      const connection = await sessions.connect(url);
      const found = await discover(connection, select());
      expect(namesOf(found)).toEqual(["open_to_all"]);
      expect(found.problems.map(({ name, code }) => [name, code])).toEqual([
        ["partly", "SOURCE_PERMISSION_DENIED"],
        ["to_write", "SOURCE_PERMISSION_DENIED"],
      ]);
      await expect(
        discover(connection, select({ include: ["unseen"] })),
      ).rejects.toMatchObject({ code: "SOURCE_TABLE_NOT_FOUND" });
      const some = await discover(
        connection,
        select({ include: ["partly"], columns: ["a"] }),
      );
      expect(some.problems).toEqual([]);
      expect(namesOf(some)).toEqual(["partly"]);
    });

    test("a view of which a table is gone is a problem in the server's words", async ({
      server,
      sessions: { connection },
    }) => {
      await server.query(
        "CREATE TABLE base (a INT); CREATE VIEW broken AS SELECT a FROM base; DROP TABLE base; CREATE TABLE t (a INT)",
      );
      const found = await discover(
        connection,
        select({ include: ["broken", "t"] }),
      );
      expect(namesOf(found)).toEqual(["t"]);
      expect(found.problems[0]).toMatchObject({
        name: "broken",
        relationKind: "view",
        message: expect.stringContaining("references invalid table"),
      });
    });
  });

  test("tables of engines without snapshots are warned of", async ({
    server,
    sessions: { connection },
  }) => {
    await server.query(
      "CREATE TABLE old (a INT PRIMARY KEY) ENGINE = MyISAM; CREATE TABLE t (a INT)",
    );
    const found = await discover(connection, select());
    expect(found.warnings).toEqual([
      expect.stringMatching(/\.old is kept by MyISAM/),
    ]);
    expect(streamNamed(found, "old").key).toBeNull();
    expect(streamNamed(found, "old").schema.key).toEqual(["a"]);
  });

  test("many tables, partitioned ones among them, take few round trips", async ({
    server,
  }) => {
    const names = Array.from({ length: 120 }, (_, i) => `t${i}`);
    await server.query(
      names
        .map(
          (name, i) =>
            `CREATE TABLE ${name} (id INT PRIMARY KEY, v${i} INT)${i % 10 === 0 ? " PARTITION BY HASH (id) PARTITIONS 2" : ""};`,
        )
        .join(""),
    );
    const connection = await MysqlConnection.connect(
      parseSourceUrl(server.url, {}),
    );
    let queries = 0;
    const counting = {
      flavour: connection.flavour,
      serverVersion: connection.serverVersion,
      query: (sql: string) => {
        queries += 1;
        return connection.query(sql) as never;
      },
    };
    const found = await discover(counting, select());
    await connection.close();
    expect(found.streams.length).toBe(120);
    expect(queries).toBeLessThan(20);
    const kinds = found.streams.map((one) => one.relationKind);
    expect(kinds.filter((kind) => kind === "partitioned").length).toBe(12);
    expect(found.streams.every(({ leaves }) => leaves.length === 1)).toBe(true);
    const nodes = found.streams.map(({ leaves }) => leaves[0]?.fileNode);
    expect(new Set(nodes).size).toBe(120);
    expect(streamNamed(found, "t7").columns.map(({ name }) => name)).toEqual([
      "id",
      "v7",
    ]);
  });
});
