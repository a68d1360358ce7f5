/** The real command line and its processes: started, watched through /proc, killed and cleaned up after. */
import { spawn } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { Ledger } from "../../../checkpoint/store/ledger.ts";
import {
  isAlive,
  processStartTime,
} from "../../../checkpoint/store/process-identity.ts";
import type { SnapshotRecord } from "../../../checkpoint/store/records.ts";
import type { RunEvent, RunSummary } from "../../../daemon/request.ts";
import { toolEnv } from "../../arrows.ts";
import { builtLauncher } from "../../fixtures/built.ts";

/** A debugger that a test opens takes any free port. */
const debuggerPort = { NODE_OPTIONS: "--inspect-port=127.0.0.1:0" };

/** As a user has it: nothing asks for the sources. */
const env: NodeJS.ProcessEnv = { ...toolEnv };
delete env["MILLRACE_SOURCES"];

/** What a test waits for comes within this, or never. */
const WAIT_MS_MAX = 120_000;
const POLL_MS = 5;

export type Role = "bookkeeper" | "source" | "destination" | "keeper";

export interface Ended {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
  readonly summary: RunSummary | null;
  readonly stderr: string;
}

export interface Running {
  readonly pid: number;
  /** What was told so far, oldest first. */
  readonly events: readonly RunEvent[];
  readonly ended: Promise<Ended>;
  /** What was written to stderr so far. */
  stderr(): string;
  isOver(): boolean;
  /** The process of that role, null while there is none. */
  find(role: Role): number | null;
}

/** Polls until `look` gives something. @throws Error naming `what` after WAIT_MS_MAX */
export async function waitFor<T>(
  what: string,
  look: () => T | null | undefined | false | Promise<T | null | false>,
): Promise<T> {
  const deadline = performance.now() + WAIT_MS_MAX;
  for (;;) {
    const found = await look();
    if (found !== null && found !== undefined && found !== false) return found;
    if (performance.now() > deadline) throw new Error(`no sign of ${what}`);
    await sleep(POLL_MS);
  }
}

/** @see proc_pid_task_children(5): children of the main thread, which is the one that starts ours */
export function listChildren(pid: number): number[] {
  return readProc(`${pid}/task/${pid}/children`)
    .split(" ")
    .filter((text) => text !== "")
    .map(Number);
}

function readProc(path: string): string {
  try {
    return readFileSync(`/proc/${path}`, "latin1");
  } catch {
    return "";
  }
}

/** Resident memory, KiB; 0 when the process is gone. */
export function readResidentKib(pid: number): number {
  return Number(/^VmRSS:\s+(\d+)/m.exec(readProc(`${pid}/status`))?.[1] ?? 0);
}

/** Sends a signal. False when the process had gone. */
export function signal(pid: number, name: NodeJS.Signals): boolean {
  try {
    process.kill(pid, name);
    return true;
  } catch {
    return false;
  }
}

/** One destination folder with all that was ever started on it. */
export class Destination {
  readonly root = mkdtempSync(join(tmpdir(), "millrace-e2e-"));
  readonly #started: Running[] = [];
  readonly #env: NodeJS.ProcessEnv;

  /** @param more for all that is started, beside what every user has */
  constructor(more: NodeJS.ProcessEnv = {}) {
    this.#env = { ...env, ...more, ...debuggerPort };
  }

  get ledgerPath(): string {
    return join(this.root, ".millrace", "ledger.sqlite");
  }

