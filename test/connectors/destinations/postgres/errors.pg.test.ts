/** One clear error for what stands in the way, before any row is read where that can be known; never a password in it. */
import type { DestinationContext } from "../../../../connectors/destinations/destination.ts";
import { postgresDestinationDriver } from "../../../../connectors/destinations/postgres/driver.ts";
import { ExtractError } from "../../../../proto/error.ts";
import type { StreamSchema } from "../../../../proto/schema.ts";
import { buildBatch, buildSchema } from "../../../fixtures/batches.ts";
import {
  describe,
  expect,
  test,
  type PostgresFixture,
} from "../../../fixtures/postgres.ts";
import { startStatementProxy } from "./statement-proxy.ts";
import {
  Attempt,
  contextOf,
  runOnce,
  stampOf,
  type AttemptOptions,
} from "./attempts.ts";

const schema: StreamSchema = {
  ...buildSchema({ id: "int32", body: "json" }, ["id"]),
  name: "orders",
  key: ["id"],
};

async function prepare(options: AttemptOptions): Promise<ExtractError> {
  const context: DestinationContext = contextOf(options);
  const storage = await postgresDestinationDriver.openStorage(context);
  try {
    await storage.prepare();
  } catch (error) {
    if (error instanceof ExtractError) return error;
    throw error;
  } finally {
    await storage.close();
  }
  throw new Error("nothing was wrong");
}

function change(
  url: string,
  parts: Partial<
    Record<"username" | "password" | "port" | "pathname" | "search", string>
  >,
): string {
  return Object.assign(new URL(url), parts).href;
}

describe("before anything is made", () => {
  test("a server that is not there, a database that is not there", async ({
    pg,
  }) => {
    expect(await prepare({ url: change(pg.url, { port: "1" }) })).toMatchObject(
      {
        code: "DESTINATION_FAILED",
        message: expect.stringMatching(/could not connect .*:1.*ECONNREFUSED/),
      },
    );
    expect(
      await prepare({ url: change(pg.url, { pathname: "/nowhere" }) }),
    ).toMatchObject({
      code: "DESTINATION_UNWRITABLE",
      message: expect.stringMatching(/database "nowhere" does not exist/),
    });
  });

  test("a role that is not there, and the password stays out of every word", async ({
    pg,
  }) => {
    const error = await prepare({
      url: change(pg.url, { username: "nobody_here", password: "geheim77" }),
    });
    expect(error.code).toBe("DESTINATION_UNWRITABLE");
    expect(error.message).toMatch(/nobody_here/);
    expect(JSON.stringify([error.message, error.details])).not.toContain(
      "geheim77",
    );
  });

  test("TLS that the server does not offer", async ({ pg }) => {
    expect(
      await prepare({ url: change(pg.url, { search: "?sslmode=require" }) }),
    ).toMatchObject({
      code: "DESTINATION_UNWRITABLE",
      message: expect.stringMatching(/^TLS with .* failed/),
    });
    expect(
      await prepare({
        url: change(pg.url, {
          search: "?sslmode=verify-full&sslrootcert=/no/such.pem",
        }),
      }),
    ).toMatchObject({
      code: "DESTINATION_UNWRITABLE",
      message: expect.stringMatching(/cannot read sslrootcert \/no\/such\.pem/),
    });
  });

  test("a URL that is none", async ({ pg }) => {
    expect(await prepare({ url: "mysql://somewhere" })).toMatchObject({
      code: "USAGE",
    });
    expect(
      await prepare({ url: change(pg.url, { search: "?sslmode=maybe" }) }),
    ).toMatchObject({ code: "USAGE" });
    expect(() => contextOf({ url: pg.url })).not.toThrow();
  });

  test("no right to make our schema, or to write into a table, and nothing is left of the attempt", async ({
    pg,
  }) => {
    const role = `writer_${pg.url.slice(-8)}`;
    const url = change(pg.url, { username: role, password: "x" });
    await pg.query(`CREATE ROLE ${role} LOGIN PASSWORD 'x'`);
    try {
      expect(await prepare({ url })).toMatchObject({
        code: "DESTINATION_UNWRITABLE",
        message: expect.stringMatching(
          /could not make the schema _millrace: permission denied/,
        ),
      });
      await runOnce({ url: pg.url }, schema, []);
      await pg.query(
        `GRANT USAGE, CREATE ON SCHEMA _millrace TO ${role}; GRANT ALL ON ALL TABLES IN SCHEMA _millrace TO ${role}; REVOKE CREATE ON SCHEMA public FROM PUBLIC`,
      );
      const options = { url, runId: "r-20261121-110000-0002", generation: 2 };
      for (const [mode, words] of [
        ["full-refresh-overwrite", /may not empty and fill it again/],
        ["incremental-append", /may not insert into it/],
      ] as const) {
        await expect(
          runOnce({ ...options, config: { mode } }, schema, []),
        ).rejects.toThrow(words);
      }
      await expect(
        runOnce(options, { ...schema, namespace: "elsewhere" }, []),
      ).rejects.toThrow(/may not create the schema elsewhere/);
      expect(
        await pg.query("SELECT generation::int FROM _millrace.generations"),
      ).toEqual([{ generation: 1 }]);
    } finally {
      await pg.query(`DROP OWNED BY ${role}; DROP ROLE ${role}`);
    }
  });

  test("columns that Postgres has no place for", async ({ pg }) => {
    for (const [name, words] of [
      ["ctid", /Postgres has a column ctid of its own/],
      ["", /two columns/],
    ] as const) {
      const odd: StreamSchema = {
        ...buildSchema({ [name]: "int32" }),
        name: "odd",
      };
      await expect(runOnce({ url: pg.url }, odd, [])).rejects.toThrow(words);
    }
  });
});

