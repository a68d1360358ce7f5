/** Resident memory of the daemon and of its runs' processes, from /proc (see proc(5), `statm`). */
import { readFileSync } from "node:fs";
import { processStartTime } from "../../checkpoint/store/process-identity.ts";
import type { LiveRun } from "../service/types.ts";
import type { History } from "./history.ts";

const PAGE_BYTES = 4096;
/** Runs whose processes are looked at in one scrape. */
const RUNS_MEASURED_MAX = 500;
const roles = ["source", "destination", "keeper"] as const;

/** Bytes by role; without /proc only the daemon's own. `pause` is called between two runs. */
export async function measureProcesses(
  live: readonly LiveRun[],
  history: Pick<History, "processesOf">,
  pause: () => Promise<void>,
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
      bytes.set(role, known + readResident(pid));
    }
    await pause();
  }
  return bytes;
}

/** No disk is behind /proc: to wait for the loop's next turn would take a hundred times as long. */
function readResident(pid: number): number {
  try {
    const [, resident = "0"] = readFileSync(`/proc/${pid}/statm`, "utf8").split(
      " ",
    );
    return Number(resident) * PAGE_BYTES;
  } catch {
    return 0;
  }
}
