/** A copy that follows a log: what becomes of it run by run, and what stands against it. */
import type { StreamSchema } from "../../../../proto/schema.ts";
import {
  buildBatch,
  buildSchema,
  type TestRow,
} from "../../../fixtures/batches.ts";
import {
  describe,
  expect,
  test,
  type PostgresFixture,
} from "../../../fixtures/postgres.ts";
import { describePosition } from "../change-model.ts";
import { Attempt, stampOf, type AttemptOptions } from "./attempts.ts";
import { startStatementProxy } from "./statement-proxy.ts";

const changeKinds = {
  _op: "text",
  _position: "text",
  _ts: "timestamptz",
  _deleted: "boolean",
  _unchanged: "text",
  _old_key: "text",
} as const;

const required = ["_op", "_position", "_deleted", "_unchanged"];

const orders: StreamSchema = {
  ...buildSchema({ id: "int32", name: "text", ...changeKinds }, required),
  name: "orders",
  key: ["id"],
};

const COMMITTED_US = 1_700_000_000_000_000n;
const END = 9_999_999_999;
/** More statements than a run has. */
const STATEMENTS_MAX = 200;

const change = (
  op: string,
  id: number | null,
  name: string | null,
  [commit, event]: readonly [number, number],
  more: { unchanged?: string[]; oldKey?: string[] } = {},
): TestRow => [
  id,
  name,
  op,
  describePosition(commit, event),
  COMMITTED_US,
  op === "d" || op === "t",
  JSON.stringify(more.unchanged ?? []),
  more.oldKey ? JSON.stringify(more.oldKey) : null,
];

interface Part {
  readonly rows: readonly TestRow[];
  /** Commit position to apply up to behind these rows. */
  readonly applies?: number;
  readonly consistentFrom?: number;
}

interface RunOptions extends AttemptOptions {
  readonly schema?: StreamSchema;
  readonly snapshot?: readonly TestRow[];
  readonly isReset?: boolean;
}

/** One attempt with a snapshot, where there is one, and a log of some checkpoints. */
async function run(
  options: RunOptions,
  log: readonly Part[],
): Promise<boolean[]> {
  const { schema = orders, snapshot, isReset, generation = 1 } = options;
  const attempt = await Attempt.begin({
    runId: `r-20261121-10000${generation}-0001`,
    ...options,
    config: { mode: "cdc", ...options.config },
  });
  const mode = isReset ? "full-refresh-overwrite" : "cdc";
  const stream = { ...attempt.stream(schema), mode };
  const step = (files: Awaited<ReturnType<typeof write>>) => ({
    ...attempt.step(schema, files),
    stream,
    mode,
  });
  let index = 0;
  const write = async (partition: number, rows: readonly TestRow[]) => {
    const writer = attempt.writers.createWriter({ stream, partition });
    await writer.write(buildBatch(schema, rows));
    index += 1;
    return writer.seal(stampOf(index, rows.length, { partition }));
  };
  const consistent: boolean[] = [];
  try {
    const { problems } = await attempt.storage.recover([
      { ...attempt.recoverTarget(schema, false), ...stream },
    ]);
    if (problems[0])
      throw Object.assign(new Error(problems[0].error.message), {
        code: problems[0].error.code,
      });
    const files = snapshot ? [...(await write(0, snapshot))] : [];
    for (const { rows, applies, consistentFrom } of log) {
      files.push(...(await write(1, rows)));
      if (applies === undefined) continue;
      const applied = await attempt.storage.apply({
        ...step(files),
        log: {
          partitions: [1],
          upTo: describePosition(applies, END),
          consistentFrom:
            consistentFrom === undefined
              ? null
              : describePosition(consistentFrom, END),
        },
      });
      consistent.push(applied.isConsistent);
    }
    await attempt.storage.verify(step(files));
    await attempt.storage.publish(step(files));
    await attempt.storage.supersede(stream, []);
    return consistent;
  } finally {
    await attempt.close();
  }
}

const snapshotOf = (from: number, to: number): TestRow[] =>
  Array.from({ length: to - from }, (_, i) =>
    change("r", from + i, `first ${from + i}`, [10, 0]),
  );

async function read(
  pg: PostgresFixture,
  namespace = "public",
): Promise<string[]> {
  const found = await pg.query(
    `SELECT id, name FROM ${namespace}.orders ORDER BY id`,
  );
  return found.map(({ id, name }) => `${id} ${name}`);
}

