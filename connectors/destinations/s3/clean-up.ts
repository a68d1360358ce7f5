/**
 * Removes what unfinished attempts left, uploads that were never completed included, and nothing else: a name must parse
 * as ours and an intent of the ledger must say that this generation and epoch were begun here and are over.
 */
import type { GenerationIntent } from "../../../proto/control.ts";
import { ExtractError } from "../../../proto/error.ts";
import { mapBounded } from "../layout/bounded.ts";
import { isCopied } from "../layout/copied-files.ts";
import { generationPath, splitInnerPath } from "../layout/names.ts";
import type { Manifest } from "../layout/manifest.ts";
import { findEndedEpochs, findOwner } from "../layout/removal.ts";
import type { CleanUpReport } from "../layout/removal.ts";
import type { S3Bucket } from "./bucket.ts";
import { REQUESTS_AT_ONCE } from "./client.ts";
import type { S3DestinationConfig } from "./config.ts";
import { readManifest } from "./manifest.ts";

/** Intents looked at together; each asks for one thing after the other. */
const INTENTS_AT_ONCE = 4;

/**
 * Safe to do again at any time.
 * @param keep paths of the data files that count, relative to the prefix; their sidecars stay with them
 */
export async function cleanUp(
  config: S3DestinationConfig,
  bucket: S3Bucket,
  intents: readonly GenerationIntent[],
  keep: ReadonlySet<string>,
): Promise<CleanUpReport> {
  const reports = await mapBounded(intents, INTENTS_AT_ONCE, (intent) =>
    cleanGeneration(config, bucket, intent, keep),
  );
  return {
    removed: reports.flatMap(({ removed }) => removed),
    left: reports.flatMap(({ left }) => left),
  };
}

async function cleanGeneration(
  config: S3DestinationConfig,
  bucket: S3Bucket,
  intent: GenerationIntent,
  keep: ReadonlySet<string>,
): Promise<CleanUpReport> {
  const ended = findEndedEpochs(intent);
  const folder = generationPath(config.pathTemplate, intent, intent.generation);
  const listed =
    intent.currentEpoch === null
      ? new Set<string>()
      : await listPublished(config, bucket, intent);
  const removed: string[] = [];
  const left: string[] = [];
  const copied: string[] = [];
  let areRowsKept = false;
  const findOwnerOf = (inner: string): ReturnType<typeof findOwner> => {
    const split = splitInnerPath(inner);
    if (!split) return null;
    return findOwner(split.name, `${folder}/${split.folder}`.slice(0, -1));
  };
  for (const inner of (await bucket.listTree(folder)).keys()) {
    const path = `${folder}/${inner}`;
    const owner = findOwnerOf(inner);
    if (isCopied(inner)) copied.push(path);
    else if (!owner) left.push(path);
    else if (owner.dataPath !== null && isKept(owner.dataPath, keep, listed))
      areRowsKept = true;
    else if (ended.has(owner.epoch)) removed.push(path);
  }
  // they go with the last of the rows that they came with
  if (intent.currentEpoch === null && !areRowsKept && left.length === 0)
    removed.push(...copied);
  await bucket.remove(removed);
  const orphans = (await bucket.listUploads(folder)).filter(({ path }) => {
    const inner = path.slice(folder.length + 1);
    // what this attempt copies begins behind the clean-up
    if (isCopied(inner)) return ended.size > 0;
    const owner = findOwnerOf(inner);
    return owner !== null && ended.has(owner.epoch);
  });
  await mapBounded(orphans, REQUESTS_AT_ONCE, ({ path, uploadId }) =>
    bucket.abortUpload(path, uploadId),
  );
  removed.push(...orphans.map(({ path }) => path));
  return { removed, left };
}

function isKept(
  path: string,
  keep: ReadonlySet<string>,
  listed: ReadonlySet<string>,
): boolean {
  return keep.has(path) || listed.has(path);
}

/** What the manifest in place lists of a generation that is being committed: whoever reads it now needs those files. */
async function listPublished(
  config: S3DestinationConfig,
  bucket: S3Bucket,
  intent: GenerationIntent,
): Promise<ReadonlySet<string>> {
  let manifest: Manifest | null;
  try {
    manifest = (await readManifest(config, bucket, intent))?.manifest ?? null;
  } catch (error) {
    // a manifest that is not ours lists nothing of ours
    if (error instanceof ExtractError && error.code === "DESTINATION_FOREIGN")
      return new Set();
    throw error;
  }
  const ours = manifest?.generations.filter(
    ({ generation }) => generation === intent.generation,
  );
  return new Set(
    ours?.flatMap(({ files }) => files.map(({ path }) => path)) ?? [],
  );
}
