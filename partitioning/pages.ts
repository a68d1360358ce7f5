import type { Split } from "../proto/partition.ts";

export type PageSplit = Extract<Split, { kind: "pages" }>;

/**
 * Cuts a heap of `pages` pages into at most `splitCountMax` ranges of equal size. The last is open: pages that are
 * added after the count hold nothing that the snapshot sees, except where the count itself was stale.
 * @throws RangeError for a negative page count or a count below 1
 */
export function splitPages(pages: number, splitCountMax: number): PageSplit[] {
  if (!(pages >= 0) || splitCountMax < 1) {
    throw new RangeError(`${pages} pages into ${splitCountMax}`);
  }
  const splitCount = Math.max(1, Math.min(Math.floor(pages), splitCountMax));
  const starts = Array.from({ length: splitCount }, (_, i) =>
    Math.floor((pages * i) / splitCount),
  );
  return starts.map((startPage, i) => ({
    kind: "pages",
    startPage,
    endPage: starts[i + 1] ?? null,
  }));
}
