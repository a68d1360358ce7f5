/**
 * The last steps of a stream, in the order that a crash at any moment allows:
 *
 * 1. `verifyCommit`: every file is there, whole and synced.
 * 2. The caller's ledger says `committing`, with the list.
 * 3. `publishCommit`: the manifest. From `committing` on, a redo starts here.
 * 4. The caller's ledger says `committed`.
 * 5. `removeSuperseded`: the older generations go.
 *
 * Each step can be done again. All that the main thread of the destination needs can be had from here.
 */
import * as fs from "node:fs";
import assert from "node:assert/strict";
import { join } from "node:path";

import type { SealedFile } from "../../../proto/checkpoint.ts";
import type { GenerationIntent } from "../../../proto/control.ts";
import { ExtractError } from "../../../proto/error.ts";
import type { StreamSchema } from "../../../proto/schema.ts";
import { createFileFormat } from "../../formats/index.ts";
import { countShownRows, showsLog } from "../layout/manifest-log.ts";
import * as manifests from "../layout/manifest.ts";
import type { Manifest } from "../layout/manifest.ts";
import { PLACE_KEY } from "../layout/marker.ts";
import type { FileOrigin } from "../layout/marker.ts";
import {
  fileName,
  generationPath,
  parseFileName,
  streamFolder,
  temporaryName,
} from "../layout/names.ts";
import type { StreamName } from "../layout/names.ts";
import type { CleanUpReport } from "../layout/removal.ts";
import { mapBounded } from "../layout/bounded.ts";
import { cleanUp } from "./clean-up.ts";
import type { FileDestinationConfig } from "./config.ts";
import { toDestinationError } from "./errors.ts";
import { listGeneration } from "./generation-files.ts";
import { readManifest, writeManifest } from "./manifest.ts";
import {
  FILE_OPERATIONS_AT_ONCE,
  drawTag,
  linkFinal,
  makeFoldersBelow,
  openToRead,
  readFileSize,
  removeFile,
  syncData,
  syncFolder,
  syncFoldersUpTo,
  writeSmallFile,
} from "./storage.ts";

export { cleanUp } from "./clean-up.ts";
export { readManifest } from "./manifest.ts";
export type { ManifestMode } from "../layout/manifest.ts";
export { recoverCheckpoints } from "./recovery.ts";
export { checkForeign, prepareRoot } from "./root.ts";

/** One stream whose partitions are all durable. */
export interface CommitOrder extends manifests.ManifestOrder {
  readonly config: FileDestinationConfig;
}

/**
 * Step 1. Beside the files of the order, their folder must hold no other data file: readers that go by a pattern would
 * read it.
 * @throws ExtractError DESTINATION_FAILED naming a file that is missing, of another size, or too many
 */
export async function verifyCommit(order: CommitOrder): Promise<void> {
  const { root } = order.config;
  const relative = findGenerationFolder(order.config, order);
  const listed = new Set(order.files.map((file) => file.path));
  assert.equal(listed.size, order.files.length, "a file is listed twice");
  await mapBounded(order.files, FILE_OPERATIONS_AT_ONCE, async (file) => {
    assert(file.path.startsWith(`${relative}/`), `${file.path} lies elsewhere`);
    await syncFile(checkFile(root, file));
  });
  const { entries, folders } = listGeneration(join(root, relative));
  for (const { entry, path: inner } of entries) {
    const path = `${relative}/${inner}`;
    if (!parseFileName(entry.name) || listed.has(path)) continue;
    throw new ExtractError(
      "DESTINATION_FAILED",
      `${join(root, path)} does not belong to the table; a resume removes it`,
      { path: join(root, path) },
    );
  }
  if (order.files.length === 0) return;
  for (const inner of folders) await syncFolder(join(root, relative, inner));
  await syncFoldersUpTo(join(root, relative), root);
}

/**
 * In the middle of a generation: readers see what is durable up to the order's place in its log. What a newer order has
 * shown stays, and what the manifest lists already is not looked at again; sealed files are synced.
 * @returns rows that came to what readers see
 * @throws ExtractError DESTINATION_FAILED naming a file that is missing or of another size; as `publishCommit`
 */
export async function publishLog(order: CommitOrder): Promise<number> {
  const { config, schema, generation } = order;
  const relative = streamFolder(config.pathTemplate, schema);
  const before = readManifest(join(config.root, relative));
  if (showsLog(before, order)) return 0;
  const listed = new Set(
    before?.generations.flatMap(({ files }) => files.map(({ path }) => path)),
  );
  for (const file of order.files)
    if (!listed.has(file.path)) checkFile(config.root, file);
  const after = await publishCommit(order);
  return countShownRows(after, generation) - countShownRows(before, generation);
}

