/** Our executables, and the small connectors of test/fixtures, as a platform would run them. */
import { spawn } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import type { Socket } from "node:net";
import { dirname, join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { tryConnect } from "../../../connectors/airbyte/try-connect.ts";
import { repositoryRoot, toolEnv } from "../../arrows.ts";
import { builtLauncher } from "../../fixtures/built.ts";
import { parseExactly } from "../../fixtures/read-back.ts";

/** An executable that runs for so long hangs. */
const RUN_MS_MAX = 90_000;
/** A platform that is slow takes 64 KiB in this time: whoever writes to it has to wait. */
const SLOW_MS = 2;

const fixtures = join(repositoryRoot, "test/fixtures/airbyte");
export const pythonSource = join(fixtures, "source.py");
export const pythonDestination = join(fixtures, "destination.py");

export function commandOf(name: string): string[] {
  return name.endsWith(".py")
    ? ["python3", name]
    : [process.execPath, join(dirname(builtLauncher()), `${name}.js`)];
}

export interface Message {
  readonly type: string;
  readonly [member: string]: unknown;
}

export interface Executed {
  readonly code: number | null;
  readonly messages: readonly Message[];
  readonly stdout: string;
  readonly stderr: string;
}

export interface Executing {
  readonly pid: number;
  readonly ended: Promise<Executed>;
  /** What was written so far. */
  stdout(): string;
}

/** A folder with what a connector is given. */
export class Platform {
  readonly root = mkdtempSync(join(tmpdir(), "millrace-platform-"));
  readonly #started: number[] = [];

  write(name: string, value: unknown): string {
    const path = join(this.root, `${name}.json`);
    writeFileSync(path, JSON.stringify(value));
    return path;
  }

  /** `source-postgres` and its like, as they were built; or a script of Python. */
  start(
    name: string,
    args: readonly string[],
    env: NodeJS.ProcessEnv = {},
  ): Executing {
    return this.#spawn([...commandOf(name), ...args], env);
  }

  /** The same, by a platform that takes its time. */
  startSlowly(name: string, args: readonly string[]): Executing {
    return this.#spawn([...commandOf(name), ...args], {}, true);
  }

  /** The first one's stdout is the second one's stdin; the exit code is that of whichever failed. */
  pipe(
    first: readonly [name: string, ...args: string[]],
    second: readonly [name: string, ...args: string[]],
  ): Executing {
    const [from, to] = [first, second].map(([name, ...args]) =>
      [...commandOf(name), ...args].map((word) => `'${word}'`).join(" "),
    );
    return this.#spawn(["bash", "-c", `set -o pipefail; ${from} | ${to}`], {});
  }

  /** The environment of both sides, with sockets in this folder. */
  sockets(format: string, count = 2): Record<string, string> {
    return {
      DATA_CHANNEL_MEDIUM: "SOCKET",
      DATA_CHANNEL_FORMAT: format,
      DATA_CHANNEL_SOCKET_PATHS: Array.from({ length: count }, (_, i) =>
        join(this.root, `airbyte_socket_${i + 1}.sock`),
      ).join(","),
    };
  }

  dispose(): void {
    for (const pid of this.#started) {
      try {
        process.kill(pid, "SIGKILL");
      } catch {
        // it has ended
      }
    }
    rmSync(this.root, { recursive: true, force: true });
  }

  #spawn(
    command: readonly string[],
    env: NodeJS.ProcessEnv,
    isSlow = false,
  ): Executing {
    const [program = "", ...args] = command;
    const own: NodeJS.ProcessEnv = { ...toolEnv, ...env };
    delete own["MILLRACE_SOURCES"];
    const child = spawn(program, args, {
      env: own,
      stdio: ["ignore", "pipe", "pipe"],
      timeout: RUN_MS_MAX,
    });
    if (child.pid !== undefined) this.#started.push(child.pid);
    let stdout = "";
    let stderr = "";
    child.stdout.setEncoding("utf8").on("data", (text: string) => {
      stdout += text;
      if (!isSlow) return;
      child.stdout.pause();
      setTimeout(() => child.stdout.resume(), SLOW_MS);
    });
    child.stderr.setEncoding("utf8").on("data", (text: string) => {
      stderr += text;
    });
    const ended = new Promise<Executed>((resolve, reject) => {
      child.on("error", reject);
      child.on("close", (code) =>
        resolve({ code, messages: readLines(stdout), stdout, stderr }),
      );
    });
    return { pid: child.pid ?? -1, ended, stdout: () => stdout };
  }
}

