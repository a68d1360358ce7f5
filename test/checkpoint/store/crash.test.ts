import {
  copyFileSync,
  mkdirSync,
  readFileSync,
  rmSync,
  statSync,
  truncateSync,
  writeFileSync,
} from "node:fs";
import { dirname, join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { describe, expect, vi } from "vitest";
import { Ledger } from "../../../checkpoint/store/ledger.ts";
import { LEDGER_VERSION } from "../../../checkpoint/store/schema.ts";
import { makeReport } from "../stamps.ts";
import { beginPlannedRun, owner, test } from "./fixtures.ts";

// each test starts processes, and waits for them
vi.setConfig({ testTimeout: 30_000 });

describe("a process that is killed", () => {
  test("leaves every report that it had said was recorded", async ({
    folder,
  }) => {
    const { runId, epoch } = beginPlannedRun(folder.open());
    const writer = folder.spawn("reports", runId, String(epoch));
    let said = 0;
    while (said < 50) said = Number(await writer.nextLine());
    await writer.kill();
    for (let line = await writer.nextLine(); line;)
      [said, line] = [Number(line), await writer.nextLine()];
    const indexes = folder
      .open()
      .durableOf(runId)
      .map(({ index }) => index);
    // at most one was recorded and not said
    expect([said, said + 1]).toContain(indexes.length);
    expect(indexes).toEqual(indexes.map((_, at) => at + 1));
  });

  test("in the middle of a transaction leaves nothing of it, and holds nobody up", async ({
    folder,
  }) => {
    const { runId, epoch } = beginPlannedRun(folder.open());
    const writer = folder.spawn("transaction", runId, String(epoch));
    expect(await writer.nextLine()).toBe("in the middle");
    await writer.kill();
    const ledger = folder.open();
    expect(ledger.durableOf(runId)).toEqual([makeReport({ index: 1 })]);
    expect(ledger.beginAttempt(runId, owner)).toBe(2);
  });

  test("while it writes is fenced off by the next attempt", async ({
    folder,
  }) => {
    const ledger = folder.open();
    const { runId, epoch } = beginPlannedRun(ledger);
    const writer = folder.spawn("reports", runId, String(epoch));
    expect(await writer.nextLine()).toBe("1");
    expect(ledger.beginAttempt(runId, owner)).toBe(2);
    const count = ledger.durableOf(runId).length;
    let line = await writer.nextLine();
    while (Number(line) > 0) line = await writer.nextLine();
    expect(line).toBe("LEDGER_FENCED");
    expect(await writer.nextLine()).toBeNull();
    expect(ledger.durableOf(runId)).toHaveLength(count);
  });
});

test("processes that make the same ledger at once make one", async ({
  folder,
}) => {
  const writers = [1, 2, 3].map(() => folder.spawn("create"));
  const ids = await Promise.all(writers.map((writer) => writer.nextLine()));
  expect(new Set(ids)).toEqual(new Set([folder.open().id]));
});

test("a ledger is where it was asked for, or the fault is named", ({
  folder,
}) => {
  const { path } = folder;
  expect(() => Ledger.open(path, { create: false })).toThrow(
    expect.objectContaining({ code: "RUN_NOT_FOUND", details: { path } }),
  );
  expect(statSync(path, { throwIfNoEntry: false })).toBeUndefined();
  folder.open();
  const below = join(path, "below", "ledger.sqlite");
  expect(() => Ledger.open(below, { create: true })).toThrow(
    expect.objectContaining({ code: "DESTINATION_UNWRITABLE" }),
  );
  const folderItself = dirname(path);
  expect(() => Ledger.open(folderItself, { create: true })).toThrow(
    expect.objectContaining({ code: "DESTINATION_UNWRITABLE" }),
  );
});

test("two ledgers that number their runs alike have different ids", ({
  folder,
}) => {
  const first = folder.open();
  const { id } = first;
  first.close();
  expect(folder.open().id).toBe(id);
  const beside = Ledger.open(`${folder.path}2`, { create: true });
  expect(beside.id).not.toBe(id);
  beside.close();
});

describe("a file that is no sound ledger is refused and left as it was", () => {
  /** A closed ledger with enough in it to have many pages. */
  function makeLedger(path: string): void {
    const ledger = Ledger.open(path, { create: true });
    const { runId } = beginPlannedRun(ledger);
    ledger.transaction(() => {
      for (let index = 1; index <= 500; index++)
        ledger.recordDurable(runId, 1, makeReport({ index }));
    });
    ledger.close();
  }

  const spoilers: Record<string, (path: string) => void> = {
    garbage: (path) => writeFileSync(path, "no database ".repeat(1000)),
    "the start of a text": (path) => writeFileSync(path, "{}"),
    "cut off in the middle": (path) => {
      makeLedger(path);
      truncateSync(path, Math.floor(statSync(path).size / 2));
    },
    "cut off by a few bytes": (path) => {
      makeLedger(path);
      truncateSync(path, statSync(path).size - 100);
    },
    "damaged inside, and not closed by its last user": (path) => {
      makeLedger(path);
      const ledger = Ledger.open(path, { create: false });
      ledger.upsertSync({ id: "x", name: null, source: "", destination: "" });
      // as a crash leaves it: the log beside it was not taken in
      copyFileSync(`${path}-wal`, `${path}-kept`);
      ledger.close();
      copyFileSync(`${path}-kept`, `${path}-wal`);
      rmSync(`${path}-kept`);
      const bytes = readFileSync(path);
      bytes.fill(0xff, bytes.length - 20_000, bytes.length - 4_000);
      writeFileSync(path, bytes);
    },
    "another application's database": (path) => {
      const database = new DatabaseSync(path);
      database.exec("CREATE TABLE runs (id TEXT)");
      database.close();
    },
    "another application's id": (path) => {
      const database = new DatabaseSync(path);
      database.exec("PRAGMA application_id = 252006");
      database.close();
    },
    "a newer version's ledger": (path) => {
      makeLedger(path);
      const database = new DatabaseSync(path);
      database.exec(`PRAGMA user_version = ${LEDGER_VERSION + 1}`);
      database.close();
    },
    "no version": (path) => {
      makeLedger(path);
      const database = new DatabaseSync(path);
      database.exec("PRAGMA user_version = 0");
      database.close();
    },
  };

  test.for(Object.entries(spoilers))("%s", ([, spoil], { folder }) => {
    const { path } = folder;
    mkdirSync(dirname(path), { recursive: true });
    spoil(path);
    const before = readFileSync(path);
    for (const create of [true, false])
      expect(() => Ledger.open(path, { create })).toThrow(
        expect.objectContaining({
          code: "LEDGER_CORRUPT",
          details: { path },
          message: expect.stringContaining(path) as string,
        }),
      );
    expect(readFileSync(path).equals(before)).toBe(true);
  });

  test("a value in it that is no JSON", ({ folder }) => {
    const ledger = folder.open();
    const { runId } = beginPlannedRun(ledger);
    const database = new DatabaseSync(folder.path);
    database.exec("UPDATE partitions SET split = '{'");
    database.close();
    expect(() => ledger.partitionsOf(runId)).toThrow(
      expect.objectContaining({ code: "LEDGER_CORRUPT" }),
    );
  });
});