describe("a copy", () => {
  test("has the table's columns, a primary key, and where and when each row changed last", async ({
    pg,
  }) => {
    await run({ url: pg.url, snapshot: snapshotOf(1, 4) }, [
      { rows: [change("u", 2, "new", [11, 2])], applies: 11 },
    ]);
    expect(await read(pg)).toEqual(["1 first 1", "2 new", "3 first 3"]);
    const [row] = await pg.query("SELECT * FROM public.orders WHERE id = 2");
    expect(row).toEqual({
      id: 2,
      name: "new",
      _position: describePosition(11, 2),
      _ts: new Date(Number(COMMITTED_US / 1000n)),
    });
    const [key] = await pg.query(
      "SELECT conname, pg_get_constraintdef(oid) AS definition FROM pg_constraint WHERE conrelid = 'public.orders'::regclass AND contype = 'p'",
    );
    expect(key).toEqual({
      conname: "orders_pkey",
      definition: "PRIMARY KEY (id)",
    });
    expect(
      await pg.query(
        "SELECT relname FROM pg_class WHERE relnamespace = '_millrace'::regnamespace AND relname LIKE 'orders%'",
      ),
    ).toEqual([]);
  });

  test("is seen whole after the first application, and not before", async ({
    pg,
  }) => {
    const attempt = run({ url: pg.url, snapshot: snapshotOf(1, 3) }, [
      { rows: [change("c", 9, "log", [11, 2])] },
      { rows: [change("d", 1, null, [12, 2])], applies: 11 },
      { rows: [change("u", 9, "again", [13, 2])], applies: 12 },
    ]);
    await attempt;
    expect(await read(pg)).toEqual(["2 first 2", "9 again"]);
  });

  test("a change below the snapshot's position wins over it all the same, and an older one never over a newer", async ({
    pg,
  }) => {
    await run({ url: pg.url, snapshot: snapshotOf(1, 3) }, [
      { rows: [change("u", 1, "waited for a standby", [9, 2])], applies: 9 },
      { rows: [change("u", 2, "newer", [12, 2])], applies: 12 },
    ]);
    // a later run that begins before the place it had reached
    await run({ url: pg.url, generation: 2 }, [
      {
        rows: [
          change("u", 2, "older", [11, 2]),
          change("u", 2, "newer", [12, 2]),
          change("c", 3, "newest", [13, 2]),
        ],
        applies: 13,
      },
    ]);
    expect(await read(pg)).toEqual([
      "1 waited for a standby",
      "2 newer",
      "3 newest",
    ]);
  });

  test("a stream that was reset replaces the copy by its snapshot, and what hangs on it stays", async ({
    pg,
  }) => {
    await run({ url: pg.url, snapshot: snapshotOf(1, 6) }, []);
    await pg.query(
      "CREATE VIEW public.names AS SELECT name FROM public.orders",
    );
    await run(
      {
        url: pg.url,
        generation: 2,
        isReset: true,
        snapshot: snapshotOf(3, 5),
      },
      [{ rows: [change("d", 3, null, [9, 2])], applies: 9 }],
    );
    expect(await read(pg)).toEqual(["4 first 4"]);
    expect(await pg.query("SELECT name FROM public.names")).toHaveLength(1);
  });

  test("columns that appear in the source are added when their first rows come", async ({
    pg,
  }) => {
    await run({ url: pg.url, snapshot: snapshotOf(1, 3) }, []);
    const wider: StreamSchema = {
      ...buildSchema(
        { id: "int32", name: "text", more: "int64", ...changeKinds },
        required,
      ),
      name: "orders",
      key: ["id"],
    };
    const [id, name, ...rest] = change("u", 1, null, [12, 2], {
      unchanged: ["name"],
    });
    await run({ url: pg.url, generation: 2, schema: wider }, [
      { rows: [[id ?? null, name ?? null, 7n, ...rest]], applies: 12 },
    ]);
    expect(
      await pg.query("SELECT id, name, more FROM public.orders ORDER BY id"),
    ).toEqual([
      { id: 1, name: "first 1", more: "7" },
      { id: 2, name: "first 2", more: null },
    ]);
  });

  test("says when it is consistent; what a snapshot of many moments no longer has is left out until then", async ({
    pg,
  }) => {
    const unchanged = ["name"];
    // row 5 was changed and deleted before its part of the snapshot was read
    const consistent = await run({ url: pg.url, snapshot: snapshotOf(1, 3) }, [
      {
        rows: [change("u", 5, null, [11, 2], { unchanged })],
        applies: 11,
        consistentFrom: 12,
      },
      {
        rows: [change("d", 5, null, [12, 2])],
        applies: 12,
        consistentFrom: 12,
      },
    ]);
    expect(consistent).toEqual([false, true]);
    expect(await read(pg)).toEqual(["1 first 1", "2 first 2"]);
    await expect(
      run({ url: pg.url, generation: 2 }, [
        { rows: [change("u", 6, null, [14, 2], { unchanged })], applies: 14 },
      ]),
    ).rejects.toThrow(/at 00000001-0{19}e-0{9}2 came without a value/);
  });

  test("history instead of a copy needs no key, and adds each change once", async ({
    pg,
  }) => {
    const { key: _, ...keyless } = orders;
    const config = { history: "instead" } as const;
    const rows = [
      change("c", 9, "a", [11, 2]),
      change("t", null, null, [12, 2]),
    ];
    await run(
      { url: pg.url, schema: keyless, config, snapshot: snapshotOf(1, 3) },
      [{ rows, applies: 12 }],
    );
    await run({ url: pg.url, generation: 2, schema: keyless, config }, [
      { rows: [...rows, change("c", 1, "b", [13, 2])], applies: 13 },
    ]);
    expect(
      await pg.query(
        "SELECT _op, id, name FROM public.orders_history ORDER BY _position, id",
      ),
    ).toEqual([
      { _op: "r", id: 1, name: "first 1" },
      { _op: "r", id: 2, name: "first 2" },
      { _op: "c", id: 9, name: "a" },
      { _op: "t", id: null, name: null },
      { _op: "c", id: 1, name: "b" },
    ]);
    expect(
      await pg.query("SELECT to_regclass('public.orders') AS copy"),
    ).toEqual([{ copy: null }]);
  });
});

