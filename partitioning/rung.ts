/** The ladder: which way of cutting a stream takes, and the sentence that says why. */
import type { Partition, Rung, Split } from "../proto/partition.ts";
import type { LeafInput, PlanInput } from "./plan-input.ts";

/** Tid Range Scan came with Postgres 14; before it, a ctid range reads the whole heap. */
const PAGE_RANGES_SERVER_VERSION = 140_000;

export interface Choice {
  readonly rung: Rung;
  /** One sentence for people. */
  readonly reason: string;
}

export function canReadPages(leaf: LeafInput, serverVersion: number): boolean {
  return leaf.heap && serverVersion >= PAGE_RANGES_SERVER_VERSION;
}

/** @param bytes estimated, of all leaves */
export function chooseRung(input: PlanInput, bytes: number): Choice {
  const heap = input.leaves.some((leaf) => leaf.heap);
  const pagesWork = input.leaves.some((leaf) =>
    canReadPages(leaf, input.serverVersion),
  );
  const why = heap
    ? "the server is older than version 14"
    : "it is not a table with a heap of its own";
  const seconds = bytes / input.bytesPerSecond;
  const target = input.checkpointTargetSeconds;
  if (input.partitionBy === "key" && input.key === null) {
    return pagesWork
      ? { rung: "pages", reason: "Heap pages, because no usable key exists." }
      : {
          rung: "whole",
          reason: `One read per table, because no usable key exists and ${why}.`,
        };
  }
  if (input.partitionBy === "key") {
    return { rung: "keyRanges", reason: "Key ranges, as was asked for." };
  }
  if (input.partitionBy === "ctid" && pagesWork) {
    return { rung: "pages", reason: "Heap pages, as was asked for." };
  }
  if (pagesWork && seconds < target) {
    return {
      rung: "pages",
      reason: `Heap pages, because the table is read in about ${Math.ceil(seconds)} s, less than the ${target} s between checkpoints.`,
    };
  }
  if (input.key !== null) {
    return {
      rung: "keyRanges",
      reason: pagesWork
        ? `Key ranges, because the table takes about ${Math.ceil(seconds)} s, more than the ${target} s between checkpoints, and a key outlives a lost snapshot.`
        : `Key ranges, because heap pages do not serve: ${why}.`,
    };
  }
  return pagesWork
    ? {
        rung: "pages",
        reason: "Heap pages, because the table has no usable key.",
      }
    : {
        rung: "whole",
        reason: `One read per table, because it has no usable key and ${why}.`,
      };
}

/** The rung that was wanted may not be the one the leaves allowed: the plan names what it is. */
export function nameOutcome(
  choice: Choice,
  partitions: readonly Partition[],
): Choice {
  const kinds = new Set(partitions.map((partition) => partition.split.kind));
  if (choice.rung === "whole" || kinds.has(splitKindOf[choice.rung])) {
    return choice;
  }
  return kinds.has("pages")
    ? {
        rung: "pages",
        reason: "One partition per table, because none is worth cutting.",
      }
    : {
        rung: "whole",
        reason:
          "One read per table, because none is worth cutting or the filter leaves few rows.",
      };
}

const splitKindOf = {
  pages: "pages",
  keyRanges: "key",
  whole: "whole",
  log: "log",
} as const satisfies Record<Rung, Split["kind"]>;