/** @returns the file's path. @throws ExtractError DESTINATION_FAILED */
function checkFile(root: string, file: SealedFile): string {
  const path = join(root, file.path);
  const bytes = readFileSize(path);
  if (bytes === file.bytes) return path;
  throw new ExtractError(
    "DESTINATION_FAILED",
    bytes === null
      ? `${path} is missing`
      : `${path} has ${bytes} bytes instead of ${file.bytes}`,
    { path, bytesFound: bytes, bytesSealed: file.bytes },
  );
}

/**
 * Step 3. Under append the committed generations of the manifest that is there stay in it; under overwrite only this
 * one does. Doing it again gives the same.
 * @throws ExtractError DESTINATION_FOREIGN when the manifest that is there is of another sync
 */
export async function publishCommit(order: CommitOrder): Promise<Manifest> {
  const { config, schema } = order;
  const relative = streamFolder(config.pathTemplate, schema);
  const folder = makeFoldersBelow(config.root, relative);
  const before = readManifest(folder);
  const manifest = manifests.buildManifest(order, before, folder);
  await writeManifest(config, manifest, order.epoch);
  return manifest;
}

/**
 * Step 5. Removes the generations that this ledger says are over and the manifest does not list. The manifest is read
 * again: what it lists is never removed, whatever the intents say.
 */
export async function removeSuperseded(
  config: FileDestinationConfig,
  stream: StreamName,
  intents: readonly GenerationIntent[],
): Promise<CleanUpReport> {
  const folder = join(config.root, streamFolder(config.pathTemplate, stream));
  const manifest = readManifest(folder);
  assert(manifest, "nothing is superseded before the manifest is written");
  const listed = new Set(manifest.generations.map((entry) => entry.generation));
  const superseded = intents.filter((intent) => {
    assert(
      intent.namespace === stream.namespace && intent.name === stream.name,
    );
    return intent.currentEpoch === null && !listed.has(intent.generation);
  });
  return cleanUp(config, superseded, new Set());
}

/** Whether this generation is appended to files that show the columns: then one without rows needs no file. */
export function hasEarlierFiles({
  config,
  schema,
  generation,
  mode,
}: Pick<CommitOrder, "config" | "schema" | "generation"> & {
  readonly mode: string;
}): boolean {
  const folder = streamFolder(config.pathTemplate, schema);
  const manifest = readManifest(join(config.root, folder));
  return manifests.hasEarlierFiles(manifest, generation, mode);
}

/**
 * The one file of a table without rows: it has the columns, so that readers of the folder find a table. Done before
 * `verifyCommit`; a second time in the same epoch gives the same file.
 */
export async function writeEmptyFile(
  options: Pick<CommitOrder, "config" | "schema"> &
    Pick<FileOrigin, "run" | "generation" | "epoch" | "planVersion">,
): Promise<SealedFile> {
  const { config, schema, run, generation, epoch, planVersion } = options;
  const format = createFileFormat(schema, config.format);
  const relative = findGenerationFolder(config, options);
  const folder = makeFoldersBelow(config.root, relative);
  const place = { partition: 0, epoch, checkpoint: 0, number: 0 };
  const name = fileName(place, format.extension);
  const origin: FileOrigin = {
    run,
    stream: { namespace: schema.namespace, name: schema.name },
    fingerprint: schema.fingerprint,
    generation,
    epoch,
    planVersion,
  };
  const pieces = format.createEncoder().finish({
    [PLACE_KEY]: JSON.stringify({ ...origin, partition: 0, number: 0 }),
  });
  const bytes = Buffer.concat(pieces);
  const final = join(folder, name);
  if (readFileSize(final) !== bytes.byteLength) {
    const temporary = join(
      folder,
      temporaryName({ partition: 0, epoch, tag: drawTag(), number: 0 }),
    );
    try {
      await writeSmallFile(temporary, bytes);
      linkFinal(temporary, final);
    } finally {
      removeFile(temporary);
    }
  }
  await syncFoldersUpTo(folder, config.root);
  return { path: `${relative}/${name}`, rows: 0, bytes: bytes.byteLength };
}

function findGenerationFolder(
  config: FileDestinationConfig,
  of: { readonly schema: StreamSchema; readonly generation: number },
): string {
  return generationPath(config.pathTemplate, of.schema, of.generation);
}

async function syncFile(path: string): Promise<void> {
  try {
    const fd = await openToRead(path);
    try {
      await syncData(fd);
    } finally {
      fs.closeSync(fd);
    }
  } catch (error) {
    throw toDestinationError(error, "sync", path);
  }
}
