/**
 * `_manifest.json` in each stream's folder: which files are the table. Here as a value and as its text.
 */
import assert from "node:assert/strict";

import type { SealedFile } from "../../../proto/checkpoint.ts";
import type { LogBoundWire } from "../../../proto/control.ts";
import { ExtractError } from "../../../proto/error.ts";
import type { ColumnSchema, StreamSchema } from "../../../proto/schema.ts";
import { parseCopied, type CopiedFile } from "./copied-files.ts";
import { orderFiles, parseLog, type ManifestLog } from "./manifest-log.ts";
import { isCount, isRecord, parseJson } from "./marker.ts";
import { generationFolder, isPartitionFolder, parseDataName } from "./names.ts";
import type { StreamName } from "./names.ts";

export const MANIFEST_VERSION = 1;
/** About half a million files; a longer one is neither written nor read. */
export const MANIFEST_BYTES_MAX = 64 * 1024 * 1024;

export type ManifestMode =
  | "full-refresh-overwrite"
  | "full-refresh-append"
  | "incremental-append"
  | "cdc";

export interface ManifestGeneration {
  readonly generation: number;
  /** Epochs that the files come from, ascending. */
  readonly epochs: readonly number[];
  /** Paths are relative to the root, as everywhere. */
  readonly files: readonly SealedFile[];
  /** Whole files that came with rows; absent where none did. */
  readonly copied?: readonly CopiedFile[];
  readonly log?: ManifestLog;
}

export interface Manifest {
  readonly version: typeof MANIFEST_VERSION;
  readonly syncId: string;
  /** The run that committed last. */
  readonly runId: string;
  readonly stream: StreamName;
  readonly schema: {
    readonly fingerprint: string;
    readonly columns: readonly ColumnSchema[];
  };
  readonly mode: ManifestMode;
  /** Ascending. One under overwrite, every committed one under append. */
  readonly generations: readonly ManifestGeneration[];
  /** Of all generations. */
  readonly rows: number;
  readonly bytes: number;
  /** ISO 8601, UTC. */
  readonly committedAt: string;
}

/**
 * @param path for the messages
 * @throws ExtractError DESTINATION_FOREIGN for a text that this program would not write
 */
export function parseManifest(text: string, path: string): Manifest {
  const value = parseJson(text);
  if (!isRecord(value)) throw refuseManifest(path, "is not a JSON object");
  if (value["version"] !== MANIFEST_VERSION) {
    throw refuseManifest(path, `does not have version ${MANIFEST_VERSION}`);
  }
  return readManifestValue(value, path);
}

/**
 * The text that `parseManifest` reads.
 * @throws ExtractError DESTINATION_FAILED when it would be too long, as `parseManifest` when it could not be read again
 */
export function formatManifest(manifest: Manifest, path: string): Buffer {
  const text = `${JSON.stringify(manifest, null, 1)}\n`;
  const bytes = Buffer.from(text);
  if (bytes.byteLength > MANIFEST_BYTES_MAX) {
    throw new ExtractError(
      "DESTINATION_FAILED",
      `${path} would be longer than ${MANIFEST_BYTES_MAX} bytes: raise fileBytesMax, or begin anew in another folder`,
      { path, bytes: bytes.byteLength },
    );
  }
  // what could not be read again would lock the folder
  parseManifest(text, path);
  return bytes;
}

/** What a commit says of itself. */
export interface ManifestOrder {
  readonly schema: StreamSchema;
  readonly syncId: string;
  readonly runId: string;
  readonly mode: ManifestMode;
  readonly generation: number;
  /** The attempt that commits. */
  readonly epoch: number;
  /** All files of the generation that count, that of an empty table included. */
  readonly files: readonly SealedFile[];
  readonly copied?: readonly CopiedFile[];
  /** ISO 8601, UTC. */
  readonly committedAt: string;
  readonly log?: LogBoundWire;
}

/**
 * The manifest that takes the place of `before`. Under append the generations that are in it stay; under overwrite only
 * this one does. Doing it again gives the same.
 * @param folder the stream's, for the message
 * @throws ExtractError DESTINATION_FOREIGN when the manifest that is there is of another sync
 */
export function buildManifest(
  order: ManifestOrder,
  before: Manifest | null,
  folder: string,
): Manifest {
  const { schema, generation, syncId, runId, mode, committedAt } = order;
  if (before && before.syncId !== syncId) {
    throw new ExtractError(
      "DESTINATION_FOREIGN",
      `${folder} has the manifest of another sync, ${before.syncId}`,
      { path: folder },
    );
  }
  const kept: readonly ManifestGeneration[] =
    mode === "full-refresh-overwrite" ? [] : (before?.generations ?? []);
  const epochs = new Set([order.epoch]);
  for (const file of order.files) {
    const place = parseDataName(
      file.path.slice(file.path.lastIndexOf("/") + 1),
    );
    assert(place, `${file.path} is not a name of ours`);
    epochs.add(place.epoch);
  }
  const others = kept.filter((entry) => entry.generation !== generation);
  const added: ManifestGeneration = {
    generation,
    epochs: [...epochs].sort((a, b) => a - b),
    ...orderFiles(order),
    ...(order.copied?.length ? { copied: order.copied } : {}),
  };
  // runs that find nothing new would make the manifest longer for ever
  const addsNothing = order.files.length === 0 && others.length > 0;
  const generations = (addsNothing ? others : [...others, added]).sort(
    (a, b) => a.generation - b.generation,
  );
  const files = generations.flatMap((entry) => entry.files);
  return {
    version: MANIFEST_VERSION,
    syncId,
    runId,
    stream: { namespace: schema.namespace, name: schema.name },
    schema: { fingerprint: schema.fingerprint, columns: schema.columns },
    mode,
    generations,
    rows: files.reduce((sum, file) => sum + file.rows, 0),
    bytes: files.reduce((sum, file) => sum + file.bytes, 0),
    committedAt,
  };
}

