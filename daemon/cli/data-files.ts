/** Finds the data files below a folder, here or on S3, and tells which of them are the table. */
import { readFileSync, readdirSync, statSync } from "node:fs";
import { basename, dirname, join } from "node:path";
import {
  FILES_FOLDER,
  isPartitionFolder,
} from "../../connectors/destinations/layout/names.ts";
import type { FileBytes } from "../../connectors/formats/read.ts";
import { ExtractError } from "../../proto/error.ts";
import { quotePath, shortenPath } from "./paths.ts";

/** Files looked at below one folder. */
const FILES_MAX = 1_000_000;
const MANIFEST_BYTES_MAX = 64 * 1024 * 1024;
const MANIFEST = "_manifest.json";

const dataFile = /\.(parquet|avro|(csv|jsonl)(\.gz|\.zst)?)$/;
const generationFolder = /^g\d{6,16}$/;

/** The data files of one table. */
export interface DataTable {
  /** For people. */
  readonly name: string;
  /** Absolute paths or objects, in the order of their names. */
  readonly files: readonly (string | FileBytes)[];
  /** Files that are there and not part of the table: of a run that is not committed, or of an old one. */
  readonly uncounted: number;
  /** False where no manifest says what counts: then every file is taken. */
  readonly committed: boolean;
}

/** What was found, and kept open, until `close`. */
export interface FoundTables {
  /** By folder name. */
  readonly tables: readonly DataTable[];
  close(): void;
}

/** Files as they are found, wherever they are. */
interface FoundFiles {
  /** Ascending. */
  readonly paths: readonly string[];
  /** A manifest's text; null where there is none that could be ours. */
  readManifest(path: string): Promise<string | null>;
}

const help =
  "parquet, avro, csv and jsonl files are read, csv and jsonl with .gz or .zst, too.";

/**
 * The tables below a folder; a file stands for itself.
 * @throws ExtractError USAGE when the path does not exist, or holds no data files
 */
export async function findLocalTables(path: string): Promise<FoundTables> {
  const close = (): void => {};
  const stats = statSync(path, { throwIfNoEntry: false });
  if (stats === undefined) {
    throw new ExtractError("USAGE", `${quotePath(path)} does not exist`);
  }
  if (!stats.isDirectory()) {
    const name = shortenPath(dirname(path));
    const table = { name, files: [path], uncounted: 0, committed: true };
    return { tables: [table], close };
  }
  const paths = listDataFiles(path);
  if (paths.length === 0) {
    const message = `there are no data files in ${quotePath(path)}`;
    throw new ExtractError("USAGE", message, { help });
  }
  const readManifest = async (manifest: string): Promise<string | null> => {
    const found = statSync(manifest, { throwIfNoEntry: false });
    if (found === undefined || found.size > MANIFEST_BYTES_MAX) return null;
    return readFileSync(manifest, "utf8");
  };
  const grouped = await groupTables({ paths, readManifest });
  const tables = grouped.map(({ folder, ...rest }) => ({
    ...rest,
    name: shortenPath(folder),
  }));
  return { tables, close };
}

/**
 * The tables below `s3://bucket/prefix`, with the options behind its question mark; an object stands for itself.
 * @throws ExtractError USAGE when there are no data files, and those of the S3 destination
 */
export async function findS3Tables(url: string): Promise<FoundTables> {
  const { openS3Files } =
    await import("../../connectors/destinations/s3/url.ts");
  const place = await openS3Files(url);
  const close = (): void => place.close();
  try {
    const sizes = await place.list();
    const paths = [...sizes.keys()]
      .filter((key) => isDataKey(key, place.path))
      .sort();
    if (paths.length === 0) {
      const message = `there are no data files at ${url.split("?")[0]}`;
      throw new ExtractError("USAGE", message, { help });
    }
    const open = (path: string): FileBytes =>
      place.open(path, sizes.get(path) ?? 0);
    if (paths[0] === place.path) {
      const name = place.describe(place.path);
      const files = [open(place.path)];
      return {
        tables: [{ name, files, uncounted: 0, committed: true }],
        close,
      };
    }
    const grouped = await groupTables({
      paths,
      readManifest: (path) => place.readText(path, MANIFEST_BYTES_MAX),
    });
    const tables = grouped.map(({ folder, files, ...rest }) => ({
      ...rest,
      name: place.describe(folder === "." ? "" : folder),
      files: files.map(open),
    }));
    return { tables, close };
  } catch (error) {
    close();
    throw error;
  }
}

/** Names below the folder that begin with a dot are not data, nor are files that came with rows. */
function isDataKey(key: string, folder: string): boolean {
  const inner = key.slice(folder.length);
  if (inner.split("/").includes(FILES_FOLDER)) return false;
  return dataFile.test(key) && !/(^|\/)\./.test(inner);
}

interface FolderFiles extends Omit<DataTable, "name" | "files"> {
  readonly folder: string;
  readonly files: readonly string[];
}

async function groupTables(found: FoundFiles): Promise<FolderFiles[]> {
  const byTable = Map.groupBy(found.paths, (file) => {
    const folder = leavePartitions(dirname(file));
    return generationFolder.test(basename(folder)) ? dirname(folder) : folder;
  });
  const tables: FolderFiles[] = [];
  for (const [folder, files] of byTable)
    tables.push(await countFiles(found, folder, files));
  return tables.sort((a, b) => (a.folder < b.folder ? -1 : 1));
}

/** Names that begin with a dot are not data: the ledger's folder, sidecars. Nor are files that came with rows. */
function listDataFiles(root: string): string[] {
  const found: string[] = [];
  const folders = [root];
  for (
    let folder = folders.pop();
    folder !== undefined;
    folder = folders.pop()
  ) {
    for (const entry of readdirSync(folder, { withFileTypes: true })) {
      if (entry.name.startsWith(".") || entry.name === FILES_FOLDER) continue;
      const path = join(folder, entry.name);
      if (entry.isDirectory()) folders.push(path);
      else if (entry.isFile() && dataFile.test(entry.name)) found.push(path);
      if (found.length > FILES_MAX) {
        throw new ExtractError(
          "USAGE",
          `${quotePath(root)} holds more than ${FILES_MAX} data files; name a folder below it`,
        );
      }
    }
  }
  return found.sort();
}

async function countFiles(
  found: FoundFiles,
  folder: string,
  files: readonly string[],
): Promise<FolderFiles> {
  const text = await found.readManifest(join(folder, MANIFEST));
  const listed = text === null ? null : parseListed(text);
  if (listed === null) return { folder, files, uncounted: 0, committed: false };
  const counted = files.filter((file) => listed.has(nameInTable(file)));
  return {
    folder,
    files: counted,
    uncounted: files.length - counted.length,
    committed: true,
  };
}

/** Folders by value, `country=ch`, are part of their table. */
function leavePartitions(folder: string): string {
  let left = folder;
  while (isPartitionFolder(basename(left))) left = dirname(left);
  return left;
}

/** `g000001/p00000-….parquet`: the part of a path that stays when the whole destination is moved. */
function nameInTable(path: string): string {
  const generation = leavePartitions(dirname(path));
  return `${basename(generation)}${path.slice(generation.length)}`;
}

/** The files that a manifest lists; null where it cannot be understood. */
function parseListed(text: string): Set<string> | null {
  try {
    const manifest = JSON.parse(text) as {
      generations: { files: { path: string }[] }[];
    };
    return new Set(
      manifest.generations.flatMap(({ files }) =>
        files.map((file) => nameInTable(file.path)),
      ),
    );
  } catch {
    return null;
  }
}
