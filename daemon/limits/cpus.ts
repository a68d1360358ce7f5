/** Which CPUs the processes of a run are bound to. */
import { accessSync, constants, readFileSync } from "node:fs";
import { delimiter, join } from "node:path";

/** More than any machine has: a list that says so is none. */
const CPU_NUMBER_MAX = 65_535;

/**
 * `0-2,7` as the kernel writes it. Null for what is no such list.
 * @see cpuset(7), "List Format"
 */
export function parseCpuList(text: string): number[] | null {
  const cpus: number[] = [];
  for (const part of text.trim().split(",")) {
    const match = /^(\d{1,5})(?:-(\d{1,5}))?$/.exec(part);
    if (!match) return null;
    const first = Number(match[1]);
    const last = Number(match[2] ?? match[1]);
    if (last < first || last > CPU_NUMBER_MAX) return null;
    for (let cpu = first; cpu <= last; cpu += 1) cpus.push(cpu);
  }
  return cpus;
}

/** Those that this process may use; null where the system does not tell. */
function readAllowedCpus(): number[] | null {
  try {
    const status = readFileSync("/proc/self/status", "latin1");
    const list = /^Cpus_allowed_list:\s*(\S+)$/m.exec(status)?.[1];
    return list === undefined ? null : parseCpuList(list);
  } catch {
    return null;
  }
}

/** `count` of them, beginning behind those of the call before, so that runs spread over the machine. */
export function chooseCpus(
  allowed: readonly number[],
  count: number,
  turn: number,
): number[] {
  return Array.from(
    { length: Math.min(count, allowed.length) },
    (_, i) => allowed[(turn * count + i) % allowed.length] ?? 0,
  ).toSorted((a, b) => a - b);
}

/** Of util-linux; null where it is not installed. */
function findTaskset(path = process.env["PATH"] ?? ""): string | null {
  for (const folder of path.split(delimiter)) {
    if (folder === "") continue;
    const file = join(folder, "taskset");
    try {
      accessSync(file, constants.X_OK);
      return file;
    } catch {
      // the next one
    }
  }
  return null;
}

let turns = 0;

export interface CpuBinding {
  /** What stands in front of a command line. */
  readonly prefix: readonly string[];
  /** Why nothing is bound although it should be. */
  readonly warning: string | null;
}

/** For all processes of one run. */
export function bindToCpus(count: number): CpuBinding {
  const allowed = readAllowedCpus();
  // nothing to choose from
  if (allowed !== null && allowed.length <= count)
    return { prefix: [], warning: null };
  const taskset = findTaskset();
  if (allowed === null || taskset === null)
    return {
      prefix: [],
      warning: `limits.cpus is not kept: ${taskset === null ? "taskset (of util-linux) is not installed" : "this system does not tell which CPUs may be used"}`,
    };
  const cpus = chooseCpus(allowed, count, turns++);
  return { prefix: [taskset, "-c", cpus.join(",")], warning: null };
}