/** Whether a generation is appended to files that show the columns: then one without rows needs no file. */
export function hasEarlierFiles(
  manifest: Manifest | null,
  generation: number,
  mode: string,
): boolean {
  if (mode === "full-refresh-overwrite") return false;
  return (manifest?.generations ?? []).some(
    (entry) => entry.generation !== generation && entry.files.length > 0,
  );
}

function readManifestValue(
  value: Record<string, unknown>,
  path: string,
): Manifest {
  const text = (key: string): string => {
    const found = value[key];
    if (typeof found !== "string") throw refuseManifest(path, `lacks ${key}`);
    return found;
  };
  const stream = parseStream(value["stream"], path);
  const generations = parseGenerations(value["generations"], path);
  const files = generations.flatMap((generation) => generation.files);
  const rows = files.reduce((sum, file) => sum + file.rows, 0);
  const bytes = files.reduce((sum, file) => sum + file.bytes, 0);
  if (value["rows"] !== rows || value["bytes"] !== bytes) {
    throw refuseManifest(path, "has sums that do not fit its files");
  }
  return {
    version: MANIFEST_VERSION,
    syncId: text("syncId"),
    runId: text("runId"),
    stream,
    schema: parseSchema(value["schema"], path),
    mode: parseMode(value["mode"], path),
    generations,
    rows,
    bytes,
    committedAt: text("committedAt"),
  };
}

function parseStream(value: unknown, path: string): StreamName {
  if (isRecord(value)) {
    const { namespace, name } = value;
    if (typeof namespace === "string" && typeof name === "string") {
      return { namespace, name };
    }
  }
  throw refuseManifest(path, "lacks stream");
}

function parseMode(value: unknown, path: string): ManifestMode {
  switch (value) {
    case "full-refresh-overwrite":
    case "full-refresh-append":
    case "incremental-append":
    case "cdc":
      return value;
    default:
      throw refuseManifest(path, "has an unknown mode");
  }
}

function parseSchema(value: unknown, path: string): Manifest["schema"] {
  if (!isRecord(value)) throw refuseManifest(path, "lacks schema");
  const { fingerprint, columns } = value;
  if (typeof fingerprint !== "string" || !Array.isArray(columns)) {
    throw refuseManifest(path, "has a malformed schema");
  }
  for (const column of columns as unknown[]) {
    const isColumn =
      isRecord(column) &&
      typeof column["name"] === "string" &&
      typeof column["nullable"] === "boolean" &&
      typeof column["sourceType"] === "string" &&
      isRecord(column["type"]) &&
      typeof column["type"]["kind"] === "string";
    if (!isColumn) throw refuseManifest(path, "has a malformed column");
  }
  return { fingerprint, columns: columns as ColumnSchema[] };
}

function parseGenerations(value: unknown, path: string): ManifestGeneration[] {
  if (!Array.isArray(value) || value.length === 0) {
    throw refuseManifest(path, "lacks generations");
  }
  const generations: ManifestGeneration[] = [];
  for (const entry of value as unknown[]) {
    if (!isRecord(entry))
      throw refuseManifest(path, "has a malformed generation");
    const { generation, epochs, files, copied, log } = entry;
    const isWhole =
      isCount(generation) &&
      generation > (generations.at(-1)?.generation ?? 0) &&
      Array.isArray(epochs) &&
      epochs.every(isCount) &&
      Array.isArray(files);
    if (!isWhole) throw refuseManifest(path, "has a malformed generation");
    generations.push({
      generation,
      epochs,
      files: (files as unknown[]).map((file) =>
        parseFile(file, generation, path),
      ),
      ...(copied === undefined
        ? {}
        : { copied: readCopied(copied, generation, path) }),
      ...(log === undefined ? {} : { log: readLog(log, files.length, path) }),
    });
  }
  return generations;
}

function readCopied(
  value: unknown,
  generation: number,
  path: string,
): readonly CopiedFile[] {
  const copied = parseCopied(value, generationFolder(generation));
  if (copied) return copied;
  throw refuseManifest(path, "lists copied files that are not ours");
}

function readLog(value: unknown, files: number, path: string): ManifestLog {
  const log = parseLog(value, files);
  if (log) return log;
  throw refuseManifest(path, "has a malformed log");
}

function parseFile(
  value: unknown,
  generation: number,
  manifestPath: string,
): SealedFile {
  if (isRecord(value)) {
    const { path, rows, bytes } = value;
    if (typeof path === "string" && isCount(rows) && isCount(bytes)) {
      const segments = path.split("/");
      const name = parseDataName(segments.at(-1) ?? "");
      const folder = segments
        .slice(0, -1)
        .findLast((segment) => !isPartitionFolder(segment));
      const isPlace =
        folder === generationFolder(generation) &&
        !segments.some((segment) => segment === "" || segment.startsWith("."));
      if (name && isPlace) return { path, rows, bytes };
    }
  }
  throw refuseManifest(manifestPath, "lists a file that is not one of ours");
}

export function refuseManifest(path: string, why: string): ExtractError {
  return new ExtractError(
    "DESTINATION_FOREIGN",
    `${path} ${why}: it was not written by this version of Millrace, or was changed since`,
    { path },
  );
}
