import { hostname } from "node:os";
import { describe, expect, vi } from "vitest";
import { Ledger } from "../../../checkpoint/store/ledger.ts";
import { processStartTime } from "../../../checkpoint/store/process-identity.ts";
import { LEDGER_VERSION } from "../../../checkpoint/store/schema.ts";
import { makeReport } from "../stamps.ts";
import { beginPlannedRun, owner } from "./fixtures.ts";
import { test as base } from "./postgres-fixtures.ts";
import { startProxy, type PostgresProxy } from "./postgres-proxy.ts";

// a lost connection, a lease that runs out and a transaction that is ended take their time
vi.setConfig({ testTimeout: 60_000 });

const test = base.extend<{ proxy: PostgresProxy }>({
  proxy: async ({ pg }, use) => {
    const proxy = await startProxy(pg.url);
    await use(proxy);
    await proxy.close();
  },
});

function coded(code: string): unknown {
  return expect.objectContaining({ code });
}

/** A ledger through the proxy, with a planned run; and what another opening sees of it. */
function openThrough(proxy: PostgresProxy) {
  const ledger = Ledger.open(proxy.url, {
    create: true,
    reconnectMs: 2_000,
  });
  return { ledger, ...beginPlannedRun(ledger) };
}

describe("a connection that breaks", () => {
  test("between two calls is made again, and nobody notices", async ({
    proxy,
    folder,
  }) => {
    const { ledger, runId } = openThrough(proxy);
    await proxy.cut();
    ledger.recordDurable(runId, 1, makeReport({ index: 1 }));
    await proxy.cut();
    expect(ledger.durableOf(runId)).toHaveLength(1);
    expect(folder.open().durableOf(runId)).toHaveLength(1);
    ledger.close();
  });

  test("inside a transaction ends it by name, with nothing of it written; the next call goes on", async ({
    proxy,
    folder,
  }) => {
    const { ledger, runId } = openThrough(proxy);
    const look = folder.open();
    let caught: unknown;
    try {
      ledger.transaction(() => {
        ledger.recordDurable(runId, 1, makeReport({ index: 1 }));
        proxy.set("refuse");
        ledger.recordDurable(runId, 1, makeReport({ index: 2 }));
      });
    } catch (error) {
      caught = error;
    }
    expect(caught).toEqual(coded("LEDGER_UNREACHABLE"));
    proxy.set("pass");
    expect(look.durableOf(runId)).toEqual([]);
    ledger.recordDurable(runId, 1, makeReport({ index: 1 }));
    expect(look.durableOf(runId)).toHaveLength(1);
    ledger.close();
  });

  test("in a commit that the server has done is found to be done", ({
    proxy,
    folder,
  }) => {
    const { ledger, runId } = openThrough(proxy);
    const look = folder.open();
    proxy.set("loseReply");
    ledger.recordDurable(runId, 1, makeReport({ index: 1 }));
    expect(proxy.mode()).toBe("pass");
    expect(look.durableOf(runId)).toHaveLength(1);
    // a message would else be enqueued twice, or a run begun twice
    proxy.set("loseReply");
    const queued = ledger.enqueue({
      sync: "a",
      key: null,
      originJson: "{}",
      scopeJson: "{}",
      dueAt: null,
      message: null,
    });
    expect(proxy.mode()).toBe("pass");
    expect(look.listQueue({ limit: 9 })).toMatchObject([
      { queueId: queued.queueId },
    ]);
    ledger.close();
  });

  test("in a commit that never reached the server is found not to be done", ({
    proxy,
    folder,
  }) => {
    const { ledger, runId } = openThrough(proxy);
    const look = folder.open();
    proxy.set("loseCommit");
    expect(() =>
      ledger.recordDurable(runId, 1, makeReport({ index: 1 })),
    ).toThrow(
      expect.objectContaining({
        code: "LEDGER_UNREACHABLE",
        details: expect.objectContaining({ committed: "no" }) as object,
      }),
    );
    expect(look.durableOf(runId)).toEqual([]);
    ledger.recordDurable(runId, 1, makeReport({ index: 1 }));
    expect(look.durableOf(runId)).toHaveLength(1);
    ledger.close();
  });

  test("for good is named after a bounded time, and so is a server that was never there", async ({
    proxy,
  }) => {
    const { ledger, runId } = openThrough(proxy);
    proxy.set("refuse");
    expect(() => ledger.durableOf(runId)).toThrow(coded("LEDGER_UNREACHABLE"));
    ledger.close();
    await proxy.close();
    expect(() => Ledger.open(proxy.url, { create: true })).toThrow(
      expect.objectContaining({
        code: "LEDGER_UNREACHABLE",
        message: expect.stringContaining("ECONNREFUSED") as string,
      }),
    );
  });
});

