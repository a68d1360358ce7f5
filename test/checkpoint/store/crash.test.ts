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
import { beginPlannedRun, test } from "./fixtures.ts";
import { testCrashes } from "./suites/crashes.ts";

// each test starts processes, and waits for them
vi.setConfig({ testTimeout: 30_000 });

testCrashes(test);

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
