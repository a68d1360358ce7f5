/** Resident memory of the daemon and of its runs' processes, from /proc (see proc(5), `statm`). */
import { readFile } from "node:fs/promises";
import { processStartTime } from "../../checkpoint/store/process-identity.ts";
import type { LiveRun } from "../service/types.ts";
import type { History } from "./history.ts";

const PAGE_BYTES = 4096;
/** Runs whose processes are looked at in one scrape. */
const RUNS_MEASURED_MAX = 500;
const roles = ["source", "destination", "keeper"] as const;

/** Bytes by role; without /proc only the daemon's own. */
export async function measureProcesses(
  live: readonly LiveRun[],
  history: History,
): Promise<Map<string, number>> {
  const bytes = new Map<string, number>(roles.map((role) => [role, 0]));
  bytes.set("daemon", process.memoryUsage.rss());
  for (const { runId } of live.slice(0, RUNS_MEASURED_MAX)) {
    if (runId === null) continue;
    for (const { role, pid, pidStartTime } of history.processesOf(runId)) {
      const known = bytes.get(role);
      // a process id is used again; its start time tells whose it is
      if (known === undefined || processStartTime(pid) !== pidStartTime)
        continue;
      bytes.set(role, known + (await readResident(pid)));
    }
  }
  return bytes;
}

async function readResident(pid: number): Promise<number> {
  try {
    const [, resident = "0"] = (
      await readFile(`/proc/${pid}/statm`, "utf8")
    ).split(" ");
    return Number(resident) * PAGE_BYTES;
  } catch {
    return 0;
  }
}
