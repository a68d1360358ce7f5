/** Daemons and single commands on a ledger in Postgres: a sync is run by one of them at a time. */
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { expect } from "vitest";
import { Ledger } from "../../checkpoint/store/ledger.ts";
import { withDatabase, type PostgresFixture } from "../fixtures/postgres.ts";
import { signal, waitFor } from "./support/command.ts";
import { startDaemon, writeConfig } from "./support/daemon.ts";
import { test as base } from "./support/fixtures.ts";

const test = base.extend<{ $test: { shared: PostgresFixture } }>({
  shared: async ({ database }, use) => withDatabase(database.adminUrl, use),
});

const ROWS = 20_000;
/** A run is at work for as long as this view takes, however quick the machine: each row sleeps for 100 ms. */
const SLOW_ROWS = 40;
const ANSWERED_MS = 50;

/** Checkpoints often, so that it can be stopped inside. */
const slow = {
  partitionBy: "key",
  checkpointEvery: "50ms",
  channels: 1,
  readers: 1,
};

const token = "a-token-for-this-test-alone";

function look<T>(url: string, read: (ledger: Ledger) => T): T {
  const ledger = Ledger.open(url, { create: true });
  try {
    return read(ledger);
  } finally {
    ledger.close();
  }
}

/** The server ends a transaction that stands still, and with it the attempt: who is to go on is stopped between two. */
async function stopBetweenTransactions(
  pid: number,
  shared: PostgresFixture,
): Promise<void> {
  await waitFor("a moment between two transactions", async () => {
    signal(pid, "SIGSTOP");
    // what was under way when it stopped is answered by then
    await sleep(ANSWERED_MS);
    const open = await shared.query(
      `SELECT FROM pg_stat_activity WHERE datname = current_database()
         AND pid <> pg_backend_pid() AND state <> 'idle'`,
    );
    if (open.length === 0) return true;
    signal(pid, "SIGCONT");
    return null;
  });
}

test("a daemon's run is not replaced by a command, nor a command's by a daemon, whose entry waits without failing", async ({
  database,
  destination,
  shared,
}) => {
  await database.query(
    `DROP TABLE IF EXISTS t; CREATE TABLE t (id int PRIMARY KEY, word text);
     INSERT INTO t SELECT n, md5(n::text) FROM generate_series(1, ${ROWS}) AS n;
     CREATE VIEW v AS SELECT n AS id, pg_sleep(0.1)::text AS word FROM generate_series(1, ${SLOW_ROWS}) AS n`,
  );
  const file = writeConfig(destination, {
    ledger: shared.url,
    daemon: {
      listen: "127.0.0.1:0",
      tokens: [{ name: "tester", role: "admin", token }],
      // it would be over with its tries at once if waiting counted
      retry: { attempts: 1, backoffMin: "100ms", backoffMax: "200ms" },
      inline: false,
    },
    syncs: {
      shop: {
        source: { kind: "postgres", url: database.url },
        destination: { kind: "file", path: join(destination.root, "out") },
        tables: ["t", "v"],
        ...slow,
      },
    },
  });
  const runsOf = () =>
    look(shared.url, (ledger) => ledger.listRuns({ limit: 10 }));

  // somebody has the sync before the daemon takes its entry
  const command = destination.start("sync", "-f", file, "shop");
  const first = await waitFor("a checkpoint of the command's run", () =>
    look(shared.url, (ledger) => {
      const [run] = ledger.listRuns({ limit: 1 });
      return run && ledger.durableOf(run.runId).length > 0 ? run : null;
    }),
  );
  await stopBetweenTransactions(command.pid, shared);
  const started = startDaemon(destination);
  const { url } = await started.ready();
  const trigger = async (): Promise<string> => {
    const answer = await fetch(`${url}/api/v1/syncs/shop/runs`, {
      method: "POST",
      headers: {
        authorization: `Bearer ${token}`,
        "content-type": "application/json",
      },
      body: "{}",
    });
    expect(answer.status).toBe(202);
    return ((await answer.json()) as { queueId: string }).queueId;
  };
  const queueId = await trigger();
  const waiting = await waitFor("an entry that waits for the lock", () =>
    look(shared.url, (ledger) => {
      const entry = ledger.queuedOf(queueId);
      return entry.attempts >= 2 ? entry : null;
    }),
  );
  expect(["queued", "taken"]).toContain(waiting.state);
  expect(JSON.parse(waiting.errorJson ?? "null")).toMatchObject({
    code: "RUN_LOCKED",
    details: { failures: 0 },
  });
  expect(runsOf().map(({ runId }) => runId)).toEqual([first.runId]);
  signal(command.pid, "SIGCONT");
  expect((await command.ended).summary).toMatchObject({
    runId: first.runId,
    state: "succeeded",
  });
  await waitFor("the run of the daemon", () =>
    look(
      shared.url,
      (ledger) => ledger.queuedOf(queueId).state === "succeeded",
    ),
  );

  // and the other way round
  await trigger();
  const running = await waitFor("a run of the daemon at work", () =>
    look(shared.url, (ledger) => {
      const [run] = ledger.listRuns({ limit: 1 });
      return run?.state === "running" && ledger.durableOf(run.runId).length > 0
        ? run
        : null;
    }),
  );
  await stopBetweenTransactions(started.running.pid, shared);
  const refused = await destination.run("sync", "-f", file, "shop");
  expect(refused.code, refused.stderr).toBe(1);
  expect(refused.stderr + JSON.stringify(refused.summary)).toContain(
    "RUN_LOCKED",
  );
  signal(started.running.pid, "SIGCONT");
  const last = await waitFor("the end of the daemon's run", () =>
    started.summaries("shop").find(({ runId }) => runId === running.runId),
  );
  expect(last).toMatchObject({ state: "succeeded", epoch: 1 });
  signal(started.running.pid, "SIGTERM");
  expect((await started.running.ended).code).toBe(0);
});
