/** Writers that are killed, that sleep through their successor, and that were fenced off. */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
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
import { Attempt, runOnce, stampOf, type AttemptOptions } from "./attempts.ts";
import { Bookkeeper, type RunPlan } from "./bookkeeper.ts";

const schema: StreamSchema = {
  ...buildSchema({ id: "int32", name: "text" }, ["id"]),
  name: "orders",
  key: ["id"],
};
const rows: readonly TestRow[] = Array.from({ length: 20 }, (_, i) => [
  i,
  `row ${i}`,
]);
const plan: RunPlan = {
  mode: "full-refresh-overwrite",
  schema,
  rows,
  generation: 1,
  checkpointRows: 10,
  batchRows: 4,
};
/** Steps of a whole attempt, from the process's own words. */
const STEPS_MAX = 20;

/** Starts the process and lets it take so many steps; then it waits. */
async function startWriter(url: string, steps: number) {
  const main = fileURLToPath(new URL("crash-writer-main.ts", import.meta.url));
  const child = spawn(process.execPath, [main, url, JSON.stringify(plan)], {
    stdio: ["pipe", "pipe", "inherit"],
  });
  const lines = createInterface({ input: child.stdout })[
    Symbol.asyncIterator
  ]();
  const taken: string[] = [];
  const next = async (): Promise<string> => {
    const line = await lines.next();
    const step = String(line.value);
    taken.push(step);
    return step;
  };
  const goOn = (): boolean => child.stdin.write("\n");
  for (let i = 0; i < steps && taken.at(-1) !== "done"; i++) {
    if (i > 0) goOn();
    await next();
  }
  return { child, taken, next, goOn, ended: once(child, "exit") };
}

const readRows = async (pg: PostgresFixture): Promise<TestRow[]> =>
  (await pg.query("SELECT id, name FROM public.orders ORDER BY id")).map(
    ({ id, name }) => [id, name],
  );

test(
  "a process that is killed at each step is followed by one that makes it exact",
  { timeout: 60_000 },
  async ({ pg }) => {
    for (let steps = 1; steps < STEPS_MAX; steps++) {
      await pg.query(
        "DROP TABLE IF EXISTS public.orders; DROP SCHEMA IF EXISTS _millrace CASCADE",
      );
      const writer = await startWriter(pg.url, steps);
      // it goes on while it is being killed
      if (writer.taken.at(-1) !== "done") writer.goOn();
      writer.child.kill("SIGKILL");
      await writer.ended;
      const run = new Bookkeeper(plan);
      run.takeOver(writer.taken);
      if (!run.isCommitted) await run.attempt(pg.url);
      expect(await readRows(pg), writer.taken.join(", ")).toEqual(rows);
      if (writer.taken.at(-1) === "done") return;
    }
    expect.unreachable("the process never came to its end");
  },
);

test(
  "a process that sleeps through its successor commits nothing when it wakes",
  { timeout: 60_000 },
  async ({ pg }) => {
    for (const steps of [3, 4, 5, 7]) {
      await pg.query(
        "DROP TABLE IF EXISTS public.orders; DROP SCHEMA IF EXISTS _millrace CASCADE",
      );
      const writer = await startWriter(pg.url, steps);
      writer.child.kill("SIGSTOP");
      const run = new Bookkeeper(plan);
      run.takeOver(writer.taken);
      // its open transaction holds the epoch; it must not be in the way
      await run.attempt(pg.url);
      writer.child.kill("SIGCONT");
      writer.goOn();
      let word = await writer.next();
      for (; !/^(failed|done)/.test(word); word = await writer.next())
        writer.goOn();
      await writer.ended;
      expect(word).toMatch(/^failed (DESTINATION_FAILED|LEDGER_FENCED)$/);
      expect(await readRows(pg)).toEqual(rows);
    }
  },
);