describe("refuses, with one error and before a row is read,", () => {
  test("a stream without a key, a table of another shape, rows of others, and a stream without changes", async ({
    pg,
  }) => {
    const { key: _, ...keyless } = orders;
    await expect(run({ url: pg.url, schema: keyless }, [])).rejects.toThrow(
      /public\.orders has no key that Postgres can index, which cdc applies changes by/,
    );
    const plain = {
      ...buildSchema({ id: "int32" }, ["id"]),
      name: "orders",
      key: ["id"],
    };
    await expect(run({ url: pg.url, schema: plain }, [])).rejects.toThrow(
      /public\.orders carries no changes: its columns do not end in _op, _position/,
    );
    await pg.query(
      "CREATE TABLE public.orders (id int PRIMARY KEY, name varchar(5), _position text, _ts timestamptz)",
    );
    await expect(run({ url: pg.url }, [])).rejects.toThrow(
      /another shape: name is character varying\(5\) instead of text/,
    );
    await pg.query(
      "ALTER TABLE public.orders ALTER name TYPE text; INSERT INTO public.orders VALUES (1, 'theirs', '', now())",
    );
    await expect(run({ url: pg.url }, [])).rejects.toThrow(
      /has rows that no sync of ours wrote/,
    );
    await pg.query(
      "TRUNCATE public.orders; ALTER TABLE public.orders DROP CONSTRAINT orders_pkey",
    );
    await expect(run({ url: pg.url }, [])).rejects.toThrow(
      /has no unique index on its key \(id\)/,
    );
    await pg.query("CREATE UNIQUE INDEX ON public.orders (id)");
    await run({ url: pg.url, snapshot: snapshotOf(1, 3) }, []);
    expect(await read(pg)).toEqual(["1 first 1", "2 first 2"]);
  });

  test("changes for a copy that somebody has removed, or that another sync holds", async ({
    pg,
  }) => {
    await run({ url: pg.url, snapshot: snapshotOf(1, 3) }, []);
    await expect(
      run({ url: pg.url, syncId: "another", snapshot: snapshotOf(1, 3) }, []),
    ).rejects.toThrow(/was written by another sync/);
    await pg.query("DROP TABLE public.orders");
    await expect(run({ url: pg.url, generation: 2 }, [])).rejects.toThrow(
      /was removed since its rows were copied/,
    );
    await run(
      { url: pg.url, generation: 3, isReset: true, snapshot: snapshotOf(1, 2) },
      [],
    );
    expect(await read(pg)).toEqual(["1 first 1"]);
  });

  test("rows that are no changes: without a key, of no kind, out of order, of snapshot and log together", async ({
    pg,
  }) => {
    const { url } = pg;
    const refused = [
      [[change("u", null, "x", [11, 2])], /-0000000002 has no key/],
      [[change("x", 1, "x", [11, 2])], /is of no known kind/],
      [
        [change("u", 1, "x", [12, 2]), change("u", 1, "x", [11, 2])],
        /public\.orders goes back from/,
      ],
      [
        [change("r", 1, "x", [10, 0]), change("u", 1, "x", [11, 2])],
        /snapshot and of a log in one partition/,
      ],
      [
        [change("u", 1, null, [11, 2], { unchanged: ["id"] })],
        /without the value of id, which is always sent/,
      ],
    ] as const;
    for (const [i, [rows, message]] of refused.entries())
      await expect(
        run({ url, generation: i + 1, snapshot: snapshotOf(1, 3) }, [
          { rows, applies: 12 },
        ]),
      ).rejects.toThrow(message);
  });
});

