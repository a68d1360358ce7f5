import { discover } from "../../../../connectors/sources/postgres/discover.ts";
import {
  describe,
  discoverOne,
  expect,
  select,
  streamNamed,
  test,
} from "./session.ts";

const namesOf = (streams: readonly { schema: { name: string } }[]) =>
  streams.map((stream) => stream.schema.name);

describe("which tables", () => {
  test("all of the user's schemas, in order, and none of the server's own", async ({
    pg,
    sessions: { connection },
  }) => {
    await pg.query(`
      CREATE TABLE b (id int PRIMARY KEY);
      CREATE TABLE a (id int PRIMARY KEY);
      CREATE SCHEMA audit;
      CREATE TABLE audit.log (id int);
      CREATE VIEW v AS SELECT id FROM a;
      CREATE MATERIALIZED VIEW m AS SELECT id FROM a;
      CREATE SEQUENCE s;
      CREATE TYPE composite AS (x int);
      CREATE TEMP TABLE hidden (id int)`);
    const { streams, problems, warnings, serverVersion } = await discover(
      connection,
      select(),
    );
    expect(
      streams.map((one) => `${one.schema.namespace}.${one.schema.name}`),
    ).toEqual(["audit.log", "public.a", "public.b", "public.m", "public.v"]);
    expect(streams.map((one) => one.schema.number)).toEqual([1, 2, 3, 4, 5]);
    expect(streams.map((one) => one.relationKind)).toEqual([
      ...["table", "table", "table", "materializedView", "view"],
    ]);
    expect([problems, warnings]).toEqual([[], []]);
    expect(Math.trunc(serverVersion / 10_000)).toBe(pg.serverVersion);
  });

  test("an empty database has no streams", async ({ sessions }) => {
    const found = await discover(sessions.connection, select());
    expect(found.streams).toEqual([]);
  });

  test("patterns, exclusions and exact names", async ({
    pg,
    sessions: { connection },
  }) => {
    await pg.query(`
      CREATE SCHEMA old;
      CREATE TABLE orders (id int);
      CREATE TABLE old.orders (id int);
      CREATE TABLE order_lines (id int);
      CREATE TABLE users (id int)`);
    const found = async (include: string[], exclude: string[] = []) => {
      const selection = select({ include, exclude });
      const { streams, warnings } = await discover(connection, selection);
      const names = streams.map(
        (one) => `${one.schema.namespace}.${one.schema.name}`,
      );
      return [names, warnings.length];
    };
    expect(await found(["order*"])).toEqual([
      ["old.orders", "public.order_lines", "public.orders"],
      0,
    ]);
    expect(await found(["orders"])).toEqual([["public.orders"], 0]);
    expect(await found(["old.orders"])).toEqual([["old.orders"], 0]);
    expect(await found(["old.*"])).toEqual([["old.orders"], 0]);
    expect(await found(["*"], ["old.*", "users"])).toEqual([
      ["public.order_lines", "public.orders"],
      0,
    ]);
    expect(await found(["users", "nothing*"], ["none"])).toEqual([
      ["public.users"],
      2,
    ]);
  });

  test("a name that nothing has is an error with the nearest ones", async ({
    pg,
    sessions: { connection },
  }) => {
    await pg.query("CREATE TABLE orders (id int); CREATE TABLE users (id int)");
    for (const name of ["ordrs", "public.ordrs", "Orders"]) {
      await expect(
        discover(connection, select({ include: ["users", name] })),
      ).rejects.toMatchObject({
        code: "SOURCE_TABLE_NOT_FOUND",
        message: expect.stringMatching(/did you mean (public\.)?orders\?$/),
      });
    }
    await expect(
      discover(connection, select({ include: ["x*"] })),
    ).rejects.toMatchObject({ code: "SOURCE_TABLE_NOT_FOUND" });
  });

  test("what an extension owns is read only when named", async ({
    pg,
    sessions: { connection },
  }) => {
    await pg.query("CREATE TABLE mine (id int); CREATE TABLE theirs (id int)");
    await pg.query("ALTER EXTENSION plpgsql ADD TABLE theirs");
    const all = await discover(connection, select());
    expect(namesOf(all.streams)).toEqual(["mine"]);
    const named = await discover(connection, select({ include: ["theirs"] }));
    expect(namesOf(named.streams)).toEqual(["theirs"]);
    await pg.query("ALTER EXTENSION plpgsql DROP TABLE theirs");
  });
});