describe("an older attempt, once a newer one has begun", () => {
  const options = (
    pg: PostgresFixture,
    more: Partial<AttemptOptions> = {},
  ): AttemptOptions => ({
    url: pg.url,
    config: { batchRowsMax: 2 },
    ...more,
  });
  const batch = buildBatch(schema, rows.slice(0, 3));

  test("commits no rows: neither on its open connection nor on a new one", async ({
    pg,
  }) => {
    const old = await Attempt.begin(options(pg));
    const open = old.writer(schema);
    await open.write(batch);
    const late = old.writer(schema, 1);
    // its first batch has reached the server
    await expect
      .poll(() =>
        pg.query(
          "SELECT count(*)::int AS n FROM pg_stat_activity WHERE state = 'idle in transaction' AND application_name LIKE 'millrace/%'",
        ),
      )
      .toEqual([{ n: 1 }]);
    const newer = await Attempt.begin(options(pg, { epoch: 2 }));
    await expect(open.seal(stampOf(1, 3))).rejects.toMatchObject({
      code: "DESTINATION_FAILED",
    });
    await late.write(buildBatch(schema, rows.slice(0, 1)));
    await expect(
      late.seal(stampOf(2, 1, { partition: 1 })),
    ).rejects.toMatchObject({ code: "LEDGER_FENCED" });
    expect(await pg.query("SELECT * FROM _millrace.checkpoints")).toEqual([]);
    for (const step of [
      () => old.storage.prepare(),
      () => old.storage.recover([]),
      () => old.storage.publish(old.step(schema, [])),
      () =>
        old.storage.verify({
          ...old.step(schema, []),
          stream: { ...old.stream(schema), generation: 9 },
        }),
      () =>
        old.storage.clean(
          [
            {
              namespace: "public",
              name: "orders",
              generation: 1,
              epochs: [1],
              currentEpoch: null,
            },
          ],
          new Set(),
        ),
    ])
      await expect(step()).rejects.toMatchObject({ code: "LEDGER_FENCED" });
    await old.close();
    await newer.close();
  });

  test("a single statement with its checkpoint is fenced as well, when staging is there already", async ({
    pg,
  }) => {
    const old = await Attempt.begin(
      options(pg, { config: { batchRowsMax: 100 } }),
    );
    const writer = old.writer(schema);
    await writer.write(batch);
    await writer.seal(stampOf(1, 3));
    // another place in the pool, so that the connection survives the takeover: the row alone has to fence
    await pg.query("UPDATE _millrace.epochs SET epoch = 2");
    await writer.write(batch);
    await expect(writer.seal(stampOf(2, 3))).rejects.toMatchObject({
      code: "LEDGER_FENCED",
    });
    expect(
      await pg.query("SELECT count(*)::int AS n FROM _millrace.checkpoints"),
    ).toEqual([{ n: 1 }]);
    const [staging] = await pg.query(
      "SELECT relname FROM pg_class WHERE relnamespace = '_millrace'::regnamespace AND relname LIKE 'orders%'",
    );
    expect(
      await pg.query(
        `SELECT count(*)::int AS n FROM _millrace."${staging.relname}"`,
      ),
    ).toEqual([{ n: 3 }]);
    await old.close();
  });

  test("hears that it is fenced, not that its staging is gone with what the newer one published", async ({
    pg,
  }) => {
    const old = await Attempt.begin(options(pg));
    const writer = old.writer(schema);
    await writer.write(batch);
    const files = await writer.seal(stampOf(1, 3));
    await old.commit(schema, files);
    // the connection survives, as one does that is opened after the takeover
    await pg.query("UPDATE _millrace.epochs SET epoch = 2");
    await writer.write(batch);
    await expect(writer.seal(stampOf(2, 3))).rejects.toMatchObject({
      code: "LEDGER_FENCED",
    });
    expect(await readRows(pg)).toHaveLength(3);
    await old.close();
  });

  test("a new run takes over whatever its epoch; an older generation never replaces a newer one", async ({
    pg,
  }) => {
    const old = await Attempt.begin(options(pg, { epoch: 7 }));
    await runOnce(
      options(pg, { runId: "r-20261121-110000-0002", epoch: 1, generation: 2 }),
      schema,
      [batch],
    );
    await old.storage.prepare().catch(() => {});
    await expect(old.commit(schema, [])).rejects.toMatchObject({
      code: "LEDGER_FENCED",
    });
    expect(await readRows(pg)).toHaveLength(3);
    await old.close();
  });
});

