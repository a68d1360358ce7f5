/**
 * The few system calls that make files durable, each a plain call of `node:fs`.
 */
import * as fs from "node:fs";
import { dirname, join } from "node:path";
import { randomBytes } from "node:crypto";

import { toDestinationError } from "./errors.ts";

/** Files looked at, synced or removed at the same time. Node runs file calls on four threads. */
export const FILE_OPERATIONS_AT_ONCE = 4;

/** The file's bytes and its length are on disk. An error of earlier background writing shows here too. */
export function syncData(fd: number): Promise<void> {
  return new Promise((resolve, reject) => {
    fs.fdatasync(fd, (error) => (error ? reject(error) : resolve()));
  });
}

/** The names in the folder are on disk. */
export async function syncFolder(path: string): Promise<void> {
  try {
    const fd = await openToRead(path);
    try {
      await new Promise<void>((resolve, reject) => {
        fs.fsync(fd, (error) => (error ? reject(error) : resolve()));
      });
    } finally {
      fs.closeSync(fd);
    }
  } catch (error) {
    throw toDestinationError(error, "sync folder", path);
  }
}

/** Syncs a folder and those above it, up to and with `top`: what a new name in a new folder needs. */
export async function syncFoldersUpTo(
  path: string,
  top: string,
): Promise<void> {
  for (let folder = path; ; folder = dirname(folder)) {
    await syncFolder(folder);
    if (folder === top || folder === dirname(folder)) return;
  }
}

/**
 * Makes the folders of `relative` (forward slashes) below `root`. The root itself is never made here: one that has
 * gone, such as a disk that was taken away, must not come back as an empty folder.
 * @returns the absolute path
 */
export function makeFoldersBelow(root: string, relative: string): string {
  let path = root;
  for (const segment of relative.split("/")) {
    path = join(path, segment);
    try {
      fs.mkdirSync(path);
    } catch (error) {
      if (isExisting(error) && fs.statSync(path).isDirectory()) continue;
      throw toDestinationError(error, "make folder", path);
    }
  }
  return path;
}

/** Writes all pieces at the end of the file, however many calls it takes. */
export function writePieces(fd: number, pieces: readonly Uint8Array[]): number {
  let rest = pieces.filter((piece) => piece.byteLength > 0);
  let bytes = 0;
  while (rest.length > 0) {
    let written = fs.writevSync(fd, rest);
    bytes += written;
    const whole: Uint8Array[] = [];
    for (const piece of rest) {
      if (written >= piece.byteLength) written -= piece.byteLength;
      else {
        whole.push(written > 0 ? piece.subarray(written) : piece);
        written = 0;
      }
    }
    rest = whole;
  }
  return bytes;
}

/** A new small file, synced, under `temporary`; the caller gives it its name. */
export async function writeSmallFile(
  temporary: string,
  bytes: Uint8Array,
): Promise<void> {
  try {
    const fd = fs.openSync(temporary, "wx");
    try {
      writePieces(fd, [bytes]);
      await syncData(fd);
    } finally {
      fs.closeSync(fd);
    }
  } catch (error) {
    throw toDestinationError(error, "write", temporary);
  }
}

/**
 * Gives a synced temporary its final name, never taking one that is in use, and drops the temporary. The name is
 * durable after `syncFolder`.
 */
export function linkFinal(temporary: string, final: string): void {
  try {
    // rename would replace a file of that name without a word
    fs.linkSync(temporary, final);
  } catch (error) {
    throw toDestinationError(error, "link", final);
  }
}

/** Removes one file; one that has gone already is fine. */
export function removeFile(path: string): void {
  try {
    fs.unlinkSync(path);
  } catch (error) {
    if (isMissing(error)) return;
    throw toDestinationError(error, "remove", path);
  }
}

/** The names in a folder with their kinds; none where the folder is missing. */
export function listFolder(path: string): fs.Dirent[] {
  try {
    return fs.readdirSync(path, { withFileTypes: true });
  } catch (error) {
    if (isMissing(error)) return [];
    throw toDestinationError(error, "list", path);
  }
}

/** Size of a regular file; null where there is none. A symbolic link is none. */
export function readFileSize(path: string): number | null {
  try {
    const stats = fs.lstatSync(path);
    return stats.isFile() ? stats.size : null;
  } catch (error) {
    if (isMissing(error)) return null;
    throw toDestinationError(error, "look at", path);
  }
}

/** A small file whole; null where it is missing, `tooLarge` above the bound, whatever its size says. */
export function readSmallFile(
  path: string,
  bytesMax: number,
): Buffer | "tooLarge" | null {
  try {
    const fd = fs.openSync(path, "r");
    try {
      const size = fs.fstatSync(fd).size;
      if (size > bytesMax) return "tooLarge";
      const bytes = Buffer.alloc(size);
      let filled = 0;
      while (filled < size) {
        const count = fs.readSync(fd, bytes, filled, size - filled, filled);
        if (count === 0) break;
        filled += count;
      }
      return bytes.subarray(0, filled);
    } finally {
      fs.closeSync(fd);
    }
  } catch (error) {
    if (isMissing(error)) return null;
    throw toDestinationError(error, "read", path);
  }
}

/** Eight hex digits for a temporary's name. */
export function drawTag(): string {
  return randomBytes(4).toString("hex");
}

/** A descriptor for reading, or for syncing what others wrote. */
export function openToRead(path: string): Promise<number> {
  return new Promise((resolve, reject) => {
    fs.open(path, "r", (error, fd) => (error ? reject(error) : resolve(fd)));
  });
}

export function isMissing(error: unknown): boolean {
  return hasCode(error, "ENOENT");
}

function isExisting(error: unknown): boolean {
  return hasCode(error, "EEXIST");
}

function hasCode(error: unknown, code: string): boolean {
  return error instanceof Error && "code" in error && error.code === code;
}
