/** Runs one command to its end and says what it has cost, the server's part and everybody else's included. */
import { spawn } from "node:child_process";
import {
  existsSync,
  mkdtempSync,
  readFileSync,
  readdirSync,
  rmSync,
  statSync,
} from "node:fs";
import { availableParallelism, tmpdir } from "node:os";
import { join } from "node:path";
import {
  readMachineCpuSeconds,
  readServersCpuSeconds,
  sampleTree,
  type MemorySample,
  type ProcessPeak,
} from "./process-tree.ts";

/** Of all cores, used by processes that are neither the client nor the server: above it a round is dirty. */
const OTHERS_SHARE_MAX = 0.05;
/** A backend ends shortly after its client. */
const BACKEND_EXIT_MS = 150;
/** The end of what a failed command printed. */
const OUTPUT_CHARS_MAX = 2_000;

export interface Measurement {
  readonly exitCode: number;
  /** From start to exit. */
  readonly wallSeconds: number;
  /**
   * User and system time of the command and all below it that was waited for. A command that leaves before its
   * children have would hide theirs; then it is what was last seen of them.
   */
  readonly clientCpuSeconds: number;
  readonly serverCpuSeconds: number;
  /** Share of all cores. */
  readonly othersShare: number;
  readonly dirty: boolean;
  /** All processes of the command together. */
  readonly peakMb: number;
  readonly processes: readonly ProcessPeak[];
  readonly memory: readonly MemorySample[];
  readonly outputBytes: number;
  /** The end of the command's output, for a failure. */
  readonly output: string;
}

/**
 * Bash's `time` counts what the kernel says about the command and every descendant that was waited for; Node cannot
 * see the resource use of its grandchildren. The command's own output goes to files, so that no pipe is in its way.
 */
const timingScript = `
TIMEFORMAT='%3R %3U %3S'
{ time "$@" >"$BENCH_FOLDER/output" 2>&1 </dev/null; } 2>"$BENCH_FOLDER/time"
`;

export async function measureCommand({
  command,
  env = {},
  cwd,
  serverPids,
  outputFolder,
}: {
  readonly command: readonly string[];
  readonly env?: Readonly<Record<string, string>>;
  readonly cwd: string;
  /** Their CPU is not the client's, and not somebody else's either. */
  readonly serverPids: readonly number[];
  /** Null: the command writes nothing. */
  readonly outputFolder: string | null;
}): Promise<Measurement> {
  const folder = mkdtempSync(join(tmpdir(), "millrace-bench-"));
  try {
    const serverBefore = readServersCpuSeconds(serverPids);
    const ownBefore = process.cpuUsage();
    const machineBefore = readMachineCpuSeconds();
    const child = spawn("bash", ["-c", timingScript, "bench", ...command], {
      cwd,
      env: { ...process.env, ...env, BENCH_FOLDER: folder },
      stdio: "ignore",
    });
    const end = () => child.kill("SIGTERM");
    process.once("exit", end);
    const stopSampling = sampleTree(child.pid ?? 0);
    const exitCode = await new Promise<number>((done, fail) => {
      child.once("error", fail);
      child.once("exit", (code) => done(code ?? 1));
    });
    const tree = stopSampling();
    process.removeListener("exit", end);
    const machine = readMachineCpuSeconds() - machineBefore;
    const own = process.cpuUsage(ownBefore);
    await new Promise((done) => setTimeout(done, BACKEND_EXIT_MS));

    const [wallSeconds = 0, user = 0, system = 0] = readFileSync(
      join(folder, "time"),
      "utf8",
    )
      .trim()
      .split("\n")
      .at(-1)!
      .split(" ")
      .map(Number);
    const clientCpuSeconds = Math.max(user + system, tree.cpuSeconds);
    const serverCpuSeconds = readServersCpuSeconds(serverPids) - serverBefore;
    const others =
      machine -
      clientCpuSeconds -
      serverCpuSeconds -
      (own.user + own.system) / 1e6;
    const othersShare = Math.max(
      0,
      others / (wallSeconds * availableParallelism()),
    );
    return {
      exitCode,
      wallSeconds,
      clientCpuSeconds,
      serverCpuSeconds,
      othersShare,
      dirty: othersShare > OTHERS_SHARE_MAX,
      peakMb: tree.peakSumMb,
      processes: tree.processes,
      memory: tree.memory,
      outputBytes: outputFolder === null ? 0 : sumFileBytes(outputFolder),
      output: readFileSync(join(folder, "output"), "utf8").slice(
        -OUTPUT_CHARS_MAX,
      ),
    };
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

/** Bytes of the Parquet files below a folder, which a command that failed may not have made. */
function sumFileBytes(folder: string): number {
  if (!existsSync(folder)) return 0;
  return readdirSync(folder, { recursive: true, encoding: "utf8" })
    .filter((name) => name.endsWith(".parquet"))
    .reduce((sum, name) => sum + statSync(join(folder, name)).size, 0);
}