describe("columns", () => {
  test("declared order, dropped ones gone, domains resolved, generated ones kept", async ({
    pg,
    sessions: { connection },
  }) => {
    await pg.query(`
      CREATE DOMAIN price AS numeric(12, 2);
      CREATE DOMAIN net_price AS price;
      CREATE TYPE mood AS ENUM ('sad', 'ok');
      CREATE TABLE t (
        id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
        gone text, name varchar(20) NOT NULL, cost net_price, mood mood, tags text[],
        twice bigint GENERATED ALWAYS AS (length(name) * 2) STORED);
      ALTER TABLE t DROP COLUMN gone`);
    const stream = await discoverOne(connection, "t");
    expect(stream.allColumnNames).toEqual([
      ...["id", "name", "cost", "mood", "tags", "twice"],
    ]);
    expect(
      stream.schema.columns.map((one) => [
        one.name,
        one.type.kind,
        one.sourceType,
        one.nullable,
      ]),
    ).toEqual([
      ["id", "int64", "bigint", false],
      ["name", "text", "character varying(20)", false],
      ["cost", "decimal64", "net_price", true],
      ["mood", "text", "mood", true],
      ["tags", "json", "text[]", true],
      ["twice", "int64", "bigint", true],
    ]);
    expect(stream.schema.columns[2]?.type).toEqual({
      kind: "decimal64",
      precision: 12,
      scale: 2,
    });
    expect(stream.schema.fingerprint).toMatch(/^[0-9a-f]{16}$/);
  });

  test("virtual generated columns and unproven NOT NULLs of version 18", async ({
    pg,
    sessions: { connection },
    skip,
  }) => {
    if (pg.serverVersion < 18) return skip("needs version 18");
    await pg.query(`
      CREATE TABLE t (id int, twice int GENERATED ALWAYS AS (id * 2) VIRTUAL);
      CREATE UNIQUE INDEX ON t (id);
      INSERT INTO t VALUES (1), (NULL);
      ALTER TABLE t ADD CONSTRAINT nn NOT NULL id NOT VALID`);
    const stream = await discoverOne(connection, "t");
    expect(
      stream.schema.columns.map((one) => [one.name, one.nullable]),
    ).toEqual([
      ["id", true],
      ["twice", true],
    ]);
    expect(stream.key).toBeNull();
  });

  test("--columns takes some, in their order, and only of one table", async ({
    pg,
    sessions: { connection },
  }) => {
    await pg.query("CREATE TABLE t (id int, name text, city text)");
    const chosen = select({ include: ["t"], columns: ["city", "id", "city"] });
    const { streams } = await discover(connection, chosen);
    expect(streams[0]?.schema.columns.map((one) => one.name)).toEqual([
      "city",
      "id",
    ]);
    await expect(
      discover(connection, select({ include: ["t"], columns: ["nmae"] })),
    ).rejects.toMatchObject({
      code: "SOURCE_COLUMN_NOT_FOUND",
      details: { table: "public.t", column: "nmae", nearest: "name" },
    });
    await pg.query("CREATE TABLE u (id int)");
    await expect(
      discover(connection, select({ columns: ["id"] })),
    ).rejects.toMatchObject({ code: "USAGE" });
  });

  test("the fingerprint follows names, types and nullability, and nothing else", async ({
    pg,
    sessions: { connection },
  }) => {
    await pg.query("CREATE TABLE t (id int, name varchar(20))");
    const fingerprint = async () =>
      (await discoverOne(connection, "t")).schema.fingerprint;
    const first = await fingerprint();
    await pg.query("CREATE INDEX ON t (name); INSERT INTO t VALUES (1, 'a')");
    expect(await fingerprint()).toBe(first);
    const seen = new Set([first]);
    for (const change of [
      "ALTER COLUMN id SET NOT NULL",
      "ALTER COLUMN name TYPE varchar(30)",
      "RENAME name TO title",
      "ADD COLUMN more int",
    ]) {
      await pg.query(`ALTER TABLE t ${change}`);
      seen.add(await fingerprint());
    }
    expect(seen.size).toBe(5);
  });
});

