/**
 * Before a run: can the root be written, and is what lies there ours?
 */
import * as fs from "node:fs";
import { dirname, join } from "node:path";

import {
  STRANGERS_MAX,
  checkManifest,
  refuseGeneration,
} from "../layout/foreign.ts";
import type { StreamFolderReport } from "../layout/foreign.ts";
import {
  MANIFEST_NAME,
  parseGenerationFolder,
  parseManifestTemporaryName,
  parsePathTemplate,
  streamFolder,
} from "../layout/names.ts";
import type { StreamName } from "../layout/names.ts";
import type { FileDestinationConfig } from "./config.ts";
import { systemErrorCode, toRootError } from "./errors.ts";
import { readManifest } from "./manifest.ts";
import {
  drawTag,
  linkFinal,
  listFolder,
  removeFile,
  syncFolder,
  writeSmallFile,
} from "./storage.ts";

/**
 * Makes the root and tries all that writing will need, so that a long read does not end in a folder that cannot be
 * written: a file, its sync, a hard link.
 * @throws ExtractError DESTINATION_UNWRITABLE, DESTINATION_FULL; USAGE for a path template that is refused
 */
export async function prepareRoot(
  config: FileDestinationConfig,
): Promise<void> {
  parsePathTemplate(config.pathTemplate);
  const { root } = config;
  await makeRoot(root);
  const probe = join(root, `.millrace-probe-${drawTag()}.tmp`);
  const linked = `${probe}.link.tmp`;
  try {
    await writeSmallFile(probe, Buffer.from("probe\n"));
    linkFinal(probe, linked);
    await syncFolder(root);
  } catch (error) {
    // the calls have named the path already; here the cause says more about the folder
    const cause = error instanceof Error ? error.cause : undefined;
    const isSystem = systemErrorCode(cause) !== null;
    throw isSystem
      ? toRootError(cause, "write and link files in", root)
      : error;
  } finally {
    removeProbe(probe);
    removeProbe(linked);
  }
}

/**
 * Stops a run before it touches a folder that another ledger wrote.
 * @param knownGenerations of this stream in this ledger, committed or not
 * @throws ExtractError DESTINATION_FOREIGN naming what was found
 */
export function checkForeign(
  config: FileDestinationConfig,
  stream: StreamName,
  knownGenerations: ReadonlySet<number>,
  syncId: string,
): StreamFolderReport {
  const relative = streamFolder(config.pathTemplate, stream);
  const folder = join(config.root, relative);
  const manifest = readManifest(folder);
  if (manifest) {
    const check = { stream, folder: relative, knownGenerations, syncId };
    checkManifest(manifest, check, join(folder, MANIFEST_NAME));
  }
  const strangers: string[] = [];
  for (const entry of listFolder(folder)) {
    const generation = parseGenerationFolder(entry.name);
    if (generation === null) {
      const isOurs =
        entry.name === MANIFEST_NAME || parseManifestTemporaryName(entry.name);
      if (!isOurs && strangers.length < STRANGERS_MAX)
        strangers.push(`${relative}/${entry.name}`);
      continue;
    }
    if (knownGenerations.has(generation)) continue;
    const path = join(folder, entry.name);
    const isEmpty = entry.isDirectory() && listFolder(path).length === 0;
    if (!isEmpty) throw refuseGeneration(path, generation);
  }
  return { manifest, strangers };
}

/** Makes the folder and those above it that are missing. (`recursive` tries for ever where `/proc` refuses a name.) */
async function makeRoot(root: string): Promise<void> {
  try {
    const missing: string[] = [];
    for (let path = root; !fs.existsSync(path); path = dirname(path)) {
      missing.push(path);
    }
    for (const path of missing.toReversed()) makeFolder(path);
    for (const path of missing) await syncFolder(dirname(path));
    // a root that is a file shows only when something is looked for in it
    fs.readdirSync(root);
  } catch (error) {
    throw toRootError(error, "make folder", root);
  }
}

function makeFolder(path: string): void {
  try {
    fs.mkdirSync(path);
  } catch (error) {
    // another process may make the same folders
    if (systemErrorCode(error) !== "EEXIST") throw error;
  }
}

function removeProbe(path: string): void {
  try {
    removeFile(path);
  } catch {
    // where it could not be made it cannot be removed either; the first error is the one that is told
  }
}
