import { mkdirSync } from "node:fs";
import { hostname } from "node:os";
import { dirname } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { expect, vi } from "vitest";
import { Ledger } from "../../../checkpoint/store/ledger.ts";
import { QUEUE_MAX } from "../../../checkpoint/store/queue.ts";
import {
  LEDGER_APPLICATION_ID,
  LEDGER_STEPS,
  LEDGER_VERSION,
} from "../../../checkpoint/store/schema.ts";
import { makeReport } from "../stamps.ts";
import { beginPlannedRun, owner, test } from "./fixtures.ts";

vi.setConfig({ testTimeout: 30_000 });

const RUN = "r-20261101-120000-abcd";

/** A ledger as the first version wrote it, with a run in the middle. */
function makeFirstVersion(path: string): void {
  mkdirSync(dirname(path), { recursive: true });
  const database = new DatabaseSync(path);
  database.exec(`
    PRAGMA journal_mode = WAL;
    ${LEDGER_STEPS[0]}
    INSERT INTO ledger (id) VALUES ('the-first');
    INSERT INTO syncs VALUES ('s1', NULL, 'postgres://db/app', '/out');
    INSERT INTO runs (id, sync, mode, state, epoch, request, started_at)
      VALUES ('${RUN}', 's1', 'full-refresh-overwrite', 'running', 1, '{}', 1000);
    INSERT INTO attempts (run, epoch, pid, pid_start, run_dir, began_at) VALUES ('${RUN}', 1, 7, 'b:1', '/run/m', 1000);
    INSERT INTO processes VALUES ('${RUN}', 1, 'source', 8, 'b:2');
    INSERT INTO generations VALUES ('s1', 'public', 't1', 1, 'open', '${RUN}');
    INSERT INTO streams (run, number, namespace, name, discovered, fingerprint, generation, mode, state)
      VALUES ('${RUN}', 1, 'public', 't1', '{}', 'f1', 1, 'full-refresh-overwrite', 'reading');
    PRAGMA application_id = ${LEDGER_APPLICATION_ID};
    PRAGMA user_version = 1`);
  database.close();
}

function readVersion(path: string): unknown {
  const database = new DatabaseSync(path);
  const version = database.prepare("PRAGMA user_version").get();
  database.close();
  return version?.["user_version"];
}

test("a ledger of the first version is brought to the newest, and its run goes on", ({
  folder,
}) => {
  makeFirstVersion(folder.path);
  // a command that only looks does it too
  const ledger = Ledger.open(folder.path, { create: false });
  expect(ledger.id).toBe("the-first");
  expect(ledger.findRun(RUN)).toMatchObject({
    host: null,
    pid: 7,
    state: "running",
  });
  expect(ledger.processesOf(RUN)).toMatchObject([{ host: null, pid: 8 }]);
  expect(ledger.beginAttempt(RUN, owner)).toBe(2);
  expect(ledger.findRun(RUN).host).toBe(hostname());
  const entry = {
    sync: "a",
    key: null,
    originJson: "{}",
    scopeJson: "{}",
    dueAt: null,
    message: null,
  };
  expect(ledger.enqueue(entry).result).toBe("queued");
  ledger.close();
  expect(readVersion(folder.path)).toBe(LEDGER_VERSION);
  expect(folder.open().listQueue({ limit: 9 })).toHaveLength(1);
});

test("processes that bring the same ledger to the newest version at once do it once", async ({
  folder,
}) => {
  makeFirstVersion(folder.path);
  const writers = [1, 2, 3].map(() => folder.spawn("create"));
  const ids = await Promise.all(writers.map((writer) => writer.nextLine()));
  expect(ids).toEqual(["the-first", "the-first", "the-first"]);
  expect(folder.open().findRun(RUN).epoch).toBe(1);
});

test("a step that fails leaves the ledger as it was", ({ folder }) => {
  makeFirstVersion(folder.path);
  const database = new DatabaseSync(folder.path);
  // the last table of the step: all before it has to go back
  database.exec("CREATE TABLE sync_locks (x)");
  database.close();
  expect(() => folder.open()).toThrow("sync_locks");
  expect(readVersion(folder.path)).toBe(1);
  const again = new DatabaseSync(folder.path);
  expect(
    again.prepare("SELECT 1 FROM sqlite_schema WHERE name = 'queue'").get(),
  ).toBeUndefined();
  again.exec("DROP TABLE sync_locks");
  again.close();
  expect(folder.open().findRun(RUN).epoch).toBe(1);
});

test("no more than a bounded number of runs waits", ({ folder }) => {
  const ledger = folder.open();
  const database = new DatabaseSync(folder.path);
  database.exec(`
    WITH RECURSIVE n (at) AS (SELECT 1 UNION ALL SELECT at + 1 FROM n WHERE at < ${QUEUE_MAX - 1})
    INSERT INTO queue (sync, state, origin, scope, queued_at, due_at, attempts, epoch)
    SELECT 's' || at, CASE at % 2 WHEN 0 THEN 'queued' ELSE 'paused' END, '{}', '{}', 0, 0, 0, 0 FROM n`);
  database.close();
  const enqueue = (key: string | null, offset: string) =>
    ledger.enqueue({
      sync: "a",
      key,
      originJson: "{}",
      scopeJson: "{}",
      dueAt: null,
      message: { topic: "t", partition: 0, offset, writtenAt: null },
    });
  expect(enqueue("k", "1").result).toBe("queued");
  expect(() => enqueue(null, "2")).toThrow(
    expect.objectContaining({ code: "LEDGER_FULL" }),
  );
  // what is taken in by another needs no place; what was refused is not known
  expect(enqueue("k", "3").result).toBe("coalesced");
  ledger.cancelQueued(`q-${QUEUE_MAX}`);
  expect(enqueue(null, "2").result).toBe("queued");
});

test("a statement that fails inside leaves nothing, and the ledger usable", ({
  folder,
}) => {
  const ledger = folder.open();
  const { runId } = beginPlannedRun(ledger);
  expect(() =>
    ledger.fenced(runId, 1, () => {
      ledger.recordDurable(runId, 1, makeReport({ index: 1 }));
      throw new Error("stopped");
    }),
  ).toThrow("stopped");
  expect(ledger.durableOf(runId)).toEqual([]);
  ledger.recordDurable(runId, 1, makeReport({ index: 1 }));
  expect(ledger.durableOf(runId)).toHaveLength(1);
});
