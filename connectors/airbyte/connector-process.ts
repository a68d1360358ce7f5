/**
 * A connector as a process of ours: a command, or a container that docker or podman runs. It gets its configuration in
 * files that only this user can read and that go with it; nothing secret is in its arguments. It is in a process group of
 * its own, so that Ctrl-C in a terminal reaches us alone and what it has started ends with it; a guard ends it with us.
 */
import { strict as assert } from "node:assert";
import { spawn, type ChildProcess } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import type { Socket } from "node:net";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import type { Readable, Writable } from "node:stream";
import { ExtractError } from "../../proto/error.ts";
import { ConnectorGuard } from "./connector-guard.ts";
import {
  describeContainer,
  findRuntime,
  FILES_FOLDER,
  RUNTIME_FAILURES,
} from "./container.ts";

export interface ConnectorProgram {
  /** Executable and first arguments; else there is an image. */
  readonly command?: readonly string[] | undefined;
  readonly image?: string | undefined;
  /** What runs images; left out: docker, else podman. */
  readonly runtime?: string | undefined;
  readonly runtimeArguments?: readonly string[] | undefined;
  readonly env?: Readonly<Record<string, string>> | undefined;
}

/** What the connector is given to read, as JSON texts; each becomes `--name file`. */
export interface ConnectorFiles {
  readonly config?: string;
  readonly catalog?: string;
  readonly state?: string;
}

export interface ConnectorStart {
  readonly program: ConnectorProgram;
  readonly role: "source" | "destination";
  readonly verb: "spec" | "check" | "discover" | "read" | "write";
  readonly files: ConnectorFiles;
  /** Beside its own. */
  readonly env?: Readonly<Record<string, string>>;
  /** Folders that a container sees under the same path. */
  readonly mounts?: readonly string[];
  /** A socket becomes its stdin, and is closed here: whoever has its other end writes. */
  readonly stdin: "ignore" | "pipe" | Socket;
  /** When it is told to end, until it is killed. */
  readonly killAfterMs?: number;
  /** Lines of its stderr. */
  onStderr(line: string): void;
}

export interface ConnectorExit {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
}

export interface ConnectorProcess {
  /** For people: the command or the image. */
  readonly name: string;
  readonly pid: number;
  readonly stdout: Readable;
  readonly stdin: Writable | null;
  /** When it is gone and all that it wrote has been read. Never rejects. */
  readonly exited: Promise<ConnectorExit>;
  /** What it wrote to stderr last, for an error. */
  readonly lastLines: readonly string[];
  /** SIGTERM, and SIGKILL when that does not help. Resolves when it is gone. */
  end(): Promise<void>;
}

/** A connector that is told to end gets this long before it is killed. */
const KILL_AFTER_MS = 10_000;
const LAST_LINES_MAX = 20;
const LINE_CHARS_MAX = 2_000;

/** What tells a connector that its records go over sockets. */
export function describeSockets(
  format: string,
  paths: readonly string[],
): Required<Pick<ConnectorStart, "env" | "mounts">> {
  return {
    env: {
      DATA_CHANNEL_MEDIUM: "SOCKET",
      DATA_CHANNEL_FORMAT: format,
      DATA_CHANNEL_SOCKET_PATHS: paths.join(","),
    },
    // a container has to see their folders
    mounts: [...new Set(paths.map((path) => dirname(path)))],
  };
}

/** @throws ExtractError CONNECTOR_NOT_STARTED */
export async function startConnector(
  start: ConnectorStart,
): Promise<ConnectorProcess> {
  const { program, role, env = {} } = start;
  const runtime =
    program.image === undefined ? null : (program.runtime ?? findRuntime());
  const folder = mkdtempSync(join(tmpdir(), "millrace-connector-"));
  const container =
    runtime === null ? null : describeContainer(start, runtime, folder);
  const name = program.image ?? (program.command ?? []).join(" ");
  let guard: ConnectorGuard | null = null;
  try {
    // first of all: what is in the files must not outlive us
    guard = await ConnectorGuard.start(folder, container);
    const files = writeFiles(
      start.files,
      folder,
      container === null ? folder : FILES_FOLDER,
    );
    const [command = "", ...first] =
      container?.command ?? program.command ?? [];
    assert(command !== "", "a connector has a command or an image");
    const child = spawn(command, [...first, start.verb, ...files], {
      stdio: [start.stdin, "pipe", "pipe"],
      env: { ...process.env, ...program.env, ...env },
      detached: true,
    });
    // at once: until then nobody would end it
    if (child.pid !== undefined) guard.watch(child.pid);
    await new Promise<void>((started, failed) => {
      child.once("spawn", started);
      child.once("error", failed);
    });
    return new RunningConnector(child, name, folder, {
      ...{ start, guard },
      isContainer: container !== null,
    });
  } catch (cause) {
    rmSync(folder, { recursive: true, force: true });
    void guard?.fire();
    if (cause instanceof ExtractError) throw cause;
    throw new ExtractError(
      "CONNECTOR_NOT_STARTED",
      `the ${role} ${name} cannot be run: ${cause instanceof Error ? cause.message : String(cause)}`,
      { role },
      { cause },
    );
  } finally {
    if (typeof start.stdin === "object") start.stdin.destroy();
  }
}

