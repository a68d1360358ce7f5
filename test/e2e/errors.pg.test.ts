/** What can go wrong outside: one error that names the thing, its exit code, and nothing half done. */
import { spawnSync } from "node:child_process";
import { randomBytes } from "node:crypto";
import {
  chmodSync,
  cpSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  truncateSync,
  writeFileSync,
} from "node:fs";
import { readdir, stat } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Client } from "pg";
import { afterAll, vi } from "vitest";
import { queryDuckDb } from "../connectors/formats/duckdb.ts";
import {
  describe,
  expect,
  test as withDatabase,
  type PostgresFixture,
} from "../fixtures/postgres.ts";
import { fromParquet } from "../fixtures/read-back.ts";
import {
  runCommand,
  runSync,
  startCommand,
  type SyncOutcome,
} from "../fixtures/run-sync.ts";
import { startPostgres } from "../services/postgres.ts";

const root = mkdtempSync(join(tmpdir(), "millrace-errors-"));
afterAll(() => rmSync(root, { recursive: true, force: true }));

/** `folder`: a destination of the test's own, not made yet. */
const test = withDatabase.extend<{ folder: string }>({
  // eslint-disable-next-line no-empty-pattern
  folder: async ({}, use) => use(join(root, randomBytes(6).toString("hex"))),
});

/** What a test waits for comes within this, or never. */
const WAIT_MS_MAX = 30_000;

/** Everything below the folder but the ledger, with each file's size. */
async function listOutput(folder: string): Promise<string[]> {
  const names = await readdir(folder, { recursive: true }).catch(() => []);
  const listed: string[] = [];
  for (const name of names.filter((one) => !one.startsWith(".millrace"))) {
    const entry = await stat(join(folder, name));
    if (entry.isFile()) listed.push(`${name} ${entry.size}`);
  }
  return listed.sort();
}

/** One error of that code and no other, its words and its way out; the exit code. */
function expectError(
  { stderr, exitCode }: SyncOutcome,
  code: string,
  exit: number,
  ...words: readonly (string | RegExp)[]
): void {
  const codes = [...stderr.matchAll(/^error ([A-Z_]+):/gm)].map(
    ([, one]) => one,
  );
  expect(codes, stderr).toEqual([code]);
  for (const word of words) expect(stderr).toMatch(word);
  expect(stderr).toContain("→");
  expect(stderr).not.toMatch(/^\s+at /m);
  expect(exitCode, stderr).toBe(exit);
}

async function makeTables(pg: PostgresFixture): Promise<void> {
  await pg.query(`
    CREATE TABLE orders (id int PRIMARY KEY, amount numeric(10,2), note text);
    INSERT INTO orders SELECT n, n, 'note ' || n FROM generate_series(1, 500) AS n;
    CREATE TABLE customers (id int PRIMARY KEY, email text);
    INSERT INTO customers SELECT n, n || '@example.com' FROM generate_series(1, 100) AS n`);
}

