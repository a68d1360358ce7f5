/**
 * A Postgres server of our own: made, started and stopped without touching any other server of the machine. It listens
 * on loopback only, on a port that was free, and cannot outlive the process that started it.
 */
import assert from "node:assert/strict";
import { spawn, spawnSync, type ChildProcess } from "node:child_process";
import {
  accessSync,
  chownSync,
  constants,
  existsSync,
  mkdirSync,
  readFileSync,
  rmSync,
  statSync,
} from "node:fs";
import { createServer } from "node:net";
import { dirname, join, resolve } from "node:path";
import pg from "pg";

/** Until the first connection is accepted; crash recovery after a kill is within it. */
const START_MS_MAX = 60_000;
/** Between two attempts to connect while the server starts. */
const START_POLL_MS = 25;
/** A fast shutdown writes one checkpoint. */
const STOP_MS_MAX = 30_000;
/** A server whose starter was killed has ended within this, unless its last checkpoint is long. */
const LEFTOVER_MS_MAX = 10_000;
/** Another process may take the port between the probe and the bind. */
const PORT_ATTEMPTS_MAX = 5;
/** The part of the server's output that is kept for an error message. */
const OUTPUT_CHARS_MAX = 8_192;

export interface ClusterOptions {
  /** Folder that holds `initdb` and `postgres`. */
  readonly binFolder: string;
  /** Made by `initdb` when it is not a cluster yet. */
  readonly dataFolder: string;
  /** `-c` settings, without the `-c`: `wal_level=logical`. */
  readonly settings: readonly string[];
  /** Removes the data folder when the server ends, also after a crash of this process. */
  readonly temporary: boolean;
  /** Null: a free one. */
  readonly port?: number | null;
}

export interface Cluster {
  /** Superuser, database `postgres`. */
  readonly url: string;
  readonly port: number;
  readonly dataFolder: string;
  /** The postmaster's process id. */
  readonly pid: number;
  stop(): Promise<void>;
}

interface Identity {
  readonly uid: number;
  readonly gid: number;
}

/**
 * The user that runs the server when we are root, which Postgres refuses: `postgres`, else `nobody`. No user is made:
 * a demo should not alter the machine's user list.
 */
export function findServerUser(): Identity | null {
  if (process.getuid?.() !== 0) return null;
  for (const name of ["postgres", "nobody"]) {
    const [uid, gid] = ["-u", "-g"].map((flag) => {
      const id = spawnSync("id", [flag, name], { encoding: "utf8" });
      return id.status === 0 ? Number(id.stdout.trim()) : null;
    });
    if (uid != null && gid != null) return { uid, gid };
  }
  throw new Error(
    "Postgres does not run as root and neither a user postgres nor nobody exists",
  );
}

/** Whether that user can enter the folder: every folder above it must give "others" the right to pass. */
export function isReachableBy(user: Identity | null, folder: string): boolean {
  if (user === null) return true;
  for (let at = resolve(folder); ; at = dirname(at)) {
    if (existsSync(at)) {
      const { mode, uid, gid } = statSync(at);
      const bit = uid === user.uid ? 0o100 : gid === user.gid ? 0o010 : 0o001;
      if ((mode & bit) === 0) return false;
    }
    if (at === dirname(at)) return true;
  }
}

export async function findFreePort(): Promise<number> {
  const probe = createServer();
  await new Promise<void>((done, fail) => {
    probe.once("error", fail);
    probe.listen(0, "127.0.0.1", done);
  });
  const address = probe.address();
  assert(address !== null && typeof address === "object");
  await new Promise((done) => probe.close(done));
  return address.port;
}

/**
 * The server runs below a shell that waits for the end of its standard input. When this process ends in any way, the
 * kernel closes the pipe, the shell ends the server (`$1`) and, if it was temporary, removes its folder (`$2`).
 * `detached` keeps a Ctrl-C in the terminal from reaching the server before we have finished with it.
 */
const keeperScript = `
signal=$1; folder=$2; shift 2
exec 3<&0
"$@" 3<&- </dev/null &
server=$!
echo "server $server"
(read -r _ <&3; kill -s "$signal" "$server") 2>/dev/null &
watcher=$!
wait "$server"; code=$?
kill "$watcher" 2>/dev/null
if [ -n "$folder" ]; then rm -rf "$folder"; fi
exit "$code"
`;

function initCluster(options: ClusterOptions, user: Identity | null): void {
  mkdirSync(options.dataFolder, { recursive: true, mode: 0o700 });
  if (user !== null) chownSync(options.dataFolder, user.uid, user.gid);
  const result = spawnSync(
    join(options.binFolder, "initdb"),
    [
      ...["-D", options.dataFolder, "-U", "postgres", "-A", "trust"],
      ...["-E", "UTF8", "--locale=C", "--no-sync"],
    ],
    { ...user, cwd: "/", encoding: "utf8" },
  );
  if (result.status !== 0) {
    // a half-made folder would be taken for a cluster next time
    rmSync(options.dataFolder, { recursive: true, force: true });
    throw new Error(
      `initdb failed: ${(result.error?.message ?? "") + result.stderr}`,
    );
  }
}

