/**
 * Removes what unfinished attempts left, and nothing else: a name must parse as ours and an intent of the ledger must
 * say that this generation and epoch were begun here and are over.
 */
import * as fs from "node:fs";
import { join } from "node:path";
import { setImmediate as nextTurn } from "node:timers/promises";

import type { GenerationIntent } from "../../../proto/control.ts";
import { ExtractError } from "../../../proto/error.ts";
import {
  FILES_FOLDER,
  generationFolder,
  parseManifestTemporaryName,
  streamFolder,
} from "../layout/names.ts";
import { findEndedEpochs, findOwner } from "../layout/removal.ts";
import type { CleanUpReport } from "../layout/removal.ts";
import type { FileDestinationConfig } from "./config.ts";
import { removeCopied } from "./copied-files.ts";
import { systemErrorCode, toDestinationError } from "./errors.ts";
import { listGeneration } from "./generation-files.ts";
import { readManifest } from "./manifest.ts";
import { isMissing, listFolder, removeFile, syncFolder } from "./storage.ts";

/** Files removed before other work of the thread gets its turn. */
const REMOVALS_PER_TURN = 64;

/**
 * Safe to do again at any time.
 * @param keep paths of the data files that count, relative to the root; their sidecars stay with them
 */
export async function cleanUp(
  config: FileDestinationConfig,
  intents: readonly GenerationIntent[],
  keep: ReadonlySet<string>,
): Promise<CleanUpReport> {
  const removed: string[] = [];
  const left: string[] = [];
  for (const intent of intents) {
    const ended = findEndedEpochs(intent);
    const parent = streamFolder(config.pathTemplate, intent);
    const listed =
      intent.currentEpoch === null
        ? []
        : listPublished(config.root, parent, intent.generation);
    const sweep = {
      root: config.root,
      keep: listed.length === 0 ? keep : new Set([...keep, ...listed]),
      removed,
      left,
      ended,
    };
    await removeManifestTemporaries(sweep, parent, intent.generation);
    const folder = `${parent}/${generationFolder(intent.generation)}`;
    const isOver = intent.currentEpoch === null;
    await removeFiles(sweep, folder, isOver);
    if (!isOver || !isRealFolder(join(config.root, folder))) continue;
    if (await removeCopied(config.root, folder))
      removed.push(`${folder}/${FILES_FOLDER}`);
    await removeEmptyFolder(sweep, folder);
  }
  return { removed, left };
}

/** What the manifest in place lists of a generation that is being committed: whoever reads it now needs those files. */
function listPublished(
  root: string,
  parent: string,
  generation: number,
): string[] {
  try {
    const manifest = readManifest(join(root, parent));
    const ours = manifest?.generations.filter(
      (one) => one.generation === generation,
    );
    return ours?.flatMap(({ files }) => files.map(({ path }) => path)) ?? [];
  } catch (error) {
    // a manifest that is not ours lists nothing of ours
    if (error instanceof ExtractError && error.code === "DESTINATION_FOREIGN")
      return [];
    throw error;
  }
}

interface Sweep {
  readonly root: string;
  readonly keep: ReadonlySet<string>;
  readonly removed: string[];
  readonly left: string[];
  readonly ended: ReadonlySet<number>;
}

async function removeFiles(
  sweep: Sweep,
  folder: string,
  isOver: boolean,
): Promise<void> {
  const path = join(sweep.root, folder);
  if (!isRealFolder(path)) return;
  const changed = new Set<string>();
  const files = listGeneration(path);
  for (const { entry, path: inner, folder: within } of files.entries) {
    // they go with the last of the rows that they came with
    if (inner === FILES_FOLDER) continue;
    const relative = `${folder}/${inner}`;
    const parent = within === "" ? folder : `${folder}/${within.slice(0, -1)}`;
    const owner = entry.isFile() ? findOwner(entry.name, parent) : null;
    if (!owner) sweep.left.push(relative);
    else if (owner.dataPath !== null && sweep.keep.has(owner.dataPath))
      continue;
    else if (await removeEnded(sweep, relative, owner.epoch))
      changed.add(parent);
  }
  for (const parent of changed) await syncFolder(join(sweep.root, parent));
  // where a writer may be at work it makes folders and links into them
  if (isOver)
    for (const inner of files.folders)
      await removeEmptyFolder(sweep, `${folder}/${inner}`);
}

/** Manifests that were written and never renamed lie in the stream's folder. */
async function removeManifestTemporaries(
  sweep: Sweep,
  parent: string,
  generation: number,
): Promise<void> {
  for (const entry of listFolder(join(sweep.root, parent))) {
    const place = entry.isFile()
      ? parseManifestTemporaryName(entry.name)
      : null;
    if (place?.generation !== generation) continue;
    await removeEnded(sweep, `${parent}/${entry.name}`, place.epoch);
  }
}

async function removeEnded(
  sweep: Sweep,
  relative: string,
  epoch: number,
): Promise<boolean> {
  if (!sweep.ended.has(epoch)) return false;
  removeFile(join(sweep.root, relative));
  sweep.removed.push(relative);
  if (sweep.removed.length % REMOVALS_PER_TURN === 0) await nextTurn();
  return true;
}

async function removeEmptyFolder(sweep: Sweep, folder: string): Promise<void> {
  const path = join(sweep.root, folder);
  if (!isRealFolder(path)) return;
  try {
    fs.rmdirSync(path);
  } catch (error) {
    // files that are kept or not ours keep their folder
    const reason = systemErrorCode(error);
    if (reason === "ENOTEMPTY" || reason === "EEXIST" || isMissing(error))
      return;
    throw toDestinationError(error, "remove folder", path);
  }
  await syncFolder(join(path, ".."));
}

/** We make no symbolic links, so one in the place of a generation is somebody else's. */
function isRealFolder(path: string): boolean {
  try {
    return fs.lstatSync(path).isDirectory();
  } catch (error) {
    if (isMissing(error)) return false;
    throw toDestinationError(error, "look at", path);
  }
}
