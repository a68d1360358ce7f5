/**
 * What processes use, read from /proc.
 * @see man 5 proc: /proc/pid/stat, /proc/pid/status, /proc/stat
 */
import { readFileSync, readdirSync } from "node:fs";

/** Clock ticks per second of /proc: USER_HZ is 100 on every Linux that Node runs on. */
const TICKS_PER_SECOND = 100;
const SAMPLE_INTERVAL_MS = 50;
const KIB_PER_MB = 1000 / 1.024;

function readProc(path: string): string {
  try {
    return readFileSync(path, "utf8");
  } catch {
    return ""; // the process has ended
  }
}

/** The fields of /proc/pid/stat behind the command, which may hold blanks and brackets; `[0]` is the state. */
function readStat(pid: number): string[] {
  const text = readProc(`/proc/${pid}/stat`);
  return text.slice(text.lastIndexOf(")") + 2).split(" ");
}

/** CPU seconds of all children that this process has waited for: a server's ended backends. */
function readReapedCpuSeconds(pid: number): number {
  const fields = readStat(pid);
  return (Number(fields[13] ?? 0) + Number(fields[14] ?? 0)) / TICKS_PER_SECOND;
}

/** CPU seconds that this process itself has used so far. */
function readOwnCpuSeconds(pid: number): number {
  const fields = readStat(pid);
  return (Number(fields[11] ?? 0) + Number(fields[12] ?? 0)) / TICKS_PER_SECOND;
}

/** CPU seconds of servers: one works in threads of its own process, another in children that end with their clients. */
export function readServersCpuSeconds(pids: readonly number[]): number {
  return pids.reduce(
    (sum, pid) => sum + readOwnCpuSeconds(pid) + readReapedCpuSeconds(pid),
    0,
  );
}

/** CPU seconds that all processes of the machine have used together. */
export function readMachineCpuSeconds(): number {
  const [user = 0, nice = 0, system = 0, , , irq = 0, softirq = 0] = readProc(
    "/proc/stat",
  )
    .split("\n", 1)[0]!
    .trim()
    .split(/\s+/)
    .slice(1)
    .map(Number);
  return (user + nice + system + irq + softirq) / TICKS_PER_SECOND;
}

function listChildren(pid: number): number[] {
  let threads: string[] = [];
  try {
    threads = readdirSync(`/proc/${pid}/task`);
  } catch {
    // the process has ended
  }
  // a child is listed under the thread that made it, which may be a worker
  return threads.flatMap((thread) =>
    readProc(`/proc/${pid}/task/${thread}/children`)
      .split(" ")
      .filter((text) => text !== "")
      .map(Number),
  );
}

export interface ProcessPeak {
  /** First 200 characters of the command line. */
  readonly command: string;
  /** The kernel's own high-water mark at the last look. */
  readonly residentMb: number;
  /** Used when it was last seen: what it was at least. */
  readonly cpuSeconds: number;
}

/** What all processes below the root held together at one moment. */
export interface MemorySample {
  /** Since the first look. */
  readonly seconds: number;
  readonly residentMb: number;
}

export interface TreeReport {
  /** CPU seconds of all processes below the root when they were last seen: what it was at least. */
  readonly cpuSeconds: number;
  /** Highest sum over all processes below the root at one moment; pages shared by two are counted twice. */
  readonly peakSumMb: number;
  readonly processes: readonly ProcessPeak[];
  /** About one a second. */
  readonly memory: readonly MemorySample[];
}

/** Looks at all processes below `rootPid`, itself left out, until the returned function is called. */
export function sampleTree(rootPid: number): () => TreeReport {
  let peakSumKib = 0;
  const startedAt = performance.now();
  const memory: MemorySample[] = [];
  const seen = new Map<
    number,
    { command: string; peakKib: number; cpuSeconds: number }
  >();
  const sample = () => {
    let sumKib = 0;
    const queue = listChildren(rootPid);
    for (let pid = queue.pop(); pid !== undefined; pid = queue.pop()) {
      queue.push(...listChildren(pid));
      const status = readProc(`/proc/${pid}/status`);
      const residentKib = Number(/^VmRSS:\s+(\d+)/m.exec(status)?.[1] ?? 0);
      const highKib = Number(/^VmHWM:\s+(\d+)/m.exec(status)?.[1] ?? 0);
      sumKib += residentKib;
      const known = seen.get(pid) ?? { command: "", peakKib: 0, cpuSeconds: 0 };
      seen.set(pid, known);
      known.peakKib = Math.max(known.peakKib, highKib);
      known.cpuSeconds = Math.max(known.cpuSeconds, readOwnCpuSeconds(pid));
      // between fork and exec a process still bears its parent's name
      const command = readProc(`/proc/${pid}/cmdline`).replaceAll("\0", " ");
      if (command !== "") known.command = command.slice(0, 200);
    }
    peakSumKib = Math.max(peakSumKib, sumKib);
    const seconds = (performance.now() - startedAt) / 1_000;
    if (seconds >= memory.length + 1)
      memory.push({ seconds, residentMb: sumKib / KIB_PER_MB });
  };
  const timer = setInterval(sample, SAMPLE_INTERVAL_MS);
  return () => {
    clearInterval(timer);
    return {
      peakSumMb: peakSumKib / KIB_PER_MB,
      cpuSeconds: [...seen.values()].reduce(
        (sum, { cpuSeconds }) => sum + cpuSeconds,
        0,
      ),
      processes: [...seen.values()].map(({ command, peakKib, cpuSeconds }) => ({
        command,
        residentMb: peakKib / KIB_PER_MB,
        cpuSeconds,
      })),
      memory,
    };
  };
}