/** @returns what tells the connector of them, which sees them at `place` */
function writeFiles(
  files: ConnectorFiles,
  folder: string,
  place: string,
): string[] {
  return Object.entries(files).flatMap(([name, text]) => {
    if (text === undefined) return [];
    const file = `${name}.json`;
    writeFileSync(join(folder, file), text as string, { mode: 0o600 });
    return [`--${name}`, join(place, file)];
  });
}

/** What an exit that is no success means. */
export function describeExit(
  connector: ConnectorProcess,
  { code, signal }: ConnectorExit,
  { role, program }: Pick<ConnectorStart, "role" | "program">,
): ExtractError {
  const end = signal === null ? `exit code ${code}` : `signal ${signal}`;
  const words = connector.lastLines.slice(-3).join(" | ");
  const isRuntime =
    program.image !== undefined && RUNTIME_FAILURES.has(code ?? 0);
  return new ExtractError(
    isRuntime ? "CONNECTOR_NOT_STARTED" : "CONNECTOR_FAILED",
    `the ${role} ${connector.name} ended early, by ${end}${words === "" ? "" : `: ${words}`}`,
    { role, ...(code === null ? {} : { exitCode: code }) },
  );
}

interface Running {
  readonly start: ConnectorStart;
  readonly guard: ConnectorGuard;
  /** Its process is the client of a runtime. */
  readonly isContainer: boolean;
}

class RunningConnector implements ConnectorProcess {
  readonly name: string;
  readonly pid: number;
  readonly stdout: Readable;
  readonly stdin: Writable | null;
  readonly exited: Promise<ConnectorExit>;
  readonly lastLines: string[] = [];
  readonly #running: Running;
  #isGone = false;

  constructor(
    child: ChildProcess,
    name: string,
    folder: string,
    running: Running,
  ) {
    assert(
      child.pid !== undefined && child.stdout !== null && child.stderr !== null,
    );
    this.#running = running;
    this.name = name;
    this.pid = child.pid;
    this.stdout = child.stdout;
    this.stdin = child.stdin;
    // it may be gone while something is written to it; its end says why
    this.stdin?.on("error", () => {});
    readLines(child.stderr, (line) => {
      this.lastLines.push(line);
      if (this.lastLines.length > LAST_LINES_MAX) this.lastLines.shift();
      running.start.onStderr(line);
    });
    const left = Promise.withResolvers<void>();
    child.once("exit", (_code, signal) => {
      // what it has started may hold its pipes for ever
      this.#signal("SIGKILL");
      rmSync(folder, { recursive: true, force: true });
      void this.#leave(signal).then(left.resolve);
    });
    this.exited = new Promise((ended) => {
      child.once("close", (code, signal) => {
        void left.promise.then(() => {
          this.#isGone = true;
          ended({ code, signal });
        });
      });
    });
  }

  async end(): Promise<void> {
    if (this.#isGone) return;
    const { killAfterMs = KILL_AFTER_MS } = this.#running.start;
    // a runtime's client passes it on, and needs its helpers until then
    if (this.#running.isContainer) signalProcess(this.pid, "SIGTERM");
    else this.#signal("SIGTERM");
    const timer = setTimeout(() => void this.#kill(), killAfterMs);
    // nobody reads it any more, and it must not wait for that
    this.stdout.resume();
    await this.exited;
    clearTimeout(timer);
  }

  /** To all of its group. */
  #signal(signal: NodeJS.Signals): void {
    signalProcess(-this.pid, signal);
  }

  async #kill(): Promise<void> {
    const { guard, isContainer } = this.#running;
    // the client of a container can be killed without it
    if (isContainer) await guard.fire();
    this.#signal("SIGKILL");
  }

  /** A client that says how its container has ended leaves none behind; one that was killed does. */
  async #leave(signal: NodeJS.Signals | null): Promise<void> {
    const { guard, isContainer } = this.#running;
    if (isContainer && signal !== null) await guard.fire();
    else guard.release();
  }
}

function signalProcess(pid: number, signal: NodeJS.Signals): void {
  try {
    process.kill(pid, signal);
  } catch {
    // it has gone
  }
}

function readLines(stream: Readable, onLine: (line: string) => void): void {
  let rest = "";
  stream.setEncoding("utf8");
  stream.on("data", (text: string) => {
    const lines = (rest + text).split("\n");
    rest = (lines.pop() ?? "").slice(-LINE_CHARS_MAX);
    for (const line of lines)
      if (line !== "") onLine(line.slice(0, LINE_CHARS_MAX));
  });
  stream.on("end", () => {
    if (rest !== "") onLine(rest);
  });
  stream.on("error", () => {});
}
