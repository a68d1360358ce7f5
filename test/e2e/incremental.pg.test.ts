/** Incremental runs: each version of a row arrives once, whatever order transactions commit in. */
import { readdirSync } from "node:fs";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import pgDriver from "pg";
import { readManifest } from "../../connectors/destinations/file/manifest.ts";
import type { CursorWindow } from "../../proto/control.ts";
import { queryDuckDb } from "../connectors/formats/duckdb.ts";
import {
  describe,
  expect,
  test as base,
  type PostgresFixture,
} from "../fixtures/postgres.ts";
import { runSync, type SyncRun } from "../fixtures/run-sync.ts";
import {
  type Destination,
  signal,
  useDestination,
  waitFor,
} from "./support/command.ts";

const test = base.extend<{ destination: Destination }>({
  destination: useDestination,
});

/** Runs that have to succeed. */
async function copy(
  pg: PostgresFixture,
  { root }: Destination,
  cursor: string,
  ...options: readonly string[]
): Promise<SyncRun> {
  const run = await runSync(
    pg.url,
    root,
    ...["--mode", "incremental", "--cursor", cursor],
    ...options,
  );
  expect(run.exitCode, run.stderr).toBe(0);
  return run;
}

/** A column of all rows that a reader of the folder sees, sorted as text. */
async function readColumn(
  { root }: Destination,
  table: string,
  column: string,
): Promise<string[]> {
  const rows = await queryDuckDb(
    `SELECT (${column})::varchar AS value FROM read_parquet('${root}/public/${table}/**/*.parquet') ORDER BY value`,
  );
  return rows.map(([value]) => String(value));
}

function warningsOf(run: SyncRun): string[] {
  return run.stdout
    .split("\n")
    .filter((line) => line.startsWith("{"))
    .map((line) => JSON.parse(line) as { type: string; message?: string })
    .filter(({ type }) => type === "warning")
    .map(({ message }) => message ?? "");
}

/** A connection of its own, for transactions that stay open. */
async function openWriter(pg: PostgresFixture): Promise<pgDriver.Client> {
  const client = new pgDriver.Client({ connectionString: pg.url });
  await client.connect();
  return client;
}