test("who only looks, with epoch 0, takes nothing over", async ({ pg }) => {
  const live = await Attempt.begin({ url: pg.url });
  const writer = live.writer(schema);
  await writer.write(buildBatch(schema, rows));
  const onlooker = await Attempt.begin({
    url: pg.url,
    epoch: 0,
    runId: "inspection",
  });
  await onlooker.close();
  await live.commit(schema, await writer.seal(stampOf(1, 20, { last: true })));
  expect(await readRows(pg)).toEqual(rows);
  await live.close();
});

test("partitions of several channels are written at once, and none loses or repeats a row", async ({
  pg,
}) => {
  const options = { url: pg.url, config: { batchRowsMax: 7, batchDelayMs: 1 } };
  const attempt = await Attempt.begin(options);
  const other = await Attempt.open(options);
  const files = await Promise.all(
    [0, 1, 2, 3, 4, 5].map(async (partition) => {
      const writer = (partition % 2 === 0 ? attempt : other).writer(
        schema,
        partition,
      );
      const sealed = [];
      for (let i = 0; i < 10; i++) {
        const first = partition * 1_000 + i * 20;
        await writer.write(
          buildBatch(
            schema,
            rows.map(([id, name]) => [Number(id) + first, name ?? null]),
          ),
        );
        // six partitions share the indexes of their stream
        const stamp = stampOf(1 + partition + 6 * i, 20, {
          partition,
          last: i === 9,
        });
        sealed.push(...(await writer.seal(stamp)));
      }
      return sealed;
    }),
  );
  await attempt.commit(schema, files.flat());
  expect(
    await pg.query(
      "SELECT count(*)::int AS n, count(DISTINCT id)::int AS ids, sum(id)::int AS sum FROM public.orders",
    ),
  ).toEqual([
    {
      n: 1_200,
      ids: 1_200,
      sum: [0, 1, 2, 3, 4, 5].reduce(
        (sum, p) => sum + 200 * (p * 1_000) + (199 * 200) / 2,
        0,
      ),
    },
  ]);
  await attempt.close();
  await other.close();
});