/** A whole run in two applications, or what is left of it; `onApply` is called before the first one. */
async function applyTwice(
  url: string,
  number: number,
  epoch: number,
  onApply: () => void = () => {},
): Promise<void> {
  const schema = { ...orders, namespace: `cut${number}` };
  const config = { mode: "cdc", history: "beside" } as const;
  const syncId = `sync-${number}`;
  const attempt = await Attempt.begin({ syncId, url, epoch, config });
  try {
    const { reports, problems } = await attempt.storage.recover([
      attempt.recoverTarget(schema, epoch > 1),
    ]);
    if (problems[0]) throw new Error(problems[0].error.message);
    const files = reports.flatMap((report) => report.files);
    const moved = { unchanged: ["name"], oldKey: ["1"] };
    const parts = [
      snapshotOf(1, 5),
      [
        change("d", 1, null, [11, 2]),
        change("c", 8, null, [11, 3], moved),
        change("d", 2, null, [12, 2]),
      ],
    ];
    for (const [partition, rows] of parts.entries()) {
      if (reports.some((one) => one.partition === partition)) continue;
      const writer = attempt.writer(schema, partition);
      await writer.write(buildBatch(schema, rows));
      const stamp = stampOf(partition + 1, rows.length, { partition });
      files.push(...(await writer.seal(stamp)));
    }
    onApply();
    for (const commit of [11, 12]) {
      const upTo = describePosition(commit, END);
      await attempt.storage.apply({
        ...attempt.step(schema, files),
        log: { partitions: [1], upTo, consistentFrom: null },
      });
    }
    await attempt.storage.verify(attempt.step(schema, files));
    await attempt.storage.publish(attempt.step(schema, files));
  } finally {
    await attempt.close();
  }
}

test(
  "cut at each statement of an application, and ordered again, the copy and the history have each change once",
  { timeout: 120_000 },
  async ({ pg }) => {
    let count = 0;
    let first = 0;
    const dry = await startStatementProxy(pg.url, Infinity, "answer");
    await applyTwice(dry.url, 0, 1, () => {
      first = dry.statements + 1;
    });
    await dry.close();
    for (let number = first; ; number++) {
      const proxy = await startStatementProxy(pg.url, number, "answer");
      const outcome = await applyTwice(proxy.url, number, 1).then(
        () => "done",
        (error: Error) => error.message,
      );
      await proxy.close();
      if (proxy.cutAt === null) expect(outcome).toBe("done");
      else await applyTwice(pg.url, number, 2);
      const where = `${number}: ${proxy.cutAt?.slice(0, 80)}`;
      expect(await read(pg, `cut${number}`), where).toEqual([
        "3 first 3",
        "4 first 4",
        "8 first 1",
      ]);
      const [kept] = await pg.query(
        `SELECT count(*)::int AS rows, count(DISTINCT (_position, id))::int AS changes FROM cut${number}.orders_history`,
      );
      expect(kept, where).toEqual({ rows: 7, changes: 7 });
      if (proxy.cutAt === null) break;
      count += 1;
      expect(number).toBeLessThan(STATEMENTS_MAX);
    }
    expect(count).toBeGreaterThan(40);
  },
);
