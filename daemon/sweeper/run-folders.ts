/**
 * Removes the run folders that killed bookkeepers have left. Nobody is asked by connecting: whoever connects to a keeper
 * takes it over. The kernel's own list says which sockets are in use.
 */
import {
  lstatSync,
  opendirSync,
  readFileSync,
  rmdirSync,
  unlinkSync,
  type Stats,
} from "node:fs";
import { connect } from "node:net";
import { join } from "node:path";
import { isAlive } from "../../checkpoint/store/process-identity.ts";
import {
  listRunFolderPlaces,
  OWNER_FILE,
  readPidNamespace,
  RUN_FOLDER_NAME,
  SOCKET_FOLDER_NAME,
  type RunFolderOwner,
} from "../run-folder.ts";

/** A folder that does not say whose it is may have been made this very moment, or by an older version. */
const UNOWNED_AGE_MS_MIN = 86_400_000;
/** Of one place and one sweep; more are left to the next one. */
const FOLDERS_MAX = 1_000;
/** Things in a folder of ours: more are none of ours. */
const ENTRIES_MAX = 10_000;
const OWNER_BYTES_MAX = 4_096;
const CONNECT_MS_MAX = 2_000;

export interface FolderSweep {
  /** Paths of the folders that are gone, or would be. */
  readonly removed: readonly string[];
  readonly faults: readonly string[];
}

/** @param places folders under which run folders are looked for */
export async function sweepRunFolders({
  isDry = false,
  places = listRunFolderPlaces(),
  now = Date.now(),
}: {
  readonly isDry?: boolean;
  readonly places?: readonly string[];
  readonly now?: number;
} = {}): Promise<FolderSweep> {
  const removed: string[] = [];
  const faults: string[] = [];
  for (const place of places) {
    for (const path of listCandidates(place)) {
      try {
        const content = listContent(path);
        if (content === null || !(await isDead(path, content, now))) continue;
        if (!isDry) removeContent(path, content);
        removed.push(path);
      } catch (error) {
        // its run may have removed it in this moment
        if (!isMissing(error)) faults.push(`${path}: ${String(error)}`);
      }
    }
  }
  return { removed, faults };
}

/** Folders of this user with a name and a mode as ours have. */
function listCandidates(place: string): string[] {
  const found: string[] = [];
  for (const name of listNames(place, Infinity)) {
    if (!RUN_FOLDER_NAME.test(name)) continue;
    const path = join(place, name);
    const stat = lstatSync(path, { throwIfNoEntry: false });
    if (!stat?.isDirectory() || stat.uid !== process.getuid?.()) continue;
    if ((stat.mode & 0o077) !== 0) continue;
    found.push(path);
    if (found.length === FOLDERS_MAX) break;
  }
  return found;
}

function listNames(path: string, countMax: number): string[] {
  const names: string[] = [];
  try {
    const folder = opendirSync(path);
    try {
      for (let one = folder.readSync(); one; one = folder.readSync()) {
        names.push(one.name);
        if (names.length > countMax) break;
      }
    } finally {
      folder.closeSync();
    }
  } catch (error) {
    if (!isMissing(error)) throw error;
  }
  return names;
}

interface FolderContent {
  readonly sockets: readonly string[];
  readonly folders: readonly string[];
  readonly ownerFile: string | null;
  readonly modifiedAt: number;
}

/** Null for a folder with anything in it that no run of ours has put there. */
function listContent(path: string): FolderContent | null {
  const sockets: string[] = [];
  const folders: string[] = [];
  let ownerFile: string | null = null;
  const { mtimeMs } = lstatSync(path);
  const names = listNames(path, ENTRIES_MAX);
  for (const name of names) {
    const inner = join(path, name);
    const stat = lstatSync(inner, { throwIfNoEntry: false });
    if (!stat) continue;
    if (name === OWNER_FILE && stat.isFile()) ownerFile = inner;
    else if (stat.isSocket()) sockets.push(inner);
    else if (stat.isDirectory() && SOCKET_FOLDER_NAME.test(name)) {
      const within = listNames(inner, ENTRIES_MAX).map((one) =>
        join(inner, one),
      );
      if (!within.every((one) => isSocketOrGone(statOf(one)))) return null;
      sockets.push(...within);
      folders.push(inner);
    } else return null;
  }
  if (names.length + sockets.length > ENTRIES_MAX) return null;
  return { sockets, folders, ownerFile, modifiedAt: mtimeMs };
}

