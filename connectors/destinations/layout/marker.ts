/**
 * The marker of a checkpoint: what makes its files count, inside the last of them or in a sidecar beside it.
 */
import type { CheckpointStamp } from "../../../proto/checkpoint.ts";
import type { Position } from "../../../proto/partition.ts";
import type { StreamName } from "./names.ts";

/** Key of the file's place in the key-value metadata of every file. */
export const PLACE_KEY = "millrace.place";
/** Key of the marker in a checkpoint's last file. */
export const MARKER_KEY = "millrace.checkpoint";
/** A longer marker is neither written nor read. */
export const MARKER_BYTES_MAX = 4 * 1024 * 1024;

/** Whose bytes a file holds: known when the file is begun. */
export interface FileOrigin {
  readonly run: string;
  readonly stream: StreamName;
  /** Of the stream's columns. */
  readonly fingerprint: string;
  readonly generation: number;
  readonly epoch: number;
  readonly planVersion: number;
}

export interface MarkedFile {
  /** Relative to the generation's folder: behind `column=value/` where rows are partitioned by columns. */
  readonly name: string;
  readonly rows: number;
  /** Null for the file that holds the marker itself: its size is what the storage says. */
  readonly bytes: number | null;
}

export interface CheckpointMarker extends FileOrigin {
  readonly stamp: CheckpointStamp;
  /** All files of the checkpoint in order. */
  readonly files: readonly MarkedFile[];
}

/** Reads a marker's text; null unless every part is there and well formed. */
export function parseMarker(text: string): CheckpointMarker | null {
  if (Buffer.byteLength(text) > MARKER_BYTES_MAX) return null;
  const value = parseJson(text);
  if (!isRecord(value)) return null;
  const { run, stream, fingerprint, generation, epoch, planVersion } = value;
  if (typeof run !== "string" || typeof fingerprint !== "string") return null;
  if (!isRecord(stream)) return null;
  const { namespace, name } = stream;
  if (typeof namespace !== "string" || typeof name !== "string") return null;
  if (!isCount(generation) || !isCount(epoch) || !isCount(planVersion))
    return null;
  const stamp = parseStamp(value["stamp"]);
  const files = parseFiles(value["files"]);
  if (!stamp || !files) return null;
  return {
    run,
    stream: { namespace, name },
    fingerprint,
    generation,
    epoch,
    planVersion,
    stamp,
    files,
  };
}

export function isCount(value: unknown): value is number {
  return typeof value === "number" && Number.isSafeInteger(value) && value >= 0;
}

export function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/** The value of a JSON text; undefined when it is none. */
export function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

function parseStamp(value: unknown): CheckpointStamp | null {
  if (!isRecord(value)) return null;
  const { stream, partition, attempt, sequence, index, rows, bytes, last } =
    value;
  const position = parsePosition(value["position"]);
  if (position === undefined || typeof last !== "boolean") return null;
  if (!isCount(stream) || !isCount(partition) || !isCount(attempt)) return null;
  if (!isCount(sequence) || !isCount(index)) return null;
  if (!isCount(rows) || !isCount(bytes)) return null;
  return {
    stream,
    partition,
    attempt,
    sequence,
    index,
    position,
    rows,
    bytes,
    last,
  };
}

function parsePosition(value: unknown): Position | null | undefined {
  if (value === null) return null;
  if (!isRecord(value)) return undefined;
  const { kind, after, nextPage } = value;
  if (kind === "pages" && isCount(nextPage)) return { kind, nextPage };
  if (kind === "log" && typeof after === "string") return { kind, after };
  if (kind !== "key" || !Array.isArray(after)) return undefined;
  const keys: unknown[] = after;
  return keys.every((key) => typeof key === "string")
    ? { kind, after: keys }
    : undefined;
}

function parseFiles(value: unknown): MarkedFile[] | null {
  if (!Array.isArray(value) || value.length === 0) return null;
  const files: MarkedFile[] = [];
  for (const file of value as unknown[]) {
    if (!isRecord(file)) return null;
    const { name, rows, bytes } = file;
    if (typeof name !== "string" || !isCount(rows)) return null;
    if (bytes !== null && !isCount(bytes)) return null;
    files.push({ name, rows, bytes });
  }
  return files;
}
