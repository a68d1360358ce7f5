/** Which process a recorded pid was: numbers are used again, so a start time goes with each. */
import { readFileSync } from "node:fs";
import { hostname } from "node:os";
import { setTimeout as sleep } from "node:timers/promises";
import { ExtractError } from "../../proto/error.ts";

/** How often waiting processes are looked at, in milliseconds. */
const POLL_MS = 25;

/** How long a process may take to go after SIGKILL (it may be in a disk write), in milliseconds. */
const KILLED_WAIT_MS = 5_000;

/** How long recorded processes are waited for before those that are still there are ended, in milliseconds. */
const PROCESS_GRACE_MS = 5_000;

export interface ProcessIdentity {
  /** Absent or null: this host. */
  readonly host?: string | null;
  readonly pid: number;
  /** From `processStartTime`; null where the system does not tell. */
  readonly pidStartTime: string | null;
}

/**
 * When the process began: clock ticks since boot, behind the boot's id, since ticks begin anew. Null when there is no
 * such process, when it has ended and only waits to be reaped, and on systems without /proc.
 * @see proc_pid_stat(5): field 3 is the state, field 22 the start time; field 2 is the name in parentheses, which may
 *   itself contain spaces and parentheses
 */
export function processStartTime(pid: number): string | null {
  const stat = readProc(`${pid}/stat`);
  if (stat === null) return null;
  const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
  const [state] = fields;
  const ticks = fields[22 - 3];
  if (state === "Z" || state === "X" || ticks === undefined) return null;
  const boot = readProc("sys/kernel/random/boot_id")?.slice(0, 8) ?? "";
  return `${boot}:${ticks}`;
}

/** Whether that very process still runs. Without a start time, whether any process has its number. */
export function isAlive(pid: number, startTime: string | null): boolean {
  if (startTime !== null) return processStartTime(pid) === startTime;
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    // EPERM: it is there and belongs to someone else
    return error instanceof Error && "code" in error && error.code === "EPERM";
  }
}

/** The same of a process that may be another host's: what nobody here can see counts as running. */
export function mayBeAlive({
  host,
  pid,
  pidStartTime,
}: ProcessIdentity): boolean {
  return isElsewhere(host) || isAlive(pid, pidStartTime);
}

function isElsewhere(host: string | null | undefined): boolean {
  return (host ?? hostname()) !== hostname();
}

/**
 * Waits until all these processes are gone, and after `graceMs` ends those that are surely meant. This process itself
 * is passed over, and so are those of other hosts: nobody here sees them, and what they may still do ends with the
 * lease under which they were started. Gives the pids that had to be ended.
 * @throws ExtractError RUN_LOCKED when one cannot be ended, or cannot be told from another with its number
 */
export async function endProcesses(
  processes: readonly ProcessIdentity[],
  graceMs: number = PROCESS_GRACE_MS,
): Promise<number[]> {
  const others = processes.filter(
    ({ host, pid }) => pid !== process.pid && !isElsewhere(host),
  );
  const waiting = await waitUntilGone(others, graceMs);
  const ended: number[] = [];
  for (const { pid, pidStartTime } of waiting) {
    if (pidStartTime === null) continue;
    try {
      process.kill(pid, "SIGKILL");
      ended.push(pid);
    } catch {
      // gone in this moment, or not ours to end: looked at below
    }
  }
  const [left] = await waitUntilGone(
    waiting,
    waiting.length > 0 ? KILLED_WAIT_MS : 0,
  );
  if (left)
    throw new ExtractError(
      "RUN_LOCKED",
      `process ${left.pid} of an earlier attempt still runs and cannot be ended`,
      { pid: left.pid },
    );
  return ended;
}

/** Those that are still there. */
async function waitUntilGone(
  processes: readonly ProcessIdentity[],
  waitMs: number,
): Promise<readonly ProcessIdentity[]> {
  const deadline = performance.now() + waitMs;
  for (;;) {
    const left = processes.filter(({ pid, pidStartTime }) =>
      isAlive(pid, pidStartTime),
    );
    if (left.length === 0 || performance.now() >= deadline) return left;
    await sleep(POLL_MS);
  }
}

function readProc(path: string): string | null {
  try {
    return readFileSync(`/proc/${path}`, "latin1");
  } catch {
    return null;
  }
}
