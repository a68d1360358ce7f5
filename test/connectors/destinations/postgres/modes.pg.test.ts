/** What each mode makes of a table: the first run, the second, and what is there already. */
import type { StreamSchema } from "../../../../proto/schema.ts";
import {
  buildBatches,
  buildSchema,
  type TestRow,
} from "../../../fixtures/batches.ts";
import {
  describe,
  expect,
  test,
  type PostgresFixture,
} from "../../../fixtures/postgres.ts";
import { Attempt, runOnce, type AttemptOptions } from "./attempts.ts";

const keyed: StreamSchema = {
  ...buildSchema({ id: "int32", name: "text" }, ["id"]),
  name: "orders",
  key: ["id"],
};

const rows = (from: number, to: number, tag: string): TestRow[] =>
  Array.from({ length: to - from }, (_, i) => [from + i, `${tag} ${from + i}`]);

async function run(
  pg: PostgresFixture,
  generation: number,
  content: readonly TestRow[],
  config: AttemptOptions["config"] = {},
  schema = keyed,
): Promise<void> {
  await runOnce(
    {
      url: pg.url,
      generation,
      runId: `r-20261121-10000${generation}-0001`,
      config,
    },
    schema,
    buildBatches(schema, content, 40),
  );
}

const read = (pg: PostgresFixture): Promise<{ id: number; name: string }[]> =>
  pg.query("SELECT id, name FROM public.orders ORDER BY id, name");

describe("full-refresh-overwrite", () => {
  test("makes the table with NOT NULL and its primary key, and replaces it", async ({
    pg,
  }) => {
    await run(pg, 1, rows(0, 100, "old"));
    expect(await read(pg)).toHaveLength(100);
    const [shape] = await pg.query(
      `SELECT conname, pg_get_constraintdef(oid) AS definition FROM pg_constraint
       WHERE conrelid = 'public.orders'::regclass AND contype = 'p'`,
    );
    expect(shape).toEqual({
      conname: "orders_pkey",
      definition: "PRIMARY KEY (id)",
    });
    await run(pg, 2, rows(50, 70, "new"));
    expect(await read(pg)).toEqual(
      rows(50, 70, "new").map(([id, name]) => ({ id, name })),
    );
    expect(
      await pg.query(
        "SELECT relname FROM pg_class WHERE relnamespace = '_millrace'::regnamespace AND relkind = 'r' ORDER BY 1",
      ),
    ).toEqual([
      { relname: "checkpoints" },
      { relname: "copies" },
      { relname: "epochs" },
      { relname: "generations" },
    ]);
  });

  test("keeps the order of the rows", async ({ pg }) => {
    await run(pg, 1, rows(0, 500, "row").toReversed());
    const found = await pg.query("SELECT id FROM public.orders");
    expect(found.map(({ id }) => id)).toEqual(
      rows(0, 500, "row")
        .map(([id]) => id)
        .toReversed(),
    );
  });

  test("refills a table that views, indexes and rights hang on, and takes other columns where nothing does", async ({
    pg,
  }) => {
    await run(pg, 1, rows(0, 10, "old"));
    await pg.query(
      "CREATE VIEW public.names AS SELECT name FROM public.orders; CREATE INDEX ON public.orders (name); GRANT SELECT ON public.orders TO PUBLIC",
    );
    await run(pg, 2, rows(5, 8, "new"));
    expect(
      await pg.query("SELECT name FROM public.names ORDER BY 1"),
    ).toHaveLength(3);
    const wider: StreamSchema = {
      ...buildSchema({ id: "int32", name: "text", more: "int64" }, ["id"]),
      name: "orders",
      key: ["id"],
    };
    const widerRows = [[1, "a", 2n]] as const;
    await expect(run(pg, 3, widerRows, {}, wider)).rejects.toThrow(
      /public\.orders has other columns by now.*views.*granted rights.*indexes/,
    );
    await pg.query(
      "DROP VIEW public.names; DROP INDEX public.orders_name_idx; DROP TABLE public.orders",
    );
    await run(pg, 4, widerRows, {}, wider);
    expect(await pg.query("SELECT * FROM public.orders")).toEqual([
      { id: 1, name: "a", more: "2" },
    ]);
  });

  test("refuses what a foreign key points to, rows of others, other shapes and views", async ({
    pg,
  }) => {
    await run(pg, 1, rows(0, 10, "old"));
    await pg.query(
      "CREATE TABLE public.lines (o int REFERENCES public.orders)",
    );
    await expect(run(pg, 2, rows(0, 1, "x"))).rejects.toThrow(
      /foreign keys of other tables point to it/,
    );
    await pg.query(
      "DROP TABLE public.lines; DROP TABLE public.orders; DELETE FROM _millrace.generations",
    );
    await pg.query(
      "CREATE TABLE public.orders (id int NOT NULL, name text); INSERT INTO public.orders VALUES (7, 'theirs')",
    );
    await expect(run(pg, 3, rows(0, 1, "x"))).rejects.toThrow(
      /has rows that no sync of ours wrote/,
    );
    await pg.query(
      "ALTER TABLE public.orders ALTER id TYPE bigint, ADD extra int NOT NULL DEFAULT 1",
    );
    await pg.query(
      "ALTER TABLE public.orders ALTER extra DROP DEFAULT, ALTER name SET NOT NULL, ALTER name TYPE varchar(50)",
    );
    await expect(run(pg, 4, rows(0, 1, "x"))).rejects.toThrow(
      /another shape: name is character varying\(50\) instead of text; extra wants a value/,
    );
    await pg.query(
      "DROP TABLE public.orders; CREATE VIEW public.orders AS SELECT 1 AS id",
    );
    await expect(run(pg, 5, rows(0, 1, "x"))).rejects.toThrow(
      /is there and is no table/,
    );
    // nothing half done
    expect(await pg.query("SELECT * FROM _millrace.generations")).toEqual([]);
  });

  test("a key that comes twice is one clear error, and the old table stays", async ({
    pg,
  }) => {
    await run(pg, 1, rows(0, 10, "old"));
    await expect(
      run(pg, 2, [...rows(0, 3, "a"), ...rows(2, 4, "b")]),
    ).rejects.toThrow(
      /could not make the primary key of public\.orders.*\(id\)=\(2\) is duplicated/,
    );
    expect(await read(pg)).toHaveLength(10);
  });

  test("an empty table arrives with its columns", async ({ pg }) => {
    const files = await runOnce({ url: pg.url }, keyed, []);
    expect(files).toEqual([
      { path: "public.orders@g1/empty", rows: 0, bytes: 0 },
    ]);
    expect(await read(pg)).toEqual([]);
  });
});

