/**
 * Whole files that a source hands over with its records: copied below the folder of their generation, under the paths
 * that the source has them by. The manifest names them beside the files that hold rows.
 */
import { findPathFault } from "../../airbyte/file-reference.ts";
import { isCount, isRecord } from "./marker.ts";
import { FILES_FOLDER } from "./names.ts";

const PREFIX = `${FILES_FOLDER}/`;

export interface CopiedFile {
  /** Relative to the root, as in `SealedFile`. */
  readonly path: string;
  readonly bytes: number;
}

/** Where a file lies below its generation's folder. */
export function placeCopied(relativePath: string): string {
  return `${PREFIX}${relativePath}`;
}

/** Whether a path below a generation's folder is that of a copied file. */
export function isCopied(inner: string): boolean {
  return inner.startsWith(PREFIX);
}

/** In the order of their paths. @param folder the generation's, relative to the root */
export function listCopied(
  folder: string,
  sizes: ReadonlyMap<string, number>,
): CopiedFile[] {
  return [...sizes]
    .filter(([inner]) => isCopied(inner))
    .map(([inner, bytes]) => ({ path: `${folder}/${inner}`, bytes }))
    .toSorted((a, b) => (a.path < b.path ? -1 : a.path > b.path ? 1 : 0));
}

/** Null for what a manifest of ours would not list. @param folder the last name of the generation's folder */
export function parseCopied(
  value: unknown,
  folder: string,
): readonly CopiedFile[] | null {
  if (!Array.isArray(value)) return null;
  const files: CopiedFile[] = [];
  for (const one of value as unknown[]) {
    if (!isRecord(one)) return null;
    const { path, bytes } = one;
    if (typeof path !== "string" || !isCount(bytes)) return null;
    const at = path.indexOf(`/${folder}/${PREFIX}`);
    const inner = path.slice(at + folder.length + PREFIX.length + 2);
    if (at === -1 || findPathFault(inner) !== null) return null;
    files.push({ path, bytes });
  }
  return files;
}
