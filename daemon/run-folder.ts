/**
 * The folder of one run's sockets: mode 0700, in memory where the machine has a place for that. A file in it says whose
 * it is, so that what a killed bookkeeper has left can be told from what is in use.
 */
import {
  accessSync,
  constants,
  mkdirSync,
  mkdtempSync,
  readlinkSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { processStartTime } from "../checkpoint/store/process-identity.ts";

export interface RunFolder {
  readonly path: string;
  /** False: a plain temporary folder, where sockets cost disk writes. */
  readonly isInMemory: boolean;
}

/** JSON of `RunFolderOwner`. */
export const OWNER_FILE = "owner";

export interface RunFolderOwner {
  /** Null: its run is over or waits to be resumed, and only a keeper may still use the folder. */
  readonly pid: number | null;
  readonly startTime: string | null;
  /** Where the pid means something: containers may share the folder above, and number their processes alike. */
  readonly pidNamespace: string | null;
}

/** What `mkdtemp` makes of the name that we give it. */
export const RUN_FOLDER_NAME = /^millrace-[A-Za-z0-9]{6}$/;
/** What `createSocketFolder` makes. */
export const SOCKET_FOLDER_NAME = /^e\d+$/;

/** Null where the system does not tell. */
export function readPidNamespace(): string | null {
  try {
    return readlinkSync("/proc/self/ns/pid");
  } catch {
    return null;
  }
}

function isUsable(path: string): boolean {
  try {
    accessSync(path, constants.W_OK | constants.X_OK);
    return statSync(path).isDirectory();
  } catch {
    return false;
  }
}

/** Folders in memory under which run folders are made, the best first. */
function listMemoryPlaces(environment: NodeJS.ProcessEnv): string[] {
  const places = [
    environment["XDG_RUNTIME_DIR"],
    `/run/user/${process.getuid?.() ?? ""}`,
    "/dev/shm",
  ];
  return places.filter(
    (place): place is string =>
      place !== undefined && place !== "" && isUsable(place),
  );
}

/** All folders under which this user's run folders may be. */
export function listRunFolderPlaces(
  environment: NodeJS.ProcessEnv = process.env,
): string[] {
  return [...new Set([...listMemoryPlaces(environment), tmpdir()])];
}

export function createRunFolder(
  environment: NodeJS.ProcessEnv = process.env,
): RunFolder {
  const [inMemory] = listMemoryPlaces(environment);
  // mkdtemp makes the folder with mode 0700, under a name that nobody had
  const path = mkdtempSync(join(inMemory ?? tmpdir(), "millrace-"));
  writeOwner(path, process.pid);
  return { path, isInMemory: inMemory !== undefined };
}

function writeOwner(folder: string, pid: number | null): void {
  const owner: RunFolderOwner = {
    pid,
    startTime: pid === null ? null : processStartTime(pid),
    pidNamespace: readPidNamespace(),
  };
  writeFileSync(join(folder, OWNER_FILE), JSON.stringify(owner), {
    mode: 0o600,
  });
}

/** Leaves the folder to the keeper in it; with the keeper's end it is nobody's. */
export function leaveRunFolder(path: string): void {
  try {
    writeOwner(path, null);
  } catch {
    // it is gone already, or goes when this process does
  }
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
