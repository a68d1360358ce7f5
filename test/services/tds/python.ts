/** python-tds from PyPI in a virtual environment of the cache folder: a client that shares no code with the server. */
import { execFile } from "node:child_process";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { ensurePython } from "../python.ts";
import type { TdsServer } from "./server.ts";

const packages = ["python-tds==1.17.1"];

const ANSWER_BYTES_MAX = 64 * 1024 * 1024;

/** @returns Python's path, or why there is none; @throws Error in CI when there is none */
export function ensurePythonTds():
  | { readonly python: string }
  | { readonly reason: string } {
  const found = ensurePython("tds", packages);
  return "bin" in found ? { python: join(found.bin, "python") } : found;
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