describe("daemons on one ledger", () => {
  test("one that is stopped, and wakes after another has taken over, writes nothing more", async ({
    folder,
  }) => {
    const ledger = folder.open();
    ledger.enqueue({
      sync: "a",
      key: null,
      originJson: "{}",
      scopeJson: "{}",
      dueAt: null,
      message: null,
    });
    const late = folder.spawn("daemon", "1000");
    const runId = String(await late.nextLine());
    expect(runId).toMatch(/^r-/);
    late.child.kill("SIGSTOP");
    const [entry] = await vi.waitUntil(
      () => {
        const taken = ledger.takeQueued("next", { leaseMs: 60_000, limit: 1 });
        return taken.length > 0 ? taken : null;
      },
      { timeout: 30_000, interval: 50 },
    );
    expect(entry).toMatchObject({ runId, epoch: 2, daemon: "next" });
    expect(ledger.beginAttempt(runId, owner)).toBe(2);
    const count = ledger.durableOf(runId).length;
    late.child.kill("SIGCONT");
    const said: string[] = [];
    for (let line = await late.nextLine(); line !== null;) {
      said.push(line);
      line = await late.nextLine();
    }
    expect(said).toEqual([
      "recordDurable LEDGER_FENCED",
      "setStreamState LEDGER_FENCED",
      "commitStream LEDGER_FENCED",
      "finishRun LEDGER_FENCED",
      "finishQueued LEDGER_FENCED",
      "requeue LEDGER_FENCED",
      `renewLeases {"held":[],"lost":["${entry?.queueId}"]}`,
    ]);
    expect(ledger.durableOf(runId)).toHaveLength(count);
    expect(ledger.findRun(runId)).toMatchObject({ epoch: 2, state: "running" });
    expect(ledger.queuedOf(String(entry?.queueId))).toEqual(entry);
  });

  test("one that stands still inside a transaction holds the others up for a bounded time only", async ({
    folder,
  }) => {
    const ledger = folder.open();
    const { runId, epoch } = beginPlannedRun(ledger);
    const still = folder.spawn("transaction", runId, String(epoch));
    expect(await still.nextLine()).toBe("in the middle");
    // the server ends the transaction that stands still, while this waits for its locks
    expect(ledger.beginAttempt(runId, owner)).toBe(2);
    expect(ledger.durableOf(runId)).toEqual([makeReport({ index: 1 })]);
  });

  test("write to different runs without waiting for each other", ({
    folder,
    pg,
  }) => {
    const ledger = folder.open();
    const first = beginPlannedRun(ledger);
    ledger.upsertSync({ id: "s2", name: null, source: "", destination: "" });
    const second = ledger.beginRun({
      ...owner,
      syncId: "s2",
      mode: "x",
      requestJson: "{}",
    });
    const other = Ledger.open(pg.url, { create: false });
    ledger.fenced(first.runId, 1, () => {
      ledger.recordDurable(first.runId, 1, makeReport({ index: 1 }));
      // would wait for what only ends after it
      other.finishRun(second.runId, 1, "failed", null);
    });
    expect(ledger.findRun(second.runId).state).toBe("failed");
    other.close();
  });
});

