/** Columns that change between runs whose rows are appended or merged: the table follows where nothing is lost by it. */
import { holdsType } from "../../../../connectors/destinations/postgres/shape.ts";
import type { PostgresMode } from "../../../../connectors/destinations/postgres/config.ts";
import type {
  LogicalKind,
  LogicalType,
  StreamSchema,
} from "../../../../proto/schema.ts";
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
import { runOnce } from "./attempts.ts";
import { Bookkeeper } from "./bookkeeper.ts";
import { startStatementProxy } from "./statement-proxy.ts";

type Columns = Readonly<Record<string, LogicalKind | LogicalType>>;

function orders(columns: Columns, required: readonly string[] = []) {
  const schema: StreamSchema = {
    ...buildSchema(columns, ["id", ...required]),
    name: "orders",
    key: ["id"],
  };
  return schema;
}

const modes = ["incremental-append", "incremental-append-dedupe"] as const;
const STATEMENTS_MAX = 100;

interface Run {
  readonly generation: number;
  readonly mode: PostgresMode;
  readonly url?: string;
}

function run(
  pg: PostgresFixture,
  { generation, mode, url }: Run,
  schema: StreamSchema,
  rows: readonly TestRow[],
): Promise<unknown> {
  const runId = `r-20261121-1000${String(generation).padStart(2, "0")}-0001`;
  return runOnce(
    { url: url ?? pg.url, generation, runId, config: { mode } },
    schema,
    buildBatches(schema, rows, 10),
  );
}

async function readTypes(pg: PostgresFixture): Promise<string[]> {
  const found = await pg.query(
    `SELECT attname || ' ' || format_type(atttypid, atttypmod) || CASE WHEN attnotnull THEN ' NOT NULL' ELSE '' END AS "column"
     FROM pg_attribute WHERE attrelid = 'public.orders'::regclass AND attnum > 0 AND NOT attisdropped ORDER BY attnum`,
  );
  return found.map(({ column }) => column);
}

const read = (pg: PostgresFixture) =>
  pg.query("SELECT * FROM public.orders ORDER BY id");

