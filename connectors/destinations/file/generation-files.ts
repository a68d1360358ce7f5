/** What lies in a generation's folder, and in the folders `column=value` within it. */
import type * as fs from "node:fs";
import { join } from "node:path";

import { FOLDERS_MAX, isPartitionFolder } from "../layout/names.ts";
import { listFolder } from "./storage.ts";

export interface GenerationFiles {
  readonly entries: readonly {
    /** Relative to the generation's folder. */
    readonly path: string;
    /** With the slash behind it; empty for the generation's own. */
    readonly folder: string;
    readonly entry: fs.Dirent;
  }[];
  /** Folders `column=value`, relative to the generation's; those within others first. */
  readonly folders: readonly string[];
}

/** @param path the generation's folder, absolute; one that is missing has nothing in it */
export function listGeneration(path: string): GenerationFiles {
  const entries: GenerationFiles["entries"][number][] = [];
  const folders: string[] = [];
  const visit = (folder: string, depth: number): void => {
    for (const entry of listFolder(join(path, folder))) {
      const inner = `${folder}${entry.name}`;
      const isOurs =
        depth < FOLDERS_MAX &&
        entry.isDirectory() &&
        isPartitionFolder(entry.name);
      if (isOurs) {
        visit(`${inner}/`, depth + 1);
        folders.push(inner);
      } else entries.push({ path: inner, folder, entry });
    }
  };
  visit("", 0);
  return { entries, folders };
}
