/** The log's part of a manifest: which files hold changes, in which order, and how far they go. */
import assert from "node:assert/strict";

import type { SealedFile } from "../../../proto/checkpoint.ts";
import type { LogBoundWire } from "../../../proto/control.ts";
import { isCount, isRecord } from "./marker.ts";
import { parseDataName, parseFileName } from "./names.ts";

/** What of a generation's files is the table's log. */
export interface ManifestLog {
  /** Place in `files` of the first that holds changes; those before it are the snapshot. From there on the list has the log's order, and the rows of each file have it, too. */
  readonly firstFile: number;
  /** Rows up to and with this `_position` are in the files. */
  readonly upTo: string;
}

/** A generation as a manifest lists it. */
interface ListedGeneration {
  readonly generation: number;
  readonly files: readonly SealedFile[];
  readonly log?: ManifestLog;
}

interface ListedGenerations {
  readonly generations: readonly ListedGeneration[];
}

/** What is there shows as much of the generation's log already, or more: an older step takes nothing back. */
export function showsLog(
  manifest: ListedGenerations | null,
  {
    generation,
    log,
  }: { readonly generation: number; readonly log?: LogBoundWire },
): boolean {
  const shown = findGeneration(manifest, generation)?.log?.upTo;
  return shown !== undefined && log !== undefined && shown >= log.upTo;
}

/** Rows of the generation that readers see. */
export function countShownRows(
  manifest: ListedGenerations | null,
  generation: number,
): number {
  const files = findGeneration(manifest, generation)?.files ?? [];
  return files.reduce((sum, { rows }) => sum + rows, 0);
}

function findGeneration(
  manifest: ListedGenerations | null,
  generation: number,
): ListedGeneration | undefined {
  return manifest?.generations.find((one) => one.generation === generation);
}

/** The snapshot's files first, then those of the log; each in the order that the ledger gave. */
export function orderFiles({
  files,
  log,
}: {
  readonly files: readonly SealedFile[];
  readonly log?: LogBoundWire;
}): Pick<ListedGeneration, "files" | "log"> {
  if (!log) return { files };
  const partitions = new Set(log.partitions);
  const isLog = ({ path }: SealedFile): boolean => {
    const place = parseDataName(path.slice(path.lastIndexOf("/") + 1));
    return place !== null && partitions.has(place.partition);
  };
  const ofLog = files.filter(isLog);
  assert(areInOrder(ofLog), "files of a log in another order");
  const ofSnapshot = files.filter((file) => !isLog(file));
  return {
    files: [...ofSnapshot, ...ofLog],
    log: { firstFile: ofSnapshot.length, upTo: log.upTo },
  };
}

/** As far as names tell: later attempts come later, and within one the checkpoints count up. */
function areInOrder(files: readonly SealedFile[]): boolean {
  const places = files.flatMap(
    ({ path }) => parseFileName(path.slice(path.lastIndexOf("/") + 1)) ?? [],
  );
  return places.every((place, i) => {
    const before = places[i - 1];
    if (!before || before.partition !== place.partition) return true;
    return (
      (place.epoch - before.epoch ||
        place.checkpoint - before.checkpoint ||
        place.number - before.number) > 0
    );
  });
}

/** Null where it is none. @param files how many the generation has */
export function parseLog(value: unknown, files: number): ManifestLog | null {
  if (!isRecord(value)) return null;
  const { firstFile, upTo } = value;
  return isCount(firstFile) && firstFile <= files && typeof upTo === "string"
    ? { firstFile, upTo }
    : null;
}
