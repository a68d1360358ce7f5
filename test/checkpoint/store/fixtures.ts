/** A ledger of its own for each test, with a run that has a planned stream; and children that do something to it. */
import { spawn } from "node:child_process";
import type { ChildProcess } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { test as base } from "vitest";
import { Ledger } from "../../../checkpoint/store/ledger.ts";
import type {
  NewStream,
  StreamMode,
} from "../../../checkpoint/store/records.ts";
import type { Plan, Split } from "../../../proto/partition.ts";
import { keySplit, makePartition } from "../stamps.ts";

export const owner = { pid: 4242, pidStartTime: "b:1", runDir: "/run/m" };

export const sync = {
  id: "s1",
  name: null,
  source: "postgres://db/app",
  destination: "/out",
};

export interface LedgerFolder {
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
    const path = join(root, ".millrace", "ledger.sqlite");
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
    await use({ path, open, spawn: spawnWriter });
    for (const writer of writers) await writer.kill();
    for (const ledger of opened) ledger.close();
    rmSync(root, { recursive: true });
  },
});

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

export function makePlan(
  stream = 1,
  splits: readonly Split[] = [keySplit(null, "100"), keySplit("100", null)],
): Plan {
  return {
    stream,
    rung: "keyRanges",
    reason: "it has a primary key",
    partitions: splits.map((split, ordinal) =>
      makePartition(ordinal, split, stream),
    ),
    estimatedRows: 200,
    estimatedBytes: 20_000,
  };
}

export function makeStream(
  number: number,
  generation: number,
  mode: StreamMode = "full-refresh-overwrite",
): NewStream {
  return {
    number,
    namespace: "public",
    name: `t${number}`,
    schemaJson: '{"columns":[]}',
    fingerprint: "f1",
    generation,
    mode,
    cursorWindowJson: null,
  };
}

/** A run of `sync` with these streams, each under a new generation and planned. */
export function beginPlannedRun(
  ledger: Ledger,
  {
    streams = 1,
    mode = "full-refresh-overwrite" as StreamMode,
    splits = undefined as readonly Split[] | undefined,
  } = {},
): { readonly runId: string; readonly epoch: number } {
  ledger.upsertSync(sync);
  const run = ledger.beginRun({
    ...owner,
    syncId: sync.id,
    mode,
    requestJson: "{}",
  });
  for (let number = 1; number <= streams; number++) {
    const generation = ledger.nextGeneration(sync.id, "public", `t${number}`);
    ledger.putStream(
      run.runId,
      run.epoch,
      makeStream(number, generation, mode),
    );
    ledger.putPlan(run.runId, run.epoch, makePlan(number, splits));
  }
  return run;
}