describe("keys", () => {
  test.for([
    {
      name: "primary key",
      ddl: "a int PRIMARY KEY, b int NOT NULL UNIQUE",
      key: ["a"],
    },
    {
      name: "fewest columns",
      ddl: "a int NOT NULL, b int NOT NULL, c int NOT NULL, UNIQUE (a, b), UNIQUE (c)",
      key: ["c"],
    },
    {
      name: "index order",
      ddl: "a int, b int, PRIMARY KEY (b, a)",
      key: ["b", "a"],
    },
    {
      name: "INCLUDE columns are no key",
      ddl: "a int PRIMARY KEY, b int, c int NOT NULL, UNIQUE (c) INCLUDE (b)",
      key: ["a"],
    },
    { name: "nullable", ddl: "a int UNIQUE", key: null },
    {
      name: "one column nullable",
      ddl: "a int NOT NULL, b int, UNIQUE (a, b)",
      key: null,
    },
    { name: "deferrable", ddl: "a int PRIMARY KEY DEFERRABLE", key: null },
    {
      name: "not unique",
      ddl: "a int NOT NULL",
      index: "CREATE INDEX ON t (a)",
      key: null,
    },
    {
      name: "partial",
      ddl: "a int NOT NULL",
      index: "CREATE UNIQUE INDEX ON t (a) WHERE a > 0",
      key: null,
    },
    {
      name: "expression",
      ddl: "a int NOT NULL",
      index: "CREATE UNIQUE INDEX ON t (abs(a))",
      key: null,
    },
    {
      name: "another operator class",
      ddl: "a text NOT NULL",
      index: "CREATE UNIQUE INDEX ON t (a text_pattern_ops)",
      key: null,
    },
    {
      name: "another collation",
      ddl: 'a text NOT NULL COLLATE "C"',
      index: 'CREATE UNIQUE INDEX ON t (a COLLATE "POSIX")',
      key: null,
    },
    {
      name: "mixed directions",
      ddl: "a int NOT NULL, b int NOT NULL",
      index: "CREATE UNIQUE INDEX ON t (a, b DESC)",
      key: null,
    },
    {
      name: "all descending",
      ddl: "a int NOT NULL, b int NOT NULL",
      index: "CREATE UNIQUE INDEX ON t (a DESC, b DESC)",
      key: ["a", "b"],
    },
    { name: "no index at all", ddl: "a int", key: null },
  ])("$name: $key", async ({ ddl, index = "", key }, { pg, sessions }) => {
    await pg.query(`CREATE TABLE t (${ddl}); ${index}`);
    const stream = await discoverOne(sessions.connection, "t");
    expect(stream.key?.columns.map((one) => one.name) ?? null).toEqual(key);
  });

  test.for([
    ["int", "integer", true],
    ["varchar(20)", "character varying(20)", true],
    ["numeric(10,2)", "numeric(10,2)", true],
    ["uuid", "uuid", true],
    ["timestamptz(3)", "timestamp(3) with time zone", true],
    ["float8", "double precision", false],
    ["real", "real", false],
    ["money", "money", false],
    ["int4range", "int4range", false],
    ["float8[]", "double precision[]", false],
    ["short_code", "character varying(8)", true],
  ] as const)(
    "%s is compared as %s, exact: %s",
    async ([declared, type, exact], { pg, sessions }) => {
      await pg.query(
        `CREATE DOMAIN code AS varchar(8); CREATE DOMAIN short_code AS code CHECK (length(value) < 5);
      CREATE TABLE t (k ${declared} PRIMARY KEY)`,
      );
      const stream = await discoverOne(sessions.connection, "t");
      expect(stream.key).toMatchObject({
        primary: true,
        columns: [{ name: "k", type, exact }],
      });
    },
  );

  test("an invalid index is no key", async ({ pg, sessions }) => {
    await pg.query("CREATE TABLE t (a int NOT NULL)");
    await pg.query("INSERT INTO t VALUES (1), (1)");
    await expect(
      pg.query("CREATE UNIQUE INDEX CONCURRENTLY i ON t (a)"),
    ).rejects.toThrow(/duplicated|could not create/);
    const stream = await discoverOne(sessions.connection, "t");
    expect(stream.key).toBeNull();
  });
});

