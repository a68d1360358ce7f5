/**
 * What a marker that was found proves.
 */
import type { DurableReport, SealedFile } from "../../../proto/checkpoint.ts";
import type { StreamSchema } from "../../../proto/schema.ts";
import type { CheckpointMarker } from "./marker.ts";

/** A durable checkpoint with what tells whether the ledger still wants it. */
export interface RecoveredCheckpoint extends DurableReport {
  readonly runId: string;
  readonly planVersion: number;
}

/** The marker speaks of this very place: a file that was copied here from elsewhere does not count. */
export function isMarkerOf(
  marker: CheckpointMarker,
  place: { readonly partition: number; readonly epoch: number },
  schema: StreamSchema,
  generation: number,
): boolean {
  return (
    marker.stream.namespace === schema.namespace &&
    marker.stream.name === schema.name &&
    marker.fingerprint === schema.fingerprint &&
    marker.generation === generation &&
    marker.epoch === place.epoch &&
    marker.stamp.partition === place.partition
  );
}

/**
 * The marker's files as they lie there; null when one is missing or of another size, or their rows are not the stamp's.
 * @param readSize of a name in the folder, bytes; null where there is none
 */
export function findMarkedFiles(
  marker: CheckpointMarker,
  folder: string,
  readSize: (name: string) => number | null,
): SealedFile[] | null {
  const files: SealedFile[] = [];
  let rows = 0;
  for (const file of marker.files) {
    const bytes = readSize(file.name);
    if (bytes === null) return null;
    if (file.bytes !== null && file.bytes !== bytes) return null;
    files.push({ path: `${folder}/${file.name}`, rows: file.rows, bytes });
    rows += file.rows;
  }
  return rows === marker.stamp.rows ? files : null;
}

/** @param stream this run's number for the stream */
export function describeRecovered(
  { stamp, epoch, run, planVersion }: CheckpointMarker,
  files: readonly SealedFile[],
  stream: number,
): RecoveredCheckpoint {
  return { ...stamp, stream, epoch, files, runId: run, planVersion };
}

/** By epoch and index. */
export function compareRecovered(
  a: RecoveredCheckpoint,
  b: RecoveredCheckpoint,
): number {
  return a.epoch - b.epoch || a.index - b.index;
}