  /** Starts `millrace` with these arguments and `--json`. */
  start(...args: readonly string[]): Running {
    const child = spawn(
      process.execPath,
      [builtLauncher(), ...args, "--json"],
      {
        env: this.#env,
        stdio: ["ignore", "pipe", "pipe"],
      },
    );
    const events: RunEvent[] = [];
    let stderr = "";
    let rest = "";
    child.stdout.setEncoding("utf8").on("data", (text: string) => {
      const lines = (rest + text).split("\n");
      rest = lines.pop() ?? "";
      for (const line of lines) events.push(JSON.parse(line) as RunEvent);
    });
    child.stderr.setEncoding("utf8").on("data", (text: string) => {
      stderr += text;
    });
    let isOver = false;
    const ended = new Promise<Ended>((resolve, reject) => {
      child.on("error", reject);
      // not `close`: a child that outlives a killed bookkeeper holds its stderr open for a moment
      child.on("exit", (code, name) => {
        isOver = true;
        setImmediate(() => {
          const last = events.at(-1);
          const summary = last?.type === "run.finished" ? last.summary : null;
          resolve({ code, signal: name, summary, stderr });
        });
      });
    });
    const pid = child.pid ?? -1;
    const running: Running = {
      pid,
      events,
      ended,
      stderr: () => stderr,
      isOver: () => isOver,
      find: (role) => {
        if (role === "bookkeeper") return isOver ? null : pid;
        const script = `actors/${role}/main.js`;
        const found = listChildren(pid).find((one) =>
          readProc(`${one}/cmdline`).includes(script),
        );
        return found ?? null;
      },
    };
    this.#started.push(running);
    return running;
  }

  /** Runs to the end. */
  run(...args: readonly string[]): Promise<Ended> {
    return this.start(...args).ended;
  }

  /** Reads the ledger; null while there is none. */
  look<T>(read: (ledger: Ledger) => T): T | null {
    let ledger: Ledger;
    try {
      ledger = Ledger.open(this.ledgerPath, { create: false });
    } catch {
      return null;
    }
    try {
      return read(ledger);
    } finally {
      ledger.close();
    }
  }

  /** Of the newest run, oldest first. */
  snapshots(): readonly SnapshotRecord[] {
    return (
      this.look((ledger) => {
        const [run] = ledger.listRuns({ limit: 1 });
        return run ? ledger.snapshotsOf(run.runId) : [];
      }) ?? []
    );
  }

  /** The keeper that holds the newest run's snapshot, also when its bookkeeper is gone. */
  findKeeper(): number | null {
    const last = this.snapshots().at(-1);
    return last && isAlive(last.keeperPid, last.keeperStart)
      ? last.keeperPid
      : null;
  }

  /** Recorded processes of all runs that still run. */
  listAlive(): { role: string; pid: number }[] {
    return (
      this.look((ledger) =>
        ledger.listRuns({ limit: 100 }).flatMap(({ runId }) => [
          ...ledger
            .processesOf(runId)
            .filter(({ pid, pidStartTime }) => isAlive(pid, pidStartTime))
            .map(({ role, pid }) => ({ role, pid })),
          ...ledger
            .snapshotsOf(runId)
            .filter(({ keeperPid, keeperStart }) =>
              isAlive(keeperPid, keeperStart),
            )
            .map(({ keeperPid }) => ({ role: "keeper", pid: keeperPid })),
        ]),
      ) ?? []
    );
  }

  /** Ends what a test has left alive and removes the folder. */
  async dispose(): Promise<void> {
    for (const { pid, isOver, find } of this.#started) {
      const keeper = find("keeper");
      if (keeper !== null) signal(keeper, "SIGKILL");
      if (!isOver()) signal(pid, "SIGKILL");
    }
    for (const { pid } of this.listAlive()) signal(pid, "SIGKILL");
    await waitFor("the end of all processes", () =>
      this.listAlive().every(({ pid }) => processStartTime(pid) === null),
    );
    rmSync(this.root, { recursive: true, force: true });
  }
}

/** A fixture: a destination of the test's own. */
export async function useDestination(
  // vitest reads the fixtures that it needs from the pattern
  // eslint-disable-next-line no-empty-pattern
  {}: object,
  use: (destination: Destination) => Promise<void>,
): Promise<void> {
  const destination = new Destination();
  try {
    await use(destination);
  } finally {
    await destination.dispose();
  }
}
