/** Where the files of the store's threads are. */
import { existsSync } from "node:fs";
import { fileURLToPath } from "node:url";

/** Folders above this file that are looked into. */
const FOLDERS_ABOVE_MAX = 4;

/** A thread's file, whether this one stands where it was written or in a bundle's chunk. */
export function findWorkerFile(
  worker: "postgres-worker" | "log-worker",
): string {
  const name = `checkpoint/store/${worker}${import.meta.url.slice(-3)}`;
  for (let up = 1; up <= FOLDERS_ABOVE_MAX; up++) {
    const path = fileURLToPath(
      new URL(`${"../".repeat(up)}${name}`, import.meta.url),
    );
    if (existsSync(path)) return path;
  }
  throw new Error(`${name} is missing`);
}