describe("while rows are written", () => {
  const write = async (
    pg: PostgresFixture,
    row: readonly [number, string],
    config: AttemptOptions["config"] = {},
  ): Promise<void> => {
    const attempt = await Attempt.begin({ url: pg.url, config });
    try {
      const writer = attempt.writer(schema);
      await writer.write(buildBatch(schema, [[1, "{}"], [...row]]));
      await writer.seal(stampOf(1, 2));
    } finally {
      await attempt.close();
    }
  };

  test("a value that has no place is told by table and column, in the server's words", async ({
    pg,
  }) => {
    await expect(write(pg, [2, "{not json"])).rejects.toMatchObject({
      code: "DESTINATION_VALUE_REFUSED",
      message: expect.stringMatching(
        /could not write rows of public\.orders, column body: invalid input syntax for type json/,
      ),
      details: { table: "public.orders", column: "body", sqlstate: "22P02" },
    });
    await expect(write(pg, [2, '"a\0b"'])).rejects.toMatchObject({
      code: "DESTINATION_VALUE_REFUSED",
      message: expect.stringMatching(
        /public\.orders\.body has text with a NUL character/,
      ),
      details: { table: "public.orders", column: "body" },
    });
    expect(await pg.query("SELECT * FROM _millrace.checkpoints")).toEqual([]);
  });

  test.for([
    {
      name: "\\u0000 in jsonb",
      type: { kind: "json" },
      sourceType: "jsonb",
      value: '"a\\u0000b"',
      words: /unsupported Unicode escape sequence/,
    },
    {
      name: "a numeric of too many digits",
      type: { kind: "decimalText" },
      sourceType: "numeric",
      value: `1${"0".repeat(140_000)}`,
      words: /public\.odd\.value cannot hold 10{39}: it is no number/,
    },
    {
      name: "a timestamp beyond the last year",
      type: { kind: "timestamp" },
      sourceType: "timestamp",
      value: -9_000_000_000_000_000_000n,
      words: /public\.odd, column value: timestamp out of range/,
    },
    {
      name: "a surrogate alone",
      type: { kind: "text" },
      sourceType: "text",
      value: new Uint8Array([0xed, 0xa0, 0x80]),
      words: /invalid byte sequence for encoding "UTF8"/,
    },
  ] as const)("$name is refused as a value", async (value, { pg }) => {
    const plain = buildSchema({ value: value.type });
    const odd: StreamSchema = {
      ...plain,
      name: "odd",
      columns: [{ ...plain.columns[0]!, sourceType: value.sourceType }],
    };
    await expect(
      runOnce({ url: pg.url }, odd, [buildBatch(odd, [[value.value]])]),
    ).rejects.toMatchObject({
      code: "DESTINATION_VALUE_REFUSED",
      message: expect.stringMatching(value.words),
      details: { table: "public.odd", column: "value" },
    });
  });

  test("a constraint of the table that a value breaks is told when the rows are published", async ({
    pg,
  }) => {
    const mode = "incremental-append";
    await pg.query(
      "CREATE TABLE public.orders (id int CONSTRAINT small CHECK (id < 10), body json)",
    );
    await expect(
      runOnce({ url: pg.url, config: { mode } }, schema, [
        buildBatch(schema, [
          [1, "{}"],
          [10, "{}"],
        ]),
      ]),
    ).rejects.toMatchObject({
      code: "DESTINATION_VALUE_REFUSED",
      message: expect.stringMatching(
        /could not fill public\.orders: .*violates check constraint "small"/,
      ),
      details: { table: "public.orders" },
    });
    expect(await pg.query("SELECT * FROM public.orders")).toEqual([]);
  });

  test("a full disk is told as such", async ({ pg }) => {
    await runOnce({ url: pg.url }, schema, []);
    // no disk can be filled here: the server is made to say what it says then
    await pg.query(`
      CREATE FUNCTION public.say_full() RETURNS trigger LANGUAGE plpgsql AS
        $$ BEGIN RAISE EXCEPTION 'could not extend file' USING ERRCODE = 'disk_full'; END $$;
      CREATE TRIGGER say_full BEFORE INSERT ON _millrace.checkpoints FOR EACH ROW EXECUTE FUNCTION public.say_full()`);
    await expect(write(pg, [2, "{}"])).rejects.toMatchObject({
      code: "DESTINATION_FULL",
    });
  });

  test("a connection that is lost is worth another attempt", async ({ pg }) => {
    const attempt = await Attempt.begin({ url: pg.url });
    await attempt.close();
    const proxy = await startStatementProxy(pg.url, 9, "answer");
    await expect(
      write({ ...pg, url: proxy.url }, [2, "{}"]),
    ).rejects.toMatchObject({ code: "DESTINATION_FAILED" });
    expect(proxy.cutAt).not.toBeNull();
    await proxy.close();
  });

  test("an abandoned writer makes nothing durable any more", async ({ pg }) => {
    const attempt = await Attempt.begin({
      url: pg.url,
      config: { batchRowsMax: 1 },
    });
    const writer = attempt.writer(schema);
    await writer.write(
      buildBatch(schema, [
        [1, "{}"],
        [2, "{}"],
      ]),
    );
    const sealed = writer.seal(stampOf(1, 2));
    writer.abandon();
    await expect(sealed).rejects.toMatchObject({ code: "DESTINATION_FAILED" });
    expect(await pg.query("SELECT * FROM _millrace.checkpoints")).toEqual([]);
    await attempt.close();
  });
});
