/**
 * Which checkpoints are durable, as the objects themselves say: the destination is the truth, the ledger follows.
 */
import { ExtractError } from "../../../proto/error.ts";
import type { StreamSchema } from "../../../proto/schema.ts";
import { createFileFormat } from "../../formats/index.ts";
import { mapBounded } from "../layout/bounded.ts";
import { MARKER_BYTES_MAX, MARKER_KEY, parseMarker } from "../layout/marker.ts";
import type { CheckpointMarker } from "../layout/marker.ts";
import {
  generationPath,
  parseDataName,
  sidecarName,
  splitInnerPath,
} from "../layout/names.ts";
import type { ParsedDataName } from "../layout/names.ts";
import {
  compareRecovered,
  describeRecovered,
  findMarkedFiles,
  isMarkerOf,
} from "../layout/recovered.ts";
import type { RecoveredCheckpoint } from "../layout/recovered.ts";
import type { S3Bucket } from "./bucket.ts";
import { REQUESTS_AT_ONCE } from "./client.ts";
import type { S3DestinationConfig } from "./config.ts";

/** Asked for first of an object: most footers are within it, the marker included. */
const TAIL_BYTES = 64 * 1024;

/**
 * Reads the markers of one generation. A checkpoint is durable exactly when its marker is whole and every file that it
 * lists is there with its size; of others nothing is said, and they are removed by `clean`.
 * @returns by epoch and index, ascending; `stream` is this run's number for the stream
 * @throws ExtractError of the destination
 */
export async function recoverCheckpoints(
  config: S3DestinationConfig,
  bucket: S3Bucket,
  schema: StreamSchema,
  generation: number,
): Promise<RecoveredCheckpoint[]> {
  const folder = generationPath(config.pathTemplate, schema, generation);
  const sizes = await bucket.listTree(folder);
  const format = createFileFormat(schema, config.format);
  const read = async (last: DataFile): Promise<RecoveredCheckpoint | null> => {
    const marker = format.storesMetadata
      ? await readFooterMarker(
          bucket,
          `${folder}/${last.path}`,
          sizes.get(last.path) ?? 0,
        )
      : await readSidecarMarker(
          bucket,
          `${folder}/${last.folder}${sidecarName(last.name)}`,
        );
    if (!marker || !isMarkerOf(marker, last, schema, generation)) return null;
    if (!areNamed(marker, last)) return null;
    const found = findMarkedFiles(
      marker,
      folder,
      (path) => sizes.get(path) ?? null,
    );
    return found && describeRecovered(marker, found, schema.number);
  };
  const found = await mapBounded(
    groupByWriter(sizes.keys(), format.extension),
    REQUESTS_AT_ONCE,
    async (files) => {
      const checkpoints: RecoveredCheckpoint[] = [];
      const known = new Set<string>();
      for (const file of files) {
        if (known.has(`${folder}/${file.path}`)) continue;
        const hasMarker =
          format.storesMetadata ||
          sizes.has(`${file.folder}${sidecarName(file.name)}`);
        const checkpoint = hasMarker ? await read(file) : null;
        if (!checkpoint) continue;
        checkpoints.push(checkpoint);
        for (const { path } of checkpoint.files) known.add(path);
      }
      return checkpoints;
    },
  );
  return found.flat().sort(compareRecovered);
}

/** A data file, by its path within the generation's folder. */
interface DataFile extends ParsedDataName {
  readonly path: string;
  /** Within the generation's, with a slash behind it; empty where rows are not parted. */
  readonly folder: string;
  readonly name: string;
}

/**
 * The data files of each writer, those begun last first: so the last one of a checkpoint comes before its others, which
 * then need not be looked at.
 */
function groupByWriter(
  paths: Iterable<string>,
  extension: string,
): DataFile[][] {
  const writers = new Map<string, DataFile[]>();
  for (const path of paths) {
    const split = splitInnerPath(path);
    const parsed = split && parseDataName(split.name);
    if (!parsed || parsed.extension !== extension) continue;
    const stem = stemOf(split.name);
    const files = writers.get(stem) ?? [];
    writers.set(stem, files);
    files.push({ ...parsed, ...split, path });
  }
  return [...writers.values()].map((files) =>
    files.sort((a, b) => b.number - a.number),
  );
}

/** Partition, epoch and writer. */
function stemOf(name: string): string {
  return name.slice(0, name.lastIndexOf("-"));
}

/** The marker stands with the last of its files, all of which one writer named. */
function areNamed(marker: CheckpointMarker, last: DataFile): boolean {
  const paths = marker.files.map(({ name }) => name);
  return (
    paths.at(-1) === last.path &&
    new Set(paths).size === paths.length &&
    paths.every((path) => {
      const split = splitInnerPath(path);
      return (
        split !== null &&
        parseDataName(split.name) !== null &&
        stemOf(split.name) === stemOf(last.name)
      );
    })
  );
}

/** Every file but the last of a checkpoint has none. */
async function readFooterMarker(
  bucket: S3Bucket,
  path: string,
  size: number,
): Promise<CheckpointMarker | null> {
  // the reader is loaded only where there is something to recover
  const { readParquetMetadataOf } = await import("../../formats/read.ts");
  const tailStart = Math.max(0, size - TAIL_BYTES);
  const tail =
    size === 0
      ? Buffer.alloc(0)
      : await bucket.readRange(path, tailStart, size);
  if (tail.byteLength !== size - tailStart) return null;
  const failures: unknown[] = [];
  const slice = async (start: number, end: number): Promise<ArrayBuffer> => {
    const bytes =
      start >= tailStart
        ? tail.subarray(start - tailStart, end - tailStart)
        : await bucket.readRange(path, start, end).catch((error: unknown) => {
            failures.push(error);
            throw error;
          });
    return new Uint8Array(bytes).buffer;
  };
  try {
    const { rows, metadata } = await readParquetMetadataOf({
      path: bucket.describe(path),
      size,
      slice,
    });
    const marker = parseMarker(metadata[MARKER_KEY] ?? "");
    return marker?.files.at(-1)?.rows === rows ? marker : null;
  } catch (error) {
    // what cannot be read says nothing of what is there
    if (failures.length > 0) throw failures[0];
    if (!(error instanceof ExtractError)) throw error;
    // a footer that is not whole is none: its rows are read again
    return null;
  }
}

async function readSidecarMarker(
  bucket: S3Bucket,
  path: string,
): Promise<CheckpointMarker | null> {
  const found = await bucket.read(path, MARKER_BYTES_MAX);
  if (found === null || found === "tooLarge") return null;
  return parseMarker(found.bytes.toString("utf8"));
}