describe.for(["full-refresh-append", "incremental-append"] as const)(
  "%s",
  (mode) => {
    test("adds the rows of each run once, and has no primary key in the way", async ({
      pg,
    }) => {
      await run(pg, 1, rows(0, 60, "one"), { mode });
      await run(pg, 2, rows(50, 70, "two"), { mode });
      const names = await pg.query("SELECT name FROM public.orders");
      expect(new Set(names.map(({ name }) => name))).toEqual(
        new Set(
          [...rows(0, 60, "one"), ...rows(50, 70, "two")].map(
            ([, name]) => name,
          ),
        ),
      );
      expect(names).toHaveLength(80);
    });

    test("adds to a table that somebody made, and refuses one of another shape", async ({
      pg,
    }) => {
      await pg.query(
        "CREATE TABLE public.orders (noted timestamptz DEFAULT now(), name varchar, id bigint)",
      );
      await run(pg, 1, rows(0, 5, "one"), { mode });
      expect(await read(pg)).toHaveLength(5);
      await pg.query("CREATE TABLE public.others (id bigint)");
      const others = { ...keyed, name: "others" };
      await expect(
        run(pg, 2, rows(0, 5, "one"), { mode }, others),
      ).rejects.toThrow(/another shape: no column name/);
    });
  },
);

