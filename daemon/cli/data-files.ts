/** Finds the data files below a folder and tells which of them are the table. */
import { readFileSync, readdirSync, statSync } from "node:fs";
import { basename, dirname, join } from "node:path";
import { isPartitionFolder } from "../../connectors/destinations/layout/names.ts";
import { ExtractError } from "../../proto/error.ts";
import { quotePath } from "./paths.ts";

/** Files looked at below one folder. */
const FILES_MAX = 1_000_000;
const MANIFEST_BYTES_MAX = 64 * 1024 * 1024;
const MANIFEST = "_manifest.json";

const dataFile = /\.(parquet|avro|(csv|jsonl)(\.gz|\.zst)?)$/;
const generationFolder = /^g\d{6,16}$/;

/** The data files of one table. */
export interface DataTable {
  /** Absolute. */
  readonly folder: string;
  /** Absolute, in the order of their names. */
  readonly files: readonly string[];
  /** Files that are there and not part of the table: of a run that is not committed, or of an old one. */
  readonly uncounted: number;
  /** False where no manifest says what counts: then every file is taken. */
  readonly committed: boolean;
}

/**
 * The tables below a folder, by folder name; a file stands for itself.
 * @throws ExtractError USAGE when the path does not exist, or holds no data files
 */
export function findTables(path: string): DataTable[] {
  const stats = statSync(path, { throwIfNoEntry: false });
  if (stats === undefined) {
    throw new ExtractError("USAGE", `${quotePath(path)} does not exist`);
  }
  if (!stats.isDirectory()) {
    const folder = dirname(path);
    return [{ folder, files: [path], uncounted: 0, committed: true }];
  }
  const byTable = Map.groupBy(listDataFiles(path), (file) => {
    const folder = leavePartitions(dirname(file));
    return generationFolder.test(basename(folder)) ? dirname(folder) : folder;
  });
  if (byTable.size === 0) {
    throw new ExtractError(
      "USAGE",
      `there are no data files in ${quotePath(path)}`,
      {
        help: "parquet, avro, csv and jsonl files are read, csv and jsonl with .gz or .zst, too.",
      },
    );
  }
  return [...byTable]
    .map(([folder, files]) => countFiles(folder, files))
    .sort((a, b) => (a.folder < b.folder ? -1 : 1));
}

/** Names that begin with a dot are not data: the ledger's folder, sidecars. */
function listDataFiles(root: string): string[] {
  const found: string[] = [];
  const folders = [root];
  for (
    let folder = folders.pop();
    folder !== undefined;
    folder = folders.pop()
  ) {
    for (const entry of readdirSync(folder, { withFileTypes: true })) {
      if (entry.name.startsWith(".")) continue;
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

function countFiles(folder: string, files: readonly string[]): DataTable {
  const listed = readListed(join(folder, MANIFEST));
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

/** The files that a manifest lists; null where there is none that can be understood. */
function readListed(path: string): Set<string> | null {
  const stats = statSync(path, { throwIfNoEntry: false });
  if (stats === undefined || stats.size > MANIFEST_BYTES_MAX) return null;
  try {
    const manifest = JSON.parse(readFileSync(path, "utf8")) as {
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
