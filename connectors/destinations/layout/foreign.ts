/**
 * Is what lies at the destination ours? Another ledger's manifest or generation stops a run before it touches anything.
 */
import { ExtractError } from "../../../proto/error.ts";
import type { Manifest } from "./manifest.ts";
import type { StreamName } from "./names.ts";

/** Names reported of what is not ours; a folder with more of them is named as well by these. */
export const STRANGERS_MAX = 20;

export interface StreamFolderReport {
  /** Null before the first commit. */
  readonly manifest: Manifest | null;
  /** Other things in the stream's folder, relative to the root: `**` patterns would read them with the table. */
  readonly strangers: readonly string[];
}

export interface ForeignCheck {
  readonly stream: StreamName;
  /** The stream's folder, relative to the root. */
  readonly folder: string;
  /** Generations of this stream in this ledger, committed or not. */
  readonly knownGenerations: ReadonlySet<number>;
  readonly syncId: string;
}

/**
 * @param path of the manifest, for the message
 * @throws ExtractError DESTINATION_FOREIGN naming what was found
 */
export function checkManifest(
  manifest: Manifest,
  { stream, folder, knownGenerations, syncId }: ForeignCheck,
  path: string,
): void {
  const { namespace, name } = manifest.stream;
  if (namespace !== stream.namespace || name !== stream.name) {
    throw refuseForeign(path, `it is of ${namespace}.${name}`);
  }
  if (manifest.syncId !== syncId) {
    throw refuseForeign(path, `it is of another sync, ${manifest.syncId}`);
  }
  for (const { generation, files } of manifest.generations) {
    if (!knownGenerations.has(generation)) {
      throw refuseGeneration(path, generation);
    }
    const stray = files.find((file) => !file.path.startsWith(`${folder}/g`));
    if (stray) throw refuseForeign(path, `it lists ${stray.path}`);
  }
}

export function refuseGeneration(
  path: string,
  generation: number,
): ExtractError {
  return refuseForeign(path, `generation ${generation} is not in this ledger`);
}

function refuseForeign(path: string, why: string): ExtractError {
  return new ExtractError(
    "DESTINATION_FOREIGN",
    `${path} was not written by this ledger: ${why}`,
    { path },
  );
}