describe("a run after another", () => {
  test("brings a transaction that was open and committed after it, with a lower cursor, once", async ({
    pg,
    destination,
  }) => {
    await pg.query(
      "CREATE TABLE events (id int PRIMARY KEY, at timestamptz NOT NULL DEFAULT now())",
    );
    const late = await openWriter(pg);
    await late.query("BEGIN; INSERT INTO events VALUES (1)");
    await pg.query(
      "SELECT pg_sleep(0.05); INSERT INTO events SELECT generate_series(2, 5)",
    );
    expect((await copy(pg, destination, "at")).stream("events").rows).toBe(4);
    await late.query("COMMIT");
    await late.end();

    expect((await copy(pg, destination, "at")).stream("events").rows).toBe(1);
    expect((await copy(pg, destination, "at")).stream("events").rows).toBe(0);
    expect(await readColumn(destination, "events", "id")).toEqual([
      ...["1", "2", "3", "4", "5"],
    ]);
  });

  test.for([
    { cut: "key", table: "(id int PRIMARY KEY, body text, at timestamptz)" },
    { cut: "ctid", table: "(id int, body text, at timestamptz)" },
  ])(
    "brings new and changed rows and no others, in several partitions by $cut",
    async ({ cut, table }, { pg, destination }) => {
      await pg.query(`CREATE TABLE events ${table};
        INSERT INTO events SELECT g, repeat('x', 200), now() - g * interval '1 second' FROM generate_series(1, 1000) AS g;
        ANALYZE events`);
      const cutting = [
        ...["--partition-by", cut, "--partition-size", "32KiB"],
        ...["--cursor-lag", "500s"],
      ];
      const first = await copy(pg, destination, "at", ...cutting);
      expect(first.stream("events")).toMatchObject({ rows: 1000 });
      expect(first.stream("events").partitions).toBeGreaterThan(3);

      await pg.query(`
        UPDATE events SET body = 'cursor moves', at = now() WHERE id % 100 = 7;
        UPDATE events SET body = 'within the lag', at = at + interval '1 millisecond' WHERE id = 8;
        UPDATE events SET body = 'cursor stays' WHERE id = 9;
        UPDATE events SET body = 'outside of the lag' WHERE id = 900;
        INSERT INTO events VALUES (2001, 'new', now()), (2002, 'late', now() - interval '400 seconds')`);
      const second = await copy(pg, destination, "at", ...cutting);
      expect(second.stream("events").rows).toBe(14);
      const changed = await queryDuckDb(
        `SELECT body, count(*)::int FROM read_parquet('${destination.root}/public/events/**/*.parquet')
         WHERE body NOT LIKE 'x%' GROUP BY body ORDER BY body`,
      );
      expect(changed).toEqual([
        ["cursor moves", 10],
        ["cursor stays", 1],
        ["late", 1],
        ["new", 1],
        ["within the lag", 1],
      ]);
      expect(
        (await copy(pg, destination, "at", ...cutting)).stream("events").rows,
      ).toBe(0);
    },
  );

  test("tells equal rows apart by their number where there is no key", async ({
    pg,
    destination,
  }) => {
    await pg.query(`CREATE TABLE hits (day date, path text);
      INSERT INTO hits SELECT current_date, '/' FROM generate_series(1, 3)`);
    expect((await copy(pg, destination, "day")).stream("hits").rows).toBe(3);
    await pg.query(
      "INSERT INTO hits SELECT current_date, p FROM unnest(ARRAY['/', '/', '/about']) AS p",
    );
    expect((await copy(pg, destination, "day")).stream("hits").rows).toBe(3);
    await pg.query(
      "DELETE FROM hits WHERE path = '/about'; INSERT INTO hits VALUES (current_date, '/about')",
    );
    expect((await copy(pg, destination, "day")).stream("hits").rows).toBe(0);
    expect(await readColumn(destination, "hits", "path")).toEqual([
      ...["/", "/", "/", "/", "/", "/about"],
    ]);
  });

  test("drops what came before by its transactions where there are too many rows, however they are grouped", async ({
    pg,
    destination,
  }) => {
    await pg.query(`CREATE TABLE load (id int, at timestamptz DEFAULT now()) PARTITION BY RANGE (id);
      CREATE TABLE load_low PARTITION OF load FOR VALUES FROM (0) TO (60000);
      CREATE TABLE load_high PARTITION OF load DEFAULT`);
    const late = await openWriter(pg);
    await late.query("BEGIN; SAVEPOINT s; INSERT INTO load VALUES (-1)");
    await pg.query("INSERT INTO load SELECT generate_series(1, 120000)");
    const first = await copy(pg, destination, "at");
    expect(first.stream("load").rows).toBe(120_000);
    await late.query("COMMIT");
    await late.end();
    await pg.query(`INSERT INTO load VALUES (200000);
      UPDATE load SET at = now() WHERE id IN (10, 70000)`);
    // rows move to other places, and stay what they are
    await pg.query("VACUUM FULL load");
    const second = await copy(pg, destination, "at");
    expect(second.stream("load").rows).toBe(4);
    const third = await copy(pg, destination, "at");
    expect(third.stream("load").rows).toBe(0);
    const counts = await queryDuckDb(
      `SELECT count(*)::int, count(DISTINCT id)::int FROM read_parquet('${destination.root}/public/load/**/*.parquet')`,
    );
    expect(counts).toEqual([[120_004, 120_002]]);
  });

  test("goes on when nothing is there, and leaves no file behind where nothing is new", async ({
    pg,
    destination,
  }) => {
    await pg.query("CREATE TABLE t (id int PRIMARY KEY, at timestamptz)");
    const list = () =>
      readdirSync(join(destination.root, "public", "t"), {
        recursive: true,
        encoding: "utf8",
      }).filter((path) => path.endsWith(".parquet"));
    const manifest = () => readManifest(join(destination.root, "public", "t"));
    // an empty table has one file, which shows its columns
    expect((await copy(pg, destination, "at")).stream("t").rows).toBe(0);
    expect(list()).toHaveLength(1);
    await pg.query("INSERT INTO t VALUES (1, NULL)");
    const withNull = await copy(pg, destination, "at");
    expect(withNull.stream("t")).toMatchObject({
      rows: 0,
      rowsWithoutCursor: 1,
    });
    await pg.query("INSERT INTO t VALUES (2, now()), (3, NULL)");
    const withRow = await copy(pg, destination, "at");
    expect(withRow.stream("t")).toMatchObject({
      rows: 1,
      rowsWithoutCursor: 2,
    });
    const files = list();
    expect(files).toHaveLength(2);
    expect((await copy(pg, destination, "at")).stream("t")).toMatchObject({
      state: "committed",
      rows: 0,
      files: 0,
    });
    expect(list()).toEqual(files);
    expect(manifest()).toMatchObject({ mode: "incremental-append", rows: 1 });
    expect(manifest()?.generations).toHaveLength(2);
    expect(
      readdirSync(join(destination.root, "public", "t")).filter((name) =>
        name.startsWith("g"),
      ),
    ).toHaveLength(2);
    await pg.query("TRUNCATE t");
    expect((await copy(pg, destination, "at")).stream("t").rows).toBe(0);
    await pg.query("INSERT INTO t VALUES (4, now())");
    expect((await copy(pg, destination, "at")).stream("t").rows).toBe(1);
    expect(await readColumn(destination, "t", "id")).toEqual(["2", "4"]);
  });

  test("is not blinded by a row from the future", async ({
    pg,
    destination,
  }) => {
    await pg.query(`CREATE TABLE t (id int, at timestamptz);
      INSERT INTO t VALUES (1, now()), (2, now() + interval '1 year')`);
    expect((await copy(pg, destination, "at")).stream("t").rows).toBe(2);
    await pg.query("INSERT INTO t VALUES (3, now())");
    expect((await copy(pg, destination, "at")).stream("t").rows).toBe(1);
  });

  test("still knows what it has moved when columns came and went", async ({
    pg,
    destination,
  }) => {
    await pg.query(`CREATE TABLE t (id int PRIMARY KEY, a text, at timestamptz);
      INSERT INTO t VALUES (1, 'a', now()), (2, 'b', now())`);
    await copy(pg, destination, "at");
    await pg.query(
      "ALTER TABLE t ADD c int DEFAULT 5; INSERT INTO t VALUES (3, 'c', now())",
    );
    expect((await copy(pg, destination, "at")).stream("t").rows).toBe(1);
    await pg.query("ALTER TABLE t DROP a");
    const dropped = await copy(pg, destination, "at");
    expect(dropped.stream("t").rows).toBe(3);
    expect(warningsOf(dropped)).toEqual([
      expect.stringContaining("public.t has lost a since the last run"),
    ]);
  });

  test("moves a view and rows of inheriting tables by their content", async ({
    pg,
    destination,
  }) => {
    await pg.query(`CREATE TABLE parent (id int PRIMARY KEY, at timestamptz);
      CREATE TABLE child (PRIMARY KEY (id)) INHERITS (parent);
      CREATE VIEW seen AS SELECT id, at FROM parent WHERE id < 100;
      INSERT INTO parent VALUES (1, '2024-01-01'), (2, '2024-01-01')`);
    const chosen = ["-t", "parent", "-t", "seen", "--cursor-lag", "1h"];
    await copy(pg, destination, "at", ...chosen);
    // the same key and cursor as in the parent, and a row of its own
    await pg.query(
      "INSERT INTO child VALUES (1, '2024-01-01'), (3, '2024-01-01')",
    );
    const second = await copy(pg, destination, "at", ...chosen);
    expect(second.stream("parent").rows).toBe(2);
    // nothing tells the two rows of id 1 apart in a view, and none may be lost
    expect(second.stream("seen").rows).toBe(3);
    expect(warningsOf(second)).toEqual([
      expect.stringContaining("public.seen has new rows that equal"),
    ]);
    const third = await copy(pg, destination, "at", ...chosen);
    expect(third.stream("parent").rows).toBe(0);
    expect(third.stream("seen").rows).toBe(0);
  });
});

