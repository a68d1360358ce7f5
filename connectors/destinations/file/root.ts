/**
 * Before a run: can the root be written, and is what lies there ours?
 */
import * as fs from "node:fs";
import { dirname, join } from "node:path";

import { ExtractError } from "../../../proto/error.ts";
import type { FileDestinationConfig, StreamName } from "./config.ts";
import { systemErrorCode, toRootError } from "./errors.ts";
import { readManifest } from "./manifest.ts";
import type { Manifest } from "./manifest.ts";
import {
  MANIFEST_NAME,
  parseGenerationFolder,
  parseManifestTemporaryName,
  streamFolder,
} from "./names.ts";
import { parsePathTemplate } from "./path-template.ts";
import {
  drawTag,
  linkFinal,
  listFolder,
  removeFile,
  syncFolder,
  writeSmallFile,
} from "./storage.ts";

/** Names reported of what is not ours; a folder with more of them is named as well by these. */
const STRANGERS_MAX = 20;

export interface StreamFolderReport {
  /** Null before the first commit. */
  readonly manifest: Manifest | null;
  /** Other things in the stream's folder, relative to the root: `**` patterns would read them with the table. */
  readonly strangers: readonly string[];
}

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
    checkManifest(manifest, stream, relative, knownGenerations, syncId, folder);
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
    if (!isEmpty) {
      throw refuse(path, `generation ${generation} is not in this ledger`);
    }
  }
  return { manifest, strangers };
}

function checkManifest(
  manifest: Manifest,
  stream: StreamName,
  relative: string,
  knownGenerations: ReadonlySet<number>,
  syncId: string,
  folder: string,
): void {
  const path = join(folder, MANIFEST_NAME);
  const { namespace, name } = manifest.stream;
  if (namespace !== stream.namespace || name !== stream.name) {
    throw refuse(path, `it is of ${namespace}.${name}`);
  }
  if (manifest.syncId !== syncId) {
    throw refuse(path, `it is of another sync, ${manifest.syncId}`);
  }
  for (const { generation, files } of manifest.generations) {
    if (!knownGenerations.has(generation)) {
      throw refuse(path, `generation ${generation} is not in this ledger`);
    }
    const stray = files.find((file) => !file.path.startsWith(`${relative}/g`));
    if (stray) throw refuse(path, `it lists ${stray.path}`);
  }
}

function refuse(path: string, why: string): ExtractError {
  return new ExtractError(
    "DESTINATION_FOREIGN",
    `${path} was not written by this ledger: ${why}`,
    { path },
  );
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
