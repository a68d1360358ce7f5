/**
 * Removes what unfinished attempts left, and nothing else: a name must parse as ours and an intent of the ledger must
 * say that this generation and epoch were begun here and are over.
 */
import * as fs from "node:fs";
import assert from "node:assert/strict";
import { join } from "node:path";
import { setImmediate as nextTurn } from "node:timers/promises";

import type { GenerationIntent } from "../../../proto/control.ts";
import { ExtractError } from "../../../proto/error.ts";
import type { FileDestinationConfig } from "./config.ts";
import { systemErrorCode, toDestinationError } from "./errors.ts";
import { readManifest } from "./manifest.ts";
import {
  generationFolder,
  parseFileName,
  parseManifestTemporaryName,
  parseSidecarName,
  parseTemporaryName,
  streamFolder,
} from "./names.ts";
import { isMissing, listFolder, removeFile, syncFolder } from "./storage.ts";

/** Files removed before other work of the thread gets its turn. */
const REMOVALS_PER_TURN = 64;

export interface CleanUpReport {
  /** Relative to the root, as in SealedFile. */
  readonly removed: readonly string[];
  /** What lies beside and is not ours to remove; `keep` is not in it, nor is what the current epoch writes. */
  readonly left: readonly string[];
}

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
    await removeFiles(sweep, folder);
    if (intent.currentEpoch === null) await removeEmptyFolder(sweep, folder);
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

function findEndedEpochs(intent: GenerationIntent): ReadonlySet<number> {
  const { epochs, currentEpoch } = intent;
  assert(
    currentEpoch === null || epochs.every((epoch) => epoch <= currentEpoch),
    "an epoch above the current one: this attempt is fenced",
  );
  return new Set(
    epochs.filter((epoch) => currentEpoch === null || epoch < currentEpoch),
  );
}

async function removeFiles(sweep: Sweep, folder: string): Promise<void> {
  const path = join(sweep.root, folder);
  if (!isRealFolder(path)) return;
  const before = sweep.removed.length;
  for (const entry of listFolder(path)) {
    const relative = `${folder}/${entry.name}`;
    const owner = entry.isFile() ? findOwner(entry.name, folder) : null;
    if (!owner) sweep.left.push(relative);
    else if (owner.dataPath !== null && sweep.keep.has(owner.dataPath))
      continue;
    else await removeEnded(sweep, relative, owner.epoch);
  }
  if (sweep.removed.length > before) await syncFolder(path);
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
): Promise<void> {
  if (!sweep.ended.has(epoch)) return;
  removeFile(join(sweep.root, relative));
  sweep.removed.push(relative);
  if (sweep.removed.length % REMOVALS_PER_TURN === 0) await nextTurn();
}

/** The epoch that a name of ours belongs to, and the data file that it stands or falls with. */
function findOwner(
  name: string,
  folder: string,
): { epoch: number; dataPath: string | null } | null {
  const data = parseFileName(name);
  if (data) return { epoch: data.epoch, dataPath: `${folder}/${name}` };
  const sidecar = parseSidecarName(name);
  if (sidecar) {
    const dataName = name.slice(1, -".checkpoint.json".length);
    return { epoch: sidecar.epoch, dataPath: `${folder}/${dataName}` };
  }
  const temporary = parseTemporaryName(name);
  return temporary ? { epoch: temporary.epoch, dataPath: null } : null;
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