describe.for(modes)("%s", (mode) => {
  test("a column that appears is added, and is NULL in the rows before it", async ({
    pg,
  }) => {
    await run(pg, { generation: 1, mode }, orders({ id: "int32" }), [[1]]);
    await pg.query("CREATE VIEW public.seen AS SELECT id FROM public.orders");
    await run(
      pg,
      { generation: 2, mode },
      orders({ id: "int32", "It's": "text", at: "timestamptz" }, ["at"]),
      [[2, "new", 0n]],
    );
    const at = new Date(0);
    expect(await read(pg)).toEqual([
      { id: 1, "It's": null, at: null },
      { id: 2, "It's": "new", at },
    ]);
    expect(await pg.query("SELECT * FROM public.seen")).toHaveLength(2);
  });

  test("a column that is gone stays and gets NULL; where it takes none, that is told before a row is read", async ({
    pg,
  }) => {
    const before = orders({ id: "int32", a: "text", b: "text" }, ["b"]);
    await run(pg, { generation: 1, mode }, before, [[1, "a", "b"]]);
    const after = orders({ id: "int32", b: "text" }, ["b"]);
    await run(pg, { generation: 2, mode }, after, [[2, "b"]]);
    expect(await read(pg)).toEqual([
      { id: 1, a: "a", b: "b" },
      { id: 2, a: null, b: "b" },
    ]);
    await expect(
      run(pg, { generation: 3, mode }, orders({ id: "int32" }), [[3]]),
    ).rejects.toThrow(
      /public\.orders is there and has another shape: b wants a value, which the source has none for/,
    );
    expect(await read(pg)).toHaveLength(2);
  });

  test("a column that became wider is altered, its values and the key's included", async ({
    pg,
  }) => {
    const decimal = (precision: number, scale: number): LogicalType => ({
      kind: precision > 18 ? "decimal128" : "decimal64",
      precision,
      scale,
    });
    const before = orders({
      id: "int16",
      whole: "int32",
      exact: decimal(10, 2),
      float: "float32",
      counted: "int64",
      words: "text",
    });
    await run(pg, { generation: 1, mode }, before, [
      [1, -2147483648, "12345678.90", 0.1, 9223372036854775807n, "five5"],
    ]);
    await pg.query("ALTER TABLE public.orders ALTER words TYPE varchar(5)");
    const after = orders({
      id: "int64",
      whole: decimal(38, 6),
      exact: decimal(20, 4),
      float: "float64",
      counted: "decimalText",
      words: "text",
    });
    await run(pg, { generation: 2, mode }, after, [
      [
        2n ** 40n,
        "0.000001",
        "0.0005",
        0.1,
        `1${"0".repeat(40)}`,
        "longer than five",
      ],
    ]);
    expect(await readTypes(pg)).toEqual([
      "id bigint NOT NULL",
      "whole numeric(38,6)",
      "exact numeric(20,4)",
      "float double precision",
      "counted numeric",
      "words text",
    ]);
    expect(
      await pg.query(
        "SELECT id::text, whole::text, exact::text, float::real::text, counted::text, words FROM public.orders ORDER BY orders.id",
      ),
    ).toEqual([
      {
        id: "1",
        whole: "-2147483648.000000",
        exact: "12345678.9000",
        float: "0.1",
        counted: "9223372036854775807",
        words: "five5",
      },
      {
        id: String(2n ** 40n),
        whole: "0.000001",
        exact: "0.0005",
        float: "0.1",
        counted: "10000000000000000000000000000000000000000",
        words: "longer than five",
      },
    ]);
  });

  test("what would lose something is refused with both types, and nothing is done", async ({
    pg,
  }) => {
    await run(
      pg,
      { generation: 1, mode },
      orders({ id: "int32", a: "text", b: "timestamp", c: "int32" }),
      [[1, "7", 0n, 1]],
    );
    await pg.query("CREATE VIEW public.seen AS SELECT c FROM public.orders");
    const types = await readTypes(pg);
    await expect(
      run(
        pg,
        { generation: 2, mode },
        orders({
          id: "int32",
          a: "int32",
          b: "timestamptz",
          c: "int64",
          added: "text",
        }),
        [],
      ),
    ).rejects.toThrow(
      "a is text instead of integer; b is timestamp without time zone instead of timestamp with time zone; c is integer instead of bigint, and cannot be altered, since other things depend on it",
    );
    expect(await readTypes(pg)).toEqual(types);
  });

  test("a table that no run of ours has written to is not altered", async ({
    pg,
  }) => {
    await pg.query("CREATE TABLE public.orders (id int PRIMARY KEY, a int)");
    await expect(
      run(
        pg,
        { generation: 1, mode },
        orders({ id: "int32", a: "int64", b: "text" }),
        [],
      ),
    ).rejects.toThrow(
      /another shape: a is integer instead of bigint; no column b/,
    );
  });

  test("who does not own the table may not alter it, and is told before a row is read", async ({
    pg,
  }) => {
    const role = `evolver_${pg.url.slice(-8)}`;
    await run(pg, { generation: 1, mode }, orders({ id: "int32" }), [[1]]);
    await pg.query(`CREATE ROLE ${role} LOGIN PASSWORD 'x'`);
    try {
      await pg.query(
        `GRANT USAGE, CREATE ON SCHEMA _millrace TO ${role}; GRANT ALL ON ALL TABLES IN SCHEMA _millrace TO ${role}; GRANT ALL ON public.orders TO ${role}`,
      );
      const url = Object.assign(new URL(pg.url), {
        username: role,
        password: "x",
      }).href;
      await expect(
        run(
          pg,
          { generation: 2, mode, url },
          orders({ id: "int32", added: "text" }),
          [],
        ),
      ).rejects.toThrow(
        'this user, who does not own it, may not ADD COLUMN "added" text',
      );
    } finally {
      await pg.query(`DROP OWNED BY ${role}; DROP ROLE ${role}`);
    }
  });
});