describe("rows of ended attempts", () => {
  test("that no checkpoint in the ledger keeps are removed, and only those", async ({
    pg,
  }) => {
    const first = await Attempt.begin({ url: pg.url });
    const writer = first.writer(schema);
    const files = [];
    for (let i = 0; i < 4; i++) {
      await writer.write(buildBatch(schema, rows.slice(5 * i, 5 * i + 5)));
      files.push(
        ...(await writer.seal(
          stampOf(i + 1, 5, i === 2 ? { position: null } : {}),
        )),
      );
    }
    await first.close();
    const second = await Attempt.begin({ url: pg.url, epoch: 2 });
    const { reports } = await second.storage.recover([
      second.recoverTarget({ ...schema, number: 3 }, true),
    ]);
    expect(
      reports.map(({ stream, index, rows: count, epoch }) => [
        stream,
        index,
        count,
        epoch,
      ]),
    ).toEqual([
      [3, 1, 5, 1],
      [3, 2, 5, 1],
      [3, 3, 5, 1],
      [3, 4, 5, 1],
    ]);
    const intent = {
      namespace: "public",
      name: "orders",
      generation: 1,
      epochs: [1, 2],
      currentEpoch: 2,
    };
    const keep = new Set(files.slice(0, 2).map(({ path }) => path));
    // an intent of another stream or generation covers nothing of it
    expect(
      await second.storage.clean(
        [
          { ...intent, name: "other" },
          { ...intent, generation: 2 },
        ],
        new Set(),
      ),
    ).toBe(0);
    expect(await second.storage.clean([intent], keep)).toBe(2);
    expect(await second.storage.clean([intent], keep)).toBe(0);
    const again = second.writer(schema);
    await again.write(buildBatch(schema, rows.slice(10)));
    const rest = await again.seal(stampOf(1, 10, { last: true }));
    await second.commit(schema, [...files.slice(0, 2), ...rest]);
    expect(await readRows(pg)).toEqual(rows);
    await second.close();
  });

  test("a generation that is over loses its staging, never what is published", async ({
    pg,
  }) => {
    await runOnce({ url: pg.url }, schema, [buildBatch(schema, rows)]);
    const lost = await Attempt.begin({
      url: pg.url,
      generation: 2,
      runId: "r-20261121-120000-0002",
    });
    const writer = lost.writer(schema);
    await writer.write(buildBatch(schema, rows));
    await writer.seal(stampOf(1, 20));
    await lost.close();
    const next = await Attempt.begin({
      url: pg.url,
      generation: 3,
      runId: "r-20261121-130000-0003",
    });
    const over = (generation: number) => ({
      namespace: "public",
      name: "orders",
      generation,
      epochs: [1],
      currentEpoch: null,
    });
    expect(await next.storage.clean([over(1), over(2)], new Set())).toBe(1);
    expect(await readRows(pg)).toEqual(rows);
    await next.close();
  });

  test("a discard drops what is not sealed, and the writer goes on", async ({
    pg,
  }) => {
    const attempt = await Attempt.begin({
      url: pg.url,
      config: { batchRowsMax: 3 },
    });
    const writer = attempt.writer(schema);
    await writer.write(buildBatch(schema, rows.slice(0, 5)));
    const files = [...(await writer.seal(stampOf(1, 5)))];
    await writer.write(buildBatch(schema, rows.slice(5, 12)));
    await writer.discard();
    await writer.write(buildBatch(schema, rows.slice(5)));
    files.push(
      ...(await writer.seal(stampOf(3, 15, { attempt: 2, last: true }))),
    );
    await attempt.commit(schema, files);
    expect(await readRows(pg)).toEqual(rows);
    await attempt.close();
  });

  test("a count that differs from the stamp's seals nothing", async ({
    pg,
  }) => {
    const attempt = await Attempt.begin({ url: pg.url });
    const writer = attempt.writer(schema);
    await writer.write(buildBatch(schema, rows.slice(0, 5)));
    await expect(writer.seal(stampOf(1, 4))).rejects.toMatchObject({
      code: "CHANNEL_CORRUPT",
    });
    await expect(writer.seal(stampOf(1, 0))).rejects.toMatchObject({
      code: "CHANNEL_CORRUPT",
    });
    await writer.discard();
    await writer.write(buildBatch(schema, rows));
    await attempt.commit(schema, await writer.seal(stampOf(2, 20)));
    expect(await readRows(pg)).toEqual(rows);
    await attempt.close();
  });

  test("staging with other rows than the checkpoints is never published", async ({
    pg,
  }) => {
    const attempt = await Attempt.begin({ url: pg.url });
    const writer = attempt.writer(schema);
    await writer.write(buildBatch(schema, rows));
    const files = await writer.seal(stampOf(1, 20, { last: true }));
    await expect(
      attempt.storage.verify(
        attempt.step(schema, [{ ...files[0]!, rows: 19 }]),
      ),
    ).rejects.toThrow(/has 20 rows instead of 19/);
    await expect(
      attempt.storage.verify(attempt.step(schema, [])),
    ).rejects.toThrow(/staging of public\.orders has 20 rows instead of 0/);
    await attempt.close();
  });

  test("a ledger that does not know a generation stops before anything is touched", async ({
    pg,
  }) => {
    await runOnce({ url: pg.url, generation: 4 }, schema, [
      buildBatch(schema, rows),
    ]);
    const lost = await Attempt.begin({
      url: pg.url,
      generation: 1,
      runId: "r-20261121-140000-0004",
    });
    const { problems } = await lost.storage.recover([
      lost.recoverTarget(schema, false),
    ]);
    expect(problems).toMatchObject([
      {
        stream: 1,
        error: {
          code: "DESTINATION_FOREIGN",
          message: /generation 4, which this ledger does not know/,
        },
      },
    ]);
    await lost.close();
    await expect(
      runOnce({ url: pg.url, syncId: "other" }, schema, []),
    ).rejects.toThrow(/was written by another sync, sync/);
    expect(await readRows(pg)).toEqual(rows);
  });
});