describe("the lock of a sync", () => {
  test("is refused while it is held, naming host and process; other syncs are free", ({
    folder,
  }) => {
    const [one, other] = [folder.open(), folder.open()];
    const lock = one.acquireRunLock("s1");
    expect(() => other.acquireRunLock("s1")).toThrow(
      expect.objectContaining({
        code: "RUN_LOCKED",
        details: expect.objectContaining({
          host: hostname(),
          pid: process.pid,
        }) as object,
      }),
    );
    other.acquireRunLock("s2").release();
    lock.release();
    lock.release();
    const next = other.acquireRunLock("s1");
    expect(next.holder.pidStartTime).toBe(processStartTime(process.pid));
    other.close();
    // closing lets go of it
    one.acquireRunLock("s1").release();
  });

  test("of a process that was killed here, or of a host whose lease ran out, is no obstacle", async ({
    folder,
    pg,
  }) => {
    const ledger = folder.open();
    const writer = folder.spawn("syncLock", "s1");
    expect(await writer.nextLine()).toBe("locked");
    expect(() => ledger.acquireRunLock("s1")).toThrow(coded("RUN_LOCKED"));
    await writer.kill();
    ledger.acquireRunLock("s1").release();
    await pg.query(
      `INSERT INTO millrace.sync_locks (sync, holder, host, pid, since, expires_at)
       SELECT 's1', 'h', 'elsewhere', 1, 0, (extract(epoch FROM now()) * 1000)::bigint + 600000`,
    );
    expect(() => ledger.acquireRunLock("s1")).toThrow(
      expect.objectContaining({
        code: "RUN_LOCKED",
        message: expect.stringContaining("process 1 on elsewhere") as string,
      }),
    );
    await pg.query("UPDATE millrace.sync_locks SET expires_at = 1");
    expect(ledger.acquireRunLock("s1").holder.host).toBe(hostname());
  });
});

describe("what is not a ledger of ours is refused, and left as it was", () => {
  test("a schema of the same name", async ({ pg }) => {
    await pg.query(
      "CREATE SCHEMA millrace; CREATE TABLE millrace.runs (x int)",
    );
    for (const create of [true, false])
      expect(() => Ledger.open(pg.url, { create })).toThrow(
        expect.objectContaining({
          code: "LEDGER_CORRUPT",
          message: expect.stringContaining("millrace") as string,
        }),
      );
    await pg.query(
      "CREATE TABLE millrace.about (application text, version int)",
    );
    expect(() => Ledger.open(pg.url, { create: true })).toThrow(
      coded("LEDGER_CORRUPT"),
    );
    const tables = await pg.query(
      "SELECT count(*)::int AS count FROM pg_tables WHERE schemaname = 'millrace'",
    );
    expect(tables).toEqual([{ count: 2 }]);
  });

  test("a database without one, unless it is to be made", async ({ pg }) => {
    expect(() => Ledger.open(pg.url, { create: false })).toThrow(
      coded("RUN_NOT_FOUND"),
    );
    const schemas = await pg.query(
      "SELECT to_regnamespace('millrace') AS found",
    );
    expect(schemas).toEqual([{ found: null }]);
  });

  test("one of a newer version", async ({ pg, folder }) => {
    folder.open();
    await pg.query(`UPDATE millrace.about SET version = ${LEDGER_VERSION + 1}`);
    expect(() => Ledger.open(pg.url, { create: true })).toThrow(
      expect.objectContaining({
        code: "LEDGER_CORRUPT",
        message: expect.stringContaining("newer Millrace") as string,
      }),
    );
  });
});

test("no password is in a path or a message", async ({ pg, folder }) => {
  folder.open();
  await pg.query(
    "DROP ROLE IF EXISTS ledger_user; CREATE ROLE ledger_user LOGIN PASSWORD 's3cret-word'",
  );
  const url = new URL(pg.url);
  url.username = "ledger_user";
  url.password = "s3cret-word";
  const faults: unknown[] = [];
  const noDatabase = new URL(url);
  noDatabase.pathname = "/s3cret-word";
  for (const place of [
    url.href,
    noDatabase.href,
    "postgres://u:s3cret-word@[x",
  ])
    try {
      Ledger.open(place, { create: true });
    } catch (error) {
      faults.push(error);
    }
  await pg.query("DROP ROLE ledger_user");
  expect(faults).toHaveLength(3);
  expect(faults[0]).toEqual(coded("DESTINATION_UNWRITABLE"));
  expect(faults[2]).toEqual(coded("USAGE"));
  for (const fault of faults)
    expect(
      JSON.stringify(fault) + String((fault as Error).stack),
    ).not.toContain("u:s3cret");
  url.username = "postgres";
  const ledger = Ledger.open(url.href, { create: false });
  expect(ledger.path).not.toContain("s3cret");
  ledger.close();
});