describe("the source", () => {
  test("a server, host or database that is not there", async ({
    pg,
    folder,
  }) => {
    const at = (change: (url: URL) => void) => {
      const url = new URL(pg.url);
      change(url);
      return url.href;
    };
    for (const [url, word, code, exitCode] of [
      [at((one) => (one.port = "1")), "127.0.0.1:1", "SOURCE_UNREACHABLE", 3],
      [
        at((one) => (one.hostname = "nowhere.invalid")),
        "nowhere.invalid",
        "SOURCE_UNREACHABLE",
        3,
      ],
      [
        at((one) => (one.pathname = "/no_such_database")),
        "no_such_database",
        "SOURCE_DATABASE_NOT_FOUND",
        2,
      ],
    ] as const) {
      const run = await runCommand(["sync", url, folder]);
      expectError(run, code, exitCode, word);
      expect(await listOutput(folder)).toEqual([]);
    }
  });

  test("a wrong password, a missing one, an unknown user; no password is shown", async ({
    folder,
  }) => {
    const hba = join(root, "pg_hba.conf");
    writeFileSync(
      hba,
      "host all postgres 127.0.0.1/32 trust\nhost all all 127.0.0.1/32 scram-sha-256\n",
    );
    // the server runs as another user
    chmodSync(root, 0o755);
    const server = await startPostgres({ settings: [`hba_file=${hba}`] });
    try {
      const admin = new Client({ connectionString: server.url });
      await admin.connect();
      await admin.query(
        "CREATE ROLE guarded LOGIN PASSWORD 'right-one'; CREATE TABLE t AS SELECT 1 AS n; GRANT SELECT ON t TO guarded",
      );
      await admin.end();
      const login = (user: string) => {
        const url = new URL(server.url);
        [url.username = "", url.password = ""] = user.split(":");
        return url.href;
      };
      for (const user of [
        "guarded:wrong-one",
        "guarded",
        "stranger:wrong-one",
      ]) {
        const run = await runCommand(["sync", login(user), folder], {
          PGPASSFILE: "/nonexistent",
        });
        expectError(run, "SOURCE_AUTH_FAILED", 2, /password/);
        expect(run.stderr + run.stdout).not.toContain("wrong-one");
        expect(await listOutput(folder)).toEqual([]);
      }
      const right = await runCommand(["sync", login("guarded"), folder], {
        PGPASSWORD: "right-one",
      });
      expect(right.exitCode, right.stderr).toBe(0);
    } finally {
      await server.stop();
    }
  });

  test("an unknown table or column, with the nearest name", async ({
    pg,
    folder,
  }) => {
    await makeTables(pg);
    const table = await runCommand([
      "sync",
      pg.url,
      folder,
      "--table",
      "order",
    ]);
    expectError(
      table,
      "SOURCE_TABLE_NOT_FOUND",
      2,
      "table order does not exist; did you mean orders?",
    );
    const column = await runCommand([
      "sync",
      pg.url,
      folder,
      "--table",
      "orders",
      "--columns",
      "id,amuont",
    ]);
    expectError(
      column,
      "SOURCE_COLUMN_NOT_FOUND",
      2,
      "public.orders has no column amuont; did you mean amount?",
    );
    const cursor = await runCommand([
      "sync",
      pg.url,
      folder,
      "--table",
      "orders",
      "--mode",
      "incremental",
      "--cursor",
      "idd",
    ]);
    expect(cursor.exitCode, cursor.stderr).toBe(2);
    expect(cursor.stderr).toMatch(/idd.*did you mean id/);
    expect(await listOutput(folder)).toEqual([]);
  });

  test("no permission on one table, one column, one schema: the others are committed", async ({
    pg,
    folder,
  }) => {
    await makeTables(pg);
    const role = `reader_${randomBytes(4).toString("hex")}`;
    await pg.query(`
      CREATE TABLE secrets (id int PRIMARY KEY, word text);
      INSERT INTO secrets VALUES (1, 'x');
      CREATE SCHEMA closed;
      CREATE TABLE closed.t AS SELECT 1 AS n;
      CREATE ROLE ${role} LOGIN;
      GRANT SELECT ON orders TO ${role};
      GRANT SELECT (id) ON customers TO ${role}`);
    try {
      const url = new URL(pg.url);
      url.username = role;
      const run = await runSync(url.href, folder);
      expect(run.exitCode, run.stderr).toBe(4);
      expect(
        run.summary.streams.map(({ namespace, name, state, error }) => [
          `${namespace}.${name}`,
          state,
          error?.code ?? null,
        ]),
      ).toEqual([
        ["public.orders", "committed", null],
        ["closed.t", "failed", "SOURCE_PERMISSION_DENIED"],
        ["public.customers", "failed", "SOURCE_PERMISSION_DENIED"],
        ["public.secrets", "failed", "SOURCE_PERMISSION_DENIED"],
      ]);
      expect(run.stderr).toContain("no USAGE on schema closed");
      expect(run.stderr).toContain("no SELECT on public.secrets");
      expect(run.stderr).toContain(
        "no SELECT on these columns of public.customers: email",
      );
      expect(
        (await listOutput(folder)).filter(
          (name) => !name.startsWith("public/orders/"),
        ),
      ).toEqual([]);
      const allowed = await runSync(
        url.href,
        folder,
        "--table",
        "customers",
        "--columns",
        "id",
      );
      expect(allowed.exitCode, allowed.stderr).toBe(0);
    } finally {
      await pg.query(`DROP OWNED BY ${role}; DROP ROLE ${role}`);
    }
  });

  test("a condition that the server refuses, in its own words", async ({
    pg,
    folder,
  }) => {
    await makeTables(pg);
    for (const [where, word] of [
      ["id >", /syntax error at/],
      ["nothing = 1", /column "nothing" does not exist/],
      ["id = 'x'", /invalid input syntax for type integer: "x"/],
      ["id / 0 = 1", /division by zero/],
      // what would tear the query apart that it stands in
      ["id < 300) OR (id >= 0", /syntax error at or near "\)"/],
      ["1 = 1; DROP TABLE orders; --", /multiple commands|syntax error/],
      [
        "1 = 1); COMMIT; DROP TABLE orders; SELECT (1 = 1",
        /syntax error at or near "\)"/,
      ],
      ["id = $1", /parameter|operator does not exist/],
      ["1 = 1 /*", /unterminated/],
    ] as const) {
      const run = await runCommand([
        "sync",
        pg.url,
        folder,
        "--table",
        "orders",
        "--where",
        where,
        "--restart",
      ]);
      // a name that is nowhere is wrong use; what the server finds wrong in the data is that table's failure
      if (where.startsWith("nothing"))
        expectError(run, "SOURCE_COLUMN_NOT_FOUND", 2, word, "public.orders");
      else expectError(run, "SOURCE_QUERY_FAILED", 4, word, "public.orders");
      expect(await listOutput(folder)).toEqual([]);
    }
    expect(await pg.query("SELECT count(*)::int AS n FROM orders")).toEqual([
      { n: 500 },
    ]);
  });

  test("a row above --row-bytes-max fails its table and names the sizes", async ({
    pg,
    folder,
  }) => {
    await makeTables(pg);
    await pg.query(
      "CREATE TABLE large AS SELECT 1 AS n, repeat('x', 100000) AS t",
    );
    const run = await runSync(pg.url, folder, "--row-bytes-max", "64KiB");
    expectError(
      run,
      "SOURCE_ROW_TOO_LARGE",
      4,
      /a row of public\.large has 1000\d\d bytes; 65536 are allowed/,
    );
    expect(run.stream("orders").state).toBe("committed");
    expect(run.stream("large").state).toBe("failed");
    expect(
      (await listOutput(folder)).some((name) =>
        name.startsWith("public/large"),
      ),
    ).toBe(false);
  });

  test.for([
    { change: "DROP TABLE late", late: null, attempts: 2 },
    { change: "ALTER TABLE late RENAME TO later", late: null, attempts: 2 },
    { change: "TRUNCATE late", late: [], attempts: 2 },
    {
      change: "ALTER TABLE late ALTER COLUMN b TYPE text USING 'was ' || b",
      late: [
        [1, "was 1"],
        [2, "was 2"],
      ],
      attempts: 2,
    },
    {
      change: "DROP TABLE late; CREATE TABLE late AS SELECT 7 AS a, true AS b",
      late: [[7, true]],
      attempts: 2,
    },
    {
      change: "ALTER TABLE late DROP COLUMN b",
      late: /column "b" does not exist any more/,
      attempts: 1,
    },
    {
      change: "ALTER TABLE late RENAME COLUMN b TO c",
      late: /column "b" does not exist any more/,
      attempts: 1,
    },
    {
      change: "ALTER TABLE late DROP COLUMN b, ADD COLUMN b bool",
      late: /late\.b came as type 16, not 23 as discovered/,
      attempts: 1,
    },
    {
      change: "ALTER TABLE late ADD COLUMN c int DEFAULT 5",
      late: [
        [1, 1],
        [2, 2],
      ],
      attempts: 1,
    },
  ])(
    "$change, right before it is read",
    async ({ change, late, attempts }, { pg, folder }) => {
      await makeTables(pg);
      await pg.query(
        "CREATE TABLE late AS SELECT n AS a, n AS b FROM generate_series(1, 2) AS n",
      );
      const other = new Client({ connectionString: pg.url });
      await other.connect();
      try {
        // the run comes as far as its first lock of the table, when its snapshot is long taken
        await other.query("BEGIN; LOCK TABLE late IN ACCESS EXCLUSIVE MODE");
        const running = runSync(pg.url, folder);
        await vi.waitUntil(
          async () =>
            (
              await pg.query(
                "SELECT FROM pg_locks WHERE relation = 'late'::regclass AND NOT granted",
              )
            ).length > 0,
          { timeout: WAIT_MS_MAX },
        );
        await other.query(`${change}; COMMIT`);
        const run = await running;
        expect(run.stream("orders").state, run.stderr).toBe("committed");
        expect(run.stream("customers").state).toBe("committed");
        expect(run.summary.epoch, run.stderr).toBe(attempts);
        if (late instanceof RegExp) {
          expectError(run, "SOURCE_SCHEMA_CHANGED", 4, "public.late", late);
          expect(run.stream("late").state).toBe("failed");
          expect((await runSync(pg.url, folder)).exitCode).toBe(0);
          return;
        }
        expect(run.exitCode, run.stderr).toBe(0);
        if (late === null) {
          expect(run.summary.streams.map(({ name }) => name)).not.toContain(
            "late",
          );
          return;
        }
        expect(
          await queryDuckDb(
            `FROM ${fromParquet(run.stream("late").folder)} ORDER BY a`,
          ),
        ).toEqual(late);
      } finally {
        await other.end();
      }
    },
  );
});

