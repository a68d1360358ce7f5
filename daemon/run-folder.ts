/** The folder of one attempt's sockets: mode 0700, in memory where the machine has a place for that. */
import {
  accessSync,
  constants,
  mkdirSync,
  mkdtempSync,
  rmSync,
  statSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

export interface RunFolder {
  readonly path: string;
  /** False: a plain temporary folder, where sockets cost disk writes. */
  readonly isInMemory: boolean;
}

function isUsable(path: string): boolean {
  try {
    accessSync(path, constants.W_OK | constants.X_OK);
    return statSync(path).isDirectory();
  } catch {
    return false;
  }
}

export function createRunFolder(
  environment: NodeJS.ProcessEnv = process.env,
): RunFolder {
  const places = [
    environment["XDG_RUNTIME_DIR"],
    `/run/user/${process.getuid?.() ?? ""}`,
    "/dev/shm",
  ];
  const inMemory = places.find(
    (place) => place !== undefined && place !== "" && isUsable(place),
  );
  // mkdtemp makes the folder with mode 0700, under a name that nobody had
  const path = mkdtempSync(join(inMemory ?? tmpdir(), "millrace-"));
  return { path, isInMemory: inMemory !== undefined };
}

/** One attempt's own: a socket that an earlier attempt has left is in nobody's way. */
export function createSocketFolder(folder: string, epoch: number): string {
  const path = join(folder, `e${epoch}`);
  mkdirSync(path, { mode: 0o700 });
  return path;
}

export function removeRunFolder(path: string): void {
  rmSync(path, { recursive: true, force: true });
}