function statOf(path: string): Stats | undefined {
  return lstatSync(path, { throwIfNoEntry: false });
}

function isSocketOrGone(stat: Stats | undefined): boolean {
  return stat === undefined || stat.isSocket();
}

async function isDead(
  path: string,
  { sockets, ownerFile, modifiedAt }: FolderContent,
  now: number,
): Promise<boolean> {
  const owner = ownerFile === null ? null : readOwner(ownerFile);
  const isReadable =
    owner !== null && owner.pidNamespace === readPidNamespace();
  if (isReadable) {
    if (owner.pid !== null && isAlive(owner.pid, owner.startTime)) return false;
  } else if (now - modifiedAt < UNOWNED_AGE_MS_MIN) return false;
  // looked at last: a keeper that listens now has listened all along
  const inUse = readSocketsInUse();
  if (inUse === null) return false;
  const inner = `${path}/`;
  if (inUse.some((one) => one.startsWith(inner))) return false;
  if (isReadable) return true;
  // of another namespace, or of a version that wrote no owner: the kernel may not list it for us
  for (const socket of sockets) if (await isAnswering(socket)) return false;
  return true;
}

function readOwner(file: string): RunFolderOwner | null {
  if (lstatSync(file).size > OWNER_BYTES_MAX) return null;
  try {
    const owner = JSON.parse(
      readFileSync(file, "utf8"),
    ) as Partial<RunFolderOwner> | null;
    const { pid, startTime, pidNamespace } = owner ?? {};
    if (pid !== null && !(Number.isSafeInteger(pid) && (pid ?? 0) > 0))
      return null;
    if (startTime !== null && typeof startTime !== "string") return null;
    if (pidNamespace !== null && typeof pidNamespace !== "string") return null;
    return { pid: pid ?? null, startTime, pidNamespace };
  } catch (error) {
    // a write that was cut short
    if (error instanceof SyntaxError) return null;
    throw error;
  }
}

/**
 * Paths of all sockets that somebody listens or speaks on; null where the system does not tell.
 * @see proc(5), /proc/net/unix: seven fields, then the path, where there is one
 */
function readSocketsInUse(): string[] | null {
  let lines: string[];
  try {
    lines = readFileSync("/proc/net/unix", "utf8").split("\n");
  } catch {
    return null;
  }
  return lines.flatMap((line) => {
    const path = /^(?:\S+\s+){7}(\/.*)$/.exec(line)?.[1];
    return path === undefined ? [] : [path];
  });
}

function isAnswering(path: string): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(path);
    // one that takes the connection and is slow is there
    socket.setTimeout(CONNECT_MS_MAX, () => end(true));
    socket.once("connect", () => end(true));
    socket.once("error", () => end(false));
    const end = (isThere: boolean): void => {
      socket.destroy();
      resolve(isThere);
    };
  });
}

/** Thing by thing, so that nothing goes that was not looked at. */
function removeContent(
  path: string,
  { sockets, folders, ownerFile }: FolderContent,
): void {
  for (const socket of sockets) removeFile(socket);
  for (const folder of folders) rmdirSync(folder);
  // last, so that a sweep that was cut short is followed by another
  if (ownerFile !== null) removeFile(ownerFile);
  rmdirSync(path);
}

function removeFile(path: string): void {
  try {
    unlinkSync(path);
  } catch (error) {
    if (!isMissing(error)) throw error;
  }
}

function isMissing(error: unknown): boolean {
  return error instanceof Error && "code" in error && error.code === "ENOENT";
}