describe("the destination", () => {
  test("a path that cannot be a folder", async ({ pg, folder }) => {
    await makeTables(pg);
    mkdirSync(folder);
    writeFileSync(join(folder, "file"), "keep me");
    for (const bad of [
      join(folder, "file"),
      join(folder, "file/below"),
      "/proc/nothing/here",
      "/dev/null",
    ]) {
      const run = await runCommand(["sync", pg.url, bad]);
      expectError(
        run,
        "DESTINATION_UNWRITABLE",
        2,
        bad.startsWith("/proc")
          ? "/proc/nothing"
          : bad === "/dev/null"
            ? bad
            : join(folder, "file"),
      );
    }
    expect(await listOutput(folder)).toEqual(["file 7"]);
  });

  test("a full disk ends the run; with room it goes on and is whole", async ({
    pg,
    folder,
    skip,
  }) => {
    mkdirSync(folder);
    const mount = (...args: string[]) => spawnSync("mount", args).status === 0;
    if (!mount("-t", "tmpfs", "-o", "size=3m", "millrace-test", folder))
      return skip("mounting is not permitted here");
    try {
      await pg.query(`
        CREATE TABLE filler (n int PRIMARY KEY, t text);
        INSERT INTO filler SELECT n, string_agg(md5(n::text || i), '') FROM generate_series(1, 6000) AS n, generate_series(1, 40) AS i GROUP BY n`);
      const args = [
        "sync",
        pg.url,
        folder,
        "--compression",
        "none",
        "--attempts",
        "1",
      ];
      const full = await runCommand(args);
      expectError(full, "DESTINATION_FULL", 3, folder, "millrace resume");
      expect(
        (await listOutput(folder)).some((name) => name.includes("_manifest")),
      ).toBe(false);
      expect(mount("-o", "remount,size=64m", folder)).toBe(true);
      const again = await runCommand(["resume", folder]);
      expect(again.exitCode, again.stderr).toBe(0);
      const [row] = await queryDuckDb(
        `SELECT count(*), count(DISTINCT n), sum(length(t)) FROM ${fromParquet(join(folder, "public/filler"))}`,
      );
      expect(row?.map(Number)).toEqual([6000, 6000, 6000 * 40 * 32]);
    } finally {
      spawnSync("umount", ["-l", folder]);
    }
  });

  test("files of another ledger, or of nobody, are not touched", async ({
    pg,
    folder,
  }) => {
    await makeTables(pg);
    const first = await runSync(pg.url, folder);
    expect(first.exitCode, first.stderr).toBe(0);
    const before = await listOutput(folder);

    // the ledger is gone
    rmSync(join(folder, ".millrace"), { recursive: true });
    const orphaned = await runSync(pg.url, folder);
    expect(orphaned.stderr).toMatch(
      /^error DESTINATION_FOREIGN: .*public\/(orders|customers)/m,
    );
    expect(orphaned.exitCode, orphaned.stderr).toBe(4);
    expect(
      orphaned.summary.streams.every(({ state }) => state === "failed"),
    ).toBe(true);
    expect(await listOutput(folder)).toEqual(before);

    // and another's is in its place
    const elsewhere = `${folder}-other`;
    expect((await runSync(pg.url, elsewhere)).exitCode).toBe(0);
    rmSync(join(folder, ".millrace"), { recursive: true });
    cpSync(join(elsewhere, ".millrace"), join(folder, ".millrace"), {
      recursive: true,
    });
    const swapped = await runSync(pg.url, folder);
    expect(swapped.stderr).toMatch(/^error DESTINATION_FOREIGN:/m);
    expect(swapped.exitCode, swapped.stderr).toBe(4);
    expect(await listOutput(folder)).toEqual(before);
  });

  test("a manifest that somebody wrote by hand stops its table only", async ({
    pg,
    folder,
  }) => {
    await makeTables(pg);
    mkdirSync(join(folder, "public/orders"), { recursive: true });
    const path = join(folder, "public/orders/_manifest.json");
    writeFileSync(path, "{}\n");
    const run = await runSync(pg.url, folder);
    expectError(run, "DESTINATION_FOREIGN", 4, path);
    expect(run.stream("customers").state).toBe("committed");
    expect(readFileSync(path, "utf8")).toBe("{}\n");
    expect(
      (await listOutput(folder)).filter((name) => name.includes("orders")),
    ).toEqual(["public/orders/_manifest.json 3"]);
  });
});

