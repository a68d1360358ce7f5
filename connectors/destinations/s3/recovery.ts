/**
 * Which checkpoints are durable, as the objects themselves say: the destination is the truth, the ledger follows.
 */
import { ExtractError } from "../../../proto/error.ts";
import type { StreamSchema } from "../../../proto/schema.ts";
import { createFileFormat } from "../../formats/index.ts";
import { MARKER_BYTES_MAX, MARKER_KEY, parseMarker } from "../layout/marker.ts";
import type { CheckpointMarker } from "../layout/marker.ts";
import {
  dataNameOfSidecar,
  generationPath,
  parseDataName,
} from "../layout/names.ts";
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
import { mapBounded } from "./bounded.ts";

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
  const { files } = await bucket.listFolder(folder);
  const format = createFileFormat(schema, config.format);
  const candidates = [...files.keys()].flatMap((name) => {
    const dataName = format.storesMetadata ? name : dataNameOfSidecar(name);
    const parsed = dataName === null ? null : parseDataName(dataName);
    if (dataName === null || parsed?.extension !== format.extension) return [];
    return [{ name, dataName, parsed }];
  });
  const checkpoints = await mapBounded(
    candidates,
    REQUESTS_AT_ONCE,
    async ({ name, dataName, parsed }) => {
      const path = `${folder}/${name}`;
      const marker = format.storesMetadata
        ? await readFooterMarker(bucket, path, files.get(name) ?? 0)
        : await readSidecarMarker(bucket, path);
      if (!marker || !isMarkerOf(marker, parsed, schema, generation))
        return null;
      if (!areNamed(marker, dataName)) return null;
      const found = findMarkedFiles(
        marker,
        folder,
        (one) => files.get(one) ?? null,
      );
      return found && describeRecovered(marker, found, schema.number);
    },
  );
  return checkpoints
    .filter((checkpoint) => checkpoint !== null)
    .sort(compareRecovered);
}

/** The marker stands with the last of its files, all of which one writer named. */
function areNamed(marker: CheckpointMarker, lastName: string): boolean {
  const names = marker.files.map(({ name }) => name);
  const stem = (name: string): string => name.slice(0, name.lastIndexOf("-"));
  return (
    names.at(-1) === lastName &&
    new Set(names).size === names.length &&
    names.every((name) => parseDataName(name) && stem(name) === stem(lastName))
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
