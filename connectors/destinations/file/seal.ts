/**
 * From finished temporaries to a durable checkpoint: bytes on disk, then the files' names, then the marker where it is
 * a file of its own.
 */
import { join } from "node:path";

import type { SealedFile } from "../../../proto/checkpoint.ts";
import type { OpenFile } from "./open-file.ts";
import {
  linkFinal,
  removeFile,
  syncFolder,
  syncFoldersUpTo,
  writeSmallFile,
} from "./storage.ts";

/** The files of one checkpoint, closing bytes written. */
export interface FinishedCheckpoint {
  readonly files: readonly OpenFile[];
  /** Their final names, without folder. */
  readonly names: readonly string[];
  /** Set where the format has no place for the marker. Names are without folder. */
  readonly sidecar: {
    readonly temporary: string;
    readonly name: string;
    readonly text: string;
  } | null;
}

interface PublishOptions {
  readonly root: string;
  /** Relative to the root. */
  readonly folder: string;
  /** The topmost folder that may not be synced yet. */
  readonly syncUpTo: string;
  /** Asked before each step that makes the checkpoint count: an error that forbids it, or null. */
  readonly findObstacle: () => Error | null;
  /** The process may no longer hold the epoch: it removes nothing any more. */
  readonly isAbandoned: () => boolean;
}

/**
 * When the promise resolves, files and names are on disk. When it rejects, no final name of this checkpoint is left,
 * unless the disk refuses even that: then its marker, or the lack of one, says whether it counts.
 */
export async function publishCheckpoint(
  checkpoint: FinishedCheckpoint,
  options: PublishOptions,
): Promise<SealedFile[]> {
  const { files, names, sidecar } = checkpoint;
  const folder = join(options.root, options.folder);
  const linked: string[] = [];
  try {
    for (const file of files) await file.makeDurable();
    throwObstacle(options);
    for (const [number, file] of files.entries()) {
      const final = join(folder, names[number] ?? "");
      linkFinal(file.temporary, final);
      linked.push(final);
    }
    for (const file of files) removeFile(file.temporary);
    if (files.length > 0) await syncFoldersUpTo(folder, options.syncUpTo);
    if (sidecar) {
      const temporary = join(folder, sidecar.temporary);
      try {
        await writeSmallFile(temporary, Buffer.from(sidecar.text));
        throwObstacle(options);
        const final = join(folder, sidecar.name);
        linkFinal(temporary, final);
        linked.push(final);
      } finally {
        removeFile(temporary);
      }
      await syncFolder(folder);
    }
  } catch (error) {
    if (!options.isAbandoned()) await takeBack(files, linked, folder);
    throw error;
  }
  return files.map((file, number) => ({
    path: `${options.folder}/${names[number] ?? ""}`,
    rows: file.rows,
    bytes: file.bytes,
  }));
}

/** The marker first, so that what remains of a checkpoint never counts. */
async function takeBack(
  files: readonly OpenFile[],
  linked: readonly string[],
  folder: string,
): Promise<void> {
  try {
    for (const final of linked.toReversed()) removeFile(final);
    for (const file of files) await file.drop();
    if (linked.length > 0) await syncFolder(folder);
  } catch {
    // the first error says more than the second, and is the one that is passed on
  }
}

function throwObstacle(options: PublishOptions): void {
  const obstacle = options.findObstacle();
  if (obstacle) throw obstacle;
}
