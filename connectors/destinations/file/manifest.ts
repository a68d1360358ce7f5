/**
 * The manifest as a file. It is replaced whole, never changed in place.
 */
import * as fs from "node:fs";
import assert from "node:assert/strict";
import { join } from "node:path";

import {
  MANIFEST_BYTES_MAX,
  formatManifest,
  parseManifest,
  refuseManifest,
} from "../layout/manifest.ts";
import type { Manifest } from "../layout/manifest.ts";
import {
  MANIFEST_NAME,
  manifestTemporaryName,
  streamFolder,
} from "../layout/names.ts";
import type { FileDestinationConfig } from "./config.ts";
import { toDestinationError } from "./errors.ts";
import {
  drawTag,
  readSmallFile,
  removeFile,
  syncFolder,
  writeSmallFile,
} from "./storage.ts";

/**
 * @param folder the stream's folder, absolute
 * @returns null where there is none
 * @throws ExtractError DESTINATION_FOREIGN for a file that this program would not write
 */
export function readManifest(folder: string): Manifest | null {
  const path = join(folder, MANIFEST_NAME);
  const bytes = readSmallFile(path, MANIFEST_BYTES_MAX);
  if (bytes === null) return null;
  if (bytes === "tooLarge") throw refuseManifest(path, "is too long");
  return parseManifest(bytes.toString("utf8"), path);
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
  const bytes = formatManifest(manifest, path);
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
