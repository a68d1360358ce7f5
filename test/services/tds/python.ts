/** python-tds from PyPI in a virtual environment of the cache folder: a client that shares no code with the server. */
import { execFile, execFileSync } from "node:child_process";
import { createHash } from "node:crypto";
import { existsSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { findCacheFolder, isContinuousIntegration } from "../postgres.ts";
import type { TdsServer } from "./server.ts";

const packages = ["python-tds==1.17.1"];

/** How long pip may take. */
const INSTALL_MS_MAX = 120_000;
const ANSWER_BYTES_MAX = 64 * 1024 * 1024;

/**
 * Installs the packages once per list of versions.
 * @returns Python's path, or why there is none
 * @throws Error in CI when there is none
 */
export function ensurePython(): { python: string } | { reason: string } {
  const name = createHash("sha256").update(packages.join()).digest("hex");
  const folder = join(findCacheFolder(), "tds", `python-${name.slice(0, 12)}`);
  const bin = join(folder, "bin");
  const complete = join(folder, "complete");
  const options = { stdio: "ignore", timeout: INSTALL_MS_MAX } as const;
  try {
    if (!existsSync(complete)) {
      execFileSync("python3", ["-m", "venv", "--clear", folder], options);
      const pip = ["install", "--quiet", "--disable-pip-version-check"];
      execFileSync(join(bin, "pip"), [...pip, ...packages], options);
      writeFileSync(complete, "");
    }
    return { python: join(bin, "python") };
  } catch (error) {
    if (isContinuousIntegration()) throw error;
    return {
      reason: `python3 -m venv and pip install ${packages.join(" ")} failed: ${String(error)}`,
    };
  }
}

export interface PythonAnswer {
  readonly columns?: readonly string[];
  readonly rows?: readonly (readonly (string | null)[])[];
  readonly error?: string;
  readonly number?: number | null;
}

const script = fileURLToPath(new URL("read.py", import.meta.url));

/** Runs statements one after the other on one connection of python-tds. @throws Error with what it said */
export async function readWithPython(
  python: string,
  server: Pick<TdsServer, "port" | "user" | "password" | "database">,
  requests: readonly {
    readonly sql: string;
    readonly params?: readonly (string | number | null)[];
  }[],
): Promise<PythonAnswer[]> {
  const { port, user, password, database } = server;
  const args = [script, "127.0.0.1", String(port), user, password, database];
  const running = promisify(execFile)(python, args, {
    maxBuffer: ANSWER_BYTES_MAX,
  });
  running.child.stdin?.end(
    requests.map((request) => `${JSON.stringify(request)}\n`).join(""),
  );
  const { stdout } = await running;
  return stdout
    .trim()
    .split("\n")
    .map((line) => JSON.parse(line) as PythonAnswer);
}
