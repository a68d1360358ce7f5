/** A ledger of its own for each test, and children that do something to it. */
import { spawn } from "node:child_process";
import type { ChildProcess } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { test as base } from "vitest";
import { Ledger } from "../../../checkpoint/store/ledger.ts";

export { beginPlannedRun, makePlan, makeStream, owner, sync } from "./runs.ts";

export interface LedgerFolder {
  /** Or a URL. */
  readonly path: string;
  /** Opened here, closed after the test. */
  open(): Ledger;
  /** Runs `writer-main.ts` with this ledger; killed after the test. */
  spawn(order: string, ...values: string[]): WriterProcess;
}

export interface WriterProcess {
  readonly child: ChildProcess;
  /** Its next line; null at its end. */
  nextLine(): Promise<string | null>;
  /** SIGKILL, and its end. */
  kill(): Promise<void>;
}

export const test = base.extend<{ folder: LedgerFolder }>({
  // vitest wants the first parameter to be an object pattern
  folder: async ({ task: _task }, use) => {
    const root = mkdtempSync(join(tmpdir(), "millrace-ledger-"));
    await withLedger(join(root, ".millrace", "ledger.sqlite"), use);
    rmSync(root, { recursive: true });
  },
});

/** What the suites that both databases pass are given. */
export type LedgerTest = typeof test;

/** Gives the ledger at a path or URL to `use`; afterwards its processes are ended and it is closed. */
export async function withLedger(
  path: string,
  use: (folder: LedgerFolder) => Promise<void>,
): Promise<void> {
  const opened: Ledger[] = [];
  const writers: WriterProcess[] = [];
  const open = (): Ledger => {
    const ledger = Ledger.open(path, { create: true });
    opened.push(ledger);
    return ledger;
  };
  const spawnWriter = (order: string, ...values: string[]): WriterProcess => {
    const writer = startWriter([order, path, ...values]);
    writers.push(writer);
    return writer;
  };
  try {
    await use({ path, open, spawn: spawnWriter });
  } finally {
    for (const writer of writers) await writer.kill();
    for (const ledger of opened) ledger.close();
  }
}

function startWriter(values: readonly string[]): WriterProcess {
  const main = new URL("writer-main.ts", import.meta.url).pathname;
  const child = spawn(process.execPath, [main, ...values], {
    stdio: ["ignore", "pipe", "inherit"],
  });
  const exited = once(child, "exit");
  const lines = createInterface({ input: child.stdout })[
    Symbol.asyncIterator
  ]();
  return {
    child,
    nextLine: async () => {
      const next = await lines.next();
      return next.done ? null : next.value;
    },
    kill: async () => {
      child.kill("SIGKILL");
      await exited;
    },
  };
}