describe("leaves", () => {
  test("a partitioned table is one stream of its storage, sub-partitions included", async ({
    pg,
    sessions: { connection },
  }) => {
    await pg.query(`
      CREATE TABLE sales (region text, id int, PRIMARY KEY (region, id)) PARTITION BY LIST (region);
      CREATE TABLE sales_eu PARTITION OF sales FOR VALUES IN ('eu') PARTITION BY RANGE (id);
      CREATE TABLE sales_eu_1 PARTITION OF sales_eu FOR VALUES FROM (0) TO (100);
      CREATE TABLE sales_eu_rest PARTITION OF sales_eu DEFAULT;
      CREATE SCHEMA far;
      CREATE TABLE far.sales_us PARTITION OF sales FOR VALUES IN ('us');
      CREATE TABLE sales_rest PARTITION OF sales DEFAULT;
      CREATE TABLE lonely (id int) PARTITION BY RANGE (id)`);
    const found = await discover(connection, select());
    expect(namesOf(found.streams)).toEqual(["lonely", "sales"]);
    const sales = streamNamed(found, "sales");
    expect(sales.relationKind).toBe("partitioned");
    expect(sales.leaves.map((leaf) => leaf.name).sort()).toEqual([
      "sales_eu_1",
      "sales_eu_rest",
      "sales_rest",
      "sales_us",
    ]);
    expect(sales.leaves.every((leaf) => leaf.only && leaf.heap)).toBe(true);
    expect(sales.leaves.every((leaf) => leaf.fileNode > 0)).toBe(true);
    expect(sales.key?.columns.map((one) => one.name)).toEqual(["region", "id"]);
    expect(streamNamed(found, "lonely").leaves).toMatchObject([
      { name: "lonely", only: false, heap: false, rowEstimate: 0 },
    ]);
  });

  test("a child is read alone when it is named", async ({ pg, sessions }) => {
    await pg.query(`
      CREATE TABLE p (id int) PARTITION BY RANGE (id);
      CREATE TABLE p_1 PARTITION OF p FOR VALUES FROM (0) TO (10)`);
    const stream = await discoverOne(sessions.connection, "p_1");
    expect(stream.relationKind).toBe("table");
    expect(stream.leaves.map((leaf) => leaf.name)).toEqual(["p_1"]);
  });

  test("an inherited table has its parent's rows as a leaf, and only the keys of all", async ({
    pg,
    sessions: { connection },
  }) => {
    await pg.query(`
      CREATE TABLE person (id int PRIMARY KEY, name text NOT NULL);
      CREATE TABLE student (school text) INHERITS (person);
      CREATE TABLE teacher (PRIMARY KEY (id)) INHERITS (person);
      CREATE TABLE both_of (more int) INHERITS (student, teacher)`);
    const stream = await discoverOne(connection, "person");
    expect(stream.leaves.map((leaf) => leaf.name).sort()).toEqual([
      ...["both_of", "person", "student", "teacher"],
    ]);
    expect(stream.key).toBeNull();
    await pg.query(
      "ALTER TABLE student ADD PRIMARY KEY (id); ALTER TABLE both_of ADD PRIMARY KEY (id)",
    );
    const keyed = await discoverOne(connection, "person");
    expect(keyed.key?.columns.map((one) => one.name)).toEqual(["id"]);
  });

  test("a child that allows NULL makes the column nullable", async ({
    pg,
    sessions: { connection },
    skip,
  }) => {
    if (pg.serverVersion >= 18) return skip("refused by version 18");
    await pg.query(`
      CREATE TABLE parent (id int NOT NULL, name text NOT NULL);
      CREATE TABLE child () INHERITS (parent);
      ALTER TABLE child ALTER COLUMN name DROP NOT NULL`);
    const stream = await discoverOne(connection, "parent");
    expect(stream.schema.columns.map((one) => one.nullable)).toEqual([
      false,
      true,
    ]);
  });

  test("statistics are scaled to the pages of now, and unknown without ANALYZE", async ({
    pg,
    sessions: { connection },
  }) => {
    await pg.query(`
      CREATE TABLE t (id int) WITH (autovacuum_enabled = off);
      CREATE TABLE e (id int);
      INSERT INTO t SELECT generate_series(1, 10000)`);
    const before = await discoverOne(connection, "t");
    expect(before.leaves[0]).toMatchObject({ rowEstimate: -1 });
    expect(before.leaves[0]?.pages).toBeGreaterThan(40);
    await pg.query("ANALYZE t; INSERT INTO t SELECT generate_series(1, 10000)");
    const after = await discoverOne(connection, "t");
    expect(after.leaves[0]?.rowEstimate).toBeGreaterThan(19_000);
    expect(after.leaves[0]?.rowEstimate).toBeLessThan(21_000);
    const empty = await discoverOne(connection, "e");
    expect(empty.leaves[0]).toMatchObject({ pages: 0, rowEstimate: 0 });
  });

  test("odd names come through as they are", async ({ pg, sessions }) => {
    await pg.query(`
      CREATE SCHEMA "A.b";
      CREATE TABLE "A.b"."we""ird. Table" ("na""me" int PRIMARY KEY, " " text, "ünï😀" date)`);
    const stream = await discoverOne(sessions.connection, 'we"ird. Table');
    expect(stream.schema.namespace).toBe("A.b");
    expect(stream.allColumnNames).toEqual(['na"me', " ", "ünï😀"]);
    expect(stream.key?.columns[0]?.name).toBe('na"me');
  });
});

