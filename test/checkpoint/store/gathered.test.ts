/** Commits that are gathered: nothing is held to be on disk before it is, and what is lost is the end alone. */
import {
  copyFileSync,
  mkdirSync,
  readFileSync,
  statSync,
  truncateSync,
  unlinkSync,
} from "node:fs";
import { join } from "node:path";
import { expect, vi } from "vitest";
import { Ledger } from "../../../checkpoint/store/ledger.ts";
import { test as base } from "./fixtures.ts";

vi.setConfig({ testTimeout: 30_000 });

const test = base.extend<{ ledger: Ledger }>({
  ledger: async ({ folder }, use) => {
    const ledger = Ledger.open(folder.path, {
      create: true,
      commits: "gathered",
    });
    await use(ledger);
    ledger.close();
  },
});

function add(ledger: Ledger, sync: string): void {
  ledger.enqueue({
    ...{ sync, key: null, dueAt: null, message: null },
    originJson: "{}",
    scopeJson: "{}",
  });
}

const syncsOf = (ledger: Ledger): string[] =>
  ledger
    .listQueue({ sync: null, states: null, limit: 1_000 })
    .map(({ sync }) => sync)
    .reverse();

test("what is committed is settled a moment later, for all of one turn together", async ({
  ledger,
}) => {
  expect(ledger.isSettled).toBe(true);
  add(ledger, "a");
  expect(ledger.isSettled).toBe(false);
  const first = ledger.settled();
  add(ledger, "b");
  await Promise.all([first, ledger.settled()]);
  expect(ledger.isSettled).toBe(true);
  // looking writes nothing
  expect(ledger.takeQueued("d", { leaseMs: 1_000, limit: 0 })).toEqual([]);
  ledger.expireLeases();
  expect(ledger.isSettled).toBe(true);
});

test("whoever waits for a commit does not wait for those that come later", async ({
  ledger,
}) => {
  let isOver = false;
  add(ledger, "first");
  void ledger.settled().then(() => (isOver = true));
  for (let turn = 0; !isOver; turn += 1) {
    add(ledger, `s${turn}`);
    await new Promise((next) => setImmediate(next));
  }
  await ledger.settled();
});

test("wherever the log ends after a failure of the machine, what was settled is there, and nothing has a hole", async ({
  ledger,
  folder,
}) => {
  const log = `${folder.path}-wal`;
  const names: string[] = [];
  const write = (count: number): void => {
    for (let i = 0; i < count; i += 1) {
      const name = `s${names.length}`;
      names.push(name);
      add(ledger, name);
    }
  };
  write(20);
  await ledger.settled();
  const settledBytes = statSync(log).size;
  write(20);
  const bytes = statSync(log).size;
  expect(bytes).toBeGreaterThan(settledBytes);
  const root = join(folder.path, "..", "after");
  mkdirSync(root);
  const found = new Set<number>();
  const step = Math.ceil((bytes - settledBytes) / 40);
  for (let end = settledBytes; end <= bytes; end += step) {
    const copy = join(root, `ledger-${end}`);
    copyFileSync(folder.path, copy);
    copyFileSync(log, `${copy}-wal`);
    truncateSync(`${copy}-wal`, end);
    const after = Ledger.open(copy, { create: false });
    const syncs = syncsOf(after);
    after.close();
    expect(syncs).toEqual(names.slice(0, syncs.length));
    expect(syncs.length).toBeGreaterThanOrEqual(20);
    found.add(syncs.length);
  }
  expect(found.size).toBeGreaterThan(5);
});

test("the log is carried over into the file, and begins anew", async ({
  ledger,
  folder,
}) => {
  const log = `${folder.path}-wal`;
  let largest = 0;
  for (let i = 0; i < 4_500; i += 1) {
    add(ledger, `s${i % 50}`);
    if (i % 50 === 0) await ledger.settled();
    largest = Math.max(largest, statSync(log).size);
  }
  await ledger.settled();
  // it would be several times as long
  await vi.waitFor(() => {
    const before = readFileSync(log).subarray(0, 32);
    for (let i = 0; i < 1_100; i += 1) add(ledger, "more");
    expect(readFileSync(log).subarray(0, 32)).not.toEqual(before);
  });
  expect(largest).toBeLessThan(100_000_000);
  expect(syncsOf(ledger)).toHaveLength(1_000);
});

test("a closed ledger has all that was committed in its file alone", ({
  ledger,
  folder,
}) => {
  for (const sync of ["a", "b", "c"]) add(ledger, sync);
  ledger.close();
  expect(statSync(`${folder.path}-wal`, { throwIfNoEntry: false })).toBe(
    undefined,
  );
  expect(syncsOf(folder.open())).toEqual(["a", "b", "c"]);
});

test("a log that is gone makes nothing durable: who waits is told, and nothing more is taken", async ({
  ledger,
  folder,
}) => {
  unlinkSync(`${folder.path}-wal`);
  add(ledger, "a");
  const fault = { code: "LEDGER_UNWRITABLE" };
  await expect(ledger.settled()).rejects.toMatchObject(fault);
  expect(() => add(ledger, "b")).toThrow(expect.objectContaining(fault));
  await expect(ledger.settled()).rejects.toMatchObject(fault);
  expect(ledger.isSettled).toBe(false);
});

test("where each commit waits for the disk there is nothing to wait for", async ({
  folder,
}) => {
  const ledger = folder.open();
  add(ledger, "a");
  expect(ledger.isSettled).toBe(true);
  await ledger.settled();
});