describe("a cursor", () => {
  test("of any type takes up where the last run ended", async ({
    pg,
    destination,
  }) => {
    const cases = [
      { type: "int", first: "1, 2, 3", more: "4, 5" },
      {
        type: "bigint",
        first: "1, 9007199254740993",
        more: "9007199254740994",
      },
      { type: "numeric", first: "1.10, 2.2", more: "2.21, 1e30" },
      { type: "text", first: "'a', 'b'", more: "'ba', 'ż'" },
      {
        type: "date",
        first: "'2024-05-01', '2024-05-03'",
        more: "'2024-05-04'",
      },
      {
        type: "timestamp",
        first: "'2024-05-01 00:00:00.000001'",
        more: "'2024-05-01 00:00:00.000002', '2024-05-01'",
      },
      {
        type: "timestamptz",
        first: "'2024-05-01 00:00:00.000001+02'",
        more: "'2024-05-01 00:00:00.000002+02'",
      },
    ];
    const insert = async (which: "first" | "more"): Promise<void> => {
      for (const one of cases) {
        await pg.query(
          `INSERT INTO t_${one.type} (c) SELECT v::${one.type} FROM unnest(ARRAY[${one[which]}]) AS v`,
        );
      }
    };
    const countRows = async (): Promise<object> => {
      const { summary } = await copy(pg, destination, "c");
      return Object.fromEntries(
        summary.streams.map(({ name, rows }) => [name, rows]),
      );
    };
    const countValues = (which: "first" | "more"): object =>
      Object.fromEntries(
        cases.map((one) => [`t_${one.type}`, one[which].split(",").length]),
      );
    for (const { type } of cases) {
      await pg.query(
        `CREATE TABLE t_${type} (id serial PRIMARY KEY, c ${type} NOT NULL)`,
      );
    }
    await insert("first");
    expect(await countRows()).toEqual(countValues("first"));
    await insert("more");
    expect(await countRows()).toEqual(countValues("more"));
  });

  test.for([
    { type: "int", warns: true },
    { type: "text", warns: true },
    { type: "timestamp", warns: false },
  ])(
    "of type $type warns of rows that commit late where it has no lag: $warns",
    async ({ type, warns }, { pg, destination }) => {
      await pg.query(`CREATE TABLE t (c ${type})`);
      expect(warningsOf(await copy(pg, destination, "c"))).toEqual(
        warns
          ? [expect.stringContaining("change data capture misses none")]
          : [],
      );
    },
  );

  test.for([
    {
      column: "flag",
      says: "public.t.flag of type boolean cannot be a cursor",
    },
    { column: "upd", says: "updated" },
    { column: "ends", says: "the highest public.t.ends is infinity" },
  ])(
    "that cannot be one is refused: $column",
    async ({ column, says }, { pg, destination }) => {
      await pg.query(`CREATE TABLE t (flag bool, updated int, ends timestamptz);
      INSERT INTO t VALUES (true, 1, 'infinity')`);
      const run = await runSync(
        pg.url,
        destination.root,
        ...["--mode", "incremental", "--cursor", column],
      );
      expect(run.exitCode, run.stderr).toBe(2);
      expect(run.summary.error?.message).toContain(says);
    },
  );

  test("stays what it was", async ({ pg, destination }) => {
    await pg.query(
      `CREATE TABLE t (a int, b int); INSERT INTO t VALUES (1, 2)`,
    );
    await copy(pg, destination, "a");
    const other = await runSync(
      pg.url,
      destination.root,
      ...["--mode", "incremental", "--cursor", "b"],
    );
    expect(other.exitCode).toBe(2);
    expect(other.summary.error).toMatchObject({
      code: "CURSOR_UNUSABLE",
      message: expect.stringContaining("by the cursor a so far") as string,
    });
    expect((await copy(pg, destination, "a")).stream("t").rows).toBe(0);
  });
});

