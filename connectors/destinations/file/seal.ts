/**
 * From finished temporaries to a durable checkpoint: bytes on disk, then the files' names, then the marker where it is
 * a file of its own.
 */
import { dirname, join } from "node:path";

import type { SealedFile } from "../../../proto/checkpoint.ts";
import type { OpenFile } from "./open-file.ts";
import {
  linkFinal,
  makeFoldersBelow,
  removeFile,
  syncFolder,
  syncFoldersUpTo,
  writeSmallFile,
} from "./storage.ts";

/** The files of one checkpoint, closing bytes written. */
export interface FinishedCheckpoint {
  readonly files: readonly OpenFile[];
  /** Their final names, relative to the folder they are published in; a name may have folders of its own in front. */
  readonly names: readonly string[];
  /** Set where the format has no place for the marker. Names are relative as well. */
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
    const folders = new Set(names.map((name) => dirname(name)));
    for (const inner of folders)
      if (inner !== ".")
        makeFoldersBelow(options.root, `${options.folder}/${inner}`);
    for (const [number, file] of files.entries()) {
      const final = join(folder, names[number] ?? "");
      linkFinal(file.temporary, final);
      linked.push(final);
    }
    for (const file of files) removeFile(file.temporary);
    for (const inner of folders)
      await syncFoldersUpTo(join(folder, inner), options.syncUpTo);
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
      await syncFolder(dirname(join(folder, sidecar.name)));
    }
  } catch (error) {
    if (!options.isAbandoned()) await takeBack(files, linked);
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
): Promise<void> {
  try {
    for (const final of linked.toReversed()) removeFile(final);
    for (const file of files) await file.drop();
    for (const place of new Set(linked.map((final) => dirname(final))))
      await syncFolder(place);
  } catch {
    // the first error says more than the second, and is the one that is passed on
  }
}

function throwObstacle(options: PublishOptions): void {
  const obstacle = options.findObstacle();
  if (obstacle) throw obstacle;
}
