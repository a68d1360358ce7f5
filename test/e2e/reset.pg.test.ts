/** A stream that was reset is copied whole, in place of what its sync had copied before, in every mode. */
import { join } from "node:path";
import { Ledger } from "../../checkpoint/store/ledger.ts";
import { queryDuckDb } from "../connectors/formats/duckdb.ts";
import {
  expect,
  test as base,
  withDatabase,
  type PostgresFixture,
} from "../fixtures/postgres.ts";
import { runSync } from "../fixtures/run-sync.ts";
import { type Destination, useDestination } from "./support/command.ts";

const test = base.extend<{ scratch: Destination; target: PostgresFixture }>({
  scratch: useDestination,
  target: async ({ pg }, use) => withDatabase(pg.adminUrl, use),
});

interface Row {
  readonly id: number;
  readonly seen: number;
  readonly word: string;
}

const readAll = "SELECT id::int, seen::int, word FROM t ORDER BY id, seen";

const makeTable = `
  CREATE TABLE t (id int PRIMARY KEY, seen int NOT NULL, word text NOT NULL);
  INSERT INTO t SELECT n, n, 'first' FROM generate_series(1, 1000) AS n`;

/** Rows that a cursor never sees: gone, and changed without the cursor's growth. */
const changeUnseen = `
  DELETE FROM t WHERE id % 10 = 0;
  UPDATE t SET word = 'unseen' WHERE id % 10 = 1`;

const changeSeen = `
  UPDATE t SET word = 'seen', seen = 2000 WHERE id = 5;
  INSERT INTO t VALUES (1001, 2001, 'new')`;

function reset(ledgerPath: string): void {
  const ledger = Ledger.open(ledgerPath, { create: false });
  try {
    const [run] = ledger.listRuns({ limit: 1 });
    if (!run) throw new Error("no run");
    ledger.resetStream(run.syncId, "public", "t");
  } finally {
    ledger.close();
  }
}

const cursorOptions = ["--cursor", "seen", "--cursor-lag", "0s"];

test.for([
  { mode: "incremental-append-dedupe", options: cursorOptions },
  { mode: "incremental-append", options: cursorOptions },
  { mode: "full-refresh-append", options: [] },
])(
  "in a database in $mode it replaces the rows, keeps what hangs on the table, and goes on from there",
  async ({ mode, options }, { pg, target, scratch }) => {
    await pg.query(makeTable);
    const ledger = join(scratch.root, "ledger.sqlite");
    const copy = async (): Promise<number> => {
      const run = await runSync(
        pg.url,
        target.url,
        ...["--mode", mode, "--ledger", ledger, ...options],
      );
      expect(run.exitCode, run.stderr).toBe(0);
      return run.stream("t").rows;
    };
    const read = () => target.query<Row>(readAll);
    expect(await copy()).toBe(1000);
    await target.query("CREATE VIEW words AS SELECT DISTINCT word FROM t");
    await pg.query(changeUnseen);
    await copy();
    const wanted = await pg.query<Row>(readAll);
    expect(await read()).not.toEqual(wanted);
    reset(ledger);
    expect(await copy()).toBe(900);
    expect(await read()).toEqual(wanted);
    expect(await target.query("SELECT word FROM words ORDER BY 1")).toEqual([
      { word: "first" },
      { word: "unseen" },
    ]);
    // the run after appends or merges as ever
    await pg.query(changeSeen);
    const isIncremental = options.length > 0;
    expect(await copy()).toBe(isIncremental ? 2 : 901);
    const after = await read();
    if (mode === "incremental-append-dedupe")
      expect(after).toEqual(await pg.query<Row>(readAll));
    else expect(after).toHaveLength(isIncremental ? 902 : 1801);
    expect(after.filter(({ id }) => id === 1001)).toHaveLength(1);
  },
);

test("rows that a sync of ours never wrote are not taken away by a reset before its first run", async ({
  pg,
  target,
  scratch,
}) => {
  await pg.query(makeTable);
  await target.query(
    "CREATE TABLE t (id int, seen int, word text); INSERT INTO t VALUES (-1, 0, 'theirs')",
  );
  const ledger = join(scratch.root, "ledger.sqlite");
  const options = ["--mode", "full-refresh-append", "--ledger", ledger];
  const failing = await runSync(
    pg.url,
    target.url,
    ...options,
    ...["--where", "1 / (id - 1) = 0"],
  );
  expect(failing.exitCode).not.toBe(0);
  reset(ledger);
  const run = await runSync(pg.url, target.url, ...options);
  expect(run.exitCode, run.stderr).toBe(0);
  const [counted] = await target.query<{ rows: number; theirs: number }>(
    "SELECT count(*)::int AS rows, (count(*) FILTER (WHERE id = -1))::int AS theirs FROM t",
  );
  expect(counted).toEqual({ rows: 1001, theirs: 1 });
});

test.for(["incremental-append", "full-refresh-append"])(
  "in a folder in %s its files replace all that were there",
  async (mode, { pg, scratch }) => {
    await pg.query(makeTable);
    const folder = join(scratch.root, "out");
    const options = mode === "incremental-append" ? cursorOptions : [];
    const copy = async (): Promise<number> => {
      const run = await runSync(pg.url, folder, "--mode", mode, ...options);
      expect(run.exitCode, run.stderr).toBe(0);
      return run.stream("t").rows;
    };
    const read = async () =>
      (
        await queryDuckDb(
          `SELECT id::int, seen::int, word FROM read_parquet('${folder}/**/*.parquet') ORDER BY 1, 2`,
        )
      ).map(([id, seen, word]) => ({
        id: Number(id),
        seen: Number(seen),
        word,
      }));
    await copy();
    await pg.query(changeUnseen);
    await copy();
    reset(join(folder, ".millrace", "ledger.sqlite"));
    expect(await copy()).toBe(900);
    expect(await read()).toEqual(await pg.query<Row>(readAll));
    await pg.query(changeSeen);
    const isIncremental = options.length > 0;
    expect(await copy()).toBe(isIncremental ? 2 : 901);
    expect(await read()).toHaveLength(isIncremental ? 902 : 1801);
  },
);
