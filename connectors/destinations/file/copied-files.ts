/** The files that go with rows, as they lie below the folder of their generation. */
import * as fs from "node:fs";
import { copyFile, open, rename, rm } from "node:fs/promises";
import { dirname, join } from "node:path";

import type { FileReference } from "../../airbyte/file-reference.ts";
import { ExtractError } from "../../../proto/error.ts";
import type { FileStore } from "../copying-writer.ts";
import { mapBounded } from "../layout/bounded.ts";
import {
  listCopied,
  placeCopied,
  type CopiedFile,
} from "../layout/copied-files.ts";
import {
  FILES_FOLDER,
  generationPath,
  temporaryName,
} from "../layout/names.ts";
import type { PartitionOrigin } from "../layout/partition-files.ts";
import type { FileDestinationConfig } from "./config.ts";
import { toDestinationError } from "./errors.ts";
import {
  drawTag,
  FILE_OPERATIONS_AT_ONCE,
  isMissing,
  listFolder,
  makeFoldersBelow,
  readFileSize,
  syncFolder,
  syncFoldersUpTo,
} from "./storage.ts";

/** Names below one generation: the manifest lists them all. */
const COPIED_MAX = 500_000;

export class CopiedFiles implements FileStore {
  readonly #of: PartitionOrigin;
  readonly #root: string;
  /** The generation's, relative to the root. */
  readonly #folder: string;
  readonly #tag = drawTag();
  #begun = 0;

  constructor(config: FileDestinationConfig, of: PartitionOrigin) {
    this.#of = of;
    this.#root = config.root;
    this.#folder = generationPath(
      config.pathTemplate,
      of.schema,
      of.generation,
    );
  }

  /** @throws ExtractError DESTINATION_FAILED for a staged file that is not what its reference says; as the writer */
  async copy(files: readonly FileReference[]): Promise<void> {
    if (files.length === 0) return;
    makeFoldersBelow(this.#root, `${this.#folder}/${FILES_FOLDER}`);
    const folders = new Set(
      await mapBounded(files, FILE_OPERATIONS_AT_ONCE, (file) =>
        this.#copyOne(file),
      ),
    );
    for (const folder of folders) await syncFoldersUpTo(folder, this.#root);
  }

  /** @returns the folder of its name, absolute */
  async #copyOne({
    stagedPath,
    relativePath,
    bytes,
  }: FileReference): Promise<string> {
    const { partition, epoch } = this.#of;
    const place = placeCopied(relativePath);
    const name = { partition, epoch, tag: this.#tag, number: this.#begun++ };
    // where the clean-up of the next attempt looks for it
    const temporary = join(this.#root, this.#folder, temporaryName(name));
    const final = join(this.#root, this.#folder, place);
    makeFoldersBelow(this.#root, dirname(`${this.#folder}/${place}`));
    try {
      await copyFile(
        stagedPath,
        temporary,
        fs.constants.COPYFILE_EXCL | fs.constants.COPYFILE_FICLONE,
      );
      // not by a descriptor for reading: some file systems sync only what was opened to be written
      const handle = await open(temporary, "r+");
      try {
        const { size } = await handle.stat();
        if (size !== bytes)
          throw new ExtractError(
            "DESTINATION_FAILED",
            `${stagedPath} has ${size} bytes instead of ${bytes}: it was changed while it was copied`,
            { path: stagedPath, bytesFound: size, bytesSaid: bytes },
          );
        await handle.sync();
      } finally {
        await handle.close();
      }
      await rename(temporary, final);
    } catch (error) {
      await rm(temporary, { force: true }).catch(() => {
        // the first error says more
      });
      throw toDestinationError(error, "copy a file to", final);
    }
    return dirname(final);
  }
}

/** What lies below a generation's folder by now. @param folder relative to the root */
export function findCopied(root: string, folder: string): CopiedFile[] {
  const sizes = new Map<string, number>();
  const visit = (inner: string): void => {
    for (const entry of listFolder(join(root, folder, inner))) {
      const path = `${inner}/${entry.name}`;
      if (entry.isDirectory()) visit(path);
      const bytes = readFileSize(join(root, folder, path));
      if (bytes === null) continue;
      sizes.set(path, bytes);
      if (sizes.size > COPIED_MAX)
        throw new ExtractError(
          "DESTINATION_FAILED",
          `${join(root, folder)} holds more than ${COPIED_MAX} copied files`,
          { path: join(root, folder) },
        );
    }
  };
  visit(FILES_FOLDER);
  return listCopied(folder, sizes);
}

/** Of a generation that is over, where nothing of it is kept. @returns whether there were any */
export async function removeCopied(
  root: string,
  folder: string,
): Promise<boolean> {
  const generation = join(root, folder);
  const entries = listFolder(generation);
  const isAlone = entries.length === 1 && entries[0]?.name === FILES_FOLDER;
  if (!isAlone || !entries[0]?.isDirectory()) return false;
  const path = join(generation, FILES_FOLDER);
  try {
    await rm(path, { recursive: true });
  } catch (error) {
    if (isMissing(error)) return false;
    throw toDestinationError(error, "remove", path);
  }
  await syncFolder(generation);
  return true;
}
