/**
 * `_manifest.json` in each stream's folder: which files are the table. It is replaced whole, never changed in place.
 */
import * as fs from "node:fs";
import assert from "node:assert/strict";
import { join } from "node:path";

import type { SealedFile } from "../../../proto/checkpoint.ts";
import { ExtractError } from "../../../proto/error.ts";
import type { ColumnSchema } from "../../../proto/schema.ts";
import type { FileDestinationConfig, StreamName } from "./config.ts";
import { toDestinationError } from "./errors.ts";
import { isCount, isRecord, parseJson } from "./marker.ts";
import {
  MANIFEST_NAME,
  generationFolder,
  manifestTemporaryName,
  parseFileName,
  streamFolder,
} from "./names.ts";
import {
  drawTag,
  readSmallFile,
  removeFile,
  syncFolder,
  writeSmallFile,
} from "./storage.ts";

export const MANIFEST_VERSION = 1;
/** About half a million files; a longer one is neither written nor read. */
const MANIFEST_BYTES_MAX = 64 * 1024 * 1024;

export type ManifestMode =
  "full-refresh-overwrite" | "full-refresh-append" | "incremental-append";

export interface ManifestGeneration {
  readonly generation: number;
  /** Epochs that the files come from, ascending. */
  readonly epochs: readonly number[];
  /** Paths are relative to the root, as everywhere. */
  readonly files: readonly SealedFile[];
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
 * @param folder the stream's folder, absolute
 * @returns null where there is none
 * @throws ExtractError DESTINATION_FOREIGN for a file that this program would not write
 */
export function readManifest(folder: string): Manifest | null {
  const path = join(folder, MANIFEST_NAME);
  const bytes = readSmallFile(path, MANIFEST_BYTES_MAX);
  if (bytes === null) return null;
  if (bytes === "tooLarge") throw refuse(path, "is too long");
  const value = parseJson(bytes.toString("utf8"));
  if (!isRecord(value)) throw refuse(path, "is not a JSON object");
  if (value["version"] !== MANIFEST_VERSION) {
    throw refuse(path, `does not have version ${MANIFEST_VERSION}`);
  }
  return parseManifest(value, path);
}

/**
 * Puts the manifest in place of the last one: written beside it, synced, renamed, folder synced. Only the holder of the
 * epoch may call this.
 */
export async function writeManifest(
  config: FileDestinationConfig,
  manifest: Manifest,
  epoch: number,
): Promise<void> {
  const folder = join(
    config.root,
    streamFolder(config.pathTemplate, manifest.stream),
  );
  const path = join(folder, MANIFEST_NAME);
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
  parseManifest(JSON.parse(text) as Record<string, unknown>, path);
  const generation = manifest.generations.at(-1)?.generation;
  assert(generation !== undefined, "a manifest without a generation");
  const temporary = join(
    folder,
    manifestTemporaryName({ generation, epoch, tag: drawTag() }),
  );
  try {
    await writeSmallFile(temporary, bytes);
    fs.renameSync(temporary, path);
  } catch (error) {
    removeFile(temporary);
    throw toDestinationError(error, "replace", path);
  }
  await syncFolder(folder);
}

function parseManifest(value: Record<string, unknown>, path: string): Manifest {
  const text = (key: string): string => {
    const found = value[key];
    if (typeof found !== "string") throw refuse(path, `lacks ${key}`);
    return found;
  };
  const stream = parseStream(value["stream"], path);
  const generations = parseGenerations(value["generations"], path);
  const files = generations.flatMap((generation) => generation.files);
  const rows = files.reduce((sum, file) => sum + file.rows, 0);
  const bytes = files.reduce((sum, file) => sum + file.bytes, 0);
  if (value["rows"] !== rows || value["bytes"] !== bytes) {
    throw refuse(path, "has sums that do not fit its files");
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
  throw refuse(path, "lacks stream");
}

function parseMode(value: unknown, path: string): ManifestMode {
  switch (value) {
    case "full-refresh-overwrite":
    case "full-refresh-append":
    case "incremental-append":
      return value;
    default:
      throw refuse(path, "has an unknown mode");
  }
}

function parseSchema(value: unknown, path: string): Manifest["schema"] {
  if (!isRecord(value)) throw refuse(path, "lacks schema");
  const { fingerprint, columns } = value;
  if (typeof fingerprint !== "string" || !Array.isArray(columns)) {
    throw refuse(path, "has a malformed schema");
  }
  for (const column of columns as unknown[]) {
    const isColumn =
      isRecord(column) &&
      typeof column["name"] === "string" &&
      typeof column["nullable"] === "boolean" &&
      typeof column["sourceType"] === "string" &&
      isRecord(column["type"]) &&
      typeof column["type"]["kind"] === "string";
    if (!isColumn) throw refuse(path, "has a malformed column");
  }
  return { fingerprint, columns: columns as ColumnSchema[] };
}

function parseGenerations(value: unknown, path: string): ManifestGeneration[] {
  if (!Array.isArray(value) || value.length === 0) {
    throw refuse(path, "lacks generations");
  }
  const generations: ManifestGeneration[] = [];
  for (const entry of value as unknown[]) {
    if (!isRecord(entry)) throw refuse(path, "has a malformed generation");
    const { generation, epochs, files } = entry;
    const isWhole =
      isCount(generation) &&
      generation > (generations.at(-1)?.generation ?? 0) &&
      Array.isArray(epochs) &&
      epochs.every(isCount) &&
      Array.isArray(files);
    if (!isWhole) throw refuse(path, "has a malformed generation");
    generations.push({
      generation,
      epochs,
      files: (files as unknown[]).map((file) =>
        parseFile(file, generation, path),
      ),
    });
  }
  return generations;
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
      const name = parseFileName(segments.at(-1) ?? "");
      const isPlace =
        segments.at(-2) === generationFolder(generation) &&
        !segments.some((segment) => segment === "" || segment.startsWith("."));
      if (name && isPlace) return { path, rows, bytes };
    }
  }
  throw refuse(manifestPath, "lists a file that is not one of ours");
}

function refuse(path: string, why: string): ExtractError {
  return new ExtractError(
    "DESTINATION_FOREIGN",
    `${path} ${why}: it was not written by this version of Millrace, or was changed since`,
    { path },
  );
}