describe("rights", () => {
  test("a table that may not be read is a problem, and the others go on", async ({
    pg,
    sessions: { connectAs, createRole },
  }) => {
    const role = await createRole();
    await pg.query(`
      CREATE TABLE open (id int); CREATE TABLE closed (id int);
      CREATE TABLE partly (id int PRIMARY KEY, secret text);
      CREATE SCHEMA hidden; CREATE TABLE hidden.t (id int);
      GRANT SELECT ON open, hidden.t TO ${role};
      GRANT SELECT (id) ON partly TO ${role}`);
    const reader = await connectAs(role);
    const { streams, problems } = await discover(reader, select());
    expect(namesOf(streams)).toEqual(["open"]);
    expect(problems.map((one) => [one.name, one.code])).toEqual([
      ["t", "SOURCE_PERMISSION_DENIED"],
      ["closed", "SOURCE_PERMISSION_DENIED"],
      ["partly", "SOURCE_PERMISSION_DENIED"],
    ]);
    expect(problems[2]?.message).toContain("secret");
    const some = await discover(
      reader,
      select({ include: ["partly"], columns: ["id"] }),
    );
    expect(namesOf(some.streams)).toEqual(["partly"]);
    expect(some.streams[0]?.key?.columns[0]?.name).toBe("id");
  });

  test("a key on a column that may not be read is no key", async ({
    pg,
    sessions: { connectAs, createRole },
  }) => {
    const role = await createRole();
    await pg.query(`
      CREATE TABLE t (id int PRIMARY KEY, name text);
      GRANT SELECT (name) ON t TO ${role}`);
    const reader = await connectAs(role);
    const selection = select({ include: ["t"], columns: ["name"] });
    const { streams } = await discover(reader, selection);
    expect(streams[0]?.key).toBeNull();
  });

  test("children that may not be read one by one are read through their root", async ({
    pg,
    sessions: { connectAs, createRole },
  }) => {
    const role = await createRole();
    await pg.query(`
      CREATE TABLE p (id int PRIMARY KEY) PARTITION BY RANGE (id);
      CREATE TABLE p_1 PARTITION OF p FOR VALUES FROM (0) TO (10);
      CREATE TABLE p_2 PARTITION OF p FOR VALUES FROM (10) TO (20);
      GRANT SELECT ON p, p_1 TO ${role}`);
    const stream = await discoverOne(await connectAs(role), "p");
    expect(stream.leaves).toMatchObject([
      { name: "p", only: false, heap: false, fileNode: 0 },
    ]);
    expect(stream.key).toBeNull();
  });

  test("row-level security is told, and never by-passed through a child", async ({
    pg,
    sessions: { connection, connectAs, createRole },
  }) => {
    const role = await createRole();
    await pg.query(`
      CREATE TABLE p (id int) PARTITION BY RANGE (id);
      CREATE TABLE p_1 PARTITION OF p FOR VALUES FROM (0) TO (10);
      ALTER TABLE p ENABLE ROW LEVEL SECURITY;
      CREATE POLICY few ON p USING (id < 5);
      GRANT SELECT ON p, p_1 TO ${role}`);
    const selection = select({ include: ["p"] });
    const seen = await discover(await connectAs(role), selection);
    expect(seen.warnings).toEqual([
      expect.stringMatching(/row-level security.*public\.p/),
    ]);
    expect(seen.streams[0]?.leaves.map((leaf) => leaf.name)).toEqual(["p"]);
    const owner = await discover(connection, selection);
    expect(owner.warnings).toEqual([]);
    expect(owner.streams[0]?.leaves.map((leaf) => leaf.name)).toEqual(["p_1"]);
  });

  test("what cannot be read for other reasons says why", async ({
    pg,
    sessions: { connection },
  }) => {
    await pg.query(`
      CREATE TABLE bare (); CREATE TABLE fine (id int);
      CREATE MATERIALIZED VIEW unfilled AS SELECT id FROM fine WITH NO DATA`);
    const { streams, problems } = await discover(connection, select());
    expect(namesOf(streams)).toEqual(["fine"]);
    expect(problems.map((one) => one.message)).toEqual([
      expect.stringContaining("public.bare has no columns"),
      expect.stringContaining("public.unfilled is not populated"),
    ]);
  });
});