describe("a run that is killed", () => {
  /** Of the newest run, as the ledger has it. */
  const findWindow = (destination: Destination): CursorWindow | null =>
    destination.look((ledger) => {
      const [run] = ledger.listRuns({ limit: 1 });
      const [stream] = run ? ledger.streamsOf(run.runId) : [];
      return stream?.cursorWindowJson
        ? (JSON.parse(stream.cursorWindowJson) as CursorWindow)
        : null;
    });
  const findState = (destination: Destination): string | null =>
    destination.look((ledger) => {
      const [run] = ledger.listRuns({ limit: 1 });
      return run ? ledger.cursorState(run.syncId, "public", "events") : null;
    });

  test.for([{ kill: "bookkeeper" }, { kill: "bookkeeper and keeper" }])(
    "goes on ($kill killed), and its cursor moves with the commit only",
    async ({ kill }, { pg, destination }) => {
      await pg.query(`
        CREATE TABLE events (id int PRIMARY KEY, at timestamptz NOT NULL DEFAULT now(), body text);
        INSERT INTO events SELECT g, now(), '' FROM generate_series(1, 100) AS g`);
      const args = [
        ...["sync", pg.url, destination.root, "--mode", "incremental"],
        ...["--cursor", "at", "--partition-by", "key"],
        ...["--partition-size", "1MiB", "--checkpoint-every", "100ms"],
        ...["--readers", "1", "--channels", "1"],
      ];
      expect((await destination.run(...args)).code).toBe(0);
      const before = findState(destination);
      expect(before).not.toBeNull();

      const late = await openWriter(pg);
      await late.query("BEGIN; INSERT INTO events (id) VALUES (-1)");
      await pg.query(`
        INSERT INTO events SELECT g, clock_timestamp(), repeat(md5(g::text), 48) FROM generate_series(1001, 25000) AS g;
        UPDATE events SET at = now() WHERE id <= 10; ANALYZE events`);
      const run = destination.start(...args);
      await waitFor("a durable partition", () =>
        destination.look((ledger) => {
          const [newest] = ledger.listRuns({ limit: 1 });
          return (
            newest !== undefined &&
            ledger.durableOf(newest.runId).length > 1 &&
            newest.state === "running"
          );
        }),
      );
      const keeper = run.find("keeper");
      signal(run.pid, "SIGKILL");
      if (kill !== "bookkeeper" && keeper !== null) signal(keeper, "SIGKILL");
      await run.ended;
      const window = findWindow(destination);
      expect(window?.dropRepeats).not.toBeNull();
      expect(findState(destination)).toBe(before);

      // neither is in the snapshot of the run that was killed
      await late.query("COMMIT");
      await late.end();
      await pg.query("INSERT INTO events (id) VALUES (50000)");
      const resumed = await destination.run("resume", destination.root);
      expect(resumed.code, resumed.stderr).toBe(0);
      const isKept = kill === "bookkeeper";
      expect(resumed.summary?.snapshots).toBe(isKept ? 1 : 2);
      expect(resumed.summary?.streams[0]?.rows).toBe(24_010 + (isKept ? 0 : 2));
      if (isKept) expect(findWindow(destination)).toEqual(window);
      else expect(findWindow(destination)?.to).not.toBe(window?.to);
      expect(findState(destination)).toBe(findWindow(destination)?.nextState);

      const last = await destination.run(...args);
      expect(last.summary?.streams[0]?.rows).toBe(isKept ? 2 : 0);
      const counts = await queryDuckDb(
        `SELECT count(*)::int, count(DISTINCT id)::int, count(DISTINCT id || '/' || "at")::int
         FROM read_parquet('${destination.root}/public/events/**/*.parquet')`,
      );
      expect(counts).toEqual([[24_112, 24_102, 24_112]]);
    },
  );

  test("between manifest and ledger moves its cursor when it is finished", async ({
    pg,
    destination,
  }) => {
    await pg.query(
      "CREATE TABLE events (id int PRIMARY KEY); INSERT INTO events VALUES (1)",
    );
    await copy(pg, destination, "id");
    await pg.query("INSERT INTO events VALUES (2)");
    const change = (sql: string): void => {
      const ledger = new DatabaseSync(destination.ledgerPath);
      ledger.exec(sql);
      ledger.close();
    };
    change(`CREATE TRIGGER refuse BEFORE UPDATE OF state ON streams WHEN NEW.state = 'committed'
      BEGIN SELECT RAISE(ABORT, 'no more'); END`);
    const cut = await runSync(
      pg.url,
      destination.root,
      ...["--mode", "incremental", "--cursor", "id"],
    );
    expect(cut.exitCode).not.toBe(0);
    expect(await readColumn(destination, "events", "id")).toEqual(["1", "2"]);
    change("DROP TRIGGER refuse");
    const resumed = await destination.run("resume", destination.root);
    expect(resumed.code, resumed.stderr).toBe(0);
    expect((await copy(pg, destination, "id")).stream("events").rows).toBe(0);
    expect(await readColumn(destination, "events", "id")).toEqual(["1", "2"]);
  });
});
