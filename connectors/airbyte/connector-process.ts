/**
 * A connector as a process of ours: a command, or a container that docker or podman runs. It gets its configuration in
 * files that only this user can read and that go with it; nothing secret is in its arguments. It is in a process group of
 * its own, so that Ctrl-C in a terminal reaches us alone and what it has started ends with it.
 */
import { strict as assert } from "node:assert";
import { spawn, type ChildProcess } from "node:child_process";
import { randomBytes } from "node:crypto";
import {
  accessSync,
  constants,
  mkdtempSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import type { Socket } from "node:net";
import { tmpdir } from "node:os";
import { basename, delimiter, dirname, join, resolve } from "node:path";
import type { Readable, Writable } from "node:stream";
import { ExtractError } from "../../proto/error.ts";

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
/** A container that has been killed is gone within this. */
const REMOVE_MS_MAX = 20_000;
const LAST_LINES_MAX = 20;
const LINE_CHARS_MAX = 2_000;
/** Where a container finds its files. */
const FILES_FOLDER = "/millrace";
/** Of `docker run`: the runtime itself has failed, the command cannot be invoked, is not there. */
const RUNTIME_FAILURES: ReadonlySet<number> = new Set([125, 126, 127]);

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
  const folder = mkdtempSync(join(tmpdir(), "millrace-connector-"));
  const names = Object.entries(start.files).filter(
    (one): one is [string, string] => one[1] !== undefined,
  );
  for (const [name, text] of names)
    writeFileSync(join(folder, `${name}.json`), text, { mode: 0o600 });
  const container =
    program.image === undefined ? null : describeContainer(start, folder);
  const place = container === null ? folder : FILES_FOLDER;
  const verb = [
    start.verb,
    ...names.flatMap(([name]) => [`--${name}`, join(place, `${name}.json`)]),
  ];
  const [command = "", ...first] = container?.command ?? program.command ?? [];
  const name = program.image ?? (program.command ?? []).join(" ");
  assert(command !== "", "a connector has a command or an image");
  const child = spawn(command, [...first, ...verb], {
    stdio: [start.stdin, "pipe", "pipe"],
    env: { ...process.env, ...program.env, ...env },
    detached: true,
  });
  try {
    await new Promise<void>((started, failed) => {
      child.once("spawn", started);
      child.once("error", failed);
    });
  } catch (cause) {
    rmSync(folder, { recursive: true, force: true });
    throw new ExtractError(
      "CONNECTOR_NOT_STARTED",
      `the ${role} ${name} cannot be run: ${cause instanceof Error ? cause.message : String(cause)}`,
      { role },
      { cause },
    );
  } finally {
    if (typeof start.stdin === "object") start.stdin.destroy();
  }
  return new RunningConnector(child, name, folder, container, start);
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

class RunningConnector implements ConnectorProcess {
  readonly name: string;
  readonly pid: number;
  readonly stdout: Readable;
  readonly stdin: Writable | null;
  readonly exited: Promise<ConnectorExit>;
  readonly lastLines: string[] = [];
  readonly #container: Container | null;
  readonly #killAfterMs: number;
  #isGone = false;

  constructor(
    child: ChildProcess,
    name: string,
    folder: string,
    container: Container | null,
    { onStderr, killAfterMs = KILL_AFTER_MS }: ConnectorStart,
  ) {
    assert(
      child.pid !== undefined && child.stdout !== null && child.stderr !== null,
    );
    this.#container = container;
    this.#killAfterMs = killAfterMs;
    this.name = name;
    this.pid = child.pid;
    this.stdout = child.stdout;
    this.stdin = child.stdin;
    // it may be gone while something is written to it; its end says why
    this.stdin?.on("error", () => {});
    readLines(child.stderr, (line) => {
      this.lastLines.push(line);
      if (this.lastLines.length > LAST_LINES_MAX) this.lastLines.shift();
      onStderr(line);
    });
    this.exited = new Promise((ended) => {
      child.once("close", (code, signal) => {
        this.#isGone = true;
        rmSync(folder, { recursive: true, force: true });
        ended({ code, signal });
      });
    });
    // what it has started may hold its pipes for ever
    child.once("exit", () => this.#signal("SIGKILL"));
  }

  async end(): Promise<void> {
    if (this.#isGone) return;
    this.#signal("SIGTERM");
    const timer = setTimeout(() => {
      this.#removeContainer();
      this.#signal("SIGKILL");
    }, this.#killAfterMs);
    // nobody reads it any more, and it must not wait for that
    this.stdout.resume();
    await this.exited;
    clearTimeout(timer);
  }

  /** To all of its group. */
  #signal(signal: NodeJS.Signals): void {
    try {
      process.kill(-this.pid, signal);
    } catch {
      // nobody of it is left
    }
  }

  /** Its client can be killed without it. */
  #removeContainer(): void {
    if (this.#container === null) return;
    const { runtime, name } = this.#container;
    const removal = spawn(runtime, ["rm", "--force", name], {
      stdio: "ignore",
      timeout: REMOVE_MS_MAX,
    });
    removal.on("error", () => {});
  }
}

interface Container {
  readonly runtime: string;
  readonly name: string;
  readonly command: readonly string[];
}

function describeContainer(
  { program, mounts = [], env = {} }: ConnectorStart,
  folder: string,
): Container {
  const runtime = program.runtime ?? findRuntime();
  const name = `millrace-${randomBytes(8).toString("hex")}`;
  const uid = process.getuid?.() ?? 0;
  const gid = process.getgid?.() ?? 0;
  const isRootlessPodman = uid !== 0 && basename(runtime) === "podman";
  const command = [
    runtime,
    "run",
    "--rm",
    "--interactive",
    // forwards signals and leaves no dead children
    "--init",
    "--name",
    name,
    // what it prints is read here, and would be kept a second time
    "--log-driver=none",
    // as this user: its files are nobody else's
    `--user=${uid}:${gid}`,
    ...(isRootlessPodman ? ["--userns=keep-id"] : []),
    `--volume=${folder}:${FILES_FOLDER}:ro`,
    ...mounts.map((mount) => `--volume=${resolve(mount)}:${resolve(mount)}`),
    // by name: the values are in the environment of the runtime, and not in its arguments
    ...Object.keys({ ...program.env, ...env }).map((key) => `--env=${key}`),
    ...(program.runtimeArguments ?? []),
    program.image ?? "",
  ];
  return { runtime, name, command };
}

/** @throws ExtractError CONNECTOR_NOT_STARTED */
function findRuntime(): string {
  const folders = (process.env["PATH"] ?? "").split(delimiter);
  for (const name of ["docker", "podman"])
    for (const folder of folders) {
      const path = join(folder, name);
      try {
        accessSync(path, constants.X_OK);
        return path;
      } catch {
        // not there
      }
    }
  throw new ExtractError(
    "CONNECTOR_NOT_STARTED",
    "an image needs docker or podman, and neither is in the PATH; `runtime` names one that is elsewhere",
  );
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