describe("the ledger", () => {
  test("a broken one is named and left as it is", async ({ pg, folder }) => {
    await makeTables(pg);
    const ledger = join(folder, ".millrace/ledger.sqlite");
    expect((await runSync(pg.url, folder)).exitCode).toBe(0);
    const before = await listOutput(folder);
    const damages: readonly (() => void)[] = [
      () =>
        writeFileSync(
          ledger,
          "this is no database, but as long as one ".repeat(200),
        ),
      () => truncateSync(ledger, 5_000),
    ];
    const whole = readFileSync(ledger);
    for (const damage of damages) {
      writeFileSync(ledger, whole);
      damage();
      const damaged = readFileSync(ledger);
      const run = await runCommand(["sync", pg.url, folder]);
      expectError(run, "LEDGER_CORRUPT", 1, ledger);
      expect(readFileSync(ledger)).toEqual(damaged);
      expect(await listOutput(folder)).toEqual(before);
    }
    const elsewhere = join(root, "a-folder.sqlite");
    mkdirSync(elsewhere, { recursive: true });
    const isFolder = await runCommand([
      "sync",
      pg.url,
      folder,
      "--ledger",
      elsewhere,
    ]);
    expect(isFolder.stderr).toMatch(
      /^error (LEDGER_CORRUPT|DESTINATION_UNWRITABLE): /m,
    );
    expect(isFolder.stderr).toContain(elsewhere);
  });

  test("an unfinished run whose table has changed its shape is not gone on with, but --restart begins anew", async ({
    pg,
    folder,
  }) => {
    // the view waits for a lock of ours, so that the run is in its middle when it is killed
    await pg.query(`
      CREATE FUNCTION pass(n int) RETURNS int LANGUAGE plpgsql AS $$
        BEGIN PERFORM pg_advisory_xact_lock_shared(7); RETURN n; END $$;
      CREATE VIEW gated AS SELECT n, pass(n) AS passed FROM generate_series(1, 100) AS n;
      SELECT pg_advisory_lock(7)`);
    const args = [
      "sync",
      pg.url,
      folder,
      "--table",
      "gated",
      "--snapshot-grace",
      "0s",
    ];
    const running = startCommand(args);
    await vi.waitUntil(
      async () =>
        (
          await pg.query(
            "SELECT FROM pg_locks WHERE locktype = 'advisory' AND NOT granted AND objid = 7",
          )
        ).length > 0,
      { timeout: WAIT_MS_MAX },
    );
    running.child.kill("SIGKILL");
    await running.ended;
    await pg.query(`SELECT pg_advisory_unlock(7);
      CREATE OR REPLACE VIEW gated AS SELECT n, pass(n) AS passed, 'new'::text AS added FROM generate_series(1, 100) AS n`);
    const refused = await runCommand(args);
    expectError(
      refused,
      "STATE_INCOMPATIBLE",
      2,
      "public.gated has other columns",
      "--restart",
    );
    expect(await listOutput(folder)).toEqual([]);
    const anew = await runSync(pg.url, folder, ...args.slice(3), "--restart");
    expect(anew.exitCode, anew.stderr).toBe(0);
    const [row] = await queryDuckDb(
      `SELECT count(*), min(added) FROM ${fromParquet(anew.stream("gated").folder)}`,
    );
    expect(row).toEqual([100n, "new"]);
  });
});