/** Comes to each socket once it is there, and takes its time with what it hears. */
export class SocketPeer {
  readonly #texts: string[] = [];
  readonly #heard: Promise<unknown>;
  #isGone = false;

  constructor(env: NodeJS.ProcessEnv) {
    const paths = (env["DATA_CHANNEL_SOCKET_PATHS"] ?? "").split(",");
    this.#heard = Promise.all(paths.map((path, i) => this.#hear(path, i)));
  }

  /** The messages of each socket; those of JSON lines. */
  get messages(): readonly (readonly Message[])[] {
    return this.#texts.map(readLines);
  }

  /** Whoever listens has gone: hears what is left. */
  async end(): Promise<void> {
    this.#isGone = true;
    await this.#heard;
  }

  async #hear(path: string, index: number): Promise<void> {
    this.#texts[index] = "";
    const socket = await this.#connect(path);
    if (socket === null) return;
    try {
      for await (const text of socket.setEncoding("utf8")) {
        this.#texts[index] += text as string;
        await sleep(SLOW_MS);
      }
    } catch {
      // it was killed
    }
  }

  async #connect(path: string): Promise<Socket | null> {
    for (;;) {
      const socket = await tryConnect(path);
      if (socket !== null || this.#isGone) return socket;
      await sleep(SLOW_MS);
    }
  }
}

/**
 * Whole lines only: one that is cut is of a process that was killed. What is no message is passed over, as a platform
 * does: libraries print.
 */
export function readLines(text: string): Message[] {
  return text
    .split("\n")
    .slice(0, -1)
    .filter((line) => line.startsWith("{"))
    .map((line) => JSON.parse(line) as Message);
}

export function configOf(url: string, more: object = {}): object {
  const { hostname, port, pathname, username } = new URL(url);
  return {
    host: hostname,
    port: Number(port),
    database: pathname.slice(1),
    username,
    password: "hunter2",
    ...more,
  };
}

interface CatalogStream {
  readonly name: string;
}

/** Configures all streams of what `discover` said. */
export function configure(
  messages: readonly Message[],
  more: (name: string) => object = () => ({}),
): object {
  const streams = messages.flatMap(
    ({ catalog }) =>
      (catalog as { streams: CatalogStream[] } | undefined)?.streams ?? [],
  );
  return {
    streams: streams.map((stream) => ({
      stream,
      sync_mode: "full_refresh",
      destination_sync_mode: "append",
      generation_id: 1,
      minimum_generation_id: 0,
      sync_id: 1,
      ...more(stream.name),
    })),
  };
}

/** The last state of each stream, as a platform gives it back. */
export function lastStates(messages: readonly Message[]): unknown[] {
  const states = new Map<string, unknown>();
  for (const { type, state } of messages) {
    if (type !== "STATE") continue;
    const { stream } = state as { stream: { stream_descriptor: object } };
    states.set(JSON.stringify(stream.stream_descriptor), state);
  }
  return [...states.values()];
}

/** The rows that are in front of the last state, as `data` objects: what a platform's destination has of them. */
export function coveredRows(messages: readonly Message[]): unknown[] {
  const last = messages.findLastIndex(({ type }) => type === "STATE");
  return messages
    .slice(0, last + 1)
    .filter(({ type }) => type === "RECORD")
    .map(({ record }) => (record as { data: unknown }).data);
}

/** What the Python destination has kept of a stream: each row as one text, sorted. */
export function readKept(folder: string, stream: string): string[] {
  return readFileSync(join(folder, `${stream}.jsonl`), "utf8")
    .split("\n")
    .filter((line) => line !== "")
    .map((line) => sortMembers(parseExactly(line)))
    .toSorted();
}

function sortMembers(value: unknown): string {
  return JSON.stringify(
    Object.fromEntries(
      Object.entries(value as object).toSorted(([a], [b]) => (a < b ? -1 : 1)),
    ),
  );
}
