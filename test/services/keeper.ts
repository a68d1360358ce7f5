/** Servers of the tests that cannot outlive the process that started them, and may be killed and come back. */
import {
  spawn,
  type ChildProcess,
  type SpawnOptions,
} from "node:child_process";
import { rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";

/** Until it answers; a cold JVM on a busy machine takes its time. */
const START_MS_MAX = 60_000;
/** For servers that are there after a second or more. */
const POLL_MS = 100;
/** The part of a server's output that is kept for an error message. */
const OUTPUT_CHARS_MAX = 8_192;
/** In a server's folder, while it is to come back. */
const RETURNS = "comes-back";

/**
 * The server runs below a shell that waits for the end of its standard input. When this process ends in any way, the
 * kernel closes the pipe, the shell ends the server and removes its folder (`$1`), unless it is to come back. `detached`
 * keeps a Ctrl-C in the terminal from reaching the server before we have finished with it.
 */
const keeperScript = `
folder=$1; shift
exec 3<&0
"$@" 3<&- </dev/null &
server=$!
trap '' PIPE
echo "server $server"
(read -r _ <&3; kill -s KILL "$server") 2>/dev/null &
watcher=$!
wait "$server"; code=$?
kill "$watcher" 2>/dev/null
[ -e "$folder/${RETURNS}" ] || rm -rf "$folder"
exit "$code"
`;

export interface Kept {
  readonly pid: number;
  readonly exited: Promise<void>;
  /** By SIGKILL. */
  end(): Promise<void>;
}

/** As which user and with what environment it runs, as `spawn` has it, and how often it is asked. */
interface KeepOptions extends Pick<SpawnOptions, "env" | "uid" | "gid"> {
  readonly pollMs?: number;
}

/**
 * Starts a server, and waits until it answers.
 * @param folder what it has on disk: removed when it ends
 * @param answers asked again and again; what it throws ends the server
 * @throws Error with what the server said last
 */
export async function keep(
  name: string,
  folder: string,
  command: readonly string[],
  answers: () => Promise<boolean>,
  { pollMs = POLL_MS, ...options }: KeepOptions = {},
): Promise<Kept> {
  const child = spawn(
    "/bin/sh",
    ["-c", keeperScript, "sh", folder, ...command],
    { ...options, cwd: "/", detached: true, stdio: ["pipe", "pipe", "pipe"] },
  );
  let output = "";
  let pid = 0;
  const listen = (chunk: Buffer): void => {
    output = (output + chunk.toString()).slice(-OUTPUT_CHARS_MAX);
    pid ||= Number(/^server (\d+)$/m.exec(output)?.[1] ?? 0);
  };
  child.stdout.on("data", listen);
  child.stderr.on("data", listen);
  child.stdin.on("error", () => {}); // the shell may be gone when the pipe is closed
  const exited = new Promise<void>((done) => {
    child.once("close", () => done());
    child.once("error", (error) => {
      output += String(error);
      done();
    });
  });
  const end = async (): Promise<void> => {
    child.ref();
    child.stdin.end();
    await exited;
  };
  const deadline = performance.now() + START_MS_MAX;
  for (;;) {
    const fault = await answers().then(
      (isThere) => (isThere ? null : ""),
      (error: unknown) => String(error),
    );
    if (fault === null) break;
    if (hasEnded(child)) {
      await exited;
      throw new Error(`${name} ended while starting:\n${output}`);
    }
    if (fault !== "" || performance.now() > deadline) {
      await end();
      throw new Error(`${name} did not start: ${fault}\n${output}`);
    }
    await new Promise((done) => setTimeout(done, pollMs));
  }
  // the handles must not keep this process alive when its work is done
  child.unref();
  for (const stream of [child.stdin, child.stdout, child.stderr])
    (stream as unknown as { unref(): void }).unref();
  return { pid, exited, end };
}

function hasEnded(child: ChildProcess): boolean {
  return child.exitCode !== null || child.signalCode !== null;
}

/** Of a server's folder: whether it outlives the server's end. */
export function letReturn(folder: string): {
  note(): void;
  forget(): void;
} {
  const path = join(folder, RETURNS);
  return {
    note: () => writeFileSync(path, ""),
    forget: () => rmSync(path, { force: true }),
  };
}
