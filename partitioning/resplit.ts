/**
 * Re-splitting: an open partition gives up the tail of its range. Pure: the caller stops the giver first, seals it at
 * its position, and records both halves in one ledger transaction before either acts.
 */
import type {
  KeyTuple,
  Partition,
  Position,
  Split,
} from "../proto/partition.ts";
import { equalKeys } from "./quantiles.ts";

export type ResplitRequest =
  | {
      readonly kind: "pages";
      readonly split: Extract<Split, { kind: "pages" }>;
      /** The giver's last checkpoint; null before its first. */
      readonly position: Extract<Position, { kind: "pages" }> | null;
      readonly middlePage: number;
    }
  | {
      readonly kind: "key";
      readonly split: Extract<Split, { kind: "key" }>;
      readonly position: Extract<Position, { kind: "key" }> | null;
      readonly middle: KeyTuple;
      /**
       * How the server orders `middle`: only it knows the column's collation. `aboveStart`: above the position, or at
       * or above the start where there is none (true where that is open). `belowEnd`: true where the end is open.
       */
      readonly order: {
        readonly aboveStart: boolean;
        readonly belowEnd: boolean;
      };
    };

export interface Resplit {
  /** The giver's split with its new end. */
  readonly giver: Split;
  readonly taker: Split;
}

/**
 * Cuts at the middle, or null where it does not lie strictly inside of what is left: the giver then keeps its range.
 * The giver's part and the taker's part together are the giver's old split, and nothing that the position covers is
 * in the taker's.
 */
export function resplit(request: ResplitRequest): Resplit | null {
  if (request.kind === "pages") {
    const { split, position, middlePage } = request;
    const from = position?.nextPage ?? split.startPage;
    const isInside =
      Number.isSafeInteger(middlePage) &&
      middlePage > from &&
      middlePage > split.startPage &&
      (split.endPage === null || middlePage < split.endPage);
    if (!isInside) return null;
    return {
      giver: { ...split, endPage: middlePage },
      taker: { ...split, startPage: middlePage },
    };
  }
  const { split, position, middle, order } = request;
  const hasShape = middle.length === split.columns.length;
  const repeatsBound = [split.start, split.end, position?.after].some(
    (key) => key !== null && key !== undefined && equalKeys(key, middle),
  );
  if (!hasShape || repeatsBound || !order.aboveStart || !order.belowEnd) {
    return null;
  }
  return {
    giver: { ...split, end: middle },
    taker: { ...split, start: middle },
  };
}

/**
 * The page in the middle of what is left, or null where less than `pagesMin` pages would remain on either side.
 * @param pages of the heap: the end of an open range
 */
export function findMiddlePage(
  split: Extract<Split, { kind: "pages" }>,
  position: Extract<Position, { kind: "pages" }> | null,
  pages: number,
  pagesMin: number,
): number | null {
  const from = Math.max(split.startPage, position?.nextPage ?? 0);
  const left = (split.endPage ?? pages) - from;
  return left >= 2 * pagesMin && left >= 2 ? from + Math.floor(left / 2) : null;
}

/** A partition that is being read, and what of it has been since it was begun or resumed. */
export interface ReadSoFar {
  readonly range: Partition;
  readonly rows: number;
  readonly bytes: number;
}

/** Bytes of one row: as they came, else as the plan has them; 0 where neither is known. */
export function estimateRowBytes({ range, rows, bytes }: ReadSoFar): number {
  if (rows > 0) return bytes / rows;
  return range.estimatedRows > 0
    ? range.estimatedBytes / range.estimatedRows
    : 0;
}

/**
 * Bytes that are left to read, at most. The rows of a plan are even where their widths are not, so that what is left
 * is counted in both.
 */
export function estimateBytesLeft(read: ReadSoFar): number {
  const { range, rows, bytes } = read;
  return Math.max(
    0,
    range.estimatedBytes - bytes,
    (range.estimatedRows - rows) * estimateRowBytes(read),
  );
}

/**
 * The one with the most left, where that makes two parts of `bytesMin` each; null where none has so much. A whole table
 * has no tail to give.
 */
export function chooseGiver<Read extends ReadSoFar>(
  reads: readonly Read[],
  bytesMin: number,
): Read | null {
  let giver: Read | null = null;
  let most = Math.max(1, 2 * bytesMin);
  for (const read of reads) {
    const left = estimateBytesLeft(read);
    if (read.range.split.kind === "whole" || left < most) continue;
    giver = read;
    most = left;
  }
  return giver;
}

/**
 * Shares out the estimates: half of what is left goes to the taker. What the giver read before stays its own.
 * @param rowsLeft behind the giver's position, estimated
 */
export function shareEstimates(
  { estimatedRows, estimatedBytes }: Partition,
  rowsLeft: number,
  rowBytes: number,
): Record<
  "giver" | "taker",
  Pick<Partition, "estimatedRows" | "estimatedBytes">
> {
  const rows = Math.round(rowsLeft / 2);
  const bytes = Math.round((rowsLeft * rowBytes) / 2);
  return {
    giver: {
      estimatedRows: Math.max(rows, estimatedRows - rows),
      estimatedBytes: Math.max(bytes, estimatedBytes - bytes),
    },
    taker: { estimatedRows: rows, estimatedBytes: bytes },
  };
}