/**
 * Waits for a server that is still in this folder: one that was left by a killed process is about to end.
 * @throws Error when it stays, because another process is using it
 */
async function waitUntilUnused(dataFolder: string): Promise<void> {
  const pidFile = join(dataFolder, "postmaster.pid");
  const deadline = performance.now() + LEFTOVER_MS_MAX;
  for (;;) {
    const pid = readFirstNumber(pidFile);
    // after a crash of the machine the file is stale, and its number may be another's; Postgres itself looks closer
    if (pid === null || !isServer(pid)) return;
    if (performance.now() > deadline)
      throw new Error(`${dataFolder} is in use by process ${pid}`);
    await new Promise((done) => setTimeout(done, START_POLL_MS));
  }
}

function readFirstNumber(path: string): number | null {
  try {
    return Number.parseInt(readFileSync(path, "utf8"), 10);
  } catch {
    return null;
  }
}

function isServer(pid: number): boolean {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, "utf8").includes("postgres");
  } catch {
    return false;
  }
}

export async function startCluster(options: ClusterOptions): Promise<Cluster> {
  const user = findServerUser();
  accessSync(join(options.binFolder, "postgres"), constants.X_OK);
  if (existsSync(join(options.dataFolder, "PG_VERSION"))) {
    await waitUntilUnused(options.dataFolder);
  } else {
    initCluster(options, user);
  }
  for (let attempt = 1; ; attempt += 1) {
    const port = options.port ?? (await findFreePort());
    try {
      return await launch(options, user, port);
    } catch (error) {
      const portTaken = String(error).includes("Address already in use");
      if (!portTaken || options.port != null || attempt >= PORT_ATTEMPTS_MAX)
        throw error;
    }
  }
}

async function launch(
  options: ClusterOptions,
  user: Identity | null,
  port: number,
): Promise<Cluster> {
  const settings = [
    "listen_addresses=127.0.0.1",
    "unix_socket_directories=",
    ...options.settings,
  ].flatMap((setting) => ["-c", setting]);
  const server = join(options.binFolder, "postgres");
  const child = spawn(
    "/bin/sh",
    [
      ...["-c", keeperScript, "sh"],
      options.temporary ? "QUIT" : "INT",
      options.temporary ? options.dataFolder : "",
      ...[server, "-D", options.dataFolder, "-p", String(port), ...settings],
    ],
    { ...user, cwd: "/", detached: true, stdio: ["pipe", "pipe", "pipe"] },
  );
  let output = "";
  let serverPid: number | null = null;
  const keep = (chunk: Buffer) => {
    output = (output + chunk.toString()).slice(-OUTPUT_CHARS_MAX);
    serverPid ??= Number(/^server (\d+)$/m.exec(output)?.[1] ?? 0) || null;
  };
  child.stdout.on("data", keep);
  child.stderr.on("data", keep);
  child.stdin.on("error", () => {}); // the shell may be gone when the pipe is closed
  const exited = new Promise<void>((done) => {
    child.once("close", () => done());
    child.once("error", (error) => {
      output += String(error);
      done();
    });
  });

  const url = `postgres://postgres@127.0.0.1:${port}/postgres`;
  const deadline = performance.now() + START_MS_MAX;
  for (;;) {
    if (child.exitCode !== null || child.signalCode !== null) {
      await exited;
      throw new Error(`Postgres ended while starting:\n${output}`);
    }
    if (await canConnect(url)) break;
    if (performance.now() > deadline) {
      await stopChild(child, exited);
      throw new Error(`Postgres did not start:\n${output}`);
    }
    await new Promise((done) => setTimeout(done, START_POLL_MS));
  }
  assert(serverPid !== null, "the shell names the server before it starts it");
  // the handles must not keep this process alive when its work is done
  child.unref();
  for (const stream of [child.stdin, child.stdout, child.stderr])
    (stream as unknown as { unref(): void }).unref();
  return {
    url,
    port,
    dataFolder: options.dataFolder,
    pid: serverPid,
    stop: () => stopChild(child, exited),
  };
}

async function canConnect(url: string): Promise<boolean> {
  const client = new pg.Client({ connectionString: url });
  client.on("error", () => {}); // a server that is still starting hangs up; the answer is "not yet"
  try {
    await client.connect();
    await client.end();
    return true;
  } catch {
    return false;
  }
}

async function stopChild(
  child: ChildProcess,
  exited: Promise<void>,
): Promise<void> {
  child.ref();
  child.stdin?.end();
  const timer = setTimeout(() => {
    // the shell leads a process group of its own, in which the server is
    if (child.pid !== undefined) process.kill(-child.pid, "SIGKILL");
  }, STOP_MS_MAX);
  await exited;
  clearTimeout(timer);
}