describe("incremental-append-dedupe", () => {
  const mode = "incremental-append-dedupe";
  const changes: StreamSchema = {
    ...buildSchema(
      { id: "int32", name: "text", _deleted: "boolean", _op: "text" },
      ["id"],
    ),
    name: "orders",
    key: ["id"],
  };
  const change = (
    id: number,
    name: string,
    op = "u",
    deleted: boolean | null = false,
  ): TestRow => [id, name, deleted, op];

  test("of one key the last row counts, within a run and between runs", async ({
    pg,
  }) => {
    await run(
      pg,
      1,
      [...rows(0, 100, "a"), ...rows(10, 90, "b"), ...rows(20, 30, "c")],
      { mode },
    );
    await run(pg, 2, [...rows(95, 105, "d"), ...rows(0, 1, "e")], { mode });
    const found = await read(pg);
    expect(found).toHaveLength(105);
    const nameOf = new Map(found.map(({ id, name }) => [id, name]));
    expect([0, 5, 15, 25, 92, 99, 104].map((id) => nameOf.get(id))).toEqual([
      "e 0",
      "a 5",
      "b 15",
      "c 25",
      "a 92",
      "d 99",
      "d 104",
    ]);
  });

  test("rows marked as deleted go, by flag or by operation; a later row brings the key back", async ({
    pg,
  }) => {
    await run(
      pg,
      1,
      [1, 2, 3, 4].map((id) => change(id, "first")),
      { mode },
      changes,
    );
    await run(
      pg,
      2,
      [
        change(1, "gone", "u", true),
        change(2, "gone", "D"),
        change(3, "gone", "delete"),
        change(3, "back", "c", null),
        change(9, "never", "d"),
      ],
      { mode },
      changes,
    );
    expect(await read(pg)).toEqual([
      { id: 3, name: "back" },
      { id: 4, name: "first" },
    ]);
  });

  test("soft deletes keep the row with its mark", async ({ pg }) => {
    await run(pg, 1, [change(1, "first")], { mode }, changes);
    await run(
      pg,
      2,
      [change(1, "last", "d", true)],
      { mode, deletes: "soft" },
      changes,
    );
    expect(await pg.query("SELECT * FROM public.orders")).toEqual([
      { id: 1, name: "last", _deleted: true, _op: "d" },
    ]);
  });

  test("wants a key, in the stream and in a table that is there", async ({
    pg,
  }) => {
    const { key: _, ...unkeyed } = keyed;
    await expect(
      run(pg, 1, rows(0, 1, "x"), { mode }, unkeyed),
    ).rejects.toThrow(/has no key that Postgres can index/);
    await pg.query("CREATE TABLE public.orders (id int NOT NULL, name text)");
    await expect(run(pg, 2, rows(0, 1, "x"), { mode })).rejects.toThrow(
      /has no unique index on its key \(id\)/,
    );
    await pg.query("CREATE UNIQUE INDEX ON public.orders (id)");
    await run(pg, 3, rows(0, 1, "x"), { mode });
    expect(await read(pg)).toHaveLength(1);
  });

  test("a composite key, and a table that is nothing but its key", async ({
    pg,
  }) => {
    const schema: StreamSchema = {
      ...buildSchema({ a: "int64", b: "text" }, ["a", "b"]),
      name: "orders",
      key: ["b", "a"],
    };
    await run(
      pg,
      1,
      [
        [1n, "x"],
        [1n, "x"],
        [1n, "y"],
      ],
      { mode },
      schema,
    );
    await run(
      pg,
      2,
      [
        [1n, "y"],
        [2n, "y"],
      ],
      { mode },
      schema,
    );
    expect(
      await pg.query("SELECT a, b FROM public.orders ORDER BY 1, 2"),
    ).toEqual([
      { a: "1", b: "x" },
      { a: "1", b: "y" },
      { a: "2", b: "y" },
    ]);
  });
});

test("names: a schema of one's own, long names, quotes, unicode", async ({
  pg,
}) => {
  const name = `Tables "№ 1" ${"ä".repeat(60)}`;
  const column = `Ключ'"${"x".repeat(80)}`;
  const schema: StreamSchema = {
    ...buildSchema({ [column]: "int32" }, [column]),
    name,
    key: [column],
  };
  const config = { schema: "from {namespace}", table: "{stream}" };
  await run(pg, 1, [[7]], config, schema);
  await run(pg, 2, [[8]], config, schema);
  const found = await pg.query(
    `SELECT c.relname, a.attname FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum = 1
     WHERE relnamespace = '"from public"'::regnamespace AND relkind = 'r'`,
  );
  expect(found).toHaveLength(1);
  expect(found[0].relname).toMatch(/^Tables "№ 1" ä+~[0-9a-f]{12}$/);
  expect(found[0].attname).toMatch(/^Ключ'"x+~[0-9a-f]{12}$/);
});

test("two streams never become one table", async ({ pg }) => {
  const attempt = await Attempt.begin({
    url: pg.url,
    config: { table: "all" },
  });
  try {
    await expect(
      attempt.storage.recover([
        attempt.recoverTarget(keyed, false),
        attempt.recoverTarget({ ...keyed, number: 2, name: "other" }, false),
      ]),
    ).rejects.toThrow(
      /public\.orders and public\.other would both become public\.all/,
    );
  } finally {
    await attempt.close();
  }
});

test("a table without columns keeps its count of rows", async ({ pg }) => {
  const schema: StreamSchema = { ...buildSchema({}), name: "orders" };
  const batch = { rowCount: 3, columns: [] };
  await runOnce({ url: pg.url }, schema, [batch]);
  expect(
    await pg.query("SELECT count(*)::int AS n FROM public.orders"),
  ).toEqual([{ n: 3 }]);
});