// without an answer it is not known whether the server has acted
test.for([
  ["incremental-append", "before"],
  ["incremental-append-dedupe", "answer"],
] as const)(
  "%s cut at each statement of the last steps (%s) and resumed: the old columns or all of the new ones, each row once",
  { timeout: 120_000 },
  async ([mode, place], { pg }) => {
    const wider = orders({ id: "int64", name: "text", added: "int32" });
    const old = ["id integer NOT NULL", "name text"];
    const added = [1, 2, 3, 4, 5];
    const expected = [
      { id: "1", name: "before", added: null },
      ...added.map((n) => ({ id: String(n + 10), name: "now", added: n })),
    ];
    const stopWhenVerified = async (step: string): Promise<void> => {
      if (step === "verified") throw new Error("stopped");
    };
    await run(
      pg,
      { generation: 1, mode },
      orders({ id: "int32", name: "text" }),
      [[1, "before"]],
    );
    let altered = 0;
    for (let number = 1; ; number++) {
      expect(number).toBeLessThan(STATEMENTS_MAX);
      const attempt = new Bookkeeper({
        mode,
        schema: wider,
        rows: added.map((n) => [BigInt(n + 10), "now", n]),
        generation: number + 1,
        checkpointRows: 5,
        batchRows: 5,
      });
      await expect(attempt.attempt(pg.url, stopWhenVerified)).rejects.toThrow(
        "stopped",
      );
      expect(await readTypes(pg)).toEqual(old);
      const proxy = await startStatementProxy(pg.url, number, place);
      await attempt.attempt(proxy.url).catch(() => {});
      await proxy.close();
      const where = proxy.cutAt?.slice(0, 80);
      if (proxy.cutAt?.startsWith('ALTER TABLE "public"')) altered += 1;
      if (!attempt.isCommitted) {
        const isOld = (await readTypes(pg)).join() === old.join();
        // a COMMIT without an answer may still be on its way
        if (place === "before")
          expect(await read(pg), where).toHaveLength(isOld ? 1 : 6);
        await attempt.attempt(pg.url);
      }
      expect(await read(pg), where).toEqual(expected);
      if (proxy.cutAt === null) break;
      await pg.query(
        `DELETE FROM public.orders WHERE id > 1;
         ALTER TABLE public.orders DROP COLUMN added, ALTER COLUMN id TYPE int`,
      );
    }
    expect(altered).toBe(1);
  },
);

test("what a type is said to hold, the server takes and gives back unchanged", async ({
  pg,
}) => {
  const edges: Readonly<Record<string, readonly string[]>> = {
    smallint: ["-32768", "32767"],
    integer: ["-2147483648", "2147483647"],
    bigint: ["-9223372036854775808", "9223372036854775807"],
    real: ["0.1", "3.4028235e38", "1e-45", "NaN"],
    "double precision": ["0.1", "1.7976931348623157e308"],
    numeric: ["0.00000000000000000001", "1e60", "NaN"],
    "numeric(5,0)": ["99999", "-99999"],
    "numeric(19,0)": ["9999999999999999999"],
    "numeric(21,2)": ["9999999999999999999.99"],
    "numeric(10,2)": ["99999999.99", "-0.01"],
    "numeric(12,4)": ["99999999.9999"],
    "character varying(3)": ["äöü", "", "  "],
    "character varying(4)": ["äöüß"],
    "character varying": ["longer"],
    text: ["longer  "],
  };
  const types = Object.keys(edges);
  let tried = 0;
  for (const from of types)
    for (const to of types) {
      if (from === to || !holdsType(to, from)) continue;
      tried += 1;
      const values = (edges[from] ?? [])
        .map((value) => `('${value}'::${from})`)
        .join();
      const [row] = await pg.query(
        `SELECT bool_and(v::${to}::${from}::text = v::text) AS same, bool_and(v::${to} = v) AS equal FROM (VALUES ${values}) AS w(v)`,
      );
      expect(row, `${from} in ${to}`).toEqual({ same: true, equal: true });
    }
  expect(tried).toBeGreaterThan(25);
});