describe("what was typed", () => {
  const url = "postgres://nobody:hidden-word@127.0.0.1:1/nothing";

  test("options and values that cannot be meant are refused before anything is begun", async ({
    folder,
  }) => {
    for (const [args, ...words] of [
      [["--tabel", "x"], "--tabel", "did you mean --table?"],
      [["--channels", "-1"], "--channels", "between 1 and 64"],
      [["--channels", "0"], "--channels", "between 1 and 64"],
      [["--channels", "1e9"], "--channels", "between 1 and 64"],
      [["--readers", "two"], "--readers", "whole number"],
      [["--attempts", "0"], "--attempts"],
      [["--checkpoint-every", "-5s"], "--checkpoint-every", "no duration"],
      [["--checkpoint-every", "0"], "--checkpoint-every", "between"],
      [["--checkpoint-every", "100y"], "--checkpoint-every", "no duration"],
      [["--row-bytes-max", "12 parsecs"], "--row-bytes-max", "no size"],
      [["--row-bytes-max", "10TiB"], "--row-bytes-max", "between"],
      [["--file-size", "0"], "--file-size", "between"],
      [["--partition-size", "-1"], "--partition-size", "no size"],
      [["--format", "orc"], "--format", "parquet, avro, csv, jsonl"],
      [["--compression", "lzma"], "--compression", "zstd, snappy, gzip, none"],
      [["--format", "csv", "--compression", "snappy"], "snappy"],
      [["--unrepresentable", "ignore"], "--unrepresentable", "error, null"],
      [["--mode", "upsert"], "--mode", "incremental-append"],
      [["--mode", "incremental"], "--cursor"],
      [["--path", "../{stream}"], "--path"],
      [["--path", "{table}"], "--path", "{table}"],
      [["--partition-by", "luck"], "--partition-by", "auto, ctid, key"],
      [["excess"], "excess|too many"],
    ] as const) {
      const run = await runCommand(["sync", url, folder, ...args]);
      expectError(
        run,
        "USAGE",
        2,
        ...words.map((word) => (word.includes("|") ? new RegExp(word) : word)),
      );
      expect(run.stderr).not.toContain("hidden-word");
    }
    expect(await listOutput(folder)).toEqual([]);
  });

  test("a configuration file with faults: each is named with its place", async ({
    folder,
  }) => {
    mkdirSync(folder);
    const path = join(folder, "millrace.yaml");
    const check = async (
      text: string,
      code: string,
      ...words: readonly (string | RegExp)[]
    ) => {
      writeFileSync(path, text);
      expectError(await runCommand(["sync", "-f", path]), code, 2, ...words);
    };
    await check("syncs:\n  a: [\n", "CONFIG_INVALID", path, /line 3|3:/);
    await check(
      "syncs: {a: {source: {kind: postgres, url: postgres://x/y}, destination: {kind: file, path: ./o}, chanels: 4}}",
      "CONFIG_INVALID",
      "chanels",
      "channels",
    );
    await check(
      "syncs: {a: {source: {kind: oracle, url: postgres://x/y}, destination: {kind: file, path: ./o}, channels: -4, checkpointEvery: soon}}",
      "CONFIG_INVALID",
      "kind",
      "channels",
      "checkpointEvery",
    );
    await check("", "CONFIG_INVALID", path);
    await check(
      "syncs: {a: {source: {kind: postgres, url: '${NOT_SET_ANYWHERE}'}, destination: {kind: file, path: ./o}}}",
      "CONFIG_INVALID",
      "NOT_SET_ANYWHERE",
    );
    rmSync(path);
    expectError(await runCommand(["sync", "-f", path]), "USAGE", 2, path);
  });
});