test("the number of round trips does not grow with the number of tables", async ({
  pg,
  sessions: { connection },
}) => {
  await pg.query(`
    DO $$ BEGIN FOR i IN 1..60 LOOP
      EXECUTE format('CREATE TABLE t%s (id int PRIMARY KEY, name text)', i);
    END LOOP; END $$`);
  let queries = 0;
  const counting = {
    serverVersion: connection.serverVersion,
    query: <Row>(...args: Parameters<typeof connection.query>) => {
      queries += 1;
      return connection.query<Row>(...args);
    },
  };
  const { streams } = await discover(counting, select());
  expect(streams).toHaveLength(60);
  expect(streams.every((stream) => stream.key?.primary)).toBe(true);
  expect(queries).toBe(4);
});

test("what the log says of a table is told beside its columns", async ({
  pg,
  sessions: { connection },
}) => {
  await pg.query(`
    CREATE DOMAIN amount AS numeric(7,2);
    CREATE DOMAIN price AS amount;
    CREATE TYPE pair AS (x int, y int);
    CREATE TYPE shade AS ENUM ('dark');
    CREATE FUNCTION write(shade) RETURNS json IMMUTABLE LANGUAGE sql AS $$ SELECT json_build_object('shade', $1::text) $$;
    CREATE CAST (shade AS json) WITH FUNCTION write(shade);
    CREATE DOMAIN shadow AS shade;
    CREATE TABLE plain (id int PRIMARY KEY, dim shade, at timestamptz(3), tags text[]);
    CREATE TABLE told (id int PRIMARY KEY, one price, many price[], two pair, twos pair[],
      shades shade[], shadows shadow[]);
    ALTER TABLE told REPLICA IDENTITY FULL;
    CREATE TABLE parts (id int PRIMARY KEY) PARTITION BY RANGE (id);
    CREATE TABLE parts_1 PARTITION OF parts FOR VALUES FROM (0) TO (10);
    CREATE TABLE parts_2 PARTITION OF parts FOR VALUES FROM (10) TO (20);
    ALTER TABLE parts_1 REPLICA IDENTITY FULL`);
  const { streams } = await discover(connection, select());
  expect(
    Object.fromEntries(streams.map((one) => [one.schema.name, one.changes])),
  ).toEqual({
    plain: { beforeImage: "key", declaredTypes: {} },
    told: {
      beforeImage: "full",
      declaredTypes: {
        one: "numeric(7,2)",
        many: "numeric(7,2)[]",
        two: "record",
        twos: "record[]",
        shades: "cast[]",
        shadows: "cast[]",
      },
    },
    // its leaves write their own images
    parts: { beforeImage: "key", declaredTypes: {} },
  });
});
