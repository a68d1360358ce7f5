/**
 * Which checkpoints are durable, as the files themselves say: the destination is the truth, the ledger follows.
 */
import { join } from "node:path";

import type { SealedFile } from "../../../proto/checkpoint.ts";
import { ExtractError } from "../../../proto/error.ts";
import type { StreamSchema } from "../../../proto/schema.ts";
import { createFileFormat } from "../../formats/index.ts";
import { mapBounded } from "../layout/bounded.ts";
import { MARKER_BYTES_MAX, MARKER_KEY, parseMarker } from "../layout/marker.ts";
import type { CheckpointMarker } from "../layout/marker.ts";
import {
  fileName,
  generationPath,
  isPartitionFolder,
  parseFileName,
  sidecarName,
} from "../layout/names.ts";
import type { ParsedFileName } from "../layout/names.ts";
import {
  compareRecovered,
  describeRecovered,
  findMarkedFiles,
  isMarkerOf,
} from "../layout/recovered.ts";
import type { RecoveredCheckpoint } from "../layout/recovered.ts";
import type { FileDestinationConfig } from "./config.ts";
import { systemErrorCode, toDestinationError } from "./errors.ts";
import { listGeneration } from "./generation-files.ts";
import type { GenerationFiles } from "./generation-files.ts";
import {
  FILE_OPERATIONS_AT_ONCE,
  readFileSize,
  readSmallFile,
  syncFolder,
  syncFoldersUpTo,
} from "./storage.ts";

/**
 * Reads the markers of one generation. A checkpoint is durable exactly when its marker is whole and every file that it
 * lists is there with its size; of others nothing is said, and they are removed by `cleanUp`. The names are synced
 * before this returns, since the process that linked them may have died before it could.
 * @returns by epoch and index, ascending; `stream` is this run's number for the stream
 * @throws ExtractError DESTINATION_FAILED, DESTINATION_UNWRITABLE
 */
export async function recoverCheckpoints(
  config: FileDestinationConfig,
  schema: StreamSchema,
  generation: number,
): Promise<RecoveredCheckpoint[]> {
  const relative = generationPath(config.pathTemplate, schema, generation);
  const folder = join(config.root, relative);
  const format = createFileFormat(schema, config.format);
  const present = listGeneration(folder);
  const lastFiles = findLastFiles(present, format.extension);
  if (lastFiles.length === 0) return [];
  for (const inner of present.folders) await syncFolder(join(folder, inner));
  await syncFoldersUpTo(folder, config.root);
  const checkpoints = await mapBounded(
    lastFiles,
    FILE_OPERATIONS_AT_ONCE,
    async (last) => {
      const marker = format.storesMetadata
        ? await readFooterMarker(join(folder, last.folder, nameOf(last)))
        : readSidecarMarker(
            join(folder, last.folder, sidecarName(nameOf(last))),
          );
      if (!marker || !isMarkerOf(marker, last, schema, generation)) return null;
      if (marker.stamp.index !== last.checkpoint) return null;
      const files = findFiles(marker, last, folder, relative);
      return files && describeRecovered(marker, files, schema.number);
    },
  );
  return checkpoints
    .filter((checkpoint) => checkpoint !== null)
    .sort(compareRecovered);
}

/** A checkpoint's last file. */
interface LastFile extends ParsedFileName {
  /** Within the generation's, with a slash behind it; empty where rows are not partitioned. */
  readonly folder: string;
}

/** Of each checkpoint that has final names, the file with the highest number: where its marker would be. */
function findLastFiles(files: GenerationFiles, extension: string): LastFile[] {
  const lastFiles = new Map<string, LastFile>();
  for (const { entry, folder } of files.entries) {
    const parsed = entry.isFile() ? parseFileName(entry.name) : null;
    // checkpoint 0 is the file of an empty table, which counts by the manifest alone
    if (!parsed || parsed.extension !== extension || parsed.checkpoint === 0)
      continue;
    const key = `${parsed.partition}/${parsed.epoch}/${parsed.checkpoint}`;
    const known = lastFiles.get(key);
    if (!known || known.number < parsed.number)
      lastFiles.set(key, { ...parsed, folder });
  }
  return [...lastFiles.values()];
}

async function readFooterMarker(
  path: string,
): Promise<CheckpointMarker | null> {
  // the reader is loaded only where there is something to recover
  const { readParquetMetadata } = await import("../../formats/read.ts");
  try {
    const { rows, metadata } = await readParquetMetadata(path);
    const marker = parseMarker(metadata[MARKER_KEY] ?? "");
    return marker?.files.at(-1)?.rows === rows ? marker : null;
  } catch (error) {
    const cause = error instanceof Error ? error.cause : undefined;
    // a disk that cannot be read says nothing of what is on it
    if (systemErrorCode(cause) !== null) {
      throw toDestinationError(cause, "read", path);
    }
    if (!(error instanceof ExtractError)) throw error;
    // a footer that is not whole is none: its rows are read again
    return null;
  }
}

function readSidecarMarker(path: string): CheckpointMarker | null {
  const bytes = readSmallFile(path, MARKER_BYTES_MAX);
  if (bytes === null || bytes === "tooLarge") return null;
  return parseMarker(bytes.toString("utf8"));
}

/** The marker's files as they lie there; null when one is missing, short, or not where its number says. */
function findFiles(
  marker: CheckpointMarker,
  last: ParsedFileName,
  folder: string,
  relative: string,
): SealedFile[] | null {
  if (marker.files.length !== last.number + 1) return null;
  const areNamed = marker.files.every(({ name }, number) => {
    const folders = name.split("/");
    return (
      folders.pop() === nameOf({ ...last, number }) &&
      folders.every(isPartitionFolder)
    );
  });
  if (!areNamed) return null;
  return findMarkedFiles(marker, relative, (name) =>
    readFileSize(join(folder, name)),
  );
}

function nameOf(parsed: ParsedFileName): string {
  return fileName(parsed, parsed.extension);
}
