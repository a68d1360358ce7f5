/**
 * What may be removed: a name must parse as ours, and an intent of the ledger must say that its epoch is over.
 */
import assert from "node:assert/strict";

import type { GenerationIntent } from "../../../proto/control.ts";
import {
  dataNameOfSidecar,
  parseDataName,
  parseTemporaryName,
} from "./names.ts";

export interface CleanUpReport {
  /** Relative to the root, as in SealedFile. */
  readonly removed: readonly string[];
  /** What lies beside and is not ours to remove; what is kept is not in it, nor is what the current epoch writes. */
  readonly left: readonly string[];
}

/** Epochs of the generation whose files nobody writes any more. */
export function findEndedEpochs(intent: GenerationIntent): ReadonlySet<number> {
  const { epochs, currentEpoch } = intent;
  assert(
    currentEpoch === null || epochs.every((epoch) => epoch <= currentEpoch),
    "an epoch above the current one: this attempt is fenced",
  );
  return new Set(
    epochs.filter((epoch) => currentEpoch === null || epoch < currentEpoch),
  );
}

/** The epoch that a name of ours belongs to, and the data file that it stands or falls with. */
export function findOwner(
  name: string,
  folder: string,
): { readonly epoch: number; readonly dataPath: string | null } | null {
  const dataName = dataNameOfSidecar(name) ?? name;
  const data = parseDataName(dataName);
  if (data) return { epoch: data.epoch, dataPath: `${folder}/${dataName}` };
  const temporary = parseTemporaryName(name);
  return temporary ? { epoch: temporary.epoch, dataPath: null } : null;
}
