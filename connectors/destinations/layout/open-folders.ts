/**
 * Which file takes the next rows of each folder, where rows are parted into folders by value; and which of them is closed
 * when there are too many, or when they hold too much memory.
 */
import { ExtractError } from "../../../proto/error.ts";
import type { StreamSchema } from "../../../proto/schema.ts";
import { checkPartitionColumns } from "../../formats/partition-rows.ts";
import type { PartitionColumn } from "../../formats/partition-rows.ts";

export class OpenFolders<File> {
  /** Those written least recently come first. */
  readonly #files = new Map<string, { file: File; heldBytes: number }>();
  #heldBytes = 0;

  get size(): number {
    return this.#files.size;
  }

  /** Memory that the files hold, as last told by `put`. */
  get heldBytes(): number {
    return this.#heldBytes;
  }

  find(folder: string): File | null {
    return this.#files.get(folder)?.file ?? null;
  }

  /** The file has just been written, and takes the next rows of its folder. */
  put(folder: string, file: File, heldBytes: number): void {
    this.remove(folder);
    this.#files.set(folder, { file, heldBytes });
    this.#heldBytes += heldBytes;
  }

  remove(folder: string): void {
    this.#heldBytes -= this.#files.get(folder)?.heldBytes ?? 0;
    this.#files.delete(folder);
  }

  *list(): Iterable<File> {
    for (const { file } of this.#files.values()) yield file;
  }

  /** The folder written least recently, but for that of `spared`. */
  findOldest(spared: File): string | null {
    for (const [folder, { file }] of this.#files)
      if (file !== spared) return folder;
    return null;
  }

  /** The folder whose file holds the most memory, but for that of `spared`: closing it leaves the fewest files. */
  findLargest(spared: File): string | null {
    let largest: string | null = null;
    let most = -1;
    for (const [folder, { file, heldBytes }] of this.#files) {
      if (file === spared || heldBytes <= most) continue;
      largest = folder;
      most = heldBytes;
    }
    return largest;
  }

  clear(): void {
    this.#files.clear();
    this.#heldBytes = 0;
  }
}

/** @throws ExtractError USAGE for columns by which the stream's rows cannot be parted */
export function checkFolderColumns(
  schema: StreamSchema,
  columns: readonly PartitionColumn[],
): void {
  const faults = checkPartitionColumns(schema, columns);
  if (faults.length === 0) return;
  const stream = `${schema.namespace}.${schema.name}`;
  throw new ExtractError(
    "USAGE",
    `${stream} cannot be partitioned: ${faults.join("; ")}`,
    { stream },
  );
}
