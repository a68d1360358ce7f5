/** Starts the processes of a run. Apart from what is done with them, so that they can start before that is loaded. */
import {
  spawn,
  type ChildProcess,
  type StdioOptions,
} from "node:child_process";
import { getCompileCacheDir } from "node:module";
import { fileURLToPath } from "node:url";
import type { Role } from "../actors/run/run.machine.ts";

const extension = import.meta.url.slice(-3);
function keeperStderr(): "inherit" | "ignore" {
  return process.env["MILLRACE_LOG_LEVEL"] ? "inherit" : "ignore";
}

/** Of the threads that small runs share. */
export const inlineScript = new URL(
  `../actors/inline/thread${extension}`,
  import.meta.url,
);

function scriptOf(role: Role): string {
  return fileURLToPath(
    new URL(`../actors/${role}/main${extension}`, import.meta.url),
  );
}

export interface SpawnOptions {
  /** In front of the command line: a command that becomes ours. */
  readonly prefix: readonly string[];
  /** Beside those of this process. */
  readonly execArgv: readonly string[];
}

export function spawnChild(
  role: Role,
  { prefix, execArgv }: SpawnOptions = { prefix: [], execArgv: [] },
): ChildProcess {
  const stdio: StdioOptions =
    role === "keeper"
      ? // it outlives us: an inherited pipe would keep whoever reads our output waiting
        // (unless its log is asked for)
        ["ignore", "ignore", keeperStderr(), "pipe"]
      : ["ignore", "pipe", "inherit", "pipe"];
  const [command = process.execPath, ...args] = [
    ...prefix,
    ...[process.execPath, ...process.execArgv, ...execArgv, scriptOf(role)],
  ];
  return spawn(command, args, {
    stdio,
    // compiled code is kept for children as it is for this process
    env: {
      ...process.env,
      NODE_COMPILE_CACHE:
        process.env["NODE_COMPILE_CACHE"] ?? getCompileCacheDir(),
    },
    // the keeper outlives us by its grace, whatever the terminal does to our group
    detached: role === "keeper",
  });
}

const warm = new Map<Role, ChildProcess>();

/**
 * Starts one process of each role, for the run that is about to begin: they load their code while this process loads
 * its own. Without an order they do nothing, and end with this process.
 */
export function warmChildren(): void {
  for (const role of ["source", "destination", "keeper"] as const) {
    const child = spawnChild(role);
    // heard again where it is taken: the second try says what went wrong
    child.on("error", () => warm.delete(role));
    child.on("exit", () => warm.delete(role));
    warm.set(role, child);
  }
}

/** Null when there is none, or it has ended. */
export function takeWarm(role: Role): ChildProcess | null {
  const child = warm.get(role) ?? null;
  warm.delete(role);
  return child;
}
