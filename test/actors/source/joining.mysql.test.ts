/** Whole runs under a snapshot that can be joined only at its start: who joins, and who reads when connections are lost. */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import {
  describe,
  expect,
  flavours,
  testOn,
  type MysqlFixture,
} from "../../fixtures/mysql.ts";
import { runSync } from "../../fixtures/run-sync.ts";

const ROWS = 1200;
/** Each row takes its time, so that a read can be met. */
const slowly = ["--where", "SLEEP(0.002) = 0"];
const MEETING_MS_MAX = 20_000;

const everything = ["SELECT, RELOAD, LOCK TABLES, PROCESS ON *.*"];

async function createTable(server: MysqlFixture): Promise<void> {
  const rows = Array.from(
    { length: ROWS },
    (_, id) => `(${id}, REPEAT('x', 200))`,
  );
  await server.query(
    `CREATE TABLE orders (id int PRIMARY KEY, note varchar(200));
    INSERT INTO orders VALUES ${rows.join(", ")};
    ANALYZE TABLE orders`,
  );
}

/** Ends the connections of the first `count` reads that are met at the same time. */
async function killReads(
  server: MysqlFixture,
  user: string,
  count: number,
): Promise<void> {
  const deadline = performance.now() + MEETING_MS_MAX;
  while (performance.now() < deadline) {
    const reads = await server.query<{ id: number | string }>(
      `SELECT id AS id FROM information_schema.processlist
      WHERE user = ? AND info LIKE 'SELECT%note%SLEEP%'`,
      [user],
    );
    if (reads.length >= count) {
      for (const { id } of reads) await server.query(`KILL ${id}`);
      return;
    }
    await sleep(20);
  }
  throw new Error(`${count} reads at a time were never met`);
}

async function withFolder<Result>(
  use: (folder: string) => Promise<Result>,
): Promise<Result> {
  const folder = mkdtempSync(join(tmpdir(), "millrace-joining-"));
  try {
    return await use(folder);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

describe.each(flavours)("%s", (flavour) => {
  const test = testOn(flavour);

  test("a small table has one channel, however many are allowed", async ({
    server,
  }) => {
    await createTable(server);
    const user = await server.createUser(everything);
    // two of the keeper, one that plans, one that reads, and a spare
    await server.query(
      `ALTER USER ${user.name}@'%' WITH MAX_USER_CONNECTIONS 5`,
    );
    await withFolder(async (folder) => {
      const run = await runSync(user.url, folder, "--channels", "8");
      expect(run.exitCode, run.stderr).toBe(0);
      expect(run.stream("orders").rows).toBe(ROWS);
    });
  });

  test("a connection that is lost is replaced by the spare one, in the same snapshot", async ({
    server,
  }) => {
    await createTable(server);
    const user = await server.createUser(everything);
    await withFolder(async (folder) => {
      const running = runSync(user.url, folder, ...slowly);
      await killReads(server, user.name, 1);
      await server.query("DELETE FROM orders WHERE id % 2 = 0");
      const run = await running;
      expect(run.exitCode, run.stderr).toBe(0);
      expect(run.stream("orders").rows).toBe(ROWS);
      expect(run.stderr + run.stdout).toContain("is read again");
    });
  });

  test("of several channels those that are left read what the lost ones had", async ({
    server,
  }) => {
    await createTable(server);
    const user = await server.createUser(everything);
    await withFolder(async (folder) => {
      const running = runSync(
        ...[user.url, folder, ...slowly, "--channels", "2"],
        ...["--readers", "2", "--partition-size", "64KB"],
      );
      await killReads(server, user.name, 2);
      await server.query("DELETE FROM orders WHERE id % 2 = 0");
      const run = await running;
      expect(run.exitCode, run.stderr).toBe(0);
      expect(run.stream("orders").rows).toBe(ROWS);
    });
  });
});
